// A button that keeps the chosen point: the kernel writes it where it was told to; without a kernel,
// or without such a place, the browser downloads the same JSON.

const FILE = "operating_point.json";

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
  const button = html("button", { type: "button" });
  const said = html("span", { role: "status" });
  const place = () => model.get("save_to");
  const name = () => {
    button.textContent = place() ? "Write this operating point" : "Download this operating point";
  };
  button.addEventListener("click", () => {
    if (place()) {
      said.textContent = "Writing …";
      model.set("asked", (model.get("asked") ?? 0) + 1);
      model.set("saved", "");
      model.save_changes();
    } else {
      download(FILE, choice());
      said.textContent = `Downloaded as ${FILE}`;
    }
  });
  const hear = () => {
    if (model.get("saved")) said.textContent = model.get("saved");
  };
  model.on("change:saved", hear);
  model.on("change:save_to", name);
  name();
  return {
    node: html("p", { class: "saving" }, button, said),
    forget() {
      model.off("change:saved", hear);
      model.off("change:save_to", name);
    },
    /** The chosen point has moved on from what was written. */
    moved() {
      said.textContent = "";
    },
  };
}
