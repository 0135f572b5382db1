// The decision curve: is it worth flagging by this model, or better to biopsy all, or none?
// A risk of t says that missing a positive is (1 - t) / t times as bad as a false alarm. Where the
// prevalence is another, every score stands for another risk: it is moved before it is weighed.

const SAMPLES = 240; // places across the curve at which it is looked up
const PER = 1000; // images that the axis counts by
const RISKS = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1]; // ticks of a linear axis that is moved

/** Ticks whose words do not meet: from the right, where the risks that anybody treats are. */
function apart(ticks) {
  const kept = [];
  for (const [at, text] of ticks.toReversed()) {
    if (!kept.length || kept.at(-1)[0] - at > 0.022 * (text.length + kept.at(-1)[1].length)) {
      kept.push([at, text]);
    }
  }
  return kept;
}

/** Net benefit of the model, of flagging all and none, on the histogram's axis of scores. */
function makeBenefit(counts, act) {
  const words = { across: "Threshold probability at this prevalence", up: [[0.5, `Net benefit per ${whole(PER)}`]] };
  const label = "Decision curve with the operating point";
  const drawing = makeDrawing("Net benefit", { ...CURVE, ...words, xTicks: [], yTicks: [], label });
  const key = makeKey([["model", "solid"], ["biopsy all", "dashes"], ["biopsy none", "dots"]]);
  drawing.node.append(key.node);
  const id = `melnb-benefit-${Math.random().toString(36).slice(2)}`;
  const [x, y] = [drawing.x, drawing.y];
  const frame = svg("rect", { x: x(0), y: y(1) - 4, width: x(1) - x(0), height: y(0) - y(1) + 8 });
  drawing.plot.append(svg("clipPath", { id }, frame));
  const path = (name) => svg("path", { class: name, "clip-path": `url(#${id})` });
  const [all, none, curve, guide] = [path("all"), path("none"), path("curve"), path("guide")];
  const point = svg("path", { class: "point", d: "M0 -8L8 0L0 8L-8 0Z" });
  drawing.plot.append(guide, all, none, curve, point);
  let [scale, lookups, low, high] = [null, [], 0, 1];
  drawing.follow((share) => act.cut(scale.score(share)));
  const up = (value) => (value - low) / (high - low);
  const written = (value) => (Number.isFinite(value) ? signed((PER * value).toPrecision(3)) : "–");
  const everything = { sensitivity: 1, specificity: 0 };
  const own = counts.positives / (counts.positives + counts.others);
  /** Risks that stand on the axis of scores where their score does. */
  function riskTicks(prevalence) {
    if (prevalence === own) return ticksOf(scale);
    return (scale.kind === "linear" ? RISKS : LOGIT_TICKS)
      .map((risk) => [scale.place(shifted(risk, prevalence, own)), short(risk)])
      .filter(([at]) => scale.kind === "linear" || (at > 0 && at < 1));
  }
  return {
    node: drawing.node,
    /** Look the model up along a new axis. */
    rescale(next) {
      scale = next;
      lookups = Array.from({ length: SAMPLES + 1 }, (_, k) => {
        const t = Math.min(scale.score(k / SAMPLES), 1 - 1e-9);
        return { u: k / SAMPLES, t, rate: rates(counts.at(t), 0.5) };
      });
    },
    draw(prevalence) {
      [low, high] = [-0.3 * prevalence, 1.08 * prevalence];
      const step = 10 ** Math.floor(Math.log10(PER * prevalence));
      const wide = (PER * prevalence) / step;
      const stride = (wide >= 5 ? 2 : wide >= 2 ? 1 : 0.5) * step;
      const ticks = Array.from({ length: 8 }, (_, k) => k * stride)
        .filter((value) => value <= PER * high);
      drawing.drawAxes(apart(riskTicks(prevalence)), ticks.map((value) => [up(value / PER), short(value)]));
      // Far below the frame a line would leave the drawing's numbers: it is cut at its foot.
      const line = (rateOf) => lookups.map((at) =>
        [at.u, Math.max(-3, up(netBenefit(rateOf(at), prevalence, shifted(at.t, own, prevalence))))]);
      curve.setAttribute("d", pathOf(drawing, line(({ rate }) => rate)));
      all.setAttribute("d", pathOf(drawing, line(() => everything)));
      none.setAttribute("d", pathOf(drawing, [[0, up(0)], [1, up(0)]]));
    },
    mark(cut, rate, prevalence) {
      const risk = shifted(cut, own, prevalence);
      const value = netBenefit(rate, prevalence, risk);
      const [across, above] = [x(scale.place(cut)), up(value)];
      const seen = Number.isFinite(value) && above >= 0;
      point.setAttribute("transform", `translate(${across} ${y(seen ? above : 0)})`);
      point.classList.toggle("beyond", !seen);
      guide.setAttribute("d", `M${across} ${y(0)}V${y(1)}`);
      key.show([written(value), written(netBenefit(everything, prevalence, risk)), "0"]);
    },
  };
}

/** Why there is no decision curve: ranks are not risks. */
function makeNoBenefit() {
  const why = "The table holds scores, not probabilities. Net benefit weighs a false alarm by the "
    + "threshold as a risk, so a calibrator must be fitted first.";
  const node = html("div", { class: "drawing" }, html("figcaption", {}, "Net benefit"),
    html("p", { class: "sentence" }, why));
  return { node, rescale() {}, draw() {}, mark() {} };
}
