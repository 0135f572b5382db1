"""The learning rate of each step, and the momentum that goes with it.

A schedule is a pure function of the step, so that a run that is taken up again goes on exactly
where it stood. It takes one step or an array of steps, as a number or as a tensor.
"""

from __future__ import annotations

import difflib
import math
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops

SCHEDULES = ("ramp_decay", "one_cycle", "cosine", "constant")


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


@keras.saving.register_keras_serializable("melnb")
class Cosine(Schedule):
    """A straight warm-up from a tenth of the rate, then half a cosine (Loshchilov & Hutter 2017).

    The rise by ten is that of the winners of SIIM-ISIC 2020 (Ha et al. 2020).
    """

    start_factor = 0.1

    def __init__(self, *, final_rate: float, ramp_epochs: int, **shared: Any) -> None:
        super().__init__(**shared)
        self.final_rate = float(final_rate)
        self.ramp_epochs = int(ramp_epochs)

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        ramp = self.ramp_epochs * self.steps_per_epoch
        step = _number(step)
        share = self.start_factor + (1 - self.start_factor) * step / max(ramp, 1)
        done = ops.minimum((step - ramp) / max(self.steps - ramp, 1), 1.0)
        fall = _cosine(self.learning_rate, self.final_rate, done)
        return ops.where(step < ramp, self.learning_rate * share, fall)


def make_schedule(
    name: str,
    *,
    steps_per_epoch: int,
    epochs: int,
    learning_rate: float,
    start_rate: float = 1e-4,
    final_rate: float = 1e-6,
    ramp_epochs: int = 2,
    sustain_epochs: int = 0,
    decay: float = 0.7,
) -> Schedule:
    """Make a schedule of the learning rate.

    Args:
        name: `ramp_decay`, `one_cycle`, `cosine` or `constant`.
        steps_per_epoch: Batches in one pass.
        epochs: Passes.
        learning_rate: The highest rate.
        start_rate: ramp_decay: where it begins.
        final_rate: ramp_decay, cosine: where it tends to.
        ramp_epochs: ramp_decay, cosine: epochs of rise.
        sustain_epochs: ramp_decay: epochs at the highest rate.
        decay: ramp_decay: factor of each later epoch.

    Raises:
        ValueError: The name is unknown, or lengths or rates make no schedule.
    """
    shared: dict[str, Any] = {
        "steps_per_epoch": steps_per_epoch, "epochs": epochs, "learning_rate": learning_rate,
    }  # fmt: skip
    if min(steps_per_epoch, epochs) < 1:
        raise ValueError(
            f"steps_per_epoch is {steps_per_epoch} and epochs {epochs}; each must be 1 or more"
        )
    match name:
        case "constant":
            return Constant(**shared)
        case "one_cycle":
            return OneCycle(**shared)
        case "cosine":
            return Cosine(final_rate=final_rate, ramp_epochs=ramp_epochs, **shared)
        case "ramp_decay":
            return RampDecay(
                start_rate=start_rate, final_rate=final_rate, ramp_epochs=ramp_epochs,
                sustain_epochs=sustain_epochs, decay=decay, **shared,
            )  # fmt: skip
    near = difflib.get_close_matches(name, SCHEDULES, n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no schedule {name!r}{hint} (schedules: {', '.join(SCHEDULES)})")


def schedule_table(schedule: Schedule, *, rows: int = 1000) -> pd.DataFrame:
    """Return the plan of a run: one row a step, thinned to at most so many rows.

    Columns: step (from 0), epoch (with its fraction), learning_rate, momentum (NaN where the
    schedule leaves it alone). The last row is the last step.
    """
    steps = np.unique(np.linspace(0, schedule.steps - 1, min(rows, schedule.steps)).round())
    momentum = schedule.momentum(steps)
    return pd.DataFrame(
        {
            "step": steps.astype(int),
            "epoch": steps / schedule.steps_per_epoch,
            "learning_rate": ops.convert_to_numpy(schedule(steps)),
            "momentum": np.nan if momentum is None else ops.convert_to_numpy(momentum),
        }
    )


def _number(step: Any) -> Any:
    return ops.cast(step, "float32")


def _cosine(first: float, last: float, share: Any) -> Any:
    return last + (first - last) * (1 + ops.cos(math.pi * share)) / 2
