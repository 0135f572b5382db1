"""Applying: each file once, whole or absent, whatever kills the process in the midst."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import melnb
from melnb.data.lesions import writing
from melnb.data.lesions.applying import Prediction, apply_masks
from melnb.data.lesions.lesion_tables import (
    list_fallbacks,
    missing_images,
    read_lesions,
    write_tables,
)
from melnb.data.lesions.masks import make_mask
from melnb.data.pictures import PictureError, read_picture
from melnb.data.sources.any_csv import read_any_csv
from melnb.tables.checks import TableError
from melnb.tables.schema import IMAGE_COLUMNS

SIDE = 16
PLACES = {"here": str(Path(__file__).parent), "root": str(Path(melnb.__file__).parents[1])}


def plane(number: int, side: int = SIDE) -> np.ndarray:
    """A disc whose place and size follow from the number."""
    rng = np.random.default_rng(number)
    row, column = rng.uniform(0.4, 0.6, 2) * side
    y, x = np.indices((side, side)) + 0.5
    return (np.hypot(y - row, x - column) < rng.uniform(0.2, 0.3) * side).astype(np.float16)


def make_images(folder: Path, count: int, size: tuple[int, int] = (40, 30)) -> pd.DataFrame:
    folder.mkdir(parents=True, exist_ok=True)
    images = pd.DataFrame(index=range(count), columns=[*IMAGE_COLUMNS]).astype(object)
    images["image_id"] = [f"img{k}" for k in range(count)]
    images["path"] = [str(folder / f"img{k}.jpg") for k in range(count)]
    images["diagnosis"] = images["target"] = ["melanoma", "nevus"] * (count // 2)
    images["age"], images["sex"], images["source"] = 55.0, "female", "demo"
    images["patient_id"], images["fold"] = "P1", 3
    for k, path in enumerate(images["path"]):
        levels = np.random.default_rng(k).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(levels).save(path, quality=95)
    return images


def predict(images: pd.DataFrame) -> Iterator[Prediction]:
    for image_id in images["image_id"]:
        yield image_id, plane(int(image_id[3:])), {"disagreement": 0.1, "fold": 2}


def levels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    return make_images(tmp_path / "raw", 4)


def apply(images: pd.DataFrame, folder: Path, **given: object) -> pd.DataFrame:
    apply_masks(images, predict(images), folder, **{"workers": 1, "progress": False, **given})  # type: ignore[arg-type]
    return write_tables(images, folder)


def test_masks_boxes_and_crops_are_as_found(images: pd.DataFrame, tmp_path: Path) -> None:
    lesions = apply(images, tmp_path / "out", margin=0.1)
    assert lesions["image_id"].tolist() == images["image_id"].tolist()
    for row in lesions.itertuples():
        mask = make_mask(plane(int(row.image_id[3:])), 40, 30)
        written = levels(tmp_path / "out" / str(row.mask_path))
        np.testing.assert_array_equal(written, np.where(mask, 255, 0))
        assert row.area_share == mask.mean()
        assert (row.width, row.height, row.verdict, row.reason) == (40, 30, "ok", "")
        rows, columns = np.nonzero(mask)
        away = round(0.1 * max(np.ptp(rows) + 1, np.ptp(columns) + 1))
        assert (row.left, row.bottom) == (columns.min() - away, rows.max() + 1 + away)
        cropped = read_picture(tmp_path / "out" / str(row.path))
        assert cropped.size == (row.right - row.left, row.bottom - row.top)


@pytest.mark.parametrize("output", ["mask", "crop", "crop_times_mask", "soft_margin"])
def test_the_next_prepare_reads_what_was_written(
    images: pd.DataFrame, tmp_path: Path, output: str
) -> None:
    lesions = apply(images, tmp_path / "out.partial", output=output)
    (tmp_path / "out.partial").rename(tmp_path / "out")  # as a run does at its end
    back = read_any_csv(tmp_path / "out" / "images.csv")
    for column in set(IMAGE_COLUMNS) - {"path", "source"}:
        pd.testing.assert_series_equal(back[column], images[column], check_dtype=False)
    assert back["fold"].astype(int).tolist() == [3] * 4
    for row, source in zip(back.itertuples(), images["path"], strict=True):
        picture, mask = read_picture(str(row.path)), levels(str(row.mask_path))
        assert picture.size == mask.shape[::-1]
        assert (row.path == source) == (output == "mask")
        black = np.asarray(picture)[mask == 0]
        assert (black.mean() < 20) == (output == "crop_times_mask")
    assert (lesions["verdict"] == "ok").all()
    read = read_lesions(tmp_path / "out")
    assert all(Path(p).is_file() for p in (*read["path"], *read["mask_path"]))
    pd.testing.assert_frame_equal(
        read.drop(columns=["path", "mask_path"]),
        lesions.drop(columns=["path", "mask_path"]),
        check_dtype=False,
    )


def test_an_image_is_left_whole_where_its_mask_cannot_be_relied_on(
    images: pd.DataFrame, tmp_path: Path
) -> None:
    spot = np.zeros((SIDE, SIDE))
    spot[8, 8] = 1
    predictions = [
        ("img0", np.zeros((SIDE, SIDE)), {"disagreement": 0.0}),
        ("img1", spot, {"disagreement": np.float32(0), "spread": np.float32(0.25)}),
        ("img2", plane(2), {"spread": math.nan, "disagreement": 0.9}),
        ("img3", plane(3), {}),
    ]
    kinds = {"least_share": 0.05, "most_disagreement": 0.8, "sigma": 0, "smoothing": 0}
    out = tmp_path / "out"
    apply_masks(images, predictions, out, **kinds, workers=1, progress=False)  # type: ignore[arg-type]
    lesions = write_tables(images, out)
    assert lesions["verdict"].tolist() == ["empty", "tiny", "distrusted", "ok"]
    assert lesions["path"].tolist() == [*images["path"][:3], "pictures/img3.jpg"]
    assert lesions["left"].isna().tolist() == [True, False, False, False]
    assert lesions["disagreement"].isna().tolist() == [False, False, False, True]
    assert list(lesions.columns[-2:]) == ["disagreement", "spread"]
    np.testing.assert_array_equal(lesions["spread"], [np.nan, 0.25, np.nan, np.nan])
    listed = list_fallbacks(read_lesions(out))
    assert listed["image_id"].tolist() == ["img0", "img1", "img2"]
    assert listed["reason"].tolist()[2] == "disagreement 0.900 is above 0.8"
    assert "less than 5.00%" in listed["reason"][1]
    back = read_any_csv(out / "images.csv")
    assert back["path"].tolist()[:3] == images["path"].tolist()[:3]
    assert back["mask_path"].isna().tolist() == [True, True, True, False]
    assert len(contents(out / "masks")) == 4
    assert len(contents(out / "pictures")) == 1


def test_a_turned_picture_is_cut_upright(images: pd.DataFrame, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    source = Path(images["path"][0])
    levels = np.zeros((30, 40, 3), dtype=np.uint8)
    levels[:, 28:] = 255  # upright: the lower rows
    Image.fromarray(levels).save(source, exif=exif)
    low = np.zeros((SIDE, SIDE))
    low[12:] = 1
    one = images.iloc[:1]
    apply_masks(one, [("img0", low, {})], tmp_path / "out", sigma=0, smoothing=0, margin=0,
                workers=1, progress=False)  # fmt: skip
    lesion = write_tables(one, tmp_path / "out").iloc[0]
    assert lesion[["left", "top", "right", "bottom"]].tolist() == [0, 30, 30, 40]
    assert lesion[["width", "height"]].tolist() == [30, 40]
    assert np.asarray(read_picture(tmp_path / "out" / lesion["path"])).min() > 250


def test_pictures_within_other_files_are_written_out(images: pd.DataFrame, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    data = Path(images["path"][0]).read_bytes()
    with h5py.File(tmp_path / "all.hdf5", "w") as file:
        file["img0"] = np.void(data)
    one = images.iloc[:1].assign(path=f"{tmp_path / 'all.hdf5'}::img0")
    for output in ("mask", "crop"):
        out = tmp_path / output
        given = [("img0", np.zeros((SIDE, SIDE)), {})]
        apply_masks(one, given, out, output=output, workers=1, progress=False)  # type: ignore[arg-type]
        assert write_tables(one, out)["path"].tolist() == ["pictures/img0.jpg"]
        assert (out / "pictures" / "img0.jpg").read_bytes() == data
        assert len(read_any_csv(out / "images.csv")) == 1


def test_a_second_call_writes_nothing_again(images: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert missing_images(images, out)["image_id"].tolist() == images["image_id"].tolist()
    first = images.iloc[[2, 0]]
    assert apply_masks(images, predict(first), out, workers=1, progress=False) == 2
    rest = missing_images(images, out)
    assert rest["image_id"].tolist() == ["img1", "img3"]
    stamps = {f: f.stat().st_mtime_ns for f in out.rglob("*.*g")}
    (out / "pictures" / "img0.jpg").unlink()  # as if killed between an image's files
    (out / "masks" / ".img1.png.99.tmp").write_bytes(b"half")
    assert apply_masks(images, predict(images), out, workers=1, progress=False) == 2
    assert not list(out.rglob(".*"))
    again = {f: f.stat().st_mtime_ns for f in stamps}
    changed = {f.name for f in stamps if again[f] != stamps[f]}
    assert changed == {"img0.jpg"}
    whole = apply(images, tmp_path / "at_once")
    pd.testing.assert_frame_equal(write_tables(images, out), whole)
    assert contents(out) == contents(tmp_path / "at_once")


KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
sys.path[:0] = [{here!r}, {root!r}]
import test_applying as t
from melnb.tables import files
from melnb.data.lesions import applying, writing

if __name__ == "__main__":
    images = pd.read_pickle({table!r})
    moments = []

    def reach(moment):
        moments.append(moment)
        if moment == {moment!r} and moments.count(moment) == {when}:
            os.kill(os.getpid(), signal.SIGKILL)

    def predict(images):
        for triple in t.predict(images):
            reach("between")
            yield triple

    rename = Path.replace

    def replace(self, target):
        reach("before_rename")
        rename(self, target)
        reach("after_rename")

    Path.replace = replace
    applying.apply_masks(images, predict(images), {out!r}, workers={workers}, progress=False)
"""


def kill_in(images: pd.DataFrame, tmp_path: Path, *, moment: str, when: int) -> None:
    table = tmp_path / "images.pickle"
    images.to_pickle(table)
    script = tmp_path / "killed.py"
    values = {"table": str(table), "moment": moment, "when": when}
    script.write_text(KILLED.format(out=str(tmp_path / "out"), workers=1, **PLACES, **values))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("moment", "when"),
    [("between", 3), ("before_rename", 5), ("after_rename", 6)],
)
def test_killed_and_run_again_each_file_is_written_once(
    images: pd.DataFrame, tmp_path: Path, moment: str, when: int
) -> None:
    out = tmp_path / "out"
    kill_in(images, tmp_path, moment=moment, when=when)
    stamps = {f: f.stat().st_mtime_ns for f in out.rglob("[!.]*") if f.is_file()}
    names = {f.parent.name + "/" + f.name for f in stamps if f.name != "settings.json"}
    assert names
    assert len(names) < 12  # it was in the midst
    rest = missing_images(images, out)
    written = apply_masks(images, predict(rest), out, workers=1, progress=False)
    assert written == len(rest) == 4 - sum(n.startswith("masks/") for n in names)
    assert {f: f.stat().st_mtime_ns for f in stamps} == stamps
    write_tables(images, out)
    apply(images, tmp_path / "at_once")
    assert contents(out) == contents(tmp_path / "at_once")


@pytest.mark.parametrize("when", [30, pytest.param(60, marks=pytest.mark.nightly)])
def test_workers_end_with_a_killed_process_and_another_goes_on(tmp_path: Path, when: int) -> None:
    images, out = make_images(tmp_path / "raw", 120, (400, 300)), tmp_path / "out"
    images.to_pickle(tmp_path / "images.pickle")
    script = tmp_path / "killed.py"
    values = {"table": str(tmp_path / "images.pickle"), "moment": "between", "when": when}
    script.write_text(KILLED.format(out=str(out), workers=2, **PLACES, **values))
    # The pipe closes when the last worker has ended.
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, timeout=600)
    assert done.returncode == -signal.SIGKILL
    stamps = {f: f.stat().st_mtime_ns for f in out.rglob("[!.]*") if f.is_file()}
    rest = missing_images(images, out)
    assert 0 < len(rest) < 115
    assert apply_masks(images, predict(rest), out, workers=2, progress=False) == len(rest)
    assert {f: f.stat().st_mtime_ns for f in stamps} == stamps
    lesions = write_tables(images, out)
    pd.testing.assert_frame_equal(lesions, apply(images, tmp_path / "at_once"))
    assert contents(out) == contents(tmp_path / "at_once")


def test_planes_are_taken_as_they_are_written(images: pd.DataFrame, tmp_path: Path) -> None:
    ahead = []

    def watched() -> Iterator[Prediction]:
        for number, triple in enumerate(predict(images)):
            ahead.append(number - len(list((tmp_path / "out" / "masks").glob("*.png"))))
            yield triple

    apply_masks(images, watched(), tmp_path / "out", workers=1, progress=False)
    assert ahead == [0, 0, 0, 0]


def test_other_settings_need_another_folder(images: pd.DataFrame, tmp_path: Path) -> None:
    apply(images, tmp_path / "out")
    with pytest.raises(FileExistsError, match="written with other settings"):
        apply(images, tmp_path / "out", margin=0.3)
    (tmp_path / "out" / "settings.json").unlink()
    with pytest.raises(FileExistsError, match="holds masks that were not made here"):
        apply(images, tmp_path / "out")


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([("other", plane(0), {})], "a prediction is of 'other', which the images table lacks"),
        ([("img0", plane(0), {})] * 2, "img0 is predicted twice"),
        ([("img0", plane(0) - 3, {})], "img0: the plane holds -3 to -2"),
        ([("img0", plane(0), {"width": 3})], "a number of img0 is named 'width'"),
    ],
)
def test_wrong_predictions_are_named(
    images: pd.DataFrame, tmp_path: Path, predictions: list, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        apply_masks(images, predictions, tmp_path / "out", workers=1, progress=False)


def test_what_is_not_finished_makes_no_table(images: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match=r"no settings.json in .*: run apply_masks first"):
        write_tables(images, out)
    with pytest.raises(FileNotFoundError, match=r"no lesions\.csv"):
        read_lesions(out)
    apply_masks(images, predict(images.iloc[:3]), out, workers=1, progress=False)
    with pytest.raises(ValueError, match=r"1 of 4 images have no mask in .*, the first is img3"):
        write_tables(images, out)
    (out / "pictures" / "img1.jpg").unlink()
    with pytest.raises(ValueError, match=r"img1: no .*img1.jpg: run apply_masks to its end"):
        write_tables(images.iloc[:3], out)
    (out / "masks" / "img2.png").write_bytes(b"not a mask")
    with pytest.raises(PictureError, match=r"img2.png: no mask written here"):
        writing.read_found(out, "img2")
    nowhere = images.assign(path=[np.nan, *images["path"][1:]])
    with pytest.raises(TableError, match="1 rows have no path, the first is img0"):
        apply_masks(nowhere, [], out)


def test_a_picture_that_cannot_be_read_is_named(images: pd.DataFrame, tmp_path: Path) -> None:
    Path(images["path"][1]).write_bytes(b"GIF")
    with pytest.raises(PictureError, match=r"img1.jpg: not a picture"):
        apply(images, tmp_path / "out")
    assert missing_images(images, tmp_path / "out")["image_id"].tolist() == ["img1", "img2", "img3"]


def test_settings_are_written_beside(images: pd.DataFrame, tmp_path: Path) -> None:
    apply(images, tmp_path / "out", output="soft_margin", square=True)
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["output"] == "soft_margin"
    assert settings["square"] is True


def test_masks_of_another_folder_are_linked_and_cut_anew(
    images: pd.DataFrame, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    apply(images, first)
    given = {"masks_of": first, "output": "crop_times_mask", "workers": 1, "progress": False}
    assert apply_masks(images, [], second, **given) == 4  # type: ignore[arg-type]
    for mask in (first / "masks").iterdir():
        assert (second / "masks" / mask.name).stat().st_ino == mask.stat().st_ino
    lesions = write_tables(images, second)
    apply(images, tmp_path / "at_once", output="crop_times_mask")
    assert contents(second) == contents(tmp_path / "at_once")
    assert lesions["fold"].tolist() == [2] * 4
    (second / "masks" / "img1.png").unlink()  # as if killed in the midst
    stamps = {f: f.stat().st_mtime_ns for f in (second / "pictures").iterdir()}
    assert apply_masks(images, [], second, **given) == 1  # type: ignore[arg-type]
    assert {f: f.stat().st_mtime_ns for f in stamps} == stamps
    assert apply_masks(images, [], second, **given) == 0  # type: ignore[arg-type]


def test_masks_are_copied_where_they_cannot_be_linked(
    images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(images, tmp_path / "first")

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    given = {"masks_of": tmp_path / "first", "workers": 1, "progress": False}
    assert apply_masks(images, [], tmp_path / "second", **given) == 4  # type: ignore[arg-type]
    write_tables(images, tmp_path / "second")
    first, second = contents(tmp_path / "first"), contents(tmp_path / "second")
    assert first == second


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"sigma": 3.0}, r"sigma is 3.0, but the masks of .*first were made with 2.0"),
        ({"margin": 0.2}, r"margin is 0.2, but .* with 0.1"),
        ({"fit": "pad"}, r"fit is 'pad', but .* with 'squash'"),
        ({"square": True}, r"square is True, but .* with False"),
    ],
)
def test_masks_that_were_made_otherwise_are_not_taken(
    images: pd.DataFrame, tmp_path: Path, other: dict, message: str
) -> None:
    apply(images, tmp_path / "first")
    with pytest.raises(ValueError, match=message):
        apply_masks(images, [], tmp_path / "second", masks_of=tmp_path / "first", **other)
    assert not (tmp_path / "second").exists()


def test_masks_of_other_images_are_not_taken(images: pd.DataFrame, tmp_path: Path) -> None:
    apply(images.iloc[:3], tmp_path / "first")
    given = {"masks_of": tmp_path / "first"}
    with pytest.raises(ValueError, match=r"masks of 3 images .* has 4; img3 is without a mask"):
        apply_masks(images, [], tmp_path / "second", **given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"masks of 3 images .* has 2; img2 is not in the table"):
        apply_masks(images.iloc[:2], [], tmp_path / "second", **given)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"no settings.json in .*: name a run of 02d"):
        apply_masks(images, [], tmp_path / "second", masks_of=tmp_path / "nowhere")
