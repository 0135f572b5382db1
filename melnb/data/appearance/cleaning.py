"""Cleaning: what is done to a picture before it is made small and stored.

No pandas here: worker processes import this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from PIL import Image

from melnb.data.appearance.constancy import shades_of_grey
from melnb.data.appearance.hair_removal import remove_hairs

Cleaning = Literal["none", "hairs", "constancy", "both"]
FINE = 256  # pixels of the shorter side: below, hairs are too thin to be found


def check_cleaning(cleaning: Cleaning) -> Cleaning:
    """Return the cleaning unchanged if it is one.

    Raises:
        ValueError: It is none.
    """
    if cleaning not in get_args(Cleaning):
        raise ValueError(f"cleaning is {cleaning!r}: use {', '.join(get_args(Cleaning))}")
    return cleaning


def clean_picture(image: Image.Image, cleaning: Cleaning, size: int) -> Image.Image:
    """Clean a picture: hairs first, then the light's colour.

    Args:
        image: RGB, of any size.
        cleaning: `none` returns the image itself.
        size: Pixels on a side wanted later. A picture is cleaned at the least whole fraction of its
            size that is no smaller than this and `FINE`: cleaning more would only take time.

    Returns:
        The whole picture, perhaps smaller.
    """
    if check_cleaning(cleaning) == "none":
        return image
    factor = min(image.size) // max(size, FINE)
    if factor > 1:
        width, height = (round(side / factor) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    pixels = np.asarray(image)
    if cleaning != "constancy":
        pixels = remove_hairs(pixels)
    if cleaning != "hairs":
        pixels = shades_of_grey(pixels)
    return Image.fromarray(pixels)


def sample_cleaned(pictures: Sequence[Image.Image | np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Show pictures as they are and as each cleaning leaves them.

    Args:
        pictures: RGB, or height x width x 3, 0-255; of 256 pixels, below which hairs are too thin.

    Returns:
        Name of the cleaning to as many pictures, uint8.
    """
    images = [Image.fromarray(np.asarray(picture, dtype="uint8")) for picture in pictures]
    return {
        cleaning: [np.asarray(clean_picture(image, cleaning, 1)) for image in images]
        for cleaning in get_args(Cleaning)
    }
