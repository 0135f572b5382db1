"""The losses: published values, exact for each image, weights that cannot be lost."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from melnb.models.objectives.losses import CrossEntropy, Focal, class_weights, make_loss

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
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


@pytest.mark.parametrize(
    ("p", "y", "expected"),
    [(0.9, 1, 0.000263), (0.9, 0, 1.39882), (0.1, 1, 0.466273), (0.5, 1, 0.043322)],
)
def test_focal_of_two_classes_has_the_published_values(p: float, y: int, expected: float) -> None:
    loss = make_loss("focal", n_classes=2)
    assert each(loss, one_hot([y], 2), [[1 - p, p]]) == pytest.approx([expected], rel=2e-3)


def test_focal_is_modulated_before_the_mean() -> None:
    loss = make_loss("focal", n_classes=2)
    both = float(loss(one_hot([1, 1], 2), np.array([[0.1, 0.9], [0.9, 0.1]], "float32")))
    assert both == pytest.approx((0.000263 + 0.466273) / 2, rel=1e-3)
    mean = -(np.log(0.9) + np.log(0.1)) / 2  # and not of the mean, as was seen in the field
    assert both != pytest.approx(0.25 * (1 - np.exp(-mean)) ** 2 * mean, rel=0.1)


def test_focal_of_many_classes_is_the_formula_and_leaves_alpha_to_the_class_weights() -> None:
    p, targets = table(6, 7), rng.integers(0, 7, 6)
    true = p[np.arange(6), targets]
    for alpha in (0.0, 0.25):
        loss = make_loss("focal", n_classes=7, focal_gamma=1.5, focal_alpha=alpha)
        expected = -((1 - true) ** 1.5) * np.log(true)
        assert each(loss, one_hot(targets, 7), p) == pytest.approx(expected, rel=1e-5)


def test_focal_without_gamma_and_alpha_is_cross_entropy() -> None:
    p, truth = table(5, 2), one_hot([0, 1, 1, 0, 1], 2)
    focal = make_loss("focal", n_classes=2, focal_gamma=0, focal_alpha=0, label_smoothing=0.1)
    plain = make_loss("cross_entropy", n_classes=2, label_smoothing=0.1)
    assert each(focal, truth, p) == pytest.approx(each(plain, truth, p), rel=1e-6)


def test_smoothing_of_two_classes_is_the_binary_form_whose_least_loss_is_known() -> None:
    loss = make_loss("cross_entropy", n_classes=2, label_smoothing=0.05)
    p = np.linspace(0.01, 0.99, 99)
    losses = each(loss, one_hot([1] * 99, 2), np.stack([1 - p, p], axis=1))
    y = 1 * (1 - 0.05) + 0.05 / 2
    assert losses == pytest.approx(-y * np.log(p) - (1 - y) * np.log(1 - p), rel=1e-4)
    least = each(loss, one_hot([1], 2), [[0.025, 0.975]])
    assert least == pytest.approx([0.116907], abs=1e-6)
    assert losses.min() >= least[0]


@settings(max_examples=25, deadline=None)
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


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_each_image_is_weighted_by_its_class_however_it_is_batched(name: str) -> None:
    weights = [0.5, 1.0, 4.0]
    p, truth = table(12, 3), one_hot(rng.integers(0, 3, 12), 3)
    plain = each(make_loss(name, n_classes=3, label_smoothing=0.1), truth, p)
    loss = make_loss(name, n_classes=3, label_smoothing=0.1, class_weights=weights)
    expected = plain * (truth @ np.array(weights))
    assert each(loss, truth, p) == pytest.approx(expected, rel=1e-5)
    order = rng.permutation(12)
    batches = [float(loss(truth[b], p[b])) for b in np.split(order, 4)]
    assert np.mean(batches) == pytest.approx(expected.mean(), rel=1e-5)


def test_a_mixed_truth_has_the_mean_of_its_weights() -> None:
    p, truth = table(1, 3), np.array([[0.7, 0.0, 0.3]], "float32")
    plain = each(make_loss("cross_entropy", n_classes=3), truth, p)
    weighted = make_loss("cross_entropy", n_classes=3, class_weights=[1, 5, 11])
    assert each(weighted, truth, p) == pytest.approx(plain * (0.7 * 1 + 0.3 * 11), rel=1e-5)


def test_a_class_of_weight_zero_teaches_nothing_in_a_fit() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", make_loss("cross_entropy", n_classes=2, class_weights=[1, 0]))
    x = rng.normal(size=(8, 4)).astype("float32")
    before = model.get_weights()
    model.fit(x, one_hot([1] * 8, 2), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.fit(x, one_hot([0] * 8, 2), verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_certainty_costs_much_but_not_infinity(name: str) -> None:
    loss = make_loss(name, n_classes=2, label_smoothing=0.05)
    losses = each(loss, one_hot([1, 0], 2), [[1.0, 0.0], [1.0, 0.0]])
    assert np.all(np.isfinite(losses))
    assert losses[0] > losses[1] >= 0


@pytest.mark.parametrize("kind", [CrossEntropy, Focal])
def test_a_loss_comes_back_from_its_configuration(kind: type[CrossEntropy]) -> None:
    loss = kind(label_smoothing=0.1, class_weights=[1, 2, 3])
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is kind
    p, truth = table(3, 3), one_hot([0, 1, 2], 3)
    assert np.array_equal(each(loss, truth, p), each(again, truth, p))


def test_class_weights() -> None:
    counts = [10, 30, 60]
    assert class_weights(counts, "ones").tolist() == [1, 1, 1]
    balanced = class_weights(counts, "balanced")
    assert balanced == pytest.approx([100 / 30, 100 / 90, 100 / 180])
    assert balanced * counts == pytest.approx([100 / 3] * 3)  # each class weighs the same in sum
    assert class_weights(counts, "balanced-sqrt") == pytest.approx(np.sqrt(balanced))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "focus"}, "'focus'"),
        ({"name": "focal", "label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"name": "focal", "focal_gamma": -1}, "focal_gamma is -1"),
        ({"name": "focal", "focal_alpha": 1.5}, "focal_alpha 1.5"),
        ({"name": "focal", "class_weights": [1, 2]}, "give 3 weights"),
        ({"name": "focal", "class_weights": [1, 2, float("nan")]}, "give 3 weights"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_loss(n_classes=3, **arguments)


def test_class_weights_refuse_an_absent_class_and_an_unknown_mode() -> None:
    with pytest.raises(ValueError, match="class 1 of counts"):
        class_weights([3, 0], "balanced")
    assert class_weights([3, 0], "ones").tolist() == [1, 1]
    with pytest.raises(ValueError, match="'equal'"):
        class_weights([3, 1], "equal")
