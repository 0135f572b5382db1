"""Duplicates: copies are found by their bytes."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.data.audit.duplicates import find_identical, met_pictures
from melnb.data.shards.examples import write_shard
from melnb.tables import schema


def table(paths: list[str]) -> pd.DataFrame:
    ids = [f"i{k}" for k in range(len(paths))]
    nothing = dict.fromkeys(("patient_id", "lesion_id", "target"), np.nan)
    return pd.DataFrame({"image_id": ids, "path": paths, **nothing})


def test_copies_are_found_wherever_they_are(tmp_path):
    for name, data in {"a": b"one", "b": b"two", "c": b"one", "d": b"other", "e": b"two"}.items():
        (tmp_path / name).write_bytes(data)
    write_shard(tmp_path / "s.tfrec", [{"image": b"two"}])
    paths = [f"{tmp_path}/{name}" for name in ("a", "b", "c", "d", "e", "s.tfrec::0", "missing")]
    found = find_identical(table(paths))
    assert found["image_id"].tolist() == ["i0", "i2", "i1", "i4", "i5"]
    assert found["identical"].tolist() == [0, 0, 1, 1, 1]


def test_a_row_without_a_picture_is_like_no_other(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    assert find_identical(table([np.nan, np.nan, "", "", f"{tmp_path}/a"])).empty


def test_no_copies_give_an_empty_table(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    assert len(find_identical(table([f"{tmp_path}/a"]))) == 0
    (tmp_path / "b").write_bytes(b"two")  # as long, and yet another
    assert len(find_identical(table([f"{tmp_path}/a", f"{tmp_path}/b"]))) == 0


@pytest.mark.data
@pytest.mark.skipif("MELNB_DATA" not in os.environ, reason="MELNB_DATA names no real data")
def test_ham10000_has_two_identical_pairs():
    folder = Path(os.environ["MELNB_DATA"]) / "ham10000/images"
    found = find_identical(table(sorted(str(p) for p in folder.glob("*.jpg"))))
    assert found["identical"].value_counts().tolist() == [2, 2]


def test_where_nothing_was_learnt_from_nothing_was_met(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    for name, image in (("new", "a"), ("learnt", "b")):
        (tmp_path / name).mkdir()
        images = table([f"{tmp_path}/{image}"]).assign(image_id=image, diagnosis="nevus")
        schema.write_images(
            images.reindex(columns=schema.IMAGE_COLUMNS), tmp_path / name / "images.csv"
        )
    assert met_pictures(tmp_path / "new", []).empty
    met = met_pictures(tmp_path / "new", [tmp_path / "learnt"])
    assert met.to_numpy().tolist() == [["a", "picture", "b"]]
