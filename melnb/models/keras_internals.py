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
