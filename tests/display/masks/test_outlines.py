"""Outlines over pictures: where they run, their colours, and the gallery of the worst."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.display.masks.mask_explorer import (
    OutlineGallery,
    outlined_tile,
    overlay,
    true_masks,
    worst_masks,
)

SKIN = (200, 150, 130)


@pytest.fixture
def picture() -> np.ndarray:
    return np.full((32, 32, 3), SKIN, dtype=np.uint8)


@pytest.fixture
def square() -> np.ndarray:
    mask = np.zeros((32, 32), dtype=bool)
    mask[8:24, 8:24] = True
    return mask


def changed(seen: np.ndarray) -> np.ndarray:
    return np.asarray((np.abs(seen.astype(int) - SKIN) > 8).any(axis=2))


def test_the_outline_runs_about_the_mask_and_nowhere_else(
    picture: np.ndarray, square: np.ndarray
) -> None:
    seen = overlay(picture, square, None, size=128)
    assert seen.shape == (128, 128, 3)
    assert seen.dtype == np.uint8
    rows, columns = np.nonzero(changed(seen))
    for at in (rows, columns):
        assert 32 - 3 <= at.min() < 32 <= 96 < at.max() <= 96 + 3
    assert not changed(seen)[38:90, 38:90].any()
    assert (seen[64, 32] > 240).all() or (seen[64, 31] > 240).all()  # white, on its way down


def test_the_two_are_told_apart_by_colour_and_by_line(
    picture: np.ndarray, square: np.ndarray
) -> None:
    true, called = overlay(picture, square, None), overlay(picture, None, square)
    light = [np.asarray(Image.fromarray(s).convert("L")).astype(int) for s in (true, called)]
    assert light[0].max() > 250  # white
    blue = called[..., 2].astype(int) - called[..., 0]
    assert blue.max() > 100
    assert (true[..., 2].astype(int) - true[..., 0]).max() < 20
    unbroken, dashed = changed(true).sum(), changed(called).sum()
    assert 0.5 * unbroken < dashed < 0.8 * unbroken
    for plane in light:
        assert plane.min() < 90, "a dark edge, to be seen on pale skin"


def test_sizes_and_kinds_of_masks_do_not_matter(picture: np.ndarray, square: np.ndarray) -> None:
    large = np.kron(square, np.ones((4, 4), dtype=bool))
    same = overlay(picture, large, None).astype(int) - overlay(picture, square, None)
    assert np.abs(same).mean() < 2
    grey = np.where(square, 255, 128).astype(np.uint8)
    assert np.array_equal(overlay(picture, grey, grey), overlay(picture, square, square))
    assert np.array_equal(
        overlay(picture.astype(float), square, None), overlay(picture, square, None)
    )
    wide = overlay(np.repeat(picture, 2, axis=1), square, None, size=64)
    assert wide.shape == (32, 64, 3)


def test_an_empty_mask_has_no_outline_and_a_full_one_runs_along_the_edge(
    picture: np.ndarray, square: np.ndarray
) -> None:
    assert not changed(overlay(picture, square & False, square & False)).any()
    full = changed(overlay(picture, square | True, None, size=96))
    assert full[0].all()
    assert full[:, -1].all()
    assert not full[4:-4, 4:-4].any()


def test_bad_arrays_are_refused(picture: np.ndarray, square: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"pixels has the shape \(32, 32\)"):
        overlay(picture[..., 0], square, None)
    with pytest.raises(ValueError, match=r"mask has the shape \(32, 32, 1\)"):
        overlay(picture, square[..., None], None)


def test_the_worst_masks_are_a_gallery_with_a_legend(
    picture: np.ndarray, square: np.ndarray
) -> None:
    table = pd.DataFrame({"image_id": ["<b>", "a"], "jaccard": [0.1, 0.4], "hd95": [17.2, np.nan]})
    pictures = {"a": picture, "<b>": picture, "c": picture}
    made = worst_masks(table, pictures, {"a": square}, {"a": square, "<b>": square}, size=64)
    assert isinstance(made, OutlineGallery)
    (tiles,) = made.rows.values()
    assert [t.caption.replace("\N{NO-BREAK SPACE}", " ") for t in tiles] == [
        "<b> · Jaccard 0.100 · HD95 17 px",
        "a · Jaccard 0.400",
    ]
    with Image.open(io.BytesIO(tiles[0].jpeg)) as opened:
        assert opened.size == (64, 64)
    page = made.html()
    assert "<b>" not in page
    assert (
        page.index("Masks that match worst") < page.index("predicted</span>") < page.index("<img")
    )
    assert "white, the predicted one blue and dashed" in page
    with pytest.raises(KeyError):
        worst_masks(table, {}, {}, {})


def test_a_tile_is_small(picture: np.ndarray, square: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 40, (224, 224, 3)) + 150
    tile = outlined_tile(noise, square, square, caption="c", size=224)
    assert len(tile.jpeg) < 40_000


def test_true_outlines_alone_have_a_legend_of_one(picture: np.ndarray, square: np.ndarray) -> None:
    made = true_masks({"a": picture, "<b>": picture}, {"a": square}, size=64, title="Masks")
    (tiles,) = made.rows.values()
    assert [tile.caption for tile in tiles] == ["a", "<b>"]
    assert tiles[0].jpeg != tiles[1].jpeg  # which has no mask
    page = made.html()
    assert "true</span>" in page
    assert "predicted</span>" not in page
    assert "<b>" not in page
