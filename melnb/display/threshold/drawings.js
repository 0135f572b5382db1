// The threshold explorer's parts: elements that are built once and then only moved.

const [LEFT, RIGHT, TOP, BOTTOM] = [46, 14, 12, 42]; // margins of a drawing, in its own units
const BINS = 64;

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
  const node = html("div", { class: "control" }, name, box, range);
  if (note) node.append(note);
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
  function drawAxes(ticks) {
    axes.replaceChildren();
    for (const [at, text] of ticks) {
      axes.append(svg("line", { x1: x(at), x2: x(at), y1: y(0), y2: y(1) }));
      axes.append(svg("text", { x: x(at), y: y(0) + 16, "text-anchor": "middle" }, text));
    }
    for (const [at, text] of yTicks) {
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
  drawAxes(xTicks);
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

/** A curve with the operating point on it; `draw(points)` and `mark(x, y)` move its parts. */
function makeCurve(title, words, chosen) {
  const drawing = makeDrawing(title, { ...CURVE, ...words });
  const chance = svg("path", { class: "chance" });
  const [curve, guide] = [svg("path", { class: "curve" }), svg("path", { class: "guide" })];
  const [point, number] = [svg("circle", { class: "point", r: 6.5 }), svg("text", {})];
  place(number, { x: drawing.x(0.97), y: drawing.y(words.note), "text-anchor": "end", class: "note" });
  drawing.plot.append(chance, guide, curve, point, number);
  drawing.follow(chosen);
  const tenth = (units) => Math.round(10 * units) / 10;
  const path = (points) =>
    `M${points.map(([a, b]) => `${tenth(drawing.x(a))} ${tenth(drawing.y(b))}`).join("L")}`;
  return {
    node: drawing.node,
    draw(points, baseline, text) {
      curve.setAttribute("d", path(points));
      chance.setAttribute("d", path(baseline));
      number.textContent = text;
    },
    mark(a, b) {
      const shown = !Number.isNaN(b);
      place(point, { cx: drawing.x(a), cy: drawing.y(shown ? b : 0) });
      point.style.display = shown ? "" : "none";
      guide.setAttribute("d", shown ? path([[a, 0], [a, b], [0, b]]) : "");
    },
  };
}

/** Both classes' scores, positive above and other below, each as a share of its own class. */
function makeHistogram(counts, positive, label, chosen) {
  const size = { width: 660, height: 300, xTicks: [], yTicks: [[0.5, ""]], label };
  const words = { across: "Score", up: [[0.75, positive], [0.25, "Other"]] };
  const drawing = makeDrawing("Scores, as a share of each class", { ...size, ...words });
  const { x, y, plot } = drawing;
  const clips = ["flagged", "left"].map((side) => {
    const id = `melnb-${side}-${Math.random().toString(36).slice(2)}`;
    const area = svg("rect", { x: 0, y: 0, width: 0, height: 300 });
    plot.append(svg("clipPath", { id }, area));
    return { id, area };
  });
  const paths = ["positive", "negative"].flatMap((name) =>
    clips.map(({ id }, k) =>
      svg("path", { class: `${name} ${k ? "left" : "flagged"}`, "clip-path": `url(#${id})` })));
  const cut = svg("line", { class: "cut", y1: y(1), y2: y(0) });
  const grip = svg("circle", { class: "grip", r: 5, cy: y(1) });
  const tells = [0.95, 0.95, 0.02, 0.02].map((at, k) =>
    svg("text", { y: y(at), class: "note count", "text-anchor": k % 2 ? "end" : "start" }));
  plot.append(...paths, cut, grip, ...tells);
  let scale = makeScale("linear", counts.scores);
  drawing.follow((share) => chosen(scale.score(share)));
  const shape = (shares, peak, side) => {
    const corner = (k, share) => `${x(k / BINS)} ${y(0.5 + (side * 0.42 * share) / peak)}`;
    const steps = Array.from(shares, (share, k) => `${corner(k, share)}L${corner(k + 1, share)}`);
    return `M${x(0)} ${y(0.5)}L${steps.join("L")}L${x(1)} ${y(0.5)}Z`;
  };
  return {
    node: drawing.node,
    draw(next) {
      scale = next;
      const shares = [new Float64Array(BINS), new Float64Array(BINS)];
      for (let i = 0; i < counts.n; i += 1) {
        const bin = Math.min(BINS - 1, Math.floor(scale.place(counts.scores[i]) * BINS));
        shares[0][bin] += (counts.tp[i] - (i ? counts.tp[i - 1] : 0)) / counts.positives;
        shares[1][bin] += (counts.fp[i] - (i ? counts.fp[i - 1] : 0)) / counts.others;
      }
      paths.forEach((path, k) => {
        const half = shares[k >> 1]; // each half to its own peak: a spike would hide the other
        path.setAttribute("d", shape(half, Math.max(...half), k < 2 ? 1 : -1));
      });
      drawing.drawAxes(scale.ticks.map((t) => [scale.place(t), short(t)]));
    },
    mark(threshold, { tp, fp, fn, tn }) {
      const at = x(scale.place(threshold));
      place(clips[0].area, { x: at, width: 700 - at });
      place(clips[1].area, { width: at });
      place(cut, { x1: at, x2: at });
      grip.setAttribute("cx", at);
      const words = [`${whole(tp)} found →`, `← ${whole(fn)} missed`];
      words.push(`${whole(fp)} false alarms →`, `← ${whole(tn)} left alone`);
      tells.forEach((tell, k) => {
        tell.textContent = words[k];
        tell.setAttribute("x", clamp(at, 210, 500) + (k % 2 ? -8 : 8)); // never off the drawing
      });
    },
  };
}

/** The four counts as a table; a cell's tint is its share of the row. */
function makeConfusion(positive) {
  const cell = () => html("td", {}, html("b"), html("span"), html("span"));
  const cells = { tp: cell(), fn: cell(), fp: cell(), tn: cell() };
  const head = (text, scope) => html("th", { scope }, text);
  const node = html("table", { class: "confusion" }, html("caption", {}, "Confusion matrix"),
    html("tr", {}, html("td"), head("Flagged", "col"), head("Not flagged", "col")),
    html("tr", {}, head(positive, "row"), cells.tp, cells.fn),
    html("tr", {}, head("Other", "row"), cells.fp, cells.tn));
  const names = { tp: "found", fn: "missed", fp: "false alarms", tn: "left alone" };
  return {
    node,
    show(counts) {
      for (const [name, td] of Object.entries(cells)) {
        const row = name === "tp" || name === "fn" ? ["tp", "fn"] : ["fp", "tn"];
        const share = counts[name] / (counts[row[0]] + counts[row[1]]);
        td.firstChild.textContent = whole(counts[name]);
        td.children[1].textContent = names[name];
        td.lastChild.textContent = percent(share);
        td.className = name;
        td.style.setProperty("--share", `${(34 * share).toFixed(1)}%`);
      }
    },
  };
}

/** Names, large numbers and a word below each; `show` takes the last two. */
function makeFacts(title, names) {
  const facts = names.map((name) => [html("dd"), html("dd", { class: "small" }), name]);
  const node = html("div", { class: "drawing" }, html("figcaption", {}, title),
    html("div", { class: "facts" }, ...facts.map(([value, more, name]) =>
      html("dl", {}, html("dt", {}, name), value, more))));
  return {
    node,
    show(values) {
      values.forEach(([value, more], k) => {
        facts[k][0].textContent = value;
        facts[k][1].textContent = more;
      });
    },
  };
}
