"""Skin without a lesion: its tone, creases, blotches and freckles.

Tone is given by the individual typology angle, ITA = atan((L* - 50) / b*) in degrees, and named
by the classes of Del Bino & Bernerd, Br J Dermatol 2013;169(s3):33-40.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from melnb.data.synthetic import textures
from melnb.data.synthetic.textures import Field

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
    creases = textures.cut(rng, textures.furrows(), size, cells=rng.uniform(34, 60))
    blood, melanin = (textures.clouds(rng, size, slope=s, cells=64) for s in (1.2, 1.5))
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
    return textures.dots(size, places, rng.uniform(0.003, 0.014, number))
