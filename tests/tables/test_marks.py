from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from melnb.tables import marks as tables
from melnb.tables.checks import TableError


@pytest.fixture
def images() -> pd.DataFrame:
    return pd.DataFrame({"image_id": ["a", "b", "007"], "target": ["x", "y", "x"]})


def test_the_last_mark_holds_and_an_empty_one_takes_back(tmp_path: Path) -> None:
    file = tmp_path / "marks.csv"
    assert tables.read_marks(file).empty
    tables.add_mark(file, "a", "keep", who="ann", why='says "ok", twice\nor so')
    tables.add_mark(file, "007", "bad_picture", who="0123")
    tables.add_mark(file, "a", "label_wrong", who="bob", why="=HYPERLINK(1)")
    rows = tables.read_marks(file).set_index("image_id")
    assert list(rows.loc["a", ["mark", "who", "why"]]) == ["label_wrong", "bob", "=HYPERLINK(1)"]
    assert rows.loc["007", "who"] == "0123"
    assert pd.to_datetime(rows["when"], utc=True).notna().all()
    tables.add_mark(file, "a", "")
    assert list(tables.read_marks(file)["image_id"]) == ["007"]
    trail = tables.read_marks(file, trail=True)
    assert list(trail["mark"]) == ["keep", "bad_picture", "label_wrong", ""]
    assert trail["why"].iloc[0].split() == ["says", '"ok",', "twice", "or", "so"]


def test_what_is_no_mark_is_refused_and_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "marks.csv"
    tables.add_mark(file, "a", "keep", who="ann")
    before = file.read_bytes()
    with pytest.raises(ValueError, match="mark is 'wrong'"):
        tables.add_mark(file, "a", "wrong")
    assert file.read_bytes() == before
    file.write_text("image_id,mark,who,when,why\na,Keep,ann,,\n")
    with pytest.raises(TableError, match=r"a is marked 'Keep': use one of \['label_wrong'"):
        tables.read_marks(file)
    file.write_text("image_id,mark\na,keep\n")
    with pytest.raises(TableError, match="who"):
        tables.read_marks(file)


def test_apply_leaves_out_what_is_wrong_and_keeps_the_rest(
    images: pd.DataFrame, tmp_path: Path
) -> None:
    file = tmp_path / "marks.csv"
    for image_id, mark in (("a", "bad_picture"), ("b", "keep"), ("elsewhere", "label_wrong")):
        tables.add_mark(file, image_id, mark, who="ann")
    kept, marked = tables.apply_marks(images, file)
    assert list(kept["image_id"]) == ["b", "007"]
    assert marked[["image_id", "here", "left_out"]].to_numpy().tolist() == [
        ["a", True, True], ["b", True, False], ["elsewhere", False, False],
    ]  # fmt: skip
    tables.add_mark(file, "a", "", who="ann")
    assert tables.apply_marks(images, file)[0].equals(images)
    kept, marked = tables.apply_marks(images, "")
    assert kept.equals(images)
    assert marked.empty


def test_a_file_of_other_images_or_of_all_is_refused(images: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / "marks.csv"
    with pytest.raises(FileNotFoundError, match="marks: no file"):
        tables.apply_marks(images, file)
    tables.add_mark(file, "z", "bad_picture")
    with pytest.raises(TableError, match="none is among the 3 of this dataset"):
        tables.apply_marks(images, file)
    for image_id in images["image_id"]:
        tables.add_mark(file, image_id, "label_wrong")
    with pytest.raises(TableError, match="leaves out all 3"):
        tables.apply_marks(images, file)


def test_who_mark_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "new" / "marks.csv"
    names = [f"{k:03}" for k in range(24)]
    with ThreadPoolExecutor(4) as browsers:
        list(browsers.map(lambda name: tables.add_mark(file, name, "keep", who="ann"), names))
    assert sorted(tables.read_marks(file)["image_id"]) == names
