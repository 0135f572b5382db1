// Elements that are built once and then only moved: sliders, drawings, curves, keys.

const [LEFT, RIGHT, TOP, BOTTOM] = [46, 14, 12, 42]; // margins of a drawing, in its own units

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children); // text is appended as text: no name is ever read as markup
  return node;
}
const html = (tag, attributes = {}, ...children) =>
  build(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const place = (node, attributes) => build(node, attributes, []);

/** A slider with a number beside it; `moved(value)` hears either, `show(…)` sets both. */
function makeControl(title, { min, max, step, unit = "", note = "" }, moved, typed) {
  const name = html("span", { class: "control-name" }, title);
  const range = html("input", { type: "range", min, max, step, "aria-label": title });
  const number = html("input", { type: "number", step: "any", "aria-label": `${title}, typed` });
  const box = html("span", { class: "control-number" }, number, unit);
  const node = html("div", { class: "control" }, name, note, box, range);
  range.addEventListener("input", () => moved(Number(range.value)));
  number.addEventListener("change", () => number.value !== "" && typed(Number(number.value)));
  return {
    node, range,
    show(at, text, spoken) {
      if (at !== null) range.value = at; // null: the hand is on this slider
      number.value = text;
      range.setAttribute("aria-valuetext", spoken);
    },
  };
}

/** A drawing with two axes; its parts go into `plot`, `x` and `y` take shares from 0 to 1. */
function makeDrawing(title, { width, height, across, up, xTicks, yTicks, label }) {
  const [inner, tall] = [width - LEFT - RIGHT, height - TOP - BOTTOM];
  const x = (share) => LEFT + inner * share;
  const y = (share) => TOP + tall * (1 - share);
  const [axes, plot] = [svg("g", { class: "axes" }), svg("g", {})];
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  root.append(axes, plot);
  function drawAxes(ticksAcross, ticksUp) {
    axes.replaceChildren();
    for (const [at, text] of ticksAcross) {
      axes.append(svg("line", { x1: x(at), x2: x(at), y1: y(0), y2: y(1) }));
      axes.append(svg("text", { x: x(at), y: y(0) + 16, "text-anchor": "middle" }, text));
    }
    for (const [at, text] of ticksUp) {
      axes.append(svg("line", { x1: x(0), x2: x(1), y1: y(at), y2: y(at) }));
      axes.append(svg("text", { x: LEFT - 7, y: y(at) + 4, "text-anchor": "end" }, text));
    }
    const middle = { "text-anchor": "middle", class: "axis-title" };
    axes.append(svg("text", { x: x(0.5), y: height - 6, ...middle }, across));
    for (const [at, text] of up) {
      const turned = `translate(12 ${y(at)}) rotate(-90)`;
      axes.append(svg("text", { transform: turned, ...middle }, text));
    }
  }
  drawAxes(xTicks, yTicks);
  const node = html("figure", { class: "drawing" }, html("figcaption", {}, title), root);
  /** Let the pointer choose: `chosen(share)` hears how far across it is pressed or dragged. */
  function follow(chosen) {
    const hear = (event) => {
      const box = root.getBoundingClientRect();
      const units = ((event.clientX - box.left) / box.width) * width;
      chosen(clamp((units - LEFT) / inner, 0, 1));
    };
    root.addEventListener("pointerdown", (event) => {
      root.setPointerCapture(event.pointerId);
      hear(event);
    });
    root.addEventListener("pointermove", (event) => event.buttons & 1 && hear(event));
  }
  return { node, plot, x, y, drawAxes, follow };
}

const QUARTERS = [0, 0.25, 0.5, 0.75, 1].map((share) => [share, String(share)]);
const CURVE = { width: 320, height: 300, xTicks: QUARTERS, yTicks: QUARTERS };

/** Points, shares from 0 to 1 across and up, as the path of a drawing. */
function pathOf(drawing, points) {
  const tenth = (units) => Math.round(10 * units) / 10;
  return `M${points.map(([a, b]) => `${tenth(drawing.x(a))} ${tenth(drawing.y(b))}`).join("L")}`;
}

/** A curve with the operating point on it; `draw(points)` and `mark(x, y)` move its parts. */
function makeCurve(title, words, chosen) {
  const drawing = makeDrawing(title, { ...CURVE, ...words });
  const line = (name) => svg("path", { class: name });
  const [chance, second, curve, guide] = ["chance", "second", "curve", "guide"].map(line);
  const point = svg("circle", { class: "point", r: 6.5 });
  drawing.plot.append(chance, guide, second, curve, point);
  const notes = words.notes.map((at) =>
    svg("text", { x: drawing.x(0.97), y: drawing.y(at), "text-anchor": "end", class: "note" }));
  drawing.plot.append(...notes);
  drawing.follow(chosen);
  return {
    node: drawing.node,
    draw(points, baseline, texts) {
      curve.setAttribute("d", pathOf(drawing, points));
      chance.setAttribute("d", pathOf(drawing, baseline));
      texts.forEach((text, k) => { notes[k].textContent = text; });
    },
    /** The curve of a second run, dashed. */
    drawSecond(points) {
      second.setAttribute("d", pathOf(drawing, points));
    },
    mark(a, b) {
      const shown = !Number.isNaN(b);
      place(point, { cx: drawing.x(a), cy: drawing.y(shown ? b : 0) });
      point.style.display = shown ? "" : "none";
      guide.setAttribute("d", shown ? pathOf(drawing, [[a, 0], [a, b], [0, b]]) : "");
    },
  };
}

/** What each line of a drawing is, with a number that moves: `show(texts)`. */
function makeKey(names) {
  const values = names.map(() => html("b"));
  const entry = ([name, dash], k) =>
    html("span", {}, html("i", { class: `dash ${dash}` }), `${name} `, values[k]);
  const node = html("p", { class: "key" }, ...names.map(entry));
  return { node, show: (texts) => texts.forEach((text, k) => { values[k].textContent = text; }) };
}
