// The report's own script: draws the figures, wakes the explorers, follows light and dark.

const data = (script) => JSON.parse(script.textContent);
const { config, ...templates } = data(document.getElementById("templates"));
const root = document.documentElement;
const night = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ?? (night.matches ? "dark" : "light")) === "dark";
const figures = [...document.querySelectorAll("script[data-figure]")].map((script) => ({
  ...data(script), node: document.getElementById(script.dataset.figure),
}));

/** Beside a drawing on a telephone a legend would leave it no room. */
function besides(node, layout) {
  if (node.clientWidth >= 560 || layout.legend?.x !== undefined) return layout;
  return { ...layout, legend: { ...layout.legend, orientation: "h", x: 0, y: -0.25, yanchor: "top" } };
}
function draw({ node, data: traces, layout }) {
  const template = templates[isDark() ? "dark" : "light"];
  Plotly.newPlot(node, traces, { ...besides(node, layout), template }, config)
    .then(() => breakTitles(node, layout));
}
/** Plotly cuts a title that is wider than its drawing: it is broken in its middle instead. */
function breakTitles(node, layout) {
  const edge = node.getBoundingClientRect().right;
  for (const axis of Object.keys(layout).filter((name) => name.startsWith("xaxis"))) {
    const shown = node.querySelector(`.g-${axis.replace("axis", "")}title`);
    const words = (layout[axis].title?.text ?? "").split(" ");
    if (!shown || words.length < 2 || shown.getBoundingClientRect().right <= edge) continue;
    const half = Math.ceil(words.length / 2);
    const text = `${words.slice(0, half).join(" ")}<br>${words.slice(half).join(" ")}`;
    Plotly.relayout(node, { [`${axis}.title.text`]: text });
  }
}
// What lies folded has no width to draw in: it waits until it is opened.
const isFolded = (node) => Boolean(node.closest("details:not([open])"));
for (const figure of figures) if (!isFolded(figure.node)) draw(figure);
for (const details of document.querySelectorAll("details")) {
  details.addEventListener("toggle", () => {
    for (const figure of figures) if (details.open && details.contains(figure.node)) draw(figure);
  }, { once: true });
}
// A link to what lies folded opens it.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.localName === "details") target.open = true;
}
addEventListener("hashchange", unfold);
for (const link of document.querySelectorAll('a[href^="#appendix-"]')) {
  link.addEventListener("click", () => setTimeout(unfold));
}
unfold();

function paint(name) {
  for (const { node } of figures) {
    if (!isFolded(node)) Plotly.relayout(node, { template: templates[name] });
  }
}
const button = document.getElementById("theme");
function settle() {
  button.textContent = isDark() ? "Light" : "Dark";
  paint(isDark() ? "dark" : "light");
}
button.hidden = false;
button.textContent = isDark() ? "Light" : "Dark";
button.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  settle();
});
night.addEventListener("change", settle);
// Plotly's drawings do not follow the paper: they are drawn as wide as it is.
const [PAPER, HALF] = [690, 336];
addEventListener("beforeprint", () => {
  for (const { node } of figures) {
    const width = node.closest(".block, .narrow") ? HALF : PAPER;
    if (!isFolded(node)) Plotly.relayout(node, { template: templates.light, autosize: false, width });
  }
});
addEventListener("afterprint", () => {
  settle();
  for (const { node } of figures) if (!isFolded(node)) Plotly.relayout(node, { autosize: true, width: null });
});

/** What a widget's module asks of its model, without a kernel behind it. */
function makeModel({ values, data: codes }) {
  const bytes = (code) => new DataView(Uint8Array.from(atob(code), (c) => c.charCodeAt(0)).buffer);
  const packed = Object.entries(codes).map(([name, code]) => [name, bytes(code)]);
  const state = { ...values, data: Object.fromEntries(packed) };
  const heard = {};
  return {
    get: (name) => state[name],
    set(name, value) {
      state[name] = value;
      for (const hear of heard[`change:${name}`] ?? []) hear();
    },
    on: (event, hear) => (heard[event] ??= []).push(hear),
    off() {},
    save_changes() {},
  };
}

const widgets = {}; // by the name of their module, imported once
function widgetOf(name) {
  const text = data(document.getElementById(name));
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  return import(address).then((module) => module.default);
}
let home = document.getElementById("answer");
for (const script of document.querySelectorAll("script[data-explorer]")) {
  const widget = await (widgets[script.dataset.module] ??= widgetOf(script.dataset.module));
  const el = document.getElementById(script.dataset.explorer);
  const answer = script.dataset.module === "explorer-module" ? home : null;
  home = answer ? null : home; // the first explorer alone moves it
  await widget.render({ model: makeModel(data(script)), el, answer });
}
root.dataset.ready = "yes";
