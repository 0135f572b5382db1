"""Crops: the bounding box of a lesion, and what is left of its picture.

mask            the picture stays as it is; only the mask is made
crop            the box
crop_times_mask the box, black outside the mask
soft_margin     the box, the skin around the mask fading to black across the margin
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from melnb.data.lesions.masks import Mask

Output = Literal["mask", "crop", "crop_times_mask", "soft_margin"]
_Plane = TypeVar("_Plane", bound=np.generic)
_FADE_SIDE = 512  # pixels: a fade is smooth, and at 24 million pixels its distances take seconds


class Box(NamedTuple):
    """A box of pixels, upright; `right` and `bottom` lie just outside, as in Pillow.

    Attributes:
        left: First column.
        top: First row.
        right: One past the last column.
        bottom: One past the last row.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top


def find_box(mask: Mask, *, margin: float = 0.0, square: bool = False) -> Box:
    """Find the box of a mask.

    Args:
        mask: height x width.
        margin: Added at each side, as a share of the box's longer side, as far as the picture goes.
        square: Whether the shorter side then grows to the longer one, as far as the picture goes;
            the box is moved where it would leave the picture.

    Raises:
        ValueError: The mask is empty, or the margin below 0.
    """
    if margin < 0:
        raise ValueError(f"margin is {margin}: use 0 or more")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError("the mask is empty: it has no box")
    wide, high = int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
    away = margin_pixels(wide, high, margin)
    height, width = mask.shape
    left, right = max(0, int(columns[0]) - away), min(width, int(columns[-1]) + 1 + away)
    top, bottom = max(0, int(rows[0]) - away), min(height, int(rows[-1]) + 1 + away)
    if square:
        side = max(right - left, bottom - top)
        left, right = _grown(left, right, side, width)
        top, bottom = _grown(top, bottom, side, height)
    return Box(left, top, right, bottom)


def margin_pixels(width: int, height: int, margin: float) -> int:
    """Return a margin in pixels, of a tight box of these sides."""
    return round(margin * max(width, height))


def cut(plane: NDArray[_Plane], box: Box) -> NDArray[_Plane]:
    """Return what of a picture's plane, or planes, lies in the box."""
    return plane[box.top : box.bottom, box.left : box.right]


def place(part: NDArray[_Plane], box: Box, width: int, height: int) -> NDArray[_Plane]:
    """Put a part back where it was cut; the rest is 0. The inverse of `cut`.

    Raises:
        ValueError: The part has not the size of the box.
    """
    if part.shape[:2] != (box.height, box.width):
        raise ValueError(
            f"the part is {part.shape[1]} x {part.shape[0]} pixels but its box "
            f"{box.width} x {box.height}: give the box that it was cut with"
        )
    whole = np.zeros((height, width, *part.shape[2:]), dtype=part.dtype)
    cut(whole, box)[...] = part
    return whole


def crop_picture(
    picture: Image.Image, mask: Mask, box: Box, *, output: Output = "crop", margin: float = 0.0
) -> Image.Image:
    """Return what is left of a picture.

    Args:
        picture: RGB, upright.
        mask: height x width, as the picture.
        box: Of `find_box`, with the same margin.
        output: See the module's head; `mask` returns the picture itself.
        margin: Of `soft_margin`: the fade ends at this distance from the mask.

    Raises:
        ValueError: The mask has another size than the picture, or the output is unknown.
    """
    if output not in get_args(Output):
        raise ValueError(f"output is {output!r}: use one of {list(get_args(Output))}")
    if mask.shape != (picture.height, picture.width):
        raise ValueError(
            f"the mask is {mask.shape[1]} x {mask.shape[0]} pixels but its picture "
            f"{picture.width} x {picture.height}"
        )
    if output == "mask":
        return picture
    cropped = picture.crop(box)
    if output == "crop":
        return cropped
    tight = find_box(mask)
    reach = margin_pixels(tight.width, tight.height, margin) if output == "soft_margin" else 0
    weights = fade(cut(mask, box), reach)
    pixels = np.rint(np.asarray(cropped, dtype=np.float32) * weights[..., None])
    return Image.fromarray(pixels.astype(np.uint8))


def fade(mask: Mask, reach: int) -> NDArray[np.float32]:
    """Return weights that are 1 in the mask and fall to 0 outside it, along half a cosine.

    Args:
        mask: height x width, not empty.
        reach: Pixels from the mask at which the weight is nearly 0, and beyond which it is 0;
            none: the mask itself. Distances in a mask above 512 pixels are those of a coarser one.
    """
    inside = mask.astype(np.float32)
    if not reach:
        return inside
    height, width = mask.shape
    factor = -(-max(mask.shape) // _FADE_SIDE)
    coarse = mask
    if factor > 1:
        size = (-(-width // factor), -(-height // factor))
        small = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
        coarse = np.asarray(small) > 0
    away = ndimage.distance_transform_edt(~coarse) * factor
    weights = 0.5 + 0.5 * np.cos(np.pi * np.minimum(away / (reach + 1), 1))
    if factor > 1:
        image = Image.fromarray(weights.astype(np.float32))
        weights = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return np.asarray(np.maximum(weights, inside), dtype=np.float32)


def _grown(start: int, end: int, side: int, limit: int) -> tuple[int, int]:
    """Grow a stretch to `side`, evenly, within 0 to `limit`."""
    side = min(side, limit)
    start = min(max(0, start - (side - (end - start)) // 2), limit - side)
    return start, start + side
