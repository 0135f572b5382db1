"""Augmentation against NumPy and SciPy, and the two ways to say that nothing is to be done."""

import colorsys
import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from melnb.data.augmentation.augment import (
    DRAWS,
    NAMES,
    VIEWS,
    Augmentation,
    augment,
    dihedral,
    sample_mask_views,
    sample_views,
    undo_dihedral,
)

ALL = {
    "rotation": 180, "shear": 10, "zoom": 0.3, "shift": 0.2, "flips": True, "brightness": 0.2,
    "contrast": 0.3, "saturation": 0.4, "hue": 0.1,
}  # fmt: skip
LUMA = np.array([0.299, 0.587, 0.114])


def pictures(batch: int = 2, height: int = 12, width: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (batch, height, width, 3)).astype("float32")


def draws(batch: int = 2, **values: float) -> np.ndarray:
    """Neutral draws, but for those named."""
    table = np.full((batch, DRAWS), 0.5, "float32")
    for name, value in values.items():
        table[:, NAMES.index(name)] = value
    return table


def run(images: np.ndarray, rows: np.ndarray, **strengths: float) -> np.ndarray:
    return keras.ops.convert_to_numpy(augment(images, rows, **strengths))


def test_strength_zero_gives_the_very_same_images() -> None:
    images = pictures()
    rows = np.random.default_rng(1).random((2, DRAWS)).astype("float32")
    assert augment(images, rows) is images


def test_neutral_draws_change_nothing_whatever_the_strengths() -> None:
    images = pictures(height=9, width=14)
    np.testing.assert_array_equal(run(images, draws(), **ALL), images)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact(turns: int) -> None:
    images = pictures(height=11, width=11)
    angle = {1: 0.75, 2: 1.0, 3: 0.25}[turns]  # of 180 degrees either way
    turned = run(images, draws(rotation=angle), rotation=180)
    np.testing.assert_allclose(turned, np.rot90(images, turns, axes=(1, 2)), atol=0.01)


@pytest.mark.parametrize("resampled", [False, True])
def test_flips_are_flips_with_and_without_resampling(resampled: bool) -> None:
    images = pictures(height=7, width=10)
    more = {"zoom": 0.2} if resampled else {}
    sideways = run(images, draws(flip_x=0.51), flips=True, **more)
    np.testing.assert_array_equal(sideways, images[:, :, ::-1])
    upright = run(images, draws(flip_y=0.99, flip_x=0.5), flips=True, **more)
    np.testing.assert_array_equal(upright, images[:, ::-1])


def test_a_shift_mirrors_the_picture_at_the_edge() -> None:
    images = pictures(height=10, width=10)
    moved = run(images, draws(shift_x=1.0, shift_y=0.0), shift=0.3)
    padded = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="symmetric")
    np.testing.assert_allclose(moved, padded[:, :10, 6:], atol=1e-3)


def test_one_affine_map_equals_scipy() -> None:
    images = pictures(batch=1, height=20, width=16)
    values = {
        "rotation": 0.62, "shear": 0.9, "zoom": 0.8, "shift_x": 0.3, "shift_y": 0.75, "flip_x": 0.7,
    }  # fmt: skip
    got = run(images, draws(1, **values), rotation=180, shear=20, zoom=0.5, shift=0.2, flips=True)
    turn, lean = np.radians(180 * 0.24), np.radians(20 * 0.8)
    x_y = (
        np.diag([-1, 1])
        @ [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        @ [[1, np.tan(lean)], [0, 1]]
        / 1.5**0.6
    )
    matrix = x_y[::-1, ::-1]  # SciPy counts rows first
    centre = np.array([19, 15]) / 2
    offset = centre - matrix @ centre + [0.5 * 0.2 * 20, -0.4 * 0.2 * 16]
    for channel in range(3):
        expected = ndimage.affine_transform(
            images[0, :, :, channel].astype(float), matrix, offset, order=1, mode="reflect"
        )
        np.testing.assert_allclose(got[0, :, :, channel], expected, atol=0.02)


def test_zoom_is_even_in_both_directions() -> None:
    images = np.zeros((1, 41, 41, 3), "float32")
    images[:, 10:31, 10:31] = 255
    area = {value: run(images, draws(1, zoom=value), zoom=0.5).mean() for value in (0.0, 0.5, 1.0)}
    assert area[1.0] / area[0.5] == pytest.approx(1.5**2, rel=0.05)
    assert area[0.5] / area[0.0] == pytest.approx(1.5**2, rel=0.05)


def test_colours_equal_their_formulas() -> None:
    images = 60 + pictures() / 2  # far from the ends, where clipping would hide a difference
    light = run(images, draws(brightness=0.75), brightness=0.2)
    np.testing.assert_allclose(light, images + 25.5, atol=1e-3)
    mean = (images.mean((1, 2)) @ LUMA)[:, None, None, None]
    contrast = run(images, draws(contrast=0.25), contrast=0.4)
    np.testing.assert_allclose(contrast, mean + 0.8 * (images - mean), atol=1e-3)
    grey = (images @ LUMA)[..., None]
    saturation = run(images, draws(saturation=1.0), saturation=0.3)
    np.testing.assert_allclose(saturation, grey + 1.3 * (images - grey), atol=1e-3)
    np.testing.assert_allclose(
        run(images, draws(saturation=0.0), saturation=1.0), np.repeat(grey, 3, -1), atol=1e-3
    )


def test_hue_turns_the_colour_and_leaves_the_luminance() -> None:
    images = 100 + pictures() / 5
    third = run(images, draws(hue=1.0), hue=1 / 3)
    np.testing.assert_allclose(third @ LUMA, images @ LUMA, atol=0.01)
    back = run(third, draws(hue=0.0), hue=1 / 3)
    np.testing.assert_allclose(back, images, atol=0.01)
    i_q = np.array([colorsys.rgb_to_yiq(*pixel)[1:] for pixel in third.reshape(-1, 3)])
    was = np.array([colorsys.rgb_to_yiq(*pixel)[1:] for pixel in images.reshape(-1, 3)])
    turned = np.angle((i_q[:, 0] + 1j * i_q[:, 1]) / (was[:, 0] + 1j * was[:, 1]), deg=True)
    far = np.hypot(*was.T) > 5
    np.testing.assert_allclose(np.abs(turned[far]), 120, atol=4)  # colorsys rounds otherwise


def test_cutout_fills_one_square_with_the_mean_colour() -> None:
    images = pictures(height=20, width=20)
    cut = run(images, draws(cut_x=0.5, cut_y=0.25), cutout=0.4)
    hole = (cut != images).any(-1)
    assert hole.sum(axis=(1, 2)).tolist() == [64, 64]
    assert np.ptp(np.argwhere(hole[0]), axis=0).tolist() == [7, 7]
    assert np.argwhere(hole[0]).mean(0) == pytest.approx([4.5, 9.5])
    np.testing.assert_allclose(cut[1][hole[1]], np.tile(images[1].mean((0, 1)), (64, 1)), rtol=1e-5)


@settings(max_examples=settings.default.max_examples // 4)
@given(seed=st.integers(0, 2**16), strength=st.floats(0.01, 0.9))
def test_pixels_stay_in_range_and_rows_do_not_touch_each_other(seed: int, strength: float) -> None:
    rows = np.random.default_rng(seed).random((3, DRAWS)).astype("float32")
    images = pictures(3, seed=seed)
    strong = {name: strength for name in ALL if name not in ("flips", "hue", "rotation", "shear")}
    strong |= {"rotation": 200 * strength, "shear": 45 * strength, "hue": strength / 2}
    together = run(images, rows, **strong, flips=True, cutout=strength)
    assert together.dtype == np.float32
    assert together.min() >= 0
    assert together.max() <= 255
    alone = run(images[1:2], rows[1:2], **strong, flips=True, cutout=strength)
    np.testing.assert_allclose(together[1:2], alone, atol=1e-3)


def test_the_layer_augments_in_training_alone_and_reads_back() -> None:
    layer = Augmentation({"rotation": 90.0, "flips": True})
    again = Augmentation.from_config(layer.get_config())
    image, row = keras.Input((12, 12, 3)), keras.Input((DRAWS,))
    model = keras.Model([image, row], again(image, row))
    images, rows = pictures(), draws(rotation=1.0)
    assert model.output.shape == (None, 12, 12, 3)
    np.testing.assert_array_equal(model([images, rows], training=False), images)
    expected = run(images, rows, rotation=90, flips=True)
    np.testing.assert_allclose(model([images, rows], training=True), expected, atol=1e-3)


def test_the_layer_keeps_32_bits_when_the_network_does_not() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = Augmentation({"rotation": 90.0})
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(layer(pictures(), draws()).dtype) == "float32"


def test_the_eight_views_are_the_symmetries_of_a_square() -> None:
    images = pictures(1)
    views = [keras.ops.convert_to_numpy(dihedral(images, view))[0] for view in range(VIEWS)]
    symmetries = [
        np.rot90(flipped, turns) for flipped in (images[0], images[0][::-1]) for turns in range(4)
    ]
    assert np.array_equal(views[0], images[0])
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(views, 2))
    assert all(any(np.array_equal(view, other) for other in symmetries) for view in views)


@pytest.mark.parametrize("channels", [1, 3])
def test_views_are_undone_exactly_row_by_row_and_all_at_once(channels: int) -> None:
    images = pictures(VIEWS)[..., :channels]
    each = np.arange(VIEWS, dtype="int32")
    shown = keras.ops.convert_to_numpy(dihedral(images, each))
    for view in range(VIEWS):
        one = dihedral(images, view)
        np.testing.assert_array_equal(shown[view], keras.ops.convert_to_numpy(one)[view])
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(undo_dihedral(one, view)), images)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(undo_dihedral(shown, each)), images)


def test_samples_show_each_operation_alone_and_all_together() -> None:
    picture = pictures(1)[0]
    shown = sample_views(picture, {"brightness": 0.2, "flips": True, "hue": 0.0}, n=4, seed=3)
    assert list(shown) == ["brightness", "flips", "all together"]
    assert all(len(views) == 4 and views[0].dtype == np.uint8 for views in shown.values())
    whole = np.rint(picture).astype("uint8")
    flipped = {view.tobytes() for view in (whole, whole[::-1], whole[:, ::-1], whole[::-1, ::-1])}
    assert {view.tobytes() for view in shown["flips"]} <= flipped
    again = sample_views(picture, {"brightness": 0.2, "flips": True}, n=4, seed=3)
    assert np.array_equal(again["all together"], shown["all together"])


def test_a_sample_moves_masks_as_it_moves_pictures() -> None:
    picture = np.zeros((16, 16, 3), "float32")
    picture[2:9, 4:14] = 255
    mask = picture[..., 0] > 0
    strengths = {"rotation": 90.0, "flips": True, "zoom": 0.2, "shift": 0.1}
    shown = sample_mask_views(picture, mask, strengths, n=5, seed=1)
    assert len(shown) == 5
    for pixels, moved in shown:
        assert pixels.dtype == np.uint8
        assert np.array_equal(moved, pixels[..., 0] > 127.5)
    assert len({moved.tobytes() for _, moved in shown}) > 1
    again = sample_mask_views(picture, mask, strengths, n=5, seed=1)
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(shown, again, strict=True))
