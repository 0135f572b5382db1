"""The grain of skin and lesions: clouds, a honeycomb, furrows, dots and strokes.

Noise is made on a small grid and enlarged, and costly patterns are made once a process, from a
fixed stream: both keep a picture at a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import cKDTree

# Skin without a lesion: its tone, creases, blotches and freckles.
#
# Tone is given by the individual typology angle, ITA = atan((L* - 50) / b*) in degrees, and named
# by the classes of Del Bino & Bernerd, Br J Dermatol 2013;169(s3):33-40.

SKIN_TONES = ("very light", "light", "intermediate", "tan", "brown", "dark")
_LOWER_ANGLES = (55.0, 41.0, 28.0, 10.0, -30.0)
DARK_BELOW = 10.0  # degrees: brown and dark skin

_D65 = np.array([0.95047, 1.0, 1.08883])
_XYZ_TO_RGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)


def skin_tone(ita: float) -> str:
    """Return the class of a typology angle in degrees."""
    darker = sum(ita <= angle for angle in _LOWER_ANGLES)
    return SKIN_TONES[darker]


def skin_colour(ita: float, *, yellow: float = 16.0, red: float = 14.0) -> NDArray[np.float64]:
    """Return red, green and blue, 0-1 in sRGB, of skin with an angle in degrees.

    Args:
        ita: Individual typology angle.
        yellow: b* of CIELAB.
        red: a* of CIELAB.
    """
    lightness = 50 + yellow * np.tan(np.deg2rad(ita))
    return lab_to_rgb(np.array([np.clip(lightness, 18, 92), red, yellow]))


def lab_to_rgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sRGB, 0-1, of one colour in CIELAB under D65 (IEC 61966-2-1)."""
    f = (lab[0] + 16) / 116 + np.array([lab[1] / 500, 0.0, -lab[2] / 200])
    xyz = _D65 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = np.clip(_XYZ_TO_RGB @ xyz, 0, 1)
    curved = 1.055 * linear ** (1 / 2.4) - 0.055
    rgb: NDArray[np.float64] = np.where(linear <= 0.0031308, 12.92 * linear, curved)
    return rgb


def draw_skin(rng: np.random.Generator, *, ita: float, size: int) -> Field:
    """Draw bare skin.

    Args:
        rng: The lesion's own stream: its pictures share the skin around it.
        ita: Individual typology angle in degrees.
        size: Pixels on a side.

    Returns:
        3 x size x size: what red, green and blue light comes back, 0-1.
    """
    colour = skin_colour(ita, yellow=rng.normal(16, 1.2), red=rng.normal(14, 2.0))
    creases = cut(rng, furrows(), size, cells=rng.uniform(34, 60))
    blood, melanin = (clouds(rng, size, slope=s, cells=64) for s in (1.2, 1.5))
    relief = rng.uniform(0.01, 0.07) * creases
    freckles = rng.uniform(0.05, 0.35) * _freckles(rng, size)
    flush, tan = rng.uniform(0.015, 0.06), rng.uniform(0.015, 0.06)
    skin = np.empty((3, size, size), dtype=np.float32)
    for channel, (of_blood, of_melanin) in enumerate(((0.3, 0.6), (1.0, 0.9), (0.9, 1.2))):
        darker = of_blood * flush * blood + of_melanin * (tan * melanin + freckles)
        skin[channel] = float(colour[channel]) * np.exp(-darker - relief)
    return skin


def _freckles(rng: np.random.Generator, size: int) -> Field:
    """Return a few small spots of melanin; most skins have none."""
    number = int(rng.integers(3, 22)) if rng.random() < 0.35 else 0
    places = rng.random((number, 2))
    return dots(size, places, rng.uniform(0.003, 0.014, number))


Field = NDArray[np.floating[Any]]

TILE = 320  # pixels on a side of a pattern
CELL = 5.0  # pixels between the pattern's cells


def clouds(rng: np.random.Generator, size: int, *, slope: float = 1.5, cells: int = 48) -> Field:
    """Make smooth noise of mean 0 and standard deviation 1.

    Args:
        rng: Where chance comes from; the draws do not depend on `size`.
        size: Pixels on a side.
        slope: Fall of the amplitude with frequency: 1 is rough, 3 has a few large waves.
        cells: Pixels on a side of the grid on which it is made.
    """
    waves = rng.standard_normal((cells, cells // 2 + 1, 2), dtype=np.float32)
    spectrum = waves.view(np.complex64)[..., 0] * _falloff(cells, slope)
    field = np.fft.irfft2(spectrum, s=(cells, cells))
    return enlarge(field / field.std(), size)


def enlarge(field: Field, size: int) -> Field:
    """Return a square field at another size."""
    if len(field) == size:
        return field
    picture = Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.float32)


def cut(rng: np.random.Generator, tile: Field, size: int, *, cells: float) -> Field:
    """Return a piece of a pattern, from a random place, turned over at random.

    Args:
        rng: Where chance comes from.
        tile: A pattern, TILE pixels on a side.
        size: Pixels on a side of the result.
        cells: How many of the pattern's cells go across it.
    """
    side = min(round(cells * CELL), TILE)
    top, left = rng.integers(0, TILE - side + 1, 2)
    piece = tile[top : top + side, left : left + side]
    down, across = rng.integers(0, 2, 2) * 2 - 1
    return enlarge(np.ascontiguousarray(piece[::down, ::across]), size)


@cache
def honeycomb() -> Field:
    """Make the pigment network's pattern: 1 on the lines, 0 in the holes."""
    near, next_near = _distances(jitter=0.33, stretch=1.0)
    lines = np.exp(-(((next_near - near) / (0.32 * CELL)) ** 2))
    return _unit(ndimage.gaussian_filter(lines, 0.4))


@cache
def furrows() -> Field:
    """Make the creases of skin: 1 in a crease, 0 on the plateaus between."""
    near, next_near = _distances(jitter=0.45, stretch=1.7)
    lines = np.exp(-(next_near - near) / (0.25 * CELL))
    return _unit(ndimage.gaussian_filter(lines, 0.5))


@lru_cache(16)  # a megabyte or so each
def grid(size: int, extent: float) -> tuple[Field, Field]:
    """Return x and y of every pixel of a square from -extent to extent."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1) * np.float32(extent)
    x, y = np.meshgrid(axis, axis)
    return x.astype(np.float32), y.astype(np.float32)


def dots(size: int, centres: NDArray[np.float64], radii: NDArray[np.float64]) -> Field:
    """Draw filled circles: 1 inside, 0 outside, smooth at the rim.

    Args:
        size: Pixels on a side.
        centres: n x 2, each coordinate 0-1.
        radii: n, in the same unit.
    """
    picture = Image.new("L", (2 * size, 2 * size))
    draw = ImageDraw.Draw(picture)
    for (x, y), radius in zip(centres * 2 * size, radii * 2 * size, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return _halved(picture)


def strokes(size: int, lines: Sequence[NDArray[np.float64]], widths: Sequence[float]) -> Field:
    """Draw polylines: 1 on the line, 0 beside it.

    Args:
        size: Pixels on a side.
        lines: Each n x 2, coordinates 0-1.
        widths: Of each line, in the same unit.
    """
    picture = Image.new("L", (2 * size, 2 * size))
    draw = ImageDraw.Draw(picture)
    for line, width in zip(lines, widths, strict=True):
        points = [(float(x), float(y)) for x, y in line * 2 * size]
        draw.line(points, fill=255, width=max(round(width * 2 * size), 1), joint="curve")
    return _halved(picture)


def _halved(picture: Image.Image) -> Field:
    return np.asarray(picture.reduce(2), dtype=np.float32) / 255


@cache
def _falloff(cells: int, slope: float) -> Field:
    down = np.fft.fftfreq(cells)[:, None] * cells
    across = np.fft.rfftfreq(cells)[None, :] * cells
    frequency = np.hypot(down, across)
    frequency[0, 0] = np.inf  # no constant part: the mean is 0
    amplitude: Field = (frequency**-slope).astype(np.float32)
    return amplitude


def _distances(*, jitter: float, stretch: float) -> tuple[NDArray[np.float64], ...]:
    """Return each pixel's distance to the nearest and the second nearest of scattered points."""
    rng = np.random.default_rng(20)  # one pattern for all: pieces of it are cut at random
    rows, columns = np.indices((int(TILE / CELL) + 4,) * 2) - 2.0
    points = np.stack([(rows + 0.5 * (columns % 2)).ravel(), columns.ravel()], axis=1)
    points = (points + rng.normal(0, jitter, points.shape)) * CELL * (1, stretch)
    pixels = np.indices((TILE, TILE)).reshape(2, -1).T
    distances, _ = cKDTree(points).query(pixels, k=2)
    return distances[:, 0].reshape(TILE, TILE), distances[:, 1].reshape(TILE, TILE)


def _unit(field: NDArray[np.float64]) -> Field:
    low, high = np.quantile(field, [0.01, 0.99])
    unit: Field = np.clip((field - low) / (high - low), 0, 1).astype(np.float32)
    return unit
