"""Rows in batches of one size, so that what is compiled is compiled once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def batches_of(tensors: Sequence[np.ndarray], batch_size: int) -> Iterator[list[np.ndarray]]:
    """Yield rows in batches of one size; the last is filled up with copies of its last row."""
    rows = len(tensors[0])
    batch_size = min(batch_size, rows) or 1
    for start in range(0, rows, batch_size):
        places = np.minimum(np.arange(start, start + batch_size), rows - 1)
        yield [tensor[places] for tensor in tensors]


def run_rows(model: keras.Model, tensors: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
    """Return a model's outputs for all rows, float32."""
    parts = [to_array(model.predict_on_batch(batch)) for batch in batches_of(tensors, batch_size)]
    return np.asarray(np.concatenate(parts)[: len(tensors[0])])


def one_hot(classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return n x n_classes float32, 1 in the column of each row's class.

    Raises:
        ValueError: A class is out of bounds.
    """
    if len(classes) and not 0 <= classes.min() <= classes.max() < n_classes:
        raise ValueError(
            f"classes go from {classes.min()} to {classes.max()}, but there are {n_classes} "
            "columns: use the class's place, from 0"
        )
    return np.asarray(np.eye(n_classes, dtype="float32")[classes])


def to_array(tensor: Any) -> np.ndarray:
    """Return a tensor as float32, whatever the precision it was computed in."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))
