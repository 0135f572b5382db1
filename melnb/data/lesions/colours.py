"""Colours: the C of the ABCD rule, measured inside a mask and on the skin around it.

Stolz et al. 1994, European Journal of Dermatology 4:521, count six colours: white, red, light
brown, dark brown, blue-grey, black; white only where it is lighter than the skin around. They name
no values. Each pixel is given here to the nearest in CIELAB of six prototypes, which were chosen
for dermoscopes without calibration: counts rank the pictures of one source, and no more.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab

from melnb.data.lesions.masks import Mask

SIX = {
    "white": (228, 214, 216), "red": (186, 84, 84), "light_brown": (176, 122, 90),
    "dark_brown": (100, 58, 42), "blue_grey": (104, 112, 134), "black": (40, 32, 36),
}  # fmt: skip
LEAST_COLOUR = 0.05  # share of the lesion above which a colour is there

_GAP, _RING = 0.05, 0.25  # the skin around, from and to, in diameters of the disc of equal area
_LEAST_SKIN = 0.05  # of the lesion's pixels, below which the skin around is not judged
_BLACK = 40  # of 255, in the brightest channel: the dark corners of a round field of view


class Colours(NamedTuple):
    """Measures of a lesion's colours; NaN where `note` says why.

    Attributes:
        lightness_sd: Standard deviation of L* inside; of a* and b* the next two.
        redness_sd: See `lightness_sd`.
        yellowness_sd: See `lightness_sd`.
        variegation: Root of the sum of the three variances.
        lightness_difference: Mean L* inside less that of the skin around; a* and b* the next two.
        redness_difference: See `lightness_difference`.
        yellowness_difference: See `lightness_difference`.
        colour_difference: Distance of the two means in CIELAB (CIE 1976).
        colours: How many of the six there are, each in more than 5 % of the lesion.
        white_share: Of the lesion, and lighter than the skin around; so the next five.
        red_share: See `white_share`.
        light_brown_share: See `white_share`.
        dark_brown_share: See `white_share`.
        blue_grey_share: See `white_share`.
        black_share: See `white_share`.
        note: What could not be measured, and why.
    """

    lightness_sd: float = math.nan
    redness_sd: float = math.nan
    yellowness_sd: float = math.nan
    variegation: float = math.nan
    lightness_difference: float = math.nan
    redness_difference: float = math.nan
    yellowness_difference: float = math.nan
    colour_difference: float = math.nan
    colours: float = math.nan
    white_share: float = math.nan
    red_share: float = math.nan
    light_brown_share: float = math.nan
    dark_brown_share: float = math.nan
    blue_grey_share: float = math.nan
    black_share: float = math.nan
    note: str = ""


def measure_colours(pixels: NDArray[np.uint8], mask: Mask) -> Colours:
    """Measure colours.

    Args:
        pixels: height x width x 3, 0-255, with some skin around the lesion.
        mask: height x width.
    """
    if not mask.any():
        return Colours(note="no colours: the mask is empty")
    inside = rgb2lab(pixels[mask])
    variances = inside.var(axis=0)
    ring = skin_around(pixels, mask)
    few = int(ring.sum()) < _LEAST_SKIN * int(mask.sum())
    skin = np.full(3, np.nan) if few else rgb2lab(pixels[ring]).mean(axis=0)
    away = inside.mean(axis=0) - skin
    shares = six_shares(inside, -math.inf if few else float(skin[0]))
    values = [
        *np.sqrt(variances),
        math.sqrt(variances.sum()),
        *away,
        math.sqrt((away**2).sum()),
        sum(share > LEAST_COLOUR for share in shares),
        *shares,
    ]
    named: dict[str, Any] = dict(zip(Colours._fields[:-1], map(float, values), strict=True))
    found = Colours(**named)
    return found._replace(note="no skin around the lesion") if few else found


def six_shares(lab: NDArray[np.float64], skin: float = -math.inf) -> list[float]:
    """Return the shares of the six colours among colours in CIELAB (n x 3).

    Args:
        lab: The lesion's pixels.
        skin: Mean L* of the skin around: white pixels that are no lighter are of no colour.
    """
    prototypes = rgb2lab(np.array([*SIX.values()], dtype=np.uint8))
    nearest = ((lab[:, None] - prototypes[None]) ** 2).sum(axis=2).argmin(axis=1)
    shares = [float((nearest == k).mean()) for k in range(len(SIX))]
    shares[0] = float(((nearest == 0) & (lab[:, 0] > skin)).mean())
    return shares


def skin_around(pixels: NDArray[np.uint8], mask: Mask) -> Mask:
    """Return a ring around the lesion, without its pale edge and dark corners of the picture."""
    diameter = math.sqrt(4 * float(mask.sum()) / math.pi)
    away = ndimage.distance_transform_edt(~mask)
    ring = (away > max(1.0, _GAP * diameter)) & (away <= max(3.0, _RING * diameter))
    return np.asarray(ring & (pixels.max(axis=2) >= _BLACK))
