"""Within-fold AUC: what folds say together, and whether training anew would turn it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.rows import (
    ESTIMATE_COLUMNS,
    absent_class,
    absent_clusters,
    auc_estimate,
    auc_remark,
    binary_rows,
    estimate,
    joined_rows,
    row_clusters,
)
from melnb.evaluation.statistics import intervals
from melnb.evaluation.statistics.intervals import holm_adjusted
from melnb.evaluation.summaries import cluster_column
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import class_names
from melnb.tables.within_patient import without_gaps

# Test rows as each fold's network judges them, one by one.
#
# An out-of-fold row is judged by one network, a test row by the mean of all, which errs less. So
# what out-of-fold rows teach (a threshold, a calibrator) is not right for the mean: where the
# networks' log odds err as much as the images differ, a sensitivity of 0.90 becomes 0.97 and the
# slope of the calibration 1.8. To calibrate each network before averaging does not mend it: the
# mean of calibrated networks is not sure enough (Rahaman and Thiery 2021, NeurIPS 34). Network by
# network it holds.

Networks = Mapping[int, pd.DataFrame]
"""Fold and predictions of the network that was trained without it, of the same test rows."""
NETWORK = "network"


def network_rows(predictions: pd.DataFrame, networks: Networks) -> pd.DataFrame:
    """Return test rows as often as there are networks, each with one network's values.

    The rows of an image err together: they share its patient, else its lesion, else a `lesion_id`
    that is the image's own.

    Args:
        predictions: Predictions table of test rows, the networks' mean.
        networks: Of these rows and, maybe, others; none: the table is returned as it is.

    Returns:
        A predictions table; `image_id` is `<image>+fold<fold>`, and `network` is the fold.

    Raises:
        TableError: A network lacks a row or a class.
    """
    if not networks or predictions.empty:
        return predictions
    column = cluster_column(predictions) or "lesion_id"
    clusters = predictions[column] if column in predictions else pd.Series(index=predictions.index)
    codes = clusters.astype(object).where(clusters.notna(), predictions["image_id"])
    rows = predictions.assign(**{column: codes})
    entries = []
    for fold, table in networks.items():
        names = [f"p_{name}" for name in class_names(predictions)]
        ids = predictions["image_id"].astype(str) + f"+fold{fold}"
        values = _values(predictions, table, fold)
        entries.append(rows.assign(image_id=ids, **dict(zip(names, values.T, strict=True))))
        entries[-1][NETWORK] = fold
    return pd.concat(entries, ignore_index=True)


def with_mean(predictions: pd.DataFrame, networks: Networks) -> pd.DataFrame:
    """Return predictions whose test rows have the mean of the networks' values.

    Args:
        predictions: Predictions table.
        networks: Of its test rows; none: the table is returned as it is.

    Raises:
        TableError: A network lacks a row or a class.
    """
    test = (predictions["fold"] == TEST).to_numpy()
    if not networks or not test.any():
        return predictions
    rows = predictions[test]
    values = np.mean([_values(rows, table, fold) for fold, table in networks.items()], axis=0)
    whole = predictions.copy()
    whole.loc[test, [f"p_{name}" for name in class_names(predictions)]] = values
    return whole


def mean_remark(judged: Mapping[str, pd.DataFrame], networks: Mapping[str, Networks]) -> str:
    """Return what to know of test rows of which one score alone is known; nothing if none are.

    Args:
        judged: Label and predictions of rows with a truth.
        networks: Those of its test rows, by label, where they are known.
    """
    alone = [
        name
        for name, table in judged.items()
        if not networks.get(name) and (table["fold"] == TEST).any()
    ]
    if not alone:
        return ""
    return (
        f"Of the test images of {', '.join(alone)} one score each is known, and judged as it comes."
        " If it is a mean of networks, neither a threshold nor a calibrator that was fitted to"
        " single networks is quite right for it: what was locked for a sensitivity of 0.90 finds"
        " 0.93 to 0.97, and the slope of the calibration lies above 1."
    )


def count_networks(predictions: pd.DataFrame) -> int:
    """Return how many rows there are of each image: 1, or as many as there are networks."""
    return int(predictions[NETWORK].nunique()) if NETWORK in predictions else 1


def image_ids(predictions: pd.DataFrame) -> pd.Series:
    """Return the image that each row is of: what `network_rows` began its `image_id` with."""
    ids = predictions["image_id"].astype(str)
    if NETWORK not in predictions:
        return ids
    ends = "+fold" + predictions[NETWORK].astype(str)
    whole = [name.removesuffix(end) for name, end in zip(ids, ends, strict=True)]
    return pd.Series(whole, index=predictions.index)


def _values(rows: pd.DataFrame, table: pd.DataFrame, fold: int) -> np.ndarray:
    """Return a network's values of rows, in the order of their classes."""
    names = [f"p_{name}" for name in class_names(rows)]
    absent = [name for name in names if name not in table]
    if absent:
        raise TableError(f"network of fold {fold}: no column {absent[0]}: run 04_predict anew")
    values = table.set_index("image_id")[names].reindex(rows["image_id"]).to_numpy(dtype=float)
    lost = np.isnan(values).any(axis=1)
    if lost.any():
        raise TableError(
            f"network of fold {fold}: no value of {rows['image_id'].iloc[int(lost.argmax())]} "
            f"({int(lost.sum())} such images): run 04_predict anew"
        )
    return values


WITHIN, POOLED = "within folds", "pooled"
COMPARISON_COLUMNS = (
    "first", "second", "auc_first", "auc_second", "difference", "se", "low", "high", "sd",
    "t", "df", "p", "p_holm", "folds", "n", "note",
)  # fmt: skip


def cross_validated_auc(
    predictions: pd.DataFrame, *, positive: str, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return the mean of the folds' AUCs beside the AUC of all out-of-fold rows pooled.

    Within a fold one network's scores are compared with each other alone; the pooled area also
    compares scores of different networks, and falls where their scales differ. The error of the
    mean is that of its influence curve: LeDell, Petersen and van der Laan 2015, Electronic Journal
    of Statistics 9:1583, with the sums of each cluster's rows where there are clusters. Each
    fold's part has n - 1 for n, as DeLong's has, since folds are small.

    Args:
        predictions: Predictions table; test rows are left out.
        positive: The class looked for.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `rows` (within folds, pooled) and `rows.ESTIMATE_COLUMNS`.
    """
    rows = binary_rows(predictions[predictions["fold"] != TEST], positive=positive)
    how: dict[str, Any] = {"positive": positive, "confidence": confidence, "cluster": cluster}
    within = _within(rows, **how).assign(rows=WITHIN)
    pooled = auc_estimate(rows, **how).assign(rows=POOLED)
    return pd.concat([within, pooled], ignore_index=True)[["rows", *ESTIMATE_COLUMNS]]


def influence_error(
    truth: np.ndarray, score: np.ndarray, fold: np.ndarray, clusters: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the mean of the folds' AUCs, and its standard error (see `cross_validated_auc`).

    Args:
        truth: n booleans; every fold holds both classes.
        score: n numbers.
        fold: n whole numbers.
        clusters: n whole numbers from 0, each within one fold; None: every row stands alone.
    """
    codes = np.arange(len(truth)) if clusters is None else clusters
    values, squares = [], []
    for k in np.unique(fold):
        members = fold == k
        value, parts = _influence(truth[members], score[members], truth.mean())
        sums = np.bincount(without_gaps(codes[members]), weights=parts)
        values.append(value)
        squares.append((sums**2).mean() * (1 if clusters is None else _unbiased(len(sums))))
    # A cluster's sum is over its rows, whose mean number turns it into the mean of one row.
    number = intervals.count_clusters(codes)
    error = math.sqrt(float(np.mean(squares)) / number) * number / len(truth)
    return float(np.mean(values)), error


def fold_comparison(
    members: Mapping[str, pd.DataFrame], *, positive: str, confidence: float = 0.95
) -> pd.DataFrame:
    """Return the first member's AUC less each other's, fold by fold: would it be so if retrained?

    Paired intervals of one set of images say nothing of the training. The folds' differences do,
    but their networks share training images, so that the plain t test finds too much: the variance
    of their mean is enlarged to (1 / folds + test / training images) times theirs. Nadeau and
    Bengio 2003, Machine Learning 52:239. P values are adjusted by Holm's method.

    Args:
        members: Name of each and its predictions, of the same folds.
        positive: The class looked for.
        confidence: Of the intervals.

    Returns:
        A row per other member, `COMPARISON_COLUMNS`; AUCs are means over the folds.

    Raises:
        TableError: Members differ in an image's truth.
    """
    (name, first), *others = members.items()
    entries = []
    for other, second in others:
        row = _fold_row(_paired(first, second, positive, other), confidence)
        entries.append({"first": name, "second": other, **row})
    table = pd.DataFrame(entries, columns=list(COMPARISON_COLUMNS))
    return table.assign(p_holm=holm_adjusted(table["p"].to_numpy(dtype=float)))


def corrected_t(
    differences: np.ndarray, *, test_share: float, confidence: float = 0.95
) -> dict[str, float]:
    """Return the corrected resampled t test of Nadeau and Bengio 2003 (see `fold_comparison`).

    Args:
        differences: k, of two models over the same splits; splits may be repeated.
        test_share: Images that judge for each that trains: 1 / (folds - 1).
        confidence: Of the interval.

    Returns:
        `difference`, `sd`, `se`, `low`, `high`, `t`, `df`, `p` (two-sided); all but the first NaN
        where fewer than two splits differ.
    """
    # Imported here, as it would double what this module costs to import.
    from scipy.special import stdtr, stdtrit

    k = len(differences)
    mean = float(np.mean(differences)) if k else math.nan
    sd = float(np.std(differences, ddof=1)) if k > 1 else math.nan
    if not sd > intervals.NO_ERROR:
        unknown = dict.fromkeys(("sd", "se", "low", "high", "t", "df", "p"), math.nan)
        return {"difference": mean, **unknown}
    se = sd * math.sqrt(1 / k + test_share)
    t, half = mean / se, float(stdtrit(k - 1, (1 + confidence) / 2)) * se
    limits = {"low": mean - half, "high": mean + half}
    p = float(2 * stdtr(k - 1, -abs(t)))
    return {"difference": mean, "sd": sd, "se": se, **limits, "t": t, "df": k - 1, "p": p}


def _within(rows: pd.DataFrame, *, positive: str, confidence: float, cluster: str) -> pd.DataFrame:
    mixed = rows.groupby("fold")["truth"].nunique() > 1
    left_out = sorted(mixed.index[~mixed])
    kept = rows[rows["fold"].map(mixed).astype(bool)] if len(rows) else rows
    value, se = math.nan, math.nan
    if len(kept):
        truth, score, fold = (kept[c].to_numpy() for c in ("truth", "score", "fold"))
        value, se = influence_error(truth, score, fold, _within_folds(kept, cluster))
    reason = absent_class(rows, positive)
    if not reason and kept.empty:
        reason = "not estimable: no fold holds both classes"
    if not reason:
        reason = absent_clusters(kept, cluster) and f"interval {absent_clusters(kept, cluster)}"
    if not reason and not se > intervals.NO_ERROR:
        reason = "interval not estimable: the rows show no spread"
    remarks = [f"without fold {k}, of one class" for k in left_out] if len(kept) else []
    remarks += ["of one fold, which is the pooled area"] if kept["fold"].nunique() == 1 else []
    remarks += [] if reason else [auc_remark(kept, value, cluster)]
    return estimate(
        "AUC",
        value,
        kept,
        se=se,
        limits=intervals.auc_limits(value, se, confidence=confidence),
        method=f"influence curve by {cluster}" if cluster else "influence curve",
        reason=reason,
        remark="; ".join(filter(None, remarks)),
    )


def _within_folds(rows: pd.DataFrame, cluster: str) -> np.ndarray | None:
    """Return the clusters' codes; what stands in two folds is two."""
    clusters = row_clusters(rows, cluster)
    if clusters is None:
        return None
    _, fold = np.unique(rows["fold"].to_numpy(), return_inverse=True)
    return without_gaps(fold * (int(clusters.max(initial=-1)) + 1) + clusters)


def _influence(truth: np.ndarray, score: np.ndarray, share: float) -> tuple[float, np.ndarray]:
    """Return a fold's AUC and the influence of each of its rows on it, at a share of positives."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    won = intervals.wins(truth, score)
    value = float(won[truth].mean())
    factors = (math.sqrt(_unbiased(k)) for k in (positives, negatives))
    weight = np.where(truth, *(f / s for f, s in zip(factors, (share, 1 - share), strict=True)))
    return value, (won - value) * weight


def _unbiased(number: int) -> float:
    return number / (number - 1) if number > 1 else math.nan


def _paired(first: pd.DataFrame, second: pd.DataFrame, positive: str, name: str) -> pd.DataFrame:
    """Return the out-of-fold rows that both hold in the same fold."""
    ours, theirs = (
        binary_rows(t[t["fold"] != TEST], positive=positive)[["image_id", "fold", "truth", "score"]]
        for t in (first, second)
    )
    rows = joined_rows(ours, theirs)
    wrong = rows["truth"] != rows["truth_second"]
    if wrong.any():
        raise TableError(
            f"member {name}: truth of {rows.loc[wrong, 'image_id'].iloc[0]} differs from the "
            f"first's ({int(wrong.sum())} such images): they must be of the same labels"
        )
    return rows


def _fold_row(rows: pd.DataFrame, confidence: float) -> dict[str, object]:
    if (rows["fold"] != rows["fold_second"]).any():
        moved = int((rows["fold"] != rows["fold_second"]).sum())
        return {"n": len(rows), "note": f"not estimable: {moved} images are in other folds"}
    areas = []
    for _, part in rows.groupby("fold"):
        truth = part["truth"].to_numpy()
        pair = part[["score", "score_second"]].to_numpy().T
        areas.append([intervals.auc_parts(truth, score)[0] for score in pair])
    pairs = np.array([a for a in areas if not math.isnan(a[0])]).reshape(-1, 2)
    folds = rows["fold"].nunique()
    share = 1 / (folds - 1) if folds > 1 else math.nan
    interval = corrected_t(pairs[:, 0] - pairs[:, 1], test_share=share, confidence=confidence)
    means = pairs.mean(axis=0) if len(pairs) else (math.nan, math.nan)
    note = "" if len(pairs) == folds else f"without {folds - len(pairs)} fold(s) of one class"
    if math.isnan(interval["se"]):
        note = f"not estimable: {len(pairs)} fold(s) of both classes, or no difference"
    areas_of = {"auc_first": float(means[0]), "auc_second": float(means[1])}
    return {**areas_of, **interval, "folds": len(pairs), "n": len(rows), "note": note}
