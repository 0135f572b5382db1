"""The explorer in JupyterLab: moved by the keyboard, read back in Python."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

MAKE = """
import numpy as np
import ipywidgets
from melnb.tables import schema as tables
from melnb.display.threshold.threshold_explorer import ThresholdExplorer
score = np.arange(200) / 200
truth = np.where(np.arange(200) % 7 > 4, "melanoma", "other")
values = np.column_stack([1 - score, score])
made = tables.make_predictions(
    [f"i{k}" for k in range(200)], 0, truth, values, classes=("other", "melanoma"), run="lab")
groups = made[["image_id"]].assign(sex=np.where(score < 0.4, "female", "male"))
explorer = ThresholdExplorer(
    made, threshold=0.5, groups=groups, other=made.assign(run="other"), save_to="chosen.json")
seen = ipywidgets.HTML()
explorer.observe(
    lambda _: setattr(seen, "value", "<b class=seen>%s %s%s</b>" % (
        explorer.threshold, explorer.at()["tp"].iloc[0], explorer.chosen.get("image_id", ""))),
    ["threshold", "chosen"])
"""
SHOW = "ipywidgets.VBox([explorer.view(), seen])"
READY = """() => {
  const book = window.jupyterapp?.shell.currentWidget;
  return book?.sessionContext?.session?.kernel?.status === "idle";
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("book")


@pytest.fixture(scope="module")
def lab(folder: Path, serve_lab: Callable[..., str]) -> str:
    """The address of a JupyterLab on a notebook with the explorer."""
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(MAKE), nbformat.v4.new_code_cell(SHOW)],
        metadata={"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}},
    )
    nbformat.write(book, folder / "book.ipynb")
    return serve_lab(folder)


@pytest.fixture
def book(browser: Any, lab: str) -> Iterator[Any]:
    """The notebook, run to its end."""
    page = browser.new_page(viewport={"width": 1300, "height": 1100})
    page.goto(f"{lab}/lab/tree/book.ipynb?reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    page.wait_for_function(READY)
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".melnb-threshold")
    yield page
    page.close()


def test_the_keyboard_moves_the_slider_and_python_reads_it(book: Any) -> None:
    cells = book.locator(".jp-Cell").count()
    slider = book.get_by_label("Threshold", exact=True)
    slider.focus()
    for _ in range(20):
        book.keyboard.press("ArrowRight")
    book.wait_for_selector(".seen:has-text('0.52')")
    found = book.locator(".confusion td.tp b").text_content()
    assert book.locator(".seen").text_content() == f"0.52 {found}"
    assert slider.evaluate("e => e === document.activeElement"), "JupyterLab took no key"
    book.keyboard.press("b")  # in command mode it would add a cell
    assert book.locator(".jp-Cell").count() == cells


def test_the_button_writes_and_a_click_is_read_back(book: Any, folder: Path) -> None:
    book.get_by_label("Threshold, typed").fill("0.31")
    book.get_by_label("Threshold, typed").press("Enter")
    book.get_by_role("button", name="Write this operating point").click()
    book.wait_for_selector(".saving:has-text('Written to chosen.json')")
    assert json.loads((folder / "chosen.json").read_text())["threshold"] == 0.31
    (folder / "chosen.json").write_text("somebody's")
    save, no = (book.get_by_role("button", name=name) for name in ("Write this", "No, keep it"))
    save.click()
    no.click()
    assert no.is_hidden()
    assert (folder / "chosen.json").read_text() == "somebody's"
    save.click()
    book.get_by_role("button", name="Yes, replace it").click()
    book.wait_for_selector(".saving:has-text('Written to chosen.json')")
    assert json.loads((folder / "chosen.json").read_text())["threshold"] == 0.31
    clicked = book.locator(".tile .id").first.text_content()
    book.locator(".tile").first.click()
    book.wait_for_selector(f".seen:has-text('{clicked}')")
