"""Resampling: plain arithmetic against NumPy's padding and Keras' upsampling."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.segmentation.unet import CutBorder, Finer, PadToStride, Spread

pytestmark = pytest.mark.backends


def values(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def pixels(height: int, width: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (2, height, width, channels)).astype("float32")


@pytest.mark.parametrize(("height", "width"), [(32, 64), (37, 50), (31, 33), (3, 5), (1, 1)])
def test_the_border_is_numpys_mirrored_one_and_is_cut_off_again(height: int, width: int) -> None:
    x = pixels(height, width)
    wide = values(PadToStride(32)(x))
    missing = [-side % 32 for side in (height, width)]
    borders = [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)]
    np.testing.assert_array_equal(wide, np.pad(x, borders, mode="symmetric"))
    np.testing.assert_array_equal(values(CutBorder()(wide, x)), x)


def test_a_mirrored_picture_has_a_mirrored_border() -> None:
    x = pixels(38, 30)
    one, other = (values(PadToStride(32)(p)) for p in (x, x[:, ::-1, ::-1]))
    np.testing.assert_array_equal(one[:, ::-1, ::-1], other)


def test_shapes_are_told_before_they_are_known() -> None:
    image = keras.Input((None, 50, 3))
    wide = PadToStride(32)(image)
    assert wide.shape == (None, None, 64, 3)
    assert CutBorder()(wide, image).shape == (None, None, 50, 3)
    assert Finer()(wide).shape == (None, None, 128, 3)
    assert Spread()(keras.Input((4, None, 8))).shape == (None, 8, None, 2)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX knows every shape")
def test_sides_that_are_not_known_when_a_step_is_traced_are_padded_all_the_same() -> None:
    import tensorflow as tf

    pad, cut = PadToStride(8), CutBorder()

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def both(x: Any) -> Any:
        return pad(x), cut(pad(x), x)

    for side in (5, 8, 13):
        x = pixels(side, side)
        wide, back = both(x)
        np.testing.assert_array_equal(wide, values(pad(x)))
        np.testing.assert_array_equal(back, x)


def test_twice_as_fine_is_keras_bilinear_upsampling() -> None:
    x = pixels(5, 3, 2)
    expected = keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
    np.testing.assert_allclose(values(Finer()(x)), values(expected), rtol=1e-5, atol=1e-4)


def test_four_channels_become_two_by_two_places() -> None:
    x = pixels(3, 2, 8)
    found = values(Spread()(x))
    assert found.shape == (2, 6, 4, 2)
    for row in range(6):
        for column in range(4):
            first = 4 * (row % 2) + 2 * (column % 2)
            expected = x[:, row // 2, column // 2, first : first + 2]
            np.testing.assert_array_equal(found[:, row, column], expected)
