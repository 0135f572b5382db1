"""Cross-entropy and its kin: published values, and limits."""

import math
from collections.abc import Callable

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from melnb.models.training.losses import make_loss

rng = np.random.default_rng(0)


def table(rows: int, classes: int) -> np.ndarray:
    values = rng.uniform(0.05, 1, (rows, classes))
    return (values / values.sum(axis=1, keepdims=True)).astype("float32")


def one_hot(targets: list[int] | np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype="float32")[np.asarray(targets)]


def each(loss: keras.losses.Loss, truth: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return one number for each image."""
    truth, p = (np.asarray(a, "float32") for a in (truth, p))
    return np.asarray(ops.convert_to_numpy(loss.call(truth, p)))


@pytest.mark.backends
@pytest.mark.parametrize(
    ("p", "y", "expected"),
    [(0.9, 1, 0.000263), (0.9, 0, 1.39882), (0.1, 1, 0.466273), (0.5, 1, 0.043322)],
)
def test_focal_of_two_classes_has_the_published_values(p: float, y: int, expected: float) -> None:
    loss = make_loss("focal", n_classes=2)
    assert each(loss, one_hot([y], 2), [[1 - p, p]]) == pytest.approx([expected], rel=2e-3)


@pytest.mark.backends
def test_focal_is_modulated_before_the_mean() -> None:
    loss = make_loss("focal", n_classes=2)
    both = float(loss(one_hot([1, 1], 2), np.array([[0.1, 0.9], [0.9, 0.1]], "float32")))
    assert both == pytest.approx((0.000263 + 0.466273) / 2, rel=1e-3)
    mean = -(np.log(0.9) + np.log(0.1)) / 2  # and not of the mean, as was seen in the field
    assert both != pytest.approx(0.25 * (1 - np.exp(-mean)) ** 2 * mean, rel=0.1)


@pytest.mark.backends
def test_focal_of_many_classes_is_the_formula_and_leaves_alpha_to_the_class_weights() -> None:
    p, targets = table(6, 7), rng.integers(0, 7, 6)
    true = p[np.arange(6), targets]
    for alpha in (0.0, 0.25):
        loss = make_loss("focal", n_classes=7, focal_gamma=1.5, focal_alpha=alpha)
        expected = -((1 - true) ** 1.5) * np.log(true)
        assert each(loss, one_hot(targets, 7), p) == pytest.approx(expected, rel=1e-5)


@pytest.mark.backends
def test_focal_without_gamma_and_alpha_is_cross_entropy() -> None:
    p, truth = table(5, 2), one_hot([0, 1, 1, 0, 1], 2)
    focal = make_loss("focal", n_classes=2, focal_gamma=0, focal_alpha=0, label_smoothing=0.1)
    plain = make_loss("cross_entropy", n_classes=2, label_smoothing=0.1)
    assert each(focal, truth, p) == pytest.approx(each(plain, truth, p), rel=1e-6)


@pytest.mark.backends
def test_smoothing_of_two_classes_is_the_binary_form_whose_least_loss_is_known() -> None:
    loss = make_loss("cross_entropy", n_classes=2, label_smoothing=0.05)
    p = np.linspace(0.01, 0.99, 99)
    losses = each(loss, one_hot([1] * 99, 2), np.stack([1 - p, p], axis=1))
    y = 1 * (1 - 0.05) + 0.05 / 2
    assert losses == pytest.approx(-y * np.log(p) - (1 - y) * np.log(1 - p), rel=1e-4)
    least = each(loss, one_hot([1], 2), [[0.025, 0.975]])
    assert least == pytest.approx([0.116907], abs=1e-6)
    assert losses.min() >= least[0]


@settings(max_examples=settings.default.max_examples // 4)
@given(st.integers(2, 8), st.floats(0, 0.9))
def test_smoothed_cross_entropy_is_the_formula_and_never_below_the_entropy(
    classes: int, smoothing: float
) -> None:
    p, targets = table(4, classes), rng.integers(0, classes, 4)
    loss = make_loss("cross_entropy", n_classes=classes, label_smoothing=smoothing)
    smoothed = np.full((4, classes), smoothing / classes)
    smoothed[np.arange(4), targets] += 1 - smoothing
    losses = each(loss, one_hot(targets, classes), p)
    assert losses == pytest.approx(-(smoothed * np.log(p)).sum(axis=1), rel=1e-4)
    entropy = -(smoothed * np.log(np.maximum(smoothed, 1e-30))).sum(axis=1)
    assert np.all(losses >= entropy - 1e-5)


@pytest.mark.backends
@pytest.mark.parametrize(
    ("logit", "y", "expected"),
    [
        (0, 1, 0.451565), (0, 0, 0.278278), (2, 1, 0.029657),
        (-2, 1, 3.478312), (2, 0, 1.828233), (-2, 0, 0.027853),
    ],
)  # fmt: skip
def test_margin_focal_of_two_classes_has_the_published_values(
    logit: float, y: int, expected: float
) -> None:
    p = 1 / (1 + math.exp(-logit))
    loss = make_loss("margin_focal", n_classes=2)
    assert each(loss, one_hot([y], 2), [[1 - p, p]]) == pytest.approx([expected], rel=5e-5)


@pytest.mark.backends
def test_margin_focal_of_many_classes_knows_no_positive_one() -> None:
    p, targets = table(6, 5), rng.integers(0, 5, 6)
    true, top = p[np.arange(6), targets], math.exp(0.2)
    expected = np.log(top + (1 - top) * true) - (1 - true) ** 2 * np.log(true)
    assert each(make_loss("margin_focal", n_classes=5), one_hot(targets, 5), p) == pytest.approx(
        expected, rel=1e-5
    )
    certain = each(make_loss("margin_focal", n_classes=5), one_hot([2], 5), one_hot([2], 5))
    assert certain == pytest.approx([0], abs=1e-6)


@pytest.mark.backends
@pytest.mark.parametrize("name", ["cross_entropy", "focal", "margin_focal"])
def test_certainty_costs_much_but_not_infinity(name: str, gradient: Callable) -> None:
    loss = make_loss(name, n_classes=2, label_smoothing=0.05)
    losses = each(loss, one_hot([1, 0], 2), [[1.0, 0.0], [1.0, 0.0]])
    assert np.all(np.isfinite(losses))
    assert losses[0] > losses[1] >= 0
    truth, p = one_hot([1, 0], 2), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert np.all(np.isfinite(gradient(lambda x: ops.sum(loss.call(truth, x)), p)))


@pytest.mark.backends
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_every_power_of_the_focal_loss_can_be_learnt_with(gamma: float, gradient: Callable) -> None:
    loss = make_loss("focal", n_classes=2, focal_gamma=gamma)
    logits = np.array([[20.0, -20.0], [0.0, 0.0], [-20.0, 20.0]])
    truth = one_hot([0, 0, 0], 2)
    slope = gradient(lambda x: ops.sum(loss.call(truth, ops.softmax(x))), logits)
    assert np.all(np.isfinite(slope))
    assert slope[2, 0] == pytest.approx(-0.75, rel=1e-3)  # of one who is wholly wrong: as ever
    assert abs(slope[0, 0]) < 1e-6
