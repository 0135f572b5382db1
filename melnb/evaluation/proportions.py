"""Proportions of rows that come in clusters: a patient's images are right or wrong together."""

from __future__ import annotations

import math

import numpy as np

from melnb.evaluation.intervals import wilson_interval


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
