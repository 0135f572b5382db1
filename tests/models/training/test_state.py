"""Tensors: what a run knows goes from one network to another made anew, by name alone."""

from typing import Any

import keras
import numpy as np
import pytest

from melnb.models.networks.classifier import make_classifier
from melnb.models.networks.heads import training_view
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.training.losses import make_loss
from melnb.models.training.state import (
    Tensors,
    assign_weights,
    mean_weights,
    name_weights,
    select_weights,
    take_into_mean,
    to_array,
)
from melnb.models.training.trainer import Trainer

pytestmark = pytest.mark.backends


def make_tensors(image_size: int = 32, *, frozen: bool = False, ema: float = 0.9) -> Tensors:
    """All of a network in training: Keras numbers its layers anew each time."""
    network = make_classifier(classes=("a", "b"), image_size=image_size, backbone="tiny")
    network.get_layer("backbone").trainable = not frozen
    trainer = Trainer(training_view(network), loss=make_loss("cross_entropy", n_classes=2))
    trainer.prepare(make_optimizer("adam", 1e-3, ema=ema, accumulate=2))
    return Tensors(network, trainer)


def test_every_variable_is_named_once_and_found_again_in_another_network() -> None:
    first, second = make_tensors(32), make_tensors(48)
    count = len(first.classifier.weights)
    trained = len(first.classifier.trainable_weights)
    kinds = {name.rsplit(".", 1)[0] for name in first.variables}
    slots = {"momentum", "velocity", "average", "gradient_accumulator"}
    assert kinds == {
        "weight", "other", "optimizer.iteration", "optimizer.learning_rate",
        *(f"optimizer.{slot}" for slot in slots),
    }  # fmt: skip
    assert len(first.variables) == count + 1 + 2 + len(slots) * trained
    assert first.classifier.weights[0].path != second.classifier.weights[0].path
    assert first.variables.keys() == second.variables.keys()
    for name, variable in first.variables.items():
        assert variable.shape == second.variables[name].shape, name


def test_what_is_read_out_of_one_is_written_into_another() -> None:
    first, second = make_tensors(32), make_tensors(48)
    rng = np.random.default_rng(0)
    arrays = {
        n: rng.random(a.shape).astype(a.dtype) if a.dtype.kind == "f" else a + 3
        for n, a in first.read().items()
    }
    second.write(arrays, whole=True)
    for name, array in second.read().items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


def test_weights_that_begin_to_learn_bring_nothing_but_themselves() -> None:
    """Their averages begin where they are; what the others have gathered stays."""
    resting, learning = make_tensors(frozen=True), make_tensors()
    arrays = resting.read()
    arrays["optimizer.momentum.00020"] += 5
    arrays["optimizer.average.00020"] += 7
    learning.write(arrays)
    found = learning.read()
    assert not found["optimizer.momentum.00000"].any()
    np.testing.assert_array_equal(found["optimizer.average.00000"], arrays["weight.00000"])
    for name in ("optimizer.momentum.00020", "optimizer.average.00020", "weight.00000"):
        np.testing.assert_array_equal(found[name], arrays[name], err_msg=name)
    with pytest.raises(ValueError, match=r"no optimizer\.average\.00000 \(\d+ of \d+ are not"):
        learning.write(arrays, whole=True)


def test_weights_are_averaged_or_as_they_are() -> None:
    tensors = make_tensors()
    arrays = tensors.read()
    arrays["optimizer.average.00000"] += 1
    raw, averaged = select_weights(arrays), select_weights(arrays, averaged=True)
    np.testing.assert_allclose(averaged["weight.00000"], raw["weight.00000"] + 1)
    moving = next(n for n, v in name_weights(tensors.classifier.weights).items() if not v.trainable)
    np.testing.assert_array_equal(averaged[moving], raw[moving])
    assign_weights(tensors.classifier, averaged)
    np.testing.assert_array_equal(to_array(tensors.classifier.weights[0]), averaged["weight.00000"])


def test_a_mean_is_the_mean() -> None:
    rng = np.random.default_rng(0)
    sets: list[dict[str, Any]] = [
        {"weight.00000": rng.random((3, 2), "float32"), "other.00000": np.ones(2)} for _ in range(5)
    ]
    mean: dict[str, Any] = {}
    for count, arrays in enumerate(sets):
        mean = take_into_mean(mean, arrays, count)
    expected = np.mean([arrays["weight.00000"].astype("float64") for arrays in sets], axis=0)
    np.testing.assert_allclose(mean["swa.00000"], expected, rtol=1e-14)
    assert mean_weights(mean).keys() == {"weight.00000"}


def test_weights_of_another_network_are_refused() -> None:
    tensors = make_tensors()
    arrays = tensors.read()
    arrays["weight.00000"] = np.zeros((1, 1))
    with pytest.raises(
        ValueError, match=r"22 arrays for 22 weights, .* \(1, 1\) and \(3, 3, 3, 16\)"
    ):
        tensors.write(arrays)
    image = keras.Input((4,))
    other = keras.Model(image, keras.layers.Dense(2)(image))
    with pytest.raises(ValueError, match=r"0 arrays for 2 weights: they are another network's"):
        assign_weights(other, {})
