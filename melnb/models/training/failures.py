"""Failures: which images were in the batch at which a loss ceased to be a number.

Steps pay nothing for it: batches are a function of (seed, epoch, position), so the batch is made
again once it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from melnb.data.epochs.rows import Rows

_SHOWN = 40
_BROUGHT = (
    ("image", "pixels"), ("truth", "truth"), ("mask", "mask"), ("metadata", "metadata"),
)  # fmt: skip


class TrainingError(RuntimeError):
    """Training cannot go on; the message says since when and what to do.

    Attributes:
        image_ids: Of the batch at which it failed.
    """

    image_ids: tuple[str, ...] = ()


def explain_failure(
    batches: Any, rows: Rows, *, loss: float, epoch: int, step: int, steps: int, kept: int
) -> TrainingError:
    """Return the error of a loss that is no number.

    Args:
        batches: The very batches of the epoch, anew (`train_batches` from that epoch on).
        rows: What they are made of.
        loss: NaN or infinity.
        epoch: From 1.
        step: From 1.
        steps: In an epoch.
        kept: The last epoch with a checkpoint, from 1; 0: none.
    """
    batch = next(islice(batches.as_numpy_iterator(), step - 1, None))
    ids = [str(name) for name in rows.image_id[batch["row"]]]
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    error = TrainingError(
        f"the loss is {loss} at epoch {epoch}, step {step} of {steps}: {_advise(batch, ids)}\n"
        f"Images of this batch: {', '.join(ids[:_SHOWN])}{more}.\n"
        + (f"The checkpoint of epoch {kept} is kept." if kept else "There is no checkpoint yet.")
    )
    error.image_ids = tuple(ids)
    return error


def _advise(batch: Mapping[str, np.ndarray], ids: list[str]) -> str:
    """Name an image that brings no numbers with it; if all do, it is the rate or the precision."""
    for name, words in _BROUGHT:
        values = batch.get(name, np.zeros((len(ids), 1)))
        broken = ~np.isfinite(values.reshape(len(ids), -1)).all(axis=1)
        if broken.any():
            first = ids[int(broken.argmax())]
            return f"the {words} of {first} ({broken.sum()} images) hold NaN or infinity: mend it"
    return "lower learning_rate, give clip_norm, or set precision to float32"
