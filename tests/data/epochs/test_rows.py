"""Rows: where records lie and what they say, from shards of either kind."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from melnb.data.epochs.training_rows import EXTERNAL, Rows, join_rows, read_rows
from melnb.data.shards.examples import ShardFiles, read_examples, write_shard
from melnb.data.shards.messages import RecordError, decode_example
from melnb.data.shards.records import read_index

JPEG = b"\xff\xd8\xff"  # as its beginning says


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Ours, and one of Kaggle's with numbers for words and no patient."""
    rng = np.random.default_rng(0)
    ours, theirs = tmp_path / "fold0-00-5.tfrec", tmp_path / "train01-3.tfrec"
    words = {"patient_id": b"p", "sex": b"female"}
    write_shard(
        ours,
        [
            {
                "image": JPEG + rng.bytes(40 + k),
                "image_name": f"a{k}".encode(),
                "target": k % 3,
                **words,
            }
            for k in range(5)
        ],
    )
    write_shard(
        theirs,
        [
            {
                "image": JPEG + rng.bytes(9 * k),
                "image_name": f"k{k}".encode(),
                "target": k % 2,
                "sex": 1,
            }
            for k in range(3)
        ],
    )
    return [ours, theirs]


def test_rows_say_what_the_index_says(shards: list[Path]) -> None:
    rows, index = read_rows(shards, n_classes=3), read_index(shards)
    assert rows.image_id.tolist() == index["image_id"].tolist()
    np.testing.assert_array_equal(rows.truth, np.eye(3)[index["target"]])
    np.testing.assert_array_equal(rows.labels, index["target"])
    assert rows.shard.tolist() == [0] * 5 + [1] * 3
    assert (len(rows), rows.n_classes, rows.metadata.shape) == (8, 3, (8, 0))
    assert {rows.truth.dtype, rows.metadata.dtype} == {np.dtype("float32")}


@pytest.mark.parametrize("windows", [False, True])
def test_a_record_is_read_at_its_place(
    shards: list[Path], windows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if windows:  # which cannot read at a place without going there
        monkeypatch.delattr("os.pread", raising=False)
    rows = read_rows(shards, n_classes=3)
    files = ShardFiles()
    told = [example for path in shards for example in read_examples(path)]
    for k in (7, 0, 3, 3):
        place = rows.paths[rows.shard[k]], int(rows.offset[k]), int(rows.length[k])
        assert decode_example(files.read_message(*place)) == told[k]


def test_what_was_damaged_or_written_anew_is_refused(shards: list[Path]) -> None:
    rows = read_rows(shards, n_classes=3)
    place = rows.paths[0], int(rows.offset[2]), int(rows.length[2])
    data = bytearray(shards[0].read_bytes())
    data[rows.offset[2] + 20] ^= 1
    shards[0].write_bytes(data)
    with pytest.raises(RecordError, match=rf"byte {rows.offset[2]}: CRC error: damaged data"):
        ShardFiles().read_message(*place)
    shards[0].write_bytes(data[: rows.offset[2] + 30])
    with pytest.raises(RecordError, match=r"truncated: the file ends \d+ bytes short"):
        ShardFiles().read_message(*place)
    data[rows.offset[2] : rows.offset[2] + 8] = struct.pack("<Q", 7)
    shards[0].write_bytes(data)
    with pytest.raises(RecordError, match="the shard was written anew"):
        ShardFiles().read_message(*place)
    shards[0].unlink()
    with pytest.raises(FileNotFoundError):
        ShardFiles().read_message(*place)


@pytest.mark.parametrize(("target", "shown"), [(-1, "target is -1"), (3, "target is 3")])
def test_a_target_that_is_no_class_is_refused(tmp_path: Path, target: int, shown: str) -> None:
    path = tmp_path / "x-1.tfrec"
    write_shard(path, [{"image": JPEG, "image_name": b"odd", "target": target}])
    with pytest.raises(ValueError, match=rf"odd has no label, or one beyond the 3.*{shown}"):
        read_rows([path], n_classes=3)


def test_unlabelled_rows_are_read_where_that_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "test-00-2.tfrec"
    write_shard(path, [{"image": JPEG, "image_name": b"a", "target": -1}, {"image": JPEG}])
    rows = read_rows([path], n_classes=2, labelled=False)
    assert np.isnan(rows.truth).all()
    assert rows.image_id.tolist() == ["a", f"{path}::1"]
    with pytest.raises(ValueError, match="no shards to read"):
        read_rows([], n_classes=2)


def test_rows_are_taken_and_joined_with_their_places(shards: list[Path]) -> None:
    rows = read_rows(shards, n_classes=3)
    late = replace(read_rows(shards[1:], n_classes=3, group=EXTERNAL))
    joined = join_rows([rows.take(rows.shard == 0), late])
    assert joined.image_id.tolist() == rows.image_id.tolist()
    assert joined.group.tolist() == [0] * 5 + [1] * 3
    for k in range(8):
        assert joined.paths[joined.shard[k]] == rows.paths[rows.shard[k]]
        assert joined.offset[k] == rows.offset[k]
    with pytest.raises(ValueError, match=r"image_id 'k0' stands in 2 rows \(3 such ids\)"):
        join_rows([rows, late])
    with pytest.raises(ValueError, match="cannot be joined"):
        join_rows([rows, read_rows(shards[1:], n_classes=2)])


def test_columns_of_rows_are_of_one_length(shards: list[Path]) -> None:
    rows = read_rows(shards, n_classes=3)
    with pytest.raises(ValueError, match="different lengths"):
        replace(rows, metadata=np.zeros((3, 2), "float32"))
    with pytest.raises(ValueError, match="give n x classes"):
        replace(rows, metadata=np.zeros(8, "float32"))
    assert isinstance(replace(rows, metadata=np.zeros((8, 2), "float32")), Rows)


def test_metadata_goes_with_its_rows(shards: list[Path]) -> None:
    rows = read_rows(shards, n_classes=3).with_metadata(np.arange(16.0).reshape(8, 2))
    assert rows.metadata.dtype == np.dtype("float32")
    assert rows.take(np.array([7, 0])).metadata.tolist() == [[14, 15], [0, 1]]
    with pytest.raises(ValueError, match="different lengths"):
        rows.with_metadata(np.zeros((7, 2)))
