"""Filters against SciPy and Pillow: blur, noise, sharpness, autocontrast."""

import keras
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

from melnb.data.augmentation.colour import autocontrast
from melnb.data.augmentation.filters import blur, noise, sharpen

to_numpy = keras.ops.convert_to_numpy


def pictures(batch: int = 3, height: int = 40, width: int = 30, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(20, 200, (batch, height, width, 3)).astype("float32")


def test_blur_is_scipys_with_a_deviation_for_each_image() -> None:
    images, draw = pictures(), np.array([0.0, 0.4, 1.0], "float32")
    seen = to_numpy(blur(images, draw, 3.0))
    np.testing.assert_array_equal(seen[0], images[0])
    for k, deviation in ((1, 1.2), (2, 3.0)):
        expected = ndimage.gaussian_filter(
            images[k].astype(float), (deviation, deviation, 0), mode="reflect", truncate=8
        )
        np.testing.assert_allclose(seen[k], expected, atol=2e-3)


def test_blur_keeps_an_even_picture_even_however_wide_it_is() -> None:
    flat = np.full((1, 12, 9, 3), 77, "float32")
    np.testing.assert_allclose(to_numpy(blur(flat, np.ones(1, "float32"), 20.0)), flat, rtol=1e-5)


def test_noise_has_its_deviation_and_no_memory() -> None:
    grey, draw = np.full((3, 64, 64, 3), 128, "float32"), np.array([0.0, 0.5, 0.9], "float32")
    grain = to_numpy(noise(grey, draw, 20.0)) - grey
    assert not grain[0].any()
    for k, deviation in ((1, 10.0), (2, 18.0)):
        assert grain[k].std() == pytest.approx(deviation, rel=0.03)
        assert abs(grain[k].mean()) < 4 * deviation / 64 / 3**0.5
        for axis in range(3):
            pair = np.moveaxis(grain[k], axis, 0)
            assert abs(np.corrcoef(pair[:-1].ravel(), pair[1:].ravel())[0, 1]) < 0.04


@pytest.mark.parametrize("factor", [0.1, 1.0, 1.9])
def test_sharpness_is_pillows(factor: float) -> None:
    images = pictures(1)
    seen = to_numpy(sharpen(images, np.array([factor - 1], "float32")))[0]
    whole = Image.fromarray(images[0].astype("uint8"))
    expected = np.asarray(ImageEnhance.Sharpness(whole).enhance(factor), "float32")
    np.testing.assert_allclose(seen[1:-1, 1:-1], expected[1:-1, 1:-1], atol=2)


def test_autocontrast_is_pillows_and_part_of_it_lies_between() -> None:
    images = pictures(1)
    images[..., 2] = 90  # a channel without contrast stays as it is
    whole, half = (to_numpy(autocontrast(images, np.array([v], "float32")))[0] for v in (1, 0.5))
    expected = ImageOps.autocontrast(Image.fromarray(images[0].astype("uint8")))
    np.testing.assert_allclose(whole, np.asarray(expected, "float32"), atol=1.01)
    np.testing.assert_allclose(half, (whole + images[0]) / 2, atol=1e-3)


@pytest.mark.parametrize("level", [0.0, 90.0])
@pytest.mark.parametrize("step", [1e-44, 1e-30, 1e-4])
def test_autocontrast_stretches_no_rounding(level: float, step: float) -> None:
    images = np.full((1, 8, 8, 3), level, "float32")
    images[:, ::2] += np.float32(step)
    made = to_numpy(autocontrast(images, np.ones(1, "float32")))
    np.testing.assert_allclose(made, images, atol=1e-30)
