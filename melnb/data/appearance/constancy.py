"""Colour constancy: a picture as under white light, whatever lamp it was taken with.

Shades of grey: Finlayson and Trezzi 2004, Color Imaging Conference 12:37; for dermoscopy Barata et
al. 2015, IEEE Journal of Biomedical and Health Informatics 19:1146. As augmentation the same is
`melnb.data.augmentation.camera.constancy`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def shades_of_grey(picture: Pixels, power: float = 6.0) -> Pixels:
    """Divide out the light's colour: each channel times its gain, rounded and clipped.

    Args:
        picture: height x width x 3, 0-255.
        power: Of `grey_gains`.
    """
    levels = np.arange(256)[:, None] * grey_gains(picture, power)
    white = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.stack([white[picture[..., k], k] for k in range(3)], axis=-1)


def grey_gains(picture: Pixels, power: float = 6.0) -> NDArray[np.float64]:
    """Return what makes the light of a picture grey: |e| / (sqrt(3) e_c), a gain a channel.

    e_c = (mean I_c^power)^(1 / power), the channel's Minkowski mean. A black picture has gains 1.

    Args:
        picture: height x width x 3, 0-255.
        power: At least 1: 1 is grey world, and a great one white patch.
    """
    if power < 1:
        raise ValueError(f"power is {power}: use 1 (grey world) or more")
    # Of 256 levels each needs to be raised but once.
    levels = (np.arange(256) / 255) ** power
    counts = [np.bincount(picture[..., k].ravel(), minlength=256) for k in range(3)]
    mean = np.array(counts) @ levels / picture[..., 0].size
    light = np.maximum(mean, 1e-30) ** (1 / power)
    return np.asarray(np.linalg.norm(light) / (np.sqrt(3) * light))
