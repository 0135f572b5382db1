"""The threshold explorer on a page of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from melnb import dashboard, params, runs, tables

HERE = Path(__file__).parents[1]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A finished report of two files of predictions, both of nobody's pictures."""
    draw = np.random.default_rng(0)
    truth = draw.random(300) < 0.3
    for run in ("one", "two"):
        score = 1 / (1 + np.exp(1 - draw.normal(size=300) - 2 * truth))
        table = tables.make_predictions(
            [f"i{k}" for k in range(300)], np.arange(300) % 3, np.where(truth, "melanoma", "other"),
            np.column_stack([1 - score, score]), classes=("other", "melanoma"), run=run,
        )  # fmt: skip
        tables.write_predictions(table, tmp_path / f"{run}.csv")
    files = [str(tmp_path / "one.csv"), str(tmp_path / "two.csv")]
    values = params.Report(run="r", predictions=files, dataset="").plain()
    run = runs.open_run("06_report", "r", parameters=values, outputs=tmp_path / "outputs")
    return run.finish({"threshold": 0.4, "prevalence": 0.3})


def melnb(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "melnb", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=HERE)


def test_a_report_is_found_by_its_folder_or_its_name(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELNB_ROOT", str(report.parents[2]))
    monkeypatch.chdir(report.parents[2])
    for name in (report, "outputs/06_report/r", "06_report/r", "r"):
        assert dashboard.report_folder(name).samefile(report)
    with pytest.raises(FileNotFoundError, match=r"no 06_report/none in .*: run 06_report first"):
        dashboard.report_folder("none")
    other = runs.open_run("05_ensemble", "e", parameters={}).finish({})
    with pytest.raises(ValueError, match="is a run of 05_ensemble: name one of 06_report"):
        dashboard.report_folder(other)


def test_the_copy_has_the_reports_names_and_shows_the_explorer_alone(
    report: Path, tmp_path: Path
) -> None:
    path = dashboard.write_notebook(report, tmp_path / "copy.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    assert {cell.cell_type for cell in cells} == {"code"}
    shown = [cell.source for cell in cells if not cell.source.endswith("\nNone")]
    assert shown == ["explorer.view()"]
    injected = next(c.source for c in cells if "injected-parameters" in c.metadata.tags)
    assert f'outputs = "{report.parents[1]}"' in injected
    assert 'report = "r"' in injected


def test_without_voila_the_extra_is_named(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'melnb\[lab\]'"):
        dashboard.serve(report)


def test_a_voila_that_ends_is_told(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho no room >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(RuntimeError, match=r"Voila ended \(3\): no room"):
        dashboard.serve(report, open_browser=False)


def test_headless_the_reports_threshold_is_written_until_somebody_moves_it(report: Path) -> None:
    words = ("run", "06c_choose", "run=r", "report=r", f"outputs={report.parents[1]}")
    done = melnb(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    home = report.parents[1] / "06c_choose" / "r"
    file = home / "operating_point.json"
    written = json.loads(file.read_text())
    assert (written["threshold"], written["run"], written["n"]) == (0.4, "one", 300)
    outputs = json.dumps(nbformat.read(home / "notebook.ipynb", as_version=4).cells)
    assert "Operating point: threshold 0.4" in outputs, "the static figure"
    assert "application/vnd.jupyter.widget-view+json" in outputs
    assert "is up to date" in melnb(*words).stdout
    file.write_text(json.dumps(written | {"threshold": 0.7, "at": 0.7}))
    again = melnb(*words)
    assert "operating_point.json is changed" in again.stdout, again.stderr
    assert json.loads(file.read_text())["threshold"] == 0.7
    assert "is up to date" in melnb(*words).stdout


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_voila_serves_the_explorer_whose_button_writes(browser: Any, report: Path) -> None:
    command = [sys.executable, "-u", "-m", "melnb", "explore", str(report), "--no-browser"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=HERE, env={**os.environ}
    )
    assert server.stdout is not None
    try:
        address = server.stdout.readline().split()[1]
        assert address.startswith("http://127.0.0.1:")
        wait_for(address)
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.goto(address)
        page.wait_for_selector(".melnb-threshold")
        assert page.locator("pre, .dataframe").count() == 0, "neither code nor other outputs"
        told = ".confusion td b, .facts dd, .pair td.difference"
        before = page.locator(told).all_text_contents()
        page.get_by_label("Threshold", exact=True).focus()
        for _ in range(50):
            page.keyboard.press("ArrowRight")
        after = page.locator(told).all_text_contents()
        assert sum(a != b for a, b in zip(after, before, strict=True)) > 12
        page.get_by_role("button", name="Write this operating point").click()
        page.wait_for_selector(".saving:has-text('Written to')")
        typed = float(page.get_by_label("Threshold, typed").input_value())
        page.close()
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(600) == 0
        server.stdout.close()
    file = report.parents[1] / "06c_choose" / "r" / "operating_point.json"
    assert json.loads(file.read_text())["threshold"] == pytest.approx(typed) != 0.4
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)


def wait_for(address: str) -> None:
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{address}/voila/static/none", timeout=60).close()
        except urllib.error.HTTPError:
            return  # it answers, if only that there is no such thing
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail("Voila did not start")
