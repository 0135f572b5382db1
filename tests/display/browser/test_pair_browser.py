"""Pairs are settled one by one: written with who, when and why, undone, and taken by the folds."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.data.audit.duplicates import COLUMNS
from melnb.data.audit.leaks import join_same
from melnb.display.browser.pair_browser import PairBrowser
from melnb.tables.checks import TableError
from melnb.tables.marks import read_pairs

NONE = pd.DataFrame(columns=[*COLUMNS])


@pytest.fixture
def pairs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": ["i0", "i2", "i4"], "same_as": ["i1", "i3", "i5"],
            "kind": ["same picture", "same lesion", "look-alike"], "similarity": [0.7, 0.3, 0.1],
            "aligned": [0.995, np.nan, 0.4], "rank": [1, 2, 3],
        }
    )  # fmt: skip


def joined(images: pd.DataFrame, file: Path) -> list[set[str]]:
    sets = join_same(NONE, images, file).groupby("identical")["image_id"].agg(set)
    return list(sets)


def test_what_is_said_of_a_pair_is_written_undone_and_taken_by_folds(
    images: pd.DataFrame, pairs: pd.DataFrame, tmp_path: Path
) -> None:
    file = tmp_path / "marks" / "d.same_as.csv"
    browser = PairBrowser(pairs, images, settle_to=file)
    browser.mark("i0 | i1", "same picture", "hairs agree")
    browser.mark("i2 | i3", "same lesion")
    browser.mark("i4 | i5", "look-alike")
    row = read_pairs(file).iloc[0]
    assert (row["image_id"], row["same_as"], row["kind"]) == ("i0", "i1", "same picture")
    assert row["why"] == "hairs agree"
    assert row["who"]
    assert row["when"].startswith("20")
    assert browser.marked["mark"].tolist() == ["same picture", "same lesion", "look-alike"]
    assert browser.marked["image_id"].tolist() == ["i0 | i1", "i2 | i3", "i4 | i5"]
    assert joined(images, file) == [{"i0", "i1"}, {"i2", "i3"}]
    browser.mark("i2 | i3", "")
    browser.mark("i0 | i1", "look-alike")
    assert joined(images, file) == []
    assert len(read_pairs(file, trail=True)) == 5, "nothing is lost"
    turned = pairs.rename(columns={"image_id": "same_as", "same_as": "image_id"})
    assert PairBrowser(turned, images, settle_to=file).marked["image_id"].tolist() == [
        "i5 | i4", "i1 | i0",
    ]  # fmt: skip


def test_a_tile_is_both_pictures_and_what_is_known_stands_beside(
    images: pd.DataFrame, pairs: pd.DataFrame
) -> None:
    levels = iter((50, 200))
    browser = PairBrowser(
        pairs, images, size=20,
        open_picture=lambda path, size: Image.new("RGB", (size, size), (next(levels),) * 3),
    )  # fmt: skip
    picture = Image.open(io.BytesIO(browser._jpeg(0, 20)))
    assert picture.size == (40, 20)
    assert picture.getpixel((5, 10))[0] == pytest.approx(50, abs=4)  # type: ignore[index]
    assert picture.getpixel((35, 10))[0] == pytest.approx(200, abs=4)  # type: ignore[index]
    facts = browser.facts("i0 | i1")["value"]
    assert (facts["proposed as"], facts["pixels agree"]) == ("same picture", "0.995")
    assert (facts["target"], facts["age"]) == ("Melanoma | Nevus", "unknown | 25")
    assert browser.facts("i2 | i3")["value"]["pixels agree"] == "not compared"
    words = browser.view().words
    assert [(m["key"], m["name"]) for m in words["marks"]] == [
        ("s", "same picture"), ("l", "same lesion"), ("n", "look-alike"),
    ]  # fmt: skip
    assert (words["wide"], words["writes"], words["scores"]) == (
        2, False, ["pixels agree 0.995", "", "pixels agree 0.400"],
    )  # fmt: skip
    assert [(m["column"], m["title"]) for m in words["menus"]] == [("target", "proposed as")]
    assert dict(words["orders"])["score"] == "agreement of pixels, highest first"
    with pytest.raises(ValueError, match="settle_to names no file"):
        browser.mark("i0 | i1", "same picture")


def test_a_kind_that_is_none_and_a_file_that_is_no_list_of_pairs_are_refused(
    images: pd.DataFrame, pairs: pd.DataFrame, tmp_path: Path
) -> None:
    browser = PairBrowser(pairs, images, settle_to=tmp_path / "s.csv")
    with pytest.raises(ValueError, match="kind is 'twin': use one of"):
        browser.mark("i0 | i1", "twin")
    with pytest.raises(KeyError, match="no image 'i0'"):
        browser.mark("i0", "same picture")
    (tmp_path / "s.csv").write_text("image_id,same_as,kind,who,when,why\na,b,twin,x,y,\n")
    with pytest.raises(TableError, match="kind is 'twin'"):
        read_pairs(tmp_path / "s.csv")
    assert PairBrowser(pairs.head(0), images).view().words["ids"] == []
