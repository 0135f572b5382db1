"""Masks: a plane of probabilities becomes one lesion without holes, at the picture's size.

The founding recipe (Gaussian of 2 pixels at 224, above .5, largest component), with its holes
filled, as the ISIC challenges say that a lesion has none, and its edge smoothed.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy import ndimage

from melnb.data.pictures import Fit

Mask = NDArray[np.bool_]
Resampling = Literal["nearest", "threshold"]
Verdict = Literal["ok", "empty", "tiny", "distrusted"]

REFERENCE_SIDE = 224  # pixels: sigma and smoothing are given for a plane of this side
_PART = 1 << 20  # pixels that are counted at a time
_WHITE = 128  # of 255: from here on a pixel is lesion


def make_mask(
    plane: ArrayLike,
    width: int,
    height: int,
    *,
    sigma: float = 2.0,
    threshold: float = 0.5,
    smoothing: float = 1.0,
    fit: Fit = "squash",
    resampling: Resampling = "threshold",
) -> Mask:
    """Make the mask of a picture from a plane of probabilities.

    The plane is blurred; what is above the threshold is found, and of it the largest piece, its
    holes filled. That piece is blurred once more, so that its edge gets smooth, and resized.

    Args:
        plane: side x side, 0-1, of any float.
        width: Of the picture, pixels, upright.
        height: Likewise.
        sigma: Of the Gaussian, pixels of a plane of `REFERENCE_SIDE`; it grows with the side.
        threshold: The lesion is above it.
        smoothing: Of the edge: sigma of the second Gaussian, in the same pixels; 0: none.
        fit: How the picture was made square for the segmenter. Of `crop`, nothing is known beyond
            the centre, and the mask is false there.
        resampling: `nearest`, or `threshold`: bilinear, and lesion from 128 of 255 on, which keeps
            the edge between the plane's pixels.

    Returns:
        height x width; one piece (pixels joined by their sides) without holes, or nothing.

    Raises:
        ValueError: The plane is not square, holds NaN or what is no probability, or an argument
            is unknown or out of bounds.
    """
    probabilities = check_plane(plane)
    if min(width, height) < 1:
        raise ValueError(f"the picture is {width} x {height} pixels: a mask needs one at least")
    if min(sigma, smoothing) < 0:
        raise ValueError(f"sigma is {sigma} and smoothing {smoothing}: use 0 or more")
    if resampling not in ("nearest", "threshold"):
        raise ValueError(f"resampling is {resampling!r}: use nearest or threshold")
    scale = len(probabilities) / REFERENCE_SIDE
    lesion = one_piece(_blurred(probabilities, sigma * scale) > threshold)
    soft = _blurred(lesion.astype(np.float32), smoothing * scale)
    # A lesion of a few pixels may be blurred away: it then keeps its edge.
    mask = one_piece(_resized(soft, width, height, fit, resampling))
    return mask if mask.any() else one_piece(_resized(lesion, width, height, fit, resampling))


def check_plane(plane: ArrayLike) -> NDArray[np.float32]:
    """Return a plane of probabilities as float32.

    Raises:
        ValueError: It is not square, or holds what is no probability.
    """
    values = np.asarray(plane, dtype=np.float32)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
        raise ValueError(f"the plane is {values.shape}: give side x side probabilities")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # so written that NaN fails too
        raise ValueError(
            f"the plane holds {low:.3g} to {high:.3g}: give probabilities, 0 to 1 (of logits, "
            "the sigmoid)"
        )
    return values


def one_piece(mask: Mask) -> Mask:
    """Return the largest piece of a mask, its holes filled."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros_like(mask)
    # Only the box that holds it is searched: a picture may have 24 million pixels.
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    piece = np.zeros_like(mask)
    piece[box] = fill_holes(largest_component(mask[box]))
    return piece


def largest_component(mask: Mask) -> Mask:
    """Return the largest piece whose pixels are joined by their sides; of equals, the upper."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return np.array(mask, dtype=bool)
    return np.asarray(pieces == 1 + int(np.argmax(piece_sizes(pieces, count))))


def piece_sizes(pieces: NDArray[np.int_], count: int) -> NDArray[np.int_]:
    """Return the pixels of each piece, of `ndimage.label`; NumPy alone would copy all labels."""
    sizes = np.zeros(count + 1, int)
    for part in np.array_split(pieces, 1 + pieces.size // _PART):
        sizes += np.bincount(part.ravel(), minlength=count + 1)
    return sizes[1:]


def fill_holes(mask: Mask) -> Mask:
    """Return a mask with its holes filled.

    A hole is what no way along pixels' sides joins to the picture's edge; a gap that is open by a
    corner alone is one.
    """
    around, _ = ndimage.label(~np.pad(mask, 1))
    return np.asarray(around[1:-1, 1:-1] != around[0, 0])


def judge_mask(
    mask: Mask,
    *,
    disagreement: float = math.nan,
    least_share: float = 0.005,
    most_disagreement: float = 0.5,
) -> tuple[Verdict, str]:
    """Judge whether a picture may be cut along a mask.

    Args:
        mask: height x width.
        disagreement: Of views and folds, by whatever measure; NaN: unknown, and then no reason.
        least_share: Of the picture; a smaller lesion is `tiny`.
        most_disagreement: Above it, a mask is `distrusted`.

    Returns:
        The verdict (`ok`, `empty`, `tiny` or `distrusted`, in this order of weight) and the reason
        in words, empty if it is ok.
    """
    share = float(np.mean(mask))
    if not share:
        return "empty", "no lesion was found"
    if share < least_share:
        return "tiny", f"the lesion is {share:.2%} of the picture, less than {least_share:.2%}"
    if disagreement > most_disagreement:
        return "distrusted", f"disagreement {disagreement:.3f} is above {most_disagreement:g}"
    return "ok", ""


def _blurred(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    if not sigma:
        return values
    return np.asarray(ndimage.gaussian_filter(values, sigma, mode="nearest"))


def _resized(
    plane: NDArray[np.floating] | Mask, width: int, height: int, fit: Fit, resampling: Resampling
) -> Mask:
    """Resize a plane of 0 to 1 to the picture that it was made square from."""
    levels = np.rint(np.asarray(plane, dtype=np.float32) * 255).astype(np.uint8)
    filtering = Image.Resampling.BILINEAR
    if resampling == "nearest":
        levels = np.where(levels >= _WHITE, np.uint8(255), np.uint8(0))
        filtering = Image.Resampling.NEAREST
    image, side = Image.fromarray(levels), len(levels)
    if fit == "squash":
        whole = image.resize((width, height), filtering)
    elif fit == "crop":
        least = min(width, height)
        whole = Image.new("L", (width, height))
        centre = image.resize((least, least), filtering)
        whole.paste(centre, ((width - least) // 2, (height - least) // 2))
    elif fit == "pad":
        # As `pictures.fit_picture` places the picture between its bars.
        inner = [max(1, round(n * side / max(width, height))) for n in (width, height)]
        left, top = ((side - n) // 2 for n in inner)
        box = (left, top, left + inner[0], top + inner[1])
        whole = image.resize((width, height), filtering, box=box)
    else:
        raise ValueError(f"fit is {fit!r}: use crop, squash or pad")
    return np.asarray(np.asarray(whole) >= _WHITE)
