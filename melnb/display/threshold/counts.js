// The numbers behind every part. An image is flagged when its score is at or above the threshold.

const MOST_STEPS = 2000; // upwards, in a curve
const LIMIT_STEPS = 10_000_000; // of `packed_limits`, to 1
const ABOVE_ONE = 1 + Number.EPSILON;
const LOGIT_TICKS = [1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const logit = (p) => Math.log(p / (1 - p));
const expit = (x) => 1 / (1 + Math.exp(-x));

/** First index of 0 … n whose test is true, the test being false and then true. */
function first(n, test) {
  let [low, high] = [0, n];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The number of fewest digits in (low, high]: it flags the same images as `high` itself. */
function roundest(low, high) {
  for (let digits = 2; digits < 17; digits += 1) {
    const step = 10 ** (Math.floor(Math.log10(high)) - digits + 1);
    for (const near of [high, high - step]) {
      const value = Number(near.toPrecision(digits));
      if (low < value && value <= high) return value;
    }
  }
  return high;
}

/** What thresholds do, by lookup: distinct falling scores with the counts at or above each. */
function makeCounts(scores, tp, fp) {
  const n = scores.length;
  const [positives, others] = [tp[n - 1], fp[n - 1]];
  const above = (i) => roundest(i + 1 < n ? scores[i + 1] : -1, scores[i]);
  return {
    scores, tp, fp, n, positives, others,
    nothing: scores[0] < 1 ? 1 : ABOVE_ONE, // the threshold that no score reaches
    rank: (threshold) => first(n, (i) => scores[i] < threshold) - 1, // of the last one flagged
    at(threshold) {
      const k = this.rank(threshold);
      const [hits, alarms] = k < 0 ? [0, 0] : [tp[k], fp[k]];
      return { tp: hits, fp: alarms, fn: positives - hits, tn: others - alarms };
    },
    /** The highest threshold that reaches a sensitivity. */
    forSensitivity(wanted) {
      if (wanted <= 0) return this.nothing;
      return above(first(n - 1, (i) => tp[i] >= wanted * positives - 1e-9));
    },
    /** The lowest threshold that reaches a specificity. */
    forSpecificity(wanted) {
      if (wanted <= 0) return 0;
      const k = first(n, (i) => fp[i] > (1 - wanted) * others + 1e-9) - 1;
      return k < 0 ? this.nothing : above(k);
    },
    /** The last rank of as few false positives, and the first of as many true positives. */
    rankOfFalse: (wanted) => first(n, (i) => fp[i] > wanted) - 1,
    rankOfTrue: (wanted) => (wanted === 0 ? -1 : first(n, (i) => tp[i] >= wanted)),
    /** A threshold in as few digits as flag the same images, but four at least. */
    written(threshold) {
      const near = [4, 6, 8, 10, 12, 14].map((digits) => Number(threshold.toPrecision(digits)));
      const same = near.find((value) => this.rank(value) === this.rank(threshold));
      return String(same ?? threshold);
    },
    auc() {
      let area = (tp[0] * fp[0]) / 2;
      for (let i = 1; i < n; i += 1) area += ((tp[i] + tp[i - 1]) / 2) * (fp[i] - fp[i - 1]);
      return area / positives / others;
    },
  };
}

/** Rates where a share `prevalence` of all images is positive; sensitivity and specificity stay. */
function rates({ tp, fp, fn, tn }, prevalence) {
  const [sensitivity, specificity] = [tp / (tp + fn), tn / (tn + fp)];
  const [found, missed] = [sensitivity * prevalence, (1 - sensitivity) * prevalence];
  const [left, alarms] = [specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)];
  const flagged = found + alarms;
  const ppv = flagged > 0 ? found / flagged : NaN;
  const npv = missed + left > 0 ? left / (missed + left) : NaN;
  return { sensitivity, specificity, ppv, npv, flagged, found, missed, alarms, nnb: 1 / ppv };
}

/**
 * The limits of sensitivity and specificity as Python computed them, by how many positives and how
 * many others are flagged; NaN where there are none.
 */
function makeLimits(steps, positives, others) {
  const share = (place) => (steps[place] > LIMIT_STEPS ? NaN : steps[place] / LIMIT_STEPS);
  const second = 2 * (positives + 1);
  return {
    sensitivity: (tp) => [share(tp), share(positives + 1 + tp)],
    specificity: (fp) => [1 - share(second + others + 1 + fp), 1 - share(second + fp)],
  };
}

/** How a score becomes a place from 0 to 1 on an axis, and back. */
function makeScale(kind, scores) {
  if (kind === "linear") {
    const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1];
    return { kind, place: (t) => t, score: (u) => Number(u.toPrecision(6)), ticks };
  }
  // One image in a thousand may lie beyond an end of the axis; it is drawn in the last bar.
  const rank = (share) => clamp(scores[Math.floor(share * (scores.length - 1))], 1e-6, 1 - 1e-6);
  const [low, high] = [logit(rank(0.999)) - 0.2, Math.max(logit(rank(0)), 0) + 0.2];
  return {
    kind,
    place: (t) => (t <= 0 ? 0 : t >= 1 ? 1 : clamp((logit(t) - low) / (high - low), 0, 1)),
    score(u) {
      if (u <= 0 || u >= 1) return u <= 0 ? 0 : 1;
      const p = expit(low + u * (high - low));
      const short = p < 0.5 ? Number(p.toPrecision(3)) : 1 - Number((1 - p).toPrecision(3));
      return Number(short.toPrecision(12));
    },
    ticks: LOGIT_TICKS.filter((t) => logit(t) > low && logit(t) < high),
  };
}

/**
 * Indices of the rows that move a curve by half a drawing unit or more; others draw nothing.
 * Every row that finds a positive stays, unless there are more positives than anybody could see.
 */
function visibleRows({ tp, fp, n, positives, others }, width, height) {
  const rows = [];
  const steps = Math.max(2 * height, Math.min(positives, MOST_STEPS));
  let [x, y, z] = [-1, -1, -1];
  for (let i = 0; i < n; i += 1) {
    const nextX = Math.round((2 * width * fp[i]) / others);
    const nextY = Math.round((steps * tp[i]) / positives);
    const nextZ = Math.round((2 * height * tp[i]) / (tp[i] + fp[i]));
    if (nextX !== x || nextY !== y || nextZ !== z) rows.push(i);
    [x, y, z] = [nextX, nextY, nextZ];
  }
  if (rows.at(-1) !== n - 1) rows.push(n - 1);
  return rows;
}

/** A probability of the data, as it is at another prevalence: `shifted_probability` in Python. */
function shifted(p, own, prevalence) {
  const right = (p * prevalence) / own;
  return right / (right + ((1 - p) * (1 - prevalence)) / (1 - own));
}

/** Net benefit for each image (Vickers and Elkin 2006), when risks from `t` on are treated. */
function netBenefit({ sensitivity, specificity }, prevalence, t) {
  const wrong = (1 - specificity) * (1 - prevalence);
  return sensitivity * prevalence - (wrong > 0 ? (wrong * t) / (1 - t) : 0);
}

/** Whole images, of so many that at least ten are positive: the four add up. */
function wholeImages({ found, alarms }, expected) {
  const thousand = 10 ** Math.max(3, 1 - Math.floor(Math.log10(expected)));
  const images = (share) => Math.round(share * thousand - 1e-9);
  const [all, hits, wrong] = [expected, found, alarms].map(images);
  return {
    thousand, all, found: hits, missed: all - hits, alarms: wrong, left: thousand - all - wrong,
  };
}

// Numbers as words.
const isAre = (n) => (n === 1 ? "is" : "are");
const whole = (n) => Math.round(n).toLocaleString("en");
/** So many of what a row is: `1 lesion`, `12 lesions`. */
const counted = (n, noun) => `${whole(n)} ${noun}${Math.round(n) === 1 ? "" : "s"}`;
const few = (n) => (n > 0 && n < 99.95 ? n.toFixed(1) : whole(n));
function signed(text) {
  if (Number(text) === 0) return text.replace("-", "");
  return text.startsWith("-") ? `−${text.slice(1)}` : `+${text}`;
}
const short = (t) => String(Number(t.toPrecision(4)));
function percent(share) {
  if (Number.isNaN(share)) return "–";
  const near = Math.min(share, 1 - share);
  const digits = near <= 0 || near >= 0.01 ? 1 : near < 0.001 ? 3 : 2;
  return `${(100 * share).toFixed(digits)}%`;
}
/** Both ends of an interval; nothing where it could not be estimated. */
const between = ([low, high], written = percent) =>
  (Number.isFinite(low) && Number.isFinite(high) ? `${written(low)} – ${written(high)}` : "");
