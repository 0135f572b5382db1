"""The averages of weights equal their definitions, and so do the statistics measured for them."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from melnb.models.optimization.weight_averaging import holding, running_mean, update_batch_norm


@pytest.mark.backends
def test_swa_is_the_mean_of_all_that_was_taken_in() -> None:
    rng = np.random.default_rng(0)
    sets = [[rng.normal(size=(3, 2)), rng.normal(size=4)] for _ in range(7)]
    mean = None
    for count, arrays in enumerate(sets):
        mean = running_mean(mean, [a.astype("float32") for a in arrays], count=count)
    assert mean is not None
    for k in range(2):
        assert mean[k].dtype == np.float64
        assert mean[k] == pytest.approx(np.mean([s[k] for s in sets], axis=0), abs=1e-7)
    keras_variable = keras.Variable(np.ones(3, "float32"))
    assert running_mean(None, [keras_variable], count=0)[0].tolist() == [1, 1, 1]


@pytest.mark.backends
def test_other_values_are_held_and_given_back_even_where_something_breaks() -> None:
    variable = keras.Variable(np.zeros(2, "float32"))

    def break_off() -> None:
        with holding([variable], [np.array([1.0, 2.0])]):
            assert np.array(keras.ops.convert_to_numpy(variable)).tolist() == [1, 2]
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert np.array(keras.ops.convert_to_numpy(variable)).tolist() == [0, 0]


def make_model(*, frozen: bool = False) -> keras.Model:
    """Two normalisations, one of them in a nested model; dropout between."""
    keras.utils.set_random_seed(1)
    inside = keras.Sequential(
        [keras.Input((6, 6, 2)), keras.layers.BatchNormalization(momentum=0.99, name="first")]
    )
    image = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, name="convolution")(inside(image))
    x = keras.layers.BatchNormalization(momentum=0.9, name="second", trainable=not frozen)(x)
    x = keras.layers.Dropout(0.5, seed=4)(keras.layers.ReLU()(x))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))


def pictures(count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(2)
    for k in range(count):
        yield rng.normal(3 + k, 1 + k, size=(8, 6, 6, 2)).astype("float32")


def statistics(model: keras.Model) -> dict[str, np.ndarray]:
    return {
        v.path.split("/", 1)[-1] if v.path.startswith("seq") else v.path: np.array(
            keras.ops.convert_to_numpy(v)
        )
        for v in model.non_trainable_variables
    }


def normalised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a batch less its own mean, over its own deviation, and both moments."""
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + 1e-3), mean, variance


def expected_statistics(model: keras.Model, batches: list[np.ndarray]) -> list[Any]:
    """Return mean and variance of both layers by the definition, in NumPy's float64."""
    kernel, bias = (w.astype("float64") for w in model.get_layer("convolution").get_weights())
    moments = []
    for batch in batches:
        seen, mean1, var1 = normalised(batch.astype("float64"))
        windows = np.lib.stride_tricks.sliding_window_view(seen, (3, 3), axis=(1, 2))
        mapped = np.einsum("bxyiuv,uvio->bxyo", windows, kernel) + bias
        _, mean2, var2 = normalised(mapped)
        moments.append((mean1, mean1**2 + var1, mean2, mean2**2 + var2))
    m1, s1, m2, s2 = (np.mean(column, axis=0) for column in zip(*moments, strict=True))
    return [m1, s1 - m1**2, m2, s2 - m2**2]


def test_statistics_are_those_of_the_batches_that_passed_and_nothing_else_moved() -> None:
    model, batches = make_model(), list(pictures(5))
    model.get_layer("second").set_weights([np.full(3, v, "float32") for v in (1, 0, 7, 70)])
    weights = [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]
    before = statistics(model)
    update_batch_norm(model, iter(batches), 4)
    after = statistics(model)
    names = [f"{n}/moving_{s}" for n in ("first", "second") for s in ("mean", "variance")]
    for name, value in zip(names, expected_statistics(model, batches[:4]), strict=True):
        assert after[name] == pytest.approx(value, rel=1e-4), name
        assert not np.allclose(before[name], value, rtol=1e-2)
    others = [name for name in before if name not in names]
    assert len(others) == 1  # the seed of dropout
    assert np.array_equal(before[others[0]], after[others[0]])
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        assert np.array_equal(np.array(keras.ops.convert_to_numpy(variable)), value)
    update_batch_norm(model, iter(batches), 4)
    assert all(np.array_equal(after[name], statistics(model)[name]) for name in after)


@pytest.mark.backends
def test_a_frozen_layer_keeps_its_statistics() -> None:
    model = make_model(frozen=True)
    before = statistics(model)
    update_batch_norm(model, pictures(2), 2)
    after = statistics(model)
    assert np.array_equal(before["second/moving_mean"], after["second/moving_mean"])
    assert not np.array_equal(before["first/moving_mean"], after["first/moving_mean"])


def test_too_few_batches_change_nothing() -> None:
    model = make_model()
    before = statistics(model)
    for wanted in (3, 0):
        with pytest.raises(ValueError, match=f"{wanted} batches are wanted"):
            update_batch_norm(model, pictures(2), wanted)
    assert all(np.array_equal(before[name], statistics(model)[name]) for name in before)


def test_a_model_without_normalisation_is_left_alone() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    update_batch_norm(model, [], 3)
