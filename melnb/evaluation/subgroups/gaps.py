"""Fairness gaps: do subgroups differ by more than chance, and which gap could be seen?"""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from melnb.evaluation import rows
from melnb.evaluation.statistics.intervals import (
    NO_ERROR,
    auc_covariance,
    auc_parts,
    holm_adjusted,
    normal_quantile,
    wilson_interval,
)
from melnb.evaluation.statistics.proportions import design_effect
from melnb.evaluation.subgroups.subgroup_metrics import (
    CUT,
    UNKNOWN,
    Arrays,
    check_limits,
    join_levels,
    row_arrays,
    too_few,
)

METRICS = {"AUC": "both", "sensitivity": "positive", "specificity": "negative"}
COLUMNS = (
    "column", "metric", "levels", "lowest", "highest", "value_lowest", "value_highest", "gap",
    "low", "high", "statistic", "df", "p", "p_holm", "detectable", "left_out", "method", "note",
)  # fmt: skip
_POWER = 0.8


class _Levels(NamedTuple):
    """Estimates of k levels: names, values, what is needed for limits, and a test of them."""

    names: list[str]
    values: np.ndarray
    variances: np.ndarray  # k x k: of the values
    effective: np.ndarray  # k: rows that a proportion is worth; empty for an AUC
    method: str


def gap_tests(
    predictions: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    positive: str,
    threshold: float,
    confidence: float = 0.95,
    cluster: str = "",
    smallest: int = 20,
) -> pd.DataFrame:
    """Test in each column whether AUC, sensitivity and specificity are the same in all levels.

    AUC: Wald's test on DeLong's variances, which is Cochran's Q (1954, Biometrics 10:101) where
    levels share no cluster; where they do (a patient's lesions at two sites) their covariance
    counts. Sensitivity and specificity: Pearson's chi-square on counts divided by each level's
    design effect (Rao and Scott 1992, Biometrics 48:577). `p_holm` is Holm's over the columns of
    a metric (1979, Scandinavian Journal of Statistics 6:65).

    The largest gap was picked among all pairs of levels, and its interval pays for that
    (Bonferroni): Wald's for AUC, Newcombe's hybrid of Wilson's for proportions (1998, Statistics in
    Medicine 17:873). `unknown` and levels with too few rows are not tested, nor is `diagnosis`,
    which is known only afterwards.

    Args:
        predictions: Predictions table; out-of-fold or test rows, not both.
        groups: As in `subgroup_metrics`, and so the other arguments.
        positive: The class looked for.
        threshold: A row is flagged at or above it. NaN: see `subgroup_metrics`.
        confidence: Of the intervals, and of the test whose detectable gap is stated.
        cluster: A column, such as `patient_id`, whose images err together.
        smallest: Fewest positives, negatives and clusters of a level that is tested.

    Returns:
        A row per column and metric: `levels` (tested), `lowest` and `highest` (levels),
        `value_lowest`, `value_highest`, `gap`, `low`, `high`, `statistic`, `df`, `p`, `p_holm`,
        `detectable` (the gap between these two levels that a test would find 4 times in 5),
        `left_out` (levels with too few rows), `method`, `note`.
    """
    check_limits(smallest)
    normal_quantile(confidence)  # refuses what is no share, whatever the rows
    binary = rows.binary_rows(predictions, positive=positive)
    arrays = row_arrays(binary, threshold=threshold, cluster=cluster)
    few = partial(too_few, positive=positive, smallest=max(smallest, 2), cluster=cluster)
    entries = []
    for column, levels in join_levels(binary, groups).items():
        if column == "diagnosis":
            continue
        codes = {str(name): levels.codes == k for k, name in enumerate(levels.categories)}
        held = {
            name: members for name, members in codes.items() if members.any() and name != UNKNOWN
        }
        for metric, needs in METRICS.items():
            kept = {
                name: where for name, where in held.items() if not few(arrays.take(where), needs)
            }
            uncut = metric in CUT and math.isnan(threshold)
            row = _tested(arrays, {} if uncut else kept, metric, confidence)
            row |= {"note": rows.UNCUT} if uncut else {}
            row |= {"column": column, "metric": metric, "levels": len(kept)}
            entries.append(row | {"left_out": ", ".join(n for n in held if n not in kept)})
    table = pd.DataFrame(entries, columns=list(COLUMNS))
    for metric in METRICS:
        members = table["metric"] == metric
        table.loc[members, "p_holm"] = holm_adjusted(table.loc[members, "p"].to_numpy(dtype=float))
    return table.assign(note=[_words(row, confidence) for _, row in table.iterrows()])


def _tested(
    arrays: Arrays, kept: dict[str, np.ndarray], metric: str, confidence: float
) -> dict[str, object]:
    if len(kept) < 2:
        words = "fewer than two levels have rows enough"
        return {"note": f"not estimable: {words}", "method": ""}
    levels = _areas(arrays, kept) if metric == "AUC" else _proportions(arrays, kept, metric)
    statistic, df, p = _homogeneity(levels)
    low, high = int(levels.values.argmin()), int(levels.values.argmax())
    if low == high:  # all alike
        high = (low + 1) % len(kept)
    row: dict[str, object] = {
        "lowest": levels.names[low],
        "highest": levels.names[high],
        "value_lowest": levels.values[low],
        "value_highest": levels.values[high],
        "gap": levels.values[high] - levels.values[low],
        "statistic": statistic,
        "df": df,
        "p": p,
        "method": levels.method,
        "note": "" if p == p else "not estimable: the rows show no spread",
    }
    return row | _gap_limits(levels, low, high, confidence)


def _areas(arrays: Arrays, kept: dict[str, np.ndarray]) -> _Levels:
    values, parts = np.empty(len(kept)), np.zeros((len(kept), len(arrays.truth)))
    for k, where in enumerate(kept.values()):
        values[k], parts[k, where] = auc_parts(arrays.truth[where], arrays.score[where])
    used = np.stack(list(kept.values()))
    covariance = auc_covariance(parts, arrays.truth, arrays.clusters, used=used)
    return _Levels(list(kept), values, covariance, np.empty(0), "DeLong, Wald")


def _proportions(arrays: Arrays, kept: dict[str, np.ndarray], metric: str) -> _Levels:
    share, total = np.empty(len(kept)), np.empty(len(kept))
    for k, where in enumerate(kept.values()):
        level = arrays.take(where)
        counted = level.truth if metric == "sensitivity" else ~level.truth
        hits = (level.flagged == level.truth) & counted
        effect = 1 if level.clusters is None else design_effect(hits, counted, level.clusters)
        share[k], total[k] = hits.sum() / effect, counted.sum() / effect
    pooled = share.sum() / total.sum()
    variances = np.diag(pooled * (1 - pooled) / total)
    return _Levels(list(kept), share / total, variances, total, "chi-square, Rao and Scott")


def _homogeneity(levels: _Levels) -> tuple[float, int, float]:
    """Return Wald's statistic that all values are equal, its degrees of freedom and its p."""
    from scipy.special import chdtrc  # 0.3 s, which reading a curve need not pay

    df = len(levels.values) - 1
    differences = np.eye(df + 1)[1:] - np.eye(df + 1)[0]
    apart = differences @ levels.values
    variances = differences @ levels.variances @ differences.T
    if not (np.linalg.eigvalsh(variances) > NO_ERROR**2).all():
        return math.nan, df, math.nan
    statistic = float(apart @ np.linalg.solve(variances, apart))
    return statistic, df, float(chdtrc(df, statistic))


def _gap_limits(levels: _Levels, low: int, high: int, confidence: float) -> dict[str, float]:
    """Return the limits of the gap between two levels, and the gap that could have been seen."""
    pairs = len(list(combinations(levels.values, 2)))
    wide = 1 - (1 - confidence) / pairs
    value_low, value_high = levels.values[low], levels.values[high]
    variances = levels.variances
    variance = variances[low, low] + variances[high, high] - 2 * variances[low, high]
    se = math.sqrt(max(variance, 0.0))
    z = normal_quantile(wide)
    if not se > NO_ERROR:
        return {"low": math.nan, "high": math.nan, "detectable": math.nan}
    below = above = z * se
    if len(levels.effective):
        worth = levels.effective[[low, high]]
        limits = wilson_interval(levels.values[[low, high]] * worth, worth, confidence=wide)
        (under_low, under_high), (over_low, over_high) = limits
        below = math.hypot(value_high - under_high, over_low - value_low)
        above = math.hypot(over_high - value_high, value_low - under_low)
    gap = value_high - value_low
    reach = z + normal_quantile(2 * _POWER - 1)
    return {
        "low": max(gap - below, -1.0),
        "high": min(gap + above, 1.0),
        "detectable": min(reach * se, 1.0),
    }


def _words(row: pd.Series, confidence: float) -> str:
    """Return what a test says, in a sentence."""
    if row["note"]:
        return str(row["note"])
    p = f"p {row['p_holm']:.2g} after Holm"
    pair = f"{row['lowest']} and {row['highest']}"
    if row["p_holm"] < 1 - confidence:
        return f"levels differ ({p}); the widest gap is between {pair}"
    return (
        f"no gap shown ({p}), which is no proof that there is none: between {pair} "
        f"only a gap of {row['detectable']:.3f} or more would be found 4 times in 5"
    )
