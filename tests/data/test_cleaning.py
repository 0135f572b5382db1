"""Cleaning: what is asked for is done, in order, and no more than that."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from melnb.data.cleaning import (
    FINE,
    clean_picture,
    find_hairs,
    grey_gains,
    remove_hairs,
    sample_cleaned,
    shades_of_grey,
)


def hairy(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), (205, 160, 140))
    ImageDraw.Draw(image).line([(0, 0), (width, height)], (40, 25, 20), max(2, width // 100))
    return image


def test_nothing_is_done_unless_asked_for() -> None:
    image = hairy(1000, 800)
    assert clean_picture(image, "none", 64) is image
    with pytest.raises(ValueError, match="cleaning is 'hair': use none, hairs, constancy, both"):
        clean_picture(image, "hair", 64)  # type: ignore[arg-type]


def test_each_step_is_its_function_and_both_are_hairs_first() -> None:
    image = hairy(300, 200)
    pixels = np.asarray(image)
    done = {c: np.asarray(clean_picture(image, c, 64)) for c in ("hairs", "constancy", "both")}
    np.testing.assert_array_equal(done["hairs"], remove_hairs(pixels))
    np.testing.assert_array_equal(done["constancy"], shades_of_grey(pixels))
    np.testing.assert_array_equal(done["both"], shades_of_grey(remove_hairs(pixels)))
    assert not find_hairs(done["hairs"]).any()
    assert grey_gains(done["both"]) == pytest.approx([1, 1, 1], abs=0.01)


@pytest.mark.parametrize(("size", "factor"), [(64, 4), (FINE, 4), (500, 2), (600, 1), (5000, 1)])
def test_a_great_picture_is_cleaned_at_a_fraction_of_its_size(size: int, factor: int) -> None:
    made = clean_picture(hairy(1300, 1100), "hairs", size)
    assert made.size == (round(1300 / factor), round(1100 / factor))
    assert min(made.size) >= min(size, 1100)
    assert np.asarray(made).min() > 100  # no hair


def test_every_cleaning_is_shown() -> None:
    image = hairy(300, 260)
    shown = sample_cleaned([image, np.asarray(image)])
    assert list(shown) == ["none", "hairs", "constancy", "both"]
    for cleaning, pictures in shown.items():
        np.testing.assert_array_equal(pictures[0], pictures[1])
        np.testing.assert_array_equal(pictures[0], clean_picture(image, cleaning, 1))  # type: ignore[arg-type]
