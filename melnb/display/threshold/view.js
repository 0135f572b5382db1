// The threshold explorer's view: joins sliders, drawings and numbers to the model.

/** The four sliders; `act` is what they do, `show` sets all but the one that a hand is on. */
function makeControls(counts, own, act) {
  // Prevalence runs on a logarithmic axis that holds the data's own.
  const [least, most] = [Math.log(Math.min(0.0005, own)), Math.log(Math.max(0.5, own))];
  const share = (u) => Number(Math.exp(least + u * (most - least)).toPrecision(3));
  const reset = html("button", { type: "button", title: "Take the data's prevalence" },
    `data: ${percent(own)}`);
  reset.addEventListener("click", () => act.expect(own));
  const unit = { min: 0, max: 1, step: 0.001 };
  const hundred = { min: 0, max: 100, step: 0.1, unit: "%" };
  const bySensitivity = (hand) => (value) => act.cut(counts.forSensitivity(value / 100), hand);
  const bySpecificity = (hand) => (value) => act.cut(counts.forSpecificity(value / 100), hand);
  const [threshold, sensitivity, specificity, prevalence] = [
    makeControl("Threshold", unit,
      (u) => act.cut(act.scale().score(u), "threshold"), (value) => act.cut(value)),
    makeControl("Sensitivity", hundred, bySensitivity("sensitivity"), bySensitivity()),
    makeControl("Specificity", hundred, bySpecificity("specificity"), bySpecificity()),
    makeControl("Prevalence", { ...unit, unit: "%", note: reset },
      (u) => act.expect(share(u), "prevalence"), (value) => act.expect(value / 100)),
  ];
  const parts = [threshold, sensitivity, specificity, prevalence];
  return {
    node: html("div", { class: "controls" }, ...parts.map(({ node }) => node)),
    show({ cut, expected, rate }, hand) {
      const free = (name, value) => (name === hand ? null : value);
      const shown = (control, name, at, text) =>
        control.show(free(name, at), text.replace("%", ""), text);
      shown(threshold, "threshold", act.scale().place(cut), counts.written(cut));
      shown(sensitivity, "sensitivity", 100 * rate.sensitivity, percent(rate.sensitivity));
      shown(specificity, "specificity", 100 * rate.specificity, percent(rate.specificity));
      const spot = (Math.log(expected) - least) / (most - least);
      shown(prevalence, "prevalence", spot, percent(expected));
    },
  };
}

/** Both curves: the ROC curve is drawn once, the other again for each prevalence. */
function makeCurves(counts, act) {
  const roc = makeCurve("ROC curve", {
    across: "1 − specificity", up: [[0.5, "Sensitivity"]], note: 0.05,
    label: "ROC curve with the operating point",
  }, (at) => act.cut(counts.forSpecificity(1 - at)));
  const precision = makeCurve("Precision–recall curve", {
    across: "Sensitivity (recall)", up: [[0.5, "PPV (precision)"]], note: 0.92,
    label: "Precision-recall curve with the operating point",
  }, (at) => act.cut(counts.forSensitivity(at)));
  const rows = visibleRows(counts, CURVE.width - LEFT - RIGHT, CURVE.height - TOP - BOTTOM);
  const points = rows.map((i) => [counts.fp[i] / counts.others, counts.tp[i] / counts.positives]);
  const diagonal = [[0, 0], [1, 1]];
  roc.draw([[0, 0], ...points], diagonal, `AUC ${counts.auc().toFixed(3)}`);
  return {
    nodes: [roc.node, precision.node],
    drawFor(prevalence) {
      const drawn = points.map(([wrong, right]) => {
        const found = right * prevalence;
        return [right, found / (found + wrong * (1 - prevalence))];
      });
      const chance = [[0, prevalence], [1, prevalence]];
      const text = `prevalence ${percent(prevalence)}`;
      precision.draw([[0, drawn[0][1]], ...drawn], chance, text);
    },
    mark(rate) {
      roc.mark(1 - rate.specificity, rate.sensitivity);
      precision.mark(rate.sensitivity, rate.ppv);
    },
  };
}

/** Rates with their intervals, and the same in a sentence of whole images. */
function makeNumbers(counts, word) {
  const facts = makeFacts("At this threshold",
    ["Sensitivity", "Specificity", "PPV", "NPV", "Needed to biopsy", "Flagged"]);
  const sentence = html("p", { class: "sentence" });
  facts.node.append(sentence);
  const interval = (k, n) => wilson(k, n).map(percent).join(" – ");
  return {
    node: facts.node,
    sentence,
    show({ now, rate, expected }) {
      facts.show([
        [percent(rate.sensitivity), interval(now.tp, counts.positives)],
        [percent(rate.specificity), interval(now.tn, counts.others)],
        [percent(rate.ppv), "of flagged are positive"],
        [percent(rate.npv), "of the rest are not"],
        [Number.isFinite(rate.nnb) ? few(rate.nnb) : "–", "flagged for each found"],
        [percent(rate.flagged), `at prevalence ${percent(expected)}`],
      ]);
      const thousand = 10 ** Math.max(3, 1 - Math.floor(Math.log10(expected)));
      const [all, found, missed, alarms] =
        [expected, rate.found, rate.missed, rate.alarms].map((share) => few(thousand * share));
      sentence.textContent = `Of ${whole(thousand)} images, ${all} are ${word}: `
        + `${found} of them are flagged, ${missed} missed. ${alarms} other images are flagged too.`;
    },
  };
}

/** A menu that says how scores lie on their axis. */
function makeAxisMenu(kind, rescale) {
  const names = ["linear", "logit"].map((name) => html("option", { value: name }, name));
  const menu = html("select", { "aria-label": "Axis of scores" }, ...names);
  menu.value = kind;
  menu.addEventListener("change", () => rescale(menu.value));
  return html("label", {}, "axis ", menu);
}

function render({ model, el }) {
  const counts = readCounts(model);
  const [positive, title] = [model.get("positive"), model.get("title")];
  const word = positive.toLowerCase();
  const n = counts.positives + counts.others;
  const own = counts.positives / n; // the data's prevalence
  let [cut, expected] = [model.get("threshold"), model.get("prevalence")];
  let scale = makeScale(model.get("scale"), counts.scores);

  const act = {
    scale: () => scale,
    cut(value, hand) {
      cut = clamp(value, 0, ABOVE_ONE);
      follow(hand);
      tell("threshold", cut);
    },
    expect(value, hand) {
      expected = clamp(value, 1e-5, 0.99);
      curves.drawFor(expected);
      follow(hand);
      tell("prevalence", expected);
    },
  };
  const controls = makeControls(counts, own, act);
  const curves = makeCurves(counts, act);
  const label = "Histogram of scores by class with the threshold";
  const histogram = makeHistogram(counts, positive, label, (value) => act.cut(value));
  const confusion = makeConfusion(positive);
  const numbers = makeNumbers(counts, word);
  const spoken = html("p", { class: "unseen", role: "status" });

  let pause = 0;
  /** Make every part show the threshold and the prevalence; `hand` names the slider that moves. */
  function follow(hand) {
    const now = counts.at(cut);
    const state = { cut, expected, now, rate: rates(now, expected) };
    controls.show(state, hand);
    curves.mark(state.rate);
    histogram.mark(cut, now);
    confusion.show(now);
    numbers.show(state);
    clearTimeout(pause); // a screen reader hears where the slider rests, not each step
    pause = setTimeout(() => { spoken.textContent = numbers.sentence.textContent; }, 700);
  }
  function rescale(kind) {
    scale = makeScale(kind, counts.scores);
    histogram.draw(scale);
    follow();
  }
  function tell(name, value) {
    model.set(name, value);
    model.save_changes();
  }
  function hear() {
    const [told, meant] = [model.get("threshold"), model.get("prevalence")];
    if (told === cut && meant === expected) return; // our own words come back
    [cut, expected] = [told, meant];
    curves.drawFor(expected);
    follow();
  }

  const about = `${whole(n)} images, ${whole(counts.positives)} ${word} (${percent(own)}). `
    + "Wilson 95% intervals.";
  histogram.node.firstChild.append(makeAxisMenu(model.get("scale"), rescale));
  const root = html("section", { class: "melnb-threshold", "aria-label": title },
    html("header", {}, html("h3", {}, title), html("p", {}, about)), controls.node,
    html("div", { class: "panels" }, ...curves.nodes, html("div", {}, confusion.node),
      histogram.node, numbers.node), spoken);
  // JupyterLab would take arrow keys and letters for its own commands.
  root.addEventListener("keydown", (event) => event.stopPropagation());
  model.on("change:threshold", hear);
  model.on("change:prevalence", hear);
  curves.drawFor(expected);
  rescale(model.get("scale"));
  el.append(root);
  return () => {
    clearTimeout(pause);
    model.off("change:threshold", hear);
    model.off("change:prevalence", hear);
  };
}

export default { render };
