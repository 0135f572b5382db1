"""Class weights: the decision argmax w_k p_k, and an exact search for weights of many classes.

A row is called by the highest of its weighted values. One weight alone, all others held, changes
the call of each row once: where it passes the row's turning point, the greatest weighted value of
the other classes over the row's own. So a sweep over sorted turning points tries every decision
that this weight can make, and none twice. Weights are moved one after the other, the best place of
each, until none can be bettered (coordinate ascent; Nelder and Mead's or a grid would only come
near such a place). What is found is the best of all for two classes, and for more the best that no
single weight betters. A sweep over K classes of n rows costs O(K n (log n + K)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from melnb.evaluation.statistics.bootstrap import quotient

Criterion = Literal["balanced_accuracy", "macro_f1", "cost"]
_APART = 1e-12  # of turning points: what is nearer is one, so that no weight stands upon one
_BETTER = 1e-12  # of a criterion: what is less is rounding
_LEAST, _MOST = 1e-9, 1e9  # of a weight
_SWEEPS = 100  # each betters the criterion, of which there are finitely many values


def weighted_calls(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the class of each row; where several share the highest, the number of classes.

    Such a call is wrong of any truth, as the official scorers rule (`classes.TIED`).

    Args:
        values: n x classes, 0 or more.
        weights: A weight above 0 for each class.
    """
    return _highest(values * weights)[0]


def row_parts(codes: np.ndarray, calls: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return what each row adds to the sums that `criterion_values` takes.

    Args:
        codes: n, the position of the true class.
        calls: `weighted_calls`.
        costs: classes x classes, of a call (column) for a truth (row).

    Returns:
        n x (3 classes + 1): whether the row is of each class, called so rightly, called so; cost.
    """
    classes = np.arange(len(costs))
    true, called = codes[:, None] == classes, calls[:, None] == classes
    cost = _with_ties(costs)[codes, calls]
    return np.column_stack([true, true & called, called, cost]).astype(float)


def criterion_values(sums: np.ndarray, criterion: Criterion | Literal["accuracy"]) -> np.ndarray:
    """Return a criterion of many sums of `row_parts`, the higher the better but for the cost.

    Balanced accuracy is the mean share called rightly of the classes that have rows, macro F1 the
    mean F1 of those that have rows or are called (both as scikit-learn's); the cost is a row's
    mean.

    Args:
        sums: draws x (3 classes + 1).
        criterion: Which.
    """
    number = (sums.shape[1] - 1) // 3
    rows, right, called = (sums[:, k * number : (k + 1) * number] for k in range(3))
    if criterion == "cost":
        return quotient(sums[:, -1], rows.sum(axis=1))
    if criterion == "accuracy":
        return quotient(right.sum(axis=1), rows.sum(axis=1))
    of = (right, rows) if criterion == "balanced_accuracy" else (2 * right, rows + called)
    each, there = quotient(*of), of[1] > 0
    return quotient(np.where(there, each, 0.0).sum(axis=1), there.sum(axis=1).astype(float))


def search_weights(
    values: np.ndarray,
    codes: np.ndarray,
    *,
    criterion: Criterion,
    costs: np.ndarray,
    starts: Sequence[np.ndarray],
) -> np.ndarray:
    """Return the weights that no change of a single one betters, the best over several starts.

    Args:
        values: n x classes, 0 or more.
        codes: n, the position of the true class; every class has rows.
        criterion: What is to be best: balanced accuracy, macro F1, or the least mean cost.
        costs: classes x classes, of a call (column) for a truth (row); of `cost` alone.
        starts: Weights to begin with; of equal outcomes the first's stands.

    Returns:
        A weight for each class, of geometric mean one.
    """
    ascents = [_ascended(values, codes, criterion, costs, start) for start in starts]
    _, weights = max(ascents, key=lambda pair: round(pair[0], 12))
    return levelled(weights)


def levelled(weights: np.ndarray) -> np.ndarray:
    """Return the same decision's weights of geometric mean one."""
    return np.asarray(weights / np.exp(np.log(weights).mean()))


def best_weight(
    values: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray,
    k: int,
    *,
    criterion: Criterion,
    costs: np.ndarray,
) -> tuple[float, float]:
    """Return where the criterion is best along the weight of class k, and its value there.

    Arguments are those of `search_weights`, and:

    Args:
        weights: Those of the others are held.
        k: The position of the class.

    Returns:
        A weight between turning points, of several that are equally good the nearest to the
        present one; the criterion, the higher the better (of a cost the negative).
    """
    others = values * weights
    others[:, k] = -1.0
    rival, top = _highest(others)
    column = values[:, k]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        turn = np.where(column > 0, top / column, np.inf)
    rival = np.where((column <= 0) & (top <= 0), len(weights), rival)
    order = np.argsort(turn, kind="stable")
    turns = turn[order]
    number = int(np.searchsorted(turns, np.inf))
    places, tried = _between(turns[:number])
    value = _along(codes[order], rival[order], k, criterion, costs)[places]
    inside = (tried >= _LEAST) & (tried <= _MOST)
    if not inside.any():
        return float(weights[k]), -np.inf
    tried, value = tried[inside], value[inside]
    best = np.flatnonzero(value >= value.max() - _BETTER)
    nearest = best[np.abs(np.log(tried[best] / weights[k])).argmin()]
    return float(tried[nearest]), float(value[nearest])


def _ascended(
    values: np.ndarray,
    codes: np.ndarray,
    criterion: Criterion,
    costs: np.ndarray,
    start: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Return the criterion, the higher the better, and the weights that end a climb."""
    weights = np.array(start, dtype=float)
    sums = row_parts(codes, weighted_calls(values, weights), costs).sum(axis=0)[None]
    value = float(criterion_values(sums, criterion)[0]) * (-1 if criterion == "cost" else 1)
    for _ in range(_SWEEPS):
        before = value
        for k in range(len(weights)):
            place, reached = best_weight(
                values, codes, weights, k, criterion=criterion, costs=costs
            )
            if reached > value + _BETTER:
                weights[k], value = place, reached
        if value <= before:
            break
    return value, weights


def _between(turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many rows have turned, and a weight for each such place, in rising order.

    Args:
        turns: Turning points, rising and finite; one of 0 is passed by every weight.
    """
    if not len(turns):
        return np.array([0]), np.array([1.0])
    ends = np.flatnonzero(turns[1:] > turns[:-1] * (1 + _APART)) + 1
    low, high = turns[ends - 1], turns[ends]
    with np.errstate(divide="ignore"):
        middle = np.where(low > 0, low * np.sqrt(high / np.where(low > 0, low, 1.0)), high / 2)
    last = 2 * turns[-1] if turns[-1] > 0 else 1.0
    places, tried = np.append(ends, len(turns)), np.append(middle, last)
    if turns[0] > 0:
        return np.append(0, places), np.append(turns[0] / 2, tried)
    return places, tried


def _along(
    codes: np.ndarray, rival: np.ndarray, k: int, criterion: Criterion, costs: np.ndarray
) -> np.ndarray:
    """Return the criterion when none, one, two … of the rows are called k instead of their rival.

    Args:
        codes: n, in the order in which rows turn.
        rival: What each is called before, likewise.
        k: What it is called after.
    """
    number = len(costs)
    counts = np.bincount(codes, minlength=number).astype(float)
    if criterion == "macro_f1":
        return _f1_along(codes, rival, k, counts)
    if criterion == "cost":
        worth = -_with_ties(costs) / len(codes)
    else:
        there = counts > 0
        worth = np.zeros((number, number + 1))
        np.fill_diagonal(worth, quotient(there.astype(float), counts * there.sum()))
        worth = np.nan_to_num(worth)
    before = worth[codes, rival]
    return np.asarray(np.append(0.0, np.cumsum(worth[codes, k] - before)) + before.sum())


def _f1_along(codes: np.ndarray, rival: np.ndarray, k: int, counts: np.ndarray) -> np.ndarray:
    """Return `_along` of macro F1, where a call counts for its class as well as for the truth's."""
    number = len(counts)
    called = rival[:, None] == np.arange(number)
    right = called & (codes == rival)[:, None]
    hits, named = (
        part.sum(axis=0) - np.vstack([np.zeros(number), np.cumsum(part, axis=0)])
        for part in (right, called)
    )
    hits[:, k] = np.append(0.0, np.cumsum(codes == k))
    named[:, k] = np.arange(len(codes) + 1)
    whole = counts + named
    each = np.where(whole > 0, 2 * hits / np.maximum(whole, 1), 0.0)
    return np.asarray(each.sum(axis=1) / (whole > 0).sum(axis=1))


def _highest(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each row is highest (where twice: the number of columns), and how high."""
    place = values.argmax(axis=1)
    top = values[np.arange(len(values)), place]
    tied = (values == top[:, None]).sum(axis=1) > 1
    return np.where(tied, values.shape[1], place), top


def _with_ties(costs: np.ndarray) -> np.ndarray:
    """Return the costs with a column for a tied call: it costs what the worst does."""
    return np.column_stack([costs, costs.max(axis=1)])
