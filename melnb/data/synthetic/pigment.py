"""The pigment of one lesion, by the ABCD rule of dermoscopy.

A lesion has a kind of growth (melanocytic or keratotic) and a degree of atypia. The atypia shows,
each time through noise of its own, in four traits: asymmetry, border, colours, structures. No
trait belongs to a class, so that classes overlap as they do on skin.
Source of the traits: Stolz et al., ABCD rule of dermatoscopy, Eur J Dermatol 1994;4:521-527.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melnb.data.synthetic import textures
from melnb.data.synthetic.textures import Field

EXTENT = 1.7  # half the frame's side, in mean radii of the lesion
_ANGLES = np.linspace(-np.pi, np.pi, 720, endpoint=False)
_TRAIT_NOISE = 0.35  # of each trait around the atypia, whose own deviation is about 1

# How much red, green and blue light a unit of pigment takes away, as -log of what is left.
_BROWN = (0.64, 0.97, 1.12)  # melanin near the surface
_BLACK = (1.10, 1.15, 1.05)  # dense melanin in the horny layer
_BLUE = (1.00, 0.60, 0.30)  # melanin deep in the dermis, seen through it
_RED = (0.06, 0.42, 0.34)  # blood
_WAX = (0.36, 0.50, 0.72)  # thickened horn


@dataclass(frozen=True)
class Pigment:
    """A lesion in its own frame, a square of `2 x EXTENT` mean radii.

    Attributes:
        absorption: 3 x n x n: -log of the red, green and blue light that is left.
        white: n x n, 0-1: scar, cysts and veil, which cover what is below.
        inside: n x n: above 0 in the lesion, below 0 outside.
    """

    absorption: Field
    white: Field
    inside: Field


@dataclass(frozen=True)
class Traits:
    """The ABCD of one lesion, each 0-1."""

    asymmetry: float
    border: float
    colour: float
    structure: float


def draw_pigment(rng: np.random.Generator, *, atypia: float, keratotic: bool, size: int) -> Pigment:
    """Draw one lesion.

    Args:
        rng: The lesion's own stream; its draws do not depend on `size`.
        atypia: How far it departs from a quiet mole, in standard deviations.
        keratotic: Whether it is thickened horn rather than pigment cells.
        size: Pixels on a side of the frame.
    """
    seen = atypia + _TRAIT_NOISE * rng.standard_normal(4)
    traits = Traits(*(1 / (1 + np.exp(-1.3 * seen))).tolist())
    level = _level(rng, size, traits)
    if keratotic:
        return _keratotic(rng, size, traits, level)
    return _melanocytic(rng, size, traits, level)


def _level(rng: np.random.Generator, size: int, traits: Traits) -> Field:
    """Return the distance from the border, in radii: below 0 inside."""
    x, y = textures.grid(size, EXTENT)
    large, small = 0.06 + 0.06 * traits.border, 0.005 + 0.055 * traits.border
    # Bending the plane gives outlines that no radius by angle has, and keeps them in one piece.
    x, y = (axis + _bend(rng, size, large, small) for axis in (x, y))
    radii = _radii(rng, traits).astype(np.float32)
    per_radian = np.float32(len(radii) / (2 * np.pi))
    turn = ((np.arctan2(y, x) + np.float32(np.pi)) * per_radian).astype(np.int32) % len(radii)
    level: Field = np.sqrt(x * x + y * y) / radii[turn] - np.float32(1)
    return level


def _bend(rng: np.random.Generator, size: int, large: float, small: float) -> Field:
    """Return how far each point moves along one axis; added up before enlarging, which costs."""
    waves, ripples = (textures.clouds(rng, 48, slope=slope) for slope in (3.0, 1.6))
    return textures.enlarge(large * waves + small * ripples, size)


def _radii(rng: np.random.Generator, traits: Traits) -> NDArray[np.float64]:
    """Return the radius at each of _ANGLES; its mean is 1."""
    oval, lopsided = rng.uniform(0.02, 0.2), 0.02 + 0.13 * traits.asymmetry
    orders = np.arange(2, 10)
    sizes = np.where(orders == 2, oval, 0.004 + 0.028 * traits.border)
    sizes = np.where(orders == 3, lopsided, sizes)
    phases = rng.uniform(-np.pi, np.pi, len(orders))
    amplitudes = sizes * rng.uniform(0.4, 1.2, len(orders))
    waves = amplitudes[:, None] * np.cos(orders[:, None] * _ANGLES + phases[:, None])
    radii = 1 + waves.sum(axis=0) + _streaks(rng, traits)
    bounded: NDArray[np.float64] = np.clip(radii / radii.mean(), 0.4, 1.4)
    return bounded


def _streaks(rng: np.random.Generator, traits: Traits) -> NDArray[np.float64]:
    """Return fingers that stand out from one part of the border."""
    number = int(rng.integers(7, 18))
    middle, width = rng.uniform(-np.pi, np.pi), rng.uniform(0.3, 1.1)
    where = middle + rng.uniform(-width, width, number)
    length = rng.uniform(0.05, 0.24, number)
    there = rng.random() < 0.03 + 0.5 * traits.structure**2
    gap = np.abs((_ANGLES[:, None] - where + np.pi) % (2 * np.pi) - np.pi)
    fingers: NDArray[np.float64] = (length * np.clip(1.6 - gap / 0.045, 0, 1)).max(axis=1)
    return there * fingers


def _melanocytic(rng: np.random.Generator, size: int, traits: Traits, level: Field) -> Pigment:
    """Paint a mole or a melanoma: network, globules, veil, blotches, scar."""
    x, y = textures.grid(size, EXTENT)
    patches = textures.clouds(rng, size, slope=2.0)
    spots = textures.clouds(rng, size, slope=1.0, cells=64)
    width = rng.uniform(0.03, 0.12) * np.exp((0.2 + 0.4 * traits.border) * patches)
    body = _step(-level / np.minimum(width, 0.2)) * _window(size)
    heart = np.exp(-rng.uniform(0.8, 2.5) * (level + 1) ** 2)  # the middle of the lesion
    tilt = rng.uniform(-math.pi, math.pi)
    slant = x * (traits.asymmetry * math.cos(tilt)) + y * (traits.asymmetry * math.sin(tilt))
    melanin = (
        0.65
        + rng.uniform(-0.3, 0.7) * heart
        + 0.4 * slant
        + (0.08 + 0.34 * traits.colour) * patches
        + rng.uniform(0.05, 0.2) * spots
    )
    melanin = np.maximum(melanin, 0.1) * _network(rng, size, traits, patches)
    dark = (0.38 + 0.75 * traits.colour) * rng.lognormal(0, 0.22)
    melanin = melanin * min(max(dark, 0.4), 1.7)
    melanin = (melanin + _globules(rng, size, traits)) * body
    black, blue, white = _colours(rng, size, traits, _step(-(level + 0.12) / 0.06))
    red = (0.5 * rng.random() ** 2 + 0.3 * traits.colour * np.abs(patches)) * body
    brown = melanin * (1 - 0.7 * white) * (1 - 0.5 * blue)
    parts = [(brown, _BROWN), (black, _BLACK), (blue, _BLUE), (red, _RED)]
    return Pigment(_absorb(parts), 0.7 * white + 0.2 * blue, -level)


def _network(rng: np.random.Generator, size: int, traits: Traits, patches: Field) -> Field:
    """Return a factor on melanin: a net that is even in a quiet mole and broken in an odd one."""
    net = textures.cut(rng, textures.honeycomb(), size, cells=rng.uniform(34, 60))
    strength = rng.uniform(0.2, 0.9) * (rng.random() < 0.7)
    even = _step(2 * patches + (2 - 2.4 * traits.structure))
    factor: Field = 1 + strength * even * (net - 0.45)
    return factor


def _globules(rng: np.random.Generator, size: int, traits: Traits) -> Field:
    """Return dots of melanin, in a corner of the lesion where structures are odd."""
    number = int(rng.integers(0, 10) * (rng.random() < 0.5) + 40 * traits.structure * rng.random())
    turn, odd = rng.uniform(-math.pi, math.pi), traits.structure * rng.uniform(0, 0.55)
    away = odd * np.array([math.cos(turn), math.sin(turn)])
    places = away + rng.normal(0, 0.42 - 0.2 * odd, (number, 2))
    strength = rng.uniform(0.2, 0.7)
    return strength * _dots(size, places, rng.uniform(0.014, 0.04, number))


def _colours(
    rng: np.random.Generator, size: int, traits: Traits, inner: Field
) -> tuple[Field, Field, Field]:
    """Return black blotches, blue veil and white scar, each there or not."""
    layers = []
    # chance without and with variegation, area (the height of the cloud), strength
    for base, extra, height, strength in (
        (0.01, 1.00, 0.1, 1.3),
        (0.01, 0.90, 0.25, 1.0),
        (0.02, 0.60, 0.5, 0.7),
    ):
        if rng.random() < base + extra * traits.colour**1.7:
            cloud = textures.clouds(rng, size, slope=1.9)
            layers.append(strength * rng.uniform(0.4, 1.0) * _step((cloud - height) / 0.25) * inner)
        else:
            layers.append(np.zeros_like(inner))
    black, blue, white = layers
    return black, blue, white * (1 - black / 1.2)


def _keratotic(rng: np.random.Generator, size: int, traits: Traits, level: Field) -> Pigment:
    """Paint a benign keratosis: a sharp edge, dull wax, furrows, cysts and plugs."""
    patches = textures.clouds(rng, size, slope=1.8)
    spots = textures.clouds(rng, size, slope=1.0, cells=64)
    flat = rng.random() < 0.35  # a lentigo: thin, tan, without furrows
    eaten = level + rng.uniform(0.01, 0.06) * spots  # a moth-eaten edge
    body = _step(-eaten / rng.uniform(0.02, 0.08)) * _window(size)
    brain = textures.cut(rng, textures.furrows(), size, cells=rng.uniform(14, 26))
    wax = rng.uniform(0.32, 0.6) if flat else np.clip(0.55 * rng.lognormal(0, 0.3), 0.35, 1.2)
    horn = 1 + (0.12 + 0.3 * traits.colour) * patches + rng.uniform(0.08, 0.25) * spots
    horn = wax * horn + (0.0 if flat else rng.uniform(0, 0.35)) * (brain - 0.3)
    plugs, cysts = _scatter(rng, size, 12 * (not flat)), _scatter(rng, size, 16 * (not flat))
    tan = rng.uniform(0.0, 0.2 + 0.4 * traits.colour)
    brown = np.maximum(tan * (1 + 0.3 * patches), 0) + 0.6 * plugs
    grey = rng.uniform(0.0, 0.15 + 0.3 * traits.colour) * _step(3 * patches)
    red = rng.uniform(0.0, 0.4) * body
    parts = [(np.maximum(horn, 0.1), _WAX), (brown, _BROWN), (grey, _BLUE)]
    parts = [(amount * body, colour) for amount, colour in parts]
    scale = rng.uniform(0, 0.15) * _step(2 * spots - 1)
    white = np.maximum(0.45 * cysts, scale) * body
    return Pigment(_absorb([*parts, (red, _RED)]), white, -level)


def _scatter(rng: np.random.Generator, size: int, most: int) -> Field:
    """Return a few dots, anywhere within the lesion."""
    number = int(rng.integers(0, most + 1))
    return _dots(size, rng.normal(0, 0.4, (number, 2)), rng.uniform(0.02, 0.06, number))


def _dots(size: int, places: NDArray[np.float64], radii: NDArray[np.float64]) -> Field:
    """Draw soft dots; places and radii in mean radii of the lesion."""
    coarse = textures.dots(size // 2, places / (2 * EXTENT) + 0.5, radii / (2 * EXTENT))
    return textures.enlarge(coarse, size)


def _window(size: int) -> Field:
    """Return a factor that falls from 1 to 0 before the frame's edge, which must not show."""
    x, y = textures.grid(size, EXTENT)
    window: Field = np.clip((EXTENT - np.maximum(np.abs(x), np.abs(y))) / 0.2, 0, 1)
    return window


def _absorb(parts: list[tuple[Field, tuple[float, float, float]]]) -> Field:
    """Add pigments up, channel by channel."""
    total = np.zeros((3, *parts[0][0].shape), dtype=np.float32)
    for amount, colour in parts:
        for channel in range(3):
            total[channel] += amount * colour[channel]
    return total


def _step(field: Field) -> Field:
    """Return the logistic function: 0 far below zero, 1 far above."""
    step: Field = 1 / (1 + np.exp(-np.clip(field, -30, 30)))
    return step
