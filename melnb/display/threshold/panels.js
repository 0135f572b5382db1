// The histogram, the confusion matrix and the numbers in words.

const BINS = 64;
const LETTERS = { wide: 6.8, narrow: 10.4 }; // units of a histogram that a letter takes
const ticksOf = (scale) => scale.ticks.map((t) => [scale.place(t), short(t)]);

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
  let [scale, letter, sides] = [makeScale("linear", counts.scores), LETTERS.wide, []];
  drawing.follow((share) => chosen(scale.score(share)));
  /** Each count on its own side of the cut; without room for words, the number alone. */
  function tellSides() {
    const [at, ...counted] = sides;
    counted.forEach(([count, words], k) => {
      const [number, left] = [whole(count), k % 2];
      const length = (number.length + words.length + 3) * letter;
      const fits = left ? at - 8 - length > 20 : at + 8 + length < size.width;
      const said = fits ? `${number} ${words}` : number;
      tells[k].textContent = left ? `← ${said}` : `${said} →`;
      tells[k].setAttribute("x", clamp(at, 52, 618) + (left ? -8 : 8));
    });
  }
  new ResizeObserver(([{ contentRect }]) => {
    letter = contentRect.width < 611 ? LETTERS.narrow : LETTERS.wide; // as the style has it
    tellSides();
  }).observe(drawing.node);
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
      drawing.drawAxes(ticksOf(scale), [[0.5, ""]]);
    },
    mark(threshold, { tp, fp, fn, tn }) {
      const at = x(scale.place(threshold));
      place(clips[0].area, { x: at, width: 700 - at });
      place(clips[1].area, { width: at });
      place(cut, { x1: at, x2: at });
      grip.setAttribute("cx", at);
      sides = [at, [tp, "found"], [fn, "missed"], [fp, "false alarms"], [tn, "left alone"]];
      tellSides();
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
        const lines = [more].flat(); // a word, or several below each other
        facts[k][1].replaceChildren(...lines.flatMap((line, j) => (j ? [html("br"), line] : [line])));
      });
    },
  };
}
