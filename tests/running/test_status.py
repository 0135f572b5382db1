import io
import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from melnb.running.status import Board, Row, main_result, read_board, read_state, result_text, table
from melnb.runs import store
from melnb.runs.folders import write_json


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MELNB_ROOT", str(tmp_path))
    return tmp_path


def write_failed(path: Path) -> None:
    error = {"output_type": "error", "ename": "ValueError", "evalue": "bad", "traceback": []}
    cell = {"cell_type": "code", "source": "x", "execution_count": 3, "outputs": [error],
            "metadata": {}}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [cell]}))


def test_every_run_is_shown_in_its_state(root: Path) -> None:
    outputs = root / "outputs"
    assert read_board(outputs) == []
    done = store.open_run("02_prepare", "d", parameters={})
    (done.folder / "records").mkdir()
    done.finish({"note": "fine", "images": 600})
    store.open_run("03_train", "r/fold0", parameters={}).finish({"auc": 0.81234})
    begun = store.open_run("03_train", "r/fold1", parameters={})
    (outputs / "03_train/r/fold2.partial").mkdir()
    write_failed(outputs / "03_train/r/fold3.failed.ipynb")
    write_failed(outputs / "03_train/r/fold0.failed.ipynb")
    os.utime(outputs / "03_train/r/fold0.failed.ipynb", (0, 0))  # it was mended since
    (outputs / ".pipeline/x/marks/03_train/r").mkdir(parents=True)
    board = {row.job: row for row in read_board(outputs)}
    assert {job: row.state for job, row in board.items()} == {
        "02_prepare/d": "done",
        "03_train/r/fold0": "done",
        "03_train/r/fold1": "running",
        "03_train/r/fold2": "unfinished",
        "03_train/r/fold3": "failed",
    }
    assert board["02_prepare/d"].note == "images 600"
    assert board["03_train/r/fold0"].note == "AUC 0.8123"
    assert board["03_train/r/fold1"].note == "by this process"
    assert "In [3]: ValueError: bad" in board["03_train/r/fold3"].note
    assert str(outputs / "03_train/r/fold3.failed.ipynb") in board["03_train/r/fold3"].note
    begun.finish({})


def test_runs_behind_a_link_are_shown_once(root: Path) -> None:
    store.open_run("03_train", "r/fold0", parameters={}).finish({"auc": 0.8})
    (root / "disk").mkdir()
    (root / "outputs/03_train").rename(root / "disk/03_train")
    (root / "outputs/03_train").symlink_to(root / "disk/03_train")
    (root / "disk/03_train/back").symlink_to(root / "outputs")
    assert [row.job for row in read_board(root / "outputs")] == ["03_train/r/fold0"]


def test_a_run_whose_kernel_holds_nothing_yet_is_starting(root: Path) -> None:
    (root / "outputs/03_train/r/fold0.partial").mkdir(parents=True)
    with FileLock(root / "outputs/03_train/r/.fold0.launch.lock"):
        ((row),) = read_board(root / "outputs")
        assert (row.state, row.note) == ("starting", "by another process")
    ((row),) = read_board(root / "outputs")
    assert (row.state, row.note) == ("unfinished", "run it again to go on")


def test_limits_stand_beside_a_number() -> None:
    area = {"auc": 0.5, "auc_low": 0.4, "auc_high": 0.61}
    assert main_result(area) == "AUC 0.500 (0.400-0.610)"
    change = {"gain": 0.01, "gain_low": -0.02, "gain_high": 0.04}
    assert result_text(change, "gain") == "0.010 (-0.020 to 0.040)"
    assert result_text({"slope": 1.25, "slope_low": 0.8, "slope_high": 1.7}, "slope") == (
        "1.25 (0.8-1.7)"
    )
    assert result_text({"auc": None, "auc_low": None}, "auc") == "not estimable"


def test_the_main_result_is_the_first_number() -> None:
    assert (
        main_result({"best": "x", "ok": True, "undefined": None, "auc": 0.5, "n": 3}) == "AUC 0.5"
    )
    assert main_result({}) == ""


def test_a_table_is_aligned_cut_and_coloured() -> None:
    rows = [
        Row("a/b", "done", 61.25, "auc 0.5"),
        Row("a/longer", "failed", 7200.0, "a/longer failed at In [3]\nsee x"),
        Row("c", "up to date", 99 * 60 + 50, when="2026-01-02 03:04"),
    ]
    assert table(rows) == [
        "a/b       done          61.2 s  auc 0.5",
        "a/longer  failed      2 h 00 m  failed at In [3]",
        "c         up to date  2026-01-02 03:04  1 h 40 m",
    ]
    assert table(rows, width=14)[1] == "a/longer  fail"
    assert table(rows[:1], colour=True)[0].startswith("a/b  \x1b[32mdone\x1b[0m  ")
    assert table(rows[:1], job_width=6)[0].startswith("a/b     done")
    assert table([]) == []


def test_a_pipe_gets_a_line_for_each_change() -> None:
    stream = io.StringIO()
    board = Board(stream)
    board.show([Row("a"), Row("bb")])
    board.show([Row("a", "running", 0.1), Row("bb")])
    board.show([Row("a", "running", 0.4), Row("bb")])
    board.show([Row("a", "done", 0.5), Row("bb", "running", 0.1)])
    assert [line.split()[:2] for line in stream.getvalue().splitlines()] == [
        ["a", "running"], ["a", "done"], ["bb", "running"],
    ]  # fmt: skip
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_is_redrawn_in_place() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    board = Board(stream)
    board.show([Row("a"), Row("b")])
    first = stream.getvalue()
    board.show([Row("a", "done", 1.0), Row("b")])
    assert "\x1b[2A" not in first
    assert stream.getvalue().removeprefix(first).startswith("\x1b[2A\x1b[2Ka")


def test_a_running_jobs_clock_goes_on(tmp_path: Path) -> None:
    assert read_state(tmp_path / "none.json", "a") == Row("a")
    state = {"state": "running", "note": "", "started": 0.0, "seconds": 0.0}
    assert (read_state(write_json(state, tmp_path / "s.json"), "a").seconds or 0) > 1e9
    write_json(state | {"state": "done", "seconds": 2.5, "note": "auc 1"}, tmp_path / "s.json")
    assert read_state(tmp_path / "s.json", "a") == Row("a", "done", 2.5, "auc 1")
