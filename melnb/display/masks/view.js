// The mask explorer's view: joins sliders, the picture and the numbers to the model.

async function readImage(data, place, words) {
  const view = data[`picture${place}`];
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const planes = await readPlanes(data, place, words);
  const lines = planes.truth ? outlinesOf(planes.truth, words) : [];
  return { ...words, ...planes, picture, lines };
}

const MEASURED = ["Jaccard index", "Dice", "Sensitivity", "Specificity", "Predicted area",
  "True area"];

/** What the masks share, in numbers and in a sentence. */
function makeMeasures(least) {
  const facts = makeFacts("How well they match", MEASURED);
  const sentence = html("p", { class: "sentence" });
  facts.node.append(sentence);
  const pixels = (count, n) => [percent(count / n), `${whole(count)} of ${whole(n)} pixels`];
  return {
    node: facts.node, sentence,
    show(truth, called) {
      const n = called.length;
      const area = called.reduce((sum, own) => sum + own, 0);
      const unknown = ["–", "the true mask is not known"];
      if (!truth) {
        facts.show(MEASURED.map((name) => (name === "Predicted area" ? pixels(area, n) : unknown)));
        sentence.textContent = `The lesion covers ${percent(area / n)} of the picture.`;
        return;
      }
      const found = overlapOf(truth, called);
      const counted = found.jaccard >= least ? `counts: ${least} or more` : `counts as 0: below ${least}`;
      facts.show([
        [found.jaccard.toFixed(3), counted], [found.dice.toFixed(3), "of both areas' mean"],
        [percent(found.sensitivity), "of the lesion is found"],
        [percent(found.specificity), "of the rest is left alone"],
        pixels(area, n), pixels(found.tp + found.fn, n),
      ]);
      sentence.textContent = `Shared: ${whole(found.tp)} pixels. Missed: ${whole(found.fn)}. `
        + `Beyond the lesion: ${whole(found.fp)}.`;
    },
  };
}

/** A menu of the images, and a button on either side. */
function makeMenu(images, choose) {
  const options = images.map(({ id }, k) => html("option", { value: k }, id));
  const menu = html("select", { "aria-label": "Image" }, ...options);
  const step = (title, text, by) => {
    const button = html("button", { type: "button", title, "aria-label": title }, text);
    button.addEventListener("click", () =>
      choose((Number(menu.value) + by + images.length) % images.length));
    return button;
  };
  menu.addEventListener("change", () => choose(Number(menu.value)));
  const ends = [step("Previous image", "‹", -1), step("Next image", "›", 1)];
  const node = html("div", { class: "images" }, ends[0], menu, ends[1]);
  return { node, show: (place) => { menu.value = place; } };
}

function makeLegend() {
  const entry = (name, words) => html("span", {}, html("i", { class: `line ${name}` }), words);
  return html("p", { class: "key" }, entry("truth", "true"), entry("predicted", "predicted"));
}

async function render({ model, el }) {
  const [words, data] = [model.get("words"), model.get("data")];
  const state = {};
  const names = ["threshold", "smoothing", "image"];
  for (const name of names) state[name] = model.get(name);
  const images = new Map(); // read when they are first looked at
  let [blur, waiting, gone] = [{}, 0, false];
  const change = (name, value) => {
    state[name] = value;
    follow();
    model.set(name, value);
    model.save_changes();
  };
  const control = (title, name, max, step) => {
    const hear = (value) => change(name, clamp(value, 0, max));
    return makeControl(title, { min: 0, max, step }, hear, hear);
  };
  const threshold = control("Threshold", "threshold", 1, 0.01);
  const smoothing = control("Smoothing", "smoothing", words.most, 0.1);
  const menu = makeMenu(words.images, (place) => change("image", place));
  const canvas = makeCanvas("Picture with the true and the predicted outline");
  const measures = makeMeasures(words.least);
  const spoken = html("p", { class: "unseen", role: "status" });
  const root = html("section", { class: "melnb-threshold melnb-masks", "aria-label": words.title },
    html("header", {}, html("h3", {}, words.title), menu.node),
    html("div", { class: "controls" }, threshold.node, smoothing.node),
    html("div", { class: "panels" },
      html("div", { class: "picture" }, canvas.node, makeLegend()),
      html("div", { class: "numbers" }, measures.node)),
    spoken);
  let pause = 0;

  async function draw() {
    waiting = 0;
    const place = state.image;
    if (!images.has(place)) images.set(place, readImage(data, place, words.images[place]));
    const image = await images.get(place);
    if (gone || place !== state.image) return; // another was chosen meanwhile
    const deviation = (state.smoothing * Math.max(image.width, image.height)) / words.reference;
    if (blur.place !== place || blur.deviation !== deviation) {
      blur = { place, deviation, plane: blurred(image.probability, image, deviation) };
    }
    const called = lesionOf(blur.plane, image, state.threshold);
    const predicted = outlinesOf(called, image, blur.plane, state.threshold);
    canvas.show(image.picture, image, { truth: image.lines, predicted });
    measures.show(image.truth, called);
    root.dataset.shown = JSON.stringify(state);
    clearTimeout(pause); // a screen reader hears where the slider rests, not each step
    pause = setTimeout(() => { spoken.textContent = measures.sentence.textContent; }, 700);
  }
  function follow() {
    const shown = (value) => String(Number(value.toFixed(4)));
    threshold.show(state.threshold, shown(state.threshold), shown(state.threshold));
    smoothing.show(state.smoothing, shown(state.smoothing), shown(state.smoothing));
    menu.show(state.image);
    // Once a frame, however often the hand moves.
    if (!waiting) waiting = requestAnimationFrame(draw);
  }
  function hear() {
    const told = names.map((name) => model.get(name));
    if (told.every((value, k) => value === state[names[k]])) return; // our own words come back
    names.forEach((name, k) => { state[name] = told[k]; });
    follow();
  }

  // JupyterLab would take arrow keys and letters for its own commands.
  root.addEventListener("keydown", (event) => event.stopPropagation());
  for (const name of names) model.on(`change:${name}`, hear);
  el.append(root);
  const watcher = new ResizeObserver(follow);
  watcher.observe(canvas.node);
  follow();
  return () => {
    gone = true;
    clearTimeout(pause);
    watcher.disconnect();
    for (const name of names) model.off(`change:${name}`, hear);
  };
}

export default { render };
