"""The doctor: each ailment is found, named and located; the healthy have none."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from melnb.data.audit.doctor import check_records
from melnb.data.datasets import Dataset, write_dataset
from melnb.data.pictures import encode_jpeg
from melnb.data.shards.examples import Shard, file_crc, read_frames, write_shard

JPEG = encode_jpeg(Image.new("RGB", (24, 24), "brown"))


def record(name: str, **changes: object) -> dict:
    row = {"image": JPEG, "image_name": name.encode(), "patient_id": b"", "target": 0} | changes
    return {k: v for k, v in row.items() if v is not None}


def found(folder: Path, **options: bool) -> list[tuple]:
    table = check_records(folder, **options)
    assert table["advice"].str.len().gt(0).all()
    rows = zip(table["file"], table["record"], table["what"], strict=True)
    return [(Path(file).name, None if pd.isna(r) else r, what) for file, r, what in rows]


@pytest.fixture
def healthy(tmp_path):
    write_shard(tmp_path / "train00-3.tfrec", [record(n, patient_id=1) for n in "abc"])
    write_shard(tmp_path / "test00-2.tfrec", [record(n, target=None) for n in "de"])
    return tmp_path


def test_the_healthy_have_no_findings(healthy):
    table = check_records(healthy)
    assert list(table.columns) == ["file", "record", "what", "advice"]
    assert len(table) == 0


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no shards"):
        check_records(tmp_path)


def test_shards_behind_links_are_looked_at_and_lost_links_named(healthy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("linked")
    with pytest.raises(FileNotFoundError, match="no shards"):
        check_records(folder)
    (folder / "disk").symlink_to(healthy)
    (healthy / "back").symlink_to(folder)
    assert found(folder) == []
    (healthy / "train00-3.tfrec").write_bytes(b"")
    (folder / "lost.tfrec").symlink_to("nowhere")
    (folder / "round.tfrec").symlink_to("round.tfrec")
    names = {"train00-3.tfrec", "lost.tfrec", "round.tfrec"}
    rows = found(folder)
    assert {file for file, _, _ in rows} == names
    assert [what for file, _, what in rows if file == "lost.tfrec"] == ["a link that leads nowhere"]


def test_a_shard_cut_off_is_found(healthy):
    path = healthy / "train00-3.tfrec"
    path.write_bytes(path.read_bytes()[:-5])
    [(file, number, what)] = found(healthy)
    assert (file, number) == ("train00-3.tfrec", 2)
    assert "truncated: the file ends 5 bytes short" in what


def test_damaged_data_is_found_and_the_rest_still_read(healthy):
    path = healthy / "train00-3.tfrec"
    second = [f.offset for f in read_frames(path)][1]
    data = bytearray(path.read_bytes())
    data[second + 60] ^= 1
    path.write_bytes(data)
    assert found(healthy) == [("train00-3.tfrec", 1, "CRC error: damaged data")]


def test_a_damaged_header_is_found(healthy):
    path = healthy / "train00-3.tfrec"
    second = [f.offset for f in read_frames(path)][1]
    data = bytearray(path.read_bytes())
    data[second] ^= 1
    path.write_bytes(data)
    [(file, number, what)] = found(healthy)
    assert (file, number) == ("train00-3.tfrec", 1)
    assert "CRC error: damaged header" in what


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"image": None}, "lacks key 'image'"),
        ({"image_name": None}, "lacks key 'image_name'"),
        ({"target": None}, "lacks key 'target'"),
        ({"image": JPEG[:300]}, "image does not decode: "),
        ({"image": b"no picture"}, "image is 10 bytes (raw pixels?), no JPEG or PNG"),
        ({"mask": b"no picture"}, "mask does not decode: "),
    ],
)
def test_a_record_that_lacks_something_is_found(healthy, changes, what):
    write_shard(healthy / "train01-2.tfrec", [record("x"), record("y", **changes)])
    [(file, number, told)] = found(healthy)
    assert (file, number) == ("train01-2.tfrec", 1)
    assert told.startswith(what)


def test_pictures_are_not_decoded_when_not_asked(healthy):
    write_shard(healthy / "train01-1.tfrec", [record("x", image=JPEG[:300])])
    assert found(healthy, decode=False) == []


def test_a_wrong_count_in_the_name_is_found(healthy):
    (healthy / "train00-3.tfrec").rename(healthy / "train00-4.tfrec")
    assert found(healthy) == [("train00-4.tfrec", None, "3 records, but its name says 4")]


def test_an_image_in_two_shards_is_found_but_not_at_two_sizes(healthy):
    write_shard(healthy / "train01-1.tfrec", [record("b")])
    (healthy / "512px").mkdir()
    write_shard(healthy / "512px" / "train00-1.tfrec", [record("b")])
    assert found(healthy) == [
        ("train01-1.tfrec", 0, "image b stands in train00-3.tfrec, record 1, too")
    ]


def test_images_patients_and_lesions_in_two_folds_are_found(tmp_path):
    rows = {
        "fold0-00-2.tfrec": [record("a", patient_id=b"p"), record("b", lesion_id=b"l")],
        "fold1-00-2.tfrec": [record("c", patient_id=b"p"), record("d", lesion_id=b"m")],
        "test-00-1.tfrec": [record("e", lesion_id=b"l")],
    }
    for name, shard in rows.items():
        write_shard(tmp_path / name, shard)
    assert found(tmp_path) == [
        ("fold1-00-2.tfrec", 0, "patient p lies in folds [0, 1]"),
        ("test-00-1.tfrec", 0, "lesion l lies in folds [-1, 0]"),
    ]


def test_files_are_compared_with_dataset_json(tmp_path):
    paths = [tmp_path / "records" / f"fold{k}-00-1.tfrec" for k in range(4)]
    paths[0].parent.mkdir()
    for k, path in enumerate(paths):
        write_shard(path, [record(f"i{k}")])
    crcs = [file_crc(path) for path in paths]
    shards = [Shard(p, 24, k, 1, c) for k, (p, c) in enumerate(zip(paths, crcs, strict=True))]
    listed = (shards[0], shards[1], shards[2], Shard(paths[0], 24, 2, 1, crcs[0]))
    write_dataset(Dataset(tmp_path, "a", "csv", "native", ("x", "y"), 3, (24,), "crop", 4, listed))
    write_shard(paths[1], [record("other")])
    paths[2].unlink()
    assert sorted((file, what) for file, _, what in found(tmp_path)) == [
        ("fold0-00-1.tfrec", "listed in fold 0 and in fold 2"),
        ("fold1-00-1.tfrec", "not the file that dataset.json lists (CRC differs)"),
        ("fold2-00-1.tfrec", "listed in dataset.json, but gone"),
        ("fold3-00-1.tfrec", "not listed in dataset.json"),
    ]
