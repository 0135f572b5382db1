"""Confidence intervals in closed form: DeLong for areas, Wilson for proportions; Holm.

All functions take arrays and know nothing of tables. What cannot be estimated is NaN here; the
tables that call these functions put the reason into words.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

# Many tests at once: p values adjusted for their number.
#
# Holm 1979, Scandinavian Journal of Statistics 6:65: the chance that any test of a family is wrong.


def holm_adjusted(p: np.ndarray) -> np.ndarray:
    """Return p values adjusted for their number by Holm's step-down method.

    Holm 1979, Scandinavian Journal of Statistics 6:65. NaN stays so, and counts as no test.
    """
    adjusted = np.full(len(p), np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def with_holm(table: pd.DataFrame, p: str = "p", *, by: str = "") -> pd.DataFrame:
    """Return a table with `<p>_holm` behind its column of p values, adjusted for their number.

    Args:
        table: A row per test.
        p: The column.
        by: Each value of this column is a family of tests by itself; empty: all are one.
    """
    adjusted = pd.Series(math.nan, index=table.index)
    for family in table.groupby(by).groups.values() if by else [table.index]:
        adjusted[family] = holm_adjusted(table.loc[family, p].to_numpy(dtype=float))
    widened = table.copy()
    widened.insert(list(table.columns).index(p) + 1, f"{p}_holm", adjusted)
    return widened


NO_ERROR = 1e-9  # what rounding leaves of a standard error of 0, of numbers from 0 to 1 or so


def normal_quantile(confidence: float) -> float:
    """Return the standard normal quantile of a two-sided interval: 1.96 for 0.95.

    Raises:
        ValueError: The confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1: 0.95 is usual")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def percent(confidence: float) -> str:
    """Return a confidence as people write it: `95%`, `97.5%`."""
    return f"{100 * confidence:g}%"


def midranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks from 1 to n, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=float)


def auc_parts(truth: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the AUC and what each row adds to its error (see `auc_covariance`).

    Midranks make it O(n log n): Sun and Xu 2014, IEEE Signal Processing Letters 21:1389.

    Args:
        truth: n booleans, true for a positive row.
        score: n numbers, higher for more suspect rows.

    Returns:
        The AUC, NaN when a class is absent; n parts, NaN when a class has fewer than two rows: of a
        positive row the share of the others that it beats, less the AUC, over the positives; of
        another likewise.
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    parts = np.full(len(score), np.nan)
    if positives == 0 or negatives == 0:
        return math.nan, parts
    won = wins(truth, score)
    value = float(won[truth].mean())
    if positives > 1 and negatives > 1:
        parts[truth] = (won[truth] - value) / positives
        parts[~truth] = (won[~truth] - value) / negatives
    return value, parts


def wins(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the share of the others that a positive row beats, of the positives that beat another.

    Half of a tie is won. Arguments are those of `auc_parts`; both classes are there.
    """
    _, step = np.unique(score, return_inverse=True)
    won = np.empty(len(score))
    for members, others in ((truth, ~truth), (~truth, truth)):
        counts = np.bincount(step[others], minlength=int(step.max()) + 1)
        below = np.cumsum(counts) - counts / 2
        won[members] = below[step[members]] / others.sum()
    return np.where(truth, won, 1 - won)


def auc_covariance(
    parts: np.ndarray,
    groups: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    used: np.ndarray | None = None,
) -> np.ndarray:
    """Return the covariance of k AUCs from the parts of their rows.

    DeLong et al. 1988, Biometrics 44:837. Rows of one cluster (a patient's images) are summed
    first, since they err together: Obuchowski 1997, Biometrics 53:567. The I clusters that hold
    positives correct the squares of their sums by I / (I - 1), those that hold others theirs, and
    all clusters the products of both: with few positive patients one correction for all is too low.

    Args:
        parts: k x n, `auc_parts`; 0 where a row is not used.
        groups: n truths, or classes where each has an AUC.
        clusters: n whole numbers from 0; None when every row stands alone.
        used: k x n booleans, the rows of each AUC; None: all.

    Returns:
        k x k; NaN where a group of an AUC is of fewer than two rows or clusters.
    """
    codes = np.arange(parts.shape[1]) if clusters is None else clusters
    whose = np.ones(parts.shape, dtype=bool) if used is None else used
    whole, together = _cluster_sums(parts, whose, codes)
    covariance = (together * whole) @ (together * whole).T
    for group in np.unique(groups):
        sums, sizes = _cluster_sums(parts, whose & (groups == group), codes)
        covariance += (sizes * sums) @ (sizes * sums).T - (together * sums) @ (together * sums).T
    return np.asarray(covariance)


def count_clusters(codes: np.ndarray) -> int:
    """Return how many different whole numbers from 0 there are."""
    return int(np.count_nonzero(np.bincount(codes)))


def auc_delong(
    truth: np.ndarray, score: np.ndarray, clusters: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the AUC and DeLong's standard error (see `auc_covariance`)."""
    value, parts = auc_parts(truth, score)
    variance = float(auc_covariance(parts[None], truth, clusters)[0, 0])
    return value, math.sqrt(max(variance, 0.0)) if value == value else math.nan


def delong_covariance(
    truth: np.ndarray, scores: np.ndarray, clusters: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUCs of k scores on the same rows, and their covariance (see `auc_covariance`).

    Args:
        truth: n booleans.
        scores: k x n.
        clusters: n whole numbers from 0; None when every row stands alone.

    Returns:
        k AUCs and a k x k covariance.
    """
    values, parts = zip(*(auc_parts(truth, score) for score in scores), strict=True)
    return np.array(values), auc_covariance(np.stack(parts), truth, clusters)


def auc_limits(value: float, se: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the limits of an AUC from its standard error, on the scale of its logit.

    Near 1 an AUC errs more downwards than upwards, and limits of value - 1.96 se cover too little:
    Newcombe 2006, Statistics in Medicine 25:559; Pepe 2003, The Statistical Evaluation of Medical
    Tests, section 5.2.

    Returns:
        NaN where the error is 0 or unknown.
    """
    if not se > NO_ERROR or not 0 < value < 1:
        return math.nan, math.nan
    odds = value / (1 - value)
    factor = math.exp(min(normal_quantile(confidence) * se / (value * (1 - value)), 700.0))
    return odds / (odds + factor), odds * factor / (1 + odds * factor)


def two_sided_p(z: float) -> float:
    """Return the two-sided p value of a standard normal deviate."""
    return math.erfc(abs(z) / math.sqrt(2))


def one_sided_p(z: float) -> float:
    """Return the chance that a standard normal deviate is above one."""
    return math.erfc(z / math.sqrt(2)) / 2


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


def difference_interval(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Return the difference of two independent estimates and its limits, recovered from theirs.

    Zou and Donner 2008, Statistics in Medicine 27:1693; with Wilson's limits of two proportions
    it is Newcombe's interval (1998, Statistics in Medicine 17:873).

    Args:
        first: Value, lower and upper limit.
        second: The same of what is taken off.

    Returns:
        Difference, lower and upper limit; NaN where one of theirs is.
    """
    value, low, high = first
    other, other_low, other_high = second
    below = math.hypot(value - low, other_high - other)
    above = math.hypot(high - value, other - other_low)
    return value - other, value - other - below, value - other + above


def _cluster_sums(
    parts: np.ndarray, rows: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of parts by cluster, k x clusters, and roots of I / (I - 1), k x 1.

    Args:
        parts: k x n.
        rows: k x n booleans, those that are summed; I clusters hold any of them.
        codes: n whole numbers from 0.
    """
    number = int(codes.max(initial=-1)) + 1
    kept = np.where(rows, parts, 0.0)
    sums = np.stack([np.bincount(codes, weights=p, minlength=number) for p in kept])
    held = np.array([[count_clusters(codes[members])] for members in rows], dtype=float)
    factor = np.divide(held, held - 1, out=np.full(held.shape, np.nan), where=held > 1)
    return sums, np.sqrt(factor)
