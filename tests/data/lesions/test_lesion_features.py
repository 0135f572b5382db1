"""Lesion features: a row for every image, and a table that metadata models read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.data.features.feature_files import read_features
from melnb.data.features.feature_rows import LEFT_OUT
from melnb.data.lesions.abcd import MEASURES, SIX
from melnb.data.lesions.lesion_tables import COLUMNS, lesion_features
from melnb.tables.checks import TableError
from melnb.tables.schema import write_table

SKIN, BROWN = (215, 170, 150), SIX["dark_brown"]


def draw(folder: Path, name: str, half: tuple[float, float], scale: int = 1) -> dict[str, object]:
    """An ellipse on skin, and its mask."""
    height, width = 60 * scale, 80 * scale
    y, x = np.indices((height, width))
    away = ((y - height / 2) / (half[0] * scale)) ** 2 + ((x - width / 2) / (half[1] * scale)) ** 2
    mask = away < 1
    pixels = np.where(mask[..., None], np.array(BROWN), np.array(SKIN)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}_mask.png")
    paths = {"path": str(folder / f"{name}.png"), "mask_path": str(folder / f"{name}_mask.png")}
    return {"image_id": name, **paths, "target": "nevus"}


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    halves = {"a": (15, 20), "b": (10, 22), "c": (18, 19), "d": (6, 8)}
    return pd.DataFrame([draw(tmp_path, name, half) for name, half in halves.items()])


def test_a_row_for_every_image_with_names_that_are_documented(images: pd.DataFrame) -> None:
    table = lesion_features(images, workers=1)
    assert tuple(table.columns) == COLUMNS
    assert table["image_id"].tolist() == list("abcd")
    assert table[list(MEASURES)].notna().all(axis=None)
    assert (table["note"] == "").all()
    assert table["elongation"].round(1).tolist() == [0.8, 0.5, 0.9, 0.8]
    assert (table["dark_brown_share"] > 0.85).all()
    assert (table["lightness_difference"] < -30).all()


def test_metadata_models_read_it(images: pd.DataFrame, tmp_path: Path) -> None:
    table = lesion_features(images, workers=1)
    write_table(table, tmp_path / "lesion_features.csv")
    read = read_features(tmp_path / "lesion_features.csv", images)
    left = read.attrs[LEFT_OUT]
    assert all("same in every image" in r or "names" in r or "empty" in r for r in left.values())
    kept = [c for c in read.columns if c != "image_id"]
    assert set(kept) | {k.split(": ")[1] for k in left} == set(COLUMNS[1:])
    assert {"asymmetry", "compactness", "variegation", "diameter"} <= set(kept)
    pd.testing.assert_frame_equal(read[kept], table[kept])


def test_a_picture_of_another_scale_has_the_same_features(tmp_path: Path) -> None:
    (tmp_path / "fine").mkdir()
    rows = [draw(tmp_path, "x", (15, 20)), draw(tmp_path / "fine", "y", (15, 20), scale=7)]
    table = lesion_features(pd.DataFrame(rows), workers=1)
    shape = list(MEASURES[:12])
    coarse, fine = table[shape].to_numpy()
    np.testing.assert_allclose(fine, coarse, rtol=0.03, atol=0.02)
    # Their edges are blurred by the resizing, by no more than a few pixels of 256.
    assert table["lightness_difference"].diff().abs().iloc[1] < 3


def test_a_mask_of_another_size_but_the_same_framing_serves(images: pd.DataFrame) -> None:
    wanted = lesion_features(images, workers=1)
    for path in images["mask_path"]:
        with Image.open(path) as image:
            image.resize((40, 30), Image.Resampling.NEAREST).save(path)
    found = lesion_features(images, workers=1)
    big = wanted["image_id"] != "d"
    for name in ("area_share", "elongation", "diameter", "colour_difference"):
        assert found[name][big].to_numpy() == pytest.approx(wanted[name][big].to_numpy(), rel=0.1)


def test_what_cannot_be_measured_has_a_note(images: pd.DataFrame, tmp_path: Path) -> None:
    Image.new("L", (80, 60)).save(images["mask_path"][0])
    images.loc[1, "mask_path"] = np.nan
    Path(str(images["path"][2])).unlink()
    Image.new("L", (60, 80), 255).save(images["mask_path"][3])
    table = lesion_features(images, workers=1)
    assert table[list(MEASURES)].isna().all(axis=None)
    assert table["note"][0] == "the mask is empty"
    assert table["note"][1] == "no mask"
    assert "no such file" in table["note"][2]
    assert "the mask is 60 x 80 pixels but its picture" in table["note"][3]


def test_masks_that_are_not_relied_on_are_not_measured(images: pd.DataFrame) -> None:
    lesions = images[["image_id", "mask_path"]].assign(verdict="ok", reason="").iloc[[2, 1, 0]]
    lesions.loc[1, ["verdict", "reason"]] = ["distrusted", "disagreement 0.9 is above 0.5"]
    table = lesion_features(images.drop(columns="mask_path"), lesions, workers=1)
    assert table["note"].tolist() == [
        "", "distrusted: disagreement 0.9 is above 0.5", "", "no mask",
    ]  # fmt: skip
    assert table["asymmetry"].isna().tolist() == [False, True, False, True]
    wanted = lesion_features(images, workers=1)
    pd.testing.assert_frame_equal(table.iloc[[0, 2]], wanted.iloc[[0, 2]])


def test_a_table_without_masks_is_refused(images: pd.DataFrame) -> None:
    with pytest.raises(TableError, match="no column 'mask_path'"):
        lesion_features(images.drop(columns="mask_path"))


def test_processes_give_the_same_rows(images: pd.DataFrame) -> None:
    wanted = lesion_features(images, workers=1)
    pd.testing.assert_frame_equal(lesion_features(images, workers=2), wanted)
