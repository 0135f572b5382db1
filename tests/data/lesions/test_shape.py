"""Shape: known values of discs, ellipses, squares and triangles, however they lie."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import ellipe
from skimage.draw import polygon2mask

from melnb.data.lesions.abcd import Shape, measure_shape

FEW = settings(max_examples=settings.default.max_examples // 12)
ANGLES = st.floats(0, 180)
SCALES = ("compactness", "solidity", "convexity", "radial_variation", "elongation")
ASYMMETRIES = ("asymmetry_major", "asymmetry_minor", "asymmetry")


def ellipse(major: float, minor: float, angle: float = 0, size: int = 200) -> np.ndarray:
    """An ellipse in the middle of a square; half-axes in pixels, angle in degrees."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    turn = math.radians(angle)
    u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    return (u / major) ** 2 + (v / minor) ** 2 < 1


def polygon(corners: list[tuple[float, float]], angle: float = 0, size: int = 200) -> np.ndarray:
    turn = math.radians(angle)
    turned = np.array(corners) @ [
        [math.cos(turn), -math.sin(turn)],
        [math.sin(turn), math.cos(turn)],
    ]
    return polygon2mask((size, size), turned + size / 2)


@FEW
@given(st.floats(25, 95))
@example(25.625)
@example(27.56)
def test_a_disc_is_round_at_any_size(radius: float) -> None:
    found = measure_shape(ellipse(radius, radius))
    # One of few pixels has corners: of the 1,836 that there are, those have up to 0.47 / radius.
    assert found.compactness == pytest.approx(1, abs=max(0.01, 0.5 / radius))
    assert found.compactness >= 1
    assert found.solidity == pytest.approx(1, abs=0.01)
    assert found.convexity == pytest.approx(1, abs=0.01)
    assert found.elongation == pytest.approx(1, abs=0.01)
    assert found.radial_variation == pytest.approx(0, abs=0.01)
    assert found.asymmetry == pytest.approx(0, abs=0.01)
    assert max(found.asymmetry_major, found.asymmetry_minor) < 0.02
    assert found.equivalent_diameter == pytest.approx(radius / 100, rel=0.02)
    assert found.diameter == pytest.approx(radius / 100, rel=0.03)
    assert found.area_share == pytest.approx(math.pi * radius**2 / 200**2, rel=0.03)
    assert (found.edge_share, found.note) == (0, "")


@FEW
@given(ANGLES, st.floats(0.4, 0.9))
def test_an_ellipse_has_its_values_however_it_lies(angle: float, ratio: float) -> None:
    found = measure_shape(ellipse(80, 80 * ratio, angle))
    perimeter = 4 * ellipe(1 - ratio**2)
    assert found.compactness == pytest.approx(
        perimeter**2 / (4 * math.pi * math.pi * ratio), rel=0.01
    )
    assert found.elongation == pytest.approx(ratio, abs=0.01)
    assert found.solidity > 0.99
    assert max(found.asymmetry_major, found.asymmetry_minor, found.asymmetry) < 0.02
    assert found.diameter == pytest.approx(0.8, rel=0.02)
    assert found.equivalent_diameter == pytest.approx(0.8 * math.sqrt(ratio), rel=0.01)


@FEW
@given(ANGLES)
def test_a_ragged_lesion_has_the_same_values_however_it_lies(angle: float) -> None:
    rays = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    away = 50 + 14 * np.sin(3 * rays + 1) + 9 * np.cos(7 * rays) + 12 * np.cos(rays)
    corners = np.stack([away * np.cos(rays), 0.7 * away * np.sin(rays)], axis=1).tolist()
    straight, turned = (measure_shape(polygon(corners, a)) for a in (0, angle))
    for name in (*SCALES, *ASYMMETRIES, "area_share", "diameter", "equivalent_diameter"):
        wanted = getattr(straight, name)
        assert getattr(turned, name) == pytest.approx(wanted, rel=0.02, abs=0.01), name
    assert straight.asymmetry > 0.08
    assert straight.compactness > 1.3
    assert straight.solidity < 0.95


@FEW
@given(st.integers(2, 5))
def test_a_finer_picture_has_the_same_values(factor: int) -> None:
    mask = ellipse(28, 16, 30, 80) | ellipse(9, 25, 10, 80)
    fine = np.kron(mask, np.ones((factor, factor), dtype=bool))
    coarse, found = measure_shape(mask), measure_shape(fine)
    for name in Shape._fields[:-1]:
        wanted = getattr(coarse, name)
        assert getattr(found, name) == pytest.approx(wanted, rel=0.05, abs=0.02), name


def test_a_square() -> None:
    found = measure_shape(polygon([(-60, -60), (-60, 60), (60, 60), (60, -60)]))
    assert found.compactness == pytest.approx(4 / math.pi, rel=0.03)
    assert found.elongation == pytest.approx(1, abs=0.01)
    assert found.diameter == pytest.approx(1.2 * math.sqrt(2) / 2, rel=0.03)
    # Distance to a side's points: the mean and the square of it, over the half-side.
    mean = (math.sqrt(2) + math.asinh(1)) / 2
    assert found.radial_variation == pytest.approx(math.sqrt(4 / 3 - mean**2) / mean, rel=0.06)


@pytest.mark.parametrize("angle", [0, 33, 90, 140])
def test_a_triangle_is_symmetric_about_its_height_alone(angle: float) -> None:
    # Through the centroid, at a third of the height, its mirror image covers two thirds of it.
    found = measure_shape(polygon([(-80, 0), (70, -35), (70, 35)], angle))
    assert found.asymmetry_major == pytest.approx(0, abs=0.02)
    assert found.asymmetry_minor == pytest.approx(1 / 3, abs=0.02)
    assert found.asymmetry <= (found.asymmetry_major + found.asymmetry_minor) / 2


@pytest.mark.parametrize("angle", [0, 20, 45, 71])
def test_axes_are_placed_for_the_least_asymmetry(angle: float) -> None:
    # An equilateral triangle has no principal axes, but it has an axis of symmetry.
    corners = [(60 * math.cos(a), 60 * math.sin(a)) for a in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
    found = measure_shape(polygon(corners, angle))
    assert found.asymmetry == pytest.approx(1 / 6, abs=0.025)


def test_a_notch_takes_solidity_and_a_fringe_compactness() -> None:
    disc = ellipse(60, 60)
    notched = disc & ~polygon([(0, 0), (-90, -15), (-90, 15)])
    found = measure_shape(notched)
    assert found.solidity == pytest.approx(notched.sum() / disc.sum(), abs=0.03)
    assert found.compactness > 1.3
    assert found.convexity < 0.9


def test_the_largest_piece_without_holes_is_measured() -> None:
    disc = ellipse(60, 60)
    spotted = disc & ~ellipse(10, 10)
    spotted[:5, :5] = True
    found, wanted = measure_shape(spotted), measure_shape(disc)
    for name in (*SCALES, *ASYMMETRIES, "diameter"):
        assert getattr(found, name) == getattr(wanted, name)
    assert found.area_share == spotted.mean()


def test_a_lesion_that_is_cut_off_is_told() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[:, :30] = True
    assert measure_shape(mask).edge_share == pytest.approx((30 + 30 + 38) / (60 + 60 + 38 + 38))
    assert measure_shape(np.ones((7, 9), dtype=bool)).edge_share == 1


def test_empty_and_thin_masks_have_a_note_and_no_shape() -> None:
    empty = measure_shape(np.zeros((10, 10), dtype=bool))
    assert empty.note == "no shape: the mask is empty"
    assert np.isnan(empty[:-1]).all()
    line = np.zeros((80, 80), dtype=bool)
    line[40, 10:70] = True
    found = measure_shape(line)
    assert found.note == "no shape: the lesion is too thin"
    assert found.area_share == pytest.approx(60 / 6400)
    assert math.isnan(found.compactness)
    assert math.isnan(found.asymmetry)


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_a_few_pixels_are_measured(side: int) -> None:
    mask = np.zeros((30, 30), dtype=bool)
    mask[4 : 4 + side, 6 : 6 + side] = True
    found = measure_shape(mask)
    assert not found.note
    assert 1 <= found.compactness < 1.3
    assert found.asymmetry < 0.01
