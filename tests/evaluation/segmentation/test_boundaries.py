"""Distances of outlines against a naive loop, scikit-image, and masks with nothing in them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import hausdorff_distance

from melnb.evaluation.mask_scores import (
    NOTHING_PREDICTED,
    NOTHING_TRUE,
    boundary_distance,
    boundary_distances,
    outline_pixels,
)
from melnb.tables.checks import TableError

Masks = arrays(bool, st.tuples(st.just(7), st.just(9)))


def square(top: int, left: int, side: int, size: int = 16) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def naive_outline(mask: np.ndarray) -> list[tuple[int, int]]:
    def lesion(y: int, x: int) -> bool:
        return 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and bool(mask[y, x])

    steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
    return [
        (int(y), int(x))
        for y, x in np.argwhere(mask)
        if not all(lesion(y + dy, x + dx) for dy, dx in steps)
    ]


def naive_distance(truth: np.ndarray, predicted: np.ndarray, percentile: float) -> float:
    sides = [naive_outline(truth), naive_outline(predicted)]
    if not sides[0] or not sides[1]:
        return math.hypot(*truth.shape) if sides[0] or sides[1] else 0.0
    ways = [
        [min(math.hypot(y - v, x - u) for v, u in there) for y, x in here]
        for here, there in (sides, sides[::-1])
    ]
    return max(float(np.percentile(way, percentile)) for way in ways)


@given(truth=Masks, predicted=Masks, percentile=st.sampled_from([50.0, 95.0, 100.0]))
def test_the_distance_is_that_of_a_naive_loop(
    truth: np.ndarray, predicted: np.ndarray, percentile: float
) -> None:
    found = boundary_distance(truth, predicted, percentile=percentile)
    assert found == pytest.approx(naive_distance(truth, predicted, percentile))
    assert found == boundary_distance(predicted, truth, percentile=percentile)
    assert found <= math.hypot(*truth.shape)
    assert {tuple(p) for p in outline_pixels(truth)} == {*naive_outline(truth)}


def test_the_greatest_distance_is_scikit_images() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.random((2, 24, 24)) < 0.3
    outlines = [np.zeros((24, 24), dtype=bool) for _ in range(2)]
    for outline, mask in zip(outlines, (first, second), strict=True):
        outline[tuple(outline_pixels(mask).T)] = True
    assert boundary_distance(first, second, percentile=100) == hausdorff_distance(*outlines)


def test_a_shift_is_its_length_and_a_spike_is_forgiven() -> None:
    one = square(2, 2, 8)
    assert boundary_distance(one, one) == 0
    assert boundary_distance(one, np.roll(one, 3, axis=1)) == 3
    spiked = one.copy()
    spiked[5, 10] = True  # one pixel: less than 5 % of the outline
    assert boundary_distance(one, spiked) == 0
    assert boundary_distance(one, spiked, percentile=100) == 1


def test_what_is_empty() -> None:
    one, empty = square(2, 2, 4), np.zeros((16, 16), dtype=bool)
    truth = {"both": empty, "missed": one, "invented": empty, "found": one}
    called = {"found": one, "invented": one, "missed": empty, "both": empty}
    table = boundary_distances(truth, called).set_index("image_id")
    far = math.hypot(16, 16)
    assert table["hd95"].to_dict() == {"both": 0, "missed": far, "invented": far, "found": 0}
    assert table["hd95_share"].tolist() == [0, 1, 1, 0]
    assert table["note"].tolist() == ["", NOTHING_PREDICTED, NOTHING_TRUE, ""]
    assert list(boundary_distances({}, {}).columns) == ["image_id", "hd95", "hd95_share", "note"]


def test_the_share_does_not_change_with_the_size() -> None:
    one, two = square(2, 2, 8), square(2, 5, 8)
    large = [np.kron(m, np.ones((4, 4), dtype=bool)) for m in (one, two)]
    table = boundary_distances({"a": one, "b": large[0]}, {"a": two, "b": large[1]})
    assert table["hd95"].tolist() == [3, 12]
    assert table["hd95_share"][0] == table["hd95_share"][1] == 3 / math.hypot(16, 16)


def test_bytes_are_lesion_above_128_and_bad_masks_are_named() -> None:
    one = square(2, 2, 4)
    grey = np.where(one, 129, 128).astype(np.uint8)
    assert boundary_distances({"a": grey}, {"a": one})["hd95"].tolist() == [0]
    with pytest.raises(TableError, match=r"predicted mask of a is \(15, 16\)"):
        boundary_distances({"a": one}, {"a": one[1:]})
    with pytest.raises(TableError, match="a has no predicted mask"):
        boundary_distances({"a": one}, {})
    with pytest.raises(ValueError, match="mask of a is float64"):
        boundary_distances({"a": one * 1.0}, {"a": one})
    with pytest.raises(ValueError, match="percentile is 101"):
        boundary_distance(one, one, percentile=101)
