"""New pictures are found, the bad ones named, the others answered."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.data.datasets import Dataset
from melnb.data.new_pictures import check_pictures, find_pictures, prepare_pictures
from melnb.data.pictures import read_picture
from melnb.data.shards.examples import Shard
from melnb.data.shards.records import make_records, read_index
from melnb.tables import schema
from melnb.tables.checks import TableError


def draw(path: Path, seed: int = 0, size: tuple[int, int] = (90, 60), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(60, 200, (6, 9, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size).save(path, **options)
    return path


def learnt_from(folder: Path, **changes: object) -> Dataset:
    shard = Shard(folder / "64px" / "fold0-00-1.tfrec", 64, 0, 1)
    made = {"fit": "crop", "cleaning": "none", **changes}
    return Dataset(folder, "d", "csv", "melanoma", ("other", "melanoma"), 2, (64,), images=1,
                   shards=(shard,), **made)  # type: ignore[arg-type]  # fmt: skip


def test_what_is_no_photograph_is_named_and_the_others_are_found(tmp_path: Path) -> None:
    good = draw(tmp_path / "a" / "one.jpg")
    data = good.read_bytes()
    (tmp_path / "a" / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "a" / "text.png").write_text("no picture")
    (tmp_path / "a" / "raw.heic").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    mask = np.zeros((60, 90), np.uint8)
    mask[20:40, 30:60] = 255
    Image.fromarray(mask).save(tmp_path / "a" / "one_mask.png")
    found = find_pictures([tmp_path / "a", tmp_path / "empty", tmp_path / "nowhere.jpg"])
    assert found.images["image_id"].tolist() == ["one"]
    reasons = {Path(f).name: r for f, r in found.refused.itertuples(index=False)}
    assert set(reasons) == {"cut.jpg", "text.png", "raw.heic", "empty", "one_mask.png",
                            "nowhere.jpg"}  # fmt: skip
    assert "truncated" in reasons["cut.jpg"]
    assert "mask" in reasons["one_mask.png"]
    assert reasons["empty"] == "a folder without a picture in it or below"
    check_pictures([tmp_path / "a"])
    with pytest.raises(FileNotFoundError, match=r"no picture to look at .*folder without a pict"):
        check_pictures([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match=r"text\.png: not a picture"):
        find_pictures([tmp_path / "a" / "text.png"])


def test_pictures_of_one_name_are_called_by_their_folders(tmp_path: Path) -> None:
    places = [draw(tmp_path / part / "1.jpg", k) for k, part in enumerate("ab")]
    found = find_pictures([*places, places[0]])
    assert found.images["image_id"].tolist() == ["a_1", "b_1"]
    schema.check_images(found.images)


def test_a_table_beside_them_tells_their_truth_in_the_models_task(tmp_path: Path) -> None:
    draw(tmp_path / "x.jpg")
    draw(tmp_path / "y.jpg", 1)
    (tmp_path / "told.csv").write_text("image,dx,age\nX.JPG,mel,61\nz,nv,40\n")
    found = find_pictures([tmp_path], task="melanoma")
    assert found.labels == tmp_path / "told.csv"
    told = found.images.set_index("image_id")
    assert told.loc["x", "target"] == "melanoma"
    assert told.loc["x", "age"] == 61
    assert pd.isna(told.loc["y", "target"])
    assert "1 of 2 pictures stand in it" in found.notes[0]
    assert "1 rows of told.csv have no picture" in found.notes[1]


def test_a_table_of_something_else_stops_only_who_named_it(tmp_path: Path) -> None:
    draw(tmp_path / "x.jpg")
    other = tmp_path / "prices.csv"
    other.write_text("image,dx\nq,nv\n")
    assert "was not read: " in find_pictures([tmp_path]).notes[0]
    with pytest.raises(TableError, match="not one of its 1 rows is named as a picture"):
        find_pictures([tmp_path], labels=other)
    (tmp_path / "more.csv").write_text("a\n1\n")
    found = find_pictures([tmp_path])
    assert found.labels is None
    assert "2 tables lie beside" in found.notes[0]


def test_records_are_those_that_02_prepare_would_make(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = draw(tmp_path / "in" / "t.jpg", 3, (200, 120), exif=exif)
    found = find_pictures([tmp_path / "in"])
    made, refused = prepare_pictures(
        found, learnt_from(tmp_path), tmp_path / "out", prepared={"quality": 90}
    )
    assert refused.empty
    assert made.classes == ("other", "melanoma")
    index = read_index(made.paths(None, 64))
    assert index["target"].tolist() == [-1]
    images = schema.read_images(tmp_path / "out" / "images.csv")
    folds = pd.DataFrame({"image_id": images["image_id"], "fold": -1})
    by_hand = make_records(images, folds, tmp_path / "hand", classes=made.classes,
                           image_sizes=[64], quality=90, workers=1)  # fmt: skip
    assert made.shards[0].path.read_bytes() == by_hand.shards[0].path.read_bytes()
    upright = np.asarray(read_picture(turned, 64), float)
    stored = np.asarray(read_picture(index["path"].iloc[0]), float)
    assert np.abs(upright - stored).mean() < 4


def test_pictures_cut_by_masks_cannot_be_made_alike(tmp_path: Path) -> None:
    found = find_pictures([draw(tmp_path / "x.jpg")])
    with pytest.raises(ValueError, match="02d_segment_apply/crop cut to their lesions"):
        prepare_pictures(found, learnt_from(tmp_path), tmp_path, prepared={"applied": "crop"})


def test_a_table_of_two_pictures_of_one_name_judges_neither(tmp_path: Path) -> None:
    for k, part in enumerate(("a", "b")):
        draw(tmp_path / part / "x.jpg", k)
    draw(tmp_path / "a" / "y.jpg", 2)
    (tmp_path / "told.csv").write_text("image,dx\nx,mel\ny,nv\n")
    found = find_pictures([tmp_path], task="melanoma")
    truths = found.images.set_index("image_id")["target"]
    assert truths["y"] == "other"
    assert truths[["a_x", "b_x"]].isna().all()
    assert found.notes[-1].startswith("2 pictures share a name with another (x is the first)")


@pytest.mark.parametrize("head", ["photo,finding", "Bild;Befund", "image,class"])
def test_a_table_that_a_trial_read_tells_the_truth_of_new_pictures_too(
    tmp_path: Path, head: str
) -> None:
    for k in range(3):
        draw(tmp_path / f"{k}a.jpg", k)
    mark = ";" if ";" in head else ","
    rows = [f"{k}a.jpg{mark}{word}" for k, word in enumerate(("melanoma", "nevus", "nevus"))]
    (tmp_path / "told.csv").write_text("\n".join([head, *rows]))
    found = find_pictures([tmp_path], task="melanoma")
    assert found.images["target"].tolist() == ["melanoma", "other", "other"]
    assert find_pictures([tmp_path], labels=None).images["target"].isna().all()
