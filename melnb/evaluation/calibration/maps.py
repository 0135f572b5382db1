"""What each method makes of values: a rising function of each class's, or one of whole rows.

No method turns a ranking round: where the data ask for a falling line, it is flat instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from melnb.evaluation.calibration.probabilities import LEAST, logit
from melnb.evaluation.logistic import expit, fit_logistic
from melnb.spread import mean_and_deviation

Method = Literal["none", "temperature", "platt", "beta", "isotonic"]
METHODS: tuple[Method, ...] = ("none", "temperature", "platt", "beta", "isotonic")
Parameters = Mapping[str, tuple[float, ...]]
_ROWS_AT_ONCE = 16_384  # what is made of them stays in a core's cache
_COLDEST, _HOTTEST = 1e-2, 1e2  # of a temperature: classes that are wholly apart would ask for 0


def fit_map(method: Method, values: np.ndarray, truth: np.ndarray) -> Parameters:
    """Return the parameters of a method that maps one class's values to its probabilities.

    `platt`: a line on the logit; Platt 1999, Advances in Large Margin Classifiers, 61, with his
    targets (N + 1)/(N + 2) and 1/(N + 2), which keep the line finite where the classes are apart.
    `beta`: lines on ln p and -ln(1 - p), Kull et al. 2017, AISTATS, with the same targets.
    `isotonic`: the best rising steps (Zadrozny and Elkan 2002, KDD), joined by lines and kept
    between Platt's targets, since a 0 for a melanoma that it never saw would be beyond repair.

    Args:
        method: `platt`, `beta` or `isotonic`.
        values: n, 0-1.
        truth: n booleans.
    """
    positives = int(truth.sum())
    ends = (1 / (len(truth) - positives + 2), (positives + 1) / (positives + 2))
    if method == "isotonic":
        # Imported here, as scikit-learn costs a second.
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=ends[0], y_max=ends[1]).fit(values, truth)
        scores, shares = steps.X_thresholds_, steps.y_thresholds_
        return {"scores": _floats(scores), "probabilities": _floats(shares)}
    features = _features(method, values)
    slopes, intercept = _rising_line(features, np.where(truth, ends[1], ends[0]))
    return {"slopes": _floats(slopes), "intercept": (intercept,)}


def apply_map(method: Method, parameters: Parameters, values: np.ndarray) -> np.ndarray:
    """Return the probabilities of one class's values (see `fit_map`)."""
    if method == "isotonic":
        return np.asarray(np.interp(values, parameters["scores"], parameters["probabilities"]))
    odds = _features(method, values) @ np.array(parameters["slopes"])
    return expit(odds + parameters["intercept"][0])


def fit_temperature(values: np.ndarray, codes: np.ndarray) -> float:
    """Return the temperature whose softmax has the least log loss: Guo et al. 2017, ICML.

    Args:
        values: n x classes, probabilities.
        codes: n, the position of the true class.

    Returns:
        From 0.01 to 100; above 1 where the probabilities are too sure; 1 where each row has the
        same of all classes, which no temperature changes.
    """
    logs = np.log(np.maximum(values, LEAST))
    if not np.ptp(logs, axis=1).any():
        return 1.0  # all classes alike in each row, and so at any temperature
    wanted = float(logs[np.arange(len(logs)), codes].mean())
    # A line for each class: the highest of a row is then found in many rows at once.
    by_class = np.ascontiguousarray(logs.T)
    starts = range(0, len(logs), _ROWS_AT_ONCE)
    blocks = [by_class[:, k : k + _ROWS_AT_ONCE] for k in starts]

    def lacking(log_temperature: float) -> float:
        """Return how far the true class's mean logarithm is above that stated: it rises."""
        cold = np.exp(-log_temperature)
        return wanted - sum(_stated(own, cold) for own in blocks) / len(logs)

    ends = (np.log(_COLDEST), np.log(_HOTTEST))
    if lacking(ends[0]) >= 0:
        return _COLDEST
    if lacking(ends[1]) <= 0:
        return _HOTTEST
    return float(np.exp(brentq(lacking, *ends, xtol=1e-14)))


def _stated(logs: np.ndarray, cold: float) -> float:
    """Return the sum of the mean logarithms that rows at this 1 / temperature state themselves."""
    odds = logs * cold
    weights = np.exp(odds - odds.max(axis=0))
    return float(((weights * logs).sum(axis=0) / weights.sum(axis=0)).sum())


def at_temperature(values: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of the logarithms divided by the temperature, n x classes."""
    logs = np.log(np.maximum(values, LEAST)) / temperature
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _features(method: Method, values: np.ndarray) -> np.ndarray:
    if method == "platt":
        return logit(values)[:, None]
    inside = np.clip(values, LEAST, 1 - LEAST)
    return np.column_stack([np.log(inside), -np.log1p(-inside)])


def _rising_line(features: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Return slopes of 0 or more, and an intercept.

    A feature whose slope comes out negative is left out and the rest fitted again: Kull et al.
    2017, section 4.
    """
    slopes = np.zeros(features.shape[1])
    mean, deviation = mean_and_deviation(features)
    kept = np.flatnonzero(deviation)
    while True:
        # Centred, so that features which vary little do not look like the intercept.
        design = np.column_stack([features[:, kept] - mean[kept], np.ones(len(target))])
        found = fit_logistic(design, target)
        if not len(kept) or found[:-1].min() >= 0:
            slopes[kept] = found[:-1]
            return slopes, float(found[-1] - slopes @ mean)
        kept = np.delete(kept, found[:-1].argmin())


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
