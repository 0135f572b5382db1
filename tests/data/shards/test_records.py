"""Records: what is written is read back, once made is kept, and damage is told."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from melnb.data.cleaning import clean_picture
from melnb.data.jpeg import strip_jpeg
from melnb.data.pictures import decode_picture, encode_jpeg, fit_picture, read_picture
from melnb.data.shards import examples as examples_module
from melnb.data.shards.examples import Shard, count_examples, file_crc, read_examples, write_shard
from melnb.data.shards.records import Records, RecordsError, list_records, make_records, read_index
from melnb.tables.schema import IMAGE_COLUMNS

CLASSES = ("other", "melanoma")


def make_cohort(folder: Path, n: int = 12, side: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write n pictures; return their images and folds tables (the last three are test)."""
    rng = np.random.default_rng(0)
    images = pd.DataFrame({c: [np.nan] * n for c in IMAGE_COLUMNS}, dtype=object)
    images["image_id"] = [f"i{k:02d}" for k in range(n)]
    images["path"] = [str(folder / f"i{k:02d}.jpg") for k in range(n)]
    images["patient_id"] = [f"p{k % 6}" if k % 6 < 5 else np.nan for k in range(n)]
    images["target"] = [CLASSES[k % 2] if k < n - 3 else np.nan for k in range(n)]
    images["age"] = [45.0 if k % 3 else np.nan for k in range(n)]
    images["site"] = "head/neck"
    for path in images["path"]:
        small = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((side + 10, side)).save(path, quality=90)
    fold = [k % 3 for k in range(n - 3)] + [-1] * 3
    images["patient_id"] = [f"p{k % 3}" if k < n - 3 else f"t{k}" for k in range(n)]
    return images, pd.DataFrame({"image_id": images["image_id"], "fold": fold})


def make(cohort, folder: Path, **options) -> Records:
    settings = {"classes": CLASSES, "image_sizes": [16], "workers": 1, "progress": False}
    return make_records(*cohort, folder, **(settings | options))


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.glob("*px/*")}


@pytest.fixture
def cohort(tmp_path):
    (tmp_path / "raw").mkdir()
    return make_cohort(tmp_path / "raw")


def test_every_image_is_written_once_at_every_size(cohort, tmp_path):
    records = make(cohort, tmp_path / "records", image_sizes=[16, 24], shard_size=2)
    names = [s.path.relative_to(tmp_path / "records").as_posix() for s in records.shards]
    assert names[:8] == [
        "16px/fold0-00-2.tfrec", "16px/fold0-01-1.tfrec", "16px/fold1-00-2.tfrec",
        "16px/fold1-01-1.tfrec", "16px/fold2-00-2.tfrec", "16px/fold2-01-1.tfrec",
        "16px/test-00-2.tfrec", "16px/test-01-1.tfrec",
    ]  # fmt: skip
    assert names[8:] == [name.replace("16px", "24px") for name in names[:8]]
    images, folds = cohort
    for size in (16, 24):
        shards = [s for s in records.shards if s.image_size == size]
        index = read_index(s.path for s in shards)
        assert sorted(index["image_id"]) == images["image_id"].tolist()
        told = dict(zip(folds["image_id"], folds["fold"], strict=True))
        for shard in shards:
            assert {told[i] for i in read_index([shard.path])["image_id"]} == {shard.fold}
            assert shard.images == count_examples(shard.path)
            assert shard.crc == file_crc(shard.path)


def test_records_are_found_where_their_folder_was_moved(cohort, tmp_path):
    records = make(cohort, tmp_path / "run.partial" / "records")
    (tmp_path / "run.partial").rename(tmp_path / "run")
    moved = records.under(tmp_path / "run" / "records")
    assert [shard.crc for shard in moved.shards] == [file_crc(s.path) for s in moved.shards]
    assert moved.under(tmp_path / "run" / "records").shards == moved.shards
    assert records.under(tmp_path / "run.partial" / "records").shards == records.shards


def test_what_is_written_is_read_back(cohort, tmp_path):
    images, _ = cohort
    records = make(cohort, tmp_path / "records", quality=90)
    rows = images.set_index("image_id")
    for shard in records.shards:
        for example in read_examples(shard.path):
            row = rows.loc[example.pop("image_name").decode()]
            wanted = encode_jpeg(fit_picture(decode_picture(
                Path(row["path"]).read_bytes(), "", size=16).pixels, 16), 90)  # fmt: skip
            assert example.pop("image") == wanted
            assert example == {
                "patient_id": row["patient_id"].encode(),
                "lesion_id": b"",
                "sex": b"",
                "age_approx": -1 if np.isnan(row["age"]) else 45,
                "anatom_site_general_challenge": b"head/neck",
                "diagnosis": b"",
                "target": -1 if pd.isna(row["target"]) else CLASSES.index(row["target"]),
                "width": 50,
                "height": 40,
            }


def test_the_index_gives_the_table_back(cohort, tmp_path):
    records = make(cohort, tmp_path / "records")
    index = read_index(s.path for s in records.shards).set_index("image_id")
    images = cohort[0].set_index("image_id").loc[index.index]
    for column in ("patient_id", "lesion_id", "sex", "age", "site", "diagnosis"):
        assert index[column].isna().equals(images[column].isna())
        assert index[column].dropna().tolist() == images[column].dropna().tolist()
    assert index["target"].tolist() == [
        -1 if pd.isna(t) else CLASSES.index(t) for t in images["target"]
    ]
    assert read_picture(index["path"].iloc[0]).size == (16, 16)


def test_the_index_reads_shards_of_others(tmp_path):
    # Kaggle's: numbers instead of words, no target in test shards.
    row = {"image": b"", "image_name": b"ISIC_1", "patient_id": 7, "sex": 1, "age_approx": 45}
    write_shard(tmp_path / "a.tfrec", [{**row, "target": 1}, row])
    index = read_index([tmp_path / "a.tfrec"])
    assert index["target"].tolist() == [1, -1]
    assert index["patient_id"].tolist() == ["7", "7"]
    assert index[["lesion_id", "width"]].isna().all(axis=None)


def test_no_shards_give_an_empty_index():
    assert read_index([])["target"].dtype == "int64"


def test_of_a_jpeg_of_the_wanted_size_the_coded_pixels_are_stored_without_its_owner(tmp_path):
    images, folds = make_cohort(tmp_path, n=4, side=16)
    images, folds = images.iloc[:1], folds.iloc[:1]
    path = Path(images["path"].iloc[0])
    Image.new("RGB", (16, 16), "red").save(path, quality=70, comment="Erika Mustermann")
    shard = make((images, folds), tmp_path / "records").shards[0]
    assert next(read_examples(shard.path))["image"] == strip_jpeg(path.read_bytes())
    assert b"Mustermann" not in shard.path.read_bytes()


def test_masks_are_stored_in_the_geometry_of_the_pictures(cohort, tmp_path):
    images, folds = cohort
    mask = np.zeros((40, 50), np.uint8)
    mask[:, :25] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    images["mask_path"] = [str(tmp_path / "mask.png")] + [np.nan] * 11
    records = make((images, folds), tmp_path / "records", image_sizes=[16, 40])
    rows = [e for s in records.shards for e in read_examples(s.path)]
    assert {e["image_name"] for e in rows if "mask" in e} == {b"i00"}
    pixels = [np.asarray(Image.open(io.BytesIO(e["mask"]))) for e in rows if "mask" in e]
    assert [p.shape for p in pixels] == [(16, 16), (40, 40)]
    assert np.array_equal(pixels[1], mask[:, 5:45])


def test_processes_row_order_and_other_folders_change_nothing(cohort, tmp_path):
    one = make(cohort, tmp_path / "one", shard_size=2)
    images, folds = cohort
    order = np.random.default_rng(0).permutation(len(images))
    make((images.iloc[order], folds), tmp_path / "two", shard_size=2, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert len(content(tmp_path / "one")) == len(one.shards) == 8


def test_the_seed_changes_the_order_within_a_fold(cohort, tmp_path):
    orders = [
        read_index(s.path for s in make(cohort, tmp_path / f"{seed}", seed=seed).shards)
        for seed in (0, 1)
    ]
    assert orders[0]["image_id"].tolist() != orders[1]["image_id"].tolist()
    assert sorted(orders[0]["image_id"]) == sorted(orders[1]["image_id"])


def test_finished_shards_are_kept_and_missing_or_damaged_ones_made(cohort, tmp_path):
    folder = tmp_path / "records"
    first = make(cohort, folder, shard_size=2)
    whole = content(folder)
    times = {s.path: s.path.stat().st_mtime_ns for s in first.shards}
    first.shards[0].path.unlink()
    damaged = bytearray(first.shards[3].path.read_bytes())
    damaged[40] ^= 1
    first.shards[3].path.write_bytes(damaged)
    (folder / "16px" / ".fold9-00.77.tmp").write_bytes(b"of a killed worker")
    again = make(cohort, folder, shard_size=2)
    assert again.kept == 6
    assert again.shards == first.shards
    assert content(folder) == whole
    made = {s.path for s in again.shards if s.path.stat().st_mtime_ns != times[s.path]}
    assert made == {first.shards[0].path, first.shards[3].path}


@pytest.mark.parametrize(
    "change",
    [{"quality": 60}, {"image_sizes": [24]}, {"fit": "pad"}, {"shard_size": 2}, {"seed": 5},
     {"classes": ("melanoma", "other")}, {"cleaning": "constancy"}],
)  # fmt: skip
def test_shards_of_other_settings_are_not_kept(cohort, tmp_path, change):
    make(cohort, tmp_path / "records")
    changed = make(cohort, tmp_path / "records", **change)
    make(cohort, tmp_path / "fresh", **change)
    assert changed.kept == 0
    assert content(tmp_path / "records") == content(tmp_path / "fresh")


@pytest.mark.parametrize("cleaning", ["hairs", "constancy", "both"])
def test_pictures_are_cleaned_before_they_are_made_small(cohort, tmp_path, cleaning):
    images, _ = cohort
    image = Image.new("RGB", (300, 260), (205, 160, 140))
    ImageDraw.Draw(image).line([(0, 40), (299, 200)], (40, 25, 20), 3)
    image.save(images["path"][0], quality=95)
    records = make(cohort, tmp_path / "records", cleaning=cleaning, image_sizes=[64])
    stored = [e for s in records.shards for e in read_examples(s.path) if e["image_name"] == b"i00"]
    wanted = clean_picture(read_picture(images["path"][0]), cleaning, 64)
    assert stored[0]["image"] == encode_jpeg(fit_picture(wanted, 64))
    assert (stored[0]["width"], stored[0]["height"]) == (300, 260)
    darkest = np.asarray(Image.open(io.BytesIO(stored[0]["image"]))).max(axis=2).min()
    assert (darkest > 120) == (cleaning != "constancy")


def test_no_jpeg_that_is_to_be_cleaned_is_stored_as_it_is(tmp_path):
    images, folds = make_cohort(tmp_path, n=4, side=16)
    images, folds = images.iloc[:1], folds.iloc[:1]
    Image.new("RGB", (16, 16), (200, 100, 80)).save(images["path"].iloc[0], quality=70)
    shard = make((images, folds), tmp_path / "records", cleaning="constancy").shards[0]
    pixels = np.asarray(Image.open(io.BytesIO(next(read_examples(shard.path))["image"])))
    assert np.ptp(pixels.reshape(-1, 3).mean(axis=0)) < 2  # grey


def test_records_from_before_there_was_cleaning_are_kept(cohort, tmp_path):
    folder = tmp_path / "records"
    first = make(cohort, folder)
    settings = json.loads((folder / "settings.json").read_text())
    assert list(settings) == ["classes", "image_sizes", "fit", "quality", "shard_size", "seed"]
    assert make(cohort, folder, cleaning="none").kept == len(first.shards)
    make(cohort, folder, cleaning="hairs")
    assert json.loads((folder / "settings.json").read_text())["cleaning"] == "hairs"
    assert make(cohort, folder, cleaning="hairs").kept == len(first.shards)


def test_a_strange_cleaning_is_refused_before_anything_is_swept_away(cohort, tmp_path):
    make(cohort, tmp_path / "records")
    whole = content(tmp_path / "records")
    with pytest.raises(ValueError, match="cleaning is 'soap': use none, hairs, constancy, both"):
        make(cohort, tmp_path / "records", cleaning="soap")
    assert content(tmp_path / "records") == whole


def test_shards_of_other_rows_are_not_kept(cohort, tmp_path):
    images, folds = cohort
    make(cohort, tmp_path / "records")
    images.loc[0, "target"] = "melanoma"
    fewer = images.iloc[:-3], folds.iloc[:-3]
    records = make(fewer, tmp_path / "records")
    make(fewer, tmp_path / "fresh")
    assert records.kept == 2
    assert content(tmp_path / "records") == content(tmp_path / "fresh")


def test_shards_of_others_are_not_touched(cohort, tmp_path):
    theirs = tmp_path / "512px" / "train00-1.tfrec"
    theirs.parent.mkdir()
    write_shard(theirs, [{"target": 1}])
    with pytest.raises(FileExistsError, match="not made here"):
        make(cohort, tmp_path)
    assert theirs.exists()


def damage(images: pd.DataFrame) -> None:
    Path(images["path"][1]).write_bytes(b"")
    Path(images["path"][4]).write_bytes(b"no picture")
    Path(images["path"][5]).unlink()


@pytest.mark.parametrize("workers", [1, 2])
def test_all_unreadable_pictures_are_listed_in_one_error(cohort, tmp_path, workers):
    damage(cohort[0])
    with pytest.raises(RecordsError, match="3 pictures cannot be read") as caught:
        make(cohort, tmp_path / "records", shard_size=2, workers=workers)
    assert caught.value.unreadable["image_id"].tolist() == ["i01", "i04", "i05"]
    for name, reason in (("i01", "empty"), ("i04", "not a picture"), ("i05", "no such file")):
        assert any(name in line and reason in line for line in str(caught.value).splitlines())


def test_very_many_unreadable_pictures_are_listed_in_a_file(tmp_path):
    images, folds = make_cohort(tmp_path, n=30)
    images["path"] = [f"{tmp_path}/gone{k}.jpg" for k in range(30)]
    with pytest.raises(RecordsError, match=r"and 10 more, all in .*unreadable\.csv"):
        make((images, folds), tmp_path / "records")
    assert len(pd.read_csv(tmp_path / "records" / "unreadable.csv")) == 30
    with pytest.raises(RecordsError, match="not one of 30 pictures can be read"):
        make((images, folds), tmp_path / "records", skip_unreadable=True)


def test_unreadable_pictures_are_left_out_when_asked(cohort, tmp_path):
    damage(cohort[0])
    with pytest.raises(RecordsError):
        make(cohort, tmp_path / "records", shard_size=1)
    records = make(cohort, tmp_path / "records", shard_size=1, skip_unreadable=True)
    assert records.skipped["image_id"].tolist() == ["i01", "i04", "i05"]
    assert records.kept == 9  # of the first call
    index = read_index(s.path for s in records.shards)
    assert len(index) == sum(s.images for s in records.shards) == 9
    assert sorted(records.without_skipped(cohort[0])["image_id"]) == sorted(index["image_id"])
    with pytest.raises(RecordsError, match="3 pictures"):
        make(cohort, tmp_path / "records", shard_size=1)


def test_the_name_holds_the_true_count(cohort, tmp_path):
    damage(cohort[0])
    records = make(cohort, tmp_path / "records", skip_unreadable=True)
    assert [s.path.name for s in records.shards] == [
        "fold0-00-3.tfrec", "fold1-00-1.tfrec", "fold2-00-2.tfrec", "test-00-3.tfrec"
    ]  # fmt: skip


def test_tables_alone_make_no_records(cohort, tmp_path):
    made = make(cohort, tmp_path / "records", image_sizes=[])
    assert made.shards == ()
    assert made.without_skipped(cohort[0]).equals(cohort[0])
    assert not (tmp_path / "records").exists()


def test_a_strange_target_is_refused(cohort, tmp_path):
    cohort[0].loc[2, "target"] = "nevus"
    with pytest.raises(RecordsError, match=r"target of i02 is 'nevus', none of the classes \["):
        make(cohort, tmp_path / "records")


def test_a_full_disk_is_told_and_leaves_whole_shards_alone(cohort, tmp_path, monkeypatch):
    calls = 0

    class FullDisk(examples_module.ShardWriter):
        def write(self, example):
            nonlocal calls
            calls += 1
            if calls == 6:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().write(example)

    monkeypatch.setattr("melnb.data.shards.shard_files.ShardWriter", FullDisk)
    with pytest.raises(
        OSError, match=r"the disk is full: free .* 3 of 8 shards are finished and stay"
    ) as caught:
        make(cohort, tmp_path / "records", shard_size=2)
    assert caught.value.errno == errno.ENOSPC
    names = ["16px/fold0-00-2.tfrec", "16px/fold0-01-1.tfrec", "16px/fold1-00-2.tfrec"]
    assert sorted(content(tmp_path / "records")) == names
    monkeypatch.undo()
    assert make(cohort, tmp_path / "records", shard_size=2).kept == 3


def test_a_dead_worker_is_told(cohort, tmp_path, monkeypatch):
    def make_shards(*_):
        raise BrokenProcessPool

    monkeypatch.setattr("melnb.data.shards.records.make_shards", make_shards)
    with pytest.raises(RecordsError, match=r"worker process died .* use fewer workers"):
        make(cohort, tmp_path / "records")


# Killed with four shards reported, and its workers at others.
KILLED = """
import os, signal, sys
if __name__ == "__main__":
    import pandas as pd
    from melnb.data.shards import records
    raw, folder, workers = sys.argv[1:]
    images, folds = pd.read_pickle(raw)
    make_shards = records.make_shards

    def killed(*given):
        for number, report in enumerate(make_shards(*given)):
            if number == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            yield report

    records.make_shards = killed
    records.make_records(images, folds, folder, classes=("other", "melanoma"),
                         image_sizes=[64, 32], shard_size=4, workers=int(workers), progress=False)
"""


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_run_goes_on_and_gives_what_it_would_have_given(tmp_path):
    (tmp_path / "raw").mkdir()
    cohort = make_cohort(tmp_path / "raw", n=60, side=900)
    pd.to_pickle(cohort, tmp_path / "cohort.pkl")
    (tmp_path / "make.py").write_text(KILLED)
    folder = tmp_path / "records"
    arguments = [sys.executable, "make.py", "cohort.pkl", str(folder), "2"]
    run = subprocess.Popen(arguments, cwd=tmp_path, start_new_session=True)
    assert run.wait() == -signal.SIGKILL
    end = time.monotonic() + 600
    while alive(run.pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(run.pid)  # its workers ended with it
    finished = {p.stem for p in folder.glob(".parts/*.json")}
    assert 4 <= len(finished) < 16
    times = {
        p: p.stat().st_mtime_ns for p in folder.glob("*px/*.tfrec")
        if p.name.rpartition("-")[0] in finished
    }  # fmt: skip
    options = {"image_sizes": [64, 32], "shard_size": 4}
    again = make(cohort, folder, **options)
    assert again.kept == len(times) == 2 * len(finished)
    assert all(p.stat().st_mtime_ns == t for p, t in times.items())
    make(cohort, tmp_path / "fresh", **options)
    assert content(folder) == content(tmp_path / "fresh")


def test_shards_used_as_they_are_are_listed(tmp_path):
    # Of two sizes: the shards are one set all the same, of the smaller one.
    for name, fold, size in (("train00-2.tfrec", 1, (24, 24)), ("train01-1.tfrec", 0, (40, 28))):
        image = encode_jpeg(Image.new("RGB", size))
        rows = [{"image": image, "target": 0}] * (2 - (fold == 0))
        write_shard(tmp_path / name, rows)
    paths = [
        f"{tmp_path}/{p}"
        for p in ("train00-2.tfrec::0", "train00-2.tfrec::1", "train01-1.tfrec::0")
    ]
    images = pd.DataFrame({"image_id": ["a", "b", "c"], "path": paths})
    folds = pd.DataFrame({"image_id": ["a", "b", "c"], "fold": [1, 1, 0]})
    first, second = tmp_path / "train01-1.tfrec", tmp_path / "train00-2.tfrec"
    listed = list_records(images, folds)
    asked = {"classes": ("a",), "image_sizes": (), "layout": "kaggle_tfrecords"}
    assert make_records(images, folds, tmp_path / "new", **asked).shards == listed.shards
    assert not (tmp_path / "new").exists()
    assert listed.shards == (
        Shard(first, 24, 0, 1, file_crc(first)),
        Shard(second, 24, 1, 2, file_crc(second)),
    )
    assert listed.skipped.empty
    assert listed.under("elsewhere").shards == listed.shards
    assert listed.without_skipped(images).equals(images)
    with pytest.raises(RecordsError, match=r"train00-2\.tfrec: its images lie in folds \[0, 1\]"):
        list_records(images, folds.assign(fold=[1, 0, 0]))
    with pytest.raises(RecordsError, match="2 records, but 1 rows"):
        list_records(images.iloc[1:], folds.iloc[1:])
