"""The optimizers: the schedule's momentum moves inside the compiled step."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.accelerator import choose_jit
from melnb.models.optimization.optimizers import OPTIMIZERS, SGD, make_optimizer
from melnb.models.optimization.schedules import Schedule, make_schedule
from melnb.models.optimization.weight_averaging import averaged_weights

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


def nadam(rates: list[float], momenta: list[float]) -> Iterator[float]:
    """Dozat 2016, algorithm 8, with the schedule of mu that he recommends (0.96 to the step)."""
    w, m, v, product = 1.0, 0.0, 0.0, 1.0
    for t, (rate, beta) in enumerate(zip(rates, momenta, strict=True), start=1):
        g, now, after = w, beta * (1 - 0.5 * 0.96**t), beta * (1 - 0.5 * 0.96 ** (t + 1))
        product *= now
        m, v = beta * m + (1 - beta) * g, 0.999 * v + 0.001 * g * g
        mean = after * m / (1 - product * after) + (1 - now) * g / (1 - product)
        w -= rate * mean / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
        yield w


def lion(rates: list[float], momenta: list[float]) -> Iterator[float]:
    """Chen et al. 2023, program 1, without decay."""
    w, m = 1.0, 0.0
    for rate, beta in zip(rates, momenta, strict=True):
        g = w
        w -= rate * np.sign(beta * m + (1 - beta) * g)
        m = 0.99 * m + 0.01 * g
        yield w


def rmsprop(rates: list[float], momenta: list[float]) -> Iterator[float]:
    """Hinton 2012, lecture 6e, with the momentum of TensorFlow's EfficientNet."""
    w, square, velocity = 1.0, 0.0, 0.0
    for rate, momentum in zip(rates, momenta, strict=True):
        square = 0.9 * square + 0.1 * w * w
        velocity = momentum * velocity + rate * w / np.sqrt(square + 1e-7)
        w -= velocity
        yield w


REFERENCES = {"adam": adam, "nadam": nadam, "lion": lion, "rmsprop": rmsprop, "sgd": sgd}
Reference = Callable[[list[float], list[float]], Iterator[float]]


def cycled() -> tuple[list[float], list[float]]:
    steps = np.arange(STEPS) / STEPS
    share = np.where(steps < 0.3, steps / 0.3, (steps - 0.3) / 0.7)
    up = (1 + np.cos(np.pi * share)) / 2
    rates = np.where(steps < 0.3, 1 + (1 / 25 - 1) * up, 1e-5 + (1 - 1e-5) * up) * 0.1
    momenta = np.where(steps < 0.3, 0.85 + 0.1 * up, 0.95 - 0.1 * up)
    return rates.tolist(), momenta.tolist()


@pytest.mark.backends
@pytest.mark.parametrize(("name", "reference"), REFERENCES.items())
def test_the_momentum_of_one_cycle_takes_effect_in_compiled_steps(
    name: str, reference: Reference
) -> None:
    weights = path(slope(make_optimizer(name, one_cycle(), weight_decay=0)), STEPS)
    rates, momenta = cycled()
    assert weights == pytest.approx(list(reference(rates, momenta)), rel=2e-4)
    frozen = list(reference(rates, [0.95] * STEPS))  # what a constant baked in would give
    assert name == "lion" or weights != pytest.approx(frozen, rel=1e-2)


@pytest.mark.backends
def test_lions_mean_gradient_follows_the_cycle_where_its_sign_turns() -> None:
    # The gradient turns at w = 0; how long the sign stays behind it is the momentum's doing.
    def schedule() -> Schedule:
        return make_schedule("one_cycle", steps_per_epoch=40, epochs=1, learning_rate=0.3)

    rates = [float(ops.convert_to_numpy(schedule()(k))) for k in range(40)]
    momenta = [float(ops.convert_to_numpy(schedule().momentum(k))) for k in range(40)]
    weights = path(slope(make_optimizer("lion", schedule(), weight_decay=0)), 40)
    assert weights == pytest.approx(list(lion(rates, momenta)), abs=1e-4)
    assert weights != pytest.approx(list(lion(rates, [0.95] * 40)), abs=1e-2)


@pytest.mark.parametrize(("name", "reference"), REFERENCES.items())
def test_another_schedule_leaves_the_momentum_where_it_was_set(
    name: str, reference: Reference
) -> None:
    weights = path(slope(make_optimizer(name, 0.01, momentum=0.8, weight_decay=0)), STEPS)
    assert weights == pytest.approx(list(reference([0.01] * STEPS, [0.8] * STEPS)), rel=1e-4)


@pytest.mark.backends
@pytest.mark.parametrize("name", ["adamw", "nadam", "sgd"])
def test_a_run_taken_up_again_goes_on_exactly(name: str) -> None:
    more = {"accumulate": 2, "ema": 0.9}
    whole = path(slope(make_optimizer(name, one_cycle(), **more)), STEPS)
    first = slope(make_optimizer(name, one_cycle(), **more))
    path(first, 5)
    second = slope(make_optimizer(name, one_cycle(), **more))
    second.optimizer.build(second.trainable_variables)
    for old, new in ((first.weights, second.weights), (first.optimizer, second.optimizer)):
        pairs = zip(getattr(old, "variables", old), getattr(new, "variables", new), strict=True)
        for source, target in pairs:
            target.assign(source)
    assert path(second, STEPS - 5) == whole[5:]
    assert whole[4] == whole[3] != whole[5]  # five batches: one gradient is on its way


@pytest.mark.backends
@pytest.mark.parametrize(("name", "moved"), [("adamw", 0.1), ("lion", 0.1), ("adam", 0.1)])
def test_decay_shrinks_kernels_and_leaves_vectors(name: str, moved: float) -> None:
    model = slope(make_optimizer(name, 0.1, weight_decay=0.5), bias=True)
    x = np.zeros((1, 1), "float32")  # the kernel has no gradient: what moves it is the decay
    model.train_on_batch(x, x)
    kernel, bias = (float(w.ravel()[0]) for w in model.get_weights())
    assert kernel == pytest.approx(1 - (0.1 * 0.5 if name != "adam" else 0))
    assert bias == pytest.approx(1 - moved, rel=1e-4)  # the first step, nothing more


@pytest.mark.backends
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_weight_that_was_frozen_begins_as_in_a_run_of_its_own(name: str) -> None:
    def after(steps: int, *, born: int, begun: int) -> list[float]:
        optimizer = make_optimizer(name, 0.01, weight_decay=0.0)
        model = slope(optimizer)
        optimizer.born = {model.trainable_variables[0].path: born}
        optimizer.build(model.trainable_variables)
        optimizer.iterations.assign(begun)
        return path(model, steps)

    own = after(5, born=0, begun=0)
    assert after(5, born=2000, begun=2000) == pytest.approx(own, abs=1e-6)
    assert 1 - after(1, born=0, begun=2000)[0] > 2 * (1 - own[0]), "what is corrected"


@pytest.mark.backends
def test_gradients_are_clipped_by_their_joint_norm() -> None:
    model = slope(make_optimizer("sgd", 0.1, momentum=0.5, clip_norm=0.01))
    assert path(model, 1) == pytest.approx([1 - (1 + 0.5) * 0.1 * 0.01])


@pytest.mark.backends
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_comes_back_from_its_configuration(name: str) -> None:
    optimizer = make_optimizer(name, one_cycle(), clip_norm=1.0, accumulate=2, ema=0.5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert json.loads(json.dumps(again.get_config())) == optimizer.get_config()


def network(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Return a compiled network of two layers, always from the same weights."""
    keras.utils.set_random_seed(7)
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((5,)), *layers])
    model.compile(optimizer, "mse", jit_compile=choose_jit())
    return model


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(count, 5)).astype("float32")
    return x, (3 + x[:, :1] - x[:, 1:2] * x[:, 2:3]).astype("float32")


def train(model: keras.Model, size: int, *, count: int = 96) -> list[np.ndarray]:
    """Train on rows in order, batches of one size, and return the weights."""
    x, y = rows(count)
    for k in range(0, count, size):
        model.train_on_batch(x[k : k + size], y[k : k + size])
    return [np.array(w) for w in model.get_weights()]


def greatest(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("adamw", "sgd") else pytest.param(n, marks=pytest.mark.nightly)
        for n in OPTIMIZERS
    ],
)
def test_gathering_four_batches_is_one_batch_of_four_times_the_size(name: str) -> None:
    def make(steps: int, accumulate: int) -> keras.optimizers.Optimizer:
        schedule = make_schedule("one_cycle", steps_per_epoch=steps, epochs=1, learning_rate=0.01)
        return make_optimizer(
            name, schedule, clip_norm=1.0, weight_decay=0.1, accumulate=accumulate, ema=0.8
        )

    small, large = network(make(24, 4)), network(make(6, 1))
    start = [np.array(w) for w in large.get_weights()]
    assert greatest(train(small, 4), train(large, 16)) < 1e-5
    assert greatest(large.get_weights(), start) > 1e-2
    averages = [averaged_weights(m.optimizer, m.weights) for m in (small, large)]
    assert greatest(*averages) < 1e-5
    assert greatest(averages[1], large.get_weights()) > 1e-3


def test_what_an_epoch_leaves_over_counts_towards_the_next_move() -> None:
    x, y = rows(32)
    model = network(make_optimizer("adam", 0.01, accumulate=4))
    batches = [(x[k : k + 4], y[k : k + 4]) for k in range(0, 24, 4)]
    start = [np.array(w) for w in model.get_weights()]
    seen = []
    for batch in [*batches, *batches]:  # two epochs of six batches: three moves
        model.train_on_batch(*batch)
        seen.append([np.array(w) for w in model.get_weights()])
    still = [greatest(a, b) == 0 for a, b in pairwise([start, *seen])]
    assert still == [True, True, True, False] * 3
    whole = network(make_optimizer("adam", 0.01))
    for picked in ([0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]):
        whole.train_on_batch(*(np.concatenate([batches[k][i] for k in picked]) for i in (0, 1)))
    assert greatest(seen[-1], whole.get_weights()) < 1e-5


@pytest.mark.backends
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_of_the_weights_is_its_definition(accumulate: int) -> None:
    model = slope(make_optimizer("sgd", 0.1, ema=0.6, accumulate=accumulate))
    weights = path(model, STEPS * accumulate)[accumulate - 1 :: accumulate]
    average = 1.0
    for move, weight in enumerate(weights):
        kept = min(0.6, move / (move + 9))
        average = kept * average + (1 - kept) * weight
    (ours,) = averaged_weights(model.optimizer, model.weights)
    assert float(ours[0, 0]) == pytest.approx(average, rel=1e-5)
    assert float(model.get_weights()[0][0, 0]) == weights[-1]  # training goes on with its own
    kept_with_the_run = [v.path for v in model.optimizer.variables if "average" in v.path]
    assert len(kept_with_the_run) == 1


def test_an_average_begins_as_the_weights_are() -> None:
    model = slope(make_optimizer("adam", 0.1, ema=0.9))
    model.optimizer.build(model.trainable_variables)
    (ours,) = averaged_weights(model.optimizer, model.weights)
    assert ours.tolist() == [[1.0]]


def test_what_the_optimizer_does_not_move_is_its_own_average() -> None:
    keras.utils.set_random_seed(7)
    layers = [keras.layers.Dense(4, trainable=False), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((5,)), *layers, keras.layers.Dense(1)])
    model.compile(make_optimizer("adam", 0.1, ema=0.9), "mse")
    train(model, 16)
    averages = averaged_weights(model.optimizer, model.weights)
    same = [np.array_equal(a, b) for a, b in zip(averages, model.get_weights(), strict=True)]
    assert same == [True, True, False, False, True, True, False, False]


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_rate_of_its_own_is_the_whole_optimizer_at_that_rate_for_one_weight(name: str) -> None:
    halved = make_optimizer(name, 0.02, weight_decay=0.3, rate_of=lambda path: 0.5)
    ours = train(network(halved), 16)
    assert greatest(ours, train(network(make_optimizer(name, 0.01, weight_decay=0.3)), 16)) < 1e-6
    stopped = make_optimizer(name, 0.02, rate_of=lambda path: float(path.endswith("bias")))
    model = network(stopped)
    kernel, bias, *_ = (np.array(w) for w in model.get_weights())
    later = train(model, 16)
    assert np.array_equal(kernel, later[0])
    assert not np.allclose(bias, later[1], atol=1e-3)


def test_a_loss_that_is_scaled_leaves_momentum_average_and_gathering_in_their_places() -> None:
    twos = np.full((1, 1), 2, "float32")  # the gradient, 4 w, is beyond float16 once it is scaled
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = slope(make_optimizer("sgd", one_cycle(), accumulate=2, ema=0.6))
    finally:
        keras.config.set_dtype_policy("float32")
    plain = slope(make_optimizer("sgd", one_cycle(), accumulate=2, ema=0.6))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    weights, expected = [], []
    for _ in range(STEPS + 2):
        model.train_on_batch(twos, twos)
        weights.append(float(model.get_weights()[0][0, 0]))
    for _ in range(STEPS):
        plain.train_on_batch(twos, twos)
        expected.append(float(plain.get_weights()[0][0, 0]))
    assert weights[:2] == [1, 1]  # skipped, each time with half the scale
    assert weights[2:] == pytest.approx(expected, rel=5e-3)
    assert expected[-1] < 0.5
    ours, theirs = (averaged_weights(m.optimizer, m.weights)[0] for m in (model, plain))
    assert ours == pytest.approx(theirs, rel=5e-3)
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == STEPS // 2


@pytest.mark.backends
def test_a_plateau_gives_the_optimizer_a_rate_to_be_set() -> None:
    plateau = make_schedule("plateau", steps_per_epoch=3, epochs=4, learning_rate=0.1)
    model = slope(make_optimizer("sgd", plateau, momentum=0.5))
    first = path(model, 1)
    model.optimizer.learning_rate = 0.0
    later = path(model, 30)
    assert first == pytest.approx([1 - 1.5 * 0.1])
    assert later[-1] == pytest.approx(later[-2], abs=1e-6)  # the velocity dies out


def test_refusals() -> None:
    with pytest.raises(ValueError, match="'adabelief'"):
        make_optimizer("adabelief", 0.1)
    with pytest.raises(ValueError, match="momentum is 1"):
        make_optimizer("sgd", 0.1, momentum=1)
    with pytest.raises(ValueError, match="accumulate is 0"):
        make_optimizer("sgd", 0.1, accumulate=0)
    with pytest.raises(ValueError, match="ema is 1"):
        make_optimizer("sgd", 0.1, ema=1)
    with pytest.raises(ValueError, match="keeps no average"):
        averaged_weights(make_optimizer("sgd", 0.1), [])
    config = make_optimizer("sgd", 0.1, rate_of=lambda path: 0.5).get_config()
    with pytest.raises(ValueError, match="hang on a model"):
        SGD.from_config(config)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_asks_for_its_momentum_once_however_many_weights_it_moves(
    name: str, accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of 213 weights took ten seconds more to be traced, with 426 schedules in it."""
    rate, asked, counts = one_cycle(), [], []
    momentum = type(rate).momentum
    monkeypatch.setattr(type(rate), "momentum", lambda s, k: asked.append(k) or momentum(s, k))
    for bias in (False, True):
        model = slope(make_optimizer(name, rate, accumulate=accumulate), bias=bias)
        path(model, 1)
        counts.append(len(asked))
        asked.clear()
        assert model.optimizer._momentum_now is None
    assert counts[0] == counts[1] > 0
