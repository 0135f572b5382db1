"""Hair removal: drawn hairs go, the lesion stays, and what has no hair is not touched."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from skimage.morphology import opening

from melnb.data import cleaning
from melnb.data.augmentation.artefacts import hairs
from melnb.data.cleaning import fill_in, find_hairs, remove_hairs

SKIN, LESION = np.array([205, 160, 140.0]), np.array([110, 66, 52.0])


def lesion(height: int = 150, width: int = 200, seed: int = 0) -> np.ndarray:
    """A lesion with a soft edge and a few dark globules on uneven skin, uint8."""
    rng = np.random.default_rng(seed)
    side = min(height, width)
    y, x = ((np.arange(n) - (n - 1) / 2) / side for n in (height, width))
    away = np.hypot(x[None, :] * 0.8, y[:, None])
    inside = 1 / (1 + np.exp((away - 0.24) / 0.03))
    picture = SKIN + inside[..., None] * (LESION - SKIN)
    picture += 6 * np.sin(9 * x[None, :] + 5 * y[:, None])[..., None]
    for left, top in rng.uniform(-0.15, 0.15, (9, 2)):
        spot = np.hypot(x[None, :] - left, y[:, None] - top) < 0.018
        picture[spot] -= 45
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype("uint8")


def hairy(picture: np.ndarray, most: int = 20, n: int = 12) -> np.ndarray:
    """The picture n times, with dark hairs of ours."""
    draw = np.random.default_rng(3).random(400).astype("float32")
    drawn = np.repeat(picture[None].astype("float32"), len(draw[:60]), axis=0)
    made = np.rint(np.asarray(hairs(drawn, draw[:60], most))).astype("uint8")
    darker = (picture.astype(float) - made).max(axis=-1) > 30
    share = darker.mean(axis=(1, 2))
    return made[np.argsort(-share)][:n]


@pytest.mark.parametrize("size", [(150, 200), (256, 256)])
def test_drawn_hairs_are_removed(size: tuple[int, int]) -> None:
    clean = lesion(*size)
    before, after, inside = [], [], []
    for picture in hairy(clean):
        removed = remove_hairs(picture)
        assert removed.dtype == np.uint8
        assert removed.shape == picture.shape
        before.append(np.abs(picture - clean.astype(float)).mean())
        after.append(np.abs(removed - clean.astype(float)).mean())
        strong = np.abs(picture - clean.astype(float)).max(axis=-1) > 40
        inside.append(np.abs(removed - clean.astype(float))[strong].mean())
    assert np.mean(before) / np.mean(after) > 3.5
    assert np.mean(inside) < 12


@pytest.mark.parametrize("size", [(64, 64), (150, 200), (300, 400), (1100, 1300)])
def test_a_lesion_without_hairs_comes_back_as_it_is(size: tuple[int, int]) -> None:
    picture = lesion(*size)
    assert not find_hairs(picture).any()
    assert remove_hairs(picture) is picture


@settings(max_examples=settings.default.max_examples // 7)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**16))
def test_pictures_of_any_size_are_taken(height: int, width: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = noise.copy()
    made = remove_hairs(noise)
    assert made.shape == noise.shape
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(noise, before)


def test_a_hair_is_found_at_every_size_and_a_broad_or_short_thing_is_not() -> None:
    for side in (200, 700, 1500):
        image = Image.new("RGB", (side, side), (205, 160, 140))
        pen = ImageDraw.Draw(image)
        pen.line([(0, side * 0.2), (side, side * 0.5)], (40, 25, 20), round(side * 0.008))
        bar = [side * 0.1, side * 0.7, side * 0.9, side * 0.8]
        pen.rectangle(bar, (40, 25, 20))
        pen.line([(side * 0.7, side * 0.1), (side * 0.74, side * 0.1)], (40, 25, 20), side // 100)
        found = find_hairs(np.asarray(image))
        assert found[:, side // 2].nonzero()[0].mean() / side == pytest.approx(0.35, abs=0.01)
        assert 0.005 < found.mean() < 0.05
        assert not found[round(side * 0.69) :].any()
        assert not found[: round(side * 0.12), round(side * 0.69) :].any()


def test_ink_blood_and_light_hairs_stay() -> None:
    for colour in ((200, 60, 60), (90, 80, 205), (250, 240, 230)):  # none is dark in every channel
        image = Image.new("RGB", (200, 200), (205, 160, 140))
        ImageDraw.Draw(image).line([(0, 30), (200, 150)], colour, 3)
        assert not find_hairs(np.asarray(image)).any()


def test_pixels_are_filled_in_from_those_around_them() -> None:
    ramp = np.linspace(20, 220, 60)[:, None, None] * np.ones((60, 50, 3))
    picture = np.rint(ramp).astype("uint8")
    where = np.zeros((60, 50), dtype=bool)
    where[:, 20:24] = True
    where[30:33, :40] = True
    spoilt = picture.copy()
    spoilt[where] = 0
    filled = fill_in(spoilt, where)
    assert np.abs(filled.astype(int) - picture).max() <= 4
    np.testing.assert_array_equal(filled[~where], picture[~where])
    everywhere = np.ones((6, 7), dtype=bool)
    assert fill_in(picture[:6, :7], everywhere).shape == (6, 7, 3)  # nothing to go by, no error


@pytest.mark.parametrize(("angle", "shape"), [(0.0, (1, 9)), (math.pi / 2, (9, 1))])
def test_an_opening_by_a_line_is_scikit_images(angle: float, shape: tuple[int, int]) -> None:
    where = np.random.default_rng(1).random((40, 50)) < 0.8
    steps = cleaning._line(angle, 9)
    fits = cleaning._over(where, steps, np.logical_and, beyond=True)
    made = cleaning._over(fits, steps, np.logical_or, beyond=False)
    wanted = opening(where.astype(np.uint8), np.ones(shape)) > 0
    np.testing.assert_array_equal(made[4:-4, 4:-4], wanted[4:-4, 4:-4])


@given(st.floats(0, math.pi), st.integers(5, 60))
def test_lines_are_as_long_in_every_direction(angle: float, length: int) -> None:
    steps = np.array(cleaning._line(angle, length))
    # Each end is rounded twice: by half a step along the longer side, and a step is sqrt(2) of the
    # line at most; by half a pixel along the shorter, and a pixel is sqrt(1/2) of it at most.
    most = math.sqrt(2) + math.sqrt(0.5)
    assert np.hypot(*np.ptp(steps, axis=0)) == pytest.approx(length, abs=most + 1e-9)
    assert np.abs(np.diff(steps, axis=0)).max() == 1
    np.testing.assert_array_equal(steps, -steps[::-1])
