"""Mixup and CutMix: partners, shares, boxes to the pixel; truths and metadata as the pictures."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from melnb.data.augmentation.draws import DRAWS
from melnb.data.augmentation.mixing import (
    CUTMIX,
    MIXUP,
    NONE,
    Mix,
    blend,
    cutmix,
    mix_images,
    mixup,
    plan_mixing,
    sample_mixes,
)

to_numpy = keras.ops.convert_to_numpy


def rows(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((batch, DRAWS)).astype("float32")


def planned(draws: np.ndarray, *, height: int = 20, width: int = 14, **choices: float) -> Mix:
    found = plan_mixing(draws, height=height, width=width, **choices)
    return Mix(*(to_numpy(value) for value in found))


def numbered(batch: int, height: int = 20, width: int = 14) -> np.ndarray:
    """Pictures all of whose pixels are their number in the batch."""
    level = np.arange(batch, dtype="float32")[:, None, None, None]
    return np.tile(level, (1, height, width, 3))


@settings(max_examples=settings.default.max_examples // 3)
@given(seed=st.integers(0, 2**16), batch=st.sampled_from([2, 3, 40]))
def test_partners_are_a_permutation_that_leaves_none_alone(seed: int, batch: int) -> None:
    draws = rows(batch, seed)
    partner = planned(draws, mixup=1.0).partner
    assert partner.dtype == np.int32
    assert sorted(partner) == list(range(batch))
    assert (partner != np.arange(batch)).all()
    order = np.random.default_rng(seed).permutation(batch)  # it hangs on draws, not on places
    moved = planned(draws[order], mixup=1.0).partner
    np.testing.assert_array_equal(order[moved], partner[order])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_the_share_kept_is_beta_distributed(alpha: float) -> None:
    own = planned(rows(4000), mixup=1.0, mixup_alpha=alpha).own
    assert stats.kstest(own, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_so_many_are_mixed_and_the_others_stay_as_they_are_to_the_bit() -> None:
    draws, images = rows(4000), rows(4000, 1)[:, :12].reshape(4000, 2, 2, 3)
    mix = planned(draws, height=2, width=2, mixup=0.3, cutmix=0.2)
    shares = [(mix.kind == kind).mean() for kind in (NONE, MIXUP, CUTMIX)]
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.03)
    alone = mix.kind == NONE
    assert (mix.own[alone] == 1).all()
    np.testing.assert_array_equal(to_numpy(mix_images(images, mix))[alone], images[alone])
    np.testing.assert_array_equal(to_numpy(blend(draws, mix))[alone], draws[alone])


def test_mixup_mixes_pictures_truths_and_metadata_by_one_share() -> None:
    draws, batch = rows(16), 16
    rng = np.random.default_rng(2)
    images = rng.uniform(0, 255, (batch, 5, 6, 3)).astype("float32")
    truth = np.eye(4, dtype="float32")[rng.integers(0, 4, batch)]
    mix = planned(draws, height=5, width=6, mixup=1.0, mixup_alpha=0.4)
    seen, told = (to_numpy(value) for value in mixup(images, truth, draws, alpha=0.4))
    own = mix.own[:, None]
    np.testing.assert_allclose(told, own * truth + (1 - own) * truth[mix.partner], atol=1e-6)
    np.testing.assert_allclose(told.sum(1), 1, atol=1e-6)
    own = own[..., None, None]
    np.testing.assert_allclose(seen, own * images + (1 - own) * images[mix.partner], atol=1e-3)
    ages = rng.normal(size=(batch, 2)).astype("float32")
    expected = mix.own[:, None] * ages + (1 - mix.own[:, None]) * ages[mix.partner]
    np.testing.assert_allclose(to_numpy(blend(ages, mix)), expected, atol=1e-6)


@settings(max_examples=settings.default.max_examples // 3)
@given(
    seed=st.integers(0, 2**16), size=st.sampled_from([(1, 1), (29, 17)]),
    alpha=st.sampled_from([0.1, 1.0, 5.0]),
)  # fmt: skip
def test_cutmix_pastes_one_box_and_tells_the_truth_by_its_very_area(
    seed: int, size: tuple[int, int], alpha: float
) -> None:
    batch, (height, width) = 6, size
    draws, images = rows(batch, seed), numbered(batch, height, width)
    seen, told = cutmix(images, np.eye(batch, dtype="float32"), draws, alpha=alpha)
    seen, told = to_numpy(seen), to_numpy(told)
    mix = planned(draws, height=height, width=width, cutmix=1.0, cutmix_alpha=alpha)
    for k in range(batch):
        pasted = seen[k, ..., 0] == mix.partner[k]
        assert (pasted | (seen[k, ..., 0] == k)).all()
        assert told[k, mix.partner[k]] == pytest.approx(pasted.mean(), abs=1e-6)
        assert told[k, k] == pytest.approx(1 - pasted.mean(), abs=1e-6)
        assert pasted.sum() == pasted.any(0).sum() * pasted.any(1).sum()  # a box


def test_cutmixs_boxes_are_as_large_and_lie_where_they_should() -> None:
    mix = planned(rows(4000), height=1000, width=500, cutmix=1.0)
    top, bottom, left, right = mix.box.T
    whole = (top > 0) & (bottom < 1000) & (left > 0) & (right < 500)
    down, across = (bottom - top)[whole] / 1000, (right - left)[whole] / 500
    np.testing.assert_allclose(down, across, atol=0.01)  # of the picture's shape
    assert whole.mean() == pytest.approx(1 / 6, abs=0.02)  # mean of (1 - side)^2 for uniform areas
    assert ((top + bottom)[whole] / 2000).mean() == pytest.approx(0.5, abs=0.02)


def test_a_batch_of_one_is_mixed_with_itself() -> None:
    images, truth = numbered(1) + 7, np.ones((1, 2), "float32") / 2
    for seen, told in (mixup(images, truth, rows(1)), cutmix(images, truth, rows(1))):
        np.testing.assert_array_equal(to_numpy(seen), images)
        np.testing.assert_array_equal(to_numpy(told), truth)


def test_a_share_of_nought_mixes_nothing() -> None:
    images, truth = numbered(5), np.eye(5, dtype="float32")
    for made in (mixup, cutmix):
        seen, told = made(images, truth, rows(5), share=0.0)
        np.testing.assert_array_equal(to_numpy(seen), images)
        np.testing.assert_array_equal(to_numpy(told), truth)


def test_mixing_is_the_same_in_a_graph_and_jitted() -> None:
    draws, images = rows(8), np.random.default_rng(3).uniform(0, 255, (8, 12, 12, 3))
    images = images.astype("float32")

    def mixed(images: object, draws: object) -> tuple[object, object]:
        mix = plan_mixing(draws, height=12, width=12, mixup=0.5, cutmix=0.5)
        return mix_images(images, mix), blend(draws, mix)

    if keras.backend.backend() == "jax":
        made = [pytest.importorskip("jax").jit(mixed)]
    else:
        function = pytest.importorskip("tensorflow").function
        made = [function(mixed), function(mixed, jit_compile=True)]
    expected = mixed(images, draws)
    for way in made:
        for one, other in zip(way(images, draws), expected, strict=True):
            np.testing.assert_allclose(to_numpy(one), to_numpy(other), atol=1e-3)


def test_samples_show_both_ways_of_mixing() -> None:
    pictures = 60 * numbered(4).astype("uint8")
    shown = sample_mixes(pictures, seed=1)
    assert list(shown) == ["mixup", "cutmix"]
    assert all(view.dtype == np.uint8 and view.shape == (20, 14, 3) for view in shown["mixup"])
    assert all(np.ptp(view) == 0 for view in shown["mixup"])  # all of one level, between two
    assert any(len(np.unique(view)) == 2 for view in shown["cutmix"])
    assert set(np.unique(shown["cutmix"])) <= {0, 60, 120, 180}


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"mixup": 0.7, "cutmix": 0.4}, r"mixup is 0\.7 and cutmix is 0\.4: use shares"),
        ({"mixup": -0.1}, r"mixup is -0\.1"),
        ({"mixup": 0.5, "mixup_alpha": 0.0}, r"mixup_alpha is 0\.0; use more than 0"),
        ({"cutmix": 0.5, "cutmix_alpha": -1.0}, r"cutmix_alpha is -1\.0"),
    ],
)
def test_bad_choices_are_refused(choices: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_mixing(rows(2), height=4, width=4, **choices)
