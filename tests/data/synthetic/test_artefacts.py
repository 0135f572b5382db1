import numpy as np
import pytest

from melnb.data.synthetic import photograph


@pytest.fixture
def picture() -> np.ndarray:
    return np.full((3, 128, 128), 0.7, dtype=np.float32)


def changed(picture: np.ndarray) -> np.ndarray:
    return np.abs(picture - 0.7).max(axis=0) > 0.02


def test_hairs_are_thin_and_follow_the_lens(picture: np.ndarray) -> None:
    moved = picture.copy()
    photograph.draw_hairs(picture, np.random.default_rng(1), lambda points: points, 1.0)
    photograph.draw_hairs(moved, np.random.default_rng(1), lambda points: points + 0.125, 1.0)
    assert 0.005 < changed(picture).mean() < 0.4
    shifted = changed(picture)[8:104, 8:104], changed(moved)[24:120, 24:120]
    assert (shifted[0] == shifted[1]).mean() > 0.99


def test_a_ruler_darkens_a_strip_along_one_side(picture: np.ndarray) -> None:
    photograph.draw_ruler(picture, np.random.default_rng(4))
    rows, columns = np.nonzero(changed(picture))
    assert len(rows) > 50
    assert picture.max() <= 0.7
    assert min(np.ptp(rows), np.ptp(columns)) < 0.12 * 128 < max(np.ptp(rows), np.ptp(columns))
    assert not changed(picture)[32:96, 32:96].any()


def test_ink_is_violet_and_leaves_the_middle_free(picture: np.ndarray) -> None:
    photograph.draw_ink(picture, np.random.default_rng(2), lambda points: points)
    where = changed(picture)
    assert where.mean() > 0.005
    red, green, blue = picture[:, where].mean(axis=1)
    assert green < red < blue
    assert not where[48:80, 48:80].any()


def test_bubbles_brighten_their_rims(picture: np.ndarray) -> None:
    photograph.draw_bubbles(picture, np.random.default_rng(3))
    assert 0 < changed(picture).mean() < 0.5
    assert picture.max() > 0.8


def test_corners_are_dark_and_the_middle_is_not(picture: np.ndarray) -> None:
    photograph.draw_corners(picture, np.random.default_rng(5))
    assert picture[:, [0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.25
    assert picture[:, 60:68, 60:68] == pytest.approx(0.7)
