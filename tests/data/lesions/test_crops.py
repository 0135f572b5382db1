"""Crops: exact boxes, exact round trips, and margins that fade."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from melnb.data.lesions.crops import Box, crop_picture, cut, fade, find_box, margin_pixels, place


def small_mask(bits: int, height: int, width: int) -> np.ndarray:
    places = np.arange(height * width, dtype=np.uint64)
    return ((np.uint64(bits) >> places) & np.uint64(1)).astype(bool).reshape(height, width)


# A number's bits are a mask: ten times as fast to draw as an array.
SIDES = st.integers(1, 8)
MASKS = st.builds(small_mask, st.integers(1, 2**64 - 1), SIDES, SIDES).filter(np.any)


def picture(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(1)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@given(MASKS)
def test_a_box_without_margin_is_the_tightest(mask: np.ndarray) -> None:
    box = find_box(mask)
    rows, columns = np.nonzero(mask)
    assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_array_equal(place(cut(mask, box), box, mask.shape[1], mask.shape[0]), mask)


@given(MASKS, st.floats(0, 2), st.booleans())
def test_any_box_lies_in_the_picture_and_goes_round_the_mask(
    mask: np.ndarray, margin: float, square: bool
) -> None:
    box, tight = find_box(mask, margin=margin, square=square), find_box(mask)
    height, width = mask.shape
    assert 0 <= box.left <= tight.left < tight.right <= box.right <= width
    assert 0 <= box.top <= tight.top < tight.bottom <= box.bottom <= height
    np.testing.assert_array_equal(place(cut(mask, box), box, width, height), mask)
    if square and box.width != box.height:
        assert min(box.width, box.height) == (width if box.width < box.height else height)


def test_a_margin_is_a_share_of_the_longer_side() -> None:
    mask = np.zeros((100, 200), dtype=bool)
    mask[40:60, 90:130] = True
    assert find_box(mask, margin=0.25) == (80, 30, 140, 70)
    assert find_box(mask, margin=0.25, square=True) == (80, 20, 140, 80)
    assert find_box(mask, margin=5) == (0, 0, 200, 100)
    mask[0:2] = mask[40:42]
    assert find_box(mask[:20], margin=0, square=True) == (90, 0, 130, 20)  # the picture's height
    assert margin_pixels(40, 20, 0.25) == 10


def test_a_square_box_is_moved_into_the_picture() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[0:10, 60:100] = True
    assert find_box(mask, square=True) == (60, 0, 100, 40)


def test_each_output_is_what_it_says() -> None:
    image = picture(50, 40)
    pixels = np.asarray(image)
    mask = np.zeros((40, 50), dtype=bool)
    mask[10:20, 15:35] = True
    mask[10, 15] = False
    box = find_box(mask, margin=0.1)
    assert box == Box(13, 8, 37, 22)
    assert crop_picture(image, mask, box, output="mask") is image
    crop = np.asarray(crop_picture(image, mask, box, output="crop"))
    np.testing.assert_array_equal(crop, pixels[8:22, 13:37])
    times = np.asarray(crop_picture(image, mask, box, output="crop_times_mask"))
    np.testing.assert_array_equal(times, pixels[8:22, 13:37] * mask[8:22, 13:37, None])
    soft = np.asarray(crop_picture(image, mask, box, output="soft_margin", margin=0.1))
    inside = mask[8:22, 13:37]
    np.testing.assert_array_equal(soft[inside], crop[inside])
    # One pixel from the mask of a reach of two: half a cosine has fallen by a quarter.
    np.testing.assert_array_equal(soft[12, 5:20], np.rint(crop[12, 5:20] * np.float32(0.75)))
    np.testing.assert_array_equal(soft[13, 5:20], np.rint(crop[13, 5:20] * np.float32(0.25)))
    none = crop_picture(image, mask, find_box(mask), output="soft_margin", margin=0)
    wanted = crop_picture(image, mask, find_box(mask), output="crop_times_mask")
    np.testing.assert_array_equal(np.asarray(none), np.asarray(wanted))


@given(MASKS, st.integers(0, 9))
def test_a_fade_falls_from_one_to_nothing(mask: np.ndarray, reach: int) -> None:
    weights = fade(mask, reach)
    assert weights.dtype == np.float32
    assert (weights[mask] == 1).all()
    rows, columns = np.nonzero(mask)
    for row, column in np.ndindex(mask.shape):  # by hand, from the nearest of the mask
        away = np.hypot(rows - row, columns - column).min()
        wanted = 0.5 + 0.5 * np.cos(np.pi * min(1, away / (reach + 1)))
        assert weights[row, column] == pytest.approx(wanted, abs=1e-6)


def test_a_fade_in_a_great_mask_is_nearly_that_of_a_small_one() -> None:
    y, x = np.indices((900, 1200))
    mask = np.hypot(y - 450, x - 600) < 300
    away = np.maximum(0, np.hypot(y - 450, x - 600) - 300)
    wanted = 0.5 + 0.5 * np.cos(np.pi * np.minimum(1, away / 101))
    assert np.abs(fade(mask, 100) - wanted).max() < 0.08
    assert (fade(mask, 100)[mask] == 1).all()


def test_wrong_arguments_are_named() -> None:
    mask = np.ones((4, 6), dtype=bool)
    box = find_box(mask)
    with pytest.raises(ValueError, match="the mask is empty"):
        find_box(~mask)
    with pytest.raises(ValueError, match="margin is -1"):
        find_box(mask, margin=-1)
    with pytest.raises(ValueError, match="output is 'both': use one of"):
        crop_picture(picture(6, 4), mask, box, output="both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the mask is 6 x 4 pixels but its picture 4 x 6"):
        crop_picture(picture(4, 6), mask, box)
    with pytest.raises(ValueError, match="the part is 6 x 4 pixels but its box 2 x 2"):
        place(mask, Box(0, 0, 2, 2), 6, 4)
