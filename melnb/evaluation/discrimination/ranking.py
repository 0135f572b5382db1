"""ROC and precision-recall curves, AUC and average precision: how well do scores rank?

The score of a row is `p_<positive>`. Rows without a truth (test rows) are left out and counted.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from melnb.evaluation.rows import (
    DIFFERENCE_COLUMNS,
    ESTIMATE_COLUMNS,
    absent_class,
    auc_estimate,
    binary_rows,
    bootstrap_estimate,
    difference_row,
    joined_rows,
    threshold_counts,
)
from melnb.evaluation.statistics.bootstrap import average_precisions
from melnb.evaluation.statistics.intervals import with_holm
from melnb.tables.checks import TEST

_ON_THE_LINE = 1e-9


def roc_curve(predictions: pd.DataFrame, *, positive: str) -> pd.DataFrame:
    """Return the ROC curve, from the threshold that flags nothing down to the lowest score.

    Returns:
        `false_positive_rate`, `sensitivity`, `threshold` (infinite in the first row) and `note`: a
        row per distinct score, or one row with the reason when a class is absent.
    """
    rows = binary_rows(predictions, positive=positive)
    reason = absent_class(rows, positive)
    if reason:
        return _no_curve("false_positive_rate", "sensitivity", reason)
    threshold, hits, false = threshold_counts(rows)
    return pd.DataFrame(
        {
            "false_positive_rate": np.append(0, false) / false[-1],
            "sensitivity": np.append(0, hits) / hits[-1],
            "threshold": np.append(np.inf, threshold),
            "note": "",
        }
    )


def precision_recall_curve(
    predictions: pd.DataFrame, *, positive: str, prevalence: float = 0
) -> pd.DataFrame:
    """Return the precision-recall curve, from the highest score down.

    The point of recall 0 and precision 1 that some curves begin with is no row's, so it is absent.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        prevalence: Of the positive class where the precision is stated; 0: the data's.

    Returns:
        `recall`, `precision`, `threshold`, `prevalence` and `note`: a row per distinct score, or
        one row with the reason when no row is positive.
    """
    rows = binary_rows(predictions, positive=positive)
    if not rows["truth"].any():
        return _no_curve("recall", "precision", absent_class(rows, positive))
    threshold, hits, false = threshold_counts(rows)
    share = prevalence or hits[-1] / len(rows)
    right = hits / hits[-1] * share
    wrong = false / max(false[-1], 1) * (1 - share)
    return pd.DataFrame(
        {
            "recall": hits / hits[-1],
            # The data's own precision is a quotient of counts, exact.
            "precision": right / (right + wrong) if prevalence else hits / (hits + false),
            "threshold": threshold,
            "prevalence": share,
            "note": "",
        }
    )


def thin_curve(curve: pd.DataFrame, *, points: int = 400, x: str = "", y: str = "") -> pd.DataFrame:
    """Return at most so many rows of a curve, for drawing alone: never compute on them.

    Starting from both ends, the row farthest from the drawn line is added until there are enough
    or none is off the line (Ramer, Douglas and Peucker, worst first).

    Args:
        curve: Rows in the order in which they are joined, both axes about 0-1.
        points: Rows to keep, two or more.
        x: The column across; empty: the first.
        y: The column upwards; empty: the second.
    """
    across = curve[x or curve.columns[0]].to_numpy(dtype=float)
    up = curve[y or curve.columns[1]].to_numpy(dtype=float)
    last = len(curve) - 1
    if last < 2:
        return curve
    kept = [0, last]
    heap = [_farthest(across, up, 0, last)]
    while len(kept) < points and heap[0][0] < 0:
        _, middle, start, end = heapq.heappop(heap)
        kept.append(middle)
        for left, right in pairwise((start, middle, end)):
            heapq.heappush(heap, _farthest(across, up, left, right))
    return curve.iloc[sorted(kept)]


def auc(
    predictions: pd.DataFrame, *, positive: str, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return the area under the ROC curve with DeLong's interval, as one row.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        confidence: Of the interval.
        cluster: A column, such as `patient_id`, whose images err together (Obuchowski 1997).

    Returns:
        `rows.ESTIMATE_COLUMNS`.
    """
    rows = binary_rows(predictions, positive=positive)
    return auc_estimate(rows, positive=positive, confidence=confidence, cluster=cluster)


def auc_results(
    predictions: pd.DataFrame, *, positive: str, confidence: float = 0.95, cluster: str = ""
) -> dict[str, object]:
    """Return what `run.json` keeps of `auc`, which takes the same: the area and its limits."""
    area = auc(predictions, positive=positive, confidence=confidence, cluster=cluster).iloc[0]
    ends = {"auc": area["value"], "auc_low": area["low"], "auc_high": area["high"]}
    return {**ends, "positive": positive}


def auc_by_run(
    tables: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return `auc` of each table, a row each, with its name in `run` and `metric` left out."""
    rows = [
        auc(table, positive=positive, confidence=confidence, cluster=cluster).assign(run=name)
        for name, table in tables.items()
    ]
    columns = [c for c in ESTIMATE_COLUMNS if c != "metric"]
    return pd.concat(rows, ignore_index=True)[["run", *columns]]


def average_precision(
    predictions: pd.DataFrame,
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the average precision (step-wise, no interpolation) with a bootstrap interval.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        confidence: Of the interval.
        cluster: A column, such as `patient_id`, that is resampled whole.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `rows.ESTIMATE_COLUMNS`, one row.
    """
    return bootstrap_estimate(
        binary_rows(predictions, positive=positive),
        metric="average precision",
        statistic=average_precisions,
        positive=positive,
        confidence=confidence,
        cluster=cluster,
        draws=draws,
        seed=seed,
    )


def metrics_by_fold(
    predictions: pd.DataFrame,
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return AUC and average precision of each fold, of all out-of-fold rows, and of the test rows.

    The pooled row compares scores of different models with each other; where it falls far below
    the folds' own values, rank within each fold before pooling.

    Returns:
        `rows` (`fold 0` … of several, `out of fold`, `test`) and `rows.ESTIMATE_COLUMNS`.
    """
    entries = []
    for name, part in parts_by_fold(predictions).items():
        area = auc(part, positive=positive, confidence=confidence, cluster=cluster)
        precision = average_precision(
            part,
            positive=positive,
            confidence=confidence,
            cluster=cluster,
            draws=draws,
            seed=seed,
        )
        entries.append(pd.concat([area, precision]).assign(rows=name))
    columns = ["rows", *ESTIMATE_COLUMNS]
    return (
        pd.concat(entries, ignore_index=True)[columns] if entries else pd.DataFrame(columns=columns)
    )


def parts_by_fold(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each fold if they are several, of all out-of-fold rows, and of the test.

    A single fold has no number: a file without folds is one.

    Args:
        predictions: Predictions, or any other table with a column `fold`.
    """
    fold = predictions["fold"]
    parts = {f"fold {k}": predictions[fold == k] for k in sorted(fold[fold != TEST].unique())}
    if parts:
        parts = (parts if len(parts) > 1 else {}) | {"out of fold": predictions[fold != TEST]}
    if (fold == TEST).any():
        parts["test"] = predictions[fold == TEST]
    return parts


def auc_comparison(
    members: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the AUC of the first predictions less that of each other, on the rows that both have.

    The difference is paired: both scores are of the same images, and DeLong's covariance counts.

    Args:
        members: Name of each and its predictions; the first is compared with the others.
        positive: The class looked for.
        confidence: Of the intervals.
        cluster: A column whose images err together.

    Returns:
        A row per other run: `first`, `second`, `auc_first`, `auc_second`, `difference`, `se`,
        `low`, `high`, `z`, `p`, `p_holm` (for the number of others), `n`, `positives`, `note`.
    """
    (name, first), *others = members.items()
    reference = binary_rows(first, positive=positive)
    entries = []
    for other, second in others:
        score = binary_rows(second, positive=positive)[["image_id", "truth", "score"]]
        both = joined_rows(reference, score)
        row = difference_row(both, positive=positive, confidence=confidence, cluster=cluster)
        entries.append({"first": name, "second": other, **row})
    return with_holm(pd.DataFrame(entries, columns=["first", "second", *DIFFERENCE_COLUMNS]))


def _no_curve(x: str, y: str, reason: str) -> pd.DataFrame:
    return pd.DataFrame([{**dict.fromkeys((x, y, "threshold"), math.nan), "note": reason}])


def _farthest(x: np.ndarray, y: np.ndarray, start: int, end: int) -> tuple[float, int, int, int]:
    """Return the row farthest from the line between two rows: minus its distance, then indices."""
    if end - start < 2:
        return 0.0, start, start, end
    dx, dy = x[end] - x[start], y[end] - y[start]
    length = math.hypot(dx, dy)
    away_x, away_y = x[start + 1 : end] - x[start], y[start + 1 : end] - y[start]
    distance = np.hypot(away_x, away_y) if length == 0 else abs(dx * away_y - dy * away_x) / length
    middle = int(distance.argmax())
    # Below this the row lies on the line but for rounding.
    far = float(distance[middle]) if distance[middle] > _ON_THE_LINE else 0.0
    return -far, start + 1 + middle, start, end
