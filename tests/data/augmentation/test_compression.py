"""JPEG against Pillow's files: its tables exactly, its pictures nearly."""

import io

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from melnb.data.augmentation.filters import compress, jpeg, steps

to_numpy = keras.ops.convert_to_numpy


def photograph(height: int = 61, width: int = 83) -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (3, 3, 0)) * 12
    fine = ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (0.7, 0.7, 0))
    return (130 + 40 * (smooth + fine)).clip(0, 255).round().astype("float32")


def file_of(picture: np.ndarray, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    whole = Image.fromarray(picture.astype("uint8"))
    whole.save(buffer, "jpeg", quality=quality, subsampling=0)
    return Image.open(buffer)


def test_tables_are_those_of_every_quality_of_a_file() -> None:
    qualities = np.arange(1, 101, dtype="float32")
    ours = to_numpy(steps(qualities))
    for k, quality in enumerate(range(1, 101)):
        tables = file_of(np.zeros((8, 8, 3)), quality).quantization
        np.testing.assert_array_equal(ours[k, 0], tables[0])
        np.testing.assert_array_equal(ours[k, 1], tables[1])


def test_pictures_are_nearly_those_of_the_files_each_at_its_quality() -> None:
    qualities = [5, 20, 50, 75, 95]
    picture = photograph()
    images = np.repeat(picture[None], len(qualities), axis=0)
    seen = to_numpy(compress(images, np.array(qualities, "float32")))
    for ours, quality in zip(seen, qualities, strict=True):
        file = np.asarray(file_of(picture, quality), "float32")
        lost = np.abs(file - picture).mean()
        assert np.abs(ours - file).mean() < 2  # a file's own steps are rounded to whole numbers
        assert np.abs(ours - picture).mean() == pytest.approx(lost, rel=0.03)
        if quality < 90:  # beyond, the rounding is most of what is lost
            errors = (ours - picture).ravel(), (file - picture).ravel()
            assert np.corrcoef(*errors)[0, 1] > 0.97


def test_the_draw_chooses_the_quality_down_to_what_the_strength_allows() -> None:
    images = np.repeat(photograph()[None], 3, axis=0)
    draw = np.array([0.0, 0.5, 1.0], "float32")
    seen = to_numpy(jpeg(images, draw, 0.8))
    expected = to_numpy(compress(images, np.array([100, 60, 21], "float32")))
    np.testing.assert_allclose(seen, expected, atol=1e-3)
    assert np.abs(seen[0] - images[0]).max() < 3  # quality 100 rounds and no more
