"""Intervals by resampling, for statistics of a ranking that have no closed form.

A statistic of the ROC or precision-recall curve depends on the rows only through the counts of
positives and negatives at each step of the ranking. So a resample is a draw of counts, nothing is
sorted twice, and runs of negatives between two positives are one step: 33,126 rows with 584
positives are some 1,170 steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
_CELL_COST = 6  # a multinomial cell costs as much as drawing so many rows
_CELLS_AT_ONCE = 2_000_000  # bounds the memory of a block of draws to some 50 MB


def ranking_steps(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the step of each row, from 0 for the highest score; ties share a step.

    Neighbouring scores that only negatives have are one step, which changes no curve.
    """
    _, group = np.unique(-score, return_inverse=True)
    number = int(group.max()) + 1 if len(group) else 0
    holds = np.bincount(group[truth], minlength=number) > 0
    begins = holds.copy()
    begins[1:] |= holds[:-1]
    return np.asarray((np.cumsum(begins) - begins[:1])[group])


def step_counts(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positives and the negatives at each step, each 1 x steps."""
    step = ranking_steps(truth, score)
    counts = np.bincount(step * 2 + truth).astype(float)
    counts = np.pad(counts, (0, len(counts) % 2)).reshape(1, -1, 2)
    return counts[..., 1], counts[..., 0]


def aucs(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return the area under each ROC curve.

    Args:
        positives: draws x steps, counts from the highest score down.
        negatives: As positives.

    Returns:
        draws values, NaN where a class is absent.
    """
    won = ((np.cumsum(positives, axis=1) - positives / 2) * negatives).sum(axis=1)
    return _divide(won, positives.sum(axis=1) * negatives.sum(axis=1))


def average_precisions(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return the average precision of each draw: the step-wise sum, without interpolation.

    Arguments and result are those of `aucs`; one absent negative class is no hindrance.
    """
    found = np.cumsum(positives, axis=1)
    flagged = found + np.cumsum(negatives, axis=1)
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
    return _divide((positives * precision).sum(axis=1), positives.sum(axis=1))


def bootstrap_interval(
    truth: np.ndarray,
    score: np.ndarray,
    *,
    statistic: Statistic,
    draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """Return a statistic's standard error and percentile limits over resamples of the rows.

    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.

    Args:
        truth: n booleans.
        score: n numbers.
        statistic: From counts, draws x steps, to draws values.
        draws: Number of resamples.
        seed: Of the generator: the same seed gives the same limits.
        confidence: Of the interval.
        clusters: n whole numbers from 0: whole clusters are drawn, not rows.

    Returns:
        Standard error, lower and upper limit; NaN when a class has fewer than two rows.
    """
    if min(truth.sum(), (~truth).sum()) < 2 or draws < 2:
        return math.nan, math.nan, math.nan
    step = ranking_steps(truth, score)
    values = np.concatenate(
        [statistic(p, n) for p, n in _count_draws(truth, step, draws, seed, clusters)]
    )
    values = values[np.isfinite(values)]  # a draw may lack a class
    if len(values) < draws / 2:
        return math.nan, math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(values.std(ddof=1)), float(low), float(high)


def _count_draws(
    truth: np.ndarray, step: np.ndarray, draws: int, seed: int, clusters: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of resampled counts: positives and negatives, each draws x steps."""
    generator = np.random.default_rng(seed)
    cell = step * 2 + truth
    cells = 2 * (int(step.max()) + 1)
    block = max(1, _CELLS_AT_ONCE // cells)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        if clusters is not None:
            counts = _cluster_counts(generator, cell, cells, clusters, size)
        elif cells * _CELL_COST < len(cell):
            shares = np.bincount(cell, minlength=cells) / len(cell)
            counts = generator.multinomial(len(cell), shares, size=size).astype(float)
        else:
            rows = (generator.integers(len(cell), size=len(cell)) for _ in range(size))
            counts = np.stack([np.bincount(cell[r], minlength=cells) for r in rows]).astype(float)
        yield counts[:, 1::2], counts[:, 0::2]


def _cluster_counts(
    generator: np.random.Generator, cell: np.ndarray, cells: int, clusters: np.ndarray, size: int
) -> np.ndarray:
    number = int(clusters.max()) + 1
    counts = np.empty((size, cells))
    for row in counts:
        times = np.bincount(generator.integers(number, size=number), minlength=number)
        row[:] = np.bincount(cell, weights=times[clusters], minlength=cells)
    return counts


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return result
