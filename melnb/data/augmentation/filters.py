"""Filters of lens, sensor, program and file: blur, noise, CLAHE, JPEG compression.

Each image has a strength of its own: `keras.ops.image.gaussian_blur` has one deviation for a whole
batch, and Keras' layers that blur or add noise draw their own numbers.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.data.augmentation.colour import LUMA, multiply
from melnb.data.augmentation.draws import per_image, spread_normal
from melnb.data.augmentation.geometry import pick

# JPEG: what a file of low quality leaves of a picture (ITU-T T.81), without writing one.
#
# Of its steps the lossy ones: colour to luminance and two differences (JFIF), the cosine
# transform of 8 x 8 blocks, and rounding to multiples of the tables of Annex K at a quality for
# each image, scaled as libjpeg does. The colour keeps its resolution (4:4:4). Keras has no such
# operation.

_SIDE = 8
_YCC = np.array([LUMA, [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_LUMINANCE = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]  # fmt: skip
_COLOUR = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
]  # fmt: skip
_TABLES = np.array([_LUMINANCE, _COLOUR, _COLOUR], "float32")


def jpeg(images: Any, draw: Any, strength: float) -> Any:
    """Lower each image to the quality of a JPEG file of 100 - 99 x strength to 100.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draw: One uniform draw an image: 0 is quality 100.
        strength: 0 (none) to 1 (down to quality 1).
    """
    if not strength:
        return images
    return compress(images, ops.round(100 - 99 * strength * draw))


def compress(images: Any, quality: Any) -> Any:
    """Return what a JPEG file of a quality (1-100, one an image) leaves of each image."""
    height, width = images.shape[1:3]
    down, right = (-(-length // _SIDE) for length in (height, width))
    for axis, blocks in ((1, down), (2, right)):
        if blocks * _SIDE != images.shape[axis]:  # filled up with the last row or column
            places = np.minimum(np.arange(blocks * _SIDE), images.shape[axis] - 1)
            images = ops.take(images, places.astype("int32"), axis=axis)
    parts = multiply(images, _YCC.T[None].astype("float32")) - np.array([128, 0, 0], "float32")
    parts = ops.reshape(parts, (-1, down, _SIDE, right, _SIDE, 3))
    blocks = ops.reshape(ops.transpose(parts, (0, 1, 3, 5, 2, 4)), (-1, down * right, 3, _SIDE**2))
    step = ops.reshape(steps(quality), (-1, 1, 3, _SIDE**2))
    waves = ops.round(ops.matmul(blocks, _cosines()) / step) * step
    blocks = ops.reshape(ops.matmul(waves, _cosines().T), (-1, down, right, 3, _SIDE, _SIDE))
    parts = ops.transpose(blocks, (0, 1, 4, 2, 5, 3))
    parts = ops.reshape(parts, (-1, down * _SIDE, right * _SIDE, 3))
    back = np.linalg.inv(_YCC).T[None].astype("float32")
    images = multiply(parts + np.array([128, 0, 0], "float32"), back)
    return ops.clip(images[:, :height, :width], 0.0, 255.0)


def steps(quality: Any) -> Any:
    """Return what waves are rounded to multiples of, as libjpeg scales the tables of Annex K.

    Args:
        quality: 1-100, one an image.

    Returns:
        batch x 3 (luminance and the two differences) x 64 (row by row, slow waves first).
    """
    # A hundredth more than whole, so that no way of computing falls below it.
    scale = ops.where(quality < 50, ops.floor(5000.01 / quality), 200 - 2 * quality)
    rounded = ops.floor((_TABLES * ops.reshape(scale, (-1, 1, 1)) + 50.1) / 100)
    return ops.clip(rounded, 1.0, 255.0)


def _cosines() -> np.ndarray:
    """Return the cosine transform of a block as one orthogonal matrix: 64 places x 64 waves."""
    place, wave = np.arange(_SIDE), np.arange(_SIDE)[:, None]
    one = np.cos((2 * place + 1) * wave * math.pi / (2 * _SIDE)) * math.sqrt(2 / _SIDE)
    one[0] /= math.sqrt(2)
    return np.kron(one, one).T.astype("float32")


# CLAHE: contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994).
#
# Of the luminance alone: the colours keep their differences. `keras.layers` has one that
# equalises each channel for itself, which tints, has no strength for each image, and makes 256
# numbers of each pixel on its way: 200 MB for one picture of 256 pixels a side.

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


def blur(images: Any, draw: Any, most: float) -> Any:
    """Blur each image by a Gaussian; beyond the edge the picture is mirrored.

    One product with a matrix along each side, never cut off: faster than sums of moved pictures on
    a CPU at the sizes of training, and what accelerators are made for.

    Args:
        images: batch x height x width x any channels, float32, 0-255.
        draw: One uniform draw an image: the share of `most` that is its standard deviation.
        most: Pixels; 0: none.
    """
    if not most:
        return images
    height, width = images.shape[1:3]
    deviation = ops.maximum(draw * most, 1e-3)  # so narrow that a pixel stays what it is
    blurred = _along_sides(images, _gaussian(deviation, height), _gaussian(deviation, width))
    return ops.clip(blurred, 0.0, 255.0)


def noise(images: Any, draw: Any, most: float) -> Any:
    """Add Gaussian noise to each number of each image.

    Args:
        images: batch x height x width x any channels, float32, 0-255.
        draw: One uniform draw an image: the share of `most` that is its standard deviation, and
            the grain.
        most: On the scale of 0-255; 0: none.
    """
    if not most:
        return images
    grain = spread_normal(draw, tuple(images.shape[1:]))
    return ops.clip(images + per_image(draw * most) * grain, 0.0, 255.0)


def sharpen(images: Any, amount: Any) -> Any:
    """Move each image away from itself smoothed 3 x 3, by an amount; -1 gives the smoothed one.

    As Pillow's `ImageEnhance.Sharpness`, its factor being 1 + amount, but up to the very edge,
    where the last pixels are repeated.
    """
    height, width = images.shape[1:3]
    smooth = (4 * images + _along_sides(images, _three(height), _three(width))) / 13
    return ops.clip(images + per_image(amount) * (images - smooth), 0.0, 255.0)


def _along_sides(images: Any, down: Any, right: Any) -> Any:
    """Multiply columns and rows of images by matrices (1 or batch, what comes x what goes in)."""
    height, width, channels = images.shape[1:]
    flat = ops.reshape(images, (-1, height, width * channels))
    done = ops.reshape(ops.matmul(down, flat), (-1, height, width, channels))
    flat = ops.reshape(ops.transpose(done, (0, 2, 1, 3)), (-1, width, height * channels))
    both = ops.reshape(ops.matmul(right, flat), (-1, width, height, channels))
    return ops.transpose(both, (0, 2, 1, 3))


def _three(length: int) -> np.ndarray:
    """Return what sums each place and the two beside it: 1 x length x length."""
    place, same = np.arange(length), np.eye(length, dtype="float32")
    before, behind = (np.clip(place + step, 0, length - 1) for step in (-1, 1))
    return (same + same[before] + same[behind])[None]


def _gaussian(deviation: Any, length: int) -> Any:
    """Return how much each place takes of each: batch x length x length, rows summing to 1."""
    place = np.arange(length, dtype="float32")
    here, there = place[:, None], place[None, :]
    rate = ops.reshape(-0.5 / ops.square(deviation), (-1, 1, 1))
    # The place itself, and its mirror images beyond the first and the last.
    ways = (here - there, here + there + 1, 2 * length - 1 - here - there)
    weights = sum(ops.exp(rate * np.square(way)) for way in ways)
    return weights / ops.sum(weights, axis=-1, keepdims=True)
