"""What lies between the lens and the lesion: hairs, ruler, ink, bubbles, dark corners.

Each function draws on a picture (3 x size x size, 0-1) in place. Coordinates go from 0 to 1
across the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from melnb.data.synthetic import textures
from melnb.data.synthetic.textures import Field

Points = NDArray[np.float64]


def draw_hairs(
    picture: Field, rng: np.random.Generator, place: Callable[[Points], Points], thickness: float
) -> None:
    """Draw hairs that lie roughly along one direction.

    Args:
        picture: Drawn upon.
        rng: The lesion's own stream: hairs stay where they grow.
        place: Moves points from the skin (n x 2, the middle at 0.5) to the picture.
        thickness: Of the lens: 1 at zoom 1.
    """
    size = picture.shape[1]
    number = int(np.clip(rng.lognormal(2.0, 0.8), 2, 45))
    direction = rng.uniform(0, np.pi)
    lines = [place(_hair(rng, direction)) for _ in range(number)]
    widths = thickness * rng.uniform(0.003, 0.0085, number)
    cover = textures.strokes(size, lines, widths.tolist()) * np.float32(rng.uniform(0.55, 0.95))
    light = rng.random() < 0.15
    colour = np.array([0.62, 0.50, 0.38] if light else [0.13, 0.09, 0.08])
    _cover(picture, cover, colour * rng.uniform(0.6, 1.3))


def draw_ruler(picture: Field, rng: np.random.Generator) -> None:
    """Draw a millimetre scale along one side of the picture."""
    step, start = rng.uniform(0.028, 0.06), rng.uniform(0.05, 0.25)
    number = int(rng.integers(10, 18))
    edge = rng.uniform(0.05, 0.13)
    along = start + step * np.arange(number)
    length = np.where(np.arange(number) % 5 == 0, 0.05, 0.028)
    ticks = [np.array([[a, edge], [a, edge + t]]) for a, t in zip(along, length, strict=True)]
    if rng.random() < 0.6:
        ticks.append(np.array([[along[0], edge], [along[-1], edge]]))
    quarters, width = int(rng.integers(0, 4)), rng.uniform(0.003, 0.006)
    lines = [_turned(tick, quarters) for tick in ticks]
    cover = textures.strokes(picture.shape[1], lines, [width] * len(lines))
    _cover(picture, 0.85 * cover, np.array([0.10, 0.09, 0.11]))


def draw_ink(picture: Field, rng: np.random.Generator, place: Callable[[Points], Points]) -> None:
    """Draw a surgical pen's mark beside the lesion: violet, uneven, letting skin show through.

    Args:
        picture: Drawn upon.
        rng: The lesion's own stream: ink stays on the skin.
        place: As in `draw_hairs`.
    """
    size = picture.shape[1]
    t = np.linspace(0, 1, 24)
    edge = rng.uniform(0.03, 0.14) + rng.normal(0, 0.05) * np.sin(3 * t) + 0.02 * np.sin(9 * t)
    along = rng.uniform(-0.2, 0.2) + rng.uniform(0.5, 1.2) * t
    line = place(_turned(np.stack([along, edge], axis=1), int(rng.integers(0, 4))))
    cover = textures.strokes(size // 4, [line], [rng.uniform(0.025, 0.06)])
    uneven = textures.clouds(rng, size, slope=1.0, cells=64)
    amount = np.clip(textures.enlarge(cover, size) * (0.7 + 0.35 * uneven), 0, 1)
    for channel, taken in enumerate((1.15, 1.35, 0.40)):
        picture[channel] *= np.exp(-taken * amount)


def draw_bubbles(picture: Field, rng: np.random.Generator) -> None:
    """Draw air bubbles in the gel: a bright rim, a dark one inside it, a glint."""
    size, number = picture.shape[1], int(rng.integers(2, 14))
    places, radii = rng.random((number, 2)), rng.gamma(2.0, 0.011, number)
    outer, rim = (textures.dots(size, places, radii * k) for k in (1.0, 0.82))
    glints = textures.dots(size, places - 0.4 * radii[:, None], 0.22 * radii)
    picture += 0.16 * np.clip(outer - rim, 0, 1) - 0.05 * rim
    _cover(picture, 0.8 * glints, np.ones(3))


def draw_corners(picture: Field, rng: np.random.Generator) -> None:
    """Darken what lies outside the lens's round field of view."""
    x, y = textures.grid(picture.shape[1], 1.0)
    radius, softness = rng.uniform(1.02, 1.36), rng.uniform(0.01, 0.06)
    left, up = rng.normal(0, 0.04, 2)
    beyond = (np.sqrt((x - left) ** 2 + (y - up) ** 2) - radius) / softness
    _cover(picture, 1 / (1 + np.exp(np.clip(-beyond, -30, 30))), np.full(3, 0.03))


def _hair(rng: np.random.Generator, direction: float) -> Points:
    """Return one hair on the skin: a curve with one bend."""
    middle, turn = rng.uniform(-0.2, 1.2, 2), direction + rng.normal(0, 0.45)
    half = rng.uniform(0.12, 0.5) * np.array([np.cos(turn), np.sin(turn)])
    bend = rng.normal(0, 0.22) * np.array([-half[1], half[0]])
    t = np.linspace(-1, 1, 13)[:, None]
    return middle + t * half + (1 - t * t) * bend


def _turned(points: Points, quarters: int) -> Points:
    """Turn points about the picture's middle by quarters of a circle."""
    x, y = points[:, 0], points[:, 1]
    return np.stack([(x, y), (1 - y, x), (1 - x, 1 - y), (y, 1 - x)][quarters], axis=1)


def _cover(picture: Field, cover: Field, colour: NDArray[np.float64]) -> None:
    """Paint a colour over a picture, as thickly as `cover` (0-1) says."""
    for channel in range(3):
        picture[channel] += cover * (np.float32(colour[channel]) - picture[channel])
