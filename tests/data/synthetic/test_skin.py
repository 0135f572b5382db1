import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.data.synthetic import textures


def typology_angle(rgb: np.ndarray) -> float:
    """Compute ITA from sRGB by the forward formulas, which the module does not use."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = np.array(matrix) @ linear / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness, yellow = 116 * f[1] - 16, 200 * (f[1] - f[2])
    return float(np.rad2deg(np.arctan2(lightness - 50, yellow)))


@given(st.floats(-50, 65))
def test_the_colour_of_skin_has_the_angle_it_was_made_for(ita: float) -> None:
    assert typology_angle(textures.skin_colour(ita)) == pytest.approx(ita, abs=0.5)


@pytest.mark.parametrize(
    ("lab", "rgb"),
    # Published corners of sRGB in CIELAB under D65.
    [
        ((53.24, 80.09, 67.20), (255, 0, 0)),
        ((87.73, -86.18, 83.18), (0, 255, 0)),
        ((32.30, 79.19, -107.86), (0, 0, 255)),
        ((100, 0, 0), (255, 255, 255)),
        ((53.585, 0, 0), (128, 128, 128)),
    ],
)
def test_lab_to_rgb_gives_published_values(
    lab: tuple[float, float, float], rgb: tuple[int, int, int]
) -> None:
    assert 255 * textures.lab_to_rgb(np.array(lab)) == pytest.approx(np.array(rgb), abs=0.6)


def test_skin_tones_have_the_published_borders() -> None:
    angles = (60, 55, 48, 41, 35, 28, 20, 10, 0, -30, -31)
    names = [textures.skin_tone(angle) for angle in angles]
    assert names == [
        "very light", "light", "light", "intermediate", "intermediate", "tan", "tan", "brown",
        "brown", "dark", "dark",
    ]  # fmt: skip


def test_drawn_skin_keeps_to_its_colour() -> None:
    for ita in (60.0, 30.0, -40.0):
        drawn = textures.draw_skin(np.random.default_rng(2), ita=ita, size=96)
        assert drawn.shape == (3, 96, 96)
        assert 0 < drawn.min() < drawn.max() < 1.1
        wanted = textures.skin_colour(ita)
        assert drawn.mean(axis=(1, 2)) == pytest.approx(wanted, rel=0.2)
