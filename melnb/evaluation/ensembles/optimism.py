"""Optimism: how much of a selection's gain is luck?

Apparent: what was chosen by all rows, judged on these rows; the best of many is partly the luckiest
of many. Honest: each fold's rows by what was chosen without them. Their difference is the optimism.

Blends chosen for different folds are on scales of their own, and pooling them costs a little that
is no luck. So each comparison is made twice: of all pairs, as everywhere else, and of pairs of one
fold, where scales cannot differ: LeDell, Petersen and van der Laan 2015, Electronic Journal of
Statistics 9:1583, with folds weighed by their pairs.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from melnb.evaluation.ensembles.candidates import (
    Selection,
    blended_scores,
    cross_fitted_scores,
    name_blend,
)
from melnb.evaluation.rows import absent_clusters, auc_estimate, few_remark, row_clusters
from melnb.evaluation.statistics import intervals
from melnb.tables.checks import TEST

OPTIMISM_COLUMNS = (
    "what", "pairs", "apparent", "honest", "low", "high", "optimism", "optimism_low",
    "optimism_high", "n", "positives", "note",
)  # fmt: skip
PATH_COLUMNS = (
    "size", "members", "added", "chosen", "apparent", "honest", "low", "high", "optimism",
    "n", "positives", "note",
)  # fmt: skip
_UNSELECTED = "not estimable: all members are blended, and none was selected"
SELECTED, OVER_MEAN, OVER_BEST = (
    "selected members", "gain over the mean of all", "gain over the best member",
)  # fmt: skip
ALL_PAIRS, ONE_FOLD = "all", "of one fold"
# Of the areas of: what was selected, apparent and honest; the mean of all; the best member, both.
_APPARENT = {SELECTED: (1, 0, 0, 0, 0), OVER_MEAN: (1, 0, -1, 0, 0), OVER_BEST: (1, 0, 0, -1, 0)}
_HONEST = {SELECTED: (0, 1, 0, 0, 0), OVER_MEAN: (0, 1, -1, 0, 0), OVER_BEST: (0, 1, 0, 0, -1)}


def optimism_table(
    selection: Selection | None, *, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return what the selection seems to bring, what it brings, and the difference.

    The best member is chosen too, and without the rows that it is judged on; the mean of all needs
    no choice. Intervals are DeLong's, of areas on the same rows (by cluster, Obuchowski 1997); they
    hold for what was chosen, and leave out that other images would have chosen otherwise.

    Args:
        selection: `search.select_members`; None, where nothing was searched: a row that says so.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `OPTIMISM_COLUMNS`, three rows for each kind of pairs: `low` and `high` are of `honest`, and
        a gain whose limits span 0 is not shown.
    """
    if selection is None:
        cells = {"what": [SELECTED], "pairs": [ALL_PAIRS], "note": [_UNSELECTED]}
        return pd.DataFrame(cells, columns=list(OPTIMISM_COLUMNS))
    rows = selection.candidates.rows
    truth = rows["truth"].to_numpy()
    clusters = row_clusters(rows, cluster)
    one = {fold: counts[0] for fold, counts in selection.counts.items()}
    best = {fold: selection.chosen(fold) for fold in selection.counts}
    scores = np.stack(
        [
            blended_scores(selection.candidates, selection.chosen()),
            cross_fitted_scores(selection, best),
            blended_scores(selection.candidates, np.ones_like(selection.chosen())),
            blended_scores(selection.candidates, selection.counts[TEST][0]),
            cross_fitted_scores(selection, one),
        ]
    )
    reason, remark = absent_clusters(rows, cluster), few_remark(rows, cluster)
    entries = []
    for pairs in (ALL_PAIRS, ONE_FOLD):
        fold = rows["fold"].to_numpy() if pairs == ONE_FOLD else np.zeros(len(rows), dtype=int)
        values, covariance = _areas(truth, scores, fold, clusters)
        if reason:
            covariance = np.full_like(covariance, math.nan)
        for what in _APPARENT:
            row = _compared(what, values, covariance, confidence)
            row["note"] = "; ".join(str(t) for t in (reason or row["note"], remark) if t)
            entries.append(row | {"what": what, "pairs": pairs})
    table = pd.DataFrame(entries).assign(n=len(rows), positives=int(truth.sum()))
    return table[list(OPTIMISM_COLUMNS)]


def path_table(
    selection: Selection | None, *, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return the best blend of each size: its apparent area, and the honest one of its size.

    Args:
        selection: `search.select_members`, of a greedy search its path; None: no row.
        confidence: Of the intervals.
        cluster: A column whose images err together.

    Returns:
        `PATH_COLUMNS`: `members` by all rows; `added`, where they are those of the row before and
        one more; `chosen` marks the best; `honest` with `low` and `high` for a selection that takes
        just so many, each fold's rows by the members chosen without them.
    """
    if selection is None:
        return pd.DataFrame(columns=list(PATH_COLUMNS))
    names, rows = selection.candidates.names, selection.candidates.rows
    everyone, apparent = selection.counts[TEST], selection.aucs[TEST]
    entries = []
    for k, counts in enumerate(everyone):
        of_size = {fold: steps[k] for fold, steps in selection.counts.items()}
        scored = rows.assign(score=cross_fitted_scores(selection, of_size))
        honest = auc_estimate(
            scored, positive=selection.candidates.positive, confidence=confidence, cluster=cluster
        ).iloc[0]
        more = counts - everyone[k - 1] if k else counts
        entries.append(
            {
                "size": int(counts.sum()),
                "members": name_blend(names, counts),
                "added": names[int(more.argmax())] if more.min() >= 0 else "",
                "chosen": k == int(np.argmax(apparent)),
                "apparent": apparent[k],
                "honest": honest["value"],
                "optimism": round(apparent[k] - honest["value"], 12) + 0.0,  # no -1e-16, no -0
                **honest[["low", "high", "n", "positives", "note"]],
            }
        )
    return pd.DataFrame(entries, columns=list(PATH_COLUMNS))


def _areas(
    truth: np.ndarray, scores: np.ndarray, fold: np.ndarray, clusters: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the areas of k scores over the pairs of one fold, and their covariance.

    A fold counts by its pairs; one that lacks a class has none.
    """
    values, parts = np.zeros(len(scores)), np.zeros(scores.shape)
    pairs = {k: int(truth[fold == k].sum()) * int((~truth[fold == k]).sum()) for k in set(fold)}
    total = sum(pairs.values())
    for k in sorted(pairs):
        if not pairs[k]:
            continue
        members, share = fold == k, pairs[k] / total
        for j, score in enumerate(scores):
            value, part = intervals.auc_parts(truth[members], score[members])
            values[j] += share * value
            parts[j, members] = share * part
    if not total:
        values[:] = parts[:] = math.nan
    return values, intervals.auc_covariance(parts, truth, clusters)


def _compared(
    what: str, values: np.ndarray, covariance: np.ndarray, confidence: float
) -> dict[str, object]:
    """Return a row of the table without its counts."""
    apparent, honest = np.array(_APPARENT[what]), np.array(_HONEST[what])
    luck, quantile = apparent - honest, intervals.normal_quantile(confidence)
    half, note = _half_width(honest, covariance, quantile)
    row: dict[str, object] = {"apparent": apparent @ values, "honest": honest @ values}
    row |= {"low": honest @ values - half, "high": honest @ values + half}
    if what == SELECTED:
        limits = intervals.auc_limits(honest @ values, half / quantile, confidence=confidence)
        row["low"], row["high"] = limits
    half, luck_note = _half_width(luck, covariance, quantile)
    row |= {"optimism": luck @ values, "optimism_low": luck @ values - half}
    row |= {"optimism_high": luck @ values + half}
    if not note and luck_note:
        note = "no error of the optimism: every fold chose what all rows did"
    if math.isnan(values[0]):
        note = "not estimable: no fold holds both classes"
    return row | {"note": note}


def _half_width(contrast: np.ndarray, covariance: np.ndarray, quantile: float) -> tuple[float, str]:
    variance = float(contrast @ covariance @ contrast)
    if math.isnan(variance):
        return math.nan, "interval not estimable: a class has too few rows"
    if variance <= intervals.NO_ERROR**2:
        return math.nan, "interval not estimable: both rank the rows alike"
    return quantile * math.sqrt(variance), ""
