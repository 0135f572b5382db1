"""Uncertainty in closed form: areas under ROC curves, proportions, their means and ratios.

All functions take arrays and know nothing of tables. What cannot be estimated is NaN here; the
tables that call these functions put the reason into words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

_PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "flagged", "accuracy", "f1")


def normal_quantile(confidence: float) -> float:
    """Return the standard normal quantile of a two-sided interval: 1.96 for 0.95.

    Raises:
        ValueError: The confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1: 0.95 is usual")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def midranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks from 1 to n, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=float)


def auc_parts(truth: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the AUC and what each row adds to its error.

    The sum of the squared parts is DeLong's variance; the sum of the products of two scores'
    parts is DeLong's covariance. Midranks make it O(n log n).

    DeLong et al. 1988, Biometrics 44:837; Sun and Xu 2014, IEEE Signal Processing Letters 21:1389.

    Args:
        truth: n booleans, true for a positive row.
        score: n numbers, higher for more suspect rows.

    Returns:
        The AUC, NaN when a class is absent; n parts, NaN when a class has fewer than two rows.
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    parts = np.full(len(score), np.nan)
    if positives == 0 or negatives == 0:
        return math.nan, parts
    together = midranks(score)
    # The share of the other class that each row beats; half of a tie is won.
    of_positives = (together[truth] - midranks(score[truth])) / negatives
    of_negatives = 1 - (together[~truth] - midranks(score[~truth])) / positives
    value = float(of_positives.mean())
    if positives > 1 and negatives > 1:
        parts[truth] = (of_positives - value) / math.sqrt(positives * (positives - 1))
        parts[~truth] = (of_negatives - value) / math.sqrt(negatives * (negatives - 1))
    return value, parts


def parts_covariance(parts: np.ndarray, clusters: np.ndarray | None = None) -> np.ndarray:
    """Return the covariance of k estimates from their parts.

    Rows of one cluster (a patient's images) are summed first, since they err together: Obuchowski
    1997, Biometrics 53:567.

    Args:
        parts: k x n, a row for each estimate.
        clusters: n whole numbers from 0; None when every row stands alone.

    Returns:
        k x k; NaN when there are fewer than two rows or clusters.
    """
    number = parts.shape[1] if clusters is None else int(clusters.max(initial=-1)) + 1
    if number < 2:
        return np.full((len(parts), len(parts)), np.nan)
    if clusters is None:
        return np.asarray(parts @ parts.T)
    sums = np.stack([np.bincount(clusters, weights=p, minlength=number) for p in parts])
    return np.asarray(sums @ sums.T * (number / (number - 1)))


def auc_delong(
    truth: np.ndarray, score: np.ndarray, clusters: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the AUC and DeLong's standard error (see `auc_parts`)."""
    value, parts = auc_parts(truth, score)
    return value, math.sqrt(parts_covariance(parts[None], clusters)[0, 0])


def delong_covariance(
    truth: np.ndarray, scores: np.ndarray, clusters: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUCs of k scores on the same rows, and their covariance (see `auc_parts`).

    Args:
        truth: n booleans.
        scores: k x n.
        clusters: n whole numbers from 0; None when every row stands alone.

    Returns:
        k AUCs and a k x k covariance.
    """
    values, parts = zip(*(auc_parts(truth, score) for score in scores), strict=True)
    return np.array(values), parts_covariance(np.stack(parts), clusters)


def two_sided_p(z: float) -> float:
    """Return the two-sided p value of a standard normal deviate."""
    return math.erfc(abs(z) / math.sqrt(2))


def wilson_interval(
    successes: ArrayLike, n: ArrayLike, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of proportions; they are sound at 0 and 1 too.

    Wilson 1927, Journal of the American Statistical Association 22:209.

    Returns:
        Lower and upper limits in the shape of the arguments; NaN where n is 0.
    """
    z2 = normal_quantile(confidence) ** 2
    k, total = np.broadcast_arrays(np.asarray(successes, float), np.asarray(n, float))
    total = np.where(total > 0, total, np.nan)
    centre = (k + z2 / 2) / (total + z2)
    half = np.sqrt(z2 * (k * (total - k) / total + z2 / 4)) / (total + z2)
    # At 0 and n of n the limit is exact; rounding must not carry it past the estimate.
    low = np.where(k == 0, 0 * total, centre - half)
    high = np.where(k == total, total / total, centre + half)
    return np.asarray(low), np.asarray(high)


def mean_interval(
    values: ArrayLike, lows: ArrayLike, highs: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, float, float]:
    """Return the (weighted) mean of independent estimates and its limits, recovered from theirs.

    Zou and Donner 2008, Statistics in Medicine 27:1693.

    Args:
        values: k estimates.
        lows: Their lower limits.
        highs: Their upper limits.
        weights: k weights that sum to one; None: equal.
    """
    value, low, high = (np.asarray(v, dtype=float) for v in (values, lows, highs))
    share = np.full(len(value), 1 / len(value)) if weights is None else np.asarray(weights)
    mean = float((share * value).sum())
    below = math.sqrt(((share * (value - low)) ** 2).sum())
    above = math.sqrt(((share * (high - value)) ** 2).sum())
    return mean, mean - below, mean + above


def ratio_interval(
    above: tuple[float, int],
    below: tuple[float, int],
    *,
    confidence: float = 0.95,
    effects: tuple[float, float] = (1.0, 1.0),
) -> tuple[float, float, float]:
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
) -> dict[str, tuple[float, float, float]]:
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

    def proportion(name: str, k: int, n: int) -> tuple[float, float, float]:
        return _proportion(k, n, confidence=confidence, effect=wide[name])

    sensitivity = proportion("sensitivity", tp, tp + fn)
    specificity = proportion("specificity", tn, tn + fp)
    ratio = partial(
        ratio_interval, confidence=confidence, effects=(wide["sensitivity"], wide["specificity"])
    )
    positive_ratio = ratio((tp, tp + fn), (fp, fp + tn))
    negative_ratio = ratio((fn, tp + fn), (tn, fp + tn))
    if prevalence:
        ppv = _posterior(positive_ratio, prevalence)
        npv = _complement(_posterior(negative_ratio, prevalence))
        shares = (prevalence, 1 - prevalence)
        flagged = _mean(sensitivity, _complement(specificity), shares)
        accuracy = _mean(sensitivity, specificity, shares)
    else:
        n = tp + fp + tn + fn
        ppv, npv = proportion("ppv", tp, tp + fp), proportion("npv", tn, tn + fn)
        flagged, accuracy = proportion("flagged", tp + fp, n), proportion("accuracy", tp + tn, n)
    balanced = _mean(sensitivity, specificity, (0.5, 0.5))
    f1 = [2 * v / (1 + v) for v in proportion("f1", tp, tp + fp + fn)]
    needed = tuple(1 / v if v else math.inf for v in (ppv[0], ppv[2], ppv[1]))
    measures = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": ppv,
        "npv": npv,
        "number_needed_to_biopsy": (needed[0], needed[1], needed[2]),
        "likelihood_ratio_positive": positive_ratio,
        "likelihood_ratio_negative": negative_ratio,
        "flagged": flagged,
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "youden": (2 * balanced[0] - 1, 2 * balanced[1] - 1, 2 * balanced[2] - 1),
        "f1": (f1[0], f1[1], f1[2]),
    }
    nothing = (math.nan, math.nan, math.nan)
    return {name: nothing if math.isnan(v[0]) else v for name, v in measures.items()}


def _proportion(
    k: float, n: int, *, confidence: float, effect: float = 1.0
) -> tuple[float, float, float]:
    low, high = wilson_interval(k / effect, n / effect, confidence=confidence)
    return (k / n if n else math.nan), float(low), float(high)


def _complement(estimate: tuple[float, float, float]) -> tuple[float, float, float]:
    return 1 - estimate[0], 1 - estimate[2], 1 - estimate[1]


def _mean(
    first: tuple[float, float, float],
    second: tuple[float, float, float],
    shares: tuple[float, float],
) -> tuple[float, float, float]:
    values, lows, highs = zip(first, second, strict=True)
    return mean_interval(values, lows, highs, shares)


def _posterior(ratio: tuple[float, float, float], prevalence: float) -> tuple[float, float, float]:
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
