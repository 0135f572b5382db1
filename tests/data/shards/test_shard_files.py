"""One shard: made once, kept while it is whole, made anew when anything differs."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from melnb.data.shards.examples import read_examples
from melnb.data.shards.shard_files import Settings, ShardPlan, make_examples, make_shard

SETTINGS = Settings(("other", "melanoma"), (8, 16), "crop", 90)


@pytest.fixture
def plan(tmp_path):
    rows = []
    for k in range(3):
        Image.new("RGB", (20 + k, 16), (50 * k, 0, 0)).save(tmp_path / f"{k}.png")
        ids = dict.fromkeys(("patient_id", "lesion_id", "sex", "site", "diagnosis"))
        path = str(tmp_path / f"{k}.png")
        rows.append({"image_id": f"i{k}", "path": path, "age": 44.6, "target": "melanoma", **ids})
    return ShardPlan("fold2-00", 2, rows)


def test_a_shard_is_made_once_and_then_kept(plan, tmp_path):
    first = make_shard(plan, tmp_path, SETTINGS, skip_unreadable=False)
    again = make_shard(plan, tmp_path, SETTINGS, skip_unreadable=False)
    assert (first.kept, again.kept) == (False, True)
    assert replace(first, kept=True) == again
    assert [(s.image_size, s.fold, s.images) for s in first.shards] == [(8, 2, 3), (16, 2, 3)]
    assert [e["width"] for e in read_examples(first.shards[0].path)] == [20, 21, 22]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"made_of": 1}'])
def test_a_damaged_certificate_is_none(plan, tmp_path, text):
    make_shard(plan, tmp_path, SETTINGS, skip_unreadable=False)
    (tmp_path / ".parts" / "fold2-00.json").write_text(text)
    assert not make_shard(plan, tmp_path, SETTINGS, skip_unreadable=False).kept
    assert make_shard(plan, tmp_path, SETTINGS, skip_unreadable=False).kept


def test_a_certificate_holds_no_place_so_that_the_folder_may_move(plan, tmp_path):
    make_shard(plan, tmp_path / "a", SETTINGS, skip_unreadable=False)
    (tmp_path / "a").rename(tmp_path / "b")
    text = (tmp_path / "b" / ".parts" / "fold2-00.json").read_text()
    assert {s["path"] for s in json.loads(text)["shards"]} == {
        "8px/fold2-00-3.tfrec", "16px/fold2-00-3.tfrec"
    }  # fmt: skip
    assert make_shard(plan, tmp_path / "b", SETTINGS, skip_unreadable=False).kept


def test_another_row_or_setting_makes_it_anew(plan, tmp_path):
    make_shard(plan, tmp_path, SETTINGS, skip_unreadable=False)
    other_rows = replace(plan, rows=[{**plan.rows[0], "age": 50.0}, *plan.rows[1:]])
    assert not make_shard(other_rows, tmp_path, SETTINGS, skip_unreadable=False).kept
    other = replace(SETTINGS, quality=70)
    assert not make_shard(other_rows, tmp_path, other, skip_unreadable=False).kept


def test_without_cleaning_a_shard_is_certified_as_before_there_was_any(plan, tmp_path):
    make_shard(plan, tmp_path, SETTINGS, skip_unreadable=False)
    told = json.loads((tmp_path / ".parts" / "fold2-00.json").read_text())["made_of"]
    old = {"classes": ["other", "melanoma"], "image_sizes": [8, 16], "fit": "crop", "quality": 90}
    made_of = json.dumps([3, 2, old, plan.rows]).encode()  # how files are read, the fold, …
    assert told == hashlib.blake2b(made_of, digest_size=16).hexdigest()
    cleaned = replace(SETTINGS, cleaning="constancy")
    assert not make_shard(plan, tmp_path, cleaned, skip_unreadable=False).kept


def test_sizes_come_from_one_decoding(plan, monkeypatch):
    read = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or original(path))
    examples, _ = make_examples(plan.rows[0], SETTINGS)
    assert len(read) == 1
    assert list(examples) == [8, 16]
    assert examples[8]["age_approx"] == 45
    assert examples[8]["target"] == 1
    assert examples[8]["patient_id"] == b""


def test_a_row_without_path_is_unreadable(plan, tmp_path):
    rows = [{**plan.rows[0], "path": None}]
    report = make_shard(replace(plan, rows=rows), tmp_path, SETTINGS, skip_unreadable=True)
    assert report.skipped == [{"image_id": "i0", "path": "", "reason": "no path"}]
    assert report.shards == []
