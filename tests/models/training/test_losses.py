"""The losses by name: weights that cannot be lost, files, fits and refusals."""

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.training.losses import LOSSES, class_weights, make_loss

pytestmark = pytest.mark.backends
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


PER_IMAGE = ("cross_entropy", "focal", "margin_focal")
BATCH = ("soft_f1", "auc_pairs", "auc_margin")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_each_image_is_weighted_by_its_class(name: str, n_classes: int) -> None:
    weights = [0.5, 4.0, 1.0][:n_classes]
    p, truth = table(12, n_classes), one_hot(rng.integers(0, n_classes, 12), n_classes)
    plain = each(make_loss(name, n_classes=n_classes, label_smoothing=0.1), truth, p)
    loss = make_loss(name, n_classes=n_classes, label_smoothing=0.1, class_weights=weights)
    assert plain.shape == (12,)
    assert np.all(plain > 0)
    assert each(loss, truth, p) == pytest.approx(plain * (truth @ np.array(weights)), rel=1e-5)


@pytest.mark.parametrize("name", PER_IMAGE)
def test_an_image_is_worth_the_same_however_it_is_batched(name: str) -> None:
    p, truth = table(12, 3), one_hot(rng.integers(0, 3, 12), 3)
    loss = make_loss(name, n_classes=3, label_smoothing=0.1, class_weights=[0.5, 1, 4])
    batches = [float(loss(truth[b], p[b])) for b in np.split(rng.permutation(12), 4)]
    assert np.mean(batches) == pytest.approx(each(loss, truth, p).mean(), rel=1e-5)


def test_what_is_for_one_image_alone_is_not_for_a_batch() -> None:
    p, truth = table(12, 2), one_hot([0, 1] * 6, 2)
    for name in BATCH:
        plain, smoothed = (make_loss(name, n_classes=2, label_smoothing=e) for e in (0, 0.1))
        assert np.array_equal(each(plain, truth, p), each(smoothed, truth, p))


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


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_comes_back_from_its_configuration(name: str) -> None:
    loss = make_loss(
        name, n_classes=3, label_smoothing=0.1, focal_gamma=1.5, focal_alpha=0.4, auc_gap=0.6,
        class_weights=[1, 2, 3],
    )  # fmt: skip
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    p, truth = table(3, 3), one_hot([0, 1, 2], 3)
    assert np.array_equal(each(loss, truth, p), each(again, truth, p))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_teaches_a_network_in_a_compiled_fit(name: str) -> None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", make_loss(name, n_classes=3), jit_compile=True)
    model.optimizer.learning_rate = 0.1
    targets = np.arange(24) % 3
    x = (np.eye(4)[targets] + rng.normal(0, 0.1, (24, 4))).astype("float32")
    history = model.fit(x, one_hot(targets, 3), batch_size=12, epochs=12, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_class_weights() -> None:
    counts = [10, 30, 60]
    assert class_weights(counts, "ones").tolist() == [1, 1, 1]
    balanced = class_weights(counts, "balanced")
    assert balanced == pytest.approx([100 / 30, 100 / 90, 100 / 180])
    assert balanced * counts == pytest.approx([100 / 3] * 3)  # each class weighs the same in sum
    assert class_weights(counts, "balanced-sqrt") == pytest.approx(np.sqrt(balanced))


def test_class_weights_by_name_are_put_in_the_order_of_the_classes() -> None:
    named = {"melanoma": 5, "nevus": 0.5}
    assert class_weights([90, 10], named, ["nevus", "melanoma"]).tolist() == [0.5, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "focus"}, "'focus'; use one of"),
        ({"loss": "focal", "label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"loss": "focal", "focal_gamma": -1}, "focal_gamma is -1"),
        ({"loss": "focal", "focal_alpha": 1.5}, "focal_alpha 1.5"),
        ({"loss": "focal", "class_weights": [1, 2]}, "give 3 weights"),
        ({"loss": "focal", "class_weights": [1, 2, float("nan")]}, "give 3 weights"),
        ({"loss": "focal", "class_weights": [1, 2, float("inf")]}, "give 3 weights"),
        ({"loss": "soft_f1", "class_weights": [0, 0, 0]}, "one at least must be above 0"),
        ({"loss": "auc_pairs", "auc_gap": 0}, "auc_gap is 0"),
        ({"loss": "auc_margin", "auc_gap": 1.5}, "auc_gap is 1.5"),
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


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"nevus": 1, "melanom": 5}, r"\['melanom'\] are not classes and \['melanoma'\] have no"),
        ({"nevus": 1}, r"\['melanoma'\] have no weight; give one weight for each of"),
        ({"nevus": 1, "melanoma": 2, "wart": 1}, r"\['wart'\] are not classes; give"),
        ({"nevus": 1, "melanoma": -2}, "give 2 weights of 0 or more"),
        ({"nevus": 0, "melanoma": 0}, "one at least must be above 0"),
    ],
)
def test_class_weights_by_name_say_which_name_is_wrong(named: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_weights([90, 10], named, ["nevus", "melanoma"])
