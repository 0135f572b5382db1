"""Learning-rate schedules: ramp, 1cycle, cosine, warm restarts, step, plateau.

Each is a pure function of the step, and the step comes as a number, an array or a tensor.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

WARM_FACTOR = 0.1  # where a straight warm-up begins: a tenth of the rate (Ha et al. 2020)


class Schedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """What all schedules share: their length, and a configuration that makes them again."""

    def __init__(self, *, steps_per_epoch: int, epochs: int, learning_rate: float) -> None:
        self.steps_per_epoch = int(steps_per_epoch)
        self.epochs = int(epochs)
        self.learning_rate = float(learning_rate)

    @property
    def steps(self) -> int:
        """Return the length of the whole run in steps."""
        return self.steps_per_epoch * self.epochs

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        raise NotImplementedError

    def momentum(self, step: Any) -> Any:
        """Return the momentum of a step; None where it does not change."""
        return None

    def epoch_of(self, step: Any) -> Any:
        """Return how many epochs lie before a step or an array of steps, with their fraction."""
        return step / self.steps_per_epoch

    def cycle_ends(self) -> tuple[int, ...]:
        """Return the epochs (from 1) that end a cycle, where snapshots are taken; () for none."""
        return ()

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same schedule again."""
        return dict(vars(self))


@keras.saving.register_keras_serializable("melnb")
class Constant(Schedule):
    """One rate for every step."""

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        return self.learning_rate * ops.ones_like(_number(step))


@keras.saving.register_keras_serializable("melnb")
class RampDecay(Schedule):
    """A staircase of one stair an epoch: a straight rise, a plateau, an exponential fall.

    It is the schedule of the Kaggle melanoma notebooks on TPUs, often miscalled "1cycle".
    """

    def __init__(
        self,
        *,
        start_rate: float,
        final_rate: float,
        ramp_epochs: int,
        sustain_epochs: int,
        decay: float,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if start_rate > self.learning_rate:
            raise ValueError(
                f"start_rate {start_rate} is above learning_rate {self.learning_rate}: "
                "ramp_decay rises from the one to the other, so lower start_rate"
            )
        self.start_rate = float(start_rate)
        self.final_rate = float(final_rate)
        self.ramp_epochs = int(ramp_epochs)
        self.sustain_epochs = int(sustain_epochs)
        self.decay = float(decay)

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        epoch = _number(ops.cast(step, "int32") // self.steps_per_epoch)
        share = epoch / max(self.ramp_epochs, 1)
        rise = self.start_rate + (self.learning_rate - self.start_rate) * share
        falls = ops.maximum(epoch - self.ramp_epochs - self.sustain_epochs, 0.0)
        fall = self.final_rate + (self.learning_rate - self.final_rate) * self.decay**falls
        return ops.where(epoch < self.ramp_epochs, rise, fall)


@keras.saving.register_keras_serializable("melnb")
class OneCycle(Schedule):
    """One cosine up, one cosine down, and the momentum the other way (Smith 2018; fastai).

    Over the first 30 % of the steps the rate rises from a 25th of its height; then it falls to a
    100,000th. Meanwhile the momentum goes from 0.95 to 0.85 and back.
    """

    rise = 0.3
    start_factor, final_factor = 1 / 25, 1e-5
    high_momentum, low_momentum = 0.95, 0.85

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        low, last = self.start_factor, self.final_factor
        return self.learning_rate * self._cycle(step, low, 1.0, last)

    def momentum(self, step: Any) -> Any:
        """Return the momentum of a step, counted from 0."""
        return self._cycle(step, self.high_momentum, self.low_momentum, self.high_momentum)

    def _cycle(self, step: Any, first: float, middle: float, last: float) -> Any:
        done = ops.minimum(_number(step) / self.steps, 1.0)
        up = _cosine(first, middle, done / self.rise)
        down = _cosine(middle, last, (done - self.rise) / (1 - self.rise))
        return ops.where(done < self.rise, up, down)


class Warmed(Schedule):
    """A schedule after a straight warm-up of so many epochs."""

    def __init__(self, *, final_rate: float, ramp_epochs: int, **shared: Any) -> None:
        super().__init__(**shared)
        self.final_rate = float(final_rate)
        self.ramp_epochs = int(ramp_epochs)

    @property
    def ramp(self) -> int:
        """Return the length of the warm-up in steps."""
        return self.ramp_epochs * self.steps_per_epoch

    def _after_ramp(self, step: Any, rate: Any) -> Any:
        share = WARM_FACTOR + (1 - WARM_FACTOR) * step / max(self.ramp, 1)
        return ops.where(step < self.ramp, self.learning_rate * share, rate)


@keras.saving.register_keras_serializable("melnb")
class Cosine(Warmed):
    """A straight warm-up from a tenth of the rate, then half a cosine (Loshchilov & Hutter 2017).

    The rise by ten is that of the winners of SIIM-ISIC 2020 (Ha et al. 2020).
    """

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        step = _number(step)
        done = ops.minimum((step - self.ramp) / max(self.steps - self.ramp, 1), 1.0)
        return self._after_ramp(step, _cosine(self.learning_rate, self.final_rate, done))


@keras.saving.register_keras_serializable("melnb")
class CosineRestarts(Warmed):
    """Half a cosine again and again: SGDR (Loshchilov & Hutter 2017), after a warm-up.

    The last step of each cycle leaves the network in a minimum of its own, worth a snapshot
    (Huang et al. 2017). Cycles are whole epochs, each `growth` times as long as the one before,
    and fill the run: the last one is never cut.
    """

    def __init__(self, *, cycles: int, growth: float, **warmed: Any) -> None:
        super().__init__(**warmed)
        self.cycles = int(cycles)
        self.growth = float(growth)
        if self.cycles < 1 or self.growth < 1:
            raise ValueError(f"cycles is {cycles} and growth {growth}; each must be 1 or more")
        if any(a >= b for a, b in itertools.pairwise((self.ramp_epochs, *self.cycle_ends()))):
            raise ValueError(
                f"{cycles} cycles that grow by {growth} do not fit into {self.epochs} epochs, "
                f"{self.ramp_epochs} of them warm-up: each needs one of its own"
            )

    def cycle_ends(self) -> tuple[int, ...]:
        """Return the epochs (from 1) that end a cycle, where snapshots are taken."""
        lengths = np.cumsum(self.growth ** np.arange(self.cycles))
        ends = self.ramp_epochs + (self.epochs - self.ramp_epochs) * lengths / lengths[-1]
        return tuple(int(end) for end in np.floor(ends + 0.5))

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        step = _number(step)
        edges = np.array([self.ramp_epochs, *self.cycle_ends()], "float32") * self.steps_per_epoch
        begin, end = piece(edges[:-1], step, edges[1:-1]), piece(edges[1:], step, edges[1:-1])
        done = ops.minimum((step - begin) / (end - begin), 1.0)
        return self._after_ramp(step, _cosine(self.learning_rate, self.final_rate, done))


@keras.saving.register_keras_serializable("melnb")
class Stairs(Warmed):
    """A fall by `decay` every `step_epochs` epochs after the warm-up, never below final_rate.

    The schedule of the residual networks (He et al. 2016, section 3.4: a tenth at each stair).
    """

    def __init__(self, *, decay: float, step_epochs: int, **warmed: Any) -> None:
        super().__init__(**warmed)
        self.decay = float(decay)
        self.step_epochs = int(step_epochs)
        if self.step_epochs < 1:
            raise ValueError(f"step_epochs is {step_epochs}; a stair is 1 epoch or more")

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        epoch = ops.cast(step, "int32") // self.steps_per_epoch
        falls = _number(ops.maximum(epoch - self.ramp_epochs, 0) // self.step_epochs)
        rate = ops.maximum(self.learning_rate * self.decay**falls, self.final_rate)
        return self._after_ramp(_number(step), rate)


def piece(values: Any, step: Any, edges: Any) -> Any:
    """Return the value of the piece that a step lies in; a piece begins at its edge.

    Args:
        values: One of each piece.
        step: A number or an array.
        edges: Where the second piece begins, and each later one.
    """
    number = ops.sum(ops.cast(ops.expand_dims(step, -1) >= np.asarray(edges), "int32"), axis=-1)
    return ops.take(np.asarray(values), number)


def _number(step: Any) -> Any:
    return ops.cast(step, "float32")


def _cosine(first: float, last: float, share: Any) -> Any:
    return last + (first - last) * (1 + ops.cos(math.pi * share)) / 2


# The plateau: a rate that falls where a run no longer gains, read off the run's own history.
#
# No state is kept beside the history, so a run that is taken up again goes on with the same rate.


@keras.saving.register_keras_serializable("melnb")
class Plateau(Constant):
    """What the rate of a run on a plateau does; within an epoch it is constant.

    The optimizer holds the rate in a variable: assign `rate_after(values)` to it after each epoch.
    """

    def __init__(self, *, final_rate: float, decay: float, patience: int, **shared: Any) -> None:
        super().__init__(**shared)
        _check(decay, patience)
        self.final_rate = float(final_rate)
        self.decay = float(decay)
        self.patience = int(patience)

    def rate_after(self, values: Sequence[float], *, better: str) -> float:
        """Return the rate of the next epoch; see `plateau_rate`."""
        return plateau_rate(
            values, learning_rate=self.learning_rate, factor=self.decay, patience=self.patience,
            min_rate=self.final_rate, better=better,
        )  # fmt: skip


def plateau_rate(
    values: Sequence[float],
    *,
    learning_rate: float,
    factor: float,
    patience: int,
    min_rate: float = 0.0,
    better: str = "higher",
) -> float:
    """Return the rate of the next epoch, as Keras' ReduceLROnPlateau would have set it.

    Args:
        values: The monitored value of each finished epoch, from the first; NaN is no gain.
        learning_rate: Of the first epoch.
        factor: Of each fall.
        patience: Epochs without a gain before a fall, and again before the next one.
        min_rate: Where falling ends.
        better: `higher` or `lower`: which values are a gain.

    Raises:
        ValueError: `better` is another word, or factor or patience make no fall.
    """
    _check(factor, patience)
    if better not in ("higher", "lower"):
        raise ValueError(f"better is {better!r}; use 'higher' or 'lower'")
    rate, best, waited = float(learning_rate), -math.inf, 0
    for value in values:
        gain = value if better == "higher" else -value
        waited += 1
        if gain > best:
            best, waited = gain, 0
        if waited >= patience:
            rate, waited = max(rate * factor, min(min_rate, rate)), 0
    return rate


def _check(factor: float, patience: int) -> None:
    if not 0 < factor < 1:
        raise ValueError(f"the factor on a plateau is {factor}; use one between 0 and 1")
    if patience < 1:
        raise ValueError(f"the patience on a plateau is {patience}; use 1 epoch or more")
