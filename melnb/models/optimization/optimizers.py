"""Optimizers: Keras' steps with gradient accumulation, clipping and scheduled momentum.

What moves with the run is computed from the optimizer's own counter, inside the compiled step: a
callback that sets `beta_1` does nothing there, for the number was baked in when the step was
traced. What Keras does beside the step (weight decay, the average of the weights) is done in the
step here, so that a rate of one's own holds for the decay too, and so that gathering gradients
over several batches leaves both alone until the weights move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from melnb.models.keras_internals import OptimizerHooks, rate_source
from melnb.models.optimization.curves import Plateau
from melnb.models.optimization.freezing import block_rates
from melnb.models.optimization.schedules import Schedule

OPTIMIZERS = ("adam", "adamw", "nadam", "lion", "rmsprop", "sgd")


class _Steered(OptimizerHooks):
    """What all optimizers here do around the step of Keras'.

    Args:
        ema: Largest share of the average of the weights that stays at a step; 0: no average.
        rate_of: Factor of the learning rate of a variable, by its path; None: 1 for all.
        weight_decay: Share of each kernel taken off when it moves, times its own rate.
        keywords: Of Keras' optimizer.
    """

    built: bool
    global_clipnorm: float | None
    gradient_accumulation_steps: int | None
    iterations: Any
    _momentum_now: Any = None
    assign: Callable[[Any, Any], None]
    assign_sub: Callable[[Any, Any], None]

    def __init__(
        self,
        *,
        ema: float = 0.0,
        rate_of: Callable[[str], float] | None = None,
        weight_decay: float | None = None,
        **keywords: Any,
    ) -> None:
        if isinstance(rate_of, str):
            raise ValueError(
                f"rates by block ({rate_of}) hang on a model, and are not part of a configuration: "
                "make the optimizer with its rate_of again"
            )
        # Keras gets no weight_decay: it would decay once more, biases too, by one rate for all.
        super().__init__(**keywords)
        self.kernel_decay = weight_decay
        self.ema = ema
        self.rate_of = rate_of
        self.born: Mapping[str, int] = {}  # steps before a variable began to learn, by its path
        if self.gradient_accumulation_steps and self.replicas > 1:
            raise ValueError(
                f"accumulate is {self.gradient_accumulation_steps}, and TensorFlow cannot gather "
                f"gradients on {self.replicas} replicas: use KERAS_BACKEND=jax, or a larger batch"
            )

    def build(self, var_list: list[Any]) -> None:
        """Make the optimizer's variables for these weights; averages begin as the weights are."""
        if self.built:
            return
        super().build(var_list)  # type: ignore[misc]
        rate_of = self.rate_of or (lambda path: 1.0)
        self._factors = tuple(float(rate_of(v.path)) for v in var_list)
        self._births = tuple(self.born.get(v.path, 0) for v in var_list)
        self.averages = [self._average_of(v) for v in var_list] if self.ema else []

    def move_all(self, gradients: Any, variables: Any, learning_rate: Any) -> None:
        """Move all weights, with a momentum found once: each would trace the schedule anew."""
        schedule = rate_source(self)
        momentum = schedule.momentum(self._place()) if isinstance(schedule, Schedule) else None
        self._momentum_now = momentum
        super().move_all(gradients, variables, learning_rate)
        self._momentum_now = None  # a tensor of a graph is nothing outside it

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decay one weight, move it by its gradient, and take it into its average."""
        index = self.index_of(variable)
        rate = ops.cast(learning_rate, variable.dtype)
        if self._factors[index] != 1:
            rate = rate * self._factors[index]
        if self.kernel_decay and len(variable.shape) > 1:
            self.assign_sub(variable, variable * self.kernel_decay * rate)
        self.move(gradient, variable, rate)
        if self.ema:
            self._take_in(self.averages[index], variable)

    def move(self, gradient: Any, variable: Any, rate: Any) -> None:
        """Move one weight by its gradient."""
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same optimizer again, but for rates by variable."""
        rates = None if self.rate_of is None else str(self.rate_of)
        settings = {"ema": self.ema, "rate_of": rates, "weight_decay": self.kernel_decay}
        return {**super().get_config(), **settings}  # type: ignore[misc]

    def _average_of(self, variable: Any) -> Any:
        return self.add_variable_from_reference(  # type: ignore[attr-defined]
            variable, name="average", initializer=lambda shape, dtype: ops.copy(variable)
        )

    def _take_in(self, average: Any, variable: Any) -> None:
        done = ops.cast(self.iterations, variable.dtype)
        kept = ops.minimum(ops.cast(self.ema, variable.dtype), done / (done + 9))
        self.assign(average, variable + (average - variable) * kept)

    def clip(self, gradients: list[Any]) -> list[Any]:
        """Clip the gradients of the whole batch; Keras clips those of each replica."""
        if self.replicas == 1 or not self.global_clipnorm:
            return super().clip(gradients)
        clipped = super().clip(self.sum_over_replicas(gradients))
        return [g / self.replicas for g in clipped]  # to be summed once more

    def _place(self) -> Any:
        """Return the first batch, counted from 0, of those whose gradients move the weights now."""
        return self.iterations * (self.gradient_accumulation_steps or 1)

    def rate_now(self) -> Any:
        """Return the learning rate of this step: that of the batch that its gradients begin at."""
        schedule = rate_source(self)
        if isinstance(schedule, Schedule):
            return schedule(self._place())
        return super().rate_now()

    def _scheduled(self, fixed: float) -> Any:
        """Return the schedule's momentum while a step is taken, or the fixed one."""
        return fixed if self._momentum_now is None else self._momentum_now


class _Averaging(_Steered):
    """An optimizer whose momentum is the decay of a mean gradient, `beta_1`."""

    @property
    def beta_1(self) -> Any:
        """Return the decay of the mean gradient, at this step while one is taken."""
        return self._scheduled(self._fixed)

    @beta_1.setter
    def beta_1(self, value: float) -> None:
        self._fixed = value

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same optimizer again, but for rates by variable."""
        return {**super().get_config(), "beta_1": self._fixed}


@keras.saving.register_keras_serializable("melnb")
class Adam(_Averaging, keras.optimizers.Adam):  # type: ignore[misc]
    """Adam (Kingma & Ba 2015).

    Its means begin at zero, which it corrects by the number of the step. A variable that was frozen
    until lately has taken fewer: by the step of all its first ones would be some three times too
    long, so they are corrected by its own.
    """

    def move(self, gradient: Any, variable: Any, rate: Any) -> None:
        """Move one weight by its gradient."""
        birth = self._births[self.index_of(variable)]
        if birth:
            steps = ops.cast(self.iterations + 1, variable.dtype)
            rate = rate * self._correction(steps - birth) / self._correction(steps)
        super().move(gradient, variable, rate)

    def _correction(self, steps: Any) -> Any:
        """Return what Adam multiplies the rate by after so many steps."""
        first, second = (ops.cast(beta, steps.dtype) for beta in (self.beta_1, self.beta_2))
        return ops.sqrt(1 - ops.power(second, steps)) / (1 - ops.power(first, steps))


@keras.saving.register_keras_serializable("melnb")
class AdamW(Adam):
    """Adam with decoupled weight decay, of kernels only (Loshchilov & Hutter 2019).

    Biases and the scales of normalisation (vectors) are left alone.
    """


@keras.saving.register_keras_serializable("melnb")
class Nadam(_Averaging, keras.optimizers.Nadam):  # type: ignore[misc]
    """Adam with Nesterov's momentum (Dozat 2016)."""


@keras.saving.register_keras_serializable("melnb")
class Lion(_Averaging, keras.optimizers.Lion):  # type: ignore[misc]
    """The sign of a mean gradient, with decoupled decay of kernels (Chen et al. 2023).

    Its rate is to be 3 to 10 times smaller than AdamW's, and its decay as much greater.
    """


@keras.saving.register_keras_serializable("melnb")
class RMSprop(_Steered, keras.optimizers.RMSprop):  # type: ignore[misc]
    """Gradients over their root mean square, with momentum (Hinton 2012; Tan & Le 2019)."""

    def move(self, gradient: Any, variable: Any, rate: Any) -> None:
        """Move one weight by its gradient."""
        gradient = ops.cast(gradient, variable.dtype)
        momentum = ops.cast(self._scheduled(self.momentum), variable.dtype)
        index = self.index_of(variable)
        square, velocity = (kept[index] for kept in self.squares_and_velocities())
        self.assign(square, square * self.rho + ops.square(gradient) * (1 - self.rho))
        step = rate * gradient / ops.sqrt(square + self.epsilon)
        self.assign(velocity, velocity * momentum + step)
        self.assign_sub(variable, velocity)


@keras.saving.register_keras_serializable("melnb")
class SGD(_Steered, keras.optimizers.SGD):  # type: ignore[misc]
    """Gradient descent with Nesterov's momentum (Sutskever et al. 2013)."""

    def move(self, gradient: Any, variable: Any, rate: Any) -> None:
        """Move one weight by its gradient."""
        momentum = ops.cast(self._scheduled(self.momentum), variable.dtype)
        step = rate * ops.cast(gradient, variable.dtype)
        velocity = self.momentums[self.index_of(variable)]
        self.assign(velocity, velocity * momentum - step)
        self.assign_add(variable, velocity * momentum - step)


def make_optimizer(
    optimizer: str,
    schedule: Schedule | float,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.01,
    clip_norm: float = 0.0,
    accumulate: int = 1,
    ema: float = 0.0,
    block_decay: float = 1.0,
    model: keras.Model | None = None,
    rate_of: Callable[[str], float] | None = None,
) -> keras.optimizers.Optimizer:
    """Make an optimizer that follows a schedule.

    Args:
        optimizer: One of `OPTIMIZERS`.
        schedule: The learning rate of each batch, or one rate for all. Of a `Plateau` the optimizer
            gets the first rate, as a variable.
        momentum: Where the schedule leaves it alone (beta_1, where that is its name).
        weight_decay: adamw, lion: share of each kernel taken off a step, times the learning rate.
        clip_norm: Largest norm of all gradients together; 0 for no limit.
        accumulate: Batches whose mean gradient moves the weights once. Rate and momentum are those
            of the first of them, and the norm that of the mean. Batches left over at the end of an
            epoch count towards the first move of the next one; at the end of a run they are lost.
            Not for several replicas of TensorFlow.
        ema: Share of the average of the weights that stays when they move; 0: no average is kept.
            At move t, from 0, it is min(ema, t / (t + 9)), so that the average soon forgets where
            the weights began (as TensorFlow's ExponentialMovingAverage with its counter).
        block_decay: Rate of each block of the model over that of the next (layer-wise rates; see
            `freezing.block_rates`); 1: all learn alike.
        model: Whose blocks these are.
        rate_of: Factor of the learning rate of a variable (its decay's too) by the variable's path,
            in the place of `block_decay`; None: 1.

    Raises:
        ValueError: The name is unknown, or a number is out of bounds.
    """
    _check(momentum=momentum, accumulate=accumulate, ema=ema)
    if model is not None and block_decay < 1:
        rate_of = block_rates(model, block_decay)
    rate = schedule.learning_rate if isinstance(schedule, Plateau) else schedule
    shared: dict[str, Any] = {
        "learning_rate": rate, "global_clipnorm": clip_norm or None, "ema": ema,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None, "rate_of": rate_of,
    }  # fmt: skip
    match optimizer:
        case "adam":
            return Adam(beta_1=momentum, **shared)
        case "adamw":
            return AdamW(beta_1=momentum, weight_decay=weight_decay, **shared)
        case "nadam":
            return Nadam(beta_1=momentum, **shared)
        case "lion":
            return Lion(beta_1=momentum, weight_decay=weight_decay, **shared)
        case "rmsprop":
            return RMSprop(momentum=momentum, **shared)
        case "sgd":
            return SGD(momentum=momentum, nesterov=True, **shared)
    raise ValueError(f"optimizer is {optimizer!r}; use one of {list(OPTIMIZERS)}")


def _check(*, momentum: float, accumulate: int, ema: float) -> None:
    if not 0 < momentum < 1:
        raise ValueError(f"momentum is {momentum}; use one between 0 and 1")
    if accumulate < 1:
        raise ValueError(f"accumulate is {accumulate}; use 1 batch or more")
    if not 0 <= ema < 1:
        raise ValueError(f"ema is {ema}; use a share from 0 to below 1, such as 0.999")
