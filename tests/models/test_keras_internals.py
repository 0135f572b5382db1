"""The private parts of Keras that melnb touches: where one has moved, its test here says so."""

from typing import Any

import keras
import numpy as np
import pytest

from melnb.models import keras_internals
from melnb.models.keras_internals import OptimizerHooks

pytestmark = pytest.mark.backends


class Hooked(OptimizerHooks, keras.optimizers.SGD):  # type: ignore[misc]
    """Writes down what Keras asks for, and in which order."""

    calls: list[tuple[str, Any]]

    def move_all(self, gradients: Any, variables: Any, learning_rate: Any) -> None:
        self.calls.append(("move", [tuple(g.shape) for g in gradients]))
        super().move_all(gradients, variables, learning_rate)

    def clip(self, gradients: list[Any]) -> list[Any]:
        self.calls.append(("clip", [tuple(g.shape) for g in gradients]))
        return super().clip(gradients)

    def rate_now(self) -> Any:
        self.calls.append(("rate", None))
        return super().rate_now()


def weights() -> list[keras.Variable]:
    return [keras.Variable(np.ones(shape, "float32")) for shape in ((2, 3), (3,))]


def step(optimizer: Any, *, times: int = 1) -> list[np.ndarray]:
    """Take so many steps with gradients of 1, and return the weights."""
    variables = weights()
    optimizer.build(variables)
    for _ in range(times):
        ones = [keras.ops.ones(v.shape) for v in variables]
        optimizer.apply(ones, variables)
    return [np.array(v.value) for v in variables]


def hooked(**keywords: Any) -> Hooked:
    optimizer = Hooked(**keywords)
    optimizer.calls = []
    return optimizer


def asked(optimizer: Hooked, what: str) -> list[Any]:
    return [shapes for name, shapes in optimizer.calls if name == what]


def test_this_keras_has_every_part() -> None:
    assert keras_internals.moved_parts() == []


def test_this_keras_was_tried() -> None:
    assert keras.__version__ in keras_internals.TRIED, (
        "run this file and tests/models/optimization on it, then add it to TRIED"
    )


def test_a_keras_without_a_part_makes_no_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_internals, "_OPTIMIZER", ("_clip_gradients", "_cut_gradients"))
    words = rf"Keras {keras.__version__} has no Optimizer._cut_gradients, .*pip install keras==3"
    with pytest.raises(RuntimeError, match=words):
        Hooked(learning_rate=0.1)


def test_no_name_of_ours_is_one_of_keras() -> None:
    ours = {name for name in vars(OptimizerHooks) if not name.startswith("_")}
    assert {"clip", "move_all", "replicas"} < ours
    optimizer = keras.optimizers.SGD()
    assert not [name for name in ours | {"averages", "born"} if hasattr(optimizer, name)]


@pytest.mark.parametrize(("gathered", "moves"), [(None, 4), (2, 2)])
def test_backend_update_step_is_asked_once_a_move(gathered: int | None, moves: int) -> None:
    optimizer = hooked(learning_rate=0.25, gradient_accumulation_steps=gathered)
    last = step(optimizer, times=4)
    # A condition on JAX is traced: it asks at every step, and runs what was asked at moves alone.
    count = len(asked(optimizer, "move"))
    assert count == (moves if keras.backend.backend() == "tensorflow" else 4)
    assert asked(optimizer, "move")[0] == [(2, 3), (3,)]
    assert last[1] == pytest.approx(1 - 0.25 * moves)


def test_clip_gradients_is_asked_before_the_weights_move_and_what_it_returns_is_taken() -> None:
    optimizer = hooked(learning_rate=1.0, global_clipnorm=0.3)
    last = step(optimizer)
    names = [name for name, _ in optimizer.calls if name != "rate"]
    assert names == ["clip", "move"]
    assert last[1] == pytest.approx(1 - 0.3 / 3)  # nine gradients of 1: a norm of 3


def test_get_current_learning_rate_is_what_the_weights_move_by() -> None:
    class Halved(Hooked):
        def rate_now(self) -> Any:
            return super().rate_now() * 0.5

    optimizer = Halved(learning_rate=0.5)
    optimizer.calls = []
    assert step(optimizer)[1] == pytest.approx(0.75)
    assert float(np.array(optimizer.learning_rate)) == 0.25


def test_get_variable_index_counts_as_build_was_given_them() -> None:
    optimizer, variables = hooked(), weights()
    optimizer.build(variables)
    assert [optimizer.index_of(v) for v in reversed(variables)] == [1, 0]


def test_trainable_variables_are_those_of_build_in_their_order() -> None:
    optimizer, variables = hooked(), weights()
    optimizer.build(variables)
    scaled = keras.optimizers.LossScaleOptimizer(hooked())
    scaled.build(variables)
    for each in (optimizer, scaled):
        assert [id(v) for v in keras_internals.moved_variables(each)] == [id(v) for v in variables]


def test_learning_rate_is_the_schedule_itself_or_a_variable_that_can_be_set() -> None:
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    for each in (hooked(learning_rate=schedule), keras.optimizers.SGD(schedule)):
        assert keras_internals.rate_source(each) is schedule
        scaled = keras.optimizers.LossScaleOptimizer(each)
        assert keras_internals.rate_source(scaled) is schedule
    fixed = hooked(learning_rate=0.1)
    fixed.learning_rate = 0.5
    assert float(np.array(keras_internals.rate_source(fixed).value)) == 0.5
    assert keras_internals.rate_source(None) is None


def test_rmsprop_keeps_a_square_and_a_velocity_of_each_weight() -> None:
    class Root(OptimizerHooks, keras.optimizers.RMSprop):  # type: ignore[misc]
        pass

    optimizer = Root(learning_rate=0.1, rho=0.75, momentum=0.5)
    step(optimizer)
    squares, velocities = optimizer.squares_and_velocities()
    assert [tuple(v.shape) for v in squares] == [(2, 3), (3,)]
    assert np.array(squares[1].value) == pytest.approx(0.25)
    assert np.array(velocities[1].value) == pytest.approx(0.1 / np.sqrt(0.25), rel=1e-4)


def test_all_reduce_and_the_strategy_are_tensorflows_and_leave_one_replica_alone() -> None:
    optimizer = hooked()
    assert optimizer.replicas == 1
    if keras.backend.backend() == "tensorflow":  # two of them: optimization/test_replicas.py
        assert optimizer._distribution_strategy.num_replicas_in_sync == 1
        gradients = [keras.ops.ones((3,))]
        summed = optimizer.sum_over_replicas(gradients)
        assert [np.array(g).tolist() for g in summed] == [[1, 1, 1]]


def test_flatten_layers_gives_the_model_first_and_layers_however_deep() -> None:
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="deep")], name="inner")
    outer = keras.Sequential([keras.Input((2,)), inner], name="outer")
    names = [layer.name for layer in keras_internals.every_layer(outer)]
    assert names[0] == "outer"
    assert {"inner", "deep"} < set(names)


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuse normalisation for one test."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("of TensorFlow")
    layer = keras.layers.BatchNormalization
    plain = getattr(layer.call, "__wrapped__", layer.call)
    monkeypatch.setattr(layer, "call", plain)
    keras_internals.fuse_batch_normalization()


def normalized(
    shape: tuple[int, ...], *, training: bool, plain: bool, dtype: str = "float32", **how: Any
) -> list[np.ndarray]:
    """Outputs, the gradients of inputs and weights, and the running statistics after it."""
    import tensorflow as tf

    draw = np.random.default_rng(0)
    layer = keras.layers.BatchNormalization(dtype=dtype, **how)
    layer.build(shape)
    layer.set_weights([draw.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    inputs = tf.constant(draw.normal(size=shape), "float32")
    call = type(layer).call
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = (call.__wrapped__ if plain else call)(layer, inputs, training=training)  # type: ignore[attr-defined]
        loss = tf.reduce_sum(
            tf.cast(outputs, "float32") * tf.constant(draw.normal(size=shape), "float32")
        )
    sources = [inputs, *(w.value for w in layer.trainable_weights)]
    found = [outputs, *tape.gradient(loss, sources), *layer.non_trainable_weights]
    return [np.asarray(keras.ops.convert_to_numpy(each), "float32") for each in found]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "how", [{}, {"scale": False}, {"center": False, "momentum": 0.9}, {"epsilon": 1e-6},
            {"axis": 1}, {"trainable": False}, {"dtype": "mixed_bfloat16"}],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(5, 4, 3, 6), (1, 1, 1, 6), (7, 6)])
@pytest.mark.usefixtures("fused")
def test_fused_normalisation_is_the_same(
    training: bool, how: dict[str, Any], shape: tuple[int, ...]
) -> None:
    both = [normalized(shape, training=training, plain=plain, **how) for plain in (True, False)]
    for plain, fused_ in zip(*both, strict=True):
        np.testing.assert_allclose(fused_, plain, rtol=2e-5, atol=2e-5)


@pytest.mark.usefixtures("fused")
def test_maps_are_one_operation_and_nothing_is_fused_twice() -> None:
    import tensorflow as tf

    call = keras.layers.BatchNormalization.call
    keras_internals.fuse_batch_normalization()
    assert keras.layers.BatchNormalization.call is call
    for shape, one in (((2, 4, 4, 3), True), ((2, 3), False)):
        layer = keras.layers.BatchNormalization()
        layer.build(shape)
        function = tf.function(lambda x, layer=layer: layer(x, training=True))
        graph = function.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
        kinds = {operation.type for operation in graph.get_operations()}
        assert ("FusedBatchNormV3" in kinds) == one
        assert ("Rsqrt" in kinds) != one
