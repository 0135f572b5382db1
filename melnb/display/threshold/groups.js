// Sensitivity and specificity of each group, with intervals that move with the threshold.

/** For each level, the ranks of its positive and of its other images, rising: a search counts. */
async function readGroups(words, data, counts) {
  const codes = await Promise.all(words.map((_, k) => inflated(data[`group${k}`])));
  const steps = await Promise.all(words.map((_, k) => asCounts(data[`limits${k}`])));
  return words.map(({ column, levels }, k) => {
    let from = 0;
    const made = ranksByLevel(codes[k], levels.length, counts).map(([positive, other], j) => {
      const own = steps[k].subarray(from, from += 2 * (positive.length + other.length + 2));
      return { ...levels[j], positive, other, limits: makeLimits(own, positive.length, other.length) };
    });
    return { column, levels: made };
  });
}

/** Rows lie in the order of their scores, positives first among equals: so ranks come by counting. */
function ranksByLevel(codes, levels, { tp, fp, n }) {
  const sizes = Array.from({ length: levels }, () => [0, 0]);
  const visit = (seen) => {
    let row = 0;
    for (let i = 0; i < n; i += 1) {
      const hits = tp[i] - (i ? tp[i - 1] : 0);
      const end = tp[i] + fp[i];
      for (const lastHit = row + hits; row < end; row += 1) seen(codes[row], row < lastHit ? 0 : 1, i);
    }
  };
  visit((level, side) => { sizes[level][side] += 1; });
  const ranks = sizes.map((pair) => pair.map((size) => new Uint32Array(size)));
  const filled = sizes.map(() => [0, 0]);
  visit((level, side, i) => { ranks[level][side][filled[level][side]++] = i; });
  return ranks;
}

/** A place for a share with its interval, on a line from 0 to 1. */
function makeTrack(shape, few, alone) {
  const [range, dot, mean] = [html("i", { class: "range" }), html("i", { class: `dot ${shape}` }),
    html("i", { class: "mean" })];
  const [value, more] = [html("b"), html("span")];
  const track = html("div", { class: "track", "aria-hidden": "true" }, mean, range, dot);
  const node = html("td", { class: few ? "few" : "" }, track,
    html("div", { class: "said", title: few }, value, more));
  // A dot's half stays within the line at either end.
  const wide = (share) => `${share.toFixed(4)} * (100% - 10px)`;
  const along = (share) => `calc(5px + ${wide(share)})`;
  return {
    node,
    /** `limits` are of k of n, a share beside that of all images. */
    show(k, n, limits, overall) {
      mean.style.left = along(overall);
      if (few) { // Python's own reason, which the report gives too
        value.textContent = n ? "too few" : "none";
        more.textContent = n ? ` (${n})` : "";
        return;
      }
      const [low, high] = limits;
      dot.style.left = along(k / n);
      range.hidden = Number.isNaN(low);
      range.style.left = along(low);
      range.style.width = `calc(${wide(high - low)})`;
      value.textContent = percent(k / n);
      more.textContent = ` ${between(limits) || alone}`;
    },
  };
}

/** A table of a column's levels; a menu chooses the column. */
function makeGroups(groups, { few, unit, cluster }, follow) {
  const options = groups.map(({ column }, k) =>
    html("option", { value: k }, column.replaceAll("_", " ")));
  const menu = html("select", { "aria-label": "Groups by" }, ...options);
  const body = html("tbody");
  const head = (text) => html("th", { scope: "col" }, text);
  const title = html("figcaption", {}, "By group", html("label", {}, "by ", menu));
  const table = html("table", { class: "groups", "aria-label": "By group" },
    html("thead", {}, html("tr", {},
      html("th", { scope: "col" }, "Group", html("span", {}, "positive / other")),
      head("Sensitivity"), head("Specificity"))),
    body);
  const note = html("p", { class: "key" }, html("span", {}, html("i", { class: "dash dashes" }),
    `all ${unit}s`), html("span", {}, few));
  const alone = cluster && `one ${cluster} alone`; // then there is no interval
  let rows = [];
  function choose() {
    rows = groups[Number(menu.value)].levels.map((level) => {
      const tracks = ["round", "square"].map((shape, side) => makeTrack(shape, level.few[side], alone));
      const size = ` ${whole(level.positive.length)} / ${whole(level.other.length)}`;
      const name = html("th", { scope: "row" }, level.name,
        html("span", {}, size));
      return { level, tracks, node: html("tr", {}, name, ...tracks.map(({ node }) => node)) };
    });
    body.replaceChildren(...rows.map(({ node }) => node));
  }
  menu.addEventListener("change", () => {
    choose();
    follow();
  });
  choose();
  return {
    node: html("div", { class: "by-group" }, title, table, note),
    show(rank, rate) {
      const flagged = (ranks) => first(ranks.length, (k) => ranks[k] > rank);
      for (const { level: { positive, other, limits }, tracks } of rows) {
        const [tp, fp] = [flagged(positive), flagged(other)];
        tracks[0].show(tp, positive.length, limits.sensitivity(tp), rate.sensitivity);
        tracks[1].show(other.length - fp, other.length, limits.specificity(fp), rate.specificity);
      }
    },
  };
}
