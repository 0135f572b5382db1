import ipywidgets
import numpy as np
import pandas as pd
import pytest

from melnb.display.image_browser import ImageBrowser


def widgets(box: ipywidgets.Widget, kind: type) -> list[ipywidgets.Widget]:
    """Return the widgets of a kind below a box."""
    found = [box] if isinstance(box, kind) else []
    return found + [w for child in getattr(box, "children", ()) for w in widgets(child, kind)]


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


def test_an_unknown_column_is_named(images: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no column 'diagnose' among"):
        ImageBrowser(images).select(diagnose="melanoma")


def test_pages_cover_every_row_once(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images, per_page=5)
    assert browser.pages == 3
    seen = [i for number in (1, 2, 3) for i in browser.page(number)["image_id"]]
    assert seen == list(images["image_id"])
    with pytest.raises(ValueError, match="page is 4; the 12 images fill 3"):
        browser.page(4)
    browser.select(target="no such class")
    assert browser.pages == 1
    assert browser.page(1).empty


def test_gallery_is_the_page(images: pd.DataFrame) -> None:
    shown = ImageBrowser(images, per_page=5, size=16).gallery(3)
    assert shown.title == "12 images, page 3 of 3"
    (tiles,) = shown.rows.values()
    assert [t.caption for t in tiles] == ["i10 · Nevus", "i11 · 75 years · female · torso"]


def test_facts_are_what_is_known(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images)
    assert browser.facts("i1").loc["age", "value"] == "25.0"
    assert "age" not in browser.facts("i0").index
    with pytest.raises(KeyError, match="no image 'i99'"):
        browser.facts("i99")


def test_the_view_follows_its_menus_and_pages(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images, per_page=5, size=16)
    view = browser.view()
    assert len(widgets(view, ipywidgets.Image)) == 5
    (number,) = widgets(view, ipywidgets.BoundedIntText)
    number.value = 3
    assert [b.description for b in widgets(view, ipywidgets.Button)] == ["i10", "i11"]
    menu = next(w for w in widgets(view, ipywidgets.Dropdown) if w.description == "target")
    menu.value = "nevus"
    assert (number.value, number.max) == (1, 1)
    assert set(browser.chosen["target"]) == {"nevus"}
    assert len(widgets(view, ipywidgets.Image)) == 4
    (ages,) = widgets(view, ipywidgets.IntRangeSlider)
    ages.value = (0, 30)
    assert list(browser.chosen["image_id"]) == ["i1"]


def test_a_click_shows_the_image_and_escapes_what_it_says(images: pd.DataFrame) -> None:
    browser = ImageBrowser(images.assign(site="<script>"), size=16)
    view = browser.view()
    widgets(view, ipywidgets.Button)[7].click()
    assert browser.image_id == "i7"
    facts = widgets(view, ipywidgets.HTML)[-1].value
    assert ">i7</td>" in facts
    assert "<img " in facts
    assert "<script>" not in facts


def test_images_without_pictures_can_be_browsed(images: pd.DataFrame) -> None:
    view = ImageBrowser(images.assign(path=np.nan), size=16).view()
    assert widgets(view, ipywidgets.Image) == []
    assert len(widgets(view, ipywidgets.Button)) == 12
