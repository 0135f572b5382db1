"""Proportions of rows that come in clusters: a patient's images are right or wrong together.

Of one test (Wilson), and of two tests on the same rows (Tango).
"""

from __future__ import annotations

import math

import numpy as np

from melnb.evaluation.intervals import normal_quantile, wilson_interval

Counts = tuple[float, float, float]  # first alone, second alone, both and neither too


def clustered_wilson(
    hits: np.ndarray,
    counted: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """Return a proportion and its limits, counting each cluster for what it tells.

    The number of rows is divided by the design effect (never below 1) and goes into Wilson's
    interval: Rao and Scott 1992, Biometrics 48:577. At 0 and at 1 no effect can be estimated, and
    the rows of a cluster are taken to be wholly alike, which is the widest.

    Args:
        hits: n booleans: what is looked for.
        counted: n booleans: the rows that the proportion is of.
        clusters: n whole numbers from 0; None: every row stands alone.
        confidence: Of the interval.

    Returns:
        Proportion and limits, NaN where no row counts; limits NaN when one cluster holds all.
    """
    total = float(counted.sum())
    found = float((hits & counted).sum())
    if not total:
        return math.nan, math.nan, math.nan
    effect = 1.0 if clusters is None else design_effect(hits, counted, clusters)
    if math.isnan(effect):
        return found / total, math.nan, math.nan
    low, high = wilson_interval(found / effect, total / effect, confidence=confidence)
    return found / total, float(low), float(high)


def design_effect(hits: np.ndarray, counted: np.ndarray, clusters: np.ndarray) -> float:
    """Return how many rows tell as much of a proportion as one that stands alone, 1 or more.

    Arguments are those of `clustered_wilson`; NaN when fewer than two clusters hold rows.
    """
    sizes = np.bincount(clusters, weights=counted)
    own = np.bincount(clusters, weights=hits & counted)[sizes > 0]
    sizes = sizes[sizes > 0]
    number, total = len(sizes), sizes.sum()
    if number < 2:
        return math.nan
    share = own.sum() / total
    if share in (0, 1):
        return float((sizes**2).sum() / total)
    spread = ((own - share * sizes) ** 2).sum() * number / (number - 1)
    return max(1.0, float(spread / (total * share * (1 - share))))


def paired_counts(
    first: np.ndarray, second: np.ndarray, clusters: np.ndarray | None = None
) -> Counts:
    """Return how often the first alone is right, the second alone, and of how many rows.

    With clusters each count is divided by the design effect of the difference (never below 1), as
    in `clustered_wilson`: Rao and Scott 1992, and Obuchowski 1998, Statistics in Medicine 17:1495,
    for the variance between the clusters.

    Args:
        first: n booleans.
        second: n booleans, of the same rows.
        clusters: n whole numbers from 0; None: every row stands alone.

    Returns:
        Three numbers; NaN when one cluster holds all rows.
    """
    counts = float((first & ~second).sum()), float((second & ~first).sum()), float(len(first))
    if clusters is None or not len(first):
        return counts
    lead = first.astype(float) - second
    sizes = np.bincount(clusters).astype(float)
    own = np.bincount(clusters, weights=lead)[sizes > 0]
    sizes = sizes[sizes > 0]
    number, n = len(sizes), counts[2]
    if number < 2:
        return math.nan, math.nan, math.nan
    mean = lead.mean()
    alone = (lead**2).sum() - n * mean**2
    if alone <= 0:  # nothing differs, or all does: the rows of a cluster are taken to be alike
        effect = (sizes**2).sum() / n
    else:
        spread = ((own - mean * sizes) ** 2).sum() * number / (number - 1)
        effect = max(1.0, float(spread / alone))
    return counts[0] / effect, counts[1] / effect, n / effect


def tango_score(counts: Counts, difference: float) -> float:
    """Return how many errors the difference of paired shares lies above a supposed one.

    Tango 1998, Statistics in Medicine 17:891. It is sound where few pairs differ, or none.

    Args:
        counts: `paired_counts`.
        difference: Supposed, from -1 to 1.
    """
    first, second, n = counts
    b = -first - second + (2 * n - first + second) * difference
    c = -second * difference * (1 - difference)
    share = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    above = first - second - n * difference
    if variance <= 0:
        return math.copysign(math.inf, above) if above else 0.0
    return above / math.sqrt(variance)


def tango_interval(counts: Counts, *, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the difference of two paired shares and Tango's limits (see `tango_score`).

    Args:
        counts: `paired_counts`.
        confidence: Of the interval.

    Returns:
        Difference, lower and upper limit; NaN where there are no rows or one cluster.
    """
    first, second, n = counts
    if not n > 0:
        return math.nan, math.nan, math.nan
    value, z = (first - second) / n, normal_quantile(confidence)
    return value, _tango_limit(counts, -1.0, value, z), _tango_limit(counts, value, 1.0, -z)


def _tango_limit(counts: Counts, low: float, high: float, score: float) -> float:
    """Return where the falling score has that value, by halving: to the last digits."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tango_score(counts, middle) > score else (low, middle)
    return (low + high) / 2
