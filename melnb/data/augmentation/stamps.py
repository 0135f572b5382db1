"""Stamps: artefacts that training draws on no picture, and that networks learnt all the same.

Coloured patches, the edge of the gel, and digits, for tests of what a network hangs on
(`corruptions`). Written as the augmentation's own `artefacts` are, from one draw an
image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from melnb.data.augmentation.artefacts import (
    angle_of,
    beside,
    between,
    clouds,
    column,
    cover,
    coverage,
    happens,
    places,
    reach,
    side,
)
from melnb.data.augmentation.draws import spread
from melnb.data.augmentation.geometry import pick

# Colours of children's plasters and of charts for calibration, 0-255, in sets of dermoscopy.
_PATCHES = np.array(
    [[244, 208, 63], [230, 126, 34], [203, 67, 53], [88, 172, 84], [52, 118, 190], [136, 78, 160]],
    "float32",
)


def patch(images: Any, draw: Any, probability: float, radius: float = 0.14) -> Any:
    """Lay a round coloured plaster on the skin, which the picture's side cuts.

    Such patches lie beside naevi alone in ISIC, and networks learn them: Rieger et al. 2020,
    International Conference on Machine Learning 119:8116; Nauta et al. 2022, Diagnostics 12:40.

    Args and returns: as `microscope`; the radius is a share of the shorter side.
    """
    if not probability:
        return images
    of_all = spread(draw, (5,), salt=1)
    (width, height), (x, y) = reach(images), places(images)
    angle = angle_of(of_all[:, 0])
    # As far out as the side lies in that direction.
    out = ops.maximum(ops.abs(ops.cos(angle)) / width, ops.abs(ops.sin(angle)) / height)
    away = 0.5 / out - radius * between(0.0, 0.5, of_all[:, 1])
    left, top = (column(turn(angle) * away) for turn in (ops.cos, ops.sin))
    amount = coverage(
        side(images) * (radius - ops.sqrt(ops.square(x - left) + ops.square(y - top)))
    )
    number = ops.floor(of_all[:, 2:3] * len(_PATCHES))
    chosen = ops.equal(number, np.arange(len(_PATCHES), dtype="float32"))
    colour = ops.matmul(ops.cast(chosen, "float32"), _PATCHES) * between(0.8, 1.0, of_all[:, 3:4])
    weave = 0.9 + 0.1 * clouds(images, draw, 60, salt=2)
    return cover(images, amount * weave * happens(draw, probability), colour)


def gel(images: Any, draw: Any, probability: float) -> Any:
    """Draw the edge of the gel: beyond it the skin is dry and pale, and on it lies a glare.

    Args and returns: as `microscope`.
    """
    if not probability:
        return images
    of_all = spread(draw, (7,), salt=1)
    _, across = beside(images, of_all)
    across = across + 0.16 * (clouds(images, draw, 5, salt=2) - 0.5)  # no edge of gel is straight
    soft = column(ops.maximum(between(0.006, 0.02, of_all[:, 4]), 1 / side(images)))
    dry = ops.clip(across / soft + 0.5, 0.0, 1.0) * column(between(0.15, 0.4, of_all[:, 5]))
    glare = ops.clip(1 - ops.abs(across) / (1.5 * soft), 0.0, 1.0)
    shade = ops.clip(1 - ops.abs(across + 2.5 * soft) / (1.5 * soft), 0.0, 1.0)
    chosen = happens(draw, probability)
    images = images * (1 - 0.3 * chosen * shade)[..., None]
    pale = ops.maximum(dry, column(between(0.5, 0.9, of_all[:, 6])) * glare)
    return cover(images, chosen * pale, ops.ones_like(images[:, 0, 0]) * 245.0)


# The digits 0 to 9, five rows of three pixels each, a bit a pixel from the first on.
_DIGITS = (
    0x7B6F, 0x2C97, 0x73E7, 0x73CF, 0x5BC9, 0x79CF, 0x79EF, 0x7249, 0x7BEF, 0x7BCF,
)  # fmt: skip
_GLYPHS = np.array([[(d >> (14 - k)) & 1 for k in range(15)] for d in _DIGITS], "float32")
_LETTERS = 6  # of a stamp


def characters(images: Any, draw: Any, probability: float, height: float = 0.06) -> Any:
    """Stamp a number of six digits near a side, as cameras stamp dates and charts have scales.

    Args and returns: as `microscope`; the height of a digit is a share of the shorter side.
    """
    if not probability:
        return images
    of_all, digits = spread(draw, (4,), salt=1), spread(draw, (_LETTERS, 1), salt=2)
    chosen = ops.equal(ops.floor(digits * 10), np.arange(10, dtype="float32"))
    glyphs = ops.reshape(ops.matmul(ops.cast(chosen, "float32"), _GLYPHS), (-1, _LETTERS * 15, 1))
    (width, tall), (x, y), cell = reach(images), places(images), height / 5
    room = width - 4 * _LETTERS * cell  # beside the number; below 0 it is cut
    left = column(-width / 2 + room * between(0.03, 0.97, of_all[:, 0]))
    above = between(0.02, 0.08, of_all[:, 1])
    top = ops.where(of_all[:, 2] < 0.5, above - tall / 2, tall / 2 - above - height)
    across, down = (x - left) / cell, (y - column(top)) / cell
    # A dot may be finer than a pixel: each is looked at in nine places, lest it be missed.
    steps = [k / (3 * side(images) * cell) for k in (-1, 0, 1)]
    dots = [_dots(glyphs, across + right, down + below) for right in steps for below in steps]
    amount = sum(dots) / len(dots) * happens(draw, probability)
    tone = ops.where(of_all[:, 3:4] < 0.5, 20.0, 245.0)
    return cover(images, 0.9 * amount, tone * np.ones((1, 3), "float32"))


def _dots(glyphs: Any, across: Any, down: Any) -> Any:
    """Return where dots of digits lie, 0 or 1, by how many dots right of and below their corner."""
    letter, row = ops.floor(across / 4), ops.floor(down)
    place = ops.floor(across) - 4 * letter
    on = (across >= 0) & (letter < _LETTERS) & (down >= 0) & (row < 5) & (place < 3)
    index = ops.where(on, letter * 15 + row * 3 + place, 0.0)
    return pick(glyphs, index)[..., 0] * ops.cast(on, "float32")
