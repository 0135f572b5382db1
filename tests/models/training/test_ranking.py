"""Losses of whole batches: against loops, scikit-learn and the published min-max form."""

import itertools
from collections.abc import Callable

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from sklearn.metrics import f1_score, roc_auc_score

from melnb.models.training.losses import make_loss

rng = np.random.default_rng(0)
BATCH = ("soft_f1", "auc_pairs", "auc_margin")


def each(loss: keras.losses.Loss, truth: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return one number for each image."""
    truth, p = (np.asarray(a, "float32") for a in (truth, p))
    return np.asarray(ops.convert_to_numpy(loss.call(truth, p)))


def both(values: np.ndarray) -> np.ndarray:
    """Return the two columns of what belongs to the positive class."""
    return np.stack([1 - np.asarray(values), values], axis=1)


def table(rows: int, classes: int) -> np.ndarray:
    values = rng.uniform(0.05, 1, (rows, classes))
    return values / values.sum(axis=1, keepdims=True)


def pairs(y: np.ndarray, p: np.ndarray, gap: float) -> float:
    up, down = p[y == 1], p[y == 0]
    return float(np.mean([max(0, gap - (a - b)) ** 2 for a, b in itertools.product(up, down)]))


def saddle(y: np.ndarray, p: np.ndarray, gap: float, a: float, b: float, alpha: float) -> float:
    """The function of LibAUC's AUCMLoss, less its factor of prevalence times complement."""
    share = y.mean()
    whole = (
        (1 - share) * np.mean((p - a) ** 2 * y)
        + share * np.mean((p - b) ** 2 * (1 - y))
        + 2 * alpha * (share * (1 - share) * gap
                       + np.mean(share * p * (1 - y) - (1 - share) * p * y))
        - share * (1 - share) * alpha**2
    )  # fmt: skip
    return float(whole / (share * (1 - share)))


def optimum(y: np.ndarray, p: np.ndarray, gap: float) -> tuple[float, float, float]:
    a, b = p[y == 1].mean(), p[y == 0].mean()
    return a, b, max(0.0, gap + b - a)


@pytest.mark.backends
@pytest.mark.parametrize("gap", [0.2, 1.0])
def test_pairs_are_the_mean_over_all_pairs(gap: float) -> None:
    y, p = np.array([1, 0, 0, 1, 0, 0, 0]), rng.uniform(size=7)
    losses = each(make_loss("auc_pairs", n_classes=2, auc_gap=gap), both(y), both(p))
    assert losses.mean() == pytest.approx(pairs(y, p, gap), rel=1e-5)
    # A pair belongs to its two images in equal parts.
    assert losses[y == 1].sum() == pytest.approx(losses[y == 0].sum(), rel=1e-5)
    worst = np.argmin(np.where(y == 1, p, 2))
    assert losses[worst] == losses[y == 1].max()


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=32)), min_size=4, max_size=12))
def test_pairs_are_never_below_what_they_stand_for(rows: list[tuple[bool, float]]) -> None:
    y, p = np.array([row[0] for row in rows], int), np.array([row[1] for row in rows])
    loss = each(make_loss("auc_pairs", n_classes=2), both(y), both(p)).mean()
    if len(set(y)) < 2:
        assert loss == 0
    else:
        assert loss >= 1 - roc_auc_score(y, p) - 1e-5


@pytest.mark.backends
def test_pairs_apart_by_the_gap_cost_nothing() -> None:
    y, p = np.array([1, 1, 0]), np.array([0.9, 0.8, 0.4])
    assert not each(make_loss("auc_pairs", n_classes=2, auc_gap=0.3), both(y), both(p)).any()
    assert each(make_loss("auc_pairs", n_classes=2, auc_gap=0.45), both(y), both(p)).any()


@pytest.mark.backends
@pytest.mark.parametrize("gap", [0.1, 0.5, 1.0])
def test_the_auc_margin_loss_is_the_published_form_at_its_saddle(gap: float) -> None:
    y, p = np.array([1, 0, 0, 1, 0, 1, 0]), rng.uniform(size=7)
    p[y == 1] = np.minimum(1, p[y == 1] + 0.3)
    a, b, alpha = optimum(y, p, gap)
    loss = make_loss("auc_margin", n_classes=2, auc_gap=gap)
    value = each(loss, both(y), both(p)).mean()
    assert value == pytest.approx(saddle(y, p, gap, a, b, alpha), rel=1e-4)
    for step in (-0.05, 0.05):  # lowest by a and b, highest by alpha, which is 0 or more
        assert saddle(y, p, gap, a + step, b, alpha) > value - 1e-6
        assert saddle(y, p, gap, a, b + step, alpha) > value - 1e-6
        assert saddle(y, p, gap, a, b, max(0, alpha + step)) < value + 1e-6


@pytest.mark.backends
@pytest.mark.parametrize("gap", [0.1, 1.0])
def test_its_gradient_is_that_of_the_published_form_with_the_three_held(
    gap: float, gradient: Callable
) -> None:
    y = np.array([1, 0, 0, 1, 0, 1, 0])
    p = rng.uniform(0.2, 0.6, size=7) + 0.3 * y
    held = optimum(y, p, gap)
    loss, truth = make_loss("auc_margin", n_classes=2, auc_gap=gap), both(y).astype("float32")

    def cost(x: object) -> object:
        return ops.mean(loss.call(truth, ops.stack([1 - x, x], axis=1)))

    steps = 1e-4 * np.eye(7)
    expected = [
        (saddle(y, p + step, gap, *held) - saddle(y, p - step, gap, *held)) / 2e-4 for step in steps
    ]
    assert gradient(cost, p) == pytest.approx(np.array(expected), abs=2e-4)


@pytest.mark.backends
def test_soft_f1_of_hard_calls_is_the_f1_score() -> None:
    y, calls = rng.integers(0, 2, 30), rng.integers(0, 2, 30)
    loss = each(make_loss("soft_f1", n_classes=2), both(y), both(calls)).mean()
    assert loss == pytest.approx(1 - f1_score(y, calls), rel=1e-5)
    truth, called = rng.integers(0, 4, 40), rng.integers(0, 4, 40)
    loss = each(make_loss("soft_f1", n_classes=4), np.eye(4)[truth], np.eye(4)[called]).mean()
    assert loss == pytest.approx(1 - f1_score(truth, called, average="macro"), rel=1e-5)


@pytest.mark.backends
def test_soft_f1_counts_by_probability() -> None:
    y, p = np.array([1, 0, 1, 0]), np.array([0.8, 0.3, 0.4, 0.7])
    loss = each(make_loss("soft_f1", n_classes=2), both(y), both(p)).mean()
    tp, fp, fn = 1.2, 1.0, 0.8
    assert loss == pytest.approx(1 - 2 * tp / (2 * tp + fp + fn), rel=1e-5)


@pytest.mark.backends
@pytest.mark.parametrize("name", BATCH)
def test_many_classes_are_the_mean_of_those_in_the_batch_each_against_the_rest(name: str) -> None:
    truth, p = np.eye(5)[[0, 2, 2, 4, 0, 0, 4, 2]], table(8, 5)
    loss = each(make_loss(name, n_classes=5), truth, p).mean()
    one = make_loss(name, n_classes=2)
    alone = [each(one, both(truth[:, k]), both(p[:, k])).mean() for k in (0, 2, 4)]
    assert loss == pytest.approx(np.mean(alone), rel=1e-4)


@pytest.mark.backends
@pytest.mark.parametrize("name", BATCH)
def test_the_order_of_a_batch_does_not_matter_and_mixed_truth_may_be_hard(name: str) -> None:
    truth, p = table(8, 3), table(8, 3)
    loss = make_loss(name, n_classes=3)
    order = rng.permutation(8)
    losses = each(loss, truth, p)
    assert each(loss, truth[order], p[order]) == pytest.approx(losses[order], rel=1e-4)
    # Half of two classes is what two images, one of each and otherwise equal, are.
    mixed = np.array([[0.5, 0.5], [1, 0], [0, 1]])
    apart = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, 1], [0, 1]])
    scores = both(np.array([0.3, 0.6, 0.5]))
    both_ways = each(make_loss(name, n_classes=2), apart, np.repeat(scores, 2, axis=0)).mean()
    together = each(make_loss(name, n_classes=2), mixed, scores).mean()
    assert together == pytest.approx(both_ways, rel=1e-4)


@pytest.mark.backends
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", BATCH)
def test_a_batch_that_says_nothing_of_a_class_teaches_nothing_of_it(
    name: str, n_classes: int, gradient: Callable
) -> None:
    loss = make_loss(name, n_classes=n_classes)
    p = table(4, n_classes)
    scores = np.stack([p, np.zeros_like(p), np.ones_like(p)])
    for target in (0, n_classes - 1):
        truth = np.eye(n_classes, dtype="float32")[[target] * 4]

        def cost(x: object, truth: np.ndarray = truth) -> object:
            return ops.sum(ops.stack([ops.mean(loss.call(truth, x[k])) for k in range(3)]))

        assert not any(each(loss, truth, batch).any() for batch in scores)
        assert not gradient(cost, scores).any()  # nor is it a NaN
    if n_classes == 3:
        truth = np.eye(3, dtype="float32")[[0, 1, 1, 0]]
        slope = gradient(lambda x: ops.mean(loss.call(truth, x)), table(4, 3))
        assert np.all(np.isfinite(slope))
        assert slope[:, :2].any()
        assert not slope[:, 2].any()
