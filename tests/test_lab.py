"""The notebooks by hand: each opened in JupyterLab, all cells run, as a person would."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from melnb.params import catalogue
from melnb.tables import documents

HERE = Path(__file__).parents[1]
FINISHED = {
    "01_explore": "demo", "02_prepare": "demo", "02b_audit": "demo",
    "02c_segment_train": "demo/fold0",
    "02d_segment_apply": "demo", "03_train": "demo/fold0", "03b_find_lr": "demo",
    "03c_metadata": "demo", "03d_embed": "demo", "04_predict": "demo", "04b_pseudo_label": "demo",
    "04c_look": "demo", "05_ensemble": "demo",
    "05b_ablation": "demo", "06_report": "demo", "06b_explain": "demo", "06c_choose": "demo",
    "06d_external": "demo", "06e_robustness": "demo",
}  # fmt: skip
ELSEWHERE = (
    ("02_prepare", "dataset=demo-elsewhere", "rows=60", "seed=1"),
    ("04_predict", "dataset=demo-elsewhere", "run=demo-elsewhere", "train_run=demo"),
)
IDLE = """() => {
  const book = window.jupyterapp?.shell.currentWidget;
  return book?.sessionContext?.session?.kernel?.status === "idle";
}"""
# The last code cell has its number when it has run; an error before it leaves it without one.
ENDED = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
  const codes = Array.from(cells).filter(cell => cell.type === "code");
  const failed = codes.some(c => Array.from({length: c.outputs.length}, (_, k) => c.outputs.get(k))
    .some(o => o.type === "error"));
  return failed || codes.at(-1).executionCount !== null;
}"""
CHANGED = "before => document.querySelector('.melnb-masks').dataset.shown !== before"

pytestmark = pytest.mark.browser


@pytest.mark.xdist_group("demo")
def test_notebooks_with_widgets_run_in_jupyterlab_and_the_widgets_move(
    demo: Path, browser: Any, serve_lab: Callable[..., str], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(demo, project, copy_function=os.link)
    address = serve_lab(project / "notebooks", MELNB_ROOT=str(project))
    for stage, check in WIDGETS.items():
        (project / "outputs" / stage / "demo" / "run.json").unlink()
        page = run_in_lab(browser, address, stage)
        assert documents.read_run(project / "outputs" / stage / "demo")["stage"] == stage
        check(page)
        page.close()


@pytest.mark.nightly
def test_every_notebook_runs_in_jupyterlab(
    browser: Any, serve_lab: Callable[..., str], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(HERE / "notebooks", project / "notebooks")
    shutil.copytree(HERE / "params", project / "params")
    address = serve_lab(project / "notebooks", MELNB_ROOT=str(project))
    for stage, run in FINISHED.items():
        page = run_in_lab(browser, address, stage)
        record = documents.read_run(project / "outputs" / stage / run)
        assert record["stage"] == stage
        if stage == "02c_segment_train":  # a network for each fold
            for fold in (1, 2):
                trained = project / "outputs" / stage / "demo"
                shutil.copytree(trained / "fold0", trained / f"fold{fold}")
        if stage == "03_train":  # two seeds of two techniques, for 05b_ablation to compare
            for name in ("demo-s0", "demo-focal-s0"):
                trained = project / "outputs" / "03_train"
                shutil.copytree(trained / "demo", trained / name)
        if stage == "06c_choose":  # other patients, for 06d_external to be judged on
            for words in ELSEWHERE:
                command = [sys.executable, "-m", "melnb", "run", *words]
                subprocess.run(command, env={**os.environ, "MELNB_ROOT": str(project)}, check=True)
        WIDGETS.get(stage, lambda page: None)(page)
        page.close()
    assert list(FINISHED) == list(catalogue.STAGES)


def run_in_lab(browser: Any, address: str, stage: str) -> Any:
    """Open a notebook, run all its cells, and return the page when the last is done."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(f"{address}/lab/tree/{stage}.ipynb?reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    page.wait_for_function(IDLE)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(ENDED)
    return page


def check_masks(page: Any) -> None:
    """Move the threshold of the masks, and see what is said of them follow."""
    explorer = page.locator(".melnb-masks").first
    explorer.scroll_into_view_if_needed()
    explorer.locator("input[type=range]").first.focus()
    before = explorer.get_attribute("data-shown")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(CHANGED, arg=before)


def check_explorer(page: Any) -> None:
    """Move the threshold by the keyboard, and see curve and counts follow."""
    explorer = page.locator(".melnb-threshold").first
    explorer.scroll_into_view_if_needed()
    slider = explorer.get_by_label("Threshold", exact=True)
    slider.focus()
    before = explorer.locator(".confusion").inner_text(), explorer.locator("svg").first.inner_html()
    for _ in range(25):
        page.keyboard.press("ArrowRight")
    after = explorer.locator(".confusion").inner_text(), explorer.locator("svg").first.inner_html()
    assert before[0] != after[0]
    assert before[1] != after[1]


WIDGETS: dict[str, Callable[[Any], None]] = {
    "02d_segment_apply": check_masks,
    "06_report": check_explorer,
    "06c_choose": check_explorer,
}
