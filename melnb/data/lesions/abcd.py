"""The ABCD rule in numbers: shape and colours of one picture's lesion.

No pandas here: worker processes import this module.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.color import rgb2lab
from skimage.measure import find_contours

from melnb.data.lesions.crops import cut, find_box
from melnb.data.lesions.masks import Mask, one_piece
from melnb.data.pictures import PictureError, decode_mask, read_bytes, read_picture

# Colours: the C of the ABCD rule, measured inside a mask and on the skin around it.
#
# Stolz et al. 1994, European Journal of Dermatology 4:521, count six colours: white, red, light
# brown, dark brown, blue-grey, black; white only where it is lighter than the skin around. They
# name no values. Each pixel is given here to the nearest in CIELAB of six prototypes, which were
# chosen for dermoscopes without calibration: counts rank the pictures of one source, and no more.

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
    colours = Colours(**named)
    return colours._replace(note="no skin around the lesion") if few else colours


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


# Shape: the A, B and D of the ABCD rule, measured on a mask.
#
# The rule: Stolz et al. 1994, European Journal of Dermatology 4:521; Nachbar et al. 1994, Journal
# of the American Academy of Dermatology 30:551. They judge by eye; what stands here are measures
# that follow their words. Shape is measured at one size: the lesion's box is brought to `SIDE`
# pixels and its edge taken where a slightly blurred mask is one half, between pixels, so that
# neither scale nor rotation nor the steps of the pixels matter much.

SIDE = 192  # pixels of the longer side of the lesion's box

_BLUR = 3.0  # pixels at that size: what is finer is noise of whoever drew the edge
_MOST_BLUR = SIDE / 16
_AXES = 18  # pairs of axes tried for the least asymmetry, 5 degrees apart; then some between
_STEP = 2.0  # pixels between the samples that are mirrored

Plane = NDArray[np.float64]


class Shape(NamedTuple):
    """Measures of a lesion's mask; NaN where `note` says why.

    Attributes:
        area_share: Of the picture.
        equivalent_diameter: Of the disc of the lesion's area, in shorter sides of the picture.
        diameter: Longest distance within the lesion (Feret's), likewise; without the scale of the
            dermoscope there are no millimetres.
        edge_share: Of the picture's outermost pixels, those inside the lesion: above 0, the lesion
            is cut off, and its shape is partly the picture's.
        elongation: Length of the minor over that of the major axis, by second moments; 1: round.
        asymmetry_major: Share of the lesion that its mirror image across the major principal axis
            does not cover, 0-1; both axes go through the centroid.
        asymmetry_minor: Likewise across the minor axis.
        asymmetry: Mean over two perpendicular axes, placed for the least of it, as the rule says;
            overlap as in Stoecker et al. 1992, Computerized Medical Imaging and Graphics 16:191.
        compactness: Perimeter squared over 4 pi times the area; a disc has 1, all else more.
        solidity: Area over that of the convex hull, at most 1.
        convexity: Perimeter of the convex hull over the lesion's, at most 1.
        radial_variation: Standard deviation over mean of the edge's distance from the centroid;
            a disc has 0.
        note: What could not be measured, and why.
    """

    area_share: float = math.nan
    equivalent_diameter: float = math.nan
    diameter: float = math.nan
    edge_share: float = math.nan
    elongation: float = math.nan
    asymmetry_major: float = math.nan
    asymmetry_minor: float = math.nan
    asymmetry: float = math.nan
    compactness: float = math.nan
    solidity: float = math.nan
    convexity: float = math.nan
    radial_variation: float = math.nan
    note: str = ""


def measure_shape(mask: Mask) -> Shape:
    """Measure a mask, height x width: all but the area of its largest piece, holes filled."""
    if not mask.any():
        return Shape(note="no shape: the mask is empty")
    lesion, shorter = one_piece(mask), min(mask.shape)
    rim = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    shape = Shape(
        area_share=float(mask.mean()),
        equivalent_diameter=math.sqrt(4 * float(mask.sum()) / math.pi) / shorter,
        edge_share=float(rim.mean()),
    )
    soft, scale = _normal_size(lesion)
    edge = _edge(soft)
    if edge is None:
        return shape._replace(note="no shape: the lesion is too thin")
    border, longest = _border(edge)
    return shape._replace(diameter=longest / scale / shorter, **border, **_symmetry(soft))


def _normal_size(lesion: Mask) -> tuple[Plane, float]:
    """Return a lesion with its box at `SIDE`, blurred and framed, and how much it was enlarged."""
    part = cut(lesion, find_box(lesion))
    scale = SIDE / max(part.shape)
    height, width = (max(1, round(side * scale)) for side in part.shape)
    levels = Image.fromarray(np.where(part, np.uint8(255), np.uint8(0)))
    values = np.asarray(levels.resize((width, height), Image.Resampling.BILINEAR)) / 255
    blur = min(max(_BLUR, scale), _MOST_BLUR)  # where pixels are coarse, by one of them
    framed = np.pad(values, math.ceil(4 * blur))
    return np.asarray(ndimage.gaussian_filter(framed, blur, mode="constant")), scale


def _edge(soft: Plane) -> Plane | None:
    """Return the closed polygon (n x 2) around the largest area, if there is any."""
    polygons = find_contours(soft, 0.5)  # type: ignore[no-untyped-call]
    return max(polygons, key=lambda p: abs(_area(p)), default=None)


def _area(polygon: Plane) -> float:
    """Return the signed area of a closed polygon."""
    y, x = polygon.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def _border(polygon: Plane) -> tuple[dict[str, Any], float]:
    """Return what the border is like, and the longest distance between two of its points."""
    steps = np.diff(polygon, axis=0)
    lengths = np.hypot(*steps.T)
    perimeter, area = float(lengths.sum()), abs(_area(polygon))
    hull = ConvexHull(polygon)
    corners = polygon[hull.vertices]
    # In the plane, scipy's `area` of a hull is its perimeter, and its `volume` the area.
    middles = (polygon[1:] + polygon[:-1]) / 2
    away = np.hypot(*(middles - _centroid(polygon)).T)
    mean = float(np.average(away, weights=lengths))
    spread = math.sqrt(float(np.average((away - mean) ** 2, weights=lengths)))
    apart = corners[:, None] - corners[None]
    measures = {
        "compactness": perimeter**2 / (4 * math.pi * area),
        "solidity": area / float(hull.volume),
        "convexity": float(hull.area) / perimeter,
        "radial_variation": spread / mean,
    }
    return measures, float(np.hypot(apart[..., 0], apart[..., 1]).max())


def _centroid(polygon: Plane) -> Plane:
    crossed = polygon[:-1, 1] * polygon[1:, 0] - polygon[1:, 1] * polygon[:-1, 0]
    sums = ((polygon[:-1] + polygon[1:]) * crossed[:, None]).sum(axis=0)
    return np.asarray(sums / (3 * crossed.sum()))


def _symmetry(soft: Plane) -> dict[str, Any]:
    """Return elongation and asymmetries."""
    rows, columns = np.indices(soft.shape)
    weights, total = soft, soft.sum()
    middle = np.array([(rows * weights).sum(), (columns * weights).sum()]) / total
    down, right = rows - middle[0], columns - middle[1]
    spread = np.array([(weights * a * b).sum() for a, b in ((right, right), (down, down))]) / total
    tilt = (weights * right * down).sum() / total
    least, most = np.linalg.eigvalsh([[spread[0], tilt], [tilt, spread[1]]])
    principal = 0.5 * math.atan2(2 * tilt, spread[0] - spread[1])
    reach = float(np.hypot(down, right)[soft > 0.01].max())
    step = math.pi / (2 * _AXES)
    pairs = [_mirrored(soft, middle, principal + k * step, reach) for k in range(_AXES)]
    best = min(range(_AXES), key=lambda k: sum(pairs[k]))
    between = (principal + (best + part) * step for part in (-0.5, -0.25, 0.25, 0.5))
    near = [_mirrored(soft, middle, angle, reach) for angle in between]
    return {
        "elongation": math.sqrt(least / most),
        "asymmetry_major": pairs[0][0],
        "asymmetry_minor": pairs[0][1],
        "asymmetry": min(sum(pair) / 2 for pair in (*pairs, *near)),
    }


def _mirrored(soft: Plane, middle: Plane, angle: float, reach: float) -> tuple[float, float]:
    """Return the share not covered by the mirror image across an axis, and the perpendicular one.

    Args:
        soft: The lesion, 0-1.
        middle: Row and column of the centroid.
        angle: Of the axis, radians from the columns' direction towards the rows'.
        reach: Pixels from the centroid to the farthest of the lesion.
    """
    count = math.ceil(reach / _STEP)
    along = np.arange(-count, count + 1) * _STEP
    u, v = along[None, :], along[:, None]  # along the axis, and across it
    cos, sin = math.cos(angle), math.sin(angle)
    places = [middle[0] + u * sin + v * cos, middle[1] + u * cos - v * sin]
    turned = ndimage.map_coordinates(soft, places, order=1)
    total = 2 * turned.sum()
    major = float(np.abs(turned - turned[::-1]).sum() / total)
    return major, float(np.abs(turned - turned[:, ::-1]).sum() / total)


MEASURES = (*Shape._fields[:-1], *Colours._fields[:-1])

_SIDE = 256  # pixels of the longer side of the box with its skin: colours need no more
_AROUND = 0.3  # skin looked at, in longer sides of the lesion's box


def measure_lesion(path: str, mask_path: str, reason: str = "") -> dict[str, Any]:
    """Measure one picture's lesion; what is missing or unreadable becomes a note.

    Args:
        path: Of the picture.
        mask_path: Of its mask, of the same framing at any size; empty: there is none.
        reason: Why the mask is not to be relied on; then nothing is measured.

    Returns:
        `MEASURES`, NaN where they are unknown, and `note`.
    """
    unknown = dict.fromkeys(MEASURES, float("nan"))
    if reason or not mask_path:
        return {**unknown, "note": reason or "no mask"}
    try:
        mask = np.asarray(np.asarray(decode_mask(read_bytes(mask_path), mask_path)) > 0)
        shape = measure_shape(mask)
        if not mask.any():
            return {**unknown, "note": "the mask is empty"}
        picture = read_picture(path)
        tall = mask.shape[0] * picture.width / (mask.shape[1] * picture.height)
        if abs(tall - 1) > 0.02:  # as `pictures.read_mask` tolerates
            raise PictureError(
                f"{mask_path}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels but its "
                f"picture {path} {picture.width} x {picture.height}"
            )
        colours = measure_colours(*_close(picture, mask))
    except PictureError as error:
        return {**unknown, "note": str(error)}
    notes = "; ".join(note for note in (shape.note, colours.note) if note)
    return {**shape._asdict(), **colours._asdict(), "note": notes}


def _close(picture: Image.Image, mask: Mask) -> tuple[Any, Mask]:
    """Return the lesion and the skin around it, at most `_SIDE` pixels long."""
    box = find_box(mask, margin=_AROUND)
    scale = min(1.0, _SIDE / max(box.width, box.height))
    size = (max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    height, width = mask.shape
    across, down = picture.width / width, picture.height / height
    region = (box.left * across, box.top * down, box.right * across, box.bottom * down)
    region = (*region[:2], min(region[2], picture.width), min(region[3], picture.height))
    pixels = picture.resize(size, Image.Resampling.BILINEAR, box=region)
    levels = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
    small = np.asarray(levels.resize(size, Image.Resampling.BILINEAR, box=box)) > 127
    return np.asarray(pixels), np.asarray(small)
