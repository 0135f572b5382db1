"""Skin tone (ITA), colours, contrast and size: what one picture says of skin and lesion.

The individual typology angle (ITA) is atan((L* - 50) / b*) in degrees: Chardon et al. 1991,
International Journal of Cosmetic Science 13:191. It is read off the skin beside the lesion, so
that it needs a mask. A dermoscope's light is not standardised: the angle ranks pictures of one
source by tone, and is no colorimeter's value.

No pandas here: worker processes import this module alone.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab

from melnb.data.pictures import PictureError, decode_picture, fit_picture, read_bytes, read_mask

SIDE = 160  # pixels: colours need no more, and a picture then costs some 10 ms
LEAST_SKIN = 0.02  # of the picture, below which its skin is not judged

_BORDER = 0.04  # of a side: rims, scales and squeezed gel
_MARGIN = round(0.03 * SIDE)  # pixels around a mask: annotators stop short of the pale edge
_BLACK = 40  # of 255, in the brightest channel: no light, rather than dark skin
_RIM = round(0.05 * SIDE)  # pixels over which a round field of view fades
_HAIR_WIDTH = 9  # pixels: what is thinner and dark is hair
_HAIR_DEPTH = 12  # of 255, darker than the skin beside it

Pixels = NDArray[np.uint8]
Where = NDArray[np.bool_]


class Measures(NamedTuple):
    """What was measured in one picture; NaN where `note` says why.

    Attributes:
        ita: Typology angle of the skin, degrees: the median of its pixels.
        skin_pixels: That it is the median of, in a picture of SIDE x SIDE.
        lesion_share: Share of the picture inside the mask.
        lesion_red: Mean inside the mask, 0-255, and so green and blue.
        lesion_green: See `lesion_red`.
        lesion_blue: See `lesion_red`.
        skin_red: Mean of the skin's pixels, and so green and blue.
        skin_green: See `skin_red`.
        skin_blue: See `skin_red`.
        picture_red: Mean of the whole picture, and so green and blue.
        picture_green: See `picture_red`.
        picture_blue: See `picture_red`.
        colour_spread: Of the lesion: root mean square distance from its mean in CIELAB.
        contrast: L* of the skin (median) less L* of the lesion (mean).
        note: What could not be measured, and why.
    """

    ita: float = math.nan
    skin_pixels: int = 0
    lesion_share: float = math.nan
    lesion_red: float = math.nan
    lesion_green: float = math.nan
    lesion_blue: float = math.nan
    skin_red: float = math.nan
    skin_green: float = math.nan
    skin_blue: float = math.nan
    picture_red: float = math.nan
    picture_green: float = math.nan
    picture_blue: float = math.nan
    colour_spread: float = math.nan
    contrast: float = math.nan
    note: str = ""


def typology_angles(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the typology angles, degrees, of colours in CIELAB (… x 3).

    Where b* is below 0, which only a blue cast makes, the angle goes on past 90 degrees instead of
    changing its sign, as in Benčević et al. 2025, arXiv 2504.04494.
    """
    return np.asarray(np.rad2deg(np.arctan2(lab[..., 0] - 50, lab[..., 2])))


def measure_picture(path: str, mask_path: str = "") -> Measures:
    """Measure one picture; what is missing or unreadable becomes a note.

    Args:
        path: Of the picture (see `pictures.read_picture`).
        mask_path: Of its lesion's mask, of the same framing; empty: there is none.
    """
    try:
        picture = decode_picture(read_bytes(path), path, size=SIDE, fit="squash")
        # Squashed: shares and colours do not mind, and every threshold is in the same pixels.
        # Bilinear: a filter that overshoots would draw bright rims along each hair.
        pixels = np.asarray(fit_picture(picture.pixels, SIDE, "squash", Image.Resampling.BILINEAR))
    except PictureError as error:
        return Measures(note=f"no measures: {error}")
    if not mask_path:
        return measure_pixels(pixels, None)
    try:
        size = {"width": picture.width, "height": picture.height}
        mask = np.asarray(read_mask(mask_path, SIDE, "squash", **size)) > 0
    except PictureError as error:
        return measure_pixels(pixels, None)._replace(note=f"no skin tone: {error}")
    return measure_pixels(pixels, mask)


def measure_pixels(pixels: Pixels, lesion: Where | None) -> Measures:
    """Measure pixels.

    Args:
        pixels: SIDE x SIDE x 3, 0-255.
        lesion: SIDE x SIDE, true inside the lesion; None: unknown.
    """
    whole = _mean("picture", pixels)
    if lesion is None or not lesion.any():
        what = "no mask" if lesion is None else "the mask is empty"
        return Measures(**whole, note=f"no skin tone: {what}")
    inside = pixels[lesion]
    lesion_lab = rgb2lab(inside)
    skin = find_skin(pixels, lesion)
    number = int(skin.sum())
    measures = Measures(
        skin_pixels=number,
        lesion_share=float(lesion.mean()),
        colour_spread=math.sqrt(float(lesion_lab.var(axis=0).sum())),
        **_mean("lesion", inside),
        **whole,
    )
    if number < LEAST_SKIN * skin.size:
        share = f"{number / skin.size:.1%} of the picture, less than {LEAST_SKIN:.0%}"
        return measures._replace(note=f"no skin tone: bare skin is {share}")
    outside = pixels[skin]
    skin_lab = rgb2lab(outside)
    angle = float(np.median(typology_angles(skin_lab)))
    return measures._replace(
        ita=angle,
        contrast=float(np.median(skin_lab[:, 0]) - lesion_lab[:, 0].mean()),
        note="no skin tone: a blue cast (b* of the skin is not above 0)" if abs(angle) > 90 else "",
        **_mean("skin", outside),
    )


def find_skin(pixels: Pixels, lesion: Where) -> Where:
    """Return where bare skin is: no lesion, hair, dark corner, nor the picture's border."""
    border = math.ceil(_BORDER * len(pixels))
    skin = np.zeros(pixels.shape[:2], dtype=bool)
    skin[border:-border, border:-border] = True
    return skin & ~_grown(lesion, _MARGIN) & ~_corners(pixels) & ~_hairs(pixels)


def _hairs(pixels: Pixels) -> Where:
    """Return thin dark structures: black top-hat, as in DullRazor's kin.

    Lee et al. 1997, Computers in Biology and Medicine 27:533.
    """
    grey = pixels.max(axis=2)  # dark in every channel: blood and blue ink are not
    closed = ndimage.grey_closing(grey, size=(_HAIR_WIDTH, _HAIR_WIDTH))
    return _grown(closed.astype(np.int16) - grey > _HAIR_DEPTH, 1)


def _corners(pixels: Pixels) -> Where:
    """Return what lies beyond a round field of view: black, and joined to the picture's edge."""
    black: Where = pixels.max(axis=2) < _BLACK
    if not black.any():
        return black
    # Hairs that cross the edge are black too, but thin: an opening takes them away.
    black = _grown(~_grown(~black, _HAIR_WIDTH // 2), _HAIR_WIDTH // 2)
    pieces, _ = ndimage.label(black)
    touching = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    return _grown(np.isin(pieces, touching[touching > 0]), _RIM)


def _grown(where: Where, pixels: int) -> Where:
    """Return a region grown by so many pixels to each side."""
    size = 2 * pixels + 1
    return np.asarray(ndimage.maximum_filter(where.view(np.uint8), size=size)).view(bool)


def _mean(what: str, pixels: Pixels) -> dict[str, Any]:
    means = pixels.reshape(-1, 3).mean(axis=0).tolist()
    return dict(zip((f"{what}_red", f"{what}_green", f"{what}_blue"), means, strict=True))
