"""Checkpoints: everything a run needs to go on to the bit, and the weights of its best epoch.

A folder holds `state.npz`, the last finished epoch whole, and `best-<epoch>.npz`, the weights that
this state names as its best. Each is written under a temporary name, flushed and renamed, the state
last; so whenever the process is killed, the folder holds one complete state and its best weights.
Plain NumPy arrays: written and read alike on every backend, replica and precision.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

STATE = "state.npz"


class CheckpointError(RuntimeError):
    """A checkpoint belongs to another run, or cannot be read; the message says what to do."""


@dataclass
class State:
    """Where a run stands after an epoch, apart from its tensors.

    Attributes:
        epoch: Finished epochs.
        best_epoch: The one whose weights are kept, from 1; 0 before the first.
        best: Its value of the monitored number.
        done: Whether there is nothing left to train.
        rows: The history, one row an epoch.
    """

    epoch: int = 0
    best_epoch: int = 0
    best: float = float("nan")
    done: bool = False
    rows: list[dict[str, float]] = field(default_factory=list)


def write_state(
    folder: Path, state: State, run: Mapping[str, Any], variables: Sequence[Any]
) -> Path:
    """Write the state of a run, then remove best weights that it does not name.

    Of a run that is done the variables are not kept: nothing is to go on, and they are large.

    Args:
        folder: Of the checkpoint.
        state: Where the run stands.
        run: What makes it this run and no other; plain values.
        variables: Of model and optimizer, in a fixed order.
    """
    note = json.dumps({"state": vars(state), "run": dict(run)})
    path = _write(folder / STATE, [] if state.done else variables, note)
    for left in folder.glob("best-*.npz"):
        if left != _best(folder, state.best_epoch):
            left.unlink()
    return path


def read_state(folder: Path, run: Mapping[str, Any], variables: Sequence[Any]) -> State:
    """Read where a run stands, and put its variables back; a fresh State if there is none.

    Raises:
        CheckpointError: The checkpoint is another run's, or not readable.
    """
    path = folder / STATE
    if not path.exists():
        return State()
    note, arrays = _read(path)
    kept = json.loads(note)
    now = json.loads(json.dumps(dict(run)))
    for key in sorted(now.keys() | kept["run"].keys()):
        if now.get(key) != kept["run"].get(key):
            raise CheckpointError(
                f"{path} was written with {key} {kept['run'].get(key)!r}, not {now.get(key)!r}: "
                "give this run another folder, or delete that one"
            )
    state = State(**kept["state"])
    if not state.done:
        _assign(path, variables, arrays)
    return state


def write_best(folder: Path, epoch: int, variables: Sequence[Any]) -> Path:
    """Write the weights of an epoch that is the best so far; `write_state` makes them count."""
    return _write(_best(folder, epoch), variables, "")


def read_best(folder: Path, epoch: int, variables: Sequence[Any]) -> None:
    """Put the weights of the best epoch into the model's variables.

    Raises:
        CheckpointError: They do not fit or cannot be read.
    """
    _assign(_best(folder, epoch), variables, _read(_best(folder, epoch))[1])


def to_array(variable: Any) -> np.ndarray:
    """Copy the value of a Keras variable (`np.array` of a scalar one warns)."""
    return np.asarray(variable).copy()


def _best(folder: Path, epoch: int) -> Path:
    return folder / f"best-{epoch}.npz"


def _write(path: Path, variables: Sequence[Any], note: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    arrays: dict[str, Any] = {
        f"v{k:05d}": to_array(variable) for k, variable in enumerate(variables)
    }
    with temporary.open("wb") as file:
        np.savez(file, note=np.array(note), **arrays)
        file.flush()
        os.fsync(file.fileno())
    return temporary.replace(path)


def _read(path: Path) -> tuple[str, list[np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(file["note"]), [file[key] for key in sorted(file.files) if key != "note"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): delete its folder and train anew"
        ) from error


def _assign(path: Path, variables: Sequence[Any], arrays: Sequence[np.ndarray]) -> None:
    ours = [tuple(v.shape) for v in variables]
    theirs = [a.shape for a in arrays]
    if ours != theirs:
        differ = [k for k, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]
        raise CheckpointError(
            f"{path} holds {len(theirs)} arrays for {len(ours)} variables"
            + (
                f", the first that differ {theirs[differ[0]]} and {ours[differ[0]]}"
                if differ
                else ""
            )
            + ": it was written by another model; give this run another folder, or delete that one"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
