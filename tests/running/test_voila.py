"""The threshold explorer on a page of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from melnb.running import voila
from melnb.runs import store
from melnb.tables import documents

HERE = Path(__file__).parents[2]


@pytest.fixture
def report(make_report: Callable[[Path], Path], tmp_path: Path) -> Path:
    return make_report(tmp_path)


def melnb(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "melnb", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=HERE)


def test_a_report_is_found_by_its_folder_or_its_name(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELNB_ROOT", str(report.parents[2]))
    monkeypatch.chdir(report.parents[2])
    for name in (report, "outputs/06_report/r", "06_report/r", "r"):
        assert voila.report_folder(name).samefile(report)
    with pytest.raises(FileNotFoundError, match=r"no 06_report/none in .*: run 06_report first"):
        voila.report_folder("none")
    other = store.open_run("05_ensemble", "e", parameters={}).finish({})
    with pytest.raises(ValueError, match="is a run of 05_ensemble: name one of 06_report"):
        voila.report_folder(other)


def test_the_copy_has_the_reports_names_and_shows_the_explorer_alone(
    report: Path, tmp_path: Path
) -> None:
    path = voila.write_notebook(report, tmp_path / "copy.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    assert {cell.cell_type for cell in cells} == {"code"}
    shown = [cell.source for cell in cells if not cell.source.endswith("\nNone")]
    assert shown == ["explorer.view()", "drop.view()"]
    injected = next(c.source for c in cells if "injected-parameters" in c.metadata.tags)
    assert f'outputs = "{report.parents[1]}"' in injected
    assert 'report = "r"' in injected


def test_an_earlier_choice_keeps_its_parameters_and_another_reports_keeps_its_place(
    report: Path, tmp_path: Path
) -> None:
    values = {"run": "r", "report": "r", "groups": ["sex"], "picture_size": 48}
    where = {"outputs": report.parents[1]}
    before = store.open_run("06c_choose", "r", parameters=values, **where).finish({})
    path = voila.write_notebook(report, tmp_path / "copy.ipynb")
    injected = nbformat.read(path, as_version=4).cells[1].source
    assert 'groups = ["sex"]\npicture_size = 48' in injected
    store.open_run("06c_choose", "r", parameters=values | {"report": "q"}, **where).finish({})
    with pytest.raises(ValueError, match=r"06c_choose/r is a choice for the report 'q'.* --run"):
        voila.write_notebook(report, tmp_path / "copy.ipynb")
    path = voila.write_notebook(report, tmp_path / "copy.ipynb", run="mine")
    assert 'run = "mine"' in nbformat.read(path, as_version=4).cells[1].source
    assert documents.read_run(before)["parameters"]["report"] == "q", "it is as it was"


def test_without_voila_the_extra_is_named(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'melnb\[lab\]'"):
        voila.serve(report)


def test_a_browser_is_told_the_address_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    voila._open("http://127.0.0.1:1/secret/", tmp_path / "page.html")
    assert opened == [(tmp_path / "page.html").as_uri()], "its command line all can read"
    assert "url=http://127.0.0.1:1/secret/" in (tmp_path / "page.html").read_text()


def test_a_voila_that_ends_is_told(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho no room >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(RuntimeError, match=r"Voila ended \(3\): no room"):
        voila.serve(report, open_browser=False)


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
    assert "operating_point.json is not what this run wrote" in again.stdout, again.stderr
    assert json.loads(file.read_text())["threshold"] == 0.7
    assert "is up to date" in melnb(*words).stdout
