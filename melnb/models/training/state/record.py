"""The record of a run: its history, where it stands, and what of it is on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from melnb.models.training.recipe import Recipe
from melnb.models.training.state.checkpoints import (
    CheckpointError,
    State,
    UnreadableError,
    read_state,
    write_state,
    write_weights,
)
from melnb.models.training.state.tensors import Arrays
from melnb.tables import write_table

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

        Args:
            row: Of the history.
            arrays: All tensors, to go on with.
            judged: The weights that were measured.
            snapshot: Whether these are to be kept for an ensemble.
        """
        state, value = self.state, row[self.recipe.monitor]
        state.epoch = int(row["epoch"])
        state.rows.append(dict(row))
        better = value < state.best if self.recipe.monitor == "val_loss" else value > state.best
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
