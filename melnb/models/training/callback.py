"""The callback: what happens besides learning, at every step and after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from typing import Any

import keras
import pandas as pd

from melnb.models.keras_internals import inner_optimizer, rate_source
from melnb.models.optimization.curves import Plateau, Schedule
from melnb.models.training.checkpoints import Record
from melnb.models.training.recipe import Phase
from melnb.models.training.state import (
    Arrays,
    Tensors,
    assign_weights,
    select_mean,
    select_weights,
    take_into_mean,
    to_array,
)
from melnb.models.training.validation import Judge


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures, keeps and tells after every epoch of a phase; watches the loss of every step.

    Args:
        record: Of the run.
        phase: That is trained.
        steps: In an epoch of it.
        steps_before: In all the phases before it.
        tensors: Of the classifier that is trained; the one that is measured may be of another size.
        validation: Measures.
        loss: That is trained with.
        schedule: That the optimizer follows, if it is one of a plateau.
        snapshots: Epochs, from 1, whose weights are kept for an ensemble.
        fail: Called with loss, epoch and step, from 1, once the loss is no number; returns the
            error to raise.
        on_epoch: Called with the history after every epoch.
    """

    async_safe = True  # the loss may be looked at while the next step is under way

    def __init__(
        self,
        record: Record,
        phase: Phase,
        *,
        steps: int,
        steps_before: int,
        tensors: Tensors,
        validation: Judge,
        loss: keras.losses.Loss,
        schedule: Schedule | None,
        snapshots: Collection[int],
        fail: Callable[[float, int, int], Exception],
        on_epoch: Callable[[pd.DataFrame], None] | None = None,
    ) -> None:
        super().__init__()
        self.record, self.phase, self.steps, self.steps_before = record, phase, steps, steps_before
        self.tensors, self.validation, self.loss = tensors, validation, loss
        self.schedule, self.snapshots = schedule, snapshots
        self.fail, self.on_epoch = fail, on_epoch
        self.started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock, and set the rate that a plateau has come to."""
        self.epoch, self.started = epoch, time.monotonic()
        if isinstance(self.schedule, Plateau):
            monitor = self.record.recipe.monitor
            values = [row[monitor] for row in self.record.state.rows]
            better = "lower" if monitor == "val_loss" else "higher"
            self.model.optimizer.learning_rate = self.schedule.rate_after(values, better=better)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop once the loss is no number."""
        loss = (logs or {}).get("loss", 0.0)  # the mean since the epoch began: NaN stays in it
        if not math.isfinite(loss):
            raise self.fail(float(loss), self.epoch + 1, batch + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure, keep and tell."""
        logs = {} if logs is None else logs
        arrays = self._average(self.tensors.read())
        judged = select_weights(arrays, averaged=True)
        measures = self._measure(arrays, judged)
        logs |= measures  # in place: bars and callbacks show it too
        done = self.steps_before + (epoch + 1 - self.phase.first_epoch) * self.steps
        row = {
            "epoch": epoch + 1,
            "learning_rate": rate_of_step(self.model.optimizer, done - 1),
            **{name: float(logs[name]) for name in ("loss", *measures)},
            "seconds": round(time.monotonic() - self.started, 3),
            "image_size": self.phase.image_size,
            "batch_size": self.phase.batch_size,
        }
        self.record.keep(row, arrays, judged, snapshot=epoch + 1 in self.snapshots)
        if self.record.state.trained:
            self.model.stop_training = True
        if self.on_epoch is not None:
            self.on_epoch(self.record.history)

    def _average(self, arrays: Arrays) -> Arrays:
        """Bring the mean of stochastic weight averaging along, with this epoch in it."""
        state, mean = self.record.state, select_mean(self.record.arrays)
        if 0 < self.record.recipe.swa_start <= self.epoch + 1:
            mean = take_into_mean(mean, arrays, state.averaged)
            state.averaged += 1
        return {**arrays, **mean}

    def _measure(self, arrays: Arrays, judged: Arrays) -> dict[str, float]:
        """Measure the judged weights, then go on with the trained ones."""
        trained, measured = self.tensors.classifier, self.validation.model
        raw = select_weights(arrays)
        averaged = any(judged[name] is not raw[name] for name in raw)
        if averaged or trained is not measured:
            assign_weights(measured, judged)
        measures = self.validation.measure(self.loss)
        if averaged and trained is measured:
            assign_weights(trained, raw)
        return measures


def rate_of_step(optimizer: Any, step: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    schedule = rate_source(optimizer)
    rate = schedule(step) if callable(schedule) else inner_optimizer(optimizer).learning_rate
    return float(to_array(rate))
