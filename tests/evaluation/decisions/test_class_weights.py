"""Weights of classes: the search against trying every weight, the criteria against others'."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from melnb.evaluation.decisions import class_weights
from melnb.evaluation.decisions.class_weights import Criterion

CRITERIA: tuple[Criterion, ...] = ("balanced_accuracy", "macro_f1", "cost")
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def rows(draw: st.DrawFn, classes: tuple[int, int] = (2, 4)) -> Rows:
    """Draw values with ties and zeros, truths with every class, and costs."""
    number = draw(st.integers(*classes))
    codes = [*range(number), *draw(st.lists(st.integers(0, number - 1), max_size=9))]
    cells = st.lists(st.integers(0, 9), min_size=number, max_size=number).filter(any)
    values = np.array([draw(cells) for _ in codes], dtype=float)
    costs = np.array([[draw(st.integers(1, 9)) for _ in range(number)] for _ in range(number)])
    np.fill_diagonal(costs, 0)
    return values / values.sum(axis=1, keepdims=True), np.array(codes), costs.astype(float)


def measured(
    values: np.ndarray, codes: np.ndarray, weights: Any, criterion: Criterion, costs: np.ndarray
) -> float:
    """What weights are worth, row by row in plain Python; a tie is wrong, and as dear as can be."""
    number = len(costs)
    counts, called, right, cost = ([0.0] * number for _ in range(4))
    for row, truth in zip(values, codes, strict=True):
        weighted = [float(v * w) for v, w in zip(row, weights, strict=True)]
        best = [k for k in range(number) if weighted[k] == max(weighted)]
        counts[truth] += 1
        if len(best) == 1:
            called[best[0]] += 1
            right[truth] += best[0] == truth
        cost[truth] += costs[truth, best[0]] if len(best) == 1 else costs[truth].max()
    if criterion == "cost":
        return -sum(cost) / len(codes)
    if criterion == "balanced_accuracy":
        return float(np.mean([r / n for r, n in zip(right, counts, strict=True)]))
    return float(np.mean([2 * r / (n + c) for r, n, c in zip(right, counts, called, strict=True)]))


def tried(values: np.ndarray, weights: np.ndarray, k: int) -> list[float]:
    """A weight between any two at which some row turns, and one beyond each end."""
    others = np.delete(values * weights, k, axis=1).max(axis=1)
    turns = sorted({t / v for t, v in zip(others, values[:, k], strict=True) if v > 0})
    apart = [t for j, t in enumerate(turns) if not j or t > turns[j - 1] * (1 + 1e-9)]
    middle = [(a + b) / 2 for a, b in pairwise(apart)]
    ends = [apart[0] / 2] if apart and apart[0] > 0 else []
    return [*ends, *middle, 2 * apart[-1] if apart and apart[-1] > 0 else 1.0]


@pytest.mark.parametrize("criterion", CRITERIA)
@settings(max_examples=settings.default.max_examples // 2)
@given(rows(), st.data())
def test_one_weight_is_the_best_of_all_that_could_be(
    criterion: Criterion, drawn: Rows, data: st.DataObject
) -> None:
    values, codes, costs = drawn
    number = values.shape[1]
    k = data.draw(st.integers(0, number - 1))
    weights = np.array([data.draw(st.sampled_from([0.5, 1.0, 1.7, 3.0])) for _ in range(number)])
    place, value = class_weights.best_weight(
        values, codes, weights, k, criterion=criterion, costs=costs
    )
    every = [
        measured(values, codes, np.where(np.arange(number) == k, w, weights), criterion, costs)
        for w in tried(values, weights, k)
    ]
    assert value == pytest.approx(max(every), abs=1e-12)
    there = np.where(np.arange(number) == k, place, weights)
    assert measured(values, codes, there, criterion, costs) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("criterion", CRITERIA)
@settings(max_examples=settings.default.max_examples // 3)
@given(rows())
def test_no_single_weight_betters_what_is_found(criterion: Criterion, drawn: Rows) -> None:
    values, codes, costs = drawn
    ones = np.ones(values.shape[1])
    found = class_weights.search_weights(
        values, codes, criterion=criterion, costs=costs, starts=[ones, 1 / np.bincount(codes)]
    )
    value = measured(values, codes, found, criterion, costs)
    assert np.log(found).mean() == pytest.approx(0, abs=1e-9)
    assert value >= measured(values, codes, ones, criterion, costs) - 1e-12
    for k in range(len(ones)):
        for weight in tried(values, found, k):
            moved = np.where(np.arange(len(ones)) == k, weight, found)
            assert measured(values, codes, moved, criterion, costs) <= value + 1e-9


@pytest.mark.parametrize("criterion", CRITERIA)
@given(rows(classes=(2, 2)))
def test_of_two_classes_it_is_the_best_of_all(criterion: Criterion, drawn: Rows) -> None:
    values, codes, costs = drawn
    found = class_weights.search_weights(
        values, codes, criterion=criterion, costs=costs, starts=[np.ones(2)]
    )
    every = [
        measured(values, codes, [1.0, w], criterion, costs) for w in tried(values, np.ones(2), 1)
    ]
    every.append(measured(values, codes, np.ones(2), criterion, costs))
    assert measured(values, codes, found, criterion, costs) == pytest.approx(max(every), abs=1e-12)


@pytest.mark.parametrize(
    ("criterion", "theirs"),
    [
        ("balanced_accuracy", balanced_accuracy_score),
        ("macro_f1", lambda truth, calls: f1_score(truth, calls, average="macro")),
        ("accuracy", lambda truth, calls: (truth == calls).mean()),
    ],
)
def test_criteria_are_those_of_scikit_learn(
    criterion: Any, theirs: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    draw = np.random.default_rng(0)
    codes, values = draw.choice(5, 400, p=[0.5, 0.3, 0.1, 0.07, 0.03]), draw.random((400, 5))
    weights = np.array([1.0, 2.0, 0.5, 3.0, 1.0])
    calls = class_weights.weighted_calls(values, weights)
    sums = class_weights.row_parts(codes, calls, 1 - np.eye(5)).sum(axis=0)[None]
    found = class_weights.criterion_values(sums, criterion)
    assert found[0] == pytest.approx(theirs(codes, calls))


def test_a_tie_is_called_nothing_and_costs_the_dearest() -> None:
    calls = class_weights.weighted_calls(np.array([[0.5, 0.5, 0.0], [0.2, 0.5, 0.3]]), np.ones(3))
    assert calls.tolist() == [3, 1]
    costs = np.array([[0.0, 2.0, 7.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    parts = class_weights.row_parts(np.array([0, 1]), calls, costs)
    assert parts[:, -1].tolist() == [7.0, 0.0]
    assert parts[0, 3:9].tolist() == [0.0] * 6
