"""Corruptions: the same picture gets the same one, the more the stronger, none at strength 0."""

import numpy as np
import pytest
from scipy import ndimage

from melnb.data.augmentation.corruptions import (
    CORRUPTIONS,
    convolve,
    corrupt,
    corrupted_views,
    corruption_cells,
    image_draws,
    value_of,
)

NAMES = [name for name in CORRUPTIONS if name != "hair_removal"]
FIRST, SECOND = (int(digest, 16) / 2**24 for digest in ("a3e0fc", "364059"))
ALIKE = {"overexposure", "underexposure", "defocus", "jpeg"}  # the same for every picture


@pytest.fixture(scope="module")
def skin() -> np.ndarray:
    """Three smooth pictures of skin with some grain, whole numbers, 40 x 48."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(90, 200, (3, 5, 6, 3))
    fine = np.kron(coarse, np.ones((1, 8, 8, 1))) + rng.normal(0, 4, (3, 40, 48, 3))
    return np.rint(fine).clip(0, 255).astype("float32")


@pytest.mark.parametrize("name", NAMES)
def test_a_corruption_is_of_the_image_alone_and_grows_with_its_strength(
    name: str, skin: np.ndarray
) -> None:
    ids = ["a", "b", "c"]
    assert corrupt(skin, ids, name, 0) is skin
    weak, strong = (corrupt(skin, ids, name, strength) for strength in (1, 5))
    for seen in (weak, strong):
        assert seen.shape == skin.shape
        assert seen.dtype == np.float32
        assert seen.min() >= 0
        assert seen.max() <= 255
        assert (seen == np.rint(seen)).all()
    far = np.abs(strong - skin).mean(axis=(1, 2, 3))
    assert (far > 0).all()
    assert np.abs(weak - skin).mean() < far.mean()
    alone = corrupt(skin[1:2], ids[1:2], name, 5)
    assert np.abs(alone - strong[1:2]).max() <= 1  # where rounding parts two ways
    twice = corrupt(np.stack([skin[0]] * 2), ["a", "b"], name, 5)
    assert (np.abs(twice[0] - twice[1]).max() > 0) is np.bool_(name not in ALIKE)


def test_hairs_that_were_drawn_are_taken_away_again(skin: np.ndarray) -> None:
    paper = np.full((2, 96, 96, 3), 170, "float32")
    hairy, cleaned = (corrupt(paper, ["a", "b"], name, 3) for name in ("hairs", "hairs_removed"))
    assert np.abs(cleaned - paper).mean() < np.abs(hairy - paper).mean() / 3
    assert (corrupt(paper, ["a", "b"], "hair_removal", 1) == paper).all()


def test_draws_are_of_seed_name_and_image_and_stay_what_they_were() -> None:
    draws = image_draws(["ISIC_0024306", "ISIC_0024307"], "ruler")
    assert draws.dtype == np.float32
    assert draws.tolist() == [FIRST, SECOND]
    assert image_draws(["ISIC_0024307"], "ruler").tolist() == [SECOND]
    others = [image_draws(["ISIC_0024306"], "ink"), image_draws(["ISIC_0024306"], "ruler", 1)]
    assert FIRST not in [float(other[0]) for other in others]
    many = image_draws([str(k) for k in range(2000)], "ruler")
    assert 0 <= many.min() < 0.01
    assert 0.99 < many.max() < 1
    assert abs(many.mean() - 0.5) < 0.03


def test_each_image_is_convolved_with_its_own_kernel_and_mirrored_beyond_its_edge(
    skin: np.ndarray,
) -> None:
    kernels = np.random.default_rng(1).random((3, 7, 7))
    seen = convolve(skin, kernels)
    for image, kernel, blurred in zip(skin, kernels, seen, strict=True):
        for channel in range(3):
            expected = ndimage.convolve(image[..., channel], kernel / kernel.sum(), mode="reflect")
            np.testing.assert_allclose(blurred[..., channel], expected, atol=1e-2)


def test_light_and_defocus_do_what_their_units_say() -> None:
    grey = np.full((1, 32, 32, 3), 100, "float32")
    brighter = corrupt(grey, ["a"], "overexposure", 4)  # a stop: twice the light
    assert brighter[0, 0, 0, 0] == np.rint(100 * 2 ** (1 / 2.2))
    point = np.zeros((1, 101, 101, 3), "float32")
    point[0, 50, 50] = 255 * 40
    spread = convolve(point, np.ones((1, 5, 5)))
    np.testing.assert_allclose(spread[0, 48:53, 48:53, 0], 255 * 40 / 25, rtol=1e-3)
    assert np.abs(spread[0, :47]).max() < 1


def test_cells_are_all_strengths_of_all_corruptions_clean_first() -> None:
    assert corruption_cells(["ruler", "hair_removal"], [1, 4]) == [
        ("none", 0), ("ruler", 1), ("ruler", 4), ("hair_removal", 1),
    ]  # fmt: skip
    assert len(corruption_cells([], [1, 2, 3, 4, 5])) == 1 + 5 * len(NAMES) + 1
    with pytest.raises(ValueError, match="corruption is 'rulers': use some of"):
        corruption_cells(["rulers"], [1])
    with pytest.raises(ValueError, match=r"strength of ruler is 6: use 0 \(none\) to 5"):
        value_of("ruler", 6)


def test_a_picture_is_shown_in_a_row_for_each_corruption(skin: np.ndarray) -> None:
    rows = corrupted_views(skin[0], "a", corruption_cells(["ink", "noise"], [2, 5]))
    assert list(rows) == ["none", "ink: opacity", "noise: deviation, of the range"]
    assert [len(row) for row in rows.values()] == [1, 2, 2]
    assert rows["none"][0].dtype == np.uint8
    assert (rows["none"][0] == skin[0]).all()
