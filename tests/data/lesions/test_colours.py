"""Colours: spreads, six colours and the difference from the skin, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from melnb.data.lesions.abcd import SIX, measure_colours, six_shares, skin_around

SKIN = (215, 170, 150)
FEW = settings(max_examples=settings.default.max_examples // 7)


def lesion(*colours: tuple[int, int, int], side: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """A disc of equal sectors of colours on skin."""
    y, x = np.indices((side, side)) - (side - 1) / 2
    mask = np.hypot(y, x) < 0.3 * side
    pixels = np.full((side, side, 3), SKIN, dtype=np.uint8)
    sector = ((np.arctan2(y, x) + np.pi) / (2 * np.pi) * len(colours)).astype(int) % len(colours)
    pixels[mask] = np.array(colours, dtype=np.uint8)[sector[mask]]
    return pixels, mask


def lab(colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray(rgb2lab(np.array([colour], dtype=np.uint8))[0])


@pytest.mark.parametrize("name", SIX)
def test_each_of_the_six_is_itself(name: str) -> None:
    found = measure_colours(*lesion(SIX[name]))
    assert found.colours == 1
    assert getattr(found, f"{name}_share") == 1
    assert found.variegation == pytest.approx(0, abs=1e-9)


def test_all_six_are_counted_and_their_spread_is_numpys() -> None:
    pixels, mask = lesion(*SIX.values())
    found = measure_colours(pixels, mask)
    assert found.colours == 6
    shares = [getattr(found, f"{name}_share") for name in SIX]
    assert shares == pytest.approx([1 / 6] * 6, abs=0.01)
    inside = rgb2lab(pixels)[mask]
    assert [found.lightness_sd, found.redness_sd, found.yellowness_sd] == pytest.approx(
        inside.std(axis=0).tolist()
    )
    assert found.variegation == pytest.approx(math.sqrt(inside.var(axis=0).sum()))


def test_the_difference_is_from_the_skin_around() -> None:
    pixels, mask = lesion(SIX["dark_brown"])
    pixels[:5] = 0  # a dark corner, and what lies far away, are no skin around
    found = measure_colours(pixels, mask)
    away = lab(SIX["dark_brown"]) - lab(SKIN)
    assert [
        found.lightness_difference, found.redness_difference, found.yellowness_difference,
    ] == pytest.approx(away.tolist())  # fmt: skip
    assert found.colour_difference == pytest.approx(float(np.linalg.norm(away)))
    assert found.lightness_difference < 0


def test_the_skin_around_is_a_ring_without_the_edge_and_the_black() -> None:
    pixels, mask = lesion(SIX["black"])
    y, x = np.indices(mask.shape) - 49.5
    away = np.hypot(y, x) - 30
    ring = skin_around(pixels, mask)
    assert (away[ring] > 2).all()
    assert (away[ring] < 0.25 * 60 + 1).all()
    assert ring.sum() == pytest.approx(math.pi * (45**2 - 33**2), rel=0.05)
    assert not skin_around(np.zeros_like(pixels), mask).any()


def test_white_counts_only_where_it_is_lighter_than_the_skin() -> None:
    white = rgb2lab(np.array([SIX["white"]] * 3, dtype=np.uint8))
    assert six_shares(white)[0] == 1
    assert six_shares(white, skin=float(white[0, 0]) - 1)[0] == 1
    assert six_shares(white, skin=float(white[0, 0]) + 1) == [0] * 6


def test_a_colour_of_less_than_a_twentieth_is_not_there() -> None:
    pixels, mask = lesion(SIX["dark_brown"])
    inside = np.argwhere(mask)
    for share, colours in ((0.049, 1), (0.051, 2)):
        count = math.ceil(share * len(inside))
        pixels[tuple(inside[:count].T)] = SIX["blue_grey"]
        assert measure_colours(pixels, mask).colours == colours


@FEW
@given(st.integers(0, 3), st.booleans(), st.integers(0, 10**6))
def test_a_turned_or_mirrored_picture_has_the_same_colours(
    turns: int, mirrored: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    colours = [(*map(int, c),) for c in rng.integers(0, 256, (3, 3))]
    pixels, mask = lesion(*colours, side=40)  # type: ignore[arg-type]
    straight = measure_colours(pixels, mask)
    pixels, mask = np.rot90(pixels, turns), np.rot90(mask, turns)
    if mirrored:
        pixels, mask = pixels[::-1], mask[::-1]
    assert measure_colours(pixels, mask)[:-1] == pytest.approx(straight[:-1], abs=1e-9)


def test_no_lesion_and_no_skin_have_a_note() -> None:
    pixels, mask = lesion(SIX["red"])
    empty = measure_colours(pixels, np.zeros_like(mask))
    assert empty.note == "no colours: the mask is empty"
    assert np.isnan(empty[:-1]).all()
    whole = measure_colours(pixels, np.ones_like(mask))
    assert whole.note == "no skin around the lesion"
    assert math.isnan(whole.colour_difference)
    assert whole.red_share == pytest.approx(mask.mean(), abs=1e-9)
