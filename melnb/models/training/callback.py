"""The callback and validation: what happens besides learning, after every step and epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from melnb.data.batches import predict_batches
from melnb.data.shards.records import read_index
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
from melnb.models.tta import make_viewer, predict_rows

# Validation: what a model is worth on held-out rows, exactly.
#
# The AUC is the area under the whole ROC curve over every row at once; Keras' own metric cuts the
# scores into bins and averages over batches.


class Judge(Protocol):
    """What tells a run how good its weights are.

    Attributes:
        model: That is measured.
    """

    model: keras.Model

    def measure(self, loss: keras.losses.Loss) -> dict[str, float]:
        """Measure the model with the weights as they are; the names are the record's `measures`."""

    def measure_mean(
        self, members: Iterable[Mapping[str, np.ndarray]], loss: keras.losses.Loss
    ) -> dict[str, float]:
        """Measure the mean of what several sets of weights, by name, give."""


class Unjudged:
    """Measures nothing: of a run that holds nothing out.

    Args:
        model: That is trained.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def measure(self, loss: keras.losses.Loss) -> dict[str, float]:
        """Return no number."""
        return {}

    def measure_mean(
        self, members: Iterable[Mapping[str, np.ndarray]], loss: keras.losses.Loss
    ) -> dict[str, float]:
        """Return no number."""
        return {}


class Validation:
    """The labelled rows of validation shards, ready to be measured after every epoch.

    Args:
        model: The classifier; its weights may change between two measurements.
        paths: Validation shards.
        image_size: Pixels on a side.
        n_classes: Columns of the probabilities.
        batch_size: Images in a batch, over all replicas.
        metadata: n x M, in file order, for a classifier that takes it.

    Raises:
        ValueError: No row has a label.
    """

    def __init__(
        self,
        model: keras.Model,
        paths: Sequence[str | Path],
        *,
        image_size: int,
        n_classes: int,
        batch_size: int,
        metadata: np.ndarray | None = None,
    ) -> None:
        self.model = model
        self.index = read_index(paths)
        self.targets = self.index["target"].to_numpy()
        self.n_classes, self.batch_size = n_classes, batch_size
        more: dict[str, Any] = {} if metadata is None else {"metadata": metadata}
        self._viewer = make_viewer(model, image_size=image_size)
        self._learning: list[bool] = []
        self._batches = predict_batches(paths, image_size=image_size, batch_size=batch_size, **more)
        labelled = self.targets[self.targets >= 0]
        if not len(labelled) or labelled.max() >= n_classes:
            raise ValueError(
                f"the {len(self.targets)} validation rows have targets "
                f"{sorted(set(self.targets.tolist()))[:5]}; labels 0 to {n_classes - 1} are needed"
            )

    @property
    def estimable(self) -> bool:
        """Return whether there are two classes at least to be told apart."""
        return len(set(self.targets[self.targets >= 0])) > 1

    def measure(self, loss: keras.losses.Loss) -> dict[str, float]:
        """Predict every row with the weights as they are; see `score`."""
        return self.score(self.predict(), loss)

    def measure_mean(
        self, members: Iterable[Mapping[str, np.ndarray]], loss: keras.losses.Loss
    ) -> dict[str, float]:
        """Measure the mean of the probabilities of several sets of weights, by name."""
        answers = []
        for weights in members:
            assign_weights(self.model, weights)
            answers.append(self.predict())
        return self.score(np.mean(answers, axis=0), loss)

    def predict(self) -> np.ndarray:
        """Return n x classes probabilities of every row, float64."""
        learning = [weight.trainable for weight in self.model.weights]
        if learning != self._learning:  # JAX lays trainable weights and the others out apart
            self._viewer.make_predict_function(force=True)
            self._learning = learning
        return predict_rows(self._viewer, self._batches, len(self.targets))

    def score(self, probabilities: np.ndarray, loss: keras.losses.Loss) -> dict[str, float]:
        """Return `val_loss` and `val_auc` of probabilities of every row.

        The loss is the one that is trained with, its smoothing and class weights included, so that
        its curve lies beside the training curve's. It is taken in parts of a batch's size, for
        some losses compare the images of a batch. The AUC is NaN if it cannot be estimated.
        """
        rows = self.targets >= 0
        truth = np.eye(self.n_classes, dtype="float32")[self.targets[rows]]
        judged = probabilities[rows].astype("float32")
        losses = [
            keras.ops.convert_to_numpy(loss.call(truth[k:end], judged[k:end]))
            for k, end in _parts(len(judged), self.batch_size)
        ]
        return {
            "val_loss": float(np.concatenate(losses).mean(dtype="float64")),
            "val_auc": macro_auc(self.targets[rows], probabilities[rows]),
        }


def macro_auc(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the area under the ROC curve.

    With two classes it is that of the last one; with more, the mean over the classes that are
    there, each against the rest. NaN if fewer than two classes are there.

    Args:
        targets: n class numbers.
        probabilities: n x classes.
    """
    present = set(targets.tolist())
    if len(present) < 2:
        return float("nan")
    columns = [1] if probabilities.shape[1] == 2 else sorted(present)
    return float(np.mean([roc_auc_score(targets == k, probabilities[:, k]) for k in columns]))


def _parts(rows: int, size: int) -> list[tuple[int, int]]:
    """Cut rows into parts of a size; what is left over goes to the last one."""
    starts = list(range(0, max(rows - size, 0) + 1, size))
    return list(zip(starts, [*starts[1:], rows], strict=True))


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
