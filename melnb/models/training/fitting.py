"""Fitting: one run, one fold; early stopping, snapshots; a kill costs one epoch at most.

After every epoch the validation rows are measured, the best weights and the whole state are
written, and the history is there to be drawn. The same call on the same folder goes on where the
last one stood; on a CPU it ends bit for bit where an uninterrupted run ends. A border between two
phases is crossed in the same way: the state is read out of the one and written into the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import keras
import numpy as np
import pandas as pd

from melnb.data.epochs.sampling import NATURAL, Sampling
from melnb.data.epochs.training_rows import Rows
from melnb.models.accelerator import scope_of
from melnb.models.optimization.curves import Plateau, Schedule
from melnb.models.optimization.freezing import freeze
from melnb.models.optimization.weight_averaging import update_batch_norm
from melnb.models.training.callback import Judge, Recorder, Unjudged, Validation
from melnb.models.training.checkpoints import MEASURES, Record, read_weights, write_weights
from melnb.models.training.event_files import FOLDER, EventFiles
from melnb.models.training.plan import Course
from melnb.models.training.recipe import Phase, Recipe
from melnb.models.training.state import (
    Arrays,
    Tensors,
    assign_weights,
    mean_weights,
    name_weights,
    select_mean,
    to_array,
)

# Snapshots: the networks that a schedule with restarts leaves at the end of each cycle, as one.
#
# Each cycle ends in another minimum, and the mean of their probabilities errs less than each (Huang
# et al. 2017). The ensemble is one model with the inputs of one classifier: it is saved, read back
# and predicted with as any other.


def make_ensemble(
    classifier: keras.Model, members: Sequence[Mapping[str, np.ndarray]]
) -> keras.Model:
    """Make one model of a network and several sets of its weights.

    Args:
        classifier: The network; it is left alone.
        members: Weights by name, as `state.name_weights` names them.

    Returns:
        A model of the classifier's inputs to the mean of the members' probabilities. Its layers
        `snapshot_1` and on are the members; it has no single `features` to be explained.
    """
    inputs = {
        t.name: keras.Input(t.shape[1:], dtype=t.dtype, name=t.name) for t in classifier.inputs
    }
    given = inputs if isinstance(classifier.input, dict) else next(iter(inputs.values()))
    copies = []
    for number, weights in enumerate(members, start=1):
        config = {**classifier.get_config(), "name": f"snapshot_{number}"}
        copies.append(type(classifier).from_config(config))
        assign_weights(copies[-1], weights)
    outputs = [copy(given) for copy in copies]
    mean = (
        keras.layers.Average(dtype="float32", name="mean")(outputs) if outputs[1:] else outputs[0]
    )
    return keras.Model(given, mean, name=classifier.name)


# Finishing: what a run ends with once its last epoch is over.


def finish(course: Course, record: Record, validation: Judge) -> keras.Model:
    """Measure every choice of weights, and return the model with those that are kept.

    What it costs to find them is spent once: a later call reads them back. Where the run stopped
    before the weights that the recipe keeps came to be, those of the best epoch are kept.
    """
    state = record.state
    if not state.done:
        candidates = [_measure_best(record)]
        if state.averaged:
            candidates.append(_measure_mean(course, record, validation))
        if state.snapshots:
            candidates.append(_measure_snapshots(course, record, validation))
        wanted = course.recipe.keep in {row["weights"] for row in candidates}
        keep = course.recipe.keep if wanted else candidates[0]["weights"]
        state.results = [{**row, "kept": row["weights"] == keep} for row in candidates]
        state.done = True
        record.write()
    if any(phase.frozen or phase.frozen_norm for phase in course.recipe.phases):
        freeze(course.model, 0)
    keep = next(row["weights"] for row in state.results if row["kept"])
    if keep == "snapshots":
        return make_ensemble(course.model, _read_snapshots(record))
    kind, epoch = ("swa", state.epoch) if keep == "swa" else ("best", state.best_epoch)
    assign_weights(course.model, read_weights(record.checkpoint, kind, epoch))
    return course.model


def _measure_best(record: Record) -> dict[str, Any]:
    row = record.state.rows[record.state.best_epoch - 1]
    measures = {name: row[name] for name in record.measures}
    chosen = record.recipe.keep != "last" and record.measures
    return {"weights": "best" if chosen else "last", "epochs": 1, **measures}


def _measure_mean(course: Course, record: Record, validation: Judge) -> dict[str, Any]:
    """Give the mean of the weights the statistics that belong to it, measure and write it."""
    state, phase = record.state, course.recipe.phases[-1]
    classifier, trainer = course.prepare(phase)
    Tensors(classifier, trainer).write(record.arrays)  # whose seeds it begins with
    assign_weights(classifier, mean_weights(select_mean(record.arrays)))
    batches = course.batches(phase, first_epoch=state.epoch, epochs=state.epoch + 1)
    update_batch_norm(trainer, batches.as_numpy_iterator(), course.steps(phase))
    weights = {name: to_array(v) for name, v in name_weights(classifier.weights).items()}
    write_weights(record.checkpoint, "swa", state.epoch, weights)
    return {"weights": "swa", "epochs": state.averaged, **validation.measure(course.loss)}


def _measure_snapshots(course: Course, record: Record, validation: Judge) -> dict[str, Any]:
    members = _read_snapshots(record)
    measures = validation.measure_mean(members, course.loss)
    return {"weights": "snapshots", "epochs": len(members), **measures}


def _read_snapshots(record: Record) -> list[Arrays]:
    return [read_weights(record.checkpoint, "snapshot", k) for k in record.state.snapshots]


_TRAINED: WeakSet[Any] = WeakSet()  # networks and optimizers that have learnt in this process


@dataclass(frozen=True)
class Fitted:
    """What a run ends with.

    Attributes:
        model: To predict with, with the weights that are kept.
        history: One row an epoch: epoch (from 1), learning_rate (of its last step), loss (its mean
            over the augmented epoch), val_loss, val_auc, seconds; where phases differ, image_size
            and batch_size. Of a segmenter it has other measures.
        results: One row for each choice of weights: weights (`best` or `last`, `swa`,
            `snapshots`), epochs
            (how many are in them), val_loss, val_auc or other measures, kept.
    """

    model: keras.Model
    history: pd.DataFrame
    results: pd.DataFrame

    def summary(self, monitor: str) -> dict[str, Any]:
        """Return which epoch was the best by a number of the history, of how many; what is kept.

        Where nothing was held out no epoch is the best.
        """
        kept = self.results.query("kept").iloc[0]["weights"]
        best = {"best_epoch": best_epoch(self.history, monitor)} if monitor in self.history else {}
        return best | {"epochs": len(self.history), "weights": kept}


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
    tensorboard: bool = False,
    verbose: int = 2,
) -> Fitted:
    """Fit a classifier, or go on fitting it; see `Course` for what it is made of.

    Args:
        valid_paths: Shards to be measured on; `metadata` is theirs, n x M in file order. None: all
            is learnt from, nothing measured, and the recipe may choose nothing by it.
        folder: Gets `history.csv` and `checkpoint/`.
        callbacks: More of Keras'; their own state is not kept when a run is taken up again.
        on_epoch: Called with the history after every epoch, and when a run is taken up again.
        tensorboard: Whether the history is written to `tensorboard/` in the folder, too.
        verbose: 0 silent, 1 a bar, 2 a line an epoch.

    Raises:
        TrainingError: The loss is no longer a number; the last good checkpoint is kept.
        CheckpointError: The folder holds another run's checkpoint.
        ValueError: There is less than a batch to train on, nothing to monitor, a part lacks, or a
            run begins with a network or an optimizer that has learnt already.
    """
    course = Course(model, rows, sampling, recipe, loss, optimizer, schedule, remake)
    measures = MEASURES if valid_paths else ()
    record = Record(Path(folder), recipe, course.identity(), measures=measures)
    if tensorboard:
        on_epoch = _both(EventFiles(record.folder / FOLDER).write, on_epoch)
    with scope_of(model):
        validation: Judge = (
            _make_validation(course, valid_paths, metadata) if valid_paths else _unjudged(course)
        )
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


def _both(
    first: Callable[[pd.DataFrame], None], second: Callable[[pd.DataFrame], None] | None
) -> Callable[[pd.DataFrame], None]:
    def told(history: pd.DataFrame) -> None:
        first(history)
        if second is not None:
            second(history)

    return told


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


def _unjudged(course: Course) -> Unjudged:
    """Return what measures nothing, unless something is to be chosen by it.

    Raises:
        ValueError: It is.
    """
    recipe = course.recipe
    if recipe.keep == "best" or recipe.patience or isinstance(course.schedule, Plateau):
        raise ValueError(
            "nothing is held out, and the best epoch, a stop (patience) and a plateau's rate are "
            "chosen by what is: set keep last, swa or snapshots, patience 0, another schedule"
        )
    return Unjudged(course.model)


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
