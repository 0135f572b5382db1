"""Policies: which of many small operations each image gets is drawn, too.

RandAugment (Cubuk et al. 2020, arXiv 1909.13719) and AugMix (Hendrycks et al. 2020, arXiv
1912.02781) over one list of operations. Every image of a batch gets other ones, at no cost: an
operation that is not chosen has the value 0, at which it changes nothing, so that all moves are
one affine map and all colours one matrix. Chosen operations are therefore done in the order of the
list, not in a drawn one. Of the papers' lists posterize, solarize and equalize are left out: they
make colours that no dermatoscope gives; zoom and hue are added. `keras.layers.RandAugment` and
`AugMix` draw their own numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from melnb.data.augmentation.camera.colour import autocontrast, recolour
from melnb.data.augmentation.camera.filters import sharpen
from melnb.data.augmentation.draws import per_image, spread
from melnb.data.augmentation.geometry import Affine, multiply, transform

# The value of each at magnitude 1, either way; most are those of the papers.
OPERATIONS = {
    "shift_x": 0.3, "shift_y": 0.3,  # shares of the sides
    "rotation": math.radians(30), "shear_x": 0.3, "shear_y": 0.3, "zoom": math.log(1.3),
    "sharpness": 0.9,
    "brightness": 0.3,  # share of the range
    "contrast": 0.9, "saturation": 0.9,  # shares of what there is
    "hue": math.radians(36), "autocontrast": 1.0,
}  # fmt: skip
_MIXED = {name: most for name, most in OPERATIONS.items() if name != "sharpness"}  # by AugMix
MAGNITUDE = 0.3  # of RandAugment, unless said otherwise
WIDTH = 3  # chains of AugMix
_DEPTH = 3  # operations of a chain at most


def rand_augment(draw: Any, number: int, magnitude: float) -> dict[str, Any]:
    """Choose as many different operations for each image, all at one magnitude either way.

    Args:
        draw: One uniform draw an image.
        number: Of operations; 0: none.
        magnitude: 0 (none) to 1.

    Returns:
        Name of each operation to its values, one an image, 0 where it is not chosen; empty without
        a number or a magnitude.

    Raises:
        ValueError: There are not so many operations.
    """
    if not (number and magnitude):
        return {}
    if not 0 < number <= len(OPERATIONS):
        raise ValueError(f"randaugment is {number}; use 1 to {len(OPERATIONS)} operations, or 0")
    value, _ = _choose(draw, OPERATIONS, number, salt=0)
    return _named(OPERATIONS, value * magnitude)


def affine_of(images: Any, chosen: dict[str, Any]) -> Affine | None:
    """Return how the chosen operations move the pixels of images of that size; of none, None."""
    if not chosen:
        return None
    height, width = images.shape[1:3]
    turn, size = chosen["rotation"], ops.exp(-chosen["zoom"])
    cos, sin = ops.cos(turn) * size, ops.sin(turn) * size
    linear = multiply((cos, -sin, sin, cos), (1.0, chosen["shear_x"], chosen["shear_y"], 1.0))
    return Affine(linear, (chosen["shift_x"] * width, chosen["shift_y"] * height))


def recolour_by(images: Any, chosen: dict[str, Any]) -> Any:
    """Do the chosen operations that change colours."""
    if not chosen:
        return images
    if "sharpness" in chosen:
        images = sharpen(images, chosen["sharpness"])
    images = recolour(
        images, 255 * chosen["brightness"], 1 + chosen["contrast"], 1 + chosen["saturation"],
        chosen["hue"],
    )  # fmt: skip
    return autocontrast(images, ops.abs(chosen["autocontrast"]))


def aug_mix(images: Any, draw: Any, severity: float) -> Any:
    """Mix each image with three chains of one to three operations on it.

    The chains' weights are Dirichlet(1, 1, 1), the image's own is Beta(1, 1), and each operation's
    magnitude is uniform from 0 to the severity: all drawn for each image. The paper's consistency
    loss is not part of this.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draw: One uniform draw an image.
        severity: 0 (none) to 1.
    """
    if not severity:
        return images
    shares = spread(draw, (2 * WIDTH + 1,), salt=1)
    depth = ops.floor(shares[:, :WIDTH] * _DEPTH) + 1
    weight = -ops.log(
        shares[:, WIDTH : 2 * WIDTH] + 0.5**25
    )  # exponential, so normalised Dirichlet
    weight = weight / ops.sum(weight, axis=-1, keepdims=True)
    mixed = 0.0
    for chain in range(WIDTH):
        value, size = _choose(draw, _MIXED, depth[:, chain : chain + 1], salt=chain + 2)
        chosen = _named(_MIXED, value * size * severity)
        view = recolour_by(transform(images, affine_of(images, chosen)), chosen)
        mixed = mixed + per_image(weight[:, chain]) * view
    mixed = images + per_image(shares[:, -1]) * (mixed - images)
    return ops.clip(mixed, 0.0, 255.0)  # as far as rounding leads beyond


def _choose(draw: Any, operations: dict[str, float], number: Any, *, salt: int) -> tuple[Any, Any]:
    """Choose operations for each image.

    Returns:
        Values at magnitude 1, of either sign, 0 of what is not chosen, and a uniform number for
        each; both batch x operations.
    """
    order, side, size = ops.unstack(spread(draw, (3, len(operations)), 10 + salt), 3, axis=1)
    before = ops.cast(order[:, None, :] < order[:, :, None], "float32")
    chosen = ops.cast(ops.sum(before, axis=-1) < number, "float32")
    most = np.array(list(operations.values()), "float32")
    return chosen * ops.where(side < 0.5, -1.0, 1.0) * most, size


def _named(operations: dict[str, float], values: Any) -> dict[str, Any]:
    return dict(zip(operations, ops.unstack(values, len(operations), axis=1), strict=True))
