"""Cutout: a square hole in each picture (DeVries and Taylor 2017, arXiv 1708.04552).

`keras.layers.RandomErasing` draws its own places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from melnb.data.augmentation.draws import per_image


def cutout(images: Any, x: Any, y: Any, side: float) -> Any:
    """Fill a square hole with its centre at (x, y), shares of the sides, with the mean colour.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        x: One uniform draw an image.
        y: Another.
        side: Share of the picture's sides; 0: none.
    """
    if not side:
        return images
    height, width = images.shape[1:3]
    across = ops.abs(_places(width)[None, None, :, None] - per_image(x)) < side / 2
    along = ops.abs(_places(height)[None, :, None, None] - per_image(y)) < side / 2
    mean = ops.mean(images, axis=(1, 2), keepdims=True)
    return ops.where(ops.logical_and(across, along), mean, images)


def _places(length: int) -> np.ndarray:
    return ((np.arange(length) + 0.5) / length).astype("float32")
