"""From probabilities to a lesion, against scikit-image and against what writes the masks."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.filters import gaussian
from skimage.measure import label, regionprops

from melnb.data.lesions.masks import REFERENCE_SIDE as WRITTEN_SIDE
from melnb.data.lesions.masks import make_mask
from melnb.evaluation.mask_scores import REFERENCE_SIDE, cleaned_mask


def test_the_lesion_is_scikit_images() -> None:
    plane = gaussian(np.random.default_rng(0).random((24, 30)), 1.5)
    plane = (plane - plane.min()) / np.ptp(plane)
    for deviation in (0.0, 0.7, 2.0):
        smooth = gaussian(plane, deviation, mode="nearest") if deviation else plane
        threshold = float(np.quantile(smooth, 0.65))  # so that there are several parts
        regions = regionprops(label(smooth > threshold, connectivity=1))
        assert len(regions) > 1
        largest = max(regions, key=lambda region: region.area)
        expected = np.zeros_like(plane, dtype=bool)
        expected[largest.slice] = largest.image_filled
        smoothing = deviation * REFERENCE_SIDE / 30
        found = cleaned_mask(plane, threshold=threshold, smoothing=smoothing)
        assert np.array_equal(found, expected)


def test_the_largest_part_is_kept_and_the_first_of_two_alike() -> None:
    plane = np.zeros((5, 9))
    plane[1, 1:3] = plane[3, 1:5] = 0.9
    plane[2, 3] = 0.5  # not above the threshold
    assert cleaned_mask(plane, smoothing=0).sum() == 4
    plane[1, 5:9] = 0.9  # touches the row below by no side
    found = cleaned_mask(plane, smoothing=0)
    assert found.sum() == 4
    assert found[1, 5:9].all()


def test_holes_are_filled_and_bays_are_not() -> None:
    plane = np.zeros((7, 7))
    plane[1:6, 1:6] = 1
    plane[3, 3] = plane[1, 3] = 0
    found = cleaned_mask(plane, smoothing=0)
    assert found[3, 3]
    assert not found[1, 3]
    assert found.sum() == 24


def test_nothing_and_everything() -> None:
    assert not cleaned_mask(np.zeros((4, 4))).any()
    assert cleaned_mask(np.ones((4, 4)), threshold=0.99).all()
    assert not cleaned_mask(np.full((4, 4), 0.5), smoothing=0).any()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"probability has the shape \(4, 4, 1\)"):
        cleaned_mask(np.zeros((4, 4, 1)))
    with pytest.raises(ValueError, match="smoothing is -1"):
        cleaned_mask(np.zeros((4, 4)), smoothing=-1)


@given(
    seed=st.integers(0, 2**32 - 1),
    side=st.integers(8, 40),
    coarse=st.sampled_from((0.0, 0.6, 1.5, 4.0)),
    threshold=st.floats(0.05, 0.95),
    smoothing=st.sampled_from((0.0, 1.0, 2.0, 8.0, 30.0)),
    kind=st.sampled_from((np.float16, np.float32, np.float64)),
)
def test_what_is_looked_at_is_what_is_written(
    seed: int, side: int, coarse: float, threshold: float, smoothing: float, kind: type
) -> None:
    """The explorer's mask and that of `data`, which may not import each other, are one."""
    plane = gaussian_filter(np.random.default_rng(seed).random((side, side)), coarse)
    plane = ((plane - plane.min()) / np.ptp(plane)).astype(kind)
    deviation = smoothing * side / REFERENCE_SIDE
    blurred = gaussian_filter(plane.astype(float), deviation, mode="nearest")
    # One counts in 8 bytes, the other in 4: a pixel at the very threshold may fall to either side.
    assume(np.abs(blurred - threshold).min() > 1e-6)
    written = make_mask(
        plane, side, side, sigma=smoothing, threshold=threshold, smoothing=0, fit="squash"
    )
    looked_at = cleaned_mask(plane, threshold=threshold, smoothing=smoothing)
    assert np.array_equal(looked_at, written)


def test_both_give_their_smoothing_for_planes_of_one_side() -> None:
    assert REFERENCE_SIDE == WRITTEN_SIDE
