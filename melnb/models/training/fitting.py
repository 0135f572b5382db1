"""Fitting: one run, one fold, which a kill at any moment costs one epoch at most.

After every epoch the validation rows are measured, the best weights and the whole state are
written, and the history is there to be drawn. The same call on the same folder goes on where the
last one stood; on a CPU it ends bit for bit where an uninterrupted run ends.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from melnb.data.augmentation.augment import Augmentation
from melnb.data.augmentation.draws import DRAWS
from melnb.data.batches import count_steps, train_batches
from melnb.models.accelerator import choose_jit, scope_of
from melnb.models.training.checkpoints import (
    State,
    read_best,
    read_state,
    to_array,
    write_best,
    write_state,
)
from melnb.models.training.validation import Validation
from melnb.tables import write_table

COLUMNS = ("epoch", "learning_rate", "loss", "val_loss", "val_auc", "seconds")
MONITORS = ("val_auc", "val_loss")
CHECKPOINT = "checkpoint"


class TrainingError(RuntimeError):
    """Training cannot go on; the message says since when and what to do."""


def fit_classifier(
    model: keras.Model,
    *,
    train_paths: Sequence[str | Path],
    valid_paths: Sequence[str | Path],
    image_size: int,
    n_classes: int,
    batch_size: int,
    epochs: int,
    loss: keras.losses.Loss,
    optimizer: keras.optimizers.Optimizer,
    folder: str | Path,
    augmentation: Mapping[str, Any] | None = None,
    monitor: str = "val_auc",
    patience: int = 0,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    verbose: int = 2,
) -> pd.DataFrame:
    """Fit a classifier, or go on fitting it; it ends with the weights of its best epoch.

    Args:
        model: From pixels (0-255) to n x n_classes probabilities, made in the accelerator's scope.
        train_paths: Shards to learn from.
        valid_paths: Shards to be measured on.
        image_size: Pixels on a side.
        n_classes: Columns of the truth.
        batch_size: Images in a batch, over all replicas.
        epochs: Passes over the training images.
        loss: Its `call` gives one number an image.
        optimizer: Made in the accelerator's scope, its schedule over `count_steps` steps an epoch.
        folder: Gets `history.csv` and `checkpoint/`.
        augmentation: Strengths of `augment`.
        monitor: `val_auc` or `val_loss`: which epoch is the best.
        patience: Epochs without a gain before a stop; 0: none.
        seed: Of order and augmentation.
        callbacks: More of Keras'; their own state is not kept when a run is taken up again.
        on_epoch: Called with the history after every epoch, to draw it.
        verbose: 0 silent, 1 a bar, 2 a line an epoch.

    Returns:
        The history, one row an epoch: epoch (from 1), learning_rate (of its last step), loss (its
        mean over the augmented epoch), val_loss, val_auc, seconds. The weights kept are those of
        `best_epoch(history, monitor)`.

    Raises:
        TrainingError: The loss is no longer a number; the last good checkpoint is kept.
        CheckpointError: The folder holds another run's checkpoint.
        ValueError: There is less than a batch to train on, or nothing to monitor.
    """
    steps = count_steps(train_paths, batch_size=batch_size)
    validation = Validation(
        model, valid_paths, image_size=image_size, n_classes=n_classes, batch_size=batch_size
    )
    _check_monitor(monitor, validation)
    folder = Path(folder)
    run = {
        "seed": seed, "epochs": epochs, "steps_per_epoch": steps, "batch_size": batch_size,
        "image_size": image_size, "augmentation": dict(augmentation or {}), "monitor": monitor,
        "patience": patience, "shards": sorted(Path(path).name for path in train_paths),
        "loss": _config(loss), "optimizer": _config(optimizer),
    }  # fmt: skip
    with scope_of(model):
        trainer = _make_trainer(model, image_size, augmentation)
        trainer.compile(optimizer=optimizer, loss=loss, jit_compile=choose_jit())
        trainer.optimizer.build(trainer.trainable_variables)
        recorder = _Recorder(
            validation, folder=folder, run=run, monitor=monitor, patience=patience,
            steps=steps, epochs=epochs, loss=loss, on_epoch=on_epoch, model=model, trainer=trainer,
        )  # fmt: skip
        recorder.resume(verbose)
        if not recorder.state.done:
            batches = train_batches(
                train_paths, image_size=image_size, batch_size=batch_size, n_classes=n_classes,
                seed=seed, first_epoch=recorder.state.epoch, epochs=epochs,
            )  # fmt: skip
            trainer.fit(
                batches, steps_per_epoch=steps, initial_epoch=recorder.state.epoch, epochs=epochs,
                callbacks=[recorder, *callbacks], shuffle=False, verbose=verbose,
            )  # fmt: skip
        read_best(recorder.checkpoint, recorder.state.best_epoch, model.weights)
    return recorder.history


def best_epoch(history: pd.DataFrame, monitor: str) -> int:
    """Return the epoch (from 1) with the greatest AUC or the least loss; the first of equals."""
    values = history[monitor] if monitor == "val_loss" else -history[monitor]
    return int(history["epoch"].iloc[int(values.to_numpy().argmin())])


class _Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures, keeps and tells after every epoch; watches the loss of every step."""

    async_safe = True  # the loss may be looked at while the next step is under way

    def __init__(
        self,
        validation: Validation,
        *,
        folder: Path,
        run: Mapping[str, Any],
        monitor: str,
        patience: int,
        steps: int,
        epochs: int,
        loss: keras.losses.Loss,
        on_epoch: Callable[[pd.DataFrame], None] | None,
        model: keras.Model,
        trainer: keras.Model,
    ) -> None:
        super().__init__()
        self.validation, self.loss, self.on_epoch = validation, loss, on_epoch
        self.folder, self.checkpoint, self.run = folder, folder / CHECKPOINT, run
        self.monitor, self.patience = monitor, patience
        self.steps, self.epochs = steps, epochs
        self.classifier, self.optimizer = model, trainer.optimizer
        # Seeds of dropout are among the variables, though not among the weights.
        self.variables = [*trainer.variables, *trainer.optimizer.variables]
        self.state = State()
        self.started = time.monotonic()

    @property
    def history(self) -> pd.DataFrame:
        return pd.DataFrame(self.state.rows, columns=list(COLUMNS)).astype({"epoch": int})

    def resume(self, verbose: int) -> None:
        self.state = read_state(self.checkpoint, self.run, self.variables)
        if self.state.epoch:
            write_table(self.history, self.folder / "history.csv")
            if verbose:
                print(f"{self.state.epoch} of {self.epochs} epochs are done: going on from there")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch, self.started = epoch, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss", 0.0)  # the mean since the epoch began: NaN stays in it
        if not math.isfinite(loss):
            kept = f"that of epoch {self.state.epoch} is kept" if self.state.epoch else "none yet"
            raise TrainingError(
                f"the loss is {loss} at epoch {self.epoch + 1}, step {batch + 1} of {self.steps}: "
                f"lower learning_rate, or set precision to float32 (checkpoint: {kept})"
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        logs |= self.validation.measure(self.loss)  # in place: bars and callbacks show it too
        row = {
            "epoch": epoch + 1,
            "learning_rate": _rate(self.optimizer, (epoch + 1) * self.steps - 1),
            **{name: float(logs[name]) for name in ("loss", "val_loss", "val_auc")},
            "seconds": round(time.monotonic() - self.started, 3),
        }
        self._keep(row)
        if self.state.done:
            self.model.stop_training = True
        if self.on_epoch is not None:
            self.on_epoch(self.history)

    def _keep(self, row: dict[str, float]) -> None:
        state, value = self.state, row[self.monitor]
        state.epoch = int(row["epoch"])
        state.rows.append(row)
        better = value > state.best if self.monitor == "val_auc" else value < state.best
        if not state.best_epoch or better:
            state.best, state.best_epoch = value, state.epoch
            write_best(self.checkpoint, state.epoch, self.classifier.weights)
        waited = state.epoch - state.best_epoch
        state.done = state.epoch == self.epochs or 0 < self.patience <= waited
        write_state(self.checkpoint, state, self.run, self.variables)
        write_table(self.history, self.folder / "history.csv")


def _make_trainer(
    model: keras.Model, image_size: int, augmentation: Mapping[str, Any] | None
) -> keras.Model:
    image = keras.Input((image_size, image_size, 3), name="image")
    draws = keras.Input((DRAWS,), name="draws")
    seen = Augmentation(dict(augmentation or {}), name="augmentation")(image, draws)
    return keras.Model({"image": image, "draws": draws}, model(seen), name="trainer")


def _check_monitor(monitor: str, validation: Validation) -> None:
    if monitor not in MONITORS:
        raise ValueError(f"monitor is {monitor!r}; use one of {list(MONITORS)}")
    if monitor == "val_auc" and not validation.estimable:
        raise ValueError(
            f"monitor is 'val_auc', but all {len(validation.targets)} validation rows are of one "
            "class: set monitor to val_loss, or hold out another fold"
        )


def _config(thing: Any) -> dict[str, Any]:
    """Return what a loss or an optimizer is, without the name that Keras numbers."""
    config = {k: v for k, v in thing.get_config().items() if k != "name"}
    return {"class": type(thing).__name__, **config}


def _rate(optimizer: Any, step: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # under mixed_float16
    schedule = inner._learning_rate
    return float(to_array(schedule(step) if callable(schedule) else inner.learning_rate))
