"""The bootstrap: resampling by patients, of weighted sums and of rankings.

A resample is a count: how often each cluster (or row) was drawn. So nothing is copied or sorted
again. A mean over rows is a sum over clusters times the counts: one matrix product for all draws.

    sums = bootstrap.resampled_sums(np.column_stack([found, positive]), clusters=patients)
    se, low, high = bootstrap.percentile_interval(sums[:, 0] / sums[:, 1])   # sensitivity

Statistics of a ranking (`rankings`) are resampled by the counts at its steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

# Statistics of a ranking, from the counts of positives and negatives at its steps.
#
# The ROC and the precision-recall curve depend on the rows only through these counts, and runs of
# negatives between two positives are one step: 33,126 rows with 584 positives are some 1,100 steps.
# So nothing is sorted twice, and a block of resamples is one call.

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]


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
    return quotient(won, positives.sum(axis=1) * negatives.sum(axis=1))


def average_precisions(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return the average precision of each draw: the step-wise sum, without interpolation.

    Arguments and result are those of `aucs`; one absent negative class is no hindrance.
    """
    hits = np.cumsum(positives, axis=1)
    flagged = hits + np.cumsum(negatives, axis=1)
    precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
    return quotient((positives * precision).sum(axis=1), positives.sum(axis=1))


def quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return above / below, NaN where below is 0 or less."""
    nothing = np.full(np.shape(above), np.nan)
    result: np.ndarray = np.divide(above, below, out=nothing, where=below > 0)
    return result


_CELL_COST = 6  # a multinomial cell costs as much as drawing so many rows
_CELLS_AT_ONCE = 160_000  # a block of draws stays in a core's cache
# Of more things it does not, and what a block is multiplied by comes from memory each time, for two
# draws as for eight. Memory stays bounded.
_FEWEST_DRAWS, _MOST_CELLS = 8, 2_000_000
_EXACT = 2**24  # float32 holds every whole number up to it, in half the memory


def resample_counts(number: int, *, draws: int, seed: int, block: int = 0) -> Iterator[np.ndarray]:
    """Yield how often each of `number` things is drawn, with replacement, in each resample.

    The same number and seed give the same resamples, so that statistics may be compared draw by
    draw. Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 6.

    Args:
        number: Of rows or clusters, 1 or more.
        draws: Number of resamples.
        seed: Of the generator.
        block: Resamples at a time, which changes none of them; 0: see `draws_at_once`.

    Yields:
        Blocks of draws x number; every row sums to `number`.
    """
    generator = np.random.default_rng(seed)
    block = block or draws_at_once(number)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        drawn = generator.integers(number, size=(size, number))
        drawn += np.arange(size)[:, None] * number  # each draw has bins of its own
        yield np.bincount(drawn.ravel(), minlength=size * number).reshape(size, number)


def draws_at_once(cells: int) -> int:
    """Return how many draws of so many numbers are worked on together."""
    fewest = min(_FEWEST_DRAWS, _MOST_CELLS // cells)
    return max(1, fewest, _CELLS_AT_ONCE // cells)


def resampled_sums(
    values: np.ndarray,
    *,
    clusters: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Return the sum of each column over the rows of each resample.

    Args:
        values: n x k finite numbers: what each row adds to each sum.
        clusters: n whole numbers from 0: whole clusters are drawn, not rows.
        draws: Number of resamples.
        seed: Of the generator.

    Returns:
        draws x k. Cost grows with rows x k once and clusters x draws x k.

    Raises:
        ValueError: `values` is not n x k, or one of them is not finite.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"values has the shape {values.shape}: pass rows x sums")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"values[{row}, {column}] is {values[row, column]}: drop such rows first")
    if clusters is not None:
        number = int(clusters.max(initial=-1)) + 1
        sums = [np.bincount(clusters, weights=v, minlength=number) for v in values.T]
        values = np.stack(sums, axis=1) if sums else np.empty((number, 0))
    if not len(values):
        return np.zeros((draws, values.shape[1]))
    blocks = resample_counts(len(values), draws=draws, seed=seed)
    parts = [counts.astype(float) @ values for counts in blocks]
    return np.concatenate(parts) if parts else np.empty((0, values.shape[1]))


def resampled_means(
    values: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Return the (weighted) mean of each column over the rows of each resample.

    Args:
        values: n x k numbers.
        weights: n or n x k weights of 0 or more: whether a row counts, say; None: all alike.
        clusters: n whole numbers from 0: whole clusters are drawn, not rows.
        draws: Number of resamples.
        seed: Of the generator.

    Returns:
        draws x k, NaN where a resample has no weight.
    """
    values = np.asarray(values, dtype=float)
    shares = np.ones((len(values), 1)) if weights is None else np.asarray(weights, dtype=float)
    shares = shares.reshape(len(values), -1)
    both = np.concatenate([values * shares, shares], axis=1)
    sums = resampled_sums(both, clusters=clusters, draws=draws, seed=seed)
    above, below = np.broadcast_arrays(sums[:, : values.shape[1]], sums[:, values.shape[1] :])
    return quotient(above, below)


def percentile_interval(
    values: np.ndarray, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the standard error and the percentile limits of resampled statistics.

    Efron and Tibshirani 1993, chapter 13. Draws that are not finite (a class was absent) are left
    out; a statistic of which half the draws or more are so is NaN.

    Args:
        values: draws, or draws x k.
        confidence: Of the interval.

    Returns:
        Standard errors, lower and upper limits: each k numbers, or one (`float` takes it).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1: 0.95 is usual")
    table = np.asarray(values, dtype=float)
    kept = np.isfinite(table)
    if table.ndim == 1:
        columns = [table[kept]]
    else:
        columns = [column[finite] for column, finite in zip(table.T, kept.T, strict=True)]
    tail = (1 - confidence) / 2
    limits = np.full((3, len(columns)), np.nan)
    for k, column in enumerate(columns):
        if len(column) > 1 and len(column) > len(table) / 2:
            limits[:, k] = column.std(ddof=1), *np.quantile(column, [tail, 1 - tail])
    se, low, high = limits if table.ndim > 1 else limits[:, 0]
    return np.asarray(se), np.asarray(low), np.asarray(high)


def resampled_statistics(
    truth: np.ndarray,
    score: np.ndarray,
    *,
    statistics: Sequence[Statistic],
    draws: int = 1000,
    seed: int = 0,
    clusters: np.ndarray | None = None,
    steps: np.ndarray | None = None,
) -> np.ndarray:
    """Return statistics of the ranking of each resample, all of the same resamples.

    Two scores are compared draw by draw when both get the same clusters (`np.arange(n)` for rows)
    and seed; rows without clusters are drawn by whichever way is faster for their ranking.

    Args:
        truth: n booleans.
        score: n numbers.
        statistics: k functions from counts, draws x steps, to draws values.
        draws: Number of resamples.
        seed: Of the generator.
        clusters: n whole numbers from 0: whole clusters are drawn, not rows.
        steps: n whole numbers from 0, the highest score's; None: `bootstrap.ranking_steps`, which
            runs of negatives share.

    Returns:
        draws x k, NaN where a resample lacks a class; draws x k x m if each returns draws x m.
    """
    if not len(truth) or draws < 1:
        return np.full((draws, len(statistics)), np.nan)
    step = ranking_steps(truth, score) if steps is None else steps
    blocks = _count_draws(step * 2 + truth, draws, seed, clusters)
    return np.concatenate(
        [np.stack([of(c[:, 1::2], c[:, 0::2]) for of in statistics], axis=1) for c in blocks]
    )


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

    Arguments are those of `resampled_statistics`.

    Returns:
        Standard error, lower and upper limit; NaN when a class has fewer than two rows.
    """
    if min(truth.sum(), (~truth).sum()) < 2 or draws < 2:
        return math.nan, math.nan, math.nan
    values = resampled_statistics(
        truth, score, statistics=[statistic], draws=draws, seed=seed, clusters=clusters
    )
    se, low, high = percentile_interval(values[:, 0], confidence=confidence)
    return float(se), float(low), float(high)


def _count_draws(
    cell: np.ndarray, draws: int, seed: int, clusters: np.ndarray | None
) -> Iterator[np.ndarray]:
    """Yield blocks of resampled counts, draws x cells: a cell is a step's negatives or positives.

    Args:
        cell: Of each row.
        draws: Number of resamples.
        seed: Of the generator.
        clusters: Of each row, from 0; None: rows are drawn.
    """
    cells = 2 * (int(cell.max()) // 2 + 1)
    if clusters is not None:
        yield from _cluster_draws(cell, cells, draws, seed, clusters)
        return
    generator = np.random.default_rng(seed)
    shares = np.bincount(cell, minlength=cells) / len(cell)
    block = max(1, _CELLS_AT_ONCE // cells)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        if cells * _CELL_COST < len(cell):
            counts = generator.multinomial(len(cell), shares, size=size)
        else:
            rows = (generator.integers(len(cell), size=len(cell)) for _ in range(size))
            counts = np.stack([np.bincount(cell[r], minlength=cells) for r in rows])
        yield counts.astype(float)


def _cluster_draws(
    cell: np.ndarray, cells: int, draws: int, seed: int, clusters: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield `_count_draws` of whole clusters."""
    # Imported here, as it would double what this module costs to import.
    from scipy import sparse

    number = int(clusters.max()) + 1
    held = sparse.coo_array((np.ones(len(cell)), (cell, clusters)), shape=(cells, number)).tocsr()
    kind = np.float32 if held.max() * number < _EXACT else np.float64
    held, block = held.astype(kind), draws_at_once(max(number, cells))
    few = max(1, _CELLS_AT_ONCE // cells)
    for counts in resample_counts(number, draws=draws, seed=seed, block=block):
        sums = held @ np.ascontiguousarray(counts.T, dtype=kind)
        drawn = np.ascontiguousarray(sums.T, dtype=float)
        # Statistics read each draw many times, and so want few of them at a time.
        yield from (drawn[k : k + few] for k in range(0, len(drawn), few))
