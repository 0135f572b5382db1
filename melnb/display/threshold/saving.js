// A button that keeps the chosen point: the kernel writes it where it was told to, and asks first if
// another lies there; without a kernel, or without such a place, the browser downloads the same JSON.
// What the page sends is that the button was pressed, and yes or no; where to, it has no say in.

const FILE = "operating_point.json";
const PATIENCE = 15000; // milliseconds that the kernel gets to answer

/** The operating point as Python's `ThresholdExplorer.choice` gives it. */
function choiceOf({ positive, run, rows }, { cut, expected, rate, n, positives }) {
  return {
    melnb: "operating point", threshold: cut, positive, prevalence: expected,
    choose: "threshold", at: cut, run, rows, n, positives,
    sensitivity: rate.sensitivity, specificity: rate.specificity,
  };
}

function download(name, value) {
  const text = `${JSON.stringify(value, null, 1)}\n`;
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  html("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** `choice()` is asked at the click. */
function makeSaving(model, choice) {
  const makeButton = (text, act) => {
    const button = html("button", { type: "button" }, text);
    button.addEventListener("click", act);
    return button;
  };
  const said = html("span", { role: "status" });
  let pause = 0;
  const say = (text, isQuestion = false) => {
    clearTimeout(pause);
    said.textContent = text;
    for (const button of [yes, no]) button.hidden = !isQuestion;
  };
  const ask = (replace) => {
    say("Writing …");
    pause = setTimeout(() => say("No answer: the kernel has ended. Load the page again."), PATIENCE);
    const asked = (model.get("asked") ?? 0) + 1;
    for (const [name, value] of Object.entries({ asked, replace, saved: "", question: "" })) {
      model.set(name, value);
    }
    model.save_changes();
  };
  const save = makeButton("", () => {
    if (model.get("writes")) return ask(false);
    download(FILE, choice());
    return say(`Downloaded as ${FILE}`);
  });
  const yes = makeButton("Yes, replace it", () => ask(true));
  const no = makeButton("No, keep it", () => {
    say("Nothing was written");
    save.focus();
  });
  const hear = {
    "change:saved": () => model.get("saved") && say(model.get("saved")),
    "change:question": () => model.get("question") && say(model.get("question"), true),
    "change:writes"() {
      save.textContent = `${model.get("writes") ? "Write" : "Download"} this operating point`;
    },
  };
  for (const [event, act] of Object.entries(hear)) model.on(event, act);
  hear["change:writes"]();
  say("");
  return {
    node: html("p", { class: "saving" }, save, said, yes, no),
    forget() {
      clearTimeout(pause);
      for (const [event, act] of Object.entries(hear)) model.off(event, act);
    },
    /** The chosen point has moved on from what was written, or asked about. */
    moved: () => say(""),
  };
}
