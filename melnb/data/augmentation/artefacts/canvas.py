"""Canvas: where a picture's pixels lie, and how paint covers them.

Lengths are shares of the picture's shorter side and places lie about its middle, so that what is
drawn looks the same at every size. A number of one image is a batch of them; beside pixels it
stands as batch x 1 x 1 (`column`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from melnb.data.augmentation.draws import spread


def side(images: Any) -> int:
    """Return the shorter side of images, pixels."""
    return int(min(images.shape[1:3]))


def reach(images: Any) -> tuple[float, float]:
    """Return width and height as shares of the shorter side."""
    return images.shape[2] / side(images), images.shape[1] / side(images)


def places(images: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return x (1 x 1 x width) and y (1 x height x 1) of the pixels."""
    x, y = (
        ((np.arange(n) - (n - 1) / 2) / side(images)).astype("float32")
        for n in (images.shape[2], images.shape[1])
    )
    return x[None, None, :], y[None, :, None]


def column(values: Any) -> Any:
    """Stand one number an image beside its pixels: batch x 1 x 1."""
    return ops.reshape(values, (-1, 1, 1))


def between(low: Any, high: Any, share: Any) -> Any:
    """Return the number a share of the way from low to high."""
    return low + (high - low) * share


def turned(images: Any, angle: Any, middle: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return how far pixels lie along and across a direction through a middle.

    Args:
        images: For their size.
        angle: Radians from x towards y, one an image.
        middle: x and y, one each an image.

    Returns:
        Along and across, batch x height x width.
    """
    x, y = places(images)
    cos, sin = column(ops.cos(angle)), column(ops.sin(angle))
    left, top = (column(value) for value in middle)
    along = cos * (x - left) + sin * (y - top)
    return along, cos * (y - top) - sin * (x - left)


def clouds(images: Any, draw: Any, cells: int, salt: int) -> Any:
    """Make smooth unevenness: batch x height x width, 0-1, of cells x cells numbers an image.

    Two products with matrices of bilinear weights, which every compiler has.
    """
    down, right = (_weights(length, cells) for length in images.shape[1:3])
    return ops.matmul(ops.matmul(down, spread(draw, (cells, cells), salt)), right.T)


def cover(images: Any, amount: Any, colour: Any) -> Any:
    """Paint a colour (batch x 3) over images by an amount (batch x height x width, 0-1)."""
    return images + amount[..., None] * (ops.reshape(colour, (-1, 1, 1, 3)) - images)


def happens(draw: Any, probability: float) -> Any:
    """Return 1 for that share of the draws, else 0: batch x 1 x 1."""
    return column(ops.cast(draw < probability, "float32"))


def angle_of(share: Any) -> Any:
    """Return a direction, radians: a share of the circle."""
    return 2 * math.pi * share


def _weights(length: int, cells: int) -> np.ndarray:
    place = np.linspace(0, cells - 1, length)[:, None]
    return np.asarray(np.clip(1 - np.abs(place - np.arange(cells)), 0, 1), "float32")
