from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb import data, tables
from melnb.data.embeddings import Embeddings
from melnb.display.browser.image_browser import ImageBrowser
from melnb.tables import schema
from melnb.tables.checks import TableError
from melnb.tables.marks import read_marks


def ids(rows: pd.DataFrame) -> list[str]:
    return list(rows["image_id"])


@pytest.fixture
def predictions(images: pd.DataFrame) -> pd.DataFrame:
    """Of the eight with a target and one without, in another order than the images."""
    known = images[images["target"].notna() | (images["image_id"] == "i2")].iloc[::-1]
    score = np.linspace(0.1, 0.9, len(known)) ** 1.5
    folds = np.where(known["target"].isna(), tables.TEST, 0)
    return schema.make_predictions(
        known["image_id"].tolist(), folds.tolist(), known["target"].tolist(),
        np.column_stack([score, 1 - score]), classes=("melanoma", "nevus"), run="b0",
    )  # fmt: skip


def test_select_joins_what_is_asked(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images)
    assert len(browser.select(diagnosis="melanoma")) == 4
    assert set(browser.select(age=(30, 60))["image_id"]) == {"i3"}
    assert set(browser.select(diagnosis=None)["image_id"]) == {"i3", "i5", "i7"}
    assert len(browser.select(age=None)) == len(images)


def test_select_by_unknown_and_by_several_values(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images)
    assert len(browser.select(target="unknown")) == 4
    assert len(browser.select(target=("melanoma", "nevus"))) == 8
    assert len(browser.select(target=["melanoma"], sex="unknown")) == 2
    assert browser.select(site="no such place").empty


def test_both_ends_of_a_range_count(images: pd.DataFrame) -> None:
    ages = ImageBrowser(images).select(age=(25, 35))["age"]
    assert sorted(ages) == [25, 35]


def test_an_unknown_column_or_order_is_named(images: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no column 'diagnose' among"):
        ImageBrowser(images).select(diagnose="melanoma")
    with pytest.raises(ValueError, match=r"order is 'score'; use one of \['listed'\]"):
        ImageBrowser(images).sort("score")


def test_sorts_by_score_error_and_surprise(images: pd.DataFrame, predictions: pd.DataFrame) -> None:
    browser = ImageBrowser(images, predictions=predictions)
    by_id = predictions.set_index("image_id")
    order = ids(browser.sort("score"))
    assert order[:9] == list(by_id["p_melanoma"].sort_values(ascending=False).index)
    assert order[9:] == ["i5", "i8", "i11"]  # not predicted: as listed, at the end
    error = (by_id["truth"].eq("melanoma") - by_id["p_melanoma"]).abs()[by_id["truth"].notna()]
    assert ids(browser.sort("error"))[:8] == list(error.sort_values(ascending=False).index)
    assert ids(browser.sort("surprise")) == ids(browser.sort("error"))  # of two classes
    assert float(str(browser.facts("i0").loc["surprise", "value"])) == pytest.approx(
        -np.log(1 - error["i0"]), abs=5e-4
    )
    assert "error" not in browser.facts("i2").index  # its truth is not known
    with pytest.raises(TableError, match="none of their 9 images is among the 12"):
        ImageBrowser(images.assign(image_id=[f"x{k}" for k in range(12)]), predictions=predictions)


def test_sorts_by_likeness_to_the_chosen_one(images: pd.DataFrame) -> None:
    values = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    vectors = Embeddings(images["image_id"].to_numpy(object)[::-1], values, {})
    nearest = partial(data.nearest_neighbours, vectors, images)
    browser = ImageBrowser(images, nearest=nearest)
    assert ids(browser.sort("alike")) == ids(images)  # none is chosen yet
    browser.image_id = "i4"
    cosines = vectors.unit_vectors() @ vectors.unit_vectors()[7]
    expected = vectors.image_id[np.argsort(-cosines)]
    assert ids(browser.chosen) == list(expected)
    assert browser.chosen["image_id"].iloc[0] == "i4"


def test_gallery_is_the_first_of_the_chosen(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images, size=16)
    browser.select(target=("nevus", "unknown"), site=("torso", "unknown"))
    shown = browser.gallery(2)
    assert shown.title == "The first 2 of 8 images"
    (tiles,) = shown.rows.values()
    assert [t.caption for t in tiles] == ["i1 · Nevus · 25 years · male · torso", "i2"]
    assert browser.gallery().title == "8 images"


def test_facts_are_what_is_known(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images)
    assert browser.facts("i1").loc["age", "value"] == "25"
    assert "age" not in browser.facts("i0").index
    with pytest.raises(KeyError, match="no image 'i99'"):
        browser.facts("i99")


def test_marks_are_written_and_taken_back(images: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / "marks.csv"
    browser = ImageBrowser(images, marks_to=file)
    browser.mark("i3", "bad_picture", "out of focus")
    browser.mark("i4", "keep")
    assert ids(browser.select(mark="bad_picture")) == ["i3"]
    assert browser.marked[["image_id", "mark", "why"]].to_numpy().tolist() == [
        ["i3", "bad_picture", "out of focus"], ["i4", "keep", ""]
    ]  # fmt: skip
    browser.mark("i3", "")
    assert ids(browser.marked) == ["i4"]
    assert len(read_marks(file, trail=True)) == 3
    with pytest.raises(KeyError, match="no image 'i99'"):
        browser.mark("i99", "keep")
    with pytest.raises(ValueError, match="marks_to names no file"):
        ImageBrowser(images).mark("i3", "keep")


class Page:
    """What a page would have been sent."""

    def __init__(self, view: Any) -> None:
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        view.send = lambda content, buffers: self.sent.append((content, buffers))


def test_the_page_is_sent_the_pictures_that_it_asks_for(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images.assign(path=images["path"].where(images.index != 5)), size=16)
    view = browser.view()
    page = Page(view)
    browser._answer(view, {"kind": "pictures", "rows": [5, 2]})
    ((content, buffers),) = page.sent
    assert content == {"kind": "pictures", "rows": [5, 2]}
    assert buffers[0] == b""
    assert buffers[1].startswith(b"\xff\xd8")


def test_the_listing_follows_menus_and_code(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images)
    view = browser.view()
    view.wanted = {"target": "nevus", "age": [0, 30]}  # as a page sends it
    assert np.frombuffer(view.listing, "<u4").tolist() == [1]
    assert ids(browser.chosen) == ["i1"]
    browser.select(target=None)
    assert view.wanted == {"age": [0, 30]}
    assert view.words["ids"] == ids(images)


def test_an_image_opens_with_its_lesion_s_others(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images)
    message, buffers = browser._opened(6)
    assert message["others_title"] == "Of the same lesion"
    assert [entry["row"] for entry in message["others"]] == [7]
    assert len(buffers) == 2
    alone = ImageBrowser(images.assign(lesion_id=np.nan))
    assert alone._opened(6)[0]["others_title"] == "Of the same patient"
    assert ["image_id", "i6"] in message["facts"]


def test_a_mark_that_cannot_be_written_says_why(images: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "marks").write_text("a,b\n1,2\n")
    browser = ImageBrowser(images, marks_to=tmp_path / "marks")
    with pytest.raises(TableError, match="image_id"):
        browser.view()
    browser = ImageBrowser(images, marks_to=tmp_path / "new.csv")
    view = browser.view()
    browser._answer(view, {"kind": "mark", "row": 1, "mark": "keep", "why": "=1+1"})
    assert view.marks == {"i1": "keep"}
    assert browser.marked["why"].tolist() == ["=1+1"]
    assert "marks=" in view.note
    browser.marks_to = str(tmp_path / "new.csv" / "below.csv")
    browser._answer(view, {"kind": "mark", "row": 2, "mark": "keep", "why": ""})
    assert view.note.startswith("Not written: ")


def test_images_without_pictures_can_be_browsed(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images.assign(path=np.nan), size=16)
    message, buffers = browser._opened(0)
    assert set(buffers) == {b""}
    assert message["facts"][0] == ["image_id", "i0"]
