// The report's answer follows the threshold: its large figures, and a thousand dots.

const [ACROSS, DOWN, PITCH] = [50, 20, 10]; // dots, and their distance in the drawing's units
const KINDS = ["found", "missed", "alarms", "left"];
const KIND_WORDS = { found: "found", missed: "missed", alarms: "flagged in vain", left: "left alone" };

/** A share as people say it, as Python's `whole_percent`: never 0 or 100 where it is neither. */
function wholePercent(share) {
  const near = Math.floor(100 * share + 0.5);
  const isSaid = (near !== 0 && near !== 100) || share === 0 || share === 1;
  return isSaid ? String(near) : (100 * share).toFixed(1);
}
const needed = (value) => (Number.isFinite(value) ? few(value).replace(/\.0$/, "") : "–");
const ends = ([low, high], written, unit = "") =>
  (Number.isFinite(low) && Number.isFinite(high) ? `${written(low)} to ${written(high)}${unit}` : "");
const joined = (...texts) => texts.filter(Boolean).join(" · ");

/** How many dots each kind gets: a kind that is there gets one at least, what is left the rest. */
function dotsOf({ thousand, found, missed, alarms }) {
  const dots = [found, missed, alarms].map((images) =>
    (images > 0 ? Math.max(1, Math.round((images * ACROSS * DOWN) / thousand)) : 0));
  return [...dots, ACROSS * DOWN - dots[0] - dots[1] - dots[2]];
}

/** A thousand images, or lesions or patients, as dots, column by column, with their number in words. */
function makeDots(word, unit) {
  const path = (name) => svg("path", { class: `dots-${name}` });
  const paths = [...KINDS, "hole"].map(path);
  const label = `A thousand ${unit}s as dots: found, missed, flagged in vain, left alone`;
  const size = `0 0 ${ACROSS * PITCH} ${DOWN * PITCH}`;
  const drawing = svg("svg", { viewBox: size, role: "img", "aria-label": label }, ...paths);
  const title = html("figcaption", {});
  const values = KINDS.map(() => html("b"));
  const key = html("p", { class: "key" }, ...KINDS.map((kind, k) =>
    html("span", {}, html("i", { class: `spot ${kind}` }), values[k], ` ${KIND_WORDS[kind]}`)));
  const spot = (at) => `M${PITCH * (Math.floor(at / DOWN) + 0.5)} ${PITCH * ((at % DOWN) + 0.5)}h0`;
  return {
    node: html("figure", { class: "drawing thousand" }, title, drawing, key),
    show(rate, expected) {
      const images = wholeImages(rate, expected);
      let from = 0;
      dotsOf(images).forEach((number, k) => {
        const spots = Array.from({ length: number }, (_, j) => spot(from + j)).join("");
        paths[k].setAttribute("d", spots);
        if (KINDS[k] === "missed") paths[4].setAttribute("d", spots); // a ring: it is not filled
        from += number;
        values[k].textContent = whole(images[KINDS[k]]);
      });
      const each = images.thousand / (ACROSS * DOWN);
      title.textContent = `Of ${counted(images.thousand, unit)}, ${whole(images.all)} `
        + `${isAre(images.all)} ${word}${each > 1 ? `; a dot is ${whole(each)}` : ""}`;
    },
  };
}

/** A slider below the dots, and the way back to the report's threshold. */
function makeMover(point, act) {
  const range = html("input", { type: "range", min: 0, max: 1, step: 0.001, "aria-label": "Move the threshold" });
  const value = html("output", {});
  const back = html("button", { type: "button" }, "back to the report's");
  range.addEventListener("input", () => act.cut(act.scale().score(Number(range.value)), "mover"));
  back.addEventListener("click", () => {
    act.expect(point.prevalence);
    act.cut(point.threshold);
  });
  const label = html("label", {}, html("span", {}, "Threshold "), value, range);
  return {
    node: html("p", { class: "mover" }, label, back),
    show({ cut }, text, isOwn, hand) {
      if (hand !== "mover") range.value = act.scale().place(cut);
      value.textContent = text;
      back.hidden = !point || isOwn;
    },
  };
}

/** Fill the places of the report's first screen; `show` makes it follow. */
function makeAnswer(home, { counts, limits, point, word, unit, own }, act, roc) {
  const [dots, mover] = [makeDots(word, unit), makeMover(point, act)];
  const place = (name) => home.querySelector(`[data-place="${name}"]`);
  place("dots").append(dots.node, mover.node);
  place("roc").append(roc);
  for (const name of ["dots", "roc"]) place(name).classList.add("melnb-threshold");
  const put = (name, value, more) => {
    const parts = home.querySelectorAll(`[data-figure-name="${name}"] dd`);
    [value, more].forEach((text, k) => { if (parts[k]) parts[k].textContent = text; });
  };
  return {
    show(state, hand) {
      const { now, rate, expected, cut } = state;
      const at = own(state);
      const [found, spared] = [limits.sensitivity(now.tp), limits.specificity(now.fp)];
      put("found", `${wholePercent(rate.sensitivity)}\u00a0%`,
        joined(`${whole(now.tp)} of ${whole(counts.positives)}`, ends(found, wholePercent, "\u00a0%")));
      put("alarms", `${wholePercent(now.fp / counts.others)}\u00a0%`,
        joined(`${whole(now.fp)} of ${whole(counts.others)}`,
          ends([1 - spared[1], 1 - spared[0]], wholePercent, "\u00a0%")));
      put("cost", needed(rate.nnb), at ? ends(at.limits.number_needed_to_biopsy, needed)
        : `at prevalence ${percent(expected)}`);
      dots.show(rate, expected);
      mover.show(state, short(cut), Boolean(at), hand);
    },
  };
}
