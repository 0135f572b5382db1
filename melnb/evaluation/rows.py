"""From a predictions table to the rows behind a number, and the row that carries it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from melnb.evaluation.statistics import bootstrap, intervals
from melnb.evaluation.statistics.bootstrap import Statistic, step_counts
from melnb.evaluation.summaries import cluster_column
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import class_names

# Who may be fitted on for whom: the folds, or the parts that a single fold is cut into.
#
# What is fitted for a row is fitted on the other parts. A file of anyone's that has no folds is one
# fold, and would otherwise have nothing to be fitted on.

_PARTS = 5  # that a single fold is cut into


def crossfit_parts(rows: pd.DataFrame, *, cluster: str = "") -> tuple[np.ndarray, str]:
    """Return the part of each row, and how parts were made, in words.

    Parts are the folds; a single fold is cut into five by whole clusters (scikit-learn's
    `GroupKFold`), or into fewer where there are fewer of them.

    Args:
        rows: Predictions, or any other table with a column `fold`.
        cluster: What is not to be cut through; empty: patients, else lesions, else rows, whichever
            are known.

    Returns:
        n whole numbers, -1 for test rows, and a text that is empty where parts are the folds.
    """
    fold = rows["fold"].to_numpy(dtype=int)
    inside = fold != TEST
    if len(np.unique(fold[inside])) != 1:
        return fold, ""
    cluster = cluster or cluster_column(rows)
    groups = row_clusters(rows[inside], cluster)
    groups = np.arange(int(inside.sum())) if groups is None else groups
    number = min(_PARTS, len(np.unique(groups)))
    if number < 2:
        return fold, f"one fold, and all its rows are of one {cluster or 'image'}"
    # Imported here, as scikit-learn costs a second.
    from sklearn.model_selection import GroupKFold

    part = np.full(len(fold), TEST)
    places = np.flatnonzero(inside)
    for k, (_, members) in enumerate(GroupKFold(number).split(places, groups=groups)):
        part[places[members]] = k
    unit = cluster.removesuffix("_id") if cluster else "image"
    return part, f"one fold, cut into {number} parts by {unit}"


ESTIMATE_COLUMNS = (
    "metric", "value", "se", "low", "high", "n", "positives", "left_out", "method", "note",
)  # fmt: skip
DIFFERENCE_COLUMNS = (
    "auc_first", "auc_second", "difference", "se", "low", "high", "z", "p",
    "n", "positives", "note",
)  # fmt: skip
DELONG = "logit DeLong"
NO_SPREAD = "interval not estimable: the rows show no spread (classes wholly apart, or all tied)"
RANKED_ALIKE = "not estimable: the two scores rank the rows alike, or a class has 1 row"
UNCUT = "not estimable: no threshold was chosen"
# With so many of a class, DeLong's interval of an AUC of 0.9 covers 89 % where 95 % is meant; with
# so few of them misplaced, 93 % or less.
_FEW, _FEW_MISPLACED = 20, 4
_KEPT: list[tuple[pd.Series, np.ndarray]] = []  # the column last asked for, and its numbers


def binary_rows(predictions: pd.DataFrame, *, positive: str) -> pd.DataFrame:
    """Return the rows that have a truth, with the positive class set against the rest.

    Returns:
        Every column ending in `_id`, `fold`, `truth` (bool) and `score`, which is `p_<positive>`;
        `attrs["left_out"]` counts the rows without a truth.

    Raises:
        TableError: `positive` is not a class of the table, or a score is NaN.
    """
    classes = class_names(predictions)
    if positive not in classes:
        raise TableError(f"predictions: positive is {positive!r}, not one of {list(classes)}")
    judged = predictions[predictions["truth"].notna()]
    score = judged[f"p_{positive}"].to_numpy(dtype=float)
    if np.isnan(score).any():
        first = judged["image_id"].iloc[int(np.isnan(score).argmax())]
        raise TableError(f"predictions: p_{positive} of {first} is NaN: predict this image again")
    ids = [c for c in judged.columns if str(c).endswith("_id")]
    rows = judged[[*ids, "fold"]].reset_index(drop=True)
    rows = rows.assign(truth=(judged["truth"] == positive).to_numpy(dtype=bool), score=score)
    rows.attrs["left_out"] = len(predictions) - len(judged)
    return rows


def row_clusters(rows: pd.DataFrame, column: str) -> np.ndarray | None:
    """Return a whole number per row, equal within a cluster; None for an empty column name.

    A row whose cluster is unknown stands alone. The numbers are not to be written to: they are kept
    for who asks next, as an estimate and each of its notes do. A million names lie in no cache, and
    take half a second to number.

    Raises:
        TableError: There is no such column.
    """
    if not column:
        return None
    if column not in rows.columns:
        raise TableError(
            f"predictions: no column {column!r} to cluster by among {[str(c) for c in rows]}: "
            "merge it from the images table, or leave cluster empty"
        )
    asked = rows[column]
    if _KEPT and asked.equals(_KEPT[0][0]):
        return _KEPT[0][1]
    # Of texts pandas numbers objects twice as fast as its own strings.
    texts = isinstance(asked.dtype, pd.StringDtype)
    codes, names = pd.factorize(asked.to_numpy(dtype=object) if texts else asked)
    unknown = codes == -1
    clusters = np.where(unknown, len(names) + np.cumsum(unknown) - 1, codes)
    clusters.flags.writeable = False
    _KEPT[:] = [(asked.copy(), clusters)]
    return clusters


def same_images(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Return whether two tables are of the same images in the same order, as members' mostly are.

    Then nothing need be looked up, which for a million names takes half a second.
    """
    ours, theirs = (table["image_id"].to_numpy(dtype=object) for table in (first, second))
    return np.array_equal(ours, theirs)


def joined_rows(
    rows: pd.DataFrame, others: pd.DataFrame, *, suffix: str = "_second"
) -> pd.DataFrame:
    """Return the rows of the images that both hold, by `image_id`, in the order of the first.

    Args:
        rows: A row for each image.
        others: Likewise; columns that the first has too get the suffix.
        suffix: Of their names.
    """
    if not same_images(rows, others):
        return rows.merge(others, on="image_id", suffixes=("", suffix))
    new = {str(c): f"{c}{suffix}" if c in rows else str(c) for c in others}
    columns = others.rename(columns=new).drop(columns=new["image_id"])
    return pd.concat([table.reset_index(drop=True) for table in (rows, columns)], axis=1)


def first_by_score(
    rows: pd.DataFrame, n: int, *, rising: bool, score: str = "score"
) -> pd.DataFrame:
    """Return the n rows of the lowest scores (or of the highest), those that tie by their ids.

    Only rows that may be among them are sorted: a million ids are slow to compare.
    """
    values = rows[score].to_numpy(dtype=float)
    values = values if rising else -values
    if 0 < n < len(rows):
        rows = rows[values <= np.partition(values, n - 1)[n - 1]]
    return rows.sort_values([score, "image_id"], ascending=[rising, True]).head(n)


def threshold_counts(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct scores, falling, and the true and false positives flagged at each."""
    threshold, group = np.unique(-rows["score"].to_numpy(), return_inverse=True)
    truth = rows["truth"].to_numpy()
    hits = np.cumsum(np.bincount(group[truth], minlength=len(threshold)))
    false = np.cumsum(np.bincount(group[~truth], minlength=len(threshold)))
    return -threshold, hits, false


def difference_row(
    rows: pd.DataFrame, *, positive: str, confidence: float, cluster: str
) -> dict[str, object]:
    """Return the AUC of `score` less that of `score_second`, paired, as `DIFFERENCE_COLUMNS`.

    Raises:
        TableError: `truth` and `truth_second` differ.
    """
    wrong = rows["truth"] != rows["truth_second"]
    if wrong.any():
        raise TableError(
            f"predictions: truth of {rows.loc[wrong, 'image_id'].iloc[0]} differs between the two "
            f"tables ({int(wrong.sum())} such images): they must be of the same labels"
        )
    truth = rows["truth"].to_numpy()
    scores = rows[["score", "score_second"]].to_numpy().T
    values, covariance = intervals.delong_covariance(truth, scores, row_clusters(rows, cluster))
    difference = float(values[0] - values[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    se = math.sqrt(max(variance, 0.0)) if variance == variance else math.nan
    reason = absent_class(rows, positive) or absent_clusters(rows, cluster)
    if not reason and not se > intervals.NO_ERROR:
        reason = RANKED_ALIKE
    if reason:
        se = math.nan
    half, z = intervals.normal_quantile(confidence) * se, difference / se
    note = reason or few_remark(rows, cluster)
    return {
        "auc_first": float(values[0]),
        "auc_second": float(values[1]),
        "difference": difference,
        "se": se,
        "low": difference - half,
        "high": difference + half,
        "z": z,
        "p": intervals.two_sided_p(z),
        "n": len(rows),
        "positives": int(truth.sum()),
        "note": note,
    }


def absent_class(rows: pd.DataFrame, positive: str) -> str:
    """Return why nothing can be estimated, or an empty text."""
    if rows.empty:
        return "not estimable: no row has a truth"
    if not rows["truth"].any():
        return f"not estimable: no row is {positive}"
    return f"not estimable: every row is {positive}" if rows["truth"].all() else ""


def auc_estimate(
    rows: pd.DataFrame, *, positive: str, confidence: float, cluster: str
) -> pd.DataFrame:
    """Return the AUC of binary rows with DeLong's interval, as one row of `ESTIMATE_COLUMNS`."""
    truth, score = rows["truth"].to_numpy(), rows["score"].to_numpy()
    value, se = intervals.auc_delong(truth, score, row_clusters(rows, cluster))
    reason = absent_class(rows, positive) or absent_interval(rows, se, cluster)
    return estimate(
        "AUC",
        value,
        rows,
        se=se,
        limits=intervals.auc_limits(value, se, confidence=confidence),
        method=f"{DELONG} by {cluster}" if cluster else DELONG,
        reason=reason,
        remark="" if reason else auc_remark(rows, value, cluster),
    )


def bootstrap_estimate(
    rows: pd.DataFrame,
    *,
    metric: str,
    statistic: Statistic,
    positive: str,
    confidence: float,
    cluster: str,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Return a statistic of binary rows with a bootstrap interval, as one row."""
    truth, score = rows["truth"].to_numpy(), rows["score"].to_numpy()
    value = float(statistic(*step_counts(truth, score))[0]) if len(rows) else math.nan
    se, low, high = bootstrap.bootstrap_interval(
        truth,
        score,
        statistic=statistic,
        draws=draws,
        seed=seed,
        confidence=confidence,
        clusters=row_clusters(rows, cluster),
    )
    reason = (
        absent_class(rows, positive) if math.isnan(value) else absent_interval(rows, se, cluster)
    )
    if draws < 2 and not math.isnan(value):
        reason = f"interval not estimable: draws is {draws}, of two or more"
    return estimate(
        metric,
        value,
        rows,
        se=se,
        limits=(low, high),
        method=f"bootstrap of {cluster or 'rows'}",
        reason=reason,
        remark="" if reason else few_remark(rows, cluster),
    )


def absent_interval(rows: pd.DataFrame, se: float, cluster: str = "") -> str:
    """Return why an estimate has no interval, or an empty text."""
    fewest = min(int(rows["truth"].sum()), int((~rows["truth"]).sum()))
    if fewest < 2:
        return f"interval not estimable: a class has {fewest} row(s)"
    if absent_clusters(rows, cluster):
        return f"interval {absent_clusters(rows, cluster)}"
    if not se > intervals.NO_ERROR:
        return NO_SPREAD
    return ""


def absent_clusters(rows: pd.DataFrame, cluster: str) -> str:
    """Return that one cluster holds all rows of a class, if so, or an empty text.

    Their parts sum to 0, and DeLong's clustered error would be too small without a sign of it.
    """
    if not cluster or _fewest_clusters(rows, cluster) > 1:
        return ""
    return f"not estimable: all rows of a class are of one {cluster}"


def _fewest_clusters(rows: pd.DataFrame, cluster: str) -> int:
    """Return among how many clusters, or rows, the class that has the fewest is spread."""
    clusters = row_clusters(rows, cluster)
    truth = rows["truth"].to_numpy()
    codes = np.arange(len(rows)) if clusters is None else clusters
    return min(intervals.count_clusters(codes[members]) for members in (truth, ~truth))


def few_remark(rows: pd.DataFrame, cluster: str = "") -> str:
    """Return that a class is of few rows or clusters, so that limits are too narrow, or nothing."""
    fewest = _fewest_clusters(rows, cluster)
    unit = f"{cluster.removesuffix('_id')}s" if cluster else "rows"
    return f"rough: a class has only {fewest} {unit}" if fewest <= _FEW else ""


def auc_remark(rows: pd.DataFrame, value: float, cluster: str = "") -> str:
    """Return `few_remark`, or that an AUC is too near 1 for its number of rows, or nothing.

    What tells is the rarer class times what is misplaced, positives x (1 - AUC): where it is below
    4, the limits cover less than they say, the less the nearer to 0.
    """
    remark = few_remark(rows, cluster)
    misplaced = _fewest_clusters(rows, cluster) * min(value, 1 - value)
    if remark or not misplaced < _FEW_MISPLACED:
        return remark
    unit = f"{cluster.removesuffix('_id')}s" if cluster else "rows"
    return f"rough: {unit} of the rarer class x (1 - AUC) is {misplaced:.2g}, below 4"


def estimate(
    metric: str,
    value: float,
    rows: pd.DataFrame,
    *,
    se: float = math.nan,
    limits: tuple[float, float],
    method: str,
    reason: str = "",
    remark: str = "",
) -> pd.DataFrame:
    """Return one number as a row of `ESTIMATE_COLUMNS`.

    Args:
        metric: Its name.
        value: Itself, NaN when not estimable.
        rows: The binary rows behind it.
        se: Its standard error.
        limits: Of its interval.
        method: Of the interval.
        reason: Why the value or its interval is not estimable: the interval is blanked.
        remark: What else a reader must know.
    """
    if reason:
        se, limits = math.nan, (math.nan, math.nan)
    counts = (len(rows), int(rows["truth"].sum()), rows.attrs.get("left_out", 0))
    note = "; ".join(text for text in (reason, remark) if text)
    cells = (metric, value, se, *limits, *counts, method, note)
    return pd.DataFrame([cells], columns=list(ESTIMATE_COLUMNS))
