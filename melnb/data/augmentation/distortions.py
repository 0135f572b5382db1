"""Distortions: how far a bent grid and an elastic sheet carry each pixel.

Both are displacements of the map of coordinates that `geometry` resamples by, made of products with
small matrices of weights. `keras.ops.image.elastic_transform` draws its own field, the same
for all images of a batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from melnb.data.augmentation.draws import spread

_CELLS = 5  # of a bent grid, on a side
_KNOTS = 8  # of an elastic sheet, on a side


def bend(x: Any, y: Any, draw: Any, share: float) -> tuple[Any, Any]:
    """Widen and narrow the columns and rows of a grid by up to a share; the edges stay.

    Args:
        x: From the centre, pixels, 1 x 1 x width.
        y: From the centre, pixels, 1 x height x 1.
        draw: One uniform draw an image.
        share: Below 1, so that every cell keeps some width.

    Returns:
        x and y where each pixel comes from, batch x 1 x width and batch x height x 1.
    """
    sizes = 1 + share * (2 * spread(draw, (2, _CELLS)) - 1)
    ends = ops.cumsum(sizes, axis=-1) / ops.sum(sizes, axis=-1, keepdims=True)
    moved = ops.pad(ends, ((0, 0), (0, 0), (1, 0))) - np.linspace(0, 1, _CELLS + 1, dtype="float32")
    across, along = (
        ops.matmul(moved[:, axis], _hats(length).T) * length
        for axis, length in enumerate((x.size, y.size))
    )
    return x + across[:, None, :], y + along[:, :, None]


def _hats(length: int) -> np.ndarray:
    """Return the weights, length x knots, of linear interpolation between the ends of cells."""
    place = (np.arange(length) + 0.5) / length * _CELLS
    weights = np.clip(1 - np.abs(place[:, None] - np.arange(_CELLS + 1)), 0, 1)
    return np.asarray(weights, "float32")


def stretch(x: Any, y: Any, draw: Any, share: float) -> tuple[Any, Any]:
    """Displace pixels by a smooth random field of at most a share of the sides.

    As Simard et al. 2003, but smoothed by cubic B-splines (Rueckert et al. 1999, eq. 1) rather than
    by a wide Gaussian: two small products of matrices. Their weights are no less than 0 and sum to
    1, so the field keeps to its bound; below 0.48 of a cell, here 0.096 of the side, nothing folds
    (Choi and Lee 2000).

    Args:
        x: From the centre, pixels, 1 or batch x 1 x width.
        y: From the centre, pixels, 1 or batch x height x 1.
        draw: One uniform draw an image.
        share: Of the sides.

    Returns:
        x and y where each pixel comes from, batch x height x width.
    """
    height, width = y.shape[1], x.shape[2]
    pulls = share * (2 * spread(draw, (2, _KNOTS, _KNOTS)) - 1)
    field = ops.matmul(ops.matmul(_splines(height), pulls), _splines(width).T)
    return x + field[:, 0] * width, y + field[:, 1] * height


def _splines(length: int) -> np.ndarray:
    """Return the weights, length x knots, of uniform cubic B-splines."""
    place = (np.arange(length) + 0.5) / length * (_KNOTS - 3)
    cell = np.floor(place).astype(int)
    t = place - cell
    pieces = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    weights = np.zeros((length, _KNOTS), "float32")
    for k, piece in enumerate(pieces):
        weights[np.arange(length), cell + k] = piece / 6
    return weights
