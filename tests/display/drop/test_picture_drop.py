"""Pictures dropped on a page: kept, asked about, answered; the page's module against a model."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from melnb.display import theme
from melnb.display.drop.picture_drop import PictureDrop, _View
from melnb.display.report.look_page import STYLE, read_main

PAGE = '<header><p class="made">by r</p></header>\n<main><p>score <b>{}</b></p></main></html>'


@pytest.fixture
def drop(tmp_path: Path) -> PictureDrop:
    """One whose answers are of the number of bytes."""

    def ask(file: Path) -> Path:
        if file.stem == "broken":
            raise ValueError(f"{file}: cannot be asked")
        home = tmp_path / "runs" / file.stem
        home.mkdir(parents=True, exist_ok=True)
        (home / "look.html").write_text(PAGE.format(file.stat().st_size))
        (home / "predictions.csv").write_text(f"image_id,score\n{file.stem},0.25\n")
        return home

    def check(files: Sequence[Path]) -> None:
        if files[0].suffix != ".jpg":
            raise FileNotFoundError(f"no picture to look at ({files[0]}: not a picture)")

    return PictureDrop(ask, check=check, folder=tmp_path / "dropped")


def test_a_picture_is_kept_by_its_content_and_read_back(drop: PictureDrop, tmp_path: Path) -> None:
    answer = drop.drop("C:\\fakepath\\Müller 1.JPG", b"pixels")
    digest = hashlib.sha256(b"pixels").hexdigest()[:12]
    assert (tmp_path / "dropped" / digest / "Muller_1.jpg").read_bytes() == b"pixels"
    assert (answer.name, answer.reason) == ("Müller 1.JPG", "")
    drop.drop("../../up.jpg", b"more")
    assert {p.name for p in tmp_path.rglob("*.jpg")} == {"Muller_1.jpg", "up.jpg"}
    assert drop.table()["image_id"].tolist() == ["Muller_1", "up"]
    assert drop.table()["score"].tolist() == [0.25, 0.25]


def test_what_cannot_be_answered_is_told_by_the_name_that_was_dropped(
    drop: PictureDrop, tmp_path: Path
) -> None:
    assert drop.table().equals(pd.DataFrame())
    reasons = [drop.drop(name, b"x").reason for name in ("notes.pdf", "broken.jpg")]
    assert reasons == [
        "no picture to look at (notes.pdf: not a picture)", "broken.jpg: cannot be asked",
    ]  # fmt: skip
    assert [answer.folder for answer in drop.answers] == [None, None]


def send(view: Any, name: str, *pieces: bytes) -> None:
    for part, piece in enumerate(pieces):
        content = {"name": name, "part": part, "parts": len(pieces)}
        view._handle_custom_msg(content, [memoryview(piece)])


def test_a_picture_that_comes_in_parts_is_whole_and_the_last_stands_first(
    drop: PictureDrop,
) -> None:
    view = drop.view()
    view._handle_custom_msg({"name": "cut.jpg", "part": 0, "parts": 2}, [b"of a page closed"])
    send(view, "one.jpg", b"12", b"345", b"6")
    send(view, "notes.pdf", b"")
    assert [answer["html"] for answer in view.answers] == [
        "",
        '<p class="made">by r</p><p>score <b>6</b></p>',
    ]
    assert view.answers[0]["reason"].startswith("no picture to look at")
    for k in range(14):
        send(view, f"p{k}.jpg", bytes(k))
    assert [answer["number"] for answer in view.answers] == [str(k) for k in range(16, 4, -1)]
    assert len(drop.answers) == 16, "all are there to be read back"


def test_a_page_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "look.html").write_text("<p>no look</p>")
    with pytest.raises(ValueError, match=r"look\.html is no page of new pictures: run 04c_look"):
        read_main(tmp_path / "look.html")


MODEL = """
const values = %s, sent = [], ears = {};
const model = {
  get: (name) => values[name],
  on: (name, ear) => { ears[name] = ear; }, off: () => {},
  send: (content, _, [piece]) => sent.push([content.part, content.parts, piece.byteLength]),
};
const code = new Blob([%s], { type: "text/javascript" });
const { default: { render } } = await import(URL.createObjectURL(code));
render({ model, el: document.body });
window.sent = sent;
window.answer = (answers) => { values.answers = answers; ears["change:answers"](); };
window.drawn = true;
"""


def open_widget(page: Any, tmp_path: Path, **values: Any) -> Any:
    given = {"advice": "", "answers": [], "sheet": ".key { color: red; }", "light": "", "dark": ""}
    code = MODEL % (json.dumps(given | values), json.dumps(_View._esm))
    code = code.replace("</", "<\\/")
    text = f'<!doctype html><style>{_View._css}</style><script type="module">{code}</script>'
    (tmp_path / "widget.html").write_text(text, encoding="utf-8")
    page.goto((tmp_path / "widget.html").as_uri())
    page.wait_for_function("window.drawn")
    return page


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_the_page_sends_one_picture_after_another_and_shows_answers_apart(
    browser: Any, tmp_path: Path
) -> None:
    page = open_widget(browser.new_page(), tmp_path)
    big, small = bytes(2_500_000), b"12345"
    files = [
        {"name": name, "mimeType": "image/jpeg", "buffer": content}
        for name, content in (("big.jpg", big), ("small.jpg", small))
    ]
    page.locator("input").set_input_files(files)
    page.wait_for_function("window.sent.length >= 3")
    mega = 1 << 20
    assert page.evaluate("sent") == [[0, 3, mega], [1, 3, mega], [2, 3, len(big) - 2 * mega]]
    assert "Looking at big.jpg" in page.locator(".status").inner_text()
    first = {"name": "big.jpg", "html": "<h2>called</h2><p class='key'>k</p>", "reason": ""}
    page.evaluate("answer", [first])
    page.wait_for_function("window.sent.length === 4")
    assert page.evaluate("sent[3]") == [0, 1, 5], "the next goes when the first is answered"
    refused = {"name": "<b>small.jpg", "html": "", "reason": "<i>no picture"}
    page.evaluate("answer", [refused, first])
    assert page.locator(".answers main").count() == 2
    assert page.locator(".answers main").first.inner_text() == "<b>small.jpg: <i>no picture"
    assert "Answered below" in page.locator(".status").inner_text()
    page.close()


CARD = """<section class="answer"><h2>1 picture</h2></section><article class="called">
<h2>{}</h2><div class="pictures"><figure><img alt=""></figure><figure><img alt=""></figure></div>
<div class="said"><p class="verdict"><b>Called melanoma</b> <span>score 0.644</span></p></div>
</article>"""


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_an_answer_has_room_in_a_cell_of_any_width(browser: Any, tmp_path: Path) -> None:
    answer = {"name": "a.jpg", "html": CARD.format("a_long_name_" * 9), "reason": ""}
    dark = theme.css_variables(theme.DARK)
    page = open_widget(browser.new_page(), tmp_path, answers=[answer], sheet=STYLE, dark=dark)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "New pictures"
    assert page.locator(".door").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    for window, cell in ((420, 420), (768, 768), (1280, 1280), (1920, 1920), (1280, 560)):
        page.set_viewport_size({"width": window, "height": 900})
        page.evaluate("(width) => { document.body.style.width = `${width - 16}px`; }", cell)
        assert page.evaluate("document.documentElement.scrollWidth") <= window
        names = ("article", ".pictures", ".said", ".verdict b", ".verdict span", ".door", ".use")
        box = {name: page.locator(name).bounding_box() for name in names}
        below = box[".said"]["y"] >= box[".pictures"]["y"] + box[".pictures"]["height"]
        assert below == (cell < 700), (window, cell)
        assert box[".verdict b"]["height"] < 40, "its words stand in one line"
        assert box[".verdict span"]["height"] < 40
        right = box["article"]["x"] + box["article"]["width"]
        assert all(b["x"] + b["width"] <= right for n, b in box.items() if n not in (".door",))
        assert box[".use"]["y"] + box[".use"]["height"] + 6 < box[".door"]["y"]
    page.close()


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_where_nobody_can_be_asked_the_page_says_what_to_run(browser: Any, tmp_path: Path) -> None:
    page = open_widget(browser.new_page(), tmp_path, advice="melnb run 04_predict first")
    assert page.locator("input").count() == 0
    assert "melnb run 04_predict first" in page.locator("section").inner_text()
    page.close()
