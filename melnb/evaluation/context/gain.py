"""Does it help the score to know how a lesion stands among its patient's?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from melnb.evaluation.context.neighbours import context_scores
from melnb.evaluation.logistic import fit_logistic
from melnb.evaluation.multiplicity import with_holm
from melnb.evaluation.parts import crossfit_parts
from melnb.evaluation.rows import DIFFERENCE_COLUMNS, binary_rows, difference_row
from melnb.spread import centred, mean_and_deviation, standardised
from melnb.tables import TEST

FEATURES = ("score_z", "score_rank")
COLUMNS = ("feature", "rows", "weight", "weight_low", "weight_high", *DIFFERENCE_COLUMNS)

_LEAST = 1e-7  # float32's step below 1: log odds beyond it are rounding
_RIDGE = (0.0, 1.0, 1.0)  # keeps weights finite where classes are wholly apart


def ugly_duckling_gain(
    predictions: pd.DataFrame,
    *,
    positive: str,
    patient: str = "patient_id",
    features: Sequence[str] = FEATURES,
    measures: pd.DataFrame | None = None,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the AUC of score and patient context together, less that of the score alone, paired.

    The log odds of the score plus a weight times the feature. The weight of a fold's rows is
    fitted on the other folds by logistic regression, that of test rows on all out-of-fold rows; a
    weight below 0 says that a score high among its neighbours' is less than it seems. A single
    fold is cut into parts by patient first (`parts.crossfit_parts`).

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        patient: The column of patients.
        features: Columns of `context_scores`, tried one by one.
        measures: The measures table, for features made of it.
        confidence: Of the intervals.
        cluster: A column whose images err together; empty: the patients'.

    Returns:
        A row per feature and set of `rows` (`out of fold`, `test`): `feature`, `rows`, `weight`
        (on the log odds for one standard deviation of the feature; mean over folds), `weight_low`
        and `weight_high` (least and largest of a fold), and `rows.DIFFERENCE_COLUMNS`, first with
        context, second without, with `p_holm`, adjusted for the number of features.

    Raises:
        TableError: There is no column of patients, or no such feature.
        ValueError: `features` names none of `context_scores`.
    """
    rows = binary_rows(predictions, positive=positive)
    context = context_scores(predictions, positive=positive, patient=patient, measures=measures)
    absent = [name for name in features if name not in context.columns[4:]]
    if absent or not features:
        raise ValueError(f"features is {list(features)}: use some of {list(context.columns[4:])}")
    own = context.set_index("image_id").reindex(rows["image_id"])
    made, (parts, words) = [], crossfit_parts(rows, cluster=patient)
    for name in features:
        feature = _scaled(own[name].to_numpy(dtype=float), rows)
        odds = _log_odds(rows["score"].to_numpy())
        weights = _weights(rows, odds, feature, parts)
        for part in ("out of fold", "test"):
            where = ((rows["fold"] == TEST) == (part == "test")).to_numpy()
            if where.any():
                both = rows[where].rename(columns={"score": "score_second"})
                both["score"] = (odds + np.nan_to_num(weights) * feature)[where]
                row = difference_row(
                    both.assign(truth_second=both["truth"]),
                    positive=positive,
                    confidence=confidence,
                    cluster=cluster or patient,
                )
                made.append(
                    {"feature": name, "rows": part, **row, **_summary(weights[where], rows, words)}
                )
    return with_holm(pd.DataFrame(made, columns=list(COLUMNS)), by="rows")


def _weights(
    rows: pd.DataFrame, odds: np.ndarray, feature: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Return each row's weight, fitted without its fold, or part; NaN where it cannot be."""
    truth = rows["truth"].to_numpy()
    weights = np.full(len(rows), math.nan)
    for k in np.unique(fold):
        fitted = (fold != TEST) & (fold != k)
        if len(np.unique(truth[fitted])) == 2:
            own = centred(np.column_stack([odds, feature])[fitted])
            design = np.column_stack([np.ones(len(own)), own])
            _, of_odds, of_feature = fit_logistic(design, truth[fitted], ridge=_RIDGE)
            if of_odds > 0:
                weights[fold == k] = of_feature / of_odds
    return weights


def _scaled(feature: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Return a feature in its standard deviations over the out-of-fold rows, from their mean."""
    return standardised(feature, *mean_and_deviation(feature[rows["fold"].to_numpy() != TEST]))


def _log_odds(score: np.ndarray) -> np.ndarray:
    p = np.clip(score, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(p / (1 - p)))


def _summary(weights: np.ndarray, rows: pd.DataFrame, words: str) -> dict[str, object]:
    """Return the weights of a row of the table, or why there are none in place of its AUCs."""
    if np.isfinite(weights).all():
        by_fold = np.unique(weights)
        low, high = float(by_fold.min()), float(by_fold.max())
        return {"weight": float(by_fold.mean()), "weight_low": low, "weight_high": high}
    folds = rows.loc[rows["fold"] != TEST, "fold"].nunique()
    reason = "the score does not rise with the truth, or other folds lack a class"
    if folds == 0:
        reason = "no row with a truth is out of fold, and a weight is fitted on such rows"
    elif folds == 1 and "cut into" not in words:
        reason = f"{words}, and a weight is fitted on others"
    lost = ("auc_first", "difference", "se", "low", "high", "z", "p")
    return dict.fromkeys(lost, math.nan) | {"note": f"not estimable: {reason}"}
