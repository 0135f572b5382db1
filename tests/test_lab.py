"""The notebooks by hand: each opened in JupyterLab, all cells run, as a person would."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from melnb import params, runs

HERE = Path(__file__).parents[1]
FINISHED = {
    "01_explore": "demo", "02_prepare": "demo", "02c_segment_train": "demo/fold0",
    "02d_segment_apply": "demo", "03_train": "demo/fold0", "03b_find_lr": "demo",
    "03c_metadata": "demo", "04_predict": "demo", "04b_pseudo_label": "demo", "05_ensemble": "demo",
    "05b_ablation": "demo", "06_report": "demo", "06b_explain": "demo", "06c_choose": "demo",
    "06d_external": "demo",
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

pytestmark = [pytest.mark.browser, pytest.mark.nightly]


def test_every_notebook_runs_in_jupyterlab_and_the_explorer_moves(
    browser: Any, serve_lab: Callable[..., str], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(HERE / "notebooks", project / "notebooks")
    shutil.copytree(HERE / "params", project / "params")
    address = serve_lab(project / "notebooks", MELNB_ROOT=str(project))
    for stage, run in FINISHED.items():
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.goto(f"{address}/lab/tree/{stage}.ipynb?reset")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=120_000)
        page.wait_for_function(IDLE, timeout=120_000)
        page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(ENDED, timeout=400_000)
        record = runs.read_run(project / "outputs" / stage / run)
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
        if stage in ("06_report", "06c_choose"):
            check_explorer(page)
        page.close()
    assert list(FINISHED) == list(params.STAGES)


def check_explorer(page: Any) -> None:
    """Move the threshold by the keyboard, and see curve and counts follow."""
    explorer = page.locator(".melnb-threshold").first
    explorer.scroll_into_view_if_needed(timeout=60_000)
    slider = explorer.get_by_label("Threshold", exact=True)
    slider.focus()
    before = explorer.locator(".confusion").inner_text(), explorer.locator("svg").first.inner_html()
    for _ in range(25):
        page.keyboard.press("ArrowRight")
    after = explorer.locator(".confusion").inner_text(), explorer.locator("svg").first.inner_html()
    assert before[0] != after[0]
    assert before[1] != after[1]
