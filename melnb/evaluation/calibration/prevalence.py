"""Probabilities for another prevalence, and an estimate of that prevalence.

Both presume calibrated probabilities, and that lesions of a class look alike in both places: only
how common the classes are has changed (prior or label shift).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.probabilities import (
    check_probabilities,
    class_values,
    logit,
    truth_codes,
    with_values,
)
from melnb.evaluation.intervals import normal_quantile
from melnb.evaluation.logistic import expit
from melnb.evaluation.rows import row_clusters
from melnb.tables import TEST, TableError, check_predictions, class_names

Prevalence = float | Mapping[str, float]
_SUM = 1e-6  # that shares of all classes may be away from one
_FLAT = 1e-12  # curvature for each row: the likelihood tells nothing
_SMALLEST, _MOST = 1e-10, 20_000  # the step at which the estimate stands still; steps allowed


def shift(
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
    own = np.array([c == positive for c in classes])
    rest = np.where(own, 0, others)
    if len(classes) == 2:
        rest = (~own).astype(float)
    if not rest[~own].all():
        raise ValueError(
            f"{name} is a share of {positive} alone, and other classes have no row: "
            "give the share of every class by its name"
        )
    return np.asarray(np.where(own, prevalence, (1 - prevalence) * rest / rest.sum()))


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
