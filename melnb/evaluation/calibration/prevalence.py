"""Prevalence shift: probabilities for another prevalence, and an estimate of it.

Both presume calibrated probabilities, and that lesions of a class look alike in both places: only
how common the classes are has changed (prior or label shift).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.evaluation.rows import binary_rows, row_clusters
from melnb.evaluation.statistics.intervals import normal_quantile
from melnb.evaluation.statistics.logistic import expit
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import check_predictions, class_names, write_predictions

# Rows with a probability: scores refused, logits that are finite, label smoothing undone.

LEAST = 1e-15  # what is 0 or 1 in a file counts as this far from it, so that logarithms are finite
RIGHT = "right"


def check_probabilities(predictions: pd.DataFrame, purpose: str) -> None:
    """Refuse scores where probabilities are needed.

    Args:
        predictions: Predictions table.
        purpose: What needs them, for the message.

    Raises:
        TableError: `kind` is score.
    """
    if "kind" in predictions and (predictions["kind"] == "score").any():
        raise TableError(
            f"predictions: kind is 'score', and {purpose} needs probabilities: make them with "
            "cross_calibrate and the method platt, beta or isotonic first"
        )


def probability_rows(predictions: pd.DataFrame, *, positive: str, purpose: str) -> pd.DataFrame:
    """Return `rows.binary_rows`, whose scores are probabilities.

    Raises:
        TableError: `kind` is score, a value is not within 0-1, or `positive` is no class.
    """
    check_probabilities(predictions, purpose)
    rows = binary_rows(predictions, positive=positive)
    outside = ~rows["score"].between(0, 1)
    if outside.any():
        row = rows[outside].iloc[0]
        raise TableError(
            f"predictions: p_{positive} of {row['image_id']} is {row['score']}, not within 0-1: "
            "check the table with tables.check_predictions"
        )
    return rows


def class_values(predictions: pd.DataFrame) -> np.ndarray:
    """Return the values as n x classes."""
    columns = [f"p_{name}" for name in class_names(predictions)]
    return predictions[columns].to_numpy(dtype=float)


def truth_codes(predictions: pd.DataFrame) -> np.ndarray:
    """Return the position of each row's class, -1 where the truth is unknown."""
    names = list(class_names(predictions))
    return np.asarray(pd.Categorical(predictions["truth"], categories=names).codes, dtype=int)


def logit(probability: np.ndarray) -> np.ndarray:
    """Return the log-odds; 0 and 1 are taken as `LEAST` and 1 - `LEAST`."""
    inside = np.clip(probability, LEAST, 1 - LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def log_losses(probability: np.ndarray) -> np.ndarray:
    """Return what each probability of the truth costs; 0 costs 34.5, not infinity."""
    return np.asarray(-np.log(np.clip(probability, LEAST, 1)))


def unsmooth(predictions: pd.DataFrame, smoothing: float) -> pd.DataFrame:
    """Return what a network that was trained on smoothed labels says of the true ones.

    Trained on y(1 - e) + e/K, it tends to p(1 - e) + e/K for the probability p: Szegedy et al.
    2016, CVPR, section 7. Values below e/K become 0 and a row is divided by its sum, so low
    values tie.

    Args:
        predictions: Predictions table of probabilities.
        smoothing: e, of the training; 0 changes nothing.

    Raises:
        ValueError: The smoothing is not from 0 up to 1.
        TableError: `kind` is score.
    """
    check_probabilities(predictions, "unsmooth")
    values = unsmoothed(class_values(predictions), smoothing)
    columns = {f"p_{name}": values[:, k] for k, name in enumerate(class_names(predictions))}
    return check_predictions(predictions.assign(**columns))


def unsmoothed(values: np.ndarray, smoothing: float) -> np.ndarray:
    """Return `unsmooth` of n x classes."""
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is {smoothing}: use that of the training, from 0 to below 1")
    if not smoothing:
        return values
    # Rows sum to one but for rounding, so at least one value is above e/K.
    straight = np.clip((values - smoothing / values.shape[1]) / (1 - smoothing), 0, 1)
    return np.asarray(straight / straight.sum(axis=1, keepdims=True))


def open_values(values: np.ndarray, kind: str, smoothing: float, rows: int) -> np.ndarray:
    """Return values whose logits are bounded where 0 and 1 are no accident: (np + 1/2) / (n + 1).

    The best of a rank blend is exactly 1, and smoothing undone leaves exact zeros.
    """
    straight = unsmoothed(values, smoothing)
    if kind == "score" or smoothing:
        return np.asarray((straight * rows + 0.5) / (rows + 1))
    return straight


def with_values(
    predictions: pd.DataFrame, classes: tuple[str, ...], values: np.ndarray, *, run: str
) -> pd.DataFrame:
    """Return the table with these probabilities, n x classes, checked."""
    columns = {f"p_{name}": values[:, k] for k, name in enumerate(classes)}
    named = {"run": run} if run else {}
    return check_predictions(predictions.assign(**columns, **named, kind="probability"))


def top_label(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return, as two-class predictions, how sure each row's call is and whether it is right.

    A row is called by its highest value; where two classes share it the call is wrong.

    Returns:
        A predictions table of the classes `wrong` and `right`; `p_right` is the highest value.
    """
    check_probabilities(predictions, "the top label's confidence")
    values, codes = class_values(predictions), truth_codes(predictions)
    highest = values.max(axis=1)
    single = (values == highest[:, None]).sum(axis=1) == 1
    right = single & (values.argmax(axis=1) == codes)
    kept = [c for c in predictions.columns if not str(c).startswith("p_")]
    words = pd.Series(np.where(right, RIGHT, "wrong"), index=predictions.index)
    return predictions[kept].assign(
        truth=words.where(codes >= 0), p_wrong=1 - highest, p_right=highest
    )


Prevalence = float | Mapping[str, float]
_SUM = 1e-6  # that shares of all classes may be away from one
_FLAT = 1e-12  # curvature for each row: the likelihood tells nothing
_SMALLEST, _MOST = 1e-10, 20_000  # the step at which the estimate stands still; steps allowed


def shift_prevalence(
    predictions: pd.DataFrame,
    *,
    prevalence: Prevalence,
    positive: str = "",
    training_prevalence: Prevalence = 0,
    run: str = "",
) -> pd.DataFrame:
    """Return the predictions as they would be at another prevalence.

    Each probability is weighed by the new share of its class over the old, and the row divided by
    its sum; of two classes that is p r / (p r + (1 - p) s), r and s the ratios of the shares:
    Elkan 2001, IJCAI; Saerens et al. 2002, Neural Computation 14:21. Ranks hold. It presumes
    calibrated probabilities: calibrate first.

    Args:
        predictions: Predictions table of probabilities.
        prevalence: Of `positive`, where the probabilities will be used: the other classes keep
            their proportions; or the share of every class by its name, of sum one.
        positive: The class that a single prevalence is of.
        training_prevalence: The same where the model and its calibrator were fitted; 0: the data's,
            counted in the out-of-fold rows (else in all rows with a truth).
        run: The name of the result; empty: as it was.

    Raises:
        ValueError: A prevalence is not above 0 and below 1, or is not of these classes.
        TableError: `kind` is score, or a class has no row to count.
    """
    check_predictions(predictions)
    check_probabilities(predictions, "shift")
    classes = class_names(predictions)
    old = _training_shares(predictions, positive, training_prevalence)
    new = _shares("prevalence", prevalence, classes, positive, old)
    return with_values(
        predictions, classes, _weighed(class_values(predictions), new / old), run=run
    )


def at_prevalence(
    predictions: pd.DataFrame, *, positive: str, prevalence: float, folder: str | Path
) -> pd.DataFrame:
    """Return predictions as they would be where they will be used; write `at_prevalence.csv`.

    As they are, and no file, where that place is not named (a prevalence of 0) or is nothing to
    them (scores).

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        prevalence: See `shift_prevalence`.
        folder: Of the file.
    """
    if not prevalence or (predictions["kind"] == "score").any():
        return predictions
    moved = shift_prevalence(predictions, positive=positive, prevalence=prevalence)
    write_predictions(moved, Path(folder) / "at_prevalence.csv")
    return moved


def shifted_probability(
    probability: np.ndarray | float, *, prevalence: float, training_prevalence: float
) -> np.ndarray:
    """Return what `shift` makes of probabilities of one class, such as a threshold.

    With the two prevalences changed about it goes the way back.

    Args:
        probability: Any shape, 0-1.
        prevalence: Where it will be used; 0: nothing is moved.
        training_prevalence: Where it was calibrated; 0 or 1, where one class alone is known, moves
            nothing either.
    """
    given = np.asarray(probability, dtype=float)
    if not prevalence or not 0 < training_prevalence < 1:
        return given
    ratios = [
        prevalence / training_prevalence,
        (1 - prevalence) / (1 - training_prevalence),
    ]
    return _weighed(np.stack([given, 1 - given], axis=-1), np.array(ratios))[..., 0]


def estimated_prevalence(
    predictions: pd.DataFrame,
    *,
    positive: str = "",
    training_prevalence: Prevalence = 0,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return how common each class is among the test rows, judged by their probabilities alone.

    Expectation-maximisation: shift the probabilities to the present guess, take their mean as the
    next: Saerens et al. 2002. No truth of a test row is read. The interval is that of the maximum
    likelihood, clustered by a sandwich, on the scale of the logit; it knows nothing of errors of
    the calibration, which are often larger.

    Args:
        predictions: Predictions table of probabilities with test rows (fold -1).
        positive: The class that a single training prevalence is of.
        training_prevalence: See `shift`.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images are alike.

    Returns:
        A row per class: `class`, `value`, `low`, `high`, `n`, `training` (its share there), `mean`
        (of its probabilities, as they stand), `note`.

    Raises:
        TableError: `kind` is score, there is no test row, or a class has no row to count.
    """
    check_predictions(predictions)
    check_probabilities(predictions, "estimated_prevalence")
    test = predictions[predictions["fold"] == TEST]
    if test.empty:
        raise TableError(
            "predictions: no test row (fold -1) to estimate a prevalence of: predict the images of "
            "the other place first"
        )
    old = _training_shares(predictions, positive, training_prevalence)
    values = class_values(test)
    ratios = values / old
    share, moved = old.copy(), math.inf
    for _ in range(_MOST):
        weighed = ratios * share
        share, before = (weighed / weighed.sum(axis=1, keepdims=True)).mean(axis=0), share
        moved = float(np.abs(share - before).max())
        if moved < _SMALLEST:
            break
    se = _standard_errors(ratios, share, row_clusters(test, cluster))
    low, high = _limits(share, se, confidence)
    note = np.where(np.isnan(low), "interval not estimable: it lies at 0 or 1, or all is alike", "")
    if moved >= _SMALLEST:
        note = np.full(len(share), f"rough: still moving by {moved:.1g} after {_MOST} steps")
    names = list(class_names(predictions))
    columns = {"class": names, "value": share, "low": low, "high": high, "n": len(test)}
    return pd.DataFrame(columns | {"training": old, "mean": values.mean(axis=0), "note": note})


def _weighed(values: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Return probabilities, … x classes, each weighed by its class's ratio, of sum one."""
    weighed = values * ratios
    return np.asarray(weighed / weighed.sum(axis=-1, keepdims=True))


def _training_shares(
    predictions: pd.DataFrame, positive: str, training_prevalence: Prevalence
) -> np.ndarray:
    classes = class_names(predictions)
    inside = (predictions["fold"] != TEST).to_numpy()
    codes = truth_codes(predictions[inside] if inside.any() else predictions)
    counts = np.bincount(codes[codes >= 0], minlength=len(classes))
    shares = counts / max(1, counts.sum())
    if isinstance(training_prevalence, Mapping) or training_prevalence:
        return _shares("training_prevalence", training_prevalence, classes, positive, shares)
    if not counts.all():
        raise TableError(
            f"predictions: no row is {classes[int(counts.argmin())]}, so its prevalence in the "
            "data is 0: give training_prevalence"
        )
    return np.asarray(shares)


def _shares(
    name: str,
    prevalence: Prevalence,
    classes: tuple[str, ...],
    positive: str,
    others: np.ndarray,
) -> np.ndarray:
    """Return a share for each class, all above 0 and of sum one."""
    if isinstance(prevalence, Mapping):
        if set(prevalence) != set(classes):
            raise ValueError(f"{name} names {sorted(prevalence)}, and the classes are {classes}")
        shares = np.array([float(prevalence[c]) for c in classes])
        if not (shares > 0).all() or abs(shares.sum() - 1) > _SUM:
            raise ValueError(f"{name} is {dict(prevalence)}: use shares above 0 of sum one")
        return np.asarray(shares / shares.sum())
    if positive not in classes:
        raise ValueError(f"positive is {positive!r}, not one of {list(classes)}: {name} is of it")
    if not 0 < prevalence < 1:
        raise ValueError(f"{name} is {prevalence}: use a share above 0 and below 1")
    is_positive = np.array([c == positive for c in classes])
    rest = np.where(is_positive, 0, others)
    if len(classes) == 2:
        rest = (~is_positive).astype(float)
    if not rest[~is_positive].all():
        raise ValueError(
            f"{name} is a share of {positive} alone, and other classes have no row: "
            "give the share of every class by its name"
        )
    return np.asarray(np.where(is_positive, prevalence, (1 - prevalence) * rest / rest.sum()))


def _standard_errors(
    ratios: np.ndarray, share: np.ndarray, clusters: np.ndarray | None
) -> np.ndarray:
    """Return those of the shares, by the sandwich within shares of sum one; NaN if singular."""
    slope = ratios / (ratios @ share)[:, None]
    # Columns that span the changes that keep the sum.
    basis = np.linalg.svd(np.ones((1, len(share))))[2][1:].T
    slope = slope @ basis
    curvature = slope.T @ slope
    summed = slope
    if clusters is not None:
        number = int(clusters.max()) + 1
        summed = np.stack([np.bincount(clusters, s, number) for s in slope.T], axis=1)
    nothing = np.full(len(share), np.nan)
    if len(summed) < 2 or np.linalg.eigvalsh(curvature)[0] < _FLAT * len(slope):
        return nothing
    half = basis @ np.linalg.inv(curvature) @ summed.T
    return np.asarray(np.sqrt((half**2).sum(axis=1) * len(summed) / (len(summed) - 1)))


def _limits(share: np.ndarray, se: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    inner = np.clip(share, 1e-9, 1 - 1e-9)
    half = normal_quantile(confidence) * se / (inner * (1 - inner))
    half = np.where(np.minimum(share, 1 - share) > 1e-6, half, np.nan)
    return expit(logit(inner) - half), expit(logit(inner) + half)
