"""Shards: round trips, damage, TensorFlow's own bytes."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melnb.data.shards.examples import (
    ShardWriter,
    count_examples,
    file_crc,
    read_example,
    read_examples,
    read_frames,
    write_shard,
)
from melnb.data.shards.messages import RecordError

EXAMPLES = st.dictionaries(st.text(max_size=8), st.binary(max_size=300) | st.integers(0, 9))


def small(n: int = 5) -> list[dict[str, bytes | int | float]]:
    return [{"image": bytes([k]) * 50, "target": k - 2, "age": k / 2} for k in range(n)]


@settings(max_examples=settings.default.max_examples // 4)
@given(st.lists(EXAMPLES, min_size=1, max_size=4))
def test_shards_survive_a_round_trip(tmp_path_factory, examples):
    path = tmp_path_factory.mktemp("shard") / "a.tfrec"
    assert write_shard(path, examples) == len(examples)
    assert list(read_examples(path)) == examples
    assert count_examples(path) == len(examples)
    assert [read_example(path, k) for k in range(len(examples))] == examples


def test_a_record_that_is_not_there_is_named(tmp_path):
    write_shard(tmp_path / "a.tfrec", small(2))
    with pytest.raises(RecordError, match=r"a\.tfrec: no record 2"):
        read_example(tmp_path / "a.tfrec", 2)


def test_a_failing_write_leaves_neither_shard_nor_temporary_file(tmp_path):
    def examples():
        yield {"target": 1}
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_shard(tmp_path / "a.tfrec", examples())
    assert list(tmp_path.iterdir()) == []


def test_the_writers_crc_is_the_files(tmp_path):
    with ShardWriter(tmp_path / "a.tmp") as writer:
        for example in small():
            writer.write(example)
        path = writer.finish(tmp_path / "a.tfrec")
    assert writer.crc == file_crc(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tfrec"]


def test_every_truncation_is_an_error_that_names_the_record(tmp_path):
    path = tmp_path / "a.tfrec"
    write_shard(path, small(3))
    whole = path.read_bytes()
    ends = {f.offset for f in read_frames(path)}
    for length in set(range(1, len(whole))) - ends:
        path.write_bytes(whole[:length])
        record = sum(o < length for o in ends) - 1
        for read in (count_examples, lambda p: list(read_examples(p, check=False))):
            with pytest.raises(RecordError, match=rf"record {record} at byte \d+: truncated"):
                read(path)


def test_every_changed_byte_is_an_error_that_names_the_record(tmp_path):
    path = tmp_path / "a.tfrec"
    write_shard(path, small(3))
    whole = path.read_bytes()
    starts = [f.offset for f in read_frames(path)]
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        path.write_bytes(bytes(damaged))
        record = sum(o <= at for o in starts) - 1
        with pytest.raises(RecordError, match=rf"record {record} at byte {starts[record]}: CRC"):
            list(read_examples(path))


def test_frames_go_on_after_damaged_data(tmp_path):
    path = tmp_path / "a.tfrec"
    write_shard(path, small(3))
    damaged = bytearray(path.read_bytes())
    damaged[20] ^= 1
    path.write_bytes(bytes(damaged))
    assert [f.intact for f in read_frames(path)] == [False, True, True]


def test_a_gzip_file_is_told_as_such(tmp_path):
    path = tmp_path / "a.tfrec"
    path.write_bytes(b"\x1f\x8b" + bytes(40))
    with pytest.raises(RecordError, match="gzip"):
        count_examples(path)


TENSORFLOW = """
import sys
import tensorflow as tf
ours, theirs = sys.argv[1:]
def feature(v):
    v = v if isinstance(v, list) else [v]
    if isinstance(v[0], bytes): return tf.train.Feature(bytes_list=tf.train.BytesList(value=v))
    if isinstance(v[0], float): return tf.train.Feature(float_list=tf.train.FloatList(value=v))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=v))
rows = [{"image": b"\\x00\\xff" * 200, "target": -1, "ages": [1.5, -2.25], "ids": [3, -4, 2**40]},
        {"image": b"", "target": 7, "ages": [0.0, 1e-3], "ids": [0, 1, 2]}]
with tf.io.TFRecordWriter(theirs) as writer:
    for row in rows:
        example = tf.train.Example(
            features=tf.train.Features(feature={k: feature(v) for k, v in row.items()}))
        writer.write(example.SerializeToString(deterministic=True))
spec = {key: tf.io.FixedLenFeature(shape, kind) for key, shape, kind in [
    ("image", [], tf.string), ("target", [], tf.int64),
    ("ages", [2], tf.float32), ("ids", [3], tf.int64)]}
for raw, row in zip(tf.data.TFRecordDataset(ours), rows, strict=True):
    parsed = tf.io.parse_single_example(raw, spec)
    assert parsed["image"].numpy() == row["image"] and parsed["target"].numpy() == row["target"]
    assert parsed["ids"].numpy().tolist() == row["ids"]
    assert parsed["ages"].numpy().tolist() == tf.constant(row["ages"]).numpy().tolist()
print("read")
"""


@pytest.mark.skipif(not find_spec("tensorflow"), reason="TensorFlow is an extra")
def test_tensorflow_reads_ours_and_writes_the_same_bytes(tmp_path):
    ours, theirs = tmp_path / "ours.tfrec", tmp_path / "theirs.tfrec"
    rows = [
        {"image": b"\x00\xff" * 200, "target": -1, "ages": [1.5, -2.25], "ids": [3, -4, 2**40]},
        {"image": b"", "target": 7, "ages": [0.0, 1e-3], "ids": [0, 1, 2]},
    ]
    write_shard(ours, rows)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TENSORFLOW, str(ours), str(theirs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "read", run.stderr[-2000:]
    assert ours.read_bytes() == theirs.read_bytes()
    assert [r["ids"] for r in read_examples(theirs)] == [r["ids"] for r in rows]
