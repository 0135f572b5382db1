"""The learning rate of each step, and the momentum that goes with it.

A schedule is a pure function of the step, so that a run that is taken up again goes on exactly
where it stood. It takes one step or an array of steps, as a number or as a tensor. A step is one
batch, whether or not gradients of several are gathered before the weights move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops

from melnb.models.optimization.curves import (
    Constant,
    Cosine,
    CosineRestarts,
    OneCycle,
    Plateau,
    RampDecay,
    Stairs,
    piece,
)
from melnb.models.optimization.curves import Schedule as Schedule
from melnb.tables.nearest import did_you_mean

SCHEDULES = (
    "ramp_decay", "one_cycle", "cosine", "cosine_restarts", "step", "plateau", "constant",
)  # fmt: skip


@keras.saving.register_keras_serializable("melnb")
class Stretched(Schedule):
    """A schedule over a run whose epochs differ in length, as under progressive resizing.

    A step is taken to the same share of its epoch in the schedule below, so that every schedule
    rises, falls and restarts at the same epochs as before; the rate is multiplied by its phase's
    factor (the batch's growth, say: Goyal et al. 2017).

    Args:
        schedule: Of as many epochs as the phases together.
        phases: (epochs, steps_per_epoch, rate_factor) of each.
    """

    def __init__(self, schedule: Schedule, phases: Sequence[tuple[int, int, float]]) -> None:
        self.schedule = schedule
        self.phases = [(int(n), int(steps), float(factor)) for n, steps, factor in phases]
        epochs = sum(n for n, _, _ in self.phases)
        if epochs != schedule.epochs or any(min(phase) <= 0 for phase in self.phases):
            raise ValueError(
                f"phases (epochs, steps_per_epoch, rate_factor) are {self.phases} for a run of "
                f"{schedule.epochs} epochs: their epochs must add up, and all be above 0"
            )
        super().__init__(
            steps_per_epoch=schedule.steps_per_epoch, epochs=epochs,
            learning_rate=schedule.learning_rate,
        )  # fmt: skip
        lengths, per_epoch, self._factors = (np.array(x) for x in zip(*self.phases, strict=True))
        self._first_epochs = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype("int32")
        self._first_steps = np.concatenate([[0], np.cumsum(lengths * per_epoch)]).astype("int32")
        self._per_epoch = per_epoch.astype("int32")

    @property
    def steps(self) -> int:
        """Return the length of the whole run in steps."""
        return int(self._first_steps[-1])

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        return self.schedule(self._stretched(step)) * self._of_phase(
            self._factors.astype("float32"), step
        )

    def momentum(self, step: Any) -> Any:
        """Return the momentum of a step; None where it does not change."""
        return self.schedule.momentum(self._stretched(step))

    def epoch_of(self, step: Any) -> Any:
        """Return how many epochs lie before a step, with their fraction."""
        phase = np.searchsorted(self._first_steps[1:-1], step, side="right")
        since = step - self._first_steps[phase]
        return self._first_epochs[phase] + since / self._per_epoch[phase]

    def cycle_ends(self) -> tuple[int, ...]:
        """Return the epochs (from 1) that end a cycle; () for none."""
        return self.schedule.cycle_ends()

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same schedule again."""
        inner = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": inner, "phases": [list(phase) for phase in self.phases]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Stretched:
        """Make the schedule again."""
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["phases"])

    def _stretched(self, step: Any) -> Any:
        """Return the step of the schedule below; whole epochs in whole numbers, to the step."""
        step = ops.cast(step, "int32")
        per_epoch = self._of_phase(self._per_epoch, step)
        since = step - self._of_phase(self._first_steps[:-1], step)
        epoch = self._of_phase(self._first_epochs, step) + since // per_epoch
        share = ops.cast(since % per_epoch, "float32") / ops.cast(per_epoch, "float32")
        whole = ops.cast(epoch * self.steps_per_epoch, "float32")
        return whole + share * self.steps_per_epoch

    def _of_phase(self, values: Any, step: Any) -> Any:
        return piece(values, ops.cast(step, "int32"), self._first_steps[1:-1])


def make_schedule(
    schedule: str,
    *,
    steps_per_epoch: int,
    epochs: int,
    learning_rate: float,
    start_rate: float = 1e-4,
    final_rate: float = 1e-6,
    ramp_epochs: int = 2,
    sustain_epochs: int = 0,
    decay: float = 0.7,
    step_epochs: int = 2,
    cycles: int = 3,
    cycle_growth: float = 1.0,
    plateau_patience: int = 2,
    phases: Sequence[tuple[int, int, float]] = (),
) -> Schedule:
    """Make a schedule of the learning rate.

    Args:
        schedule: One of `SCHEDULES`.
        steps_per_epoch: Batches in one pass.
        epochs: Passes.
        learning_rate: The highest rate.
        start_rate: ramp_decay: where it begins.
        final_rate: ramp_decay, cosine, cosine_restarts, step, plateau: where it tends to.
        ramp_epochs: ramp_decay, cosine, cosine_restarts, step: epochs of rise.
        sustain_epochs: ramp_decay: epochs at the highest rate.
        decay: ramp_decay, step, plateau: factor of each fall.
        step_epochs: step: epochs between two falls.
        cycles: cosine_restarts: how many.
        cycle_growth: cosine_restarts: length of a cycle, in cycles before it.
        plateau_patience: plateau: epochs without a gain before a fall.
        phases: (epochs, steps_per_epoch, rate_factor) of each phase, where a run's batches
            change; `steps_per_epoch` is then not looked at.

    Raises:
        ValueError: The name is unknown, or lengths or rates make no schedule.
    """
    if phases:
        steps_per_epoch = max(steps for _, steps, _ in phases)
    _check_lengths(steps_per_epoch, epochs)
    warmed = {"final_rate": final_rate, "ramp_epochs": ramp_epochs}
    ramped = {"start_rate": start_rate, "sustain_epochs": sustain_epochs, "decay": decay, **warmed}
    waiting = {"final_rate": final_rate, "decay": decay, "patience": plateau_patience}
    kinds: dict[str, tuple[type[Schedule], dict[str, Any]]] = {
        "ramp_decay": (RampDecay, ramped),
        "one_cycle": (OneCycle, {}),
        "cosine": (Cosine, warmed),
        "cosine_restarts": (CosineRestarts, {"cycles": cycles, "growth": cycle_growth, **warmed}),
        "step": (Stairs, {"decay": decay, "step_epochs": step_epochs, **warmed}),
        "plateau": (Plateau, waiting),
        "constant": (Constant, {}),
    }
    if schedule not in kinds:
        raise ValueError(_unknown(schedule))
    kind, shape = kinds[schedule]
    plan = kind(
        steps_per_epoch=steps_per_epoch, epochs=epochs, learning_rate=learning_rate, **shape
    )
    return _over_phases(plan, phases) if phases else plan


def cycle_ends(schedule: Schedule) -> tuple[int, ...]:
    """Return the epochs (from 1) at whose end a snapshot is taken; () where nothing restarts."""
    return schedule.cycle_ends()


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
            "epoch": schedule.epoch_of(steps),
            "learning_rate": ops.convert_to_numpy(schedule(steps)),
            "momentum": np.nan if momentum is None else ops.convert_to_numpy(momentum),
        }
    )


def _check_lengths(steps_per_epoch: int, epochs: int) -> None:
    if min(steps_per_epoch, epochs) < 1:
        raise ValueError(
            f"steps_per_epoch is {steps_per_epoch} and epochs {epochs}; each must be 1 or more"
        )


def _over_phases(schedule: Schedule, phases: Sequence[tuple[int, int, float]]) -> Stretched:
    if isinstance(schedule, Plateau):
        raise ValueError(
            "schedule 'plateau' follows what is monitored, which a change of size or batch moves: "
            "use another schedule, or one phase"
        )
    return Stretched(schedule, phases)


def _unknown(name: str) -> str:
    hint = did_you_mean(name, SCHEDULES, cutoff=0.3)
    return f"no schedule {name!r}{hint} (schedules: {', '.join(SCHEDULES)})"
