"""Comparisons: is A really better than B? Paired, clustered, or against a leaderboard.

A difference counts only against its own error: of the same images (paired), by patient where
patients are known, and allowing for how many pairs were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.rows import (
    RANKED_ALIKE,
    absent_class,
    absent_clusters,
    binary_rows,
    few_remark,
    joined_rows,
    row_clusters,
)
from melnb.evaluation.statistics import intervals
from melnb.evaluation.statistics.intervals import holm_adjusted, with_holm
from melnb.tables.checks import TableError

MATRIX_COLUMNS = (
    "first", "second", "auc_first", "auc_second", "difference", "se", "low", "high",
    "z", "p", "p_holm", "verdict", "n", "positives", "note",
)  # fmt: skip
DISPERSION_COLUMNS = (
    "metric", "mean", "se", "low", "high", "sd", "lowest", "highest", "pooled",
    "folds", "n", "q", "p", "p_holm", "note",
)  # fmt: skip
NOT_TOLD_APART = "not told apart"


def comparison_matrix(
    members: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the difference of AUC of each pair of members, on the images that all of them hold.

    Differences are paired (DeLong 1988; clustered, Obuchowski 1997). P values are adjusted for the
    number of pairs by Holm 1979, Scandinavian Journal of Statistics 6:65, and the verdicts hold
    together: the chance that any of them is wrong is at most 1 - confidence.

    Args:
        members: Name of each and its predictions.
        positive: The class looked for.
        confidence: Of the intervals, each for its pair alone, and of all verdicts together.
        cluster: A column whose images err together; one member that has it is enough.

    Returns:
        A row per pair, `MATRIX_COLUMNS`: `verdict` is `<member> is better`, `not told apart` or
        `not estimable`.

    Raises:
        TableError: Members differ in an image's truth, or none has the column `cluster`.
    """
    names = list(members)
    if len(names) < 2:
        return pd.DataFrame(columns=list(MATRIX_COLUMNS))
    rows, scores = _shared_rows(members, positive, cluster)
    truth = rows["truth"].to_numpy()
    values, covariance = intervals.delong_covariance(truth, scores, row_clusters(rows, cluster))
    first, second = np.triu_indices(len(names), 1)
    variances = np.diag(covariance)
    variance = variances[first] + variances[second] - 2 * covariance[first, second]
    absent = absent_class(rows, positive) or absent_clusters(rows, cluster)
    estimable = (variance > intervals.NO_ERROR**2) & (not absent)
    difference = values[first] - values[second]
    tested = tested_differences(
        difference, np.sqrt(np.where(estimable, variance, np.nan)), confidence
    )
    cells = {
        "first": [names[k] for k in first],
        "second": [names[k] for k in second],
        "auc_first": values[first],
        "auc_second": values[second],
        **tested,
        "verdict": _verdicts(names, (first, second), difference, tested["p_holm"], 1 - confidence),
        "n": len(rows),
        "positives": int(truth.sum()),
        "note": np.where(estimable, few_remark(rows, cluster), absent or RANKED_ALIKE),
    }
    return pd.DataFrame(cells, columns=list(MATRIX_COLUMNS))


def tested_differences(
    difference: np.ndarray, se: np.ndarray, confidence: float
) -> dict[str, np.ndarray]:
    """Return differences with their intervals and p values, as columns.

    Args:
        difference: n normal estimates.
        se: Their standard errors; NaN where one is not estimable.
        confidence: Of the intervals, each by itself.

    Returns:
        `difference`, `se`, `low`, `high`, `z`, `p`, and `p_holm`, adjusted for their number.
    """
    half, z = intervals.normal_quantile(confidence) * se, difference / se
    p = np.array([intervals.two_sided_p(v) for v in z])
    limits = {"low": difference - half, "high": difference + half}
    return {
        "difference": difference, "se": se, **limits, "z": z, "p": p, "p_holm": holm_adjusted(p),
    }  # fmt: skip


def fold_dispersion(by_fold: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Return how far the folds' values lie apart, and whether chance alone would do so.

    Cochran 1954, Biometrics 10:101: Q is the sum of the squared differences from their weighted
    mean, each over its variance; alike folds give about its degrees of freedom, folds - 1. The
    models of folds share training images, so that p is a guide. Where `pooled` lies far below the
    mean, the folds' scores are on different scales: rank within folds before pooling.

    Args:
        by_fold: `ranking.metrics_by_fold`.
        confidence: Of the mean's interval, which is for these folds' models on other images.

    Returns:
        A row per metric, `DISPERSION_COLUMNS`: `mean` is that of the folds; `p_holm` is
        adjusted for the number of metrics.
    """
    entries = []
    for metric, part in by_fold.groupby("metric", sort=False):
        single = part["rows"].astype(str).str.startswith("fold ") & part["value"].notna()
        pooled = part.loc[part["rows"] == "out of fold", "value"]
        if not single.any():  # one fold, which has no number
            single = (part["rows"] == "out of fold") & part["value"].notna()
        row = _dispersion(part[single], confidence)
        if metric == "AUC" and "se" in row:
            limits = intervals.auc_limits(row["mean"], row["se"], confidence=confidence)
            row |= dict(zip(("low", "high"), limits, strict=True))
        row |= {"metric": metric, "pooled": float(pooled.iloc[0]) if len(pooled) else math.nan}
        entries.append(row)
    columns = [c for c in DISPERSION_COLUMNS if c != "p_holm"]
    return with_holm(pd.DataFrame(entries, columns=columns))


def leaderboard_error(
    auc: float,
    positives: int,
    negatives: int,
    *,
    correlations: Sequence[float] = (0.0, 0.5, 0.9),
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the error of an AUC of which only the counts are known, and the lead that counts.

    The formula of Hanley and McNeil 1982, Radiology 143:29, with normal scores of equal spread,
    which come close to DeLong's error where positives are rare. Their shortcut, exponential scores,
    is too wide there (`se_exponential`), and no scores at all err by more than `se_most` (Birnbaum
    and Klose 1957, Annals of Mathematical Statistics 28:933). Two entries err together on the same
    images, the more so the more alike they are (Hanley and McNeil 1983, Radiology 148:839): how
    much is not known from outside.

    Args:
        auc: Of an entry, from 0.5 up.
        positives: Images of the class looked for, 1 or more.
        negatives: The others, 1 or more.
        correlations: Between the errors of two entries' AUCs, each below 1.
        confidence: Of the interval and of the lead.

    Returns:
        A row per correlation: `auc`, `se_normal`, `low`, `high`, `se_exponential`, `se_most`,
        `correlation`, `least_lead` (between two entries, to mean anything), `positives`,
        `negatives`, `n`, `note`.

    Raises:
        ValueError: An argument is outside its range.
    """
    for name, value, within in (
        ("auc", auc, 0.5 <= auc <= 1),
        ("positives", positives, positives >= 1),
        ("negatives", negatives, negatives >= 1),
        *(("correlations", r, -1 <= r < 1) for r in correlations),
    ):
        if not within:
            raise ValueError(f"{name} is {value}: see leaderboard_error's arguments")
    # Imported here, as it would double what this module costs to import.
    from scipy.special import ndtri, owens_t

    # Two negatives below one positive, and one below two, are alike under equal spreads.
    both = auc - 2 * float(owens_t(ndtri(auc), math.sqrt(1 / 3))) if auc < 1 else 1.0
    se = _pairs_error(auc, positives, negatives, both, both) or math.nan
    shortcut = (auc / (2 - auc), 2 * auc**2 / (1 + auc))
    quantile = intervals.normal_quantile(confidence)
    low, high = intervals.auc_limits(auc, se, confidence=confidence)
    cells = {
        "auc": auc,
        "se_normal": se,
        "low": low,
        "high": high,
        "se_exponential": _pairs_error(auc, positives, negatives, *shortcut) or math.nan,
        "se_most": math.sqrt(auc * (1 - auc) / min(positives, negatives)) or math.nan,
        "correlation": list(correlations),
        "least_lead": [quantile * se * math.sqrt(2 * (1 - r)) for r in correlations],
        "positives": positives,
        "negatives": negatives,
        "n": positives + negatives,
        "note": "" if se == se else "interval not estimable: at an AUC of 1 there is no spread",
    }
    return pd.DataFrame(cells)


def lead_needed(area: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Return `leaderboard_error` of an area, or a row that says why there is none.

    Its limits are left out: they take each image by itself, and the area has its own.

    Args:
        area: `ranking.auc`; below 0.5 it counts as 0.5.
        confidence: Of the interval and of the lead.
    """
    row = area.iloc[0]
    positives = int(row["positives"])
    negatives = int(row["n"]) - positives
    if math.isnan(row["value"]):
        columns = leaderboard_error(0.5, 1, 1).columns
        counts = {"positives": positives, "negatives": negatives, "n": int(row["n"])}
        table = pd.DataFrame([counts | {"note": row["note"]}], columns=columns)
    else:
        value = max(row["value"], 0.5)
        table = leaderboard_error(value, positives, negatives, confidence=confidence)
    return table.drop(columns=["low", "high"])


def _pairs_error(auc: float, positives: int, negatives: int, first: float, second: float) -> float:
    """Return the standard error of an AUC from its counts: Hanley and McNeil 1982.

    Args:
        auc: Of the scores.
        positives: Their number.
        negatives: Their number.
        first: The chance that two positives both beat one negative.
        second: The chance that one positive beats two negatives.
    """
    variance = auc * (1 - auc)
    variance += (positives - 1) * (first - auc**2) + (negatives - 1) * (second - auc**2)
    return math.sqrt(max(variance, 0.0) / (positives * negatives))


def _shared_rows(
    members: Mapping[str, pd.DataFrame], positive: str, cluster: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the binary rows that all members hold, and the scores, members x rows."""
    tables = {name: binary_rows(table, positive=positive) for name, table in members.items()}
    # The one that knows the clusters leads.
    base = next((t for t in tables.values() if cluster in t.columns), next(iter(tables.values())))
    rows = base.drop(columns="score")
    for k, (name, table) in enumerate(tables.items()):
        scores = table[["image_id", "truth", "score"]].rename(columns={"score": f"score {k}"})
        rows = joined_rows(rows, scores, suffix=" of member")
        wrong = rows["truth"] != rows.pop("truth of member")
        if wrong.any():
            raise TableError(
                f"member {name}: truth of {rows.loc[wrong, 'image_id'].iloc[0]} differs from the "
                f"others' ({int(wrong.sum())} such images): they must be of the same labels"
            )
    return rows, rows[[f"score {k}" for k in range(len(tables))]].to_numpy(dtype=float).T


def _verdicts(
    names: list[str],
    pairs: tuple[np.ndarray, np.ndarray],
    difference: np.ndarray,
    adjusted: np.ndarray,
    risk: float,
) -> list[str]:
    verdicts = []
    for first, second, lead, p in zip(*pairs, difference, adjusted, strict=True):
        better = names[first] if lead > 0 else names[second]
        apart = f"{better} is better" if p < risk else NOT_TOLD_APART
        verdicts.append("not estimable" if math.isnan(p) else apart)
    return verdicts


def _dispersion(folds: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Return what the folds of one metric show; `folds` are those whose value is estimable."""
    row: dict[str, Any] = {"folds": len(folds), "n": int(folds["n"].sum())}
    if len(folds) < 2:
        return row | {
            "note": f"spread not estimable: {len(folds)} fold(s) with a value, of 2 or more"
        }
    value, se = (folds[c].to_numpy(dtype=float) for c in ("value", "se"))
    row |= {"mean": value.mean(), "sd": value.std(ddof=1), "note": ""}
    row |= {"lowest": value.min(), "highest": value.max()}
    if np.isnan(se).any():
        lacking = ", ".join(folds["rows"][np.isnan(se)])
        return row | {"note": f"interval and test not estimable: no error of {lacking}"}
    # Imported here, as it would double what this module costs to import.
    from scipy.special import chdtrc

    weight = 1 / se**2
    q = float((weight * (value - (weight * value).sum() / weight.sum()) ** 2).sum())
    error = math.sqrt((se**2).sum()) / len(folds)
    half = intervals.normal_quantile(confidence) * error
    row |= {"se": error, "low": max(value.mean() - half, 0.0)}
    row |= {"high": min(value.mean() + half, 1.0)}
    return row | {"q": q, "p": float(chdtrc(len(folds) - 1, q))}
