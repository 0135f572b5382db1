"""Pooling: from a map to a vector."""

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.networks.classifier import GeM

pytestmark = pytest.mark.backends


def values(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def test_gem_is_the_formula_between_the_mean_and_the_maximum() -> None:
    x = np.random.default_rng(0).uniform(0, 4, (2, 5, 3, 7)).astype("float32")
    x[0, 0, 0] = -1  # below nothing counts as nothing
    positive = np.maximum(x, 1e-6)
    expected = (positive**3).mean(axis=(1, 2)) ** (1 / 3)
    assert values(GeM()(x)) == pytest.approx(expected, rel=1e-5)
    assert values(GeM(p=1)(x)) == pytest.approx(positive.mean(axis=(1, 2)), rel=1e-5)
    assert values(GeM(p=60)(x)) == pytest.approx(x.max(axis=(1, 2)), rel=0.06)


def test_gem_learns_its_power() -> None:
    model = keras.Sequential([keras.Input((3, 3, 1)), GeM()])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.random.default_rng(0).uniform(0, 1, (4, 3, 3, 1)).astype("float32")
    model.train_on_batch(x, x.max(axis=(1, 2)))  # asks for the maximum: a greater power
    assert 3 < float(values(model.layers[0].p)) < 4
