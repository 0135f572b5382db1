"""Rows of records with masks: all of them, or those that have one."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from melnb.data.epochs.sampling import count_steps, plan_epoch
from melnb.data.epochs.training_rows import read_mask_rows, read_rows, sample_mask_pairs
from melnb.data.pictures import encode_png
from melnb.data.shards.examples import ShardFiles, write_shard
from melnb.data.shards.messages import decode_example


def mask(number: int) -> bytes:
    return encode_png(Image.new("L", (number + 1, 1), 255))


def shard(folder: Path, name: str, *numbers: int, without: tuple[int, ...] = ()) -> Path:
    path = folder / name
    examples = [
        {"image": b"\xff\xd8\xff pixels", "image_name": f"i{n}".encode(), "target": n}
        | ({} if n in without else {"mask": mask(n)})
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
    assert read == [mask(3), mask(1), mask(2)]
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


def test_a_sample_shows_pictures_with_their_own_masks(tmp_path: Path) -> None:
    examples = []
    for n in range(4):
        pixels = np.full((24, 24, 3), 40 * n, "uint8")
        plane = np.zeros((24, 24), "uint8")
        plane[:, : 6 * n] = 255
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG")
        pair = {"image": stream.getvalue(), "mask": encode_png(Image.fromarray(plane))}
        examples.append({"image_name": f"i{n}".encode(), **pair})
    del examples[1]["mask"]
    write_shard(tmp_path / "a.tfrec", examples)
    pixels, masks = sample_mask_pairs([tmp_path / "a.tfrec"], image_size=12, n=2)
    assert list(pixels) == list(masks) == ["i0", "i2"]
    assert pixels["i2"].shape == (12, 12, 3)
    assert pixels["i2"].mean() == pytest.approx(80, abs=1)
    assert masks["i2"].dtype == bool
    assert masks["i2"][:, :6].all()
    assert not masks["i2"][:, 6:].any()
    assert not masks["i0"].any()
