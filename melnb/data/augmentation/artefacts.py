"""Artefacts drawn into pictures: hairs, rulers, surgical ink, gel bubbles, the dark corner.

Each is drawn in the share of images that `probability` says, from one uniform draw an image: 0 is
the identity, 1 draws always. What a model could learn from such marks instead of the lesion is no
small thing: Winkler et al. 2019, JAMA Dermatology 155:1135 (ink); Bissoto et al. 2019, arXiv
1904.08818 (rulers, dark corners, bubbles).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from melnb.data.augmentation.draws import spread

# Canvas: where a picture's pixels lie, and how paint covers them.
#
# Lengths are shares of the picture's shorter side and places lie about its middle, so that what is
# drawn looks the same at every size. A number of one image is a batch of them; beside pixels it
# stands as batch x 1 x 1 (`column`).


def side(images: Any) -> int:
    """Return the shorter side of images, pixels."""
    return int(min(images.shape[1:3]))


def reach(images: Any) -> tuple[float, float]:
    """Return width and height as shares of the shorter side."""
    return images.shape[2] / side(images), images.shape[1] / side(images)


def places(images: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return x (1 x 1 x width) and y (1 x height x 1) of the pixels."""
    x, y = (
        ((np.arange(n) - (n - 1) / 2) / side(images)).astype("float32")
        for n in (images.shape[2], images.shape[1])
    )
    return x[None, None, :], y[None, :, None]


def column(values: Any) -> Any:
    """Stand one number an image beside its pixels: batch x 1 x 1."""
    return ops.reshape(values, (-1, 1, 1))


def between(low: Any, high: Any, share: Any) -> Any:
    """Return the number a share of the way from low to high."""
    return low + (high - low) * share


def turned(images: Any, angle: Any, middle: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return how far pixels lie along and across a direction through a middle.

    Args:
        images: For their size.
        angle: Radians from x towards y, one an image.
        middle: x and y, one each an image.

    Returns:
        Along and across, batch x height x width.
    """
    x, y = places(images)
    cos, sin = column(ops.cos(angle)), column(ops.sin(angle))
    left, top = (column(value) for value in middle)
    along = cos * (x - left) + sin * (y - top)
    return along, cos * (y - top) - sin * (x - left)


def clouds(images: Any, draw: Any, cells: int, salt: int) -> Any:
    """Make smooth unevenness: batch x height x width, 0-1, of cells x cells numbers an image.

    Two products with matrices of bilinear weights, which every compiler has.
    """
    down, right = (_weights(length, cells) for length in images.shape[1:3])
    return ops.matmul(ops.matmul(down, spread(draw, (cells, cells), salt)), right.T)


def cover(images: Any, amount: Any, colour: Any) -> Any:
    """Paint a colour (batch x 3) over images by an amount (batch x height x width, 0-1)."""
    return images + amount[..., None] * (ops.reshape(colour, (-1, 1, 1, 3)) - images)


def happens(draw: Any, probability: float) -> Any:
    """Return 1 for that share of the draws, else 0: batch x 1 x 1."""
    return column(ops.cast(draw < probability, "float32"))


def angle_of(share: Any) -> Any:
    """Return a direction, radians: a share of the circle."""
    return 2 * math.pi * share


def _weights(length: int, cells: int) -> np.ndarray:
    place = np.linspace(0, cells - 1, length)[:, None]
    return np.asarray(np.clip(1 - np.abs(place - np.arange(cells)), 0, 1), "float32")


# Hairs, drawn from nothing but draws: curved strands, tapering, dark or blond, with a soft shade.
#
# A strand is a quadratic Bézier curve whose middle control point stands over the middle of its
# ends. In the frame of its ends, p running from -1 to 1, that is the parabola bend x (1 - p^2),
# so that no point of it has to be searched: a pixel's distance is taken across the chord, which
# costs a dozen sums and products a strand, and none of memory once compiled.
#
# Hairs were given to training pictures before by pasting photographs of hairs, as in solutions to
# SIIM-ISIC 2020; here there are no picture files.

# Reflectance against the picture's mean colour: black and brown mostly, then red, blond and grey.
_COLOURS = np.array(
    [
        [0.16, 0.15, 0.17], [0.20, 0.17, 0.17], [0.24, 0.19, 0.18], [0.28, 0.22, 0.20],
        [0.34, 0.26, 0.22], [0.40, 0.32, 0.27], [0.47, 0.37, 0.30], [0.36, 0.36, 0.38],
        [0.58, 0.42, 0.30], [0.84, 0.72, 0.55], [1.05, 1.00, 0.88], [1.25, 1.30, 1.32],
    ],
    "float32",
)  # fmt: skip
_NOWHERE = 1e4  # pixels: where strands lie that are not drawn


def hairs(images: Any, draw: Any, most: int, fewest: int = 0) -> Any:
    """Draw `fewest` to `most` hairs on each image; few are more frequent than many.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draw: One uniform draw an image.
        most: Strands; 0: none.
        fewest: Strands of every image.

    Returns:
        Images as given, 0-255.
    """
    if not most:
        return images
    of_all = spread(draw, (7,), salt=1)
    strands = _strands(images, draw, of_all, most, fewest)
    inked: Any = 0.0
    nearest: Any = -_NOWHERE
    for k in range(most):
        depth = _depth(images, {name: value[:, k] for name, value in strands.items()})
        amount = ops.clip(depth + 0.5, 0.0, 1.0) * column(strands["opacity"][:, k])
        inked, nearest = ops.maximum(inked, amount), ops.maximum(nearest, depth)
    blur = max(1.0, 0.012 * side(images))  # pixels over which the shade fades
    shade = ops.square(ops.clip(1 + nearest / blur, 0.0, 1.0))
    # As faint as the hairs themselves where they are thinner than a pixel.
    faint = ops.minimum(side(images) * between(0.0025, 0.0068, of_all[:, 4]), 1.0)
    shade = shade * column(between(0.0, 0.3, of_all[:, 5]) * faint)
    colour = _tone(of_all[:, 6]) * ops.mean(images, axis=(1, 2))
    images = images * ((1 - shade) * (1 - inked))[..., None]
    painted = images + inked[..., None] * ops.reshape(colour, (-1, 1, 1, 3))
    return ops.clip(painted, 0.0, 255.0)


def _strands(images: Any, draw: Any, of_all: Any, most: int, fewest: int) -> dict[str, Any]:
    """Make each strand's place and shape, batch x most; all of an image grow rather alike."""
    variation = spread(draw, (9, most), salt=2)
    pixels, (width, height) = side(images), reach(images)
    # Squared: of most hairy pictures a quarter of the strands is the median.
    number = fewest + ops.floor(ops.square(of_all[:, 0]) * (most - fewest + 1))
    drawn = np.arange(most, dtype="float32") < ops.reshape(number, (-1, 1))
    loose = between(0.2, 2.5, ops.square(of_all[:, 2:3]))
    shaved = of_all[:, 3:4] < 0.12
    half = ops.where(
        shaved, between(0.02, 0.07, variation[:, 4]), between(0.15, 0.75, variation[:, 4])
    )
    thick = between(0.0013, 0.0036, of_all[:, 4:5]) * between(0.6, 1.3, variation[:, 7]) * pixels
    return {
        "angle": angle_of(of_all[:, 1:2]) + loose * (variation[:, 0] + variation[:, 1] - 1),
        "x": (variation[:, 2] - 0.5) * (width + 0.2),
        "y": (variation[:, 3] - 0.5) * (height + 0.2),
        "half": half,
        "bend": half * (variation[:, 5] + variation[:, 6] - 1) * 0.7 * pixels,
        # What is thinner than a pixel is drawn as wide as one, and fainter.
        "thick": ops.maximum(thick, 0.5),
        "opacity": between(0.65, 1.0, variation[:, 8]) * ops.minimum(thick / 0.5, 1.0),
        "away": ops.where(drawn, 0.0, _NOWHERE),
    }


def _depth(images: Any, strand: dict[str, Any]) -> Any:
    """Return how deep in the strand each pixel lies, pixels, negative outside."""
    along, across = turned(images, strand["angle"], (strand["x"], strand["y"]))
    square = ops.square(along / column(strand["half"]))
    bend, thick = column(strand["bend"]), column(strand["thick"])
    distance = ops.abs(across * side(images) - bend + bend * square)
    # At the ends of the curve no pixel is covered any more.
    return (thick - column(strand["away"])) - (thick + 0.5) * ops.square(square) - distance


def _tone(draw: Any) -> Any:
    """Choose a row of the colours: a product, for XLA would repeat a look-up at every pixel."""
    number = ops.floor(ops.reshape(draw, (-1, 1)) * len(_COLOURS))
    chosen = ops.equal(number, np.arange(len(_COLOURS), dtype="float32"))
    return ops.matmul(ops.cast(chosen, "float32"), _COLOURS)


BUBBLES = 10  # at most

_VIOLET = np.array([1.15, 1.45, 0.45], "float32")  # absorbance of gentian violet at full amount
_BLUE = np.array([1.60, 1.10, 0.35], "float32")


def microscope(
    images: Any, draw: Any, probability: float, radius: tuple[float, float] = (0.66, 0.96)
) -> Any:
    """Darken what lies outside the round field of view, and a little what lies near its rim.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draw: One uniform draw an image.
        probability: Share of images.
        radius: Of the field at least and at most, shares of half the diagonal.

    Returns:
        Images as given, 0-255.
    """
    if not probability:
        return images
    of_all = spread(draw, (6,), salt=1)
    corner = math.hypot(*reach(images)) / 2
    x, y = places(images)
    left, top = (column(between(-0.05, 0.05, of_all[:, k])) for k in (0, 1))
    rim = corner * column(between(*radius, of_all[:, 2]))
    away = ops.sqrt(ops.square(x - left) + ops.square(y - top))
    soft = column(ops.maximum(between(0.006, 0.07, ops.square(of_all[:, 3])), 1 / side(images)))
    beyond = ops.clip((away - rim) / soft + 0.5, 0.0, 1.0)
    beyond = beyond * beyond * (3 - 2 * beyond)  # no edge where the darkness begins or ends
    fall = column(between(0.0, 0.4, of_all[:, 4])) * ops.square(ops.square(away / rim))
    chosen = happens(draw, probability)
    images = images * (1 - chosen * ops.clip(fall, 0.0, 0.6))[..., None]
    black = between(2.0, 16.0, of_all[:, 5:6]) * np.array([[1.0, 0.95, 1.0]], "float32")
    return cover(images, chosen * beyond, black)


def bubbles(images: Any, draw: Any, probability: float, fewest: int = 1) -> Any:
    """Draw air bubbles in the gel: dark outline, bright rim, lighter inside, a glint.

    Args and returns: as `microscope`; on each image `fewest` to BUBBLES of them.
    """
    if not probability:
        return images
    of_all, of_each = spread(draw, (4,), salt=1), spread(draw, (4, BUBBLES), salt=2)
    width, height = reach(images)
    number = ops.floor(of_all[:, 0:1] * (BUBBLES + 1 - fewest)) + fewest
    there = ops.cast(np.arange(BUBBLES, dtype="float32") < number, "float32")
    there = there * between(0.4, 1.0, of_each[:, 3])
    # They gather about a place: gel is squeezed in from a side.
    wide = between(0.25, 1.1, of_all[:, 3:4])
    right = ((of_all[:, 1:2] - 0.5) * (1.1 - wide) + (of_each[:, 0] - 0.5) * wide) * width
    down = ((of_all[:, 2:3] - 0.5) * (1.1 - wide) + (of_each[:, 1] - 0.5) * wide) * height
    radius = between(0.008, 0.075, of_each[:, 2] ** 3)
    light, dark = 0.0, 0.0
    for k in range(BUBBLES):
        one = (right[:, k], down[:, k], radius[:, k])
        bright, outline = _bubble(images, one, of_all[:, 3])
        light = ops.maximum(light, bright * column(there[:, k]))
        dark = ops.maximum(dark, outline * column(there[:, k]))
    chosen = happens(draw, probability)
    images = images * (1 - 0.2 * chosen * dark)[..., None]
    return cover(images, 0.85 * chosen * light, ops.ones_like(images[:, 0, 0]) * 252.0)


def ruler(images: Any, draw: Any, probability: float) -> Any:
    """Draw a scale's ticks, longer every fifth and tenth, along a side or aslant.

    Args and returns: as `microscope`.
    """
    if not probability:
        return images
    of_all, pixels = spread(draw, (14,), salt=1), side(images)
    along, across = beside(images, of_all)
    step = column(between(0.022, 0.07, of_all[:, 4]))
    count = ops.round(along / step)
    length = column(between(0.016, 0.04, of_all[:, 5]))
    fifth, tenth = (ops.cast(ops.equal(ops.mod(count, n), 0), "float32") for n in (5.0, 10.0))
    length = length * (1 + 0.5 * fifth + 0.4 * tenth)
    thick = between(0.0011, 0.003, of_all[:, 6]) * pixels
    half = column(ops.maximum(thick, 0.5))
    across = across * ops.where(column(of_all[:, 7]) < 0.5, -1.0, 1.0)
    tick = coverage(half - pixels * ops.abs(along - count * step))
    tick = tick * coverage(pixels * ops.minimum(across, length - across))
    lined = ops.where(column(of_all[:, 8]) < 0.35, 1.0, 0.0)  # no product of booleans
    line = coverage(half - pixels * ops.abs(across)) * lined
    ends = column(between(0.15, 0.6, of_all[:, 9])), column(between(0.15, 0.6, of_all[:, 10]))
    within = coverage(pixels * ops.minimum(along + ends[0], ends[1] - along))
    faint = ops.minimum(thick / 0.5, 1.0) * between(0.55, 1.0, of_all[:, 11])
    amount = ops.maximum(tick, line) * within * column(faint) * happens(draw, probability)
    tone = between(0.08, 0.45, ops.square(of_all[:, 12:13]))
    return cover(images, amount, tone * ops.mean(images, axis=(1, 2)))


def ink(images: Any, draw: Any, probability: float) -> Any:
    """Draw a surgical pen's stroke or dots near the border: violet to blue, uneven, see-through.

    Args and returns: as `microscope`.
    """
    if not probability:
        return images
    of_all = spread(draw, (14,), salt=1)
    along, across = beside(images, of_all)
    bend = column(between(-0.9, 0.9, of_all[:, 4]))
    step = column(between(0.09, 0.2, of_all[:, 5]))
    dotted = column(of_all[:, 6]) < 0.35
    first, last = (column(between(0.1, 0.6, of_all[:, k])) for k in (9, 10))
    spot = along - step * ops.clip(
        ops.round(along / step), -ops.floor(first / step), ops.floor(last / step)
    )
    past = ops.maximum(ops.maximum(-first - along, along - last), 0.0)
    past = ops.where(dotted, spot, past)  # from the nearest dot, or the nearer end of the stroke
    distance = ops.sqrt(ops.square(across + bend * ops.square(along)) + ops.square(past))
    ragged, grain = clouds(images, draw, 12, salt=2), clouds(images, draw, 90, salt=3)
    wide = column(between(0.014, 0.036, of_all[:, 7])) * (0.5 + ragged)
    soft = column(between(0.010, 0.030, of_all[:, 8]))
    amount = ops.clip((wide - distance + 0.02 * (grain - 0.5)) / soft + 0.5, 0.0, 1.0)
    # More where the skin is dry enough to take it, less in its furrows.
    dry = ops.clip(column(between(0.5, 1.3, of_all[:, 13])) + 0.9 * (grain - 0.5), 0.15, 1.2)
    amount = amount * dry * (0.5 + ragged) * column(between(0.35, 1.0, of_all[:, 11]))
    taken = between(_VIOLET, _BLUE, of_all[:, 12:13])
    taken = ops.reshape(taken, (-1, 1, 1, 3)) * (amount * happens(draw, probability))[..., None]
    return images * ops.exp(-taken)


def beside(images: Any, of_all: Any) -> tuple[Any, Any]:
    """Place a line beside the middle, mostly along a side: how far pixels lie along and across."""
    quarter = 0.25 * ops.floor(4 * of_all[:, 0])
    tilt = of_all[:, 1] - 0.5
    tilt = ops.where(of_all[:, 2] < 0.3, tilt, 0.08 * tilt)  # shares of the circle
    angle = angle_of(quarter + tilt)
    width, height = reach(images)
    away = between(0.33, 0.48, of_all[:, 3])
    place = (-ops.sin(angle) * away * width, ops.cos(angle) * away * height)
    return turned(images, angle, place)


def _bubble(images: Any, bubble: tuple[Any, Any, Any], light: Any) -> tuple[Any, Any]:
    """Return the brightness and the outline of one bubble, both batch x height x width, 0-1."""
    x, y = places(images)
    left, top, radius = (column(value) for value in bubble)
    x, y = (x - left) / radius, (y - top) / radius
    away = ops.sqrt(ops.square(x) + ops.square(y))
    pixel = 1 / (radius * side(images))  # so that an edge is never sharper than a pixel
    soft = ops.maximum(pixel, 0.1)
    rim = ops.clip(1 - ops.abs(away - 0.82) / (0.10 + soft), 0.0, 1.0)
    turn = column(angle_of(light))
    lit = ops.clip(0.55 + 0.45 * (x * ops.cos(turn) + y * ops.sin(turn)), 0.0, 1.0)
    spot = ops.square(x - 0.45 * ops.cos(turn)) + ops.square(y - 0.45 * ops.sin(turn))
    glint = ops.clip(1.2 - spot / ops.square(0.16 + 0.5 * pixel), 0.0, 1.0)
    inside = ops.clip((1 - away) / soft + 0.5, 0.0, 1.0)
    bright = ops.maximum(inside * (0.06 + 0.53 * rim * lit * lit), glint * inside)
    return bright, ops.clip(1 - ops.abs(away - 1.0) / (0.05 + soft), 0.0, 1.0)


def coverage(pixels: Any) -> Any:
    """Cover a pixel by how far it lies inside an edge: half on it, wholly half a pixel within."""
    return ops.clip(pixels + 0.5, 0.0, 1.0)
