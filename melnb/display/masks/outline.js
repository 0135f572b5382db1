// Outlines of masks as lines on a canvas, the picture below.

/**
 * The outline of a mask as closed lines of points, in pixels of the plane. A line runs along the
 * middles of the sides between lesion and not, so that corners are cut; `field`, where given, moves
 * each point to where it crosses the threshold.
 */
function outlinesOf(mask, { width, height }, field = null, threshold = 0.5) {
  const at = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1;
  const crossing = (ax, ay, bx, by) => {
    const beyond = bx < 0 || by < 0 || bx >= width || by >= height
      || ax < 0 || ay < 0 || ax >= width || ay >= height;
    if (beyond || !field) return 0.5;
    const [a, b] = [field[ay * width + ax], field[by * width + bx]];
    // A pixel of another part, or of a hole that was filled, says nothing of this outline.
    return (a > threshold) === (b > threshold) ? 0.5 : clamp((threshold - a) / (b - a), 0, 1);
  };
  const next = new Map(); // from the key of a crossing to the next one along the outline
  const points = new Map();
  /** The crossing between a cell's corner and the one right of it or below. */
  const key = (x, y, down) => 2 * ((y + 1) * (width + 2) + x + 1) + down;
  const point = (x, y, down) => {
    const name = key(x, y, down);
    if (!points.has(name)) {
      const share = down ? crossing(x, y, x, y + 1) : crossing(x, y, x + 1, y);
      points.set(name, down ? [x + 0.5, y + 0.5 + share] : [x + 0.5 + share, y + 0.5]);
    }
    return name;
  };
  for (let y = -1; y < height; y += 1) {
    // A cell's corners a b above, d c below; the right ones are the next cell's left ones.
    for (let [x, a, d, b, c] = [-1, false, false]; x < width; x += 1, a = b, d = c) {
      b = at(x + 1, y);
      c = at(x + 1, y + 1);
      if (a === b && b === c && c === d) continue;
      const sides = [[x, y, 0], [x + 1, y, 1], [x, y + 1, 0], [x, y, 1]]; // top right bottom left
      // Lesion to the left of the way; of two that touch by a corner, each keeps its own line.
      const enters = [!a && b, !b && c, !c && d, !d && a];
      const leaves = [a && !b, b && !c, c && !d, d && !a];
      for (let side = 0; side < 4; side += 1) {
        if (!enters[side]) continue;
        const end = [1, 2, 3].map((turn) => (side + turn) % 4).find((k) => leaves[k]);
        next.set(point(...sides[side]), point(...sides[end]));
      }
    }
  }
  const lines = [];
  while (next.size) {
    const line = [];
    let [name] = next.keys();
    while (next.has(name)) {
      line.push(points.get(name));
      const after = next.get(name);
      next.delete(name);
      name = after;
    }
    lines.push(line);
  }
  return lines;
}

const [INK, RIM] = [2.6, 0.9]; // CSS pixels: of a line, and of its dark edge on either side

/** A canvas that shows a picture and lines over it. */
function makeCanvas(label) {
  const node = html("canvas", { class: "lesion", role: "img", "aria-label": label });
  const pen = node.getContext("2d");
  const styles = { truth: ["#ffffff", []], predicted: ["#56b4e9", [9, 4.5]] };
  return {
    node,
    show(picture, size, lines) {
      // As fine as the screen is, so that lines are sharp.
      const wide = Math.round((node.clientWidth || 480) * Math.min(2, devicePixelRatio || 1));
      const high = Math.round((wide * size.height) / size.width);
      if (node.width !== wide || node.height !== high) [node.width, node.height] = [wide, high];
      const fine = wide / (node.clientWidth || 480);
      pen.imageSmoothingQuality = "high";
      pen.drawImage(picture, 0, 0, wide, high);
      [pen.lineJoin, pen.lineCap] = ["round", "butt"];
      const [right, down] = [wide / size.width, high / size.height];
      const rim = (INK / 2 + RIM) * fine; // a line along the picture's edge keeps its whole width
      const across = (x) => clamp(x * right, rim, wide - rim);
      const below = (y) => clamp(y * down, rim, high - rim);
      for (const [name, outlines] of Object.entries(lines)) {
        const [colour, dashes] = styles[name];
        const path = new Path2D();
        for (const line of outlines) {
          line.forEach(([x, y], k) => path[k ? "lineTo" : "moveTo"](across(x), below(y)));
          path.closePath();
        }
        pen.setLineDash(dashes.map((length) => length * fine));
        for (const [width, ink] of [[INK + 2 * RIM, "#14181d"], [INK, colour]]) {
          [pen.lineWidth, pen.strokeStyle] = [width * fine, ink];
          pen.stroke(path);
        }
      }
    },
  };
}
