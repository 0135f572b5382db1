"""Filters: what a lens out of focus, a sensor in the dark and a program make of a picture.

Each image has a strength of its own: `keras.ops.image.gaussian_blur` has one deviation for a whole
batch, and Keras' layers that blur or add noise draw their own numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from melnb.data.augmentation.draws import per_image, spread_normal


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
