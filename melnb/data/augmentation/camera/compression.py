"""JPEG: what a file of low quality leaves of a picture (ITU-T T.81), without writing one.

Of its steps the lossy ones: colour to luminance and two differences (JFIF), the cosine transform of
8 x 8 blocks, and rounding to multiples of the tables of Annex K at a quality for each image, scaled
as libjpeg does. The colour keeps its resolution (4:4:4). Keras has no such operation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from melnb.data.augmentation.camera.colour import LUMA, multiply

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
