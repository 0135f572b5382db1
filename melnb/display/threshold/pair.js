// A second run beside the first: what it finds where it errs as often, and who changes sides.

/** Counts of both runs on the images that both have, and of the images that the first flags alone. */
async function readPair(words, data, counts) {
  const own = data.own_scores ? await readCounts(data, "own_") : counts;
  const other = await readCounts(data, "other_");
  const alone = [await asCounts(data.alone_positives), await asCounts(data.alone_others)];
  return { ...words, own, other, alone };
}

/** Both runs at a threshold of the first; the second never errs more often than it. */
function comparePair({ own, other, alone }, cut) {
  const k = own.rank(cut);
  const at = (counts, rank) => (rank < 0 ? [0, 0] : [counts.tp[rank], counts.fp[rank]]);
  const [tp, fp] = at(own, k);
  const [tpSame, fpSame] = at(other, other.rankOfFalse(fp)); // at a specificity no lower
  const [, fpFinding] = at(other, other.rankOfTrue(tp)); // at a sensitivity no lower
  const [first, others] = k < 0 ? [0, 0] : [alone[0][k], alone[1][k]];
  return {
    sensitivity: [tp, tpSame].map((count) => count / own.positives),
    specificity: [fp, fpFinding].map((count) => 1 - count / own.others),
    // Flagged by the first alone, and by the second alone: their difference is that of the counts.
    positives: [first, first - tp + tpSame],
    others: [others, others - fp + fpSame],
  };
}

/** A table of the two, their difference, and a sentence of whole images. */
function makePair(pair, name, { word, unit }) {
  const areas = [pair.own.auc(), pair.other.auc()];
  // A run's name may be broken behind its stage alone.
  const broken = (text) => text.split("/").flatMap((part, k) => (k ? ["/", html("wbr"), part] : [part]));
  const head = (text) => html("th", { scope: "col" }, ...broken(text));
  const line = (title, more) => {
    const cells = [html("td"), html("td"), html("td", { class: "difference" })];
    const label = html("th", { scope: "row" }, title, html("span", {}, more));
    return { cells, node: html("tr", {}, label, ...cells) };
  };
  const [auc, found, spared] = [line("AUC", "any threshold"),
    line("Sensitivity", "at this specificity"), line("Specificity", "at this sensitivity")];
  const table = html("table", { class: "pair", "aria-label": "Two runs" },
    html("tr", {}, html("td"), head(name), head(pair.name), head("difference")),
    auc.node, found.node, spared.node);
  const sentence = html("p", { class: "sentence" });
  const put = ({ cells }, [one, two], text, difference) =>
    [text(one), text(two), difference].forEach((shown, k) => { cells[k].textContent = shown; });
  const points = ([one, two]) => `${signed((100 * (one - two)).toFixed(1))} pp`;
  put(auc, areas, (area) => area.toFixed(3), signed((areas[0] - areas[1]).toFixed(3)));
  return {
    node: html("div", { class: "two-runs" }, html("figcaption", {}, "Two runs"), table, sentence),
    show(cut) {
      const { sensitivity, specificity, positives, others } = comparePair(pair, cut);
      put(found, sensitivity, percent, points(sensitivity));
      put(spared, specificity, percent, points(specificity));
      const changed = [...positives, ...others].reduce((sum, count) => sum + count, 0);
      const alone = (k) => `${whole(positives[k])} ${word} and ${whole(others[k])} others`;
      sentence.textContent = `At this specificity ${whole(changed)} of ${counted(pair.n, unit)} `
        + `change sides: ${alone(0)} are flagged by ${name} alone, ${alone(1)} by ${pair.name}.`;
    },
  };
}
