"""Checkpoints: everything a run needs to go on to the bit, and the weights that are kept.

A folder holds `state.npz`, the last finished epoch whole, and the weights that this state names:
`best-<epoch>.npz`, `snapshot-<epoch>.npz`, `swa-<epoch>.npz`. Each is written under a temporary
name, flushed and renamed, the state last; so whenever the process is killed, the folder holds one
complete state and the weights it names. Plain NumPy arrays: written and read alike on every
backend, replica and precision.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.models.training.recipe import Recipe
from melnb.models.training.state import Arrays
from melnb.tables.documents import shaped
from melnb.tables.files import replacing
from melnb.tables.schema import write_table

# The record of a run: its history, where it stands, and what of it is on the disk.

MEASURES = ("val_loss", "val_auc")  # of a classifier
COLUMNS = ("epoch", "learning_rate", "loss", *MEASURES, "seconds")
PHASE_COLUMNS = ("image_size", "batch_size")  # where they change
CHECKPOINT = "checkpoint"


class Record:
    """What is known of a run after its last epoch, in memory and in its folder.

    Args:
        folder: Gets `history.csv` and `checkpoint/`.
        recipe: Of the run.
        run: What makes it this run and no other; plain values.
        measures: Names of what is measured after every epoch, as its history has them.

    Attributes:
        state: Where the run stands.
        arrays: Its tensors as they then were; none before the first epoch.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        run: Mapping[str, Any],
        *,
        measures: Sequence[str] = MEASURES,
    ) -> None:
        self.folder, self.checkpoint = folder, folder / CHECKPOINT
        self.recipe, self.run, self.measures = recipe, run, tuple(measures)
        self.state = State()
        self.arrays: Arrays = {}

    @property
    def history(self) -> pd.DataFrame:
        """Return one row an epoch."""
        kinds = {(phase.image_size, phase.batch_size) for phase in self.recipe.phases}
        named = ["epoch", "learning_rate", "loss", *self.measures, "seconds"]
        columns = [*named, *(PHASE_COLUMNS if len(kinds) > 1 else ())]
        return pd.DataFrame(self.state.rows, columns=columns).astype({"epoch": int})

    def resume(self, verbose: int) -> None:
        """Read where the run stood, if it has begun."""
        try:
            self.state, self.arrays = read_state(self.checkpoint, self.run)
        except UnreadableError as error:  # what it held is lost, and no reason to stop
            print(f"damaged, and begun anew: {error}")
        if self.state.epoch:
            write_table(self.history, self.folder / "history.csv")
            if verbose:
                epochs = self.recipe.epochs
                print(f"{self.state.epoch} of {epochs} epochs are done: going on from there")

    def keep(
        self, row: Mapping[str, float], arrays: Arrays, judged: Arrays, *, snapshot: bool = False
    ) -> None:
        """Keep a finished epoch.

        The best epoch is the last one where that is asked for, or nothing is measured.

        Args:
            row: Of the history.
            arrays: All tensors, to go on with.
            judged: The weights that were measured.
            snapshot: Whether these are to be kept for an ensemble.
        """
        state, value = self.state, row.get(self.recipe.monitor, math.nan)
        state.epoch = int(row["epoch"])
        state.rows.append(dict(row))
        better = value < state.best if self.recipe.monitor == "val_loss" else value > state.best
        better |= self.recipe.keep == "last" or not self.measures
        if not state.best_epoch or better:
            state.best, state.best_epoch = value, state.epoch
            write_weights(self.checkpoint, "best", state.epoch, judged)
        if snapshot:
            write_weights(self.checkpoint, "snapshot", state.epoch, judged)
            state.snapshots.append(state.epoch)
        waited = state.epoch - state.best_epoch
        state.trained = state.epoch == self.recipe.epochs or 0 < self.recipe.patience <= waited
        self.arrays = arrays
        self.write()
        write_table(self.history, self.folder / "history.csv")

    def write(self) -> None:
        """Write where the run stands."""
        write_state(self.checkpoint, self.state, self.run, self.arrays)

    def refuse(self, error: ValueError) -> CheckpointError:
        """Say that what was read does not fit."""
        return CheckpointError(
            f"{self.checkpoint} holds {error}; give this run another folder, or delete that one"
        )


STATE = "state.npz"
_KINDS = ("best", "snapshot", "swa")


class CheckpointError(RuntimeError):
    """A checkpoint belongs to another run, or cannot be read; the message says what to do."""


class UnreadableError(CheckpointError):
    """A checkpoint is damaged: there is nothing in it to go on from."""


@dataclass
class State:
    """Where a run stands after an epoch, apart from its tensors.

    Attributes:
        epoch: Finished epochs.
        best_epoch: The one whose weights are kept, from 1; 0 before the first.
        best: Its value of the monitored number.
        trained: Whether there is no epoch left to train.
        done: Whether there is nothing left to do at all.
        averaged: Epochs in the mean of stochastic weight averaging.
        snapshots: Epochs whose weights are kept for an ensemble, from 1.
        rows: The history, one row an epoch.
        results: What the run could end with, one row for each choice of weights.
    """

    epoch: int = 0
    best_epoch: int = 0
    best: float = float("nan")
    trained: bool = False
    done: bool = False
    averaged: int = 0
    snapshots: list[int] = field(default_factory=list)
    rows: list[dict[str, int | float]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def files(self) -> set[str]:
        """Return the names of the weights that count."""
        names = {f"best-{self.best_epoch}.npz", *(f"snapshot-{k}.npz" for k in self.snapshots)}
        return names | {f"swa-{self.epoch}.npz"} if self.averaged else names


def write_state(
    folder: Path, state: State, run: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Path:
    """Write the state of a run, then remove weights that it does not name.

    Of a run that is done the arrays are not kept: nothing is to go on, and they are large.

    Args:
        folder: Of the checkpoint.
        state: Where the run stands.
        run: What makes it this run and no other; plain values.
        arrays: All its tensors, by name.
    """
    note = json.dumps({"state": vars(state), "run": dict(run)})
    path = _write(folder / STATE, {} if state.done else arrays, note)
    for kind in _KINDS:
        for left in folder.glob(f"{kind}-*.npz"):
            if left.name not in state.files:
                left.unlink()
    return path


def read_state(folder: Path, run: Mapping[str, Any]) -> tuple[State, Arrays]:
    """Read where a run stands and its tensors; a fresh State and none if it has not begun.

    Raises:
        CheckpointError: The checkpoint is another run's.
        UnreadableError: It is damaged, or weights that it names are.
    """
    path = folder / STATE
    if not path.exists():
        return State(), {}
    note, arrays = _read(path)
    try:
        kept = json.loads(note)
        state = shaped(kept["state"], State, path, "train anew")
        before = dict(kept["run"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableError(_unreadable(path, error)) from None
    now = json.loads(json.dumps(dict(run)))
    for key in sorted(now.keys() | before.keys()):
        if now.get(key) != before.get(key):
            raise CheckpointError(
                f"{path} was written with {key} {before.get(key)!r}, not {now.get(key)!r}: "
                "give this run another folder, or delete that one"
            )
    for kind, epoch in (("best", state.best_epoch), *(("snapshot", k) for k in state.snapshots)):
        read_weights(folder, kind, epoch)
    return state, arrays


def write_weights(folder: Path, kind: str, epoch: int, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write weights that are to be kept; `write_state` makes them count.

    Args:
        folder: Of the checkpoint.
        kind: `best`, `snapshot` or `swa`.
        epoch: From 1.
        arrays: By name.
    """
    return _write(folder / f"{kind}-{epoch}.npz", arrays, "")


def read_weights(folder: Path, kind: str, epoch: int) -> Arrays:
    """Read weights that were kept.

    Raises:
        UnreadableError: They cannot be read.
    """
    return _read(folder / f"{kind}-{epoch}.npz")[1]


def _write(path: Path, arrays: Mapping[str, Any], note: str) -> Path:
    with replacing(path, lasting=True) as temporary, temporary.open("wb") as file:
        np.savez(file, note=np.array(note), **arrays)
    return path


def _check_size(path: Path) -> None:
    """Refuse a file that unpacks to far more than it is: ours are not compressed."""
    with zipfile.ZipFile(path) as parts:
        size = sum(part.file_size for part in parts.infolist())
    if size > path.stat().st_size:
        raise ValueError(f"it would unpack to {size:,} bytes")


def _read(path: Path) -> tuple[str, Arrays]:
    try:
        _check_size(path)
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key != "note"}
            return str(file["note"]), arrays
    except Exception as error:  # of zip, of zlib, of NumPy: what a damaged file has them raise
        raise UnreadableError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path} cannot be read ({error}): delete its folder and train anew"
