"""Shape: the A, B and D of the ABCD rule, measured on a mask.

The rule: Stolz et al. 1994, European Journal of Dermatology 4:521; Nachbar et al. 1994, Journal of
the American Academy of Dermatology 30:551. They judge by eye; what stands here are measures that
follow their words. Shape is measured at one size: the lesion's box is brought to `SIDE` pixels and
its edge taken where a slightly blurred mask is one half, between pixels, so that neither scale nor
rotation nor the steps of the pixels matter much.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import find_contours

from melnb.data.lesions.crops import cut, find_box
from melnb.data.lesions.masks import Mask, one_piece

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
    found = Shape(
        area_share=float(mask.mean()),
        equivalent_diameter=math.sqrt(4 * float(mask.sum()) / math.pi) / shorter,
        edge_share=float(rim.mean()),
    )
    soft, scale = _normal_size(lesion)
    edge = _edge(soft)
    if edge is None:
        return found._replace(note="no shape: the lesion is too thin")
    border, longest = _border(edge)
    return found._replace(diameter=longest / scale / shorter, **border, **_symmetry(soft))


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
