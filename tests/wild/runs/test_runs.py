"""What lies under outputs/ and is not as it was written: named, passed by, and made anew."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from melnb.params import catalogue
from melnb.running import pipeline, status, up_to_date
from melnb.running.voila import report_folder
from melnb.runs import lookup, store
from melnb.runs.folders import damage
from melnb.tables import documents

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
ANEW = "run its stage again, which makes it anew"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two finished runs, of which the second has read the first."""
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/06_report.ipynb").write_text('{"cells": []}')
    store.open_run("02_prepare", "d", parameters=catalogue.Prepare(dataset="d").plain()).finish({})
    second = store.open_run("06_report", "r", parameters=catalogue.Report(run="r").plain())
    second.reads(tmp_path / "outputs/02_prepare/d")
    second.finish({"auc": 0.5})
    return tmp_path


def record(content: str | bytes) -> Callable[[Path], Path]:
    """Return what makes a damaged record of the first run."""

    def make(folder: Path) -> Path:
        path = folder / "outputs/02_prepare/d/run.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path.parent

    return make


def changed(**values: Any) -> Callable[[Path], Path]:
    """Return what makes a record whose values are others; None: without them."""

    def make(folder: Path) -> Path:
        path = folder / "outputs/02_prepare/d/run.json"
        whole = json.loads(path.read_text()) | values
        path.write_text(json.dumps({k: v for k, v in whole.items() if v is not None}))
        return path.parent

    return make


DAMAGED = {
    "empty": (record(""), "it is empty"),
    "zeros after a loss of power": (record(b"\0" * 512), "it is empty"),
    "cut": (record('{"stage": "02_pre'), "no JSON: Unterminated string"),
    "a list": (record("[]"), "it holds a list"),
    "a text": (record('"done"'), "it holds a str"),
    "null": (record("null"), "it is empty"),
    "another program's": (record('{"status": "FINISHED", "run_id": 1}'), "it has no 'stage'"),
    "a pointer of Git LFS": (record(LFS), "no JSON"),
    "an HTML page": (record("<!DOCTYPE html><html>"), "no JSON"),
    "a conflict of git": (record('<<<<<<< HEAD\n{"stage": "a"}\n=======\n{}'), "no JSON"),
    "bytes that are no text": (record(b"\x89PNG\r\n\x1a\n\xff\xfe"), "no JSON"),
    "brackets without end": (record("[" * 99999), "no JSON: its brackets are too deep"),
    "a younger or older melnb's": (changed(inputs=None), "it has no 'inputs'"),
    "files are a number": (changed(files=3), "files is 3, not a valid list"),
    "files without sizes": (changed(files=[{"path": "a"}]), r"files\[0\] has no 'bytes'"),
    "inputs are texts": (changed(inputs=["a"]), r"inputs\[0\] is 'a', not a valid dict"),
    "started at no time": (changed(started="yesterday"), "started is 'yesterday', no time"),
    "seconds are a word": (changed(seconds="3 s"), r"seconds is '3 s', not a valid number"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_record_is_named_with_the_remedy(name: str, try_odd_file: Any) -> None:
    make, problem = DAMAGED[name]
    try_odd_file(make, documents.read_run, [r"02_prepare/d/run\.json is damaged", problem, ANEW])


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_record_stops_nothing_but_its_own_run(name: str, root: Path) -> None:
    make, problem = DAMAGED[name]
    path = make(root) / "run.json"
    rows = {row.job: row for row in status.read_board(root / "outputs")}
    assert rows["02_prepare/d"].state == "damaged"
    assert re.search(f"{path}: {problem}", rows["02_prepare/d"].note)
    assert "will be made anew" in rows["02_prepare/d"].note
    assert rows["06_report/r"].state == "changed", "it is shown, and has read the other"
    assert re.search(r"^outputs/02_prepare/d is damaged .*\(AUC 0\.5\)$", rows["06_report/r"].note)
    assert up_to_date.why_stale(catalogue.Prepare(dataset="d")).startswith(f"damaged ({path}: ")
    stale = up_to_date.why_stale(catalogue.Report(run="r"))
    assert stale.startswith("outputs/02_prepare/d is damaged (")


def test_a_record_that_an_editor_saved_is_read(root: Path) -> None:
    path = root / "outputs/02_prepare/d/run.json"
    text = path.read_text()
    for codec in ("utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(codec))
        assert documents.read_run(path.parent)["stage"] == "02_prepare"


def lineage(folder: Path) -> Any:
    return lookup.lineage(["06_report/r"])


def planned(folder: Path) -> Any:
    plan = folder.parents[2] / "a.yaml"
    plan.write_text("stages: [{03_train: {with: {dataset: d}}}]")
    return pipeline.read_pipeline(plan)


def input_of_another(folder: Path) -> Any:
    run = store.open_run("03_train", "a", parameters={})
    return run.reads(folder)


READERS = {
    "a lineage": lineage,
    "a pipeline that needs it": planned,
    "a run that reads it": input_of_another,
    "the dashboard": report_folder,
}


@pytest.mark.parametrize("reader", READERS)
def test_whoever_needs_a_damaged_record_is_told_its_name(reader: str, try_odd_file: Any) -> None:
    words = [r"02_prepare/d/run\.json is damaged \(it is empty\)", ANEW]
    try_odd_file(record(""), READERS[reader], words)


def test_a_record_in_another_stages_folder_is_not_taken_for_its_own(root: Path) -> None:
    outputs = root / "outputs"
    (outputs / "03_train").mkdir()
    (outputs / "02_prepare/d").rename(outputs / "03_train/d")
    row = next(row for row in status.read_board(outputs) if row.job == "03_train/d")
    assert row.state == "damaged"
    assert "run.json: it is of 02_prepare: will be made anew" in row.note


def failed(content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "outputs/06_report/r.failed.ipynb"
        path.write_text(content)
        os.utime(path, (2e9, 2e9))  # after the run that is there
        return folder / "outputs"

    return make


def shown(words: str, job: str = "06_report/r") -> Callable[[Any], None]:
    def outcome(rows: list[status.Row]) -> None:
        notes = {row.job: f"{row.state} {row.note}" for row in rows}
        assert words in notes[job]
        assert "02_prepare/d" in notes

    return outcome


def claim(content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        begun = folder / "outputs/03_train/a/fold0.partial"
        begun.mkdir(parents=True)
        (begun / "parameters.json").write_text(content)
        return folder / "outputs"

    return make


def notebook(content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "notebook.ipynb").write_text(content)
        return folder / "notebook.ipynb"

    return make


def state(content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "fold0.json").write_text(content)
        return folder / "fold0.json"

    return make


def read_states(path: Path) -> list[status.Row]:
    return [status.read_state(path, "06_report/r"), status.Row("02_prepare/d")]


def another_programs(folder: Path) -> Path:
    path = folder / "outputs/wandb/run-1/run.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"status": "FINISHED"}')
    return folder / "outputs"


FAILED = "03_train/a/fold0"
CASES: dict[str, tuple[Any, Any, Any]] = {
    "an empty notebook of a failed run": (
        failed(""), status.read_board, shown("r.failed.ipynb is damaged (it is empty)"),
    ),
    "a cut notebook of a failed run": (
        failed('{"cells": [{"cell_type'), status.read_board, shown("r.failed.ipynb is damaged (no"),
    ),
    "a failed run's notebook that is none": (
        failed('{"cells": [3]}'), status.read_board, shown("cells[0] is 3, not a valid dict"),
    ),
    "a run of another program": (
        another_programs, status.read_board, shown("no run of melnb's, move it", "wandb/run-1"),
    ),
    "an empty claim": (
        claim(""), status.read_board, shown("parameters.json is damaged (it is empty)", FAILED),
    ),
    "a cut claim": (
        claim('{"parameters": {"a'), status.read_board, shown("will begin anew", FAILED),
    ),
    "a claim that is a list": (
        claim("[1]"), status.read_board, shown("it holds a list", FAILED),
    ),
    "a claim whose parameters are a list": (
        claim('{"parameters": []}'), status.read_board,
        shown("parameters is [], not a valid dict", FAILED),
    ),
    "an empty notebook": (
        notebook(""), up_to_date.code_of,
        [r"notebook\.ipynb is damaged", "empty", "from git again"],
    ),
    "a notebook of 2014, in worksheets": (
        notebook('{"worksheets": []}'), up_to_date.code_of, ["it has no 'cells'", "again"],
    ),
    "an empty state of a job": (state(""), read_states, shown("fold0.json is damaged")),
    "a job's state without a clock": (
        state('{"state": "done", "note": ""}'), read_states, shown("fold0.json is damaged"),
    ),
    "a job's state whose clock is a word": (
        state('{"state": "done", "note": "", "started": "x", "seconds": 1}'),
        read_states, shown("fold0.json is damaged"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_odd_files_of_runs(name: str, try_odd_file: Any) -> None:
    try_odd_file(*CASES[name])


@pytest.mark.parametrize("content", ["", "[1]", '{"parameters": 3}', '{"parameters": {"a'])
def test_a_run_begins_anew_where_nobody_knows_whose_files_lie_there(
    content: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim(content)(root)
    final = root / "outputs/03_train/a/fold0"
    (final.with_name("fold0.partial") / "model.keras").touch()
    run = store.open_run("03_train", "a/fold0", parameters={})
    assert not run.resumed
    assert damage(final) == ""
    assert "parameters.json is damaged" in capsys.readouterr().out
    assert not (run.folder / "model.keras").exists()
    run.finish({})
