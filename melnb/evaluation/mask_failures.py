"""Mask failures: could we have known? Disagreement as a predictor, judged as a classifier.

A mask fails when its Jaccard index is too low to count. The rows behind the numbers are a
predictions table of two classes, so that every measure and curve of a classifier holds for them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.evaluation.challenges.jaccard import LEAST_JACCARD
from melnb.evaluation.discrimination import ranking
from melnb.evaluation.rows import ESTIMATE_COLUMNS
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import make_predictions

FAILED = "failed"
_HELD = "held"
_CURVE = ("false_positive_rate", "sensitivity", "threshold", "note", "predictor")
_COVERAGE = ("predictor", "coverage", "disagreement", "n", "jaccard", "threshold_jaccard", "failed")


def failure_rows(
    scores: pd.DataFrame,
    disagreement: pd.DataFrame,
    predictor: str,
    *,
    least_jaccard: float = LEAST_JACCARD,
) -> pd.DataFrame:
    """Return a predictions table whose class `failed` is scored by a disagreement.

    Args:
        scores: `challenges.masks.mask_scores`, with `fold`, `patient_id`, `lesion_id` where known.
        disagreement: `image_id` and `predictor`, from 0 to 1; more images do no harm.
        predictor: A column of `disagreement`.
        least_jaccard: Below it a mask has failed.

    Returns:
        A predictions table of kind `score`, and every other column of `scores` ending in `_id`.

    Raises:
        TableError: There is no such column, an image lacks a value, or one is not from 0 to 1.
    """
    value = _values(scores, disagreement, predictor)
    scores = scores.reset_index(drop=True)
    failed = scores["jaccard"].to_numpy(dtype=float) < least_jaccard
    ids = [c for c in scores.columns if str(c).endswith("_id") and c != "image_id"]
    table = make_predictions(
        scores["image_id"],
        scores.get("fold", TEST),
        [FAILED if wrong else _HELD for wrong in failed],
        np.column_stack([1 - value, value]),
        classes=(_HELD, FAILED),
        run=predictor,
        kind="score",
    )
    return table.assign(**{c: scores[c].to_numpy() for c in ids})


def failure_prediction(
    scores: pd.DataFrame,
    disagreement: pd.DataFrame,
    *,
    least_jaccard: float = LEAST_JACCARD,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the AUC with which each disagreement tells failed masks from the others.

    Args:
        scores: `challenges.masks.mask_scores`, with what it is clustered by.
        disagreement: `image_id` and a column of 0 to 1 for each predictor; one that is NaN
            throughout, as the folds' is where one network drew, is left out.
        least_jaccard: Below it a mask has failed.
        confidence: Of the intervals (DeLong).
        cluster: A column of `scores`, such as `patient_id`, whose images err together.

    Returns:
        A row per predictor: `predictor` and `rows.ESTIMATE_COLUMNS`; `positives` are the failed.
        Without a scored image or a predictor, as in the tables below, there is no row.
    """
    entries = [
        ranking.auc(
            failure_rows(scores, disagreement, name, least_jaccard=least_jaccard),
            positive=FAILED, confidence=confidence, cluster=cluster,
        ).assign(predictor=name)
        for name in _told(scores, disagreement)
    ]  # fmt: skip
    return _gathered(entries, ["predictor", *ESTIMATE_COLUMNS])


def failure_roc(
    scores: pd.DataFrame, disagreement: pd.DataFrame, *, least_jaccard: float = LEAST_JACCARD
) -> pd.DataFrame:
    """Return `ranking.roc_curve` of each disagreement, its name in `predictor`."""
    entries = [
        ranking.roc_curve(
            failure_rows(scores, disagreement, name, least_jaccard=least_jaccard), positive=FAILED
        ).assign(predictor=name)
        for name in _told(scores, disagreement)
    ]
    return _gathered(entries, list(_CURVE))


def jaccard_by_coverage(
    scores: pd.DataFrame, disagreement: pd.DataFrame, *, least_jaccard: float = LEAST_JACCARD
) -> pd.DataFrame:
    """Return the means of the masks that are kept, the most agreed first.

    The selective view of El-Yaniv and Wiener 2010, Journal of Machine Learning Research 11:1605:
    what a segmenter is worth if the least agreed masks are drawn by hand.

    Arguments are those of `failure_rows`, for every predictor.

    Returns:
        A row per predictor and distinct disagreement, since equal ones are kept together:
        `predictor`, `coverage` (share kept), `disagreement` (the largest kept), `n`, and the means
        `jaccard`, `threshold_jaccard`, `failed`.
    """
    entries = []
    for name in _told(scores, disagreement):
        value = _values(scores, disagreement, name)
        level, group = np.unique(value, return_inverse=True)
        kept = np.cumsum(np.bincount(group, minlength=len(level)))
        row = {"predictor": name, "coverage": kept / len(value), "disagreement": level, "n": kept}
        jaccard = scores["jaccard"].to_numpy(dtype=float)
        counted = np.where(jaccard >= least_jaccard, jaccard, 0.0)
        columns = {"jaccard": jaccard, "threshold_jaccard": counted, FAILED: counted == 0}
        for column, values in columns.items():
            row[column] = np.cumsum(np.bincount(group, weights=values)) / kept
        entries.append(pd.DataFrame(row, columns=list(_COVERAGE)))
    return _gathered(entries, list(_COVERAGE))


def _predictors(disagreement: pd.DataFrame) -> list[str]:
    if "image_id" not in disagreement:
        raise TableError(
            f"disagreement: columns are {list(disagreement.columns)}: pass image_id and a column "
            "of 0 to 1 for each predictor"
        )
    names = disagreement.columns[disagreement.notna().any()]
    return [str(c) for c in names if c != "image_id"]


def _told(scores: pd.DataFrame, disagreement: pd.DataFrame) -> list[str]:
    """Return the predictors that there is something to judge by: none without a scored image."""
    names = _predictors(disagreement)
    return names if len(scores) else []


def _gathered(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]


def _values(scores: pd.DataFrame, disagreement: pd.DataFrame, predictor: str) -> np.ndarray:
    """Return the disagreement of each row of the scores, joined by id."""
    if scores.empty:
        raise TableError("scores: there is no image: give the scores of those that have a truth")
    if predictor not in _predictors(disagreement):
        raise TableError(f"disagreement: no column {predictor!r}, of {list(disagreement.columns)}")
    twice = disagreement["image_id"].duplicated()
    if twice.any():
        raise TableError(
            f"disagreement: {disagreement.loc[twice, 'image_id'].iloc[0]} has two rows "
            f"({int(twice.sum())} such rows): give each image one"
        )
    values = disagreement.set_index("image_id")[predictor]
    value: np.ndarray = values.reindex(scores["image_id"]).to_numpy(dtype=float)
    wrong = ~((value >= 0) & (value <= 1))
    if wrong.any():
        raise TableError(
            f"disagreement: {predictor} of {scores['image_id'].iloc[int(wrong.argmax())]} is "
            f"{value[wrong.argmax()]} ({int(wrong.sum())} such images): give each image that is "
            "scored a number from 0 to 1"
        )
    return value
