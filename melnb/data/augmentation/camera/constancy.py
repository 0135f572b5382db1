"""Colour constancy: pictures as under white light, whatever lamp they were taken with.

Shades of grey: Finlayson and Trezzi 2004, Color Imaging Conference 12:37; for dermoscopy Barata et
al. 2015, IEEE Journal of Biomedical and Health Informatics 19:1146. As preprocessing the same is
`melnb.data.appearance.constancy`.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from melnb.data.augmentation.artefacts.canvas import happens


def shades_of_grey(images: Any, power: float = 6.0) -> Any:
    """Divide out the light's colour: the channels' Minkowski mean e, of unit length.

    e_c = (mean I_c^power)^(1 / power), then I_c / (sqrt(3) e_c / |e|), clipped. Power 1 is grey
    world, and a great one white patch. Black images stay as they are.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        power: Of the mean, at least 1.
    """
    if power < 1:
        raise ValueError(f"power is {power}: use 1 (grey world) or more")
    mean = ops.mean(ops.power(images / 255, power), axis=(1, 2), keepdims=True)
    light = ops.power(ops.maximum(mean, 1e-30), 1 / power)
    length = ops.sqrt(ops.sum(ops.square(light), axis=-1, keepdims=True))
    return ops.clip(images * (length / (math.sqrt(3) * light)), 0.0, 255.0)


def colour_constancy(images: Any, draw: Any, probability: float) -> Any:
    """Show a share of the images in white light.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draw: One uniform draw an image.
        probability: Share of images; 0 is the identity.

    Returns:
        Images as given, 0-255.
    """
    if not probability:
        return images
    chosen = happens(draw, probability)[..., None] > 0
    return ops.where(chosen, shades_of_grey(images), images)
