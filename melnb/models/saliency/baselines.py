"""Baselines: the picture without what is looked for.

Every attribution is a comparison, and its baseline says with what. Where the picture equals the
baseline nothing can be attributed: a black baseline is blind to what is black, as melanomas are in
places. Sturmfels et al. 2020, "Visualizing the impact of feature attribution baselines".
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

BASELINES = ("black", "blurred", "skin")
_BLUR = 1 / 8  # of the side: the deviation that leaves no border of a lesion
_RING = (0.8, 1.0)  # of half the side: where skin is looked for, within a dermoscope's round field


def make_baseline(images: np.ndarray, kind: str) -> np.ndarray:
    """Return what pictures are compared with.

    Args:
        images: n x size x size x 3, 0-255.
        kind: `black`; `blurred`: the picture without detail, which keeps a lesion's mean colour;
            `skin`: one colour, the median of the picture's outer ring, which is skin unless the
            lesion fills the picture.

    Returns:
        Of the images' shape, float32.

    Raises:
        ValueError: There is no such kind.
    """
    match kind:
        case "black":
            return np.zeros_like(images, dtype="float32")
        case "blurred":
            sigma = images.shape[1] * _BLUR
            blurred = ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest")
            return np.asarray(blurred, "float32")
        case "skin":
            colours = np.median(images[:, ring(images.shape[1])], axis=1)
            plain = np.broadcast_to(colours[:, None, None, :], images.shape)
            return np.asarray(plain, "float32").copy()
    raise ValueError(f"baseline is {kind!r}; use one of {list(BASELINES)}")


def ring(size: int) -> np.ndarray:
    """Return where the outer ring of a picture lies, size x size booleans."""
    place = (np.arange(size) + 0.5) / size * 2 - 1
    radius = np.hypot(place[:, None], place[None, :])
    return np.asarray((radius >= _RING[0]) & (radius <= _RING[1]))
