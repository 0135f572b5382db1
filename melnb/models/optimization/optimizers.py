"""The optimizers, with the schedule's momentum inside the step.

A momentum that moves is computed from the optimizer's own step counter, inside the compiled step.
A callback that sets `beta_1` does nothing there: the number was baked in when the step was traced.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from melnb.models.optimization.schedules import Schedule


class _Cycled:
    """Take the momentum from the schedule at the optimizer's own step."""

    _learning_rate: Any
    iterations: Any

    def _scheduled(self, fixed: float) -> Any:
        schedule = self._learning_rate
        moving = schedule.momentum(self.iterations) if isinstance(schedule, Schedule) else None
        return fixed if moving is None else moving


@keras.saving.register_keras_serializable("melnb")
class Adam(_Cycled, keras.optimizers.Adam):  # type: ignore[misc]
    """Adam whose `beta_1` follows its schedule's momentum."""

    @property
    def beta_1(self) -> Any:
        """Return the decay of the mean gradient at this step."""
        return self._scheduled(self._fixed)

    @beta_1.setter
    def beta_1(self, value: float) -> None:
        self._fixed = value

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same optimizer again."""
        return {**super().get_config(), "beta_1": self._fixed}


@keras.saving.register_keras_serializable("melnb")
class AdamW(Adam):
    """Adam with decoupled weight decay, of kernels only (Loshchilov & Hutter 2019).

    Biases and the scales of normalisation (vectors) are left alone.
    """

    def build(self, var_list: list[Any]) -> None:
        """Make the optimizer's variables for these weights."""
        if not self.built:
            self.exclude_from_weight_decay(var_list=[v for v in var_list if len(v.shape) < 2])
        super().build(var_list)


@keras.saving.register_keras_serializable("melnb")
class SGD(_Cycled, keras.optimizers.SGD):  # type: ignore[misc]
    """Gradient descent with Nesterov's momentum, which follows its schedule."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one weight by its gradient."""
        momentum = ops.cast(self._scheduled(self.momentum), variable.dtype)
        step = ops.cast(learning_rate, variable.dtype) * ops.cast(gradient, variable.dtype)
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, velocity * momentum - step)
        self.assign_add(variable, velocity * momentum - step)


def make_optimizer(
    name: str,
    schedule: Schedule | float,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.01,
    clip_norm: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Make an optimizer that follows a schedule.

    Args:
        name: `adam`, `adamw` or `sgd`.
        schedule: The learning rate of each step, or one rate for all.
        momentum: Where the schedule leaves it alone (adam, adamw: beta_1).
        weight_decay: adamw: share of each kernel taken off a step, times the learning rate.
        clip_norm: Largest norm of all gradients together; 0 for no limit.

    Raises:
        ValueError: The name is unknown, or the momentum is not between 0 and 1.
    """
    if not 0 < momentum < 1:
        raise ValueError(f"momentum is {momentum}; use one between 0 and 1")
    shared: dict[str, Any] = {"learning_rate": schedule, "global_clipnorm": clip_norm or None}
    match name:
        case "adam":
            return Adam(beta_1=momentum, **shared)
        case "adamw":
            return AdamW(beta_1=momentum, weight_decay=weight_decay, **shared)
        case "sgd":
            return SGD(momentum=momentum, nesterov=True, **shared)
    raise ValueError(f"optimizer is {name!r}; use one of ['adam', 'adamw', 'sgd']")
