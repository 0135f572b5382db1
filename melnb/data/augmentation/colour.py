"""Colour augmentation: brightness, contrast, saturation, hue; colour constancy.

Keras' layers of these names draw their own numbers, and clip between one change and the next.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.data.augmentation.artefacts import happens
from melnb.data.augmentation.draws import draw_of, per_image
from melnb.tables.within_patient import negligible

# Colour constancy: pictures as under white light, whatever lamp they were taken with.
#
# Shades of grey: Finlayson and Trezzi 2004, Color Imaging Conference 12:37; for dermoscopy Barata
# et al. 2015, IEEE Journal of Biomedical and Health Informatics 19:1146. As preprocessing the
# same is `melnb.data.cleaning`.


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


LUMA = np.array([0.299, 0.587, 0.114], "float32")  # Rec. 601

_YIQ = np.array([LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
# A quarter turn of the hue: I to Q and Q to -I, grey staying what it is.
_TURN = (np.linalg.inv(_YIQ) @ [[0, 0, 0], [0, 0, -1], [0, 1, 0]] @ _YIQ).astype("float32")


def tint(
    images: Any,
    draws: Any,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> Any:
    """Change the light and the colours of a batch of pictures.

    Takes the strengths of `augment`.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draws: batch x DRAWS.
    """
    if not (brightness or contrast or saturation or hue):
        return images
    signed = {name: 2 * draw_of(draws, name) - 1 for name in _NAMES}
    return recolour(
        images,
        255 * brightness * signed["brightness"],
        1 + contrast * signed["contrast"],
        1 + saturation * signed["saturation"],
        2 * math.pi * hue * signed["hue"],
    )


_NAMES = ("brightness", "contrast", "saturation", "hue")


def recolour(images: Any, light: Any, contrast: Any, saturation: Any, hue: Any) -> Any:
    """Change light, contrast, saturation and hue by one matrix, then clip.

    With Y the luminance and c = x - Y the colour, x becomes
    contrast (Y + saturation (cos hue c + sin hue turned c)) + light + (1 - contrast) mean Y.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        light: Added, 0-255; one number an image, as are the others.
        contrast: Factor.
        saturation: Factor.
        hue: Radians.
    """
    keep = ops.reshape(saturation * ops.cos(hue), (-1, 1, 1))
    turn = ops.reshape(saturation * ops.sin(hue), (-1, 1, 1))
    grey = np.ones((3, 1), "float32") * LUMA
    matrix = keep * np.eye(3, dtype="float32") + (1 - keep) * grey + turn * _TURN
    matrix = ops.transpose(matrix * ops.reshape(contrast, (-1, 1, 1)), (0, 2, 1))
    mean = ops.sum(ops.mean(images, axis=(1, 2)) * LUMA, axis=-1)
    images = multiply(images, matrix)
    return ops.clip(images + per_image(light + (1 - contrast) * mean), 0.0, 255.0)


def multiply(images: Any, matrix: Any) -> Any:
    """Multiply the three channels of each pixel by a matrix, 1 or batch x 3 x 3."""
    if keras.backend.backend() == "jax":  # on a CPU 20 times as fast, and a TPU keeps 32 bits
        rows = (ops.reshape(matrix[:, k], (-1, 1, 1, 3)) for k in range(3))
        return sum(images[..., k : k + 1] * row for k, row in enumerate(rows))
    height, width = images.shape[1:3]
    flat = ops.matmul(ops.reshape(images, (-1, height * width, 3)), matrix)
    return ops.reshape(flat, (-1, height, width, 3))


def autocontrast(images: Any, share: Any) -> Any:
    """Stretch each channel to 0-255 (as Pillow's `ImageOps`), a share of the way for each image."""
    low, high = (f(images, axis=(1, 2), keepdims=True) for f in (ops.min, ops.max))
    varied = high - low > float(negligible(255, "float32"))
    stretched = (images - low) * (255 / ops.where(varied, high - low, 1.0))
    whole = ops.where(varied, ops.clip(stretched, 0.0, 255.0), images)
    return images + per_image(share) * (whole - images)
