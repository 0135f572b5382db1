"""Finishing: what a run ends with once its last epoch is over."""

from __future__ import annotations

from typing import Any

import keras

from melnb.models.optimization.averages import update_batch_norm
from melnb.models.optimization.blocks import freeze
from melnb.models.training.course import Course
from melnb.models.training.snapshots import make_ensemble
from melnb.models.training.state.checkpoints import read_weights, write_weights
from melnb.models.training.state.record import Record
from melnb.models.training.state.tensors import (
    Arrays,
    Tensors,
    assign_weights,
    mean_weights,
    name_weights,
    select_mean,
    to_array,
)
from melnb.models.training.validation import Judge


def finish(course: Course, record: Record, validation: Judge) -> keras.Model:
    """Measure every choice of weights, and return the model with those that are kept.

    What it costs to find them is spent once: a later call reads them back. Where the run stopped
    before the weights that the recipe keeps came to be, those of the best epoch are kept.
    """
    state = record.state
    if not state.done:
        found = [_measure_best(record)]
        if state.averaged:
            found.append(_measure_mean(course, record, validation))
        if state.snapshots:
            found.append(_measure_snapshots(course, record, validation))
        wanted = course.recipe.keep in {row["weights"] for row in found}
        keep = course.recipe.keep if wanted else "best"
        state.results = [{**row, "kept": row["weights"] == keep} for row in found]
        state.done = True
        record.write()
    if any(phase.frozen for phase in course.recipe.phases):
        freeze(course.model, 0)
    keep = next(row["weights"] for row in state.results if row["kept"])
    if keep == "snapshots":
        return make_ensemble(course.model, _read_snapshots(record))
    epoch = state.epoch if keep == "swa" else state.best_epoch
    assign_weights(course.model, read_weights(record.checkpoint, keep, epoch))
    return course.model


def _measure_best(record: Record) -> dict[str, Any]:
    row = record.state.rows[record.state.best_epoch - 1]
    found = {name: row[name] for name in record.measures}
    return {"weights": "best", "epochs": 1, **found}


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
    found = validation.measure_mean(members, course.loss)
    return {"weights": "snapshots", "epochs": len(members), **found}


def _read_snapshots(record: Record) -> list[Arrays]:
    return [read_weights(record.checkpoint, "snapshot", k) for k in record.state.snapshots]
