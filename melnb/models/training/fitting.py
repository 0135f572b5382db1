"""Fitting: one run, one fold, which a kill at any moment costs one epoch at most.

After every epoch the validation rows are measured, the best weights and the whole state are
written, and the history is there to be drawn. The same call on the same folder goes on where the
last one stood; on a CPU it ends bit for bit where an uninterrupted run ends. A border between two
phases is crossed in the same way: the state is read out of the one and written into the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import keras
import numpy as np
import pandas as pd

from melnb.data.epochs.rows import Rows
from melnb.data.epochs.sampling import NATURAL, Sampling
from melnb.models.accelerator import scope_of
from melnb.models.optimization.curves import Schedule
from melnb.models.training.course import Course
from melnb.models.training.finishing import finish
from melnb.models.training.phases import Phase
from melnb.models.training.recipe import Recipe
from melnb.models.training.recorder import Recorder
from melnb.models.training.state.record import Record
from melnb.models.training.state.tensors import Tensors, name_weights, to_array
from melnb.models.training.validation import Judge, Validation

_TRAINED: WeakSet[Any] = WeakSet()  # networks and optimizers that have learnt in this process


@dataclass(frozen=True)
class Fitted:
    """What a run ends with.

    Attributes:
        model: To predict with, with the weights that are kept.
        history: One row an epoch: epoch (from 1), learning_rate (of its last step), loss (its mean
            over the augmented epoch), val_loss, val_auc, seconds; where phases differ, image_size
            and batch_size. Of a segmenter it has other measures.
        results: One row for each choice of weights: weights (`best`, `swa`, `snapshots`), epochs
            (how many are in them), val_loss, val_auc or other measures, kept.
    """

    model: keras.Model
    history: pd.DataFrame
    results: pd.DataFrame


def fit_classifier(
    model: keras.Model,
    *,
    rows: Rows,
    valid_paths: Sequence[str | Path],
    recipe: Recipe,
    loss: keras.losses.Loss,
    optimizer: keras.optimizers.Optimizer,
    folder: str | Path,
    schedule: Schedule | None = None,
    sampling: Sampling = NATURAL,
    metadata: np.ndarray | None = None,
    remake: Callable[..., keras.Model] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    verbose: int = 2,
) -> Fitted:
    """Fit a classifier, or go on fitting it; see `Course` for what it is made of.

    Args:
        valid_paths: Shards to be measured on; `metadata` is theirs, n x M in file order.
        folder: Gets `history.csv` and `checkpoint/`.
        callbacks: More of Keras'; their own state is not kept when a run is taken up again.
        on_epoch: Called with the history after every epoch, and when a run is taken up again.
        verbose: 0 silent, 1 a bar, 2 a line an epoch.

    Raises:
        TrainingError: The loss is no longer a number; the last good checkpoint is kept.
        CheckpointError: The folder holds another run's checkpoint.
        ValueError: There is less than a batch to train on, nothing to monitor, a part lacks, or a
            run begins with a network or an optimizer that has learnt already.
    """
    course = Course(model, rows, sampling, recipe, loss, optimizer, schedule, remake)
    record = Record(Path(folder), recipe, course.identity())
    with scope_of(model):
        validation = _make_validation(course, valid_paths, metadata)
        return fit_course(course, record, validation, callbacks, on_epoch, verbose)


def fit_course(
    course: Course,
    record: Record,
    validation: Judge,
    callbacks: Sequence[keras.callbacks.Callback],
    on_epoch: Callable[[pd.DataFrame], None] | None,
    verbose: int,
) -> Fitted:
    """Fit what a course is made of, in the scope of its model, from where its record stands.

    Takes what `fit_classifier` takes, and raises the same.
    """
    record.resume(verbose)
    if not record.state.epoch:
        _refuse_trained(course)
    elif on_epoch is not None:
        on_epoch(record.history)
    for phase in course.recipe.phases:
        if record.state.epoch < phase.end and not record.state.trained:
            _fit_phase(course, phase, record, validation, callbacks, on_epoch, verbose)
    fitted = finish(course, record, validation)
    columns = ["weights", "epochs", *record.measures, "kept"]
    return Fitted(fitted, record.history, pd.DataFrame(record.state.results, columns=columns))


def best_epoch(history: pd.DataFrame, monitor: str) -> int:
    """Return the epoch (from 1) with the greatest AUC or the least loss; the first of equals."""
    values = history[monitor] if monitor == "val_loss" else -history[monitor]
    return int(history["epoch"].iloc[int(values.to_numpy().argmin())])


def _refuse_trained(course: Course) -> None:
    """Refuse to begin a run with what has learnt before: it would not be the run that it says."""
    if course.model in _TRAINED or course.optimizer in _TRAINED:
        raise ValueError(
            "this run begins anew, but its network or its optimizer has learnt already: make both "
            "again first (in a notebook: run all cells from the network on)"
        )


def _fit_phase(
    course: Course,
    phase: Phase,
    record: Record,
    validation: Judge,
    callbacks: Sequence[keras.callbacks.Callback],
    on_epoch: Callable[[pd.DataFrame], None] | None,
    verbose: int,
) -> None:
    """Train from where the run stands to the end of a phase."""
    classifier, trainer = course.prepare(phase)
    tensors = Tensors(classifier, trainer)
    begun = record.state.epoch
    arrays = record.arrays or {
        k: to_array(v) for k, v in name_weights(course.model.weights).items()
    }
    try:
        tensors.write(arrays, whole=begun > phase.first_epoch)
    except ValueError as error:
        raise record.refuse(error) from error
    recorder = Recorder(
        record, phase, steps=course.steps(phase), steps_before=course.steps_before(phase),
        tensors=tensors, validation=validation, loss=course.loss, schedule=course.schedule,
        snapshots=course.cycle_ends, fail=partial(course.explain, phase, record.state),
        on_epoch=on_epoch,
    )  # fmt: skip
    _TRAINED.update((course.model, course.optimizer))
    trainer.fit(
        course.batches(phase, first_epoch=begun, epochs=phase.end),
        steps_per_epoch=course.steps(phase), initial_epoch=begun, epochs=phase.end,
        callbacks=[recorder, *callbacks], shuffle=False, verbose=verbose,
    )  # fmt: skip


def _make_validation(
    course: Course, paths: Sequence[str | Path], metadata: np.ndarray | None
) -> Validation:
    recipe = course.recipe
    validation = Validation(
        course.model, paths, image_size=recipe.image_size, n_classes=course.rows.n_classes,
        batch_size=recipe.batch_size, metadata=metadata,
    )  # fmt: skip
    if recipe.monitor == "val_auc" and not validation.estimable:
        raise ValueError(
            f"monitor is 'val_auc', but all {len(validation.targets)} validation rows are of one "
            "class: set monitor to val_loss, or hold out another fold"
        )
    return validation
