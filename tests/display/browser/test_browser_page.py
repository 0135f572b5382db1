"""The image browser's page against the browser itself: what it asks for, and what it shows."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from melnb_widgets import open_browser
from PIL import Image

from melnb import data, tables
from melnb.data.embeddings import Embeddings
from melnb.display.browser.image_browser import ImageBrowser
from melnb.display.browser.pair_browser import PairBrowser
from melnb.tables import schema

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def open_page(page: Any, tmp_path: Path) -> Callable[[ImageBrowser], Any]:
    """Show a browser in a page whose kernel is this process."""

    def opened(browser: ImageBrowser) -> Any:
        page.asked = open_browser(page, browser, tmp_path / "page.html")
        return page

    return opened


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Ten thousand images, of forty pictures."""
    folder = tmp_path_factory.mktemp("many")
    draw = np.random.default_rng(0)
    for k in range(40):
        Image.fromarray(draw.integers(0, 255, (30, 40, 3), np.uint8)).save(folder / f"{k}.jpg")
    n = np.arange(10_000)
    return schema.check_images(
        pd.DataFrame(
            {
                "image_id": [f"i{k:05d}" for k in n],
                "patient_id": [f"p{k // 4}" for k in n],
                "lesion_id": [f"l{k // 2}" for k in n],
                "path": [str(folder / f"{k % 40}.jpg") for k in n],
                "diagnosis": np.where(n % 5 == 0, "melanoma", "nevus"),
                "target": np.where(n % 5 == 0, "melanoma", "nevus"),
                "sex": np.where(n % 2, "male", "female"),
                "age": 20.0 + n % 60,
                "site": "torso",
                "source": "synthetic",
                "width": 40,
                "height": 30,
            }
        )
    )


SEEN = """() => [...document.querySelectorAll(".sheet .tile")].filter((t) => {
  const box = document.querySelector(".scroller").getBoundingClientRect();
  const own = t.getBoundingClientRect();
  return own.bottom > box.top && own.top < box.bottom && t.querySelector("img").naturalWidth > 0;
}).map((t) => t.title)"""


def test_ten_thousand_images_scroll_and_only_those_in_sight_are_opened(
    many: pd.DataFrame, open_page: Callable[[ImageBrowser], Any]
) -> None:
    page = open_page(ImageBrowser(many, size=96))
    page.wait_for_function(f"({SEEN})().length >= 24")
    assert page.evaluate(SEEN)[0] == "i00000"
    page.evaluate("document.querySelector('.scroller').scrollTop = 1e9")
    page.wait_for_function(f"({SEEN})().includes('i09999')")
    opened = {row for m in page.asked if m["kind"] == "pictures" for row in m["rows"]}
    assert len(opened) < 400  # of ten thousand
    assert page.locator(".sheet .tile").count() < 300
    assert page.get_by_text("10,000 of 10,000 images").is_visible()


def test_menus_and_orders_choose_what_is_shown(
    images: pd.DataFrame, open_page: Callable[[ImageBrowser], Any]
) -> None:
    score = np.linspace(0.2, 0.7, 12)
    predictions = schema.make_predictions(
        images["image_id"].tolist(), tables.TEST, images["target"].tolist(),
        np.column_stack([score, 1 - score]), classes=("melanoma", "nevus"), run="b0",
    )  # fmt: skip
    browser = ImageBrowser(images, predictions=predictions, size=64)
    page = open_page(browser)
    page.get_by_label("target").select_option("nevus")
    page.get_by_text("4 of 12 images").wait_for()
    assert list(browser.chosen["image_id"]) == ["i1", "i4", "i7", "i10"]
    page.get_by_label("sorted by").select_option("score")
    page.wait_for_function("document.querySelector('.sheet .tile').title === 'i10'")
    page.get_by_label("Oldest age").fill("60")
    page.get_by_label("Oldest age").press("Enter")
    page.get_by_text("2 of 12 images").wait_for()
    browser.select(target="melanoma", age=None)  # code moves the page, too
    page.evaluate("refresh()")
    page.get_by_text("4 of 12 images").wait_for()
    assert page.get_by_label("target").input_value() == "melanoma"


def test_keys_move_mark_and_take_back(
    images: pd.DataFrame, open_page: Callable[[ImageBrowser], Any], tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    vectors = Embeddings(images["image_id"].to_numpy(object), values, {})
    browser = ImageBrowser(
        images.assign(site="<script>alert(1)</script>"), size=64, marks_to=tmp_path / "marks.csv",
        nearest=partial(data.nearest_neighbours, vectors, images),
    )  # fmt: skip
    page = open_page(browser)
    page.get_by_role("listbox").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):  # the first one chooses
        page.keyboard.press(key)
    page.wait_for_function("document.querySelector('aside dd')?.textContent === 'i1'")
    assert browser.image_id == "i1"
    assert page.get_by_role("heading", name="Most alike").is_visible()
    assert page.get_by_role("heading", name="Of the same lesion").is_visible()
    near = data.nearest_neighbours(vectors, images, of=["i1"])["neighbour"]
    titles = page.locator("aside h4:has-text('Most alike') + .row button")
    shown = [titles.nth(k).get_attribute("title").split(" ")[0] for k in range(titles.count())]
    assert shown == list(near)
    page.get_by_label("Why").fill("2 lesions: 1 3")  # digits typed are no marks
    page.get_by_role("listbox").focus()
    page.keyboard.press("2")
    page.locator(".sheet .tile b.bad_picture").wait_for()
    assert browser.marked[["image_id", "mark", "why"]].to_numpy().tolist() == [
        ["i1", "bad_picture", "2 lesions: 1 3"]
    ]
    assert page.get_by_role("button", name="bad picture").get_attribute("aria-pressed") == "true"
    page.keyboard.press("2")
    page.wait_for_function("!document.querySelector('.sheet .tile b.bad_picture')")
    assert browser.marked.empty
    page.locator("aside h4:has-text('Of the same lesion') + .row button").click()
    page.wait_for_function("document.querySelector('aside dd').textContent === 'i0'")
    page.get_by_role("listbox").focus()
    page.keyboard.press("2")
    page.locator(".sheet .tile b.bad_picture").wait_for()
    assert browser.marked[["image_id", "why"]].to_numpy().tolist() == [["i0", ""]], "of i1 alone"


def test_it_fits_any_width(
    many: pd.DataFrame, open_page: Callable[[ImageBrowser], Any], tmp_path: Path
) -> None:
    page = open_page(ImageBrowser(many, size=96, marks_to=tmp_path / "marks.csv"))
    for width in (420, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(f"({SEEN})().length >= 8")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [page.locator(name).bounding_box() for name in (".scroller", "aside")]
        beside = boxes[1]["y"] < boxes[0]["y"] + boxes[0]["height"]
        assert beside == (width > 700)
    page.evaluate("close_browser()")


# What is cut, or stands on what it does not belong to.
WRONG = """() => {
  const box = (path) => document.querySelector(path).getBoundingClientRect();
  const all = [...document.querySelectorAll(".melnb-browser *")];
  const cut = all.filter((e) => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1
    && !e.matches("select, input, .scroller, .score")).map((e) => `cut: ${e.className}`);
  const [aside, sheet] = [box("aside"), box(".scroller")];
  const out = all.filter((e) => e.closest("aside") && e.getBoundingClientRect().right > aside.right)
    .map((e) => `out of the panel: ${e.tagName}`);
  const tiles = [...document.querySelectorAll(".sheet .tile")]
    .map((tile) => tile.getBoundingClientRect()).sort((a, b) => a.top - b.top || a.left - b.left);
  const meet = tiles.filter((tile, k) => tile.right > sheet.right || (k && Math.abs(
    tiles[k - 1].top - tile.top) < 1 && tiles[k - 1].right > tile.left)).map(() => "tiles meet");
  return [...cut, ...out, ...meet];
}"""


def test_pairs_fit_any_width_and_are_larger_than_their_tile_where_chosen(
    many: pd.DataFrame, open_page: Callable[[ImageBrowser], Any], tmp_path: Path
) -> None:
    n = np.arange(30)
    pairs = many["image_id"].head(30).to_frame().assign(same_as=many["image_id"].to_numpy()[n + 40])
    pairs["kind"] = np.choose(n % 3, ["same picture", "same lesion", "look-alike"])
    pairs = pairs.assign(similarity=0.9, aligned=np.where(n % 3, 0.9, np.nan), rank=n + 1)
    page = open_page(PairBrowser(pairs, many, settle_to=tmp_path / "same.csv"))
    assert page.get_by_text("Choose one of the pairs").is_visible()
    page.get_by_role("listbox", name="Pairs").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('aside .large')?.naturalWidth > 0")
    page.keyboard.press("l")
    page.locator('aside [data-mark="same lesion"][aria-pressed="true"]').wait_for()
    page.keyboard.press("Tab")  # what keys do, buttons do, too
    focused = "[document.activeElement.textContent, document.activeElement.ariaPressed]"
    assert page.evaluate(focused) == ["ssame picture", "false"]
    for width in (420, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("() => new Promise((drawn) => { setTimeout(drawn, 100); })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WRONG) == [], width
        large, tile = (page.locator(p).first.bounding_box() for p in (".large", ".tile img"))
        assert large["width"] > tile["width"]
        assert large["width"] == pytest.approx(2 * large["height"], abs=1)


def test_a_closed_sheet_draws_no_more(
    many: pd.DataFrame, open_page: Callable[[ImageBrowser], Any]
) -> None:
    page = open_page(ImageBrowser(many, size=96))
    page.wait_for_function(f"({SEEN})().includes('i00000')")
    page.evaluate("document.querySelector('.scroller').scrollTop = 1e9")
    page.wait_for_function(f"({SEEN})().includes('i09999')")
    drawn = page.evaluate("""async () => {
      const scroller = document.querySelector(".scroller");
      scroller.scrollTop = 0; // its pictures are known: the next frame would show them
      scroller.dispatchEvent(new Event("scroll"));
      close_browser();
      scroller.dispatchEvent(new Event("scroll"));
      for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
      return [...document.querySelectorAll(".sheet .tile")].map((tile) => tile.title);
    }""")
    assert "i09999" in drawn
    assert "i00000" not in drawn
