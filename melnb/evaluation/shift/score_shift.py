"""Score shift: how far the scores have moved elsewhere, and calibration mended there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.calibration_scores import calibration_scores
from melnb.evaluation.calibration.calibrators import Method
from melnb.evaluation.calibration.cross_calibration import cross_calibrate
from melnb.evaluation.calibration.prevalence import logit, shift_prevalence
from melnb.evaluation.discrimination.within_folds import count_networks
from melnb.evaluation.rows import binary_rows, row_clusters
from melnb.evaluation.statistics.intervals import with_holm
from melnb.evaluation.summaries import cluster_column
from melnb.tables.checks import TEST, TableError
from melnb.tables.diagnoses import OTHER
from melnb.tables.within_patient import mean_and_deviation, without_gaps

# May the probabilities be believed elsewhere, and what mends them?

AS_IS, AT_PREVALENCE, ANEW = "as it came", "at its prevalence", "recalibrated"
_NAMES = {
    "ECE, equal mass, debiased": "ece", "Brier score": "brier", "log loss": "log_loss",
    "intercept": "intercept", "slope": "slope",
}  # fmt: skip
_COLUMNS = [
    "source", "version",
    *(f"{name}{end}" for name in _NAMES.values() for end in ("", "_low", "_high")),
    "prevalence", "n", "positives", "note",
]  # fmt: skip
_FEWEST = 2  # positives, and others, to fit anything on


def source_versions(
    tables: Mapping[str, pd.DataFrame], *, positive: str, method: Method = "platt"
) -> dict[str, dict[str, pd.DataFrame]]:
    """Return each source's predictions as they came, at its prevalence, and recalibrated.

    `at its prevalence` moves the internal prevalence to the source's
    (`prevalence.shift_prevalence`): all that is needed where lesions of a class look alike in
    both. `recalibrated` is fitted within the source, each fifth of its patients (else lesions,
    else images) by what the others taught (`cross_calibration.cross_calibrate`). Both read truths
    of the source: one number, and all of them.

    Args:
        tables: `other_sources.source_tables`, of probabilities; the first is the internal one,
            which stays as it came.
        positive: The class looked for.
        method: Of the recalibration: `temperature`, `platt`, `beta` or `isotonic`.

    Returns:
        Tables by source and version; a version that too few rows forbid is absent. No source has
        any where the values are scores.
    """
    versions: dict[str, dict[str, pd.DataFrame]] = {}
    base = 0.0
    for k, (name, table) in enumerate(tables.items()):
        if (table["kind"] != "probability").any():
            return {}
        truth = table["truth"] == positive
        share = float(truth.mean())
        versions[name] = {AS_IS: table}
        if k == 0:
            base = share
        elif min(truth.sum(), (~truth).sum()) >= _FEWEST:
            if 0 < base < 1:
                versions[name][AT_PREVALENCE] = shift_prevalence(
                    table, prevalence=share, positive=positive, training_prevalence=base
                )
            versions[name] |= _fitted_anew(table, positive, method)
    return versions


def external_calibration(
    versions: Mapping[str, Mapping[str, pd.DataFrame]],
    *,
    positive: str,
    bins: int = 10,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well each version of each source is calibrated.

    Args:
        versions: `source_versions`.
        positive: The class looked for.
        bins: Of the ECE, of equal mass.
        confidence: Of the intervals.
        draws: Resamples for the intervals, of patients, else lesions, else images.
        seed: Of the resamples.

    Returns:
        A row per source and version: `ece` (debiased), `brier`, `log_loss`, `intercept`
        (calibration in the large: below 0 the probabilities are too high on the whole), `slope`
        (below 1 they are too extreme), each with `…_low` and `…_high`; `prevalence`, `n`,
        `positives`, `note`.
    """
    entries: list[dict[str, object]] = []
    for source, tables in versions.items():
        for version, table in tables.items():
            scores = calibration_scores(
                table, positive=positive, bins=bins, confidence=confidence,
                cluster=cluster_column(table), draws=draws, seed=seed,
            )  # fmt: skip
            wanted = scores[scores["metric"].isin(_NAMES)]
            row: dict[str, object] = {"source": source, "version": version}
            for one in wanted.to_dict("records"):
                name = _NAMES[str(one["metric"])]
                row |= {name: one["value"], f"{name}_low": one["low"], f"{name}_high": one["high"]}
            each = count_networks(table)  # rows of an image
            positives = int((table["truth"] == positive).sum()) // each
            n = len(table) // each
            row |= {"prevalence": positives / max(1, n), "n": n}
            notes = dict.fromkeys(n for n in scores["note"] if n)
            entries.append(row | {"positives": positives, "note": "; ".join(notes)})
    return pd.DataFrame(entries, columns=_COLUMNS)


def _fitted_anew(table: pd.DataFrame, positive: str, method: Method) -> dict[str, pd.DataFrame]:
    """Return the recalibrated version, or nothing where a part holds all rows of a class."""
    try:
        calibrated, _ = cross_calibrate(table.assign(fold=0), method=method, positive=positive)
    except TableError:
        return {}
    return {ANEW: calibrated.assign(fold=TEST)}


ALL = "all"  # rows of both classes
COLUMNS = (
    "source", "class", "median_internal", "median", "ks", "ks_p", "wasserstein", "wasserstein_p",
    "psi", "psi_p", "n_internal", "n", "note",
)  # fmt: skip
_ROWS_AT_ONCE, _CELLS = 16_384, 65_536  # of a block of rows, and of draws: in a core's cache
_TAIL = 0.001  # of all scores, at each end, that a histogram's outer bins take in


def source_histogram(
    tables: Mapping[str, pd.DataFrame], *, positive: str, bins: int = 40
) -> pd.DataFrame:
    """Count the log odds of each source and class, in bins that all share.

    Args:
        tables: `other_sources.source_tables`.
        positive: The class looked for.
        bins: Of equal width from the 0.1th percentile of all log odds to the 99.9th; what lies
            beyond is in the outer ones.

    Returns:
        A row per source, class and bin: `source`, `class`, `left`, `right` (log odds), `n`,
        `share` (of the source's rows of the class; NaN without any).
    """
    scores = {name: _scores(table, positive) for name, table in tables.items()}
    pooled = np.concatenate([values for values, *_ in scores.values()]) if scores else np.array([])
    ends = np.quantile(pooled, [_TAIL, 1 - _TAIL]) if len(pooled) else np.array([-1.0, 1.0])
    ends = ends if mean_and_deviation(ends)[1] else ends + np.array([-0.5, 0.5])
    edges = np.linspace(ends[0], ends[1], bins + 1)
    entries = []
    for name, (values, truth, _) in scores.items():
        for label, members in ((OTHER, ~truth), (positive, truth)):
            counts, _ = np.histogram(np.clip(values[members], edges[0], edges[-1]), bins=edges)
            share = counts / members.sum() if members.any() else np.full(bins, np.nan)
            cells = {"source": name, "class": label, "left": edges[:-1], "right": edges[1:]}
            entries.append(pd.DataFrame(cells | {"n": counts, "share": share}))
    columns = ["source", "class", "left", "right", "n", "share"]
    return pd.concat(entries, ignore_index=True) if entries else pd.DataFrame(columns=columns)


def score_shift(
    tables: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    bins: int = 10,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how far the log odds of each external source lie from the internal ones, by class.

    `ks`: the largest distance of the two distribution functions (Smirnov 1948, Annals of
    Mathematical Statistics 19:279). `wasserstein`: their mean distance, the log odds that a score
    has to be moved by on average (Ramdas et al. 2017, Entropy 19:47). `psi`: the population
    stability index over the internal deciles, which is Jeffreys' divergence (Kullback and Leibler
    1951, Annals of Mathematical Statistics 22:79), half a row added to each bin; 0.1 and 0.25 are
    the usual marks of a moderate and a large shift (Siddiqi 2006, Credit Risk Scorecards).

    P values are of permutations: sources are dealt out anew to whole patients, else lesions, else
    images, for rows of one patient are alike. If only how common the class is has changed, `all`
    moves and the classes do not.

    Args:
        tables: `other_sources.source_tables`; the first is the internal one.
        positive: The class looked for.
        bins: Of the index.
        draws: Number of permutations.
        seed: Of the permutations.

    Returns:
        A row per external source and class (the class looked for, `other`, `all`):
        `median_internal`, `median` (log odds), each distance with its `…_p` and `…_p_holm`
        (for the number of rows), `n_internal`, `n`, `note`.
    """
    (_, internal), *others = tables.items()
    first = _scores(internal, positive)
    entries = []
    for name, table in others:
        second = _scores(table, positive)
        for label in (positive, OTHER, ALL):
            ours, theirs = (_of_class(s, label, positive) for s in (first, second))
            row = {"source": name, "class": label, "n_internal": len(ours[0]), "n": len(theirs[0])}
            entries.append(row | _shifted(ours, theirs, bins=bins, draws=draws, seed=seed))
    table = pd.DataFrame(entries, columns=list(COLUMNS))
    for p in ("ks_p", "wasserstein_p", "psi_p"):
        table = with_holm(table, p)
    return table


@dataclass(frozen=True)
class _Block:
    """Scores of two sources that follow each other in rising order.

    Attributes:
        clusters: Of each row, its cluster.
        last: Places of the rows that are the last of their value.
        shares: Of all rows, those up to them.
        widths: From their values to the next; 0 behind the very last.
        ends: Places of the rows that are the last of their bin.
    """

    clusters: np.ndarray
    last: np.ndarray
    shares: np.ndarray
    widths: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class _Pooled:
    """Scores of two sources, in blocks of which a deal's counts stay in a core's cache.

    Attributes:
        blocks: In rising order.
        sizes: Rows of each cluster.
        up_to: Rows up to the end of each bin.
    """

    blocks: list[_Block]
    sizes: np.ndarray
    up_to: np.ndarray

    def distances(self, external: np.ndarray) -> np.ndarray:
        """Return KS, Wasserstein and the index of draws x clusters marks of external ones."""
        totals = (external @ self.sizes[:, None]).astype(float)
        rest = self.sizes.sum() - totals
        before, ends = np.zeros_like(totals), []
        largest, moved = np.zeros(len(totals)), np.zeros(len(totals))
        for block in self.blocks:
            marks = np.take(external, block.clusters, axis=1)
            counts = np.cumsum(marks, axis=1, dtype=float)
            counts += before
            before = counts[:, -1:]
            ends.append(counts[:, block.ends])
            # By how many rows the external ones are ahead of their share of all up to there.
            ahead = np.take(counts, block.last, axis=1)
            ahead -= block.shares * totals
            np.abs(ahead, out=ahead)
            largest = np.maximum(largest, ahead.max(axis=1, initial=0))
            moved += ahead @ block.widths
        scale = (1 / totals + 1 / rest)[:, 0]
        index = self._index(np.concatenate(ends, axis=1), totals, rest)
        return np.stack([largest * scale, moved * scale, index], axis=1)

    def _index(self, counts: np.ndarray, totals: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Return the stability index from the external rows up to the end of each bin."""
        both = ((counts, totals), (self.up_to - counts, rest))
        first, second = (
            (np.diff(part, axis=1, prepend=0) + 0.5) / (whole + 0.5 * len(self.up_to))
            for part, whole in both
        )
        return np.asarray(((first - second) * np.log(first / second)).sum(axis=1))


def _scores(table: pd.DataFrame, positive: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log odds, truths and clusters (whole numbers) of the rows with a truth."""
    rows = binary_rows(table, positive=positive)
    clusters = row_clusters(rows, cluster_column(table))
    codes = np.arange(len(rows)) if clusters is None else clusters
    return logit(rows["score"].to_numpy(dtype=float)), rows["truth"].to_numpy(dtype=bool), codes


def _of_class(
    scores: tuple[np.ndarray, np.ndarray, np.ndarray], label: str, positive: str
) -> tuple[np.ndarray, np.ndarray]:
    values, truth, codes = scores
    members = np.ones_like(truth) if label == ALL else truth == (label == positive)
    return values[members], without_gaps(codes[members])


def _shifted(
    ours: tuple[np.ndarray, np.ndarray],
    theirs: tuple[np.ndarray, np.ndarray],
    *,
    bins: int,
    draws: int,
    seed: int,
) -> dict[str, object]:
    """Return the distances of two samples of values and clusters, and their p values."""
    if not len(ours[0]) or not len(theirs[0]):
        return {"note": "not estimable: a source has no row of the class"}
    number = int(ours[1].max()) + 1
    values = np.concatenate([ours[0], theirs[0]])
    codes = np.concatenate([ours[1], theirs[1] + number])
    order, of_cluster = np.argsort(values, kind="stable"), np.arange(int(codes.max()) + 1) >= number
    pooled = _pool(values[order], codes[order], _cuts(ours[0], bins))
    distance = pooled.distances(of_cluster[None])[0]
    row: dict[str, object] = {"median_internal": np.median(ours[0]), "median": np.median(theirs[0])}
    row |= dict(zip(("ks", "wasserstein", "psi"), distance, strict=True))
    if min(number, len(of_cluster) - number) < 2:
        return row | {"note": "p not estimable: a source has one patient or row of the class"}
    beyond = np.zeros(3)
    for marks in _dealt(of_cluster, draws, seed, len(values)):
        beyond += (pooled.distances(marks) >= distance - 1e-12).sum(axis=0)
    # The data themselves are one of the deals: Phipson and Smyth 2010, Statistical Applications
    # in Genetics and Molecular Biology 9:39.
    p = (beyond + 1) / (draws + 1) if draws else np.full(3, math.nan)
    return row | dict(zip(("ks_p", "wasserstein_p", "psi_p"), p, strict=True)) | {"note": ""}


def _cuts(internal: np.ndarray, bins: int) -> np.ndarray:
    return np.unique(np.quantile(internal, np.linspace(0, 1, bins + 1)[1:-1]))


def _pool(values: np.ndarray, clusters: np.ndarray, cuts: np.ndarray) -> _Pooled:
    """Return rising values and their clusters, cut into blocks and bins."""
    n = len(values)
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    widths = np.append(np.diff(values[last]), 0.0)
    up_to = np.append(np.searchsorted(values, cuts, side="right"), n)
    blocks = []
    for start in range(0, n, _ROWS_AT_ONCE):
        stop = start + _ROWS_AT_ONCE
        place = slice(*np.searchsorted(last, [start, stop]))
        ends = up_to[(up_to > start) & (up_to <= stop)] - 1
        part = (
            clusters[start:stop],
            last[place] - start,
            (last[place] + 1) / n,
            widths[place],
            ends - start,
        )
        blocks.append(_Block(*part))
    return _Pooled(blocks, np.bincount(clusters), up_to)


def _dealt(of_cluster: np.ndarray, draws: int, seed: int, rows: int) -> Iterator[np.ndarray]:
    """Yield blocks of deals of the sources to clusters, draws x clusters."""
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // min(rows, _ROWS_AT_ONCE))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        yield generator.permuted(np.tile(of_cluster, (size, 1)), axis=1)
