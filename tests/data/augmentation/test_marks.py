"""Dark rims, bubbles, rulers and ink: what each may do to a picture, and what it leaves alone."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from melnb.data.augmentation.artefacts import BUBBLES, bubbles, ink, microscope, ruler
from melnb.data.augmentation.colour import colour_constancy
from melnb.data.augmentation.corruptions import characters, gel, patch
from melnb.data.augmentation.draws import spread

Operation = Callable[[Any, Any, float], Any]
MARKS = [microscope, bubbles, ruler, ink, patch, gel, characters]
ALL = [*MARKS, colour_constancy]


def pictures(batch: int = 4, height: int = 40, width: int = 40, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (batch, height, width, 3)).astype("float32")


def some(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(batch).astype("float32")


def run(operation: Operation, images: np.ndarray, draw: np.ndarray, share: float) -> np.ndarray:
    return keras.ops.convert_to_numpy(operation(images, draw, share))


def paper(batch: int, size: int = 96, level: float = 180.0) -> np.ndarray:
    return np.full((batch, size, size, 3), level, "float32")


@pytest.mark.parametrize("operation", ALL)
def test_probability_zero_gives_the_very_same_images(operation: Operation) -> None:
    images = pictures()
    assert operation(images, some(4), 0.0) is images


@pytest.mark.parametrize("operation", ALL)
def test_the_draws_below_the_probability_are_marked_and_no_others(operation: Operation) -> None:
    images, draw = pictures(60, seed=1), some(60)
    made = run(operation, images, draw, 0.4)
    same = (made == images).all(axis=(1, 2, 3))
    assert np.array_equal(same, draw >= 0.4)
    assert not (run(operation, images, draw, 1.0) == images).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("operation", ALL)
@settings(max_examples=settings.default.max_examples // 17)
@given(seed=st.integers(0, 2**16), size=st.sampled_from([(32, 32), (40, 24)]))
def test_shape_dtype_and_range_are_kept_and_rows_do_not_touch(
    operation: Operation, seed: int, size: tuple[int, int]
) -> None:
    images, draw = pictures(3, *size, seed=seed), some(3, seed)
    made = run(operation, images, draw, 1.0)
    assert made.shape == images.shape
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 255
    alone = run(operation, images[1:2], draw[1:2], 1.0)
    np.testing.assert_allclose(alone, made[1:2], atol=1e-3)


@pytest.mark.parametrize("operation", ALL)
def test_the_same_eagerly_in_a_graph_and_jitted(operation: Operation) -> None:
    images, draw = pictures(), some(4, seed=2)
    eager = run(operation, images, draw, 1.0)
    np.testing.assert_array_equal(run(operation, images, draw, 1.0), eager)
    tensors = [keras.ops.convert_to_tensor(value) for value in (images, draw)]
    for call in compiled(lambda images, draw: operation(images, draw, 1.0)):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(call(*tensors)), eager, atol=0.05)


def compiled(call: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return the call in every compiled form that the backend has."""
    if keras.backend.backend() == "jax":
        import jax

        return [jax.jit(call)]
    import tensorflow as tf

    return [tf.function(call), tf.function(call, jit_compile=True)]


@pytest.mark.parametrize("operation", MARKS)
def test_other_draws_make_other_marks(operation: Operation) -> None:
    made = run(operation, paper(40, 48), some(40), 1.0)
    assert len({picture.tobytes() for picture in made}) == 40


@pytest.mark.parametrize("size", [(96, 96), (72, 120)])
def test_the_dark_rim_is_round_and_leaves_the_middle(size: tuple[int, int]) -> None:
    made = run(microscope, np.full((40, *size, 3), 180, "float32"), some(40), 1.0)[..., 1]
    middle = made[:, size[0] // 2, size[1] // 2]
    np.testing.assert_allclose(middle, 180, atol=1.5)
    corners = made[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.median(corners) < 20
    assert (corners.min(axis=1) < 90).mean() > 0.9
    # Along a ray from the middle it only gets darker.
    ray = made[:, size[0] * 3 // 5 :, size[1] // 2]
    assert (np.diff(ray, axis=1) <= 1e-3).all()


def test_bubbles_are_few_round_and_brighter_than_what_lies_under_them() -> None:
    flat, draw = paper(60, 128, 90.0), some(60, seed=3)
    made = run(bubbles, flat, draw, 1.0)[..., 0]
    number = np.floor(keras.ops.convert_to_numpy(spread(draw, (4,), salt=1))[:, 0] * BUBBLES) + 1
    for k in range(len(made)):
        pieces, found = ndimage.label(np.abs(made[k] - 90) > 2, np.ones((3, 3)))
        assert found <= number[k]  # they may hide each other, or lie outside
        for piece in ndimage.find_objects(pieces):
            assert max(s.stop - s.start for s in piece) < 128 / 2
    touched = np.abs(made - 90) > 2
    assert 0.001 < touched.mean() < 0.1
    assert made.max() > 200  # a glint
    assert (made - 90)[touched].mean() > 0


def test_ticks_are_dark_and_evenly_spaced() -> None:
    draw = some(2000, seed=4)
    of_all = keras.ops.convert_to_numpy(spread(draw, (14,), salt=1))
    # Upright ones without a base line, dark and wide enough to count.
    plain = (of_all[:, 2] >= 0.3) & (abs(of_all[:, 1] - 0.5) < 0.03) & (of_all[:, 8] >= 0.35)
    plain &= (of_all[:, 4] > 0.3) & (of_all[:, 11] > 0.5) & (of_all[:, 6] > 0.3)
    rows = np.flatnonzero(plain)[:12]
    assert len(rows) >= 8
    made = run(ruler, paper(len(rows), 256), draw[rows], 1.0)[..., 0]
    assert made.max() <= 180 + 1e-3  # nothing gets brighter
    for picture, numbers in zip(made, of_all[rows], strict=True):
        level = 180 - picture
        sums = max((level.sum(axis=k) for k in (0, 1)), key=lambda s: (np.diff(s) ** 2).sum())
        peaks = ndimage.maximum_filter1d(sums, 5) == sums
        places = np.flatnonzero(peaks & (sums > 0.3 * sums.max()))
        step = 256 * (0.022 + (0.07 - 0.022) * numbers[4])
        assert len(places) >= 3
        gaps = np.diff(places)
        gaps = gaps[gaps > 2]  # two pixels of one tick
        np.testing.assert_allclose(gaps / step, np.rint(gaps / step), atol=2 / step)
        assert np.median(gaps) == pytest.approx(step, abs=1.5)


def test_ink_is_violet_to_blue_see_through_and_near_the_border() -> None:
    images = 120 + pictures(80, 96, 96, seed=5) / 3
    made = run(ink, images, some(80, seed=5), 1.0)
    kept = made / images
    assert kept.max() <= 1 + 1e-6
    inked = kept[..., 1] < 0.8
    assert 0.005 < inked.mean() < 0.12
    red, green, blue = (kept[..., k][inked] for k in range(3))
    assert (blue > red).all()
    assert (blue > green).all()
    assert kept.min() > 0.02
    # The middle third is left to the lesion, but for strokes that bend far.
    centre = inked[:, 32:64, 32:64].mean()
    assert centre < 0.2 * inked.mean()
