// The threshold explorer's view: joins sliders, drawings and numbers to the model.

function render({ model, el }) {
  const counts = readCounts(model);
  const positive = model.get("positive");
  const word = positive.toLowerCase();
  const own = counts.positives / (counts.positives + counts.others); // the data's prevalence
  let [threshold, prevalence] = [model.get("threshold"), model.get("prevalence")];
  let scale = makeScale(model.get("scale"), counts.scores);

  function tell(name, value) {
    model.set(name, value);
    model.save_changes();
  }
  function cutAt(value, hand) {
    threshold = clamp(value, 0, ABOVE_ONE);
    follow(hand);
    tell("threshold", threshold);
  }
  function expect(value, hand) {
    prevalence = clamp(value, 1e-5, 0.99);
    drawPrecision();
    follow(hand);
    tell("prevalence", prevalence);
  }

  // Prevalence runs on a logarithmic axis that holds the data's own.
  const [least, most] = [Math.log(Math.min(0.0005, own)), Math.log(Math.max(0.5, own))];
  const share = (u) => Number(Math.exp(least + u * (most - least)).toPrecision(3));
  const reset = html("button", { type: "button", title: "Take the data's prevalence" },
    `data: ${percent(own)}`);
  const unit = { min: 0, max: 1, step: 0.001 };
  const hundred = { min: 0, max: 100, step: 0.1, unit: "%" };
  const bySensitivity = (hand) => (value) => cutAt(counts.forSensitivity(value / 100), hand);
  const bySpecificity = (hand) => (value) => cutAt(counts.forSpecificity(value / 100), hand);
  const controls = {
    threshold: makeControl("Threshold", unit,
      (u) => cutAt(scale.score(u), "threshold"), (value) => cutAt(value)),
    sensitivity: makeControl("Sensitivity", hundred,
      bySensitivity("sensitivity"), bySensitivity()),
    specificity: makeControl("Specificity", hundred,
      bySpecificity("specificity"), bySpecificity()),
    prevalence: makeControl("Prevalence", { ...unit, unit: "%", note: reset },
      (u) => expect(share(u), "prevalence"), (value) => expect(value / 100)),
  };
  reset.addEventListener("click", () => expect(own));

  const roc = makeCurve("ROC curve", {
    across: "1 − specificity", up: [[0.5, "Sensitivity"]], note: 0.05,
    label: "ROC curve with the operating point",
  }, (at) => cutAt(counts.forSpecificity(1 - at)));
  const precision = makeCurve("Precision–recall curve", {
    across: "Sensitivity (recall)", up: [[0.5, "PPV (precision)"]], note: 0.92,
    label: "Precision-recall curve with the operating point",
  }, (at) => cutAt(counts.forSensitivity(at)));
  const label = "Histogram of scores by class with the threshold";
  const histogram = makeHistogram(counts, positive, label, (value) => cutAt(value));
  const confusion = makeConfusion(positive);
  const facts = makeFacts("At this threshold",
    ["Sensitivity", "Specificity", "PPV", "NPV", "Needed to biopsy", "Flagged"]);
  const sentence = html("p", { class: "sentence" });
  const spoken = html("p", { class: "unseen", role: "status" });

  const rows = visibleRows(counts, CURVE.width - LEFT - RIGHT, CURVE.height - TOP - BOTTOM);
  const points = rows.map((i) => [counts.fp[i] / counts.others, counts.tp[i] / counts.positives]);
  const diagonal = [[0, 0], [1, 1]];
  roc.draw([[0, 0], ...points], diagonal, `AUC ${counts.auc().toFixed(3)}`);
  function drawPrecision() {
    const drawn = points.map(([wrong, right]) => {
      const found = right * prevalence;
      return [right, found / (found + wrong * (1 - prevalence))];
    });
    drawn.unshift([0, drawn[0][1]]);
    const chance = [[0, prevalence], [1, prevalence]];
    precision.draw(drawn, chance, `prevalence ${percent(prevalence)}`);
  }

  let pause = 0;
  /** Make every part show the threshold and the prevalence; `hand` names the slider being moved. */
  function follow(hand) {
    const now = counts.at(threshold);
    const rate = rates(now, prevalence);
    const at = (name, value) => (name === hand ? null : value);
    const spot = (Math.log(prevalence) - least) / (most - least);
    const shown = [percent(rate.sensitivity), percent(rate.specificity), percent(prevalence)];
    const bare = shown.map((text) => text.slice(0, -1));
    controls.threshold.show(at("threshold", scale.place(threshold)), counts.written(threshold),
      counts.written(threshold));
    controls.sensitivity.show(at("sensitivity", 100 * rate.sensitivity), bare[0], shown[0]);
    controls.specificity.show(at("specificity", 100 * rate.specificity), bare[1], shown[1]);
    controls.prevalence.show(at("prevalence", spot), bare[2], shown[2]);
    roc.mark(1 - rate.specificity, rate.sensitivity);
    precision.mark(rate.sensitivity, rate.ppv);
    histogram.mark(threshold, now);
    confusion.show(now);
    const interval = (k, n) => wilson(k, n).map(percent).join(" – ");
    facts.show([
      [shown[0], interval(now.tp, counts.positives)],
      [shown[1], interval(now.tn, counts.others)],
      [percent(rate.ppv), "of flagged are positive"],
      [percent(rate.npv), "of the rest are not"],
      [Number.isFinite(rate.nnb) ? few(rate.nnb) : "–", "flagged for each found"],
      [percent(rate.flagged), `at prevalence ${shown[2]}`],
    ]);
    const thousand = 10 ** Math.max(3, 1 - Math.floor(Math.log10(prevalence)));
    sentence.textContent = `Of ${whole(thousand)} images, ${few(thousand * prevalence)} are `
      + `${word}: ${few(thousand * rate.found)} of them are flagged, `
      + `${few(thousand * rate.missed)} missed. `
      + `${few(thousand * rate.alarms)} other images are flagged too.`;
    clearTimeout(pause); // a screen reader hears where the slider rests, not each step
    pause = setTimeout(() => { spoken.textContent = sentence.textContent; }, 700);
  }

  function rescale(kind) {
    scale = makeScale(kind, counts.scores);
    histogram.draw(scale);
    follow();
  }
  const axis = html("select", { "aria-label": "Axis of scores" },
    html("option", { value: "linear" }, "linear"), html("option", { value: "logit" }, "logit"));
  axis.value = model.get("scale");
  axis.addEventListener("change", () => rescale(axis.value));
  histogram.node.firstChild.append(html("label", {}, "axis ", axis));

  const total = `${whole(counts.positives + counts.others)} images, ${whole(counts.positives)} `
    + `${word} (${percent(own)}). Wilson 95% intervals.`;
  const panels = html("div", { class: "panels" }, roc.node, precision.node,
    html("div", {}, confusion.node), histogram.node, facts.node);
  facts.node.append(sentence);
  const root = html("section", { class: "melnb-threshold", "aria-label": model.get("title") },
    html("header", {}, html("h3", {}, model.get("title")), html("p", {}, total)),
    html("div", { class: "controls" }, ...Object.values(controls).map(({ node }) => node)),
    panels, spoken);
  // JupyterLab would take arrow keys and letters for its own commands.
  root.addEventListener("keydown", (event) => event.stopPropagation());

  function hear() {
    const [cut, expected] = [model.get("threshold"), model.get("prevalence")];
    if (cut === threshold && expected === prevalence) return; // our own words come back
    [threshold, prevalence] = [cut, expected];
    drawPrecision();
    follow();
  }
  model.on("change:threshold", hear);
  model.on("change:prevalence", hear);
  drawPrecision();
  rescale(axis.value);
  el.append(root);
  return () => {
    clearTimeout(pause);
    model.off("change:threshold", hear);
    model.off("change:prevalence", hear);
  };
}

export default { render };
