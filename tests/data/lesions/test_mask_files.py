"""Reading: a mask is in memory while it is looked at, and no longer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.data.lesions import mask_files
from melnb.data.pictures import PictureError
from melnb.evaluation.mask_scores import segmentation_scores


def square(side: int, low: int, high: int) -> np.ndarray:
    plane = np.zeros((side, side), bool)
    plane[low:high, low:high] = True
    return plane


def save(plane: np.ndarray, path: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.where(plane, np.uint8(255), np.uint8(0))).save(path)
    return str(path)


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    """Three pictures of 24 pixels; the true mask of the second is half as large; one has none."""
    truths = [save(square(24, 4, 20), tmp_path / "t0.png"), None]
    truths.insert(1, save(square(12, 2, 10), tmp_path / "t1.png"))
    for k in range(3):
        Image.new("RGB", (24, 24), (k, k, k)).save(tmp_path / f"i{k}.png")
    paths = [str(tmp_path / f"i{k}.png") for k in range(3)]
    return pd.DataFrame({"image_id": ["i0", "i1", "i2"], "path": paths, "mask_path": truths})


@pytest.fixture
def lesions(tmp_path: Path) -> pd.DataFrame:
    paths = [save(square(24, 4, 12), tmp_path / "masks" / f"i{k}.png") for k in (2, 1, 0)]
    table = {"image_id": ["i2", "i1", "i0"], "mask_path": paths, "width": 24, "height": 24}
    return pd.DataFrame(table).astype({"width": "Int64", "height": "Int64"})


def test_scores_read_masks_as_they_go(images: pd.DataFrame, lesions: pd.DataFrame) -> None:
    truths = mask_files.true_masks(images, lesions)
    assert list(truths) == ["i0", "i1"]
    np.testing.assert_array_equal(truths["i1"], square(24, 4, 20))
    found = mask_files.found_masks(lesions, images[images["image_id"].isin(list(truths))])
    scores = segmentation_scores(truths, found)
    assert scores["image_id"].tolist() == ["i0", "i1"]
    assert scores["jaccard"].tolist() == [0.25, 0.25]
    assert len(mask_files.found_masks(lesions, images)) == 3


def test_no_more_than_one_pair_is_held_and_no_file_is_opened_to_ask_for_a_name(
    images: pd.DataFrame, lesions: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    read = mask_files.read_mask
    monkeypatch.setattr(
        mask_files, "read_mask", lambda path, *a, **k: opened.append(path) or read(path, *a, **k)
    )
    truths = mask_files.true_masks(images, lesions)
    assert "i0" in truths
    assert "i2" not in truths
    assert truths.get("i2") is None
    assert (len(truths), opened) == (2, [])
    found = mask_files.found_masks(lesions, images.iloc[:2])
    segmentation_scores(truths, found)
    pair = [(f"t{k}.png", f"i{k}.png") for k in (0, 1)]
    assert [Path(p).name for p in opened] == [*pair[0], *pair[1]] * 2


def test_a_table_without_masks_has_none(images: pd.DataFrame, lesions: pd.DataFrame) -> None:
    for table in (images.drop(columns="mask_path"), images.assign(mask_path=np.nan)):
        truths = mask_files.true_masks(table, lesions)
        assert len(truths) == 0
        assert segmentation_scores(truths, mask_files.found_masks(lesions, table.head(0))).empty


def test_a_mask_that_does_not_fit_is_named_with_its_picture(
    images: pd.DataFrame, lesions: pd.DataFrame, tmp_path: Path
) -> None:
    save(np.zeros((24, 30), bool), tmp_path / "t0.png")
    (tmp_path / "t1.png").unlink()
    truths = mask_files.true_masks(images, lesions)
    with pytest.raises(PictureError, match=r"i0 \(.*i0.png\): .*t0.png: the mask is 30 x 24 pixe"):
        truths["i0"]
    with pytest.raises(PictureError, match=r"i1 \(.*i1.png\): .*t1.png: no such file"):
        truths["i1"]


def test_pictures_are_read_when_asked_for(images: pd.DataFrame) -> None:
    pixels = mask_files.PictureFiles(images.assign(path=[*images["path"][:2], np.nan]))
    assert list(pixels) == ["i0", "i1"]
    assert "i2" not in pixels
    assert pixels["i1"].shape == (24, 24, 3)
    assert (pixels["i1"] == 1).all()


@pytest.mark.parametrize("table", ["as it is", "without masks"])
def test_a_few_are_read_square_with_the_masks_that_are_known(
    images: pd.DataFrame, table: str
) -> None:
    known = images if table == "as it is" else images.drop(columns="mask_path")
    pixels, masks = mask_files.square_pairs(known, fit="squash", side=8, mask_side=12)
    assert [p.shape for p in pixels.values()] == [(8, 8, 3)] * 3
    assert list(masks) == (["i0", "i1"] if table == "as it is" else [])
    for mask in masks.values():
        np.testing.assert_array_equal(mask, square(12, 2, 10))
