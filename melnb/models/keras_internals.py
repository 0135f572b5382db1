"""Keras internals: each private part that melnb touches, in one place, under a name of ours.

Keras promises nothing of what begins with an underscore. What hangs on it: the rate and momentum of
a step found once and inside it (`optimizers`), one clipping over all replicas, the averages of the
weights (`weight_averaging`), the rate that the history tells (`callback`), the sweep (`lr_finder`)
and a backbone however deep it lies (`freezing`). No other module may touch such a part
(`tests/test_architecture.py`); each has its test in `tests/models/test_keras_internals.py`.

A hook that Keras renames would be called no more, and training be another without a word; so an
optimizer asks whether all parts are there before it is made.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

import keras

TRIED = ("3.14.0", "3.14.1", "3.15.0", "3.15.1")
"""Versions of Keras on which the tests of this module passed; the first and the last on JAX too."""

_OPTIMIZER = (
    "_backend_update_step", "_clip_gradients", "_get_current_learning_rate", "_get_variable_index",
)  # fmt: skip


def moved_parts() -> list[str]:
    """Return the private parts that this Keras does not have, as `Class.part`; best: none."""
    needed = {keras.optimizers.Optimizer: _OPTIMIZER, keras.layers.Layer: ("_flatten_layers",)}
    if keras.backend.backend() == "tensorflow":
        needed[keras.optimizers.Optimizer] = (*_OPTIMIZER, "_all_reduce_sum_gradients")
    return [
        f"{owner.__name__}.{part}"
        for owner, parts in needed.items()
        for part in parts
        if not hasattr(owner, part)
    ]


class OptimizerHooks:
    """A mix-in before one of Keras' optimizers: its private hooks, under public names.

    Whoever inherits it overrides `move_all`, `clip` and `rate_now`.

    Raises:
        RuntimeError: This Keras lacks a part that is needed.
    """

    def __init__(self, **keywords: Any) -> None:
        if moved := moved_parts():
            raise RuntimeError(
                f"Keras {keras.__version__} has no {', '.join(moved)}, by which melnb steers its "
                f"optimizers: install one that was tried ({', '.join(TRIED)}), such as "
                f"pip install keras=={TRIED[-1]}"
            )
        super().__init__(**keywords)

    def move_all(self, gradients: Any, variables: Any, learning_rate: Any) -> None:
        """Move all weights, once a step; where gradients are gathered, once they all are."""
        super()._backend_update_step(gradients, variables, learning_rate)  # type: ignore[misc]

    def clip(self, gradients: list[Any]) -> list[Any]:
        """Clip the gradients of one replica, before the weights move."""
        return list(super()._clip_gradients(gradients))  # type: ignore[misc]

    def rate_now(self) -> Any:
        """Return the learning rate of the step that is taken."""
        return super()._get_current_learning_rate()  # type: ignore[misc]

    def index_of(self, variable: Any) -> int:
        """Return the place of a weight among those that the optimizer was built for."""
        return int(self._get_variable_index(variable))  # type: ignore[attr-defined]

    def sum_over_replicas(self, gradients: list[Any]) -> list[Any]:
        """Sum gradients over the replicas of TensorFlow."""
        pairs = self._all_reduce_sum_gradients([(g, None) for g in gradients])  # type: ignore[attr-defined]
        return [gradient for gradient, _ in pairs]

    def squares_and_velocities(self) -> tuple[Any, Any]:
        """Return what RMSprop keeps of each weight: its mean square, and its velocity."""
        return self._velocities, self._momentums  # type: ignore[attr-defined]

    @property
    def replicas(self) -> int:
        """Return the replicas whose gradients Keras sums: on JAX they are one already."""
        return getattr(getattr(self, "_distribution_strategy", None), "num_replicas_in_sync", 1)

    def _backend_update_step(self, gradients: Any, variables: Any, learning_rate: Any) -> None:
        self.move_all(gradients, variables, learning_rate)

    def _clip_gradients(self, gradients: list[Any]) -> list[Any]:
        return self.clip(gradients)

    def _get_current_learning_rate(self) -> Any:
        return self.rate_now()


# Batch normalisation of maps as one operation of TensorFlow.

_LEAST_EPSILON = 1.001e-5  # that TensorFlow's documentation allows


def fuse_batch_normalization() -> None:
    """Let every BatchNormalization of maps be one operation of TensorFlow, from now on.

    Keras makes it of elementwise operations, each a pass over memory: on a processor a training
    step of EfficientNet-B0 takes 1.4 times as long. Outputs, gradients and running statistics are
    the same but for the rounding of float32. Layers are saved as ever. What is no map of four axes,
    channels last, in float32, is computed as before, and so is renormalisation and what is
    synchronised over replicas. Called again it changes nothing.
    """
    layer = keras.layers.BatchNormalization
    plain = layer.call
    if hasattr(plain, "__wrapped__"):
        return

    @functools.wraps(plain)
    def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if mask is not None or not _takes_fused(self, inputs):
            return plain(self, inputs, training=training, mask=mask)
        return _normalize_maps(self, inputs, moving=bool(training) and self.trainable)

    layer.call = call


def _takes_fused(layer: Any, inputs: Any) -> bool:
    return (
        len(inputs.shape) == 4
        and layer.axis in (-1, 3)
        and layer.epsilon >= _LEAST_EPSILON
        and keras.backend.standardize_dtype(inputs.dtype) == "float32"
        and layer.compute_dtype == "float32"
        and not layer.synchronized
        and not getattr(layer, "renorm", False)
    )


def _normalize_maps(layer: Any, inputs: Any, *, moving: bool) -> Any:
    """Normalise by the batch, and move the running statistics; else by these."""
    tf = import_module("tensorflow")
    mean, variance = (
        tf.convert_to_tensor(each) for each in (layer.moving_mean, layer.moving_variance)
    )
    scale = tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones_like(mean)
    offset = tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros_like(mean)
    none = tf.constant([], tf.float32)
    outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=scale, offset=offset, epsilon=layer.epsilon, is_training=moving,
        mean=none if moving else mean, variance=none if moving else variance,
    )  # fmt: skip
    if moving:
        rows = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        batch_variance *= (rows - 1) / rows  # Keras' is of a whole population
        share = 1 - layer.momentum
        layer.moving_mean.assign(mean * layer.momentum + batch_mean * share)
        layer.moving_variance.assign(variance * layer.momentum + batch_variance * share)
    return outputs


def inner_optimizer(optimizer: Any) -> Any:
    """Return the optimizer that moves the weights: under mixed_float16 it lies in a loss scaler."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def rate_source(optimizer: Any) -> Any:
    """Return a schedule itself, or the variable of a fixed rate; None: it is no optimizer.

    `learning_rate` of an optimizer is the number that the schedule comes to.
    """
    return None if optimizer is None else inner_optimizer(optimizer)._learning_rate


def moved_variables(optimizer: Any) -> list[Any]:
    """Return the weights that an optimizer was built for, in the order of what it keeps of them."""
    return list(inner_optimizer(optimizer)._trainable_variables)


def every_layer(model: keras.Model) -> list[keras.layers.Layer]:
    """Return a model and all its layers, those of models within it too."""
    return list(model._flatten_layers())
