"""Hairs against Bézier curves followed point by point, and the same however they are computed."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from melnb.data.augmentation.artefacts import _strands, hairs
from melnb.data.augmentation.draws import spread

MOST = 12


def pictures(batch: int = 4, height: int = 48, width: int = 48, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (batch, height, width, 3)).astype("float32")


def some(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(batch).astype("float32")


def run(images: np.ndarray, draw: np.ndarray, most: int = MOST) -> np.ndarray:
    return keras.ops.convert_to_numpy(hairs(images, draw, most))


def compiled(call: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return the call in every compiled form that the backend has."""
    if keras.backend.backend() == "jax":
        import jax

        return [jax.jit(call)]
    import tensorflow as tf

    return [tf.function(call), tf.function(call, jit_compile=True)]


def test_no_hairs_are_the_very_same_images() -> None:
    images = pictures()
    assert hairs(images, some(4), 0) is images


def test_an_image_that_draws_none_stays_as_it_is() -> None:
    images, draw = pictures(200), some(200)
    made = run(images, draw, 1)  # 0 or 1: none where the first number is below the root of a half
    number = np.floor(keras.ops.convert_to_numpy(spread(draw, (7,), salt=1))[:, 0] ** 2 * 2)
    same = (made == images).all(axis=(1, 2, 3))
    assert 0.5 < same.mean() < 0.9
    assert same[number == 0].all()


@settings(max_examples=settings.default.max_examples // 12)
@given(st.integers(0, 2**16), st.sampled_from([(32, 32), (40, 24)]))
def test_shape_dtype_and_range_are_kept_and_rows_do_not_touch(
    seed: int, size: tuple[int, int]
) -> None:
    images, draw = pictures(3, *size, seed=seed), some(3, seed)
    made = run(images, draw, 6)
    assert made.shape == images.shape
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 255
    np.testing.assert_allclose(run(images[1:2], draw[1:2], 6), made[1:2], atol=1e-3)


def test_the_same_eagerly_in_a_graph_and_jitted() -> None:
    images, draw = pictures(), some(4, seed=2)
    eager = run(images, draw, 6)
    assert not np.array_equal(eager, images)
    np.testing.assert_array_equal(run(images, draw, 6), eager)
    for call in compiled(lambda images, draw: hairs(images, draw, 6)):
        made = keras.ops.convert_to_numpy(
            call(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(draw))
        )
        np.testing.assert_allclose(made, eager, atol=0.05)


def test_other_draws_draw_other_hairs() -> None:
    flat = np.full((40, 64, 64, 3), 190, "float32")
    made = run(flat, some(40))
    hairy = [picture.tobytes() for picture in made if np.ptp(picture) > 20]
    assert len(hairy) > 20
    assert len(set(hairy)) == len(hairy)


@pytest.mark.parametrize("size", [(128, 128), (96, 160)])
def test_strands_lie_where_their_bezier_curves_run(size: tuple[int, int]) -> None:
    draw = some(100, seed=4)
    of_all = keras.ops.convert_to_numpy(spread(draw, (7,), salt=1))
    draw = draw[(of_all[:, 4] > 0.5) & (of_all[:, 6] < 0.5)]  # neither thin nor blond
    flat = np.full((len(draw), *size, 3), 200, "float32")
    strands = {
        name: keras.ops.convert_to_numpy(value)
        for name, value in _strands(flat, draw, spread(draw, (7,), salt=1), MOST, 0).items()
    }
    dark = (flat - run(flat, draw)).max(-1) > 25
    assert dark.any(axis=(1, 2)).sum() > 10
    covered: list[bool] = []
    for k in range(len(flat)):
        drawn = np.flatnonzero(strands["away"][k] == 0)
        curves = [curve({n: v[k, j] for n, v in strands.items()}, min(size)) for j in drawn]
        if not curves:
            assert not dark[k].any()
            continue
        assert beside(np.concatenate(curves), size)[dark[k]].max(initial=0) < 2.5
        bodies = [points[len(points) // 5 : -len(points) // 5] for points in curves]  # no tips
        covered += dark[k][beside(np.concatenate(bodies), size) < 0.3].tolist()
    assert len(covered) > 1000
    assert np.mean(covered) > 0.97


def curve(strand: dict[str, float], pixels: int) -> np.ndarray:
    """Follow a quadratic Bézier curve by de Casteljau: n x 2, pixels from the middle."""
    along = np.array([np.cos(strand["angle"]), np.sin(strand["angle"])])
    across = np.array([-along[1], along[0]])
    middle = np.array([strand["x"], strand["y"]]) * pixels
    ends = [middle + sign * strand["half"] * pixels * along for sign in (-1, 1)]
    control = middle + 2 * strand["bend"] * across
    t = np.linspace(0, 1, 1500)[:, None]
    first, second = ends[0] + t * (control - ends[0]), control + t * (ends[1] - control)
    return first + t * (second - first)


def beside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return each pixel's distance from the nearest of some points, pixels."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in size)
    pixels = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return cKDTree(points).query(pixels)[0].reshape(size)


def test_hairs_darken_about_the_expected_share_of_pixels() -> None:
    flat, draw = np.full((300, 64, 64, 3), 200, "float32"), some(300, seed=5)
    number = np.floor(keras.ops.convert_to_numpy(spread(draw, (7,), salt=1))[:, 0] ** 2 * 25)
    made = run(flat, draw, 24)
    inked = (np.abs(made - flat).max(-1) > 12).mean(axis=(1, 2))
    assert number.mean() == pytest.approx(24 / 3, abs=1.2)
    assert inked[number == 0].max() == 0
    assert np.corrcoef(number, inked)[0, 1] > 0.75
    per_strand = inked.sum() / number.sum()
    assert 0.006 < per_strand < 0.03
    darker = (made - flat).mean(axis=(1, 2, 3))[number > 3]
    assert (darker < 0).mean() > 0.8  # but for blond and grey ones


def test_a_draw_looks_the_same_at_every_size() -> None:
    draw = some(24, seed=6)
    small, large = (run(np.full((24, n, n, 3), 200, "float32"), draw, 24) for n in (64, 256))
    large = large.reshape(24, 64, 4, 64, 4, 3).mean(axis=(2, 4))
    lost = [200 - made.mean(axis=(1, 2, 3)) for made in (small, large)]
    np.testing.assert_allclose(lost[0], lost[1], atol=2.5)
    alike = [
        np.corrcoef(one.ravel(), other.ravel())[0, 1]
        for one, other in zip(small, large, strict=True)
        if np.ptp(other) > 30
    ]
    assert len(alike) > 12
    assert np.median(alike) > 0.9
