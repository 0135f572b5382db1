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
from scipy.special import ndtri

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


def per_image(values: Any) -> Any:
    """Stand one number an image beside its pixels: batch x 1 x 1 x 1."""
    return ops.reshape(values, (-1, 1, 1, 1))


def spread(draw: Any, shape: tuple[int, ...], salt: int = 0) -> Any:
    """Make many uniform numbers of one draw an image.

    Args:
        draw: batch uniform draws in [0, 1).
        shape: Of the numbers of one image; at most 262,144 of them are different.
        salt: For another set of numbers from the same draw.

    Returns:
        batch x shape, float32, in [0, 1).
    """
    return _look_up(_uniform(), draw, shape, salt)


def spread_normal(draw: Any, shape: tuple[int, ...], salt: int = 0) -> Any:
    """Make many numbers of the standard normal distribution of one draw an image: see `spread`."""
    return _look_up(_normal(), draw, shape, salt)


def _look_up(table: np.ndarray, draw: Any, shape: tuple[int, ...], salt: int) -> Any:
    first = ops.mod(ops.cast(ops.floor(draw * _SIZE), "int32") + salt * _STRIDE, _SIZE)
    place = np.arange(math.prod(shape), dtype="int32") % _SIZE
    return ops.reshape(ops.take(table, ops.reshape(first, (-1, 1)) + place, axis=0), (-1, *shape))


@cache
def _uniform() -> np.ndarray:
    """Return the table twice over, so that no place in it has to be brought back."""
    return np.tile(np.random.default_rng(20_201_117).random(_SIZE, dtype="float32"), 2)


@cache
def _normal() -> np.ndarray:
    half = 0.5**25  # half a step of the uniform numbers: 0 has no quantile
    return np.asarray(ndtri(_uniform().astype("float64") + half), "float32")
