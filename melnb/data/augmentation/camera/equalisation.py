"""CLAHE: contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994).

Of the luminance alone: the colours keep their differences. `keras.layers` has one that equalises
each channel for itself, which tints, has no strength for each image, and makes 256 numbers of each
pixel on its way: 200 MB for one picture of 256 pixels a side.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.data.augmentation.camera.colour import LUMA
from melnb.data.augmentation.draws import per_image
from melnb.data.augmentation.geometry import pick

_LEVELS = 256
_TILES = 8  # on a side at most, each of at least:
_TILE_SIDE = 16


def clahe(images: Any, draw: Any, limit: float) -> Any:
    """Bring out local contrast, a share of the way for each image.

    The tiles' histograms are clipped, what is cut off is shared out evenly, and the levels of a
    pixel come from the four tiles around it, bilinearly.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draw: One uniform draw an image: the share of the change that it gets.
        limit: Where counts are clipped, in mean counts of a level (as OpenCV's): 2 is mild, 4
            usual, 10 harsh; 0: none.
    """
    if not limit:
        return images
    height, width = images.shape[1:3]
    rows, columns = (max(1, min(_TILES, length // _TILE_SIDE)) for length in (height, width))
    level = ops.clip(ops.round(ops.sum(images * LUMA, axis=-1)), 0.0, _LEVELS - 1.0)
    tile = _tile_of(height, rows)[:, None] * columns + _tile_of(width, columns)
    counts = _count(level + tile * _LEVELS, rows * columns)
    table = ops.reshape(_equalise(counts, limit), (-1, rows * columns * _LEVELS, 1))
    (up, down, share_y), (left, right, share_x) = _around(height, rows), _around(width, columns)
    upper, lower = (
        _between(
            pick(table, level + (row[:, None] * columns + left) * _LEVELS),
            pick(table, level + (row[:, None] * columns + right) * _LEVELS),
            share_x[:, None],
        )
        for row in (up, down)
    )
    change = _between(upper, lower, share_y[:, None, None]) - level[..., None]
    return ops.clip(images + per_image(draw) * change, 0.0, 255.0)


def _count(place: Any, tiles: int) -> Any:
    """Count the pixels of each level in each tile: batch x tiles x levels.

    Sums of ones are exact, whatever their order on a device.
    """
    size = tiles * _LEVELS
    place = ops.cast(ops.reshape(place, (-1, place.shape[1] * place.shape[2])), "int32")
    if keras.backend.backend() == "jax":  # whose segments are counted before the batch is known
        counts = ops.vectorized_map(lambda one: _sum_ones(one, size), place)
    else:
        batch = ops.shape(place)[0]
        first = ops.reshape(ops.arange(batch, dtype="int32") * size, (-1, 1))
        counts = _sum_ones(ops.reshape(place + first, (-1,)), batch * size)
    return ops.reshape(counts, (-1, tiles, _LEVELS))


def _sum_ones(place: Any, size: Any) -> Any:
    return ops.segment_sum(ops.ones_like(place, dtype="float32"), place, num_segments=size)


def _equalise(counts: Any, limit: float) -> Any:
    """Return the level that each becomes: of its clipped count, those below and half itself."""
    pixels = ops.sum(counts, axis=-1, keepdims=True)
    most = ops.maximum(limit * pixels / _LEVELS, 1.0)
    kept = ops.minimum(counts, most)
    kept = kept + ops.sum(counts - kept, axis=-1, keepdims=True) / _LEVELS
    below = ops.cumsum(kept, axis=-1) - kept / 2
    return ops.clip(below * (_LEVELS / pixels) - 0.5, 0.0, _LEVELS - 1.0)


def _tile_of(length: int, tiles: int) -> np.ndarray:
    return (np.arange(length) * tiles // length).astype("float32")


def _around(length: int, tiles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the tiles whose centres lie before and behind each place, and how far it is on."""
    place = (np.arange(length) + 0.5) / length * tiles - 0.5
    before = np.floor(place)
    first, second = (np.clip(before + k, 0, tiles - 1).astype("float32") for k in (0, 1))
    return first, second, (place - before).astype("float32")


def _between(first: Any, second: Any, share: Any) -> Any:
    return first + (second - first) * share
