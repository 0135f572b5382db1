"""Draws: where every random number of an augmentation comes from.

An image has one uniform draw for each name here. Where an operation needs more of them (each pixel
of a noise, each strand of a hair) it spreads its one draw over a fixed table, so that they too are
a function of (seed, epoch, position) alone, and the same on every backend and device.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from keras import ops

NAMES = (
    "flip_x", "flip_y", "rotation", "shear", "zoom", "shift_x", "shift_y",
    "brightness", "contrast", "saturation", "hue", "cut_x", "cut_y",
    "transpose", "grid", "elastic", "blur", "noise", "clahe", "jpeg", "constancy",
    "hairs", "microscope", "ruler", "ink", "bubbles", "policy", "mix", "partner",
)  # fmt: skip
DRAWS = len(NAMES)  # uniform draws for one image, each in [0, 1)
_SIZE = 1 << 18
_STRIDE = 10_007  # between two salts of one draw; prime


def draw_of(draws: Any, name: str) -> Any:
    """Return the draw of that name of each image: batch numbers of batch x DRAWS."""
    return draws[:, NAMES.index(name)]


def spread(draw: Any, shape: tuple[int, ...], salt: int = 0) -> Any:
    """Make many uniform numbers of one draw an image.

    Args:
        draw: batch uniform draws in [0, 1).
        shape: Of the numbers of one image; at most 262,144 of them are different.
        salt: For another set of numbers from the same draw.

    Returns:
        batch x shape, float32, in [0, 1).
    """
    first = ops.cast(ops.floor(draw * _SIZE), "int32") + salt * _STRIDE
    place = np.arange(math.prod(shape), dtype="int32") % _SIZE
    index = ops.mod(ops.reshape(first, (-1, 1)) + place, _SIZE)
    return ops.reshape(ops.take(_table(), index, axis=0), (-1, *shape))


@cache
def _table() -> np.ndarray:
    return np.random.default_rng(20_201_117).random(_SIZE, dtype="float32")
