"""Masks: one piece without holes, at the picture's size; and a verdict with its reason."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage.filters import gaussian

from melnb.data.lesions.masks import (
    REFERENCE_SIDE,
    check_plane,
    fill_holes,
    judge_mask,
    largest_component,
    make_mask,
    one_piece,
)
from melnb.data.pictures import fit_picture


def small_mask(bits: int, height: int, width: int) -> np.ndarray:
    places = np.arange(height * width, dtype=np.uint64)
    return ((np.uint64(bits) >> places) & np.uint64(1)).astype(bool).reshape(height, width)


# A number's bits are a mask: ten times as fast to draw as an array.
SIDES = st.integers(1, 8)
MASKS = st.builds(small_mask, st.integers(0, 2**64 - 1), SIDES, SIDES)


def disc(side: int, radius: float, *, row: float = 0.5, column: float = 0.5) -> np.ndarray:
    y, x = np.indices((side, side)) + 0.5
    return np.hypot(y - row * side, x - column * side) < radius * side


@given(MASKS)
def test_holes_are_those_of_scipy(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))


@given(MASKS)
def test_one_piece_is_the_largest_without_holes(mask: np.ndarray) -> None:
    made = one_piece(mask)
    pieces, count = ndimage.label(mask)
    sizes = [int((pieces == k).sum()) for k in range(1, count + 1)]
    kept = pieces[made & mask]
    if not sizes:
        assert not made.any()
        return
    largest = 1 + int(np.argmax(sizes))  # of equals, the first that is met
    assert set(np.unique(kept)) >= {largest}
    assert (made & (pieces == largest)).sum() == max(sizes)
    assert ndimage.label(made)[1] == 1
    np.testing.assert_array_equal(made, ndimage.binary_fill_holes(largest_component(mask)))


def test_pieces_that_touch_by_a_corner_are_two() -> None:
    mask = np.array([[1, 0, 0], [0, 1, 1]], dtype=bool)
    np.testing.assert_array_equal(largest_component(mask), [[0, 0, 0], [0, 1, 1]])


def test_the_founding_recipe_is_met_at_its_own_size() -> None:
    rng = np.random.default_rng(4)
    noise = gaussian(rng.uniform(size=(REFERENCE_SIDE, REFERENCE_SIDE)), 9)
    plane = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
    side, middle = REFERENCE_SIDE, float(np.median(plane))
    wanted = largest_component(gaussian(plane, sigma=2) > middle)
    made = make_mask(plane, side, side, threshold=middle, smoothing=0)
    np.testing.assert_array_equal(made, ndimage.binary_fill_holes(wanted))
    assert 0.02 < made.mean() < 0.98


def test_sigma_grows_with_the_side() -> None:
    spot = np.zeros((448, 448), np.float32)
    spot[220:228, 220:228] = 1
    at_448 = make_mask(spot, 448, 448, sigma=2, threshold=0.2, smoothing=0)
    wanted = gaussian(spot, sigma=4) > 0.2
    np.testing.assert_array_equal(at_448, wanted)
    assert wanted.any()


def test_specks_and_holes_go() -> None:
    plane = disc(64, 0.3).astype(np.float32)
    plane[30:34, 30:34] = 0
    plane[2:6, 2:6] = 1
    made = make_mask(plane, 64, 64, sigma=0.5)
    np.testing.assert_array_equal(made, disc(64, 0.3))


@pytest.mark.parametrize("resampling", ["nearest", "threshold"])
@pytest.mark.parametrize("size", [(64, 64), (200, 150), (1000, 750), (30, 40)])
def test_area_and_centre_survive_the_resizing(size: tuple[int, int], resampling: str) -> None:
    plane = disc(64, 0.3, row=0.4, column=0.6).astype(np.float16)
    made = make_mask(plane, *size, resampling=resampling)  # type: ignore[arg-type]
    assert made.shape == size[::-1]
    assert made.mean() == pytest.approx(math.pi * 0.3**2, rel=0.04)
    centre = (np.argwhere(made).mean(axis=0) + 0.5) / made.shape
    assert centre == pytest.approx([0.4, 0.6], abs=0.015)


def test_the_edge_is_smooth_where_pixels_are_enlarged() -> None:
    plane = disc(32, 0.35).astype(np.float32)
    wanted = disc(512, 0.35)
    wrong = {}
    for resampling in ("nearest", "threshold"):
        made = make_mask(plane, 512, 512, sigma=0, smoothing=7, resampling=resampling)  # type: ignore[arg-type]
        wrong[resampling] = (made != wanted).mean()
    assert wrong["threshold"] < 0.6 * wrong["nearest"]


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(120, 90), (90, 120), (64, 64), (200, 50)])
def test_every_fit_is_undone(fit: str, size: tuple[int, int]) -> None:
    width, height = size
    y, x = np.indices((height, width)) + 0.5
    radius = 0.3 * min(size)
    truth = np.hypot(y - height / 2, x - width / 2) < radius
    square = fit_picture(Image.fromarray(truth.astype(np.uint8) * 255), 64, fit)  # type: ignore[arg-type]
    plane = np.asarray(square) / 255
    made = make_mask(plane, width, height, sigma=0, smoothing=0, fit=fit)  # type: ignore[arg-type]
    assert (made & truth).sum() / (made | truth).sum() > 0.9


def test_nothing_is_known_beyond_the_centre_of_a_crop() -> None:
    made = make_mask(np.ones((16, 16)), 40, 20, fit="crop")
    np.testing.assert_array_equal(made.any(axis=0), [*[False] * 10, *[True] * 20, *[False] * 10])


@given(st.integers(0, 10**6))
def test_any_plane_gives_one_piece_without_holes(seed: int) -> None:
    plane = np.random.default_rng(seed).uniform(size=(16, 16))
    made = make_mask(plane, 23, 31, sigma=8)  # at 16 pixels, 8 is a sigma of 0.6
    assert ndimage.label(made)[1] <= 1
    np.testing.assert_array_equal(made, ndimage.binary_fill_holes(made))


@given(st.floats(0.15, 0.4), st.floats(0.4, 0.6), st.floats(0.4, 0.6))
def test_a_mirrored_plane_gives_the_mirrored_mask(radius: float, row: float, column: float) -> None:
    plane = disc(32, radius, row=row, column=column).astype(np.float32)
    made = make_mask(plane, 64, 48)
    np.testing.assert_array_equal(make_mask(plane[:, ::-1], 64, 48), made[:, ::-1])
    np.testing.assert_array_equal(make_mask(plane[::-1], 64, 48), made[::-1])


def test_a_lesion_of_few_pixels_is_not_smoothed_away() -> None:
    plane = np.zeros((224, 224), np.float32)
    plane[100:102, 100:102] = 1
    assert make_mask(plane, 224, 224, sigma=0, smoothing=5).sum() == 4


def test_limits() -> None:
    assert not make_mask(np.zeros((8, 8)), 5, 4).any()
    assert make_mask(np.ones((8, 8)), 5, 4).all()
    assert not make_mask(np.full((8, 8), 0.5), 5, 4).any()  # above, not at, the threshold
    assert make_mask(np.ones((1, 1)), 1, 1).all()
    assert check_plane(np.ones((4, 4, 1), np.float16)).shape == (4, 4)


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (np.ones((4, 5)), r"the plane is \(4, 5\): give side x side"),
        (np.ones(4), r"the plane is \(4,\)"),
        (np.full((4, 4), -3.0), "the plane holds -3 to -3: give probabilities"),
        (np.full((4, 4), np.nan), "the plane holds nan to nan"),
        (np.full((4, 4), 1.5), "holds 1.5"),
    ],
)
def test_what_is_no_plane_is_refused(plane: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_mask(plane, 4, 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fit": "stretch"}, "fit is 'stretch'"),
        ({"resampling": "cubic"}, "resampling is 'cubic'"),
        ({"sigma": -1.0}, "sigma is -1"),
        ({"width": 0}, "the picture is 0 x 4"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_mask(np.ones((4, 4)), **({"width": 4, "height": 4} | wrong))


def test_verdicts_have_reasons() -> None:
    mask = np.zeros((10, 100), dtype=bool)
    assert judge_mask(mask, disagreement=1) == ("empty", "no lesion was found")
    mask[0, :4] = True
    verdict, reason = judge_mask(mask, least_share=0.005)
    assert (verdict, reason) == ("tiny", "the lesion is 0.40% of the picture, less than 0.50%")
    assert judge_mask(mask, least_share=0.004) == ("ok", "")  # at the bound is enough
    verdict, reason = judge_mask(mask, disagreement=0.31, least_share=0, most_disagreement=0.3)
    assert (verdict, reason) == ("distrusted", "disagreement 0.310 is above 0.3")
    assert judge_mask(mask, disagreement=0.3, least_share=0, most_disagreement=0.3)[0] == "ok"
    assert judge_mask(mask, disagreement=math.nan, least_share=0)[0] == "ok"
