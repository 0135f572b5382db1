// Pictures are dropped here, or chosen; each is sent in parts, and what Python answers is shown.

const PART = 1 << 20; // bytes of a message: servers refuse those above some megabytes
const PATIENCE = 20000; // milliseconds until a kernel that says nothing is taken for none
const FIRST = "The first picture takes longest: the networks are read.";
const NOBODY = "No kernel answers. Open this page by `melnb explore`, run the notebook, or in a "
  + "terminal: melnb look <pictures>";

function html(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** What was answered, apart from the styles of the page around it. */
function makeAnswers(model) {
  const node = html("div", { class: "answers" });
  const root = node.attachShadow({ mode: "open" });
  const style = html("style");
  style.textContent = `:host { ${model.get("light")} display: block; color: var(--melnb-ink);
    font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
    :host(.dark) { ${model.get("dark")} }
    ${model.get("sheet")}
    main { max-width: none; padding: 4px 0 12px; border-top: 1px solid var(--melnb-line); }
    .overview, main ~ main .foot { display: none; }
    main ~ main { opacity: 0.85; }
    .reason { padding: 8px 12px; border-left: 4px solid var(--melnb-positive); }`;
  const { dataset, classList } = document.body; // of JupyterLab, of VS Code
  node.classList.toggle("dark",
    dataset.jpThemeLight === "false" || classList.contains("vscode-dark"));
  return {
    node,
    show() {
      const parts = model.get("answers").map((answer) => {
        const main = html("main", { "aria-label": answer.name });
        if (answer.html) main.innerHTML = answer.html; // Python's page, every text in it escaped
        else main.append(html("p", { class: "reason" }, `${answer.name}: ${answer.reason}`));
        return main;
      });
      root.replaceChildren(style, ...parts);
    },
  };
}

/** Sends one file after another, and says how it goes. */
function makeSending(model, say) {
  const waiting = [];
  let [pause, busy] = [0, false];
  async function next() {
    const file = waiting[0];
    if (!file || busy) return;
    waiting.shift();
    busy = true;
    const bytes = await file.arrayBuffer();
    const parts = Math.max(1, Math.ceil(bytes.byteLength / PART));
    const more = waiting.length ? ` ${waiting.length} more wait.` : "";
    say(`Looking at ${file.name} … ${model.get("answers").length ? "" : FIRST}${more}`);
    pause = setTimeout(() => say(NOBODY), PATIENCE);
    for (let part = 0; part < parts; part += 1) {
      const piece = bytes.slice(part * PART, (part + 1) * PART);
      model.send({ name: file.name, part, parts }, undefined, [piece]);
    }
  }
  return {
    add(files) {
      waiting.push(...files);
      next();
    },
    heard: () => clearTimeout(pause),
    answered() {
      clearTimeout(pause);
      busy = false;
      say(waiting.length ? "" : "Answered below. Drop the next one.");
      next();
    },
    forget: () => clearTimeout(pause),
  };
}

function makeDoor(add) {
  const input = html("input", {
    type: "file", accept: "image/*", multiple: "", class: "unseen", "aria-label": "New pictures",
  });
  const door = html("label", { class: "door" },
    html("b", {}, "Drop a picture here"), html("span", {}, "or press to choose; several go too"),
    input);
  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = ""; // the same file may be chosen again
  });
  for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    door.addEventListener(kind, (event) => {
      event.preventDefault();
      event.stopPropagation(); // JupyterLab would open the file
      door.classList.toggle("over", over);
      if (kind === "drop") add([...event.dataTransfer.files]);
    });
  }
  return door;
}

function render({ model, el }) {
  const root = html("section", { class: "melnb-drop", "aria-label": "New pictures" },
    html("h3", {}, "A new picture"));
  el.append(root);
  if (model.get("advice")) {
    root.append(html("p", {}, model.get("advice")));
    return undefined;
  }
  const status = html("p", { class: "status", role: "status" });
  const answers = makeAnswers(model);
  const sending = makeSending(model, (text) => { status.textContent = text; });
  root.append(
    html("p", { class: "use" }, html("strong", {}, "Research use, not a medical device."),
      " It must not be used to diagnose a lesion, to decide on a biopsy or to reassure a patient."),
    makeDoor(sending.add), status, answers.node);
  const hear = (message) => message.heard !== undefined && sending.heard();
  const show = () => { answers.show(); sending.answered(); };
  model.on("msg:custom", hear);
  model.on("change:answers", show);
  root.addEventListener("keydown", (event) => event.stopPropagation());
  answers.show();
  return () => {
    sending.forget();
    model.off("msg:custom", hear);
    model.off("change:answers", show);
  };
}

export default { render };
