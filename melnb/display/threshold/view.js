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
function makeCurves(counts, pair, act) {
  const roc = makeCurve("ROC curve", {
    across: "1 − specificity", up: [[0.5, "Sensitivity"]], notes: [0.05, 0.13],
    label: "ROC curve with the operating point",
  }, (at) => act.cut(counts.forSpecificity(1 - at)));
  const precision = makeCurve("Precision–recall curve", {
    across: "Sensitivity (recall)", up: [[0.5, "PPV (precision)"]], notes: [0.92],
    label: "Precision-recall curve with the operating point",
  }, (at) => act.cut(counts.forSensitivity(at)));
  const pointsOf = (run) => visibleRows(run, CURVE.width - LEFT - RIGHT, CURVE.height - TOP - BOTTOM)
    .map((i) => [run.fp[i] / run.others, run.tp[i] / run.positives]);
  const points = pointsOf(counts);
  const second = pair ? pointsOf(pair.other) : [];
  const areas = [`AUC ${counts.auc().toFixed(3)}`];
  if (pair) areas.push(`– – ${pair.name} ${pair.other.auc().toFixed(3)}`);
  roc.draw([[0, 0], ...points], [[0, 0], [1, 1]], areas);
  if (pair) roc.drawSecond([[0, 0], ...second]);
  const precise = (places, prevalence) => {
    const drawn = places.map(([wrong, right]) => {
      const found = right * prevalence;
      return [right, found / (found + wrong * (1 - prevalence))];
    });
    return [[0, drawn[0][1]], ...drawn];
  };
  return {
    nodes: [roc.node, precision.node],
    drawFor(prevalence) {
      const chance = [[0, prevalence], [1, prevalence]];
      precision.draw(precise(points, prevalence), chance, [`prevalence ${percent(prevalence)}`]);
      if (pair) precision.drawSecond(precise(second, prevalence));
    },
    mark(rate) {
      roc.mark(1 - rate.specificity, rate.sensitivity);
      precision.mark(rate.sensitivity, rate.ppv);
    },
  };
}

/** Rates with their intervals, and the same in a sentence of whole images, lesions or patients. */
function makeNumbers(limits, own, { word, unit }) {
  const facts = makeFacts("At this fixed threshold",
    ["Sensitivity", "Specificity", "PPV", "NPV", "Needed to biopsy", "Flagged"]);
  const sentence = html("p", { class: "sentence" });
  const anew = html("p", { class: "sentence anew" });
  facts.node.append(sentence, anew);
  return {
    node: facts.node,
    sentence,
    show(state) {
      const { now, rate, expected } = state;
      const at = own(state);
      const stated = (name, more, written) =>
        (at ? [between(at.limits[name], written), more] : [more]).filter(Boolean);
      facts.show([
        [percent(rate.sensitivity), [between(limits.sensitivity(now.tp))]],
        [percent(rate.specificity), [between(limits.specificity(now.fp))]],
        [percent(rate.ppv), stated("ppv", "of flagged are positive")],
        [percent(rate.npv), stated("npv", "of the rest are not")],
        [Number.isFinite(rate.nnb) ? few(rate.nnb) : "–",
          stated("number_needed_to_biopsy", "flagged for each found", few)],
        [percent(rate.flagged), stated("flagged", `at prevalence ${percent(expected)}`)],
      ]);
      anew.textContent = at?.anew ? anewWords(at.limits, unit) : "";
      const { thousand, all, found, missed, alarms } = wholeImages(rate, expected);
      sentence.textContent = `Of ${counted(thousand, unit)}, ${whole(all)} ${isAre(all)} ${word}: `
        + `${whole(found)} of them ${isAre(found)} flagged, ${whole(missed)} missed. `
        + `${counted(alarms, `other ${unit}`)} ${isAre(alarms)} flagged too.`;
    },
  };
}

/** How wide the report's intervals are, which know that these rows chose the threshold. */
function anewWords(limits, unit) {
  const wide = ["sensitivity", "specificity"].map((name) => `${name} ${between(limits[name].slice(2))}`);
  return `With the choice of the threshold, which other ${unit}s would make otherwise: ${wide.join(", ")}.`;
}

/** A menu that says how scores lie on their axis. */
function makeAxisMenu(kind, rescale) {
  const names = ["linear", "logit"].map((name) => html("option", { value: name }, name));
  const menu = html("select", { "aria-label": "Axis of scores" }, ...names);
  menu.value = kind;
  menu.addEventListener("change", () => rescale(menu.value));
  return html("label", {}, "axis ", menu);
}

/**
 * Every part of the page, and what makes it show a threshold and a prevalence. Where the page has
 * an answer on top, the ROC curve stands there.
 */
function makeParts(model, { counts, limits, groups, pair }, act, home) {
  const words = model.get("words");
  const { positive, title, unit } = words;
  const word = positive.toLowerCase();
  const n = counts.positives + counts.others;
  const name = pair && pair.name === words.choice.run ? "this run" : words.choice.run;
  const controls = makeControls(counts, counts.positives / n, act);
  const curves = makeCurves(counts, pair, act);
  const label = "Histogram of scores by class with the threshold";
  const histogram = makeHistogram(counts, positive, label, (value) => act.cut(value));
  const confusion = makeConfusion(positive);
  /** The report's own point with its limits, if it is the one that is shown. */
  const own = ({ cut, expected }) => (words.point && expected === words.point.prevalence
    && counts.rank(cut) === counts.rank(words.point.threshold) ? words.point : null);
  const numbers = makeNumbers(limits, own, { word, unit });
  const benefit = words.kind === "probability" ? makeBenefit(counts, act) : makeNoBenefit();
  const byGroup = groups.length ? makeGroups(groups, words, () => act.follow()) : null;
  const twoRuns = pair ? makePair(pair, name, { word, unit }) : null;
  const errors = makeErrors(words.candidates, act.choose);
  const saving = makeSaving(model, () => choiceOf(words.choice, act.state()));
  histogram.node.firstChild.append(makeAxisMenu(words.scale, act.rescale));

  const about = `${counted(n, unit)}, ${whole(counts.positives)} ${word} `
    + `(${percent(counts.positives / n)}). At each fixed threshold: ${words.intervals}.`;
  const panel = (part, name) => part && html("div", { class: `panel ${name}` }, part.node);
  const [roc, precision] = curves.nodes;
  const facts = { counts, limits, point: words.point, word, unit, own };
  const answer = home && makeAnswer(home, facts, act, roc);
  const drawn = answer ? [precision] : [roc, precision];
  const panels = [...drawn.map((node) => panel({ node }, "curve-panel")),
    panel(confusion, "confusion-panel"), panel(histogram, "wide histogram-panel"),
    panel(numbers, "numbers-panel"), panel(benefit, "benefit-panel"),
    panel(byGroup, "wide groups-panel"), panel(twoRuns, "runs"),
    panel(errors, "errors-panel")].filter(Boolean);
  const kinds = ["melnb-threshold", ...(groups.length ? ["with-groups"] : []),
    ...(pair ? ["with-runs"] : []), ...(answer ? ["below-answer"] : [])];
  const spoken = html("p", { class: "unseen", role: "status" });
  const root = html("section", { class: kinds.join(" "), "aria-label": title },
    html("header", {}, html("h3", {}, title), html("p", {}, about), saving.node),
    controls.node, html("div", { class: "panels" }, ...panels), spoken);
  let pause = 0;
  return {
    root,
    drawFor(prevalence) {
      curves.drawFor(prevalence);
      benefit.draw(prevalence);
    },
    rescale(scale, prevalence) {
      histogram.draw(scale);
      benefit.rescale(scale);
      benefit.draw(prevalence);
    },
    /** `hand` names the slider that moves, which is left alone. */
    show(state, hand) {
      const { cut, expected, now, rate } = state;
      controls.show(state, hand);
      answer?.show(state, hand);
      curves.mark(rate);
      histogram.mark(cut, now);
      confusion.show(now);
      numbers.show(state);
      benefit.mark(cut, rate, expected);
      byGroup?.show(counts.rank(cut), rate);
      twoRuns?.show(cut);
      errors.show(cut, now);
      saving.moved();
      clearTimeout(pause); // a screen reader hears where the slider rests, not each step
      pause = setTimeout(() => { spoken.textContent = numbers.sentence.textContent; }, 700);
    },
    forget() {
      clearTimeout(pause);
      saving.forget();
    },
  };
}

async function render({ model, el, answer }) {
  const [words, data] = [model.get("words"), model.get("data")];
  const counts = await readCounts(data);
  const limits = makeLimits(await asCounts(data.limits), counts.positives, counts.others);
  const groups = await readGroups(words.groups, data, counts);
  const pair = words.other && await readPair(words.other, data, counts);
  let [cut, expected] = [model.get("threshold"), model.get("prevalence")];
  let scale = makeScale(words.scale, counts.scores);

  function tell(name, value) {
    model.set(name, value);
    model.save_changes();
  }
  const act = {
    scale: () => scale,
    state() {
      const now = counts.at(cut);
      const { positives, others } = counts;
      return { cut, expected, now, rate: rates(now, expected), n: positives + others, positives };
    },
    follow: (hand) => parts.show(act.state(), hand),
    cut(value, hand) {
      cut = clamp(value, 0, ABOVE_ONE);
      act.follow(hand);
      tell("threshold", cut);
    },
    expect(value, hand) {
      expected = clamp(value, 1e-5, 0.99);
      parts.drawFor(expected);
      act.follow(hand);
      tell("prevalence", expected);
    },
    rescale(kind) {
      scale = makeScale(kind, counts.scores);
      parts.rescale(scale, expected);
      act.follow();
    },
    choose: (facts) => tell("chosen", facts),
  };
  const parts = makeParts(model, { counts, limits, groups, pair }, act, answer);
  function hear() {
    const [told, meant] = [model.get("threshold"), model.get("prevalence")];
    if (told === cut && meant === expected) return; // our own words come back
    [cut, expected] = [told, meant];
    parts.drawFor(expected);
    act.follow();
  }

  // JupyterLab would take arrow keys and letters for its own commands.
  parts.root.addEventListener("keydown", (event) => event.stopPropagation());
  model.on("change:threshold", hear);
  model.on("change:prevalence", hear);
  parts.rescale(scale, expected);
  parts.drawFor(expected);
  act.follow();
  el.append(parts.root);
  return () => {
    parts.forget();
    model.off("change:threshold", hear);
    model.off("change:prevalence", hear);
  };
}

export default { render };
