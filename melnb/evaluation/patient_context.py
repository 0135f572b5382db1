"""The ugly duckling, and the k most suspicious lesions of each patient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from melnb.evaluation.rows import (
    DIFFERENCE_COLUMNS,
    absent_class,
    binary_rows,
    crossfit_parts,
    difference_row,
)
from melnb.evaluation.statistics.intervals import with_holm
from melnb.evaluation.statistics.logistic import fit_logistic
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import class_names
from melnb.tables.within_patient import (
    FEWEST,
    centred,
    group_codes,
    mean_and_deviation,
    outlier_factors,
    standardised,
    standings,
)

# How each picture stands among those of its patient.

MEASURES = (
    "lesion_share", "lesion_red", "lesion_green", "lesion_blue", "colour_spread", "contrast",
)  # fmt: skip


def context_scores(
    predictions: pd.DataFrame,
    *,
    positive: str,
    patient: str = "patient_id",
    measures: pd.DataFrame | None = None,
    columns: Sequence[str] = MEASURES,
) -> pd.DataFrame:
    """Return how each picture stands among those of its patient, test rows too.

    `z` is the distance from the patient's mean in standard deviations, `rank` the mean rank as a
    share (0-1, 0.5 in the middle), `difference` and `ratio` are against the mean, `lof` is the
    local outlier factor among half of the pictures, at most 30 (Breunig et al. 2000, SIGMOD 29:93):
    1 for one of many, more for one apart. No truth is used, so that nothing leaks.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        patient: The column of patients.
        measures: The measures table, for the same of colours and sizes.
        columns: Of the measures.

    Returns:
        `image_id`, `fold`, `pictures` (of the patient; 1 when unknown), `score`, `score_z`,
        `score_rank`, `score_difference`, `score_ratio`, `score_lof`; with measures also
        `<column>_z` of each and `measures_lof` of all together. Patients of fewer than three
        pictures, and unknown ones, have neutral values: 0, 0.5, 0, 1, 1; so have missing measures.

    Raises:
        TableError: There is no such class or column.
    """
    check_patients(predictions, patient)
    classes = class_names(predictions)
    if positive not in classes:
        raise TableError(f"predictions: positive is {positive!r}, not one of {list(classes)}")
    groups = group_codes(predictions[patient])
    score = predictions[f"p_{positive}"].to_numpy(dtype=float)
    number = np.bincount(groups, minlength=1)[groups]
    scores = {
        "image_id": predictions["image_id"].to_numpy(),
        "fold": predictions["fold"].to_numpy(),
    }
    scores |= {"pictures": number, "score": score}
    standing = standings(score, groups)
    scores |= {f"score_{name}": of for name, of in standing.items()}
    scores["score_lof"] = outlier_factors(standing["z"][:, None], groups, fewest=FEWEST)
    if measures is not None:
        measured = _measured(predictions, measures, columns)
        z = np.column_stack([standings(v, groups)["z"] for v in measured.T])
        scores |= {f"{name}_z": of for name, of in zip(columns, z.T, strict=True)}
        # In standard deviations of the patient, so that every measure weighs alike.
        whole = np.where(np.isnan(measured).any(axis=1, keepdims=True), np.nan, z)
        scores["measures_lof"] = outlier_factors(whole, groups, fewest=FEWEST)
    return pd.DataFrame(scores)


def check_patients(table: pd.DataFrame, patient: str) -> None:
    """Refuse a table without the column of patients.

    Raises:
        TableError: There is none.
    """
    if patient not in table.columns:
        raise TableError(
            f"predictions: no column {patient!r}: merge it from the images table by image_id"
        )


def _measured(
    predictions: pd.DataFrame, measures: pd.DataFrame, columns: Sequence[str]
) -> np.ndarray:
    """Return the measures of each row, rows x columns, joined by id; NaN where there are none."""
    absent = [c for c in ("image_id", *columns) if c not in measures]
    if absent:
        raise TableError(f"measures: no column {absent}: make it with measure_images")
    table = measures.set_index("image_id")[list(columns)].reindex(predictions["image_id"])
    return table.to_numpy(dtype=float)


# Does it help the score to know how a lesion stands among its patient's?

FEATURES = ("score_z", "score_rank")
GAIN_COLUMNS = ("feature", "rows", "weight", "weight_low", "weight_high", *DIFFERENCE_COLUMNS)

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
    fold is cut into parts by patient first (`rows.crossfit_parts`).

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
    standing = context.set_index("image_id").reindex(rows["image_id"])
    entries, (parts, words) = [], crossfit_parts(rows, cluster=patient)
    for name in features:
        feature = _scaled(standing[name].to_numpy(dtype=float), rows)
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
                entries.append(
                    {"feature": name, "rows": part, **row, **_summary(weights[where], rows, words)}
                )
    return with_holm(pd.DataFrame(entries, columns=list(GAIN_COLUMNS)), by="rows")


def _weights(
    rows: pd.DataFrame, odds: np.ndarray, feature: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Return each row's weight, fitted without its fold, or part; NaN where it cannot be."""
    truth = rows["truth"].to_numpy()
    weights = np.full(len(rows), math.nan)
    for k in np.unique(fold):
        fitted = (fold != TEST) & (fold != k)
        if len(np.unique(truth[fitted])) == 2:
            regressors = centred(np.column_stack([odds, feature])[fitted])
            design = np.column_stack([np.ones(len(regressors)), regressors])
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


WITHIN, THRESHOLD, RANDOM = "k of each patient", "one threshold for all", "k at random"
MOST = 20
STRATEGIES = (WITHIN, THRESHOLD, RANDOM)
TOP_K_COLUMNS = (
    "k", "strategy", "unit", "value", "low", "high", "n", "found", "seen", "left_out", "method",
    "note",
)  # fmt: skip


def top_k_sensitivity_curve(
    predictions: pd.DataFrame,
    *,
    positive: str,
    ks: Sequence[int] | None = None,
    patient: str = "patient_id",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the share of positives found by looking at the k highest scores of each patient.

    Beside it stand two ways to spend the same number of looks: on the highest scores of all
    patients together, and on pictures drawn at random from each patient (its expected value, by
    the hypergeometric distribution). `image` counts positive pictures, as the official measure
    does (see `scoring.top_k_sensitivity`); `patient` counts patients of whom at least one was
    found. Equal scores stand in the order of their ids.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        ks: How many pictures of each patient are seen; all of those who have fewer. None: 1 to
            `MOST`, or as many as a patient has.
        patient: The column of patients; rows of unknown patients are left out, and counted.
        confidence: Of the intervals: Wilson's, pictures clustered by patient.

    Returns:
        A row per k, `strategy` and `unit` (`image`, `patient`): `k`, `strategy`, `unit`, `value`,
        `low`, `high`, `n` (positives), `found`, `seen` (pictures looked at), `left_out`,
        `method`, `note`.

    Raises:
        TableError: There is no column `patient`.
        ValueError: A k is below 1.
    """
    ks = range(1, 1 + _most_pictures(predictions, patient)) if ks is None else ks
    wrong = [k for k in ks if k < 1 or k != int(k)]
    if wrong or not len(ks):
        raise ValueError(f"ks is {list(ks)}: use whole numbers of 1 or more")
    rows = binary_rows(predictions, positive=positive)
    check_patients(rows, patient)
    of_patients = rows[rows[patient].notna()]
    left_out = len(rows) - len(of_patients)
    reason = absent_class(of_patients, positive) if not of_patients["truth"].any() else ""
    if reason:
        reason = reason.replace("has a truth", "has a truth and a known patient")
        cells = [(int(k), s, u, *[math.nan] * 3, 0, 0, 0) for k, s, u in _kinds(ks)]
        nothing = [(*cell, left_out, "", reason) for cell in cells]
        return pd.DataFrame(nothing, columns=list(TOP_K_COLUMNS))
    ordered = of_patients.sort_values(["score", "image_id"], ascending=[False, True], kind="stable")
    curve = _curve(
        ordered["truth"].to_numpy(),
        pd.factorize(ordered[patient])[0],
        [int(k) for k in ks],
        confidence=confidence,
    )
    curve["left_out"] = left_out
    curve["note"] = [_note(*cells) for cells in zip(curve["strategy"], curve["low"], strict=True)]
    return curve[list(TOP_K_COLUMNS)]


def _most_pictures(predictions: pd.DataFrame, patient: str) -> int:
    """Return how many pictures the patient of most has, from 1 to `MOST`."""
    judged = predictions[predictions["truth"].notna()]
    counts = judged[patient].value_counts() if patient in judged else pd.Series(dtype=int)
    return int(min(MOST, max(1, counts.max() if len(counts) else 1)))


def _curve(
    truth: np.ndarray, patients: np.ndarray, ks: Sequence[int], *, confidence: float
) -> pd.DataFrame:
    """Return the curve of rows in falling order of their scores."""
    place = pd.Series(patients).groupby(patients).cumcount().to_numpy()
    pictures, positives = np.bincount(patients), np.bincount(patients, weights=truth)
    holds = positives > 0
    measured = partial(_retrieval_rows, truth=truth, patients=patients, confidence=confidence)
    entries = []
    for k in ks:
        seen = int(np.minimum(pictures, k).sum())
        for strategy, looked in ((WITHIN, place < k), (THRESHOLD, np.arange(len(truth)) < seen)):
            for unit, cells in measured(looked).items():
                entries.append((k, strategy, unit, *cells, seen))
        images = float((positives * np.minimum(pictures, k) / pictures).sum())
        chances = 1 - _all_missed(pictures[holds], positives[holds], k)
        for unit, hits, n in (
            ("image", images, int(truth.sum())),
            ("patient", float(chances.sum()), int(holds.sum())),
        ):
            entries.append((k, RANDOM, unit, hits / n, math.nan, math.nan, n, hits, "", seen))
    names = ["k", "strategy", "unit", "value", "low", "high", "n", "found", "method", "seen"]
    return pd.DataFrame(entries, columns=names)


def _retrieval_rows(
    looked: np.ndarray, *, truth: np.ndarray, patients: np.ndarray, confidence: float
) -> dict[str, tuple[float, float, float, int, float, str]]:
    """Return value, limits, number, found and method of a set of pictures that are looked at."""
    retrieved = np.bincount(patients, weights=truth & looked) > 0
    holds = np.bincount(patients, weights=truth) > 0
    of_images = clustered_wilson(looked, truth, patients, confidence=confidence)
    of_patients = clustered_wilson(retrieved, holds, confidence=confidence)
    hits = float((truth & looked).sum())
    return {
        "image": (*of_images, int(truth.sum()), hits, "Wilson by patient"),
        "patient": (*of_patients, int(holds.sum()), float(retrieved.sum()), "Wilson"),
    }


def _all_missed(pictures: np.ndarray, positives: np.ndarray, k: int) -> np.ndarray:
    """Return the chance that k pictures drawn without replacement hold no positive."""
    missed = np.ones(len(pictures))
    for draw in range(k):
        left = np.maximum(pictures - draw, 1)
        missed *= np.clip(pictures - positives - draw, 0, None) / left
    return missed


def _kinds(ks: Sequence[int]) -> list[tuple[int, str, str]]:
    return [(k, s, u) for k in ks for s in STRATEGIES for u in ("image", "patient")]


def _note(strategy: str, low: float) -> str:
    if strategy == RANDOM:
        return "an expected value, which has no interval"
    return "" if low == low else "interval not estimable: all positives are of one patient"
