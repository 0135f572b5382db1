"""Shades of grey against its formula in NumPy, and what a cast can and cannot change."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melnb.data import cleaning as preparing
from melnb.data.augmentation.colour import colour_constancy, shades_of_grey


def skin(batch: int = 3, seed: int = 0) -> np.ndarray:
    """Pictures of whole levels under some reddish light."""
    rng = np.random.default_rng(seed)
    light = rng.uniform([150, 90, 70], [230, 190, 170], (batch, 1, 1, 3))
    return np.rint(light * rng.uniform(0.3, 1, (batch, 20, 26, 3))).astype("float32")


def written_out(picture: np.ndarray, power: float) -> np.ndarray:
    e = [np.mean(picture[..., c].astype(float) ** power) ** (1 / power) for c in range(3)]
    e = np.array(e) / np.sqrt(sum(value**2 for value in e))
    white = np.stack([picture[..., c] / (np.sqrt(3) * e[c]) for c in range(3)], axis=-1)
    return np.clip(white, 0, 255)


def run(images: np.ndarray, power: float = 6.0) -> np.ndarray:
    return keras.ops.convert_to_numpy(shades_of_grey(images, power))


@pytest.mark.parametrize("power", [1, 4, 6, 12])
def test_tensors_pictures_and_the_formula_agree(power: float) -> None:
    images = skin()
    made = run(images, power)
    for picture, tensor in zip(images, made, strict=True):
        wanted = written_out(picture, power)
        np.testing.assert_allclose(tensor, wanted, atol=1e-3)
        whole = picture.astype("uint8")
        gains = preparing.grey_gains(whole, power)
        np.testing.assert_allclose(np.clip(picture * gains, 0, 255), wanted, atol=1e-3)
        stored = preparing.shades_of_grey(whole, power)
        assert stored.dtype == np.uint8
        np.testing.assert_allclose(stored, wanted, atol=0.5 + 1e-3)


@settings(max_examples=settings.default.max_examples // 5)
@given(st.integers(0, 1000), st.tuples(*[st.floats(0.3, 1.0)] * 3))
def test_a_cast_changes_the_brightness_alone(seed: int, cast: tuple[float, float, float]) -> None:
    images = skin(1, seed) / 3  # far from the end, where clipping would hide a difference
    straight, crooked = run(images), run(images * np.array(cast, "float32"))
    ratio = crooked / straight
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)


def test_grey_light_stays_as_it_is_and_so_does_black() -> None:
    grey = np.repeat(skin()[..., :1], 3, axis=-1)
    np.testing.assert_allclose(run(grey), grey, atol=1e-3)
    black = np.zeros((1, 4, 4, 3), "float32")
    np.testing.assert_array_equal(run(black), black)
    assert preparing.grey_gains(black[0].astype("uint8")) == pytest.approx([1, 1, 1])
    assert np.isfinite(run(skin() * np.array([1, 1, 0], "float32"))).all()


def test_a_power_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"power is 0\.5"):
        shades_of_grey(skin(), 0.5)
    with pytest.raises(ValueError, match=r"power is 0\.5"):
        preparing.shades_of_grey(skin()[0].astype("uint8"), 0.5)


def test_a_share_of_the_images_is_shown_in_white_light() -> None:
    images, draw = skin(4), np.array([0.1, 0.6, 0.3, 0.5], "float32")
    made = keras.ops.convert_to_numpy(colour_constancy(images, draw, 0.5))
    np.testing.assert_allclose(made[[0, 2]], run(images)[[0, 2]], atol=1e-4)
    np.testing.assert_array_equal(made[[1, 3]], images[[1, 3]])
