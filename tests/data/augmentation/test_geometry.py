"""Geometry: distortions keep to their bounds, transposes are exact, maps compose."""

import math

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from melnb.data.augmentation import geometry
from melnb.data.augmentation.draws import DRAWS, NAMES
from melnb.data.augmentation.geometry import Affine, compose, move, multiply, transform

SIDE = 60
to_numpy = keras.ops.convert_to_numpy


def draws(batch: int = 1, **values: float) -> np.ndarray:
    """Neutral draws, but for those named."""
    table = np.full((batch, DRAWS), 0.5, "float32")
    for name, value in values.items():
        table[:, NAMES.index(name)] = value
    return table


def ramps(height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """Pictures that tell of each pixel where it comes from: x, y, in pixels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y], axis=-1)[None].astype("float32")


def test_transposes_are_exact_with_and_without_resampling() -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, 9, 9, 3)).astype("float32")
    swapped = images.transpose(0, 2, 1, 3)
    on = draws(2, transpose=0.51)
    np.testing.assert_array_equal(to_numpy(move(images, on, transpose=True)), swapped)
    np.testing.assert_array_equal(to_numpy(move(images, draws(2), transpose=True)), images)
    np.testing.assert_array_equal(to_numpy(move(images, on, transpose=True, zoom=0.2)), swapped)
    all_three = draws(2, transpose=0.6, flip_x=0.7)
    plain, resampled = (
        to_numpy(move(images, all_three, transpose=True, flips=True, **more))
        for more in ({}, {"rotation": 9.0})
    )
    np.testing.assert_array_equal(plain, resampled)
    np.testing.assert_array_equal(plain, to_numpy(geometry.dihedral(images, 5)))


def test_pictures_that_are_not_square_cannot_be_transposed() -> None:
    with pytest.raises(ValueError, match="transpose needs square pictures, but these are 8 x 9"):
        move(np.zeros((1, 8, 9, 3), "float32"), draws(), transpose=True)


@settings(max_examples=settings.default.max_examples // 3)
@given(draw=st.floats(0, 1, exclude_max=True, width=32), share=st.floats(0.01, 0.095))
def test_an_elastic_sheet_keeps_to_its_bound_and_does_not_fold(draw: float, share: float) -> None:
    places = ramps(SIDE, 48)
    seen = to_numpy(move(places, draws(elastic=draw), elastic=share))[0]
    moved = np.abs(seen - places[0])
    assert moved[..., 0].max() <= share * 48 + 1e-3
    assert moved[..., 1].max() <= share * SIDE + 1e-3
    assert moved.max() > 0.2 * share * 48
    inner = seen[8:-8, 8:-8]  # nearer the edge mirrors turn the ramps round
    across, along = np.diff(inner, axis=1)[:-1], np.diff(inner, axis=0)[:, :-1]
    area = across[..., 0] * along[..., 1] - across[..., 1] * along[..., 0]
    assert area.min() > 0


def test_an_elastic_sheet_is_smooth_and_the_same_at_every_size() -> None:
    small, large = (
        (to_numpy(move(ramps(n, n), draws(elastic=0.3), elastic=0.05)) - ramps(n, n))[0] / n
        for n in (SIDE, 3 * SIDE)
    )
    np.testing.assert_allclose(small[5:-5, 5:-5], large[1::3, 1::3][5:-5, 5:-5], atol=2e-3)
    assert np.abs(np.diff(large[15:-15, 15:-15], n=2, axis=1)).max() < 1e-4


@settings(max_examples=settings.default.max_examples // 3)
@given(draw=st.floats(0, 1, exclude_max=True, width=32), share=st.floats(0.01, 0.9))
@example(draw=0.5999357104301453, share=0.875)  # a narrow last cell: three places are mirrored
def test_a_bent_grid_keeps_its_order_its_edges_and_its_cells_sizes(
    draw: float, share: float
) -> None:
    places = ramps(SIDE, 50)
    seen = to_numpy(move(places, draws(grid=draw), grid_distortion=share))[0]
    x, y = seen[0, :, 0], seen[:, 0, 1]
    np.testing.assert_allclose(seen[..., 0], np.tile(x, (SIDE, 1)), atol=1e-3)
    np.testing.assert_allclose(seen[..., 1], np.tile(y[:, None], (1, 50)), atol=1e-3)
    for line, length in ((x, 50), (y, SIDE)):
        assert np.diff(line).min() >= 0  # 0 where the last place is mirrored
        within = (line[:-1] > 0) & (line[1:] < length - 1 - 1e-3)
        assert np.diff(line)[within].min() > 0
        cell = length // 5
        inner = [line[k * cell + 1 : (k + 1) * cell - 1] for k in range(1, 4)]
        sizes = np.array([np.diff(part).mean() for part in inner])
        for part in inner:  # a cell is stretched evenly
            np.testing.assert_allclose(np.diff(part), np.diff(part)[0], atol=1e-3)
        assert sizes.max() / sizes.min() <= (1 + share) / (1 - share) + 1e-3
        assert abs(line[0]) < 2  # the edges stay: half a pixel of a cell of at most 3.3 its size
        assert abs(line[-1] - (length - 1)) < 2


def test_matrices_multiply_and_maps_compose_as_their_pictures_do() -> None:
    rng = np.random.default_rng(1)
    one, other = (rng.normal(size=(4, 3)).astype("float32") for _ in range(2))
    product = np.array([to_numpy(value) for value in multiply(tuple(one), tuple(other))])
    for k in range(3):
        expected = one[:, k].reshape(2, 2) @ other[:, k].reshape(2, 2)
        np.testing.assert_allclose(product[:, k].reshape(2, 2), expected, rtol=1e-5, atol=1e-6)
    places = ramps(101, 101)
    turn = math.radians(20)
    ones = np.ones(1, "float32")
    first = Affine((ones, 0.2 * ones, 0 * ones, ones), (3 * ones, -2 * ones))
    cos, sin = math.cos(turn) * ones, math.sin(turn) * ones
    then = Affine((cos, -sin, sin, cos), (-4 * ones, 1 * ones))
    one_by_one = to_numpy(transform(transform(places, first), then))
    at_once = to_numpy(transform(places, compose(first, then)))
    np.testing.assert_allclose(at_once[:, 35:65, 35:65], one_by_one[:, 35:65, 35:65], atol=1e-3)
