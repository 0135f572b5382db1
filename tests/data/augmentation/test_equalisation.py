"""CLAHE against scikit-image's, and at its limits."""

import keras
import numpy as np
import pytest
from scipy import ndimage
from skimage import exposure

from melnb.data.augmentation.colour import LUMA
from melnb.data.augmentation.filters import clahe

to_numpy = keras.ops.convert_to_numpy
WHOLLY = np.ones(1, "float32")


def grey(height: int = 128, width: int = 128) -> np.ndarray:
    """A grey picture of large and small things, darker to one side."""
    rng = np.random.default_rng(0)
    layers = [ndimage.gaussian_filter(rng.normal(size=(height, width)), s) * s for s in (1, 4, 16)]
    shade = np.linspace(60, 150, width)
    picture = shade + 25 * sum(layers) / np.std(sum(layers))
    return np.repeat(picture.clip(0, 255).round()[None, ..., None], 3, axis=-1).astype("float32")


@pytest.mark.parametrize("limit", [2.0, 4.0, 10.0])
def test_clahe_is_nearly_scikit_images(limit: float) -> None:
    images = grey(256, 256)
    seen = to_numpy(clahe(images, WHOLLY, limit))[0, ..., 0]
    expected = 255 * exposure.equalize_adapthist(
        images[0, ..., 0] / 255, kernel_size=32, clip_limit=limit / 256, nbins=256
    )
    assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.97
    assert seen.std() == pytest.approx(expected.std(), rel=0.15)


def test_more_is_done_the_higher_the_limit_and_the_draw() -> None:
    images = grey()
    change = [
        np.abs(to_numpy(clahe(images, WHOLLY, limit)) - images).mean() for limit in (2, 4, 10)
    ]
    assert change == sorted(change)
    whole = to_numpy(clahe(images, WHOLLY, 4.0))
    half = to_numpy(clahe(images, np.array([0.5], "float32"), 4.0))
    np.testing.assert_allclose(half, (images + whole) / 2, atol=1e-3)
    np.testing.assert_array_equal(to_numpy(clahe(images, 0 * WHOLLY, 4.0)), images)


def test_colours_keep_their_differences_and_sizes_need_not_divide() -> None:
    images = grey(50, 37) / 2 + np.array([50, 30, 10], "float32")
    seen = to_numpy(clahe(images, WHOLLY, 2.0))
    change = seen - images
    inside = (seen.min(-1) > 0) & (seen.max(-1) < 255)
    np.testing.assert_allclose(np.ptp(change, axis=-1)[inside], 0, atol=1e-3)
    assert np.abs(change @ LUMA).mean() > 3


@pytest.mark.parametrize("level", [0.0, 100.0, 255.0])
def test_an_even_picture_stays_even(level: float) -> None:
    flat = np.full((1, 64, 64, 3), level, "float32")
    seen = to_numpy(clahe(flat, WHOLLY, 4.0))
    assert np.ptp(seen) == pytest.approx(0, abs=1e-4)
    assert abs(seen - flat).max() < 2.5
