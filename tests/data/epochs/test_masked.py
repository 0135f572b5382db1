"""Rows of records with masks: all of them, or those that have one."""

from pathlib import Path

import pytest

from melnb.data.epochs.masked import read_mask_rows
from melnb.data.epochs.rows import read_rows
from melnb.data.epochs.sampling import count_steps, plan_epoch
from melnb.data.shards.access import ShardFiles
from melnb.data.shards.examples import write_shard
from melnb.data.shards.messages import decode_example


def shard(folder: Path, name: str, *numbers: int, without: tuple[int, ...] = ()) -> Path:
    path = folder / name
    examples = [
        {"image": b"pixels", "image_name": f"i{n}".encode(), "target": n}
        | ({} if n in without else {"mask": f"mask {n}".encode()})
        for n in numbers
    ]
    write_shard(path, examples)
    return path


def test_rows_find_their_records_whatever_the_labels(tmp_path: Path) -> None:
    paths = [shard(tmp_path, "a.tfrec", 3, 1), shard(tmp_path, "b.tfrec", 2)]
    rows = read_mask_rows(paths)
    assert rows.image_id.tolist() == ["i3", "i1", "i2"]
    assert (rows.truth.shape, rows.metadata.shape) == ((3, 0), (3, 0))
    files = ShardFiles()
    read = [
        decode_example(files.read_message(rows.paths[s], int(o), int(n)))["mask"]
        for s, o, n in zip(rows.shard, rows.offset, rows.length, strict=True)
    ]
    assert read == [b"mask 3", b"mask 1", b"mask 2"]
    labelled = read_rows(paths, n_classes=4)
    assert labelled.offset.tolist() == rows.offset.tolist()
    assert labelled.labels.tolist() == [3, 1, 2]
    assert sorted(plan_epoch(rows, seed=0, epoch=0)) == [0, 1, 2]
    assert count_steps(rows, batch_size=2) == 1


def test_a_record_without_a_mask_is_named_or_left_out(tmp_path: Path) -> None:
    paths = [shard(tmp_path, "a.tfrec", 0, 1), shard(tmp_path, "b.tfrec", 2, 3, without=(3,))]
    said = r"i3 in .*b\.tfrec has no mask \(1 of 4 records\).*skip_maskless"
    with pytest.raises(ValueError, match=said):
        read_mask_rows(paths)
    assert read_mask_rows(paths, skip_maskless=True).image_id.tolist() == ["i0", "i1", "i2"]


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no shards to read"):
        read_mask_rows([])
    bare = shard(tmp_path, "a.tfrec", 5, without=(5,))
    with pytest.raises(ValueError, match=r"i5 .* has no mask \(1 of 1"):
        read_mask_rows([bare], skip_maskless=True)
