// The threshold explorer: what the kernel sent, unpacked. All parts of this folder make one module,
// which serves JupyterLab (as an anywidget) and the offline report (with a model of a few lines)
// alike. Everything arrives once; no kernel is asked while a slider moves.

/** The bytes of a buffer that was deflated. */
async function inflated(view) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser is too old: the explorer needs one of 2023 or later");
  }
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undo `packed` of packing.py: eight planes of bytes to differences, and those to numbers. */
async function unpacked(view) {
  const planes = await inflated(view);
  const n = planes.length / 8;
  const words = new Uint32Array(2 * n);
  let [low, high] = [0, 0];
  for (let i = 0; i < n; i += 1) {
    const byte = (plane) => planes[plane * n + i];
    const sum = low + ((byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24)) >>> 0);
    const step = (byte(4) | (byte(5) << 8) | (byte(6) << 16) | (byte(7) << 24)) >>> 0;
    high = (high + step + (sum > 0xffffffff ? 1 : 0)) >>> 0;
    low = sum >>> 0;
    words[2 * i] = low; // every machine with a browser is little-endian
    words[2 * i + 1] = high;
  }
  return words;
}

const asReals = async (view) => new Float64Array((await unpacked(view)).buffer);
const asCounts = async (view) => (await unpacked(view)).filter((_, k) => k % 2 === 0);

/** Distinct falling scores, and the positive and other images at or above each. */
async function readCounts(data, prefix = "") {
  const [scores, tp, fp] = await Promise.all([
    asReals(data[`${prefix}scores`]),
    asCounts(data[`${prefix}true_positives`]),
    asCounts(data[`${prefix}false_positives`]),
  ]);
  return makeCounts(scores, tp, fp);
}
