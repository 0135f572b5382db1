"""The optimizers: the schedule's momentum moves inside the compiled step."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.optimization.schedules import Schedule, make_schedule

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
STEPS = 12


def one_cycle() -> Schedule:
    return make_schedule("one_cycle", steps_per_epoch=STEPS, epochs=1, learning_rate=0.1)


def slope(optimizer: keras.optimizers.Optimizer, *, bias: bool = False) -> keras.Model:
    """Return a compiled model of one weight w, from 1, whose loss is w^2 / 2 and gradient w."""
    dense = keras.layers.Dense(1, use_bias=bias, kernel_initializer="ones", bias_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(optimizer, lambda truth, p: ops.mean(ops.square(p)) / 2)
    return model


def path(model: keras.Model, steps: int) -> list[float]:
    """Return the weight after each of so many compiled steps."""
    one = np.ones((1, 1), "float32")
    weights = []
    for _ in range(steps):
        model.train_on_batch(one, one)
        weights.append(float(model.get_weights()[0][0, 0]))
    return weights


def adam(rates: list[float], momenta: list[float]) -> Iterator[float]:
    """Kingma & Ba 2015, algorithm 1, with Keras' place of epsilon; the momentum is each step's."""
    w, m, v = 1.0, 0.0, 0.0
    for t, (rate, beta) in enumerate(zip(rates, momenta, strict=True), start=1):
        m += (1 - beta) * (w - m)
        v += (1 - 0.999) * (w * w - v)
        w -= rate * np.sqrt(1 - 0.999**t) / (1 - beta**t) * m / (np.sqrt(v) + 1e-7)
        yield w


def sgd(rates: list[float], momenta: list[float]) -> Iterator[float]:
    """Nesterov's momentum as Sutskever et al. 2013 write it, at the point looked ahead."""
    w, velocity = 1.0, 0.0
    for rate, momentum in zip(rates, momenta, strict=True):
        gradient = w
        velocity = momentum * velocity - rate * gradient
        w += momentum * velocity - rate * gradient
        yield w


def cycled() -> tuple[list[float], list[float]]:
    steps = np.arange(STEPS) / STEPS
    share = np.where(steps < 0.3, steps / 0.3, (steps - 0.3) / 0.7)
    up = (1 + np.cos(np.pi * share)) / 2
    rates = np.where(steps < 0.3, 1 + (1 / 25 - 1) * up, 1e-5 + (1 - 1e-5) * up) * 0.1
    momenta = np.where(steps < 0.3, 0.85 + 0.1 * up, 0.95 - 0.1 * up)
    return rates.tolist(), momenta.tolist()


@pytest.mark.parametrize(("name", "reference"), [("adam", adam), ("sgd", sgd)])
def test_the_momentum_of_one_cycle_takes_effect_in_compiled_steps(
    name: str, reference: Callable[[list[float], list[float]], Iterator[float]]
) -> None:
    weights = path(slope(make_optimizer(name, one_cycle())), STEPS)
    rates, momenta = cycled()
    assert weights == pytest.approx(list(reference(rates, momenta)), rel=2e-4)
    frozen = list(reference(rates, [0.95] * STEPS))  # what a constant baked in would give
    assert weights != pytest.approx(frozen, rel=1e-2)


@pytest.mark.parametrize(("name", "reference"), [("adam", adam), ("sgd", sgd)])
def test_another_schedule_leaves_the_momentum_where_it_was_set(
    name: str, reference: Callable[[list[float], list[float]], Iterator[float]]
) -> None:
    weights = path(slope(make_optimizer(name, 0.01, momentum=0.8)), STEPS)
    assert weights == pytest.approx(list(reference([0.01] * STEPS, [0.8] * STEPS)), rel=1e-4)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_run_taken_up_again_goes_on_exactly(name: str) -> None:
    whole = path(slope(make_optimizer(name, one_cycle())), STEPS)
    first = slope(make_optimizer(name, one_cycle()))
    path(first, 5)
    second = slope(make_optimizer(name, one_cycle()))
    second.optimizer.build(second.trainable_variables)
    for old, new in ((first.weights, second.weights), (first.optimizer, second.optimizer)):
        pairs = zip(getattr(old, "variables", old), getattr(new, "variables", new), strict=True)
        for source, target in pairs:
            target.assign(source)
    assert path(second, STEPS - 5) == whole[5:]


def test_adamw_shrinks_kernels_and_leaves_vectors() -> None:
    model = slope(make_optimizer("adamw", 0.1, weight_decay=0.5), bias=True)
    x = np.zeros((1, 1), "float32")  # the kernel has no gradient: what moves it is the decay
    model.train_on_batch(x, x)
    kernel, bias = (float(w.ravel()[0]) for w in model.get_weights())
    assert kernel == pytest.approx(1 - 0.1 * 0.5)
    assert bias == pytest.approx(1 - 0.1, rel=1e-4)  # Adam's first step, nothing more


def test_gradients_are_clipped_by_their_joint_norm() -> None:
    model = slope(make_optimizer("sgd", 0.1, momentum=0.5, clip_norm=0.01))
    assert path(model, 1) == pytest.approx([1 - (1 + 0.5) * 0.1 * 0.01])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_an_optimizer_comes_back_from_its_configuration(name: str) -> None:
    optimizer = make_optimizer(name, one_cycle(), clip_norm=1.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert path(slope(again), STEPS) == path(slope(make_optimizer(name, one_cycle())), STEPS)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="'lion'"):
        make_optimizer("lion", 0.1)
    with pytest.raises(ValueError, match="momentum is 1"):
        make_optimizer("sgd", 0.1, momentum=1)
