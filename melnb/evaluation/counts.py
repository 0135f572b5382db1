"""What four counts say of a test: proportions, their ratios, and each with its limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from melnb.evaluation.intervals import mean_interval, wilson_interval

Estimate = tuple[float, float, float]  # value, lower and upper limit
_PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "flagged", "accuracy", "f1")


def ratio_interval(
    above: tuple[float, int],
    below: tuple[float, int],
    *,
    confidence: float = 0.95,
    effects: tuple[float, float] = (1.0, 1.0),
) -> Estimate:
    """Return the ratio of two independent proportions and its limits.

    The limits are recovered from Wilson's, so that they stand when a count is 0, where the usual
    logarithm fails: Donner and Zou 2012, Statistical Methods in Medical Research 21:347.

    Args:
        above: Successes and number of the upper proportion.
        below: Those of the lower one.
        confidence: Of the interval.
        effects: Design effects of both: each counts for so many times fewer rows.

    Returns:
        Ratio and limits; the ratio and the upper limit are infinite when the lower proportion is
        0 (the ratio NaN when both are), and all are NaN when a number is 0.
    """
    if not above[1] or not below[1]:
        return math.nan, math.nan, math.nan
    p, q = above[0] / above[1], below[0] / below[1]
    _, p_low, p_high = _proportion(*above, confidence=confidence, effect=effects[0])
    _, q_low, q_high = _proportion(*below, confidence=confidence, effect=effects[1])
    ratio = p / q if q else (math.inf if p else math.nan)
    low = _ratio_limit(p, q, p_low, q_high, sign=-1)
    high = _ratio_limit(p, q, p_high, q_low, sign=1) if not q_low <= 0 else math.inf
    return ratio, low, high


def diagnostic_intervals(
    tp: int,
    fp: int,
    tn: int,
    fn: int,
    *,
    prevalence: float = 0,
    confidence: float = 0.95,
    effects: Mapping[str, float] | None = None,
) -> dict[str, Estimate]:
    """Return what four counts say of a test, each as value, lower and upper limit.

    At a prevalence other than the data's, predictive values follow from the likelihood ratios, and
    so do their limits. F1 is 2J / (1 + J), where J = tp / (tp + fp + fn) is a proportion; it is
    the data's at any prevalence.

    Args:
        tp: True positives.
        fp: False positives.
        tn: True negatives.
        fn: False negatives.
        prevalence: Where the test will be used; 0: the data's.
        confidence: Of the intervals.
        effects: Design effects of proportions (sensitivity, specificity, ppv, npv, flagged,
            accuracy, f1): in the limits, rows count for so many times fewer (Rao and Scott 1992,
            Biometrics 48:577). NaN gives no limits; absent: 1.

    Returns:
        By name; all three are NaN where the rows that a measure needs are absent.
    """
    wide = dict.fromkeys(_PROPORTIONS, 1.0) | dict(effects or {})
    found = _proportions(tp, fp, tn, fn, confidence=confidence, effects=wide)
    sensitivity, specificity = found["sensitivity"], found["specificity"]
    ratio = partial(
        ratio_interval, confidence=confidence, effects=(wide["sensitivity"], wide["specificity"])
    )
    positive_ratio = ratio((tp, tp + fn), (fp, fp + tn))
    negative_ratio = ratio((fn, tp + fn), (tn, fp + tn))
    if prevalence:
        found["ppv"] = _posterior(positive_ratio, prevalence)
        found["npv"] = _complement(_posterior(negative_ratio, prevalence))
        found |= _mixed(sensitivity, specificity, prevalence)
    balanced = _mean(sensitivity, specificity, (0.5, 0.5))
    measures = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": found["ppv"],
        "npv": found["npv"],
        "number_needed_to_biopsy": _number_needed(found["ppv"]),
        "likelihood_ratio_positive": positive_ratio,
        "likelihood_ratio_negative": negative_ratio,
        "flagged": found["flagged"],
        "accuracy": found["accuracy"],
        "balanced_accuracy": balanced,
        "youden": _each(balanced, lambda v: 2 * v - 1),
        "f1": _each(found["f1"], lambda v: 2 * v / (1 + v)),
    }
    nothing = (math.nan, math.nan, math.nan)
    return {name: nothing if math.isnan(v[0]) else v for name, v in measures.items()}


def _proportions(
    tp: int, fp: int, tn: int, fn: int, *, confidence: float, effects: Mapping[str, float]
) -> dict[str, Estimate]:
    """Return each of `_PROPORTIONS` in the data; of F1, the J that it is made of."""
    n = tp + fp + tn + fn
    counts = {
        "sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp), "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn), "flagged": (tp + fp, n), "accuracy": (tp + tn, n),
        "f1": (tp, tp + fp + fn),
    }  # fmt: skip
    return {
        name: _proportion(*counts[name], confidence=confidence, effect=effects[name])
        for name in _PROPORTIONS
    }


def _mixed(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> dict[str, Estimate]:
    """Return the shares of all rows that are flagged and judged rightly at that prevalence."""
    shares = (prevalence, 1 - prevalence)
    return {
        "flagged": _mean(sensitivity, _complement(specificity), shares),
        "accuracy": _mean(sensitivity, specificity, shares),
    }


def _proportion(k: float, n: int, *, confidence: float, effect: float = 1.0) -> Estimate:
    low, high = wilson_interval(k / effect, n / effect, confidence=confidence)
    return (k / n if n else math.nan), float(low), float(high)


def _complement(estimate: Estimate) -> Estimate:
    return 1 - estimate[0], 1 - estimate[2], 1 - estimate[1]


def _number_needed(ppv: Estimate) -> Estimate:
    """Return how many are flagged for each that is found; the limits change places."""
    value, low, high = _each(ppv, lambda v: 1 / v if v else math.inf)
    return value, high, low


def _each(estimate: Estimate, rising: Callable[[float], float]) -> Estimate:
    """Return a function of an estimate, and its limits where the function rises."""
    return rising(estimate[0]), rising(estimate[1]), rising(estimate[2])


def _mean(first: Estimate, second: Estimate, shares: tuple[float, float]) -> Estimate:
    values, lows, highs = zip(first, second, strict=True)
    return mean_interval(values, lows, highs, shares)


def _posterior(ratio: Estimate, prevalence: float) -> Estimate:
    """Return the probabilities of disease after a result with this likelihood ratio."""
    odds = [prevalence / (1 - prevalence) * value for value in ratio]
    after = [1.0 if math.isinf(o) else o / (1 + o) for o in odds]
    return after[0], after[1], after[2]


def _ratio_limit(p: float, q: float, p_limit: float, q_limit: float, *, sign: int) -> float:
    square = q_limit * (2 * q - q_limit)
    root = math.sqrt(max((p * q) ** 2 - p_limit * (2 * p - p_limit) * square, 0.0))
    if square == 0:  # the quadratic has become a line
        return p_limit * (2 * p - p_limit) / (2 * p * q)
    return max((p * q + sign * root) / square, 0.0)
