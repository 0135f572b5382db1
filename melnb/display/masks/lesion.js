// The mask explorer: from probabilities to one lesion, as `cleaned_mask` of Python has it.

/** The planes of one image: probabilities 0-1, and the true mask where it is known. */
async function readPlanes(data, place, { truth }) {
  const bytes = await inflated(data[`probability${place}`]);
  const n = bytes.length / 2; // low bytes, then high ones
  const probability = new Float64Array(n);
  for (let i = 0; i < n; i += 1) probability[i] = (bytes[i] + 256 * bytes[n + i]) / 65535;
  return { probability, truth: truth ? await inflated(data[`truth${place}`]) : null };
}

/** Half of a Gaussian's weights, the middle one first; scipy's, cut at four deviations. */
function weightsOf(deviation) {
  const radius = Math.floor(4 * deviation + 0.5);
  const all = Array.from({ length: radius + 1 }, (_, k) =>
    Math.exp((-0.5 / (deviation * deviation)) * k * k));
  const sum = all.reduce((total, weight, k) => total + (k ? 2 : 1) * weight, 0);
  return Float64Array.from(all, (weight) => weight / sum);
}

/** Blur along one axis: `count` lines of `length`, a line's pixels `step` apart, lines `next`. */
function blurLines(from, weights, { count, length, step, next }) {
  const radius = weights.length - 1;
  const to = new Float64Array(from.length);
  const line = new Float64Array(length + 2 * radius);
  for (let k = 0; k < count; k += 1) {
    for (let i = 0; i < line.length; i += 1) {
      line[i] = from[k * next + clamp(i - radius, 0, length - 1) * step];
    }
    for (let i = 0; i < length; i += 1) {
      const middle = i + radius;
      let sum = line[middle] * weights[0];
      for (let r = radius; r > 0; r -= 1) sum += (line[middle - r] + line[middle + r]) * weights[r];
      to[k * next + i * step] = sum;
    }
  }
  return to;
}

function blurred(plane, { width, height }, deviation) {
  if (!deviation) return plane;
  const weights = weightsOf(deviation);
  const down = { count: width, length: height, step: width, next: 1 };
  const across = { count: height, length: width, step: 1, next: width };
  return blurLines(blurLines(plane, weights, down), weights, across);
}

/**
 * Mark what is of the kind of `start` and hangs together with it by sides; return its size.
 * `stack` has a place for each pixel: none is put there twice.
 */
function flood(marks, kinds, { width, height }, start, mark, stack) {
  const [kind, last] = [kinds[start], width * (height - 1)];
  let [size, waiting] = [0, 1];
  stack[0] = start;
  marks[start] = mark;
  // The neighbours one by one, without a function for them: it would take three times as long.
  while (waiting) {
    waiting -= 1;
    const i = stack[waiting];
    const x = i % width;
    size += 1;
    if (x > 0 && marks[i - 1] === 0 && kinds[i - 1] === kind) {
      marks[i - 1] = mark;
      stack[waiting] = i - 1;
      waiting += 1;
    }
    if (x < width - 1 && marks[i + 1] === 0 && kinds[i + 1] === kind) {
      marks[i + 1] = mark;
      stack[waiting] = i + 1;
      waiting += 1;
    }
    if (i >= width && marks[i - width] === 0 && kinds[i - width] === kind) {
      marks[i - width] = mark;
      stack[waiting] = i - width;
      waiting += 1;
    }
    if (i < last && marks[i + width] === 0 && kinds[i + width] === kind) {
      marks[i + width] = mark;
      stack[waiting] = i + width;
      waiting += 1;
    }
  }
  return size;
}

/** The largest part of what lies above the threshold, 1 where it is; of equals the first. */
function largestPart(plane, size, threshold) {
  const [marks, above] = [new Int32Array(plane.length), new Uint8Array(plane.length)];
  const stack = new Int32Array(plane.length);
  for (let i = 0; i < plane.length; i += 1) above[i] = plane[i] > threshold ? 1 : 0;
  let [best, most, mark] = [0, 0, 0];
  for (let i = 0; i < plane.length; i += 1) {
    if (marks[i] !== 0 || !above[i]) continue;
    mark += 1;
    const found = flood(marks, above, size, i, mark, stack);
    if (found > most) [best, most] = [mark, found];
  }
  const part = new Uint8Array(plane.length);
  for (let i = 0; i < part.length; i += 1) part[i] = best && marks[i] === best ? 1 : 0;
  return part;
}

/** Fill what no way along sides joins to the edge of the plane. */
function filled(mask, size) {
  const { width, height } = size;
  const [outside, stack] = [new Uint8Array(mask.length), new Int32Array(mask.length)];
  const begin = (i) => {
    if (outside[i] === 0 && !mask[i]) flood(outside, mask, size, i, 1, stack);
  };
  for (let x = 0; x < width; x += 1) { begin(x); begin(width * (height - 1) + x); }
  for (let y = 0; y < height; y += 1) { begin(width * y); begin(width * y + width - 1); }
  return outside.map((mark) => 1 - mark);
}

const lesionOf = (smooth, size, threshold) => filled(largestPart(smooth, size, threshold), size);

/** Pixels shared, called in vain, missed and left; shares of no pixels count as 1. */
function overlapOf(truth, called) {
  let [tp, fp, fn] = [0, 0, 0];
  for (let i = 0; i < called.length; i += 1) {
    tp += truth[i] & called[i];
    fp += called[i] & ~truth[i];
    fn += truth[i] & ~called[i];
  }
  const share = (part, all) => (all ? part / all : 1);
  const tn = called.length - tp - fp - fn;
  return {
    tp, fp, fn, tn,
    jaccard: share(tp, tp + fp + fn), dice: share(2 * tp, 2 * tp + fp + fn),
    sensitivity: share(tp, tp + fn), specificity: share(tn, tn + fp),
  };
}
