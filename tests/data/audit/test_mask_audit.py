"""The audit of masks: each oddness alone, several at once, and the real masks."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.data.audit.mask_audit import FINDINGS, finding_counts, look_at_mask, mask_audit
from melnb.data.sources.ham10000 import read_ham10000

SHAPE = (30, 40)
RAMP = np.tile(np.arange(40) * 3, (30, 1)) * (np.arange(30) < 9)[:, None]  # grey in a third


def lesion(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """White rectangles: top, bottom, left, right."""
    mask = np.zeros(SHAPE, "uint8")
    for top, bottom, left, right in boxes or [(10, 20, 10, 25)]:
        mask[top:bottom, left:right] = 255
    return mask


def save(folder: Path, name: str, pixels: np.ndarray) -> str:
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name)
    return str(folder / name)


def look(folder: Path, mask: np.ndarray, shape: tuple[int, int] = SHAPE) -> dict[str, Any]:
    picture = save(folder, "i.jpg", np.zeros((*shape, 3), "uint8"))
    return look_at_mask(save(folder, "i_segmentation.png", mask), picture)


def test_a_plain_mask_is_not_odd(tmp_path: Path) -> None:
    found = look(tmp_path, lesion())
    assert found["findings"] == ""
    assert (found["width"], found["height"], found["parts"]) == (40, 30, 1)
    assert found["area"] == pytest.approx(150 / 1200)
    assert (found["largest"], found["grey"], found["frame"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("mask", "findings", "said"),
    [
        (lesion((0, 0, 0, 0)), "empty", "no lesion"),
        (lesion((0, 30, 0, 40)), "white", "everywhere"),
        (255 - 3 * np.eye(30, 40, 5, "uint8"), "white", "everywhere"),
        (lesion((5, 9, 5, 9), (20, 22, 30, 32)), "parts", "2 pieces, the largest 80.0%"),
        (lesion((5, 9, 5, 9), (9, 12, 9, 12)), "", ""),  # joined at a corner
        (lesion((0, 5, 10, 14)), "border", "2.9% of the frame"),
        (np.where(lesion() > 0, 255, 100).astype("uint8"), "", ""),  # two levels are two
        (lesion() // 255, "", ""),  # 0 and 1
        (np.where(lesion(), 255, RAMP).astype("uint8"), "grey", "grey, away from any edge"),
        (lesion() // 255 + lesion((12, 18, 12, 20)) // 255, "unreadable", "0 (87.5%), 1 (8.5%), 2"),
        (255 - lesion(), "unreadable", "inverted"),
        (lesion((0, 15, 0, 40), (20, 25, 3, 8)), "parts border", "2 pieces"),
    ],
)  # fmt: skip
def test_each_oddness(tmp_path: Path, mask: np.ndarray, findings: str, said: str) -> None:
    found = look(tmp_path, mask)
    assert found["findings"] == findings
    assert said in found["said"]


def test_almost_nothing_and_almost_all(tmp_path: Path) -> None:
    large = np.zeros((100, 100), "uint8")
    large[50, 50:55] = 255
    assert look(tmp_path, large, (100, 100))["findings"] == "scant"
    assert look(tmp_path, 255 - large, (100, 100))["findings"] == "vast border"


def test_the_grey_of_a_resized_outline_is_none(tmp_path: Path) -> None:
    y, x = np.mgrid[:300, :400]
    disc = (np.hypot(y - 150, x - 200) < 100).astype("uint8") * 255
    small = Image.fromarray(disc).resize((40, 30), Image.Resampling.LANCZOS)
    assert len(np.unique(np.asarray(small))) > 10
    assert look(tmp_path, np.asarray(small))["findings"] == ""


def test_sizes_are_compared_upright(tmp_path: Path) -> None:
    found = look(tmp_path, lesion(), (60, 80))
    assert found["findings"] == "size"
    assert f"{found['mask_path']} is 40 x 30, but {found['path']} 80 x 60" in found["said"]
    assert look(tmp_path, lesion(), (60, 60))["findings"] == "aspect"
    turned = Image.new("RGB", (30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    turned.save(tmp_path / "turned.jpg", exif=exif)
    mask = save(tmp_path, "t_segmentation.png", lesion())
    assert look_at_mask(mask, str(tmp_path / "turned.jpg"))["findings"] == ""


def test_a_table_row_by_row_with_what_is_not_there(tmp_path: Path) -> None:
    masks = {
        "ok": save(tmp_path / "m", "ok_segmentation.png", lesion()),
        "odd": save(tmp_path / "m", "odd_segmentation.png", lesion((0, 3, 0, 3))),
        "broken": str(tmp_path / "m" / "broken_segmentation.png"),
        "gone": str(tmp_path / "m" / "gone_segmentation.png"),
    }
    Path(masks["broken"]).write_bytes(b"no picture")
    near = save(tmp_path / "m", "near_Segmentation.png", lesion())
    names = ["none", "odd", "ok", "gone", "near", "broken"]
    pictures = [save(tmp_path, f"{n}.jpg", np.zeros((*SHAPE, 3), "uint8")) for n in names]
    images = pd.DataFrame({"image_id": names, "path": pictures})
    images["mask_path"] = images["image_id"].map(masks)
    found = mask_audit(images)
    assert found[["image_id", "findings"]].to_numpy().tolist() == [
        ["none", "missing"], ["odd", "border"], ["gone", "unreadable"], ["near", "misnamed"],
        ["broken", "unreadable"],
    ]  # fmt: skip
    said = found.set_index("image_id")["said"]
    assert said["near"] == f"{pictures[4]} has no mask, but {near} is there: rename it"
    for name in ("gone", "broken"):
        assert masks[name] in said[name]
        assert str(tmp_path / f"{name}.jpg") in said[name]
    assert found["width"].tolist()[1] == 40
    assert found["width"].isna().sum() == 4
    counts = finding_counts(found)
    assert counts["finding"].tolist() == ["missing", "misnamed", "unreadable", "border"]
    assert counts["masks"].tolist() == [1, 1, 2, 1]
    assert set(counts["finding"]) <= set(FINDINGS)
    reversed_too = mask_audit(images.iloc[::-1], workers=2)
    pd.testing.assert_frame_equal(reversed_too.iloc[::-1].reset_index(drop=True), found)


def test_nothing_odd_is_an_empty_table(tmp_path: Path) -> None:
    path = save(tmp_path, "ok.jpg", np.zeros((*SHAPE, 3), "uint8"))
    mask = save(tmp_path, "ok_lesion.bmp", lesion())
    found = mask_audit(pd.DataFrame({"image_id": ["ok"], "path": [path], "mask_path": [mask]}))
    assert found.empty
    assert finding_counts(found).empty
    for columns in ({}, {"mask_path": [None]}):
        without = mask_audit(pd.DataFrame({"image_id": ["a"], "path": ["a.jpg"], **columns}))
        assert without.empty
        assert finding_counts(without).empty


@pytest.mark.data
@pytest.mark.skipif("MELNB_DATA" not in os.environ, reason="MELNB_DATA is not set: no real data")
def test_two_real_masks_are_all_white() -> None:
    images = read_ham10000(Path(os.environ["MELNB_DATA"]) / "ham10000")
    small = images["mask_path"].map(lambda path: Path(path).stat().st_size)
    found = mask_audit(images[small <= small.quantile(0.02)], workers=1)
    assert found["findings"].str.contains("white").sum() == 2
