"""A notebook run headless and exported shows its figures without a network."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from melnb.display import theme

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

CELLS = (
    "import pandas as pd\nfrom melnb.display import theme\n"
    "from melnb.display.plots import training\ntheme.use_theme()",
    "table = pd.DataFrame({'epoch': [0, 1], 'learning_rate': [1.0, 2.0]})\n"
    "training.schedule_table(table, title='First')",
    "training.schedule_table(table, title='Second')",
)


def test_figures_of_an_exported_notebook_are_there_offline(browser: Any, tmp_path: Path) -> None:
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}},
    )
    path = tmp_path / "book.ipynb"
    nbformat.write(book, path)
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", str(path)]
    patient = "--ExecutePreprocessor.startup_timeout=600"
    subprocess.run([*command, patient], check=True, capture_output=True)
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.with_suffix(".html").as_uri())
    page.wait_for_selector(".gtitle >> text=Second")
    assert page.locator(".gtitle").all_text_contents() == ["First", "Second"]
    colours = (
        "[...document.querySelectorAll('.plotly-graph-div')].map((f) => f._fullLayout.colorway)"
    )
    assert page.evaluate(colours) == [list(theme.SERIES)] * 2
    context.close()
