"""The learning-rate finder: the range test of Smith 2017.

Too small a rate and the loss stays, too great a one and it bursts; the rate to train with lies
between. Nothing of the run is kept but its table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops

from melnb.models.keras_internals import rate_source
from melnb.models.optimization.curves import Schedule
from melnb.models.optimization.weight_averaging import holding
from melnb.tables.documents import read_as
from melnb.tables.files import replacing
from melnb.tables.schema import write_table

COLUMNS = ("step", "learning_rate", "loss", "smoothed")
SUGGESTIONS = ("valley", "steepest")
RATE_FILE = "learning_rate.json"
_SETTLED, _LEFT_OUT = 0.1, 5  # share of the first rows, and last rows, that suggestions pass by


@keras.saving.register_keras_serializable("melnb")
class Sweep(Schedule):
    """A rate that grows from the lowest to the highest by the same factor at every step."""

    def __init__(self, *, lowest: float, learning_rate: float, steps_per_epoch: int, **rest: Any):
        super().__init__(
            learning_rate=learning_rate, steps_per_epoch=steps_per_epoch, **{"epochs": 1, **rest}
        )
        self.lowest = float(lowest)
        if not 0 < self.lowest < self.learning_rate or self.steps < 2:
            raise ValueError(
                f"a sweep from {lowest} to {learning_rate} in {self.steps} steps: the lowest rate "
                "is to be above 0 and below the highest, and there must be 2 steps or more"
            )

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        done = ops.cast(step, "float32") / (self.steps - 1)
        return self.lowest * ops.exp(done * math.log(self.learning_rate / self.lowest))


@dataclass(frozen=True)
class Suggestion:
    """What a range test chose: the content of `learning_rate.json`."""

    learning_rate: float
    rule: str
    suggestions: dict[str, float]


def make_sweep(*, lowest: float = 1e-7, highest: float = 1.0, steps: int = 100) -> Sweep:
    """Make the schedule of a range test.

    Args:
        lowest: Rate of the first step.
        highest: Rate of the last.
        steps: Batches.

    Raises:
        ValueError: The rates are not in order, or there are fewer than 2 steps.
    """
    return Sweep(lowest=lowest, learning_rate=highest, steps_per_epoch=steps)


def range_test(
    trainer: keras.Model,
    batches: Iterable[Any],
    *,
    smoothing: float = 0.9,
    stop: float = 4.0,
    on_step: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Train for a few batches at growing rates, and put everything back.

    Args:
        trainer: Compiled with an optimizer whose schedule is a `Sweep`; any model that Keras can
            train on these batches.
        batches: Of training: what the trainer takes alone, or a tuple (x, y[, sample_weight]).
        smoothing: Share of the mean loss that stays at a step; the mean is corrected for having
            begun at nothing (Kingma & Ba 2015, section 3).
        stop: End where the smoothed loss exceeds so many times its least so far (fastai: 4).
        on_step: Called with the table so far after every step.

    Returns:
        One row a step: step (from 0), learning_rate, loss (of its batch), smoothed. It ends early
        where the loss bursts or is no longer a number; such a row is not in it.

    Raises:
        ValueError: The optimizer's schedule is no sweep, there are no batches, or the loss is no
            number from the first step on.
    """
    sweep = _sweep_of(trainer)
    if not trainer.optimizer.built:
        trainer.optimizer.build(trainer.trainable_variables)
    variables = [*trainer.variables, *trainer.optimizer.variables]
    rates = ops.convert_to_numpy(sweep(np.arange(sweep.steps)))
    rows: list[tuple[int, float, float, float]] = []
    mean = 0.0
    with holding(variables, [np.array(ops.convert_to_numpy(v)) for v in variables]):
        for step, batch in enumerate(islice(batches, sweep.steps)):
            loss = _train(trainer, batch)
            mean = smoothing * mean + (1 - smoothing) * loss
            smoothed = mean / (1 - smoothing ** (step + 1))
            if not math.isfinite(loss):
                break
            rows.append((step, float(rates[step]), loss, smoothed))
            if on_step is not None:
                on_step(_table(rows))
            if smoothed > stop * min(row[3] for row in rows):
                break
    if not rows:
        raise ValueError("the range test saw no batch, or its first loss is no number")
    return _table(rows)


def suggestions(table: pd.DataFrame) -> dict[str, float]:
    """Return the rates that a range test suggests, by rule.

    `valley`: in the middle of the longest fall of the smoothed loss, its longest decreasing
    subsequence (fastai, which takes it for as many rows as it is long). `steepest`: where the
    smoothed loss falls fastest by the logarithm of the rate, as a line through a tenth of the rows
    does. The first tenth, where the mean has not settled, and the last rows, where the loss
    bursts, are passed by (fastai).

    Raises:
        ValueError: There are too few rows to tell.
    """
    rows = table.iloc[int(len(table) * _SETTLED) : -_LEFT_OUT]
    if len(rows) < 3:
        raise ValueError(
            f"{len(table)} steps are too few for a range test to suggest a rate: raise steps, or "
            "lower the lowest rate"
        )
    rates, losses = rows["learning_rate"].to_numpy(), rows["smoothed"].to_numpy()
    return {
        "valley": float(rates[_valley(losses)]),
        "steepest": float(rates[_steepest(losses)]),
    }


def write_rate(folder: str | Path, table: pd.DataFrame, *, rule: str) -> dict[str, Any]:
    """Write the rate that a rule chooses, where `read_rate` finds it, and the table beside it.

    Args:
        folder: Of the run; gets `learning_rate.json` and `range_test.csv`.
        table: Of `range_test`.
        rule: One of `SUGGESTIONS`.

    Returns:
        What was written: learning_rate, rule, and every suggestion.

    Raises:
        ValueError: The rule is unknown, or there are too few rows.
    """
    rates = suggestions(table)
    if rule not in rates:
        raise ValueError(f"rule is {rule!r}; use one of {list(rates)}")
    chosen = asdict(Suggestion(rates[rule], rule, rates))
    write_table(table, Path(folder) / "range_test.csv")
    with replacing(Path(folder) / RATE_FILE) as path:
        path.write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")
    return chosen


def read_rate(folder: str | Path) -> float:
    """Return the rate that a range test chose.

    Raises:
        FileNotFoundError: There is none in that folder.
        DamagedError: It is not what a range test wrote.
    """
    path = Path(folder) / RATE_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no {RATE_FILE} in {path.parent}: run 03b_find_lr first")
    return read_as(path, Suggestion, "run 03b_find_lr again").learning_rate


def _sweep_of(trainer: keras.Model) -> Sweep:
    schedule = rate_source(getattr(trainer, "optimizer", None))
    if not isinstance(schedule, Sweep):
        raise ValueError(
            f"the range test needs a compiled model whose rate follows make_sweep, not {schedule!r}"
        )
    return schedule


def _train(trainer: keras.Model, batch: Any) -> float:
    arrays = keras.tree.map_structure(np.asarray, batch)
    x = arrays if isinstance(arrays, tuple) else (arrays,)
    trainer.reset_metrics()  # before 3.15 Keras goes on with the mean of all batches so far
    return float(trainer.train_on_batch(*x, return_dict=True)["loss"])


def _table(rows: list[tuple[int, float, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _valley(losses: np.ndarray) -> int:
    """Return the row halfway between the ends of the longest decreasing subsequence."""
    lengths, begins = np.ones(len(losses), int), np.arange(len(losses))
    for k in range(1, len(losses)):
        above = np.flatnonzero(losses[:k] > losses[k])
        if len(above):
            before = above[lengths[above].argmax()]
            lengths[k], begins[k] = lengths[before] + 1, begins[before]
    end = int(lengths.argmax())
    return int(begins[end] + end) // 2


def _steepest(losses: np.ndarray) -> int:
    """Return the row in the middle of the window whose line of least squares falls fastest.

    The rates are evenly spaced by their logarithm, so the row's number stands for it; from one row
    to the next the greatest fall is a single batch's chance.
    """
    half = 1 + len(losses) // 20
    slopes = np.correlate(losses, np.arange(-half, half + 1), mode="valid")
    return half + int(slopes.argmin())
