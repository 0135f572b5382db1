import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from melnb.params import catalogue
from melnb.running import kernels as launcher
from melnb.running.stage import LaunchError, launch, read_failure
from melnb.running.status import read_board
from melnb.runs import store
from melnb.tables import documents

Rewrite = Callable[[str, str, str], None]
Kernels = Callable[[], list[str]]
EXPLORE = catalogue.Explore(dataset="d")
END = "len(words)})"  # of the cell that finishes the run


def test_a_notebook_runs_once(project: Path, kernels: Kernels) -> None:
    said: list[str] = []
    folder = launch("01_explore", parameters=EXPLORE, say=said.append)
    assert folder == project / "outputs/01_explore/d"
    assert sorted(p.name for p in folder.iterdir()) == ["notebook.ipynb", "out.txt", "run.json"]
    assert launch("01_explore", parameters=EXPLORE, say=said.append) == folder
    assert kernels() == ["d"]
    assert said == ["01_explore/d: never run, running 01_explore.ipynb",
                    "01_explore/d is up to date"]  # fmt: skip
    launch("01_explore", parameters=EXPLORE, force=True, say=said.append)
    assert kernels() == ["d"]
    assert "forced" in said[-1]


def test_a_failure_says_where_and_keeps_the_notebook_and_the_older_run(
    project: Path, kernels: Kernels
) -> None:
    folder = launch("01_explore", parameters=EXPLORE)
    with pytest.raises(LaunchError, match="unlucky number") as caught:
        launch("01_explore", parameters=catalogue.Explore(dataset="d", seed=13))
    error = caught.value
    assert (error.stage, error.run) == ("01_explore", "d")
    assert error.notebook == project / "outputs/01_explore/d.failed.ipynb"
    assert error.failure is not None
    assert error.failure.cell == 5
    assert error.failure.heading == "The work"
    assert error.failure.error == "AssertionError: unlucky number"
    assert "failed at In [5], under 'The work'" in str(error)
    assert str(error.notebook) in str(error)
    assert documents.read_run(folder)["parameters"]["seed"] == 0
    assert not folder.with_name("d.running.ipynb").exists()
    launch("01_explore", parameters=catalogue.Explore(dataset="d", seed=14))
    assert not error.notebook.exists()


def test_a_notebook_that_finishes_no_run_has_failed(kernels: Kernels, rewrite: Rewrite) -> None:
    launch("01_explore", parameters=EXPLORE)
    rewrite("01_explore", "done = run.finish", "done = dict")
    with pytest.raises(LaunchError, match=r"without finishing its run: call its finish"):
        launch("01_explore", parameters=EXPLORE)


@pytest.mark.parametrize("content", ["", "[]", '{"stage": "01_'])
def test_a_run_whose_record_is_damaged_is_made_anew(
    project: Path, kernels: Kernels, content: str
) -> None:
    folder, said = launch("01_explore", parameters=EXPLORE), list[str]()
    (folder / "run.json").write_text(content)
    assert launch("01_explore", parameters=EXPLORE, say=said.append) == folder
    assert kernels() == ["d", "d"]
    assert f"damaged ({folder / 'run.json'}: " in said[0]
    assert "will be made anew" in said[0]
    assert documents.read_run(folder)["stage"] == "01_explore"


def test_wrong_parameters_start_nothing(project: Path, kernels: Kernels) -> None:
    with pytest.raises(
        catalogue.ParameterError, match="03_train was given the parameters of 01_expl"
    ):
        launch("03_train", parameters=EXPLORE)
    assert kernels() == []
    assert not (project / "outputs").exists()


def test_two_launches_of_one_run_are_refused(project: Path, kernels: Kernels) -> None:
    (project / "outputs/01_explore").mkdir(parents=True)
    with (
        FileLock(project / "outputs/01_explore/.d.launch.lock"),
        pytest.raises(LaunchError, match=r"being run by another process(.|\n)*d\.running\.ipynb"),
    ):
        launch("01_explore", parameters=EXPLORE)
    held = store.open_run("01_explore", "d", parameters={})
    with pytest.raises(LaunchError, match="being written by this process"):
        launch("01_explore", parameters=EXPLORE)
    assert kernels() == []
    held.finish({})


def test_a_job_may_wait_for_another_process(project: Path, kernels: Kernels) -> None:
    folder = launch("01_explore", parameters=EXPLORE)
    held, released = threading.Event(), []

    def hold() -> None:
        with FileLock(folder.with_name(".d.launch.lock")):
            held.set()
            time.sleep(0.3)
            released.append(True)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    assert launch("01_explore", parameters=EXPLORE, wait=True) == folder
    assert released
    assert kernels() == ["d"]
    other.join()


def test_a_launcher_killed_at_the_very_end_loses_no_notebook(
    project: Path, kernels: Kernels
) -> None:
    folder = launch("01_explore", parameters=EXPLORE)
    running = folder.with_name("d.running.ipynb")
    (folder / "notebook.ipynb").replace(running)
    os.utime(running, (0, 0))  # saved before the run was opened, and never again
    launch("01_explore", parameters=EXPLORE)
    assert (folder / "notebook.ipynb").exists()
    assert not running.exists()
    older = json.loads((folder / "notebook.ipynb").read_text())
    older["metadata"]["melnb"]["launch"] = "another"
    for text in (json.dumps(older), "{}", ""):
        (folder / "notebook.ipynb").unlink(missing_ok=True)
        running.write_text(text)
        launch("01_explore", parameters=EXPLORE)
        assert not (folder / "notebook.ipynb").exists()
    assert len(kernels()) == 1


def test_an_interrupted_notebook_is_read_by_its_last_cell_begun(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "## Fit"], "metadata": {}},
        {"cell_type": "code", "source": "a", "execution_count": 1, "outputs": [],
         "metadata": {"papermill": {"start_time": "2026"}}},
        {"cell_type": "code", "source": "b", "execution_count": None, "outputs": [],
         "metadata": {"papermill": {"start_time": "2026"}}},
        {"cell_type": "markdown", "source": "## Errors", "metadata": {}},
        {"cell_type": "code", "source": "c", "execution_count": None, "outputs": [],
         "metadata": {"papermill": {"start_time": None}}},
    ]  # fmt: skip
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    assert str(read_failure(path)) == "In [2], under 'Fit': stopped before its end"


def test_a_long_error_is_cut_and_loses_its_colours(tmp_path: Path) -> None:
    text = "\x1b[31m" + "\n".join(f"line {n}" for n in range(100))
    output = {"output_type": "error", "ename": "ValueError", "evalue": text, "traceback": []}
    cell = {"cell_type": "code", "source": "", "execution_count": 2, "metadata": {}}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [cell | {"outputs": [output]}]}))
    assert read_failure(path).error.splitlines() == [
        "ValueError: line 0", "line 1", "line 2", "line 3", "line 4", "…",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MemoryError", "Unable to allocate 3 GiB"),
        ("_ArrayMemoryError", ""),
        ("ResourceExhaustedError", "OOM when allocating tensor"),
        ("XlaRuntimeError", "\n".join(["RESOURCE_EXHAUSTED: Out of memory", *"abcdefgh"])),
    ],
)
def test_an_error_for_want_of_memory_says_what_needs_less(
    name: str, text: str, tmp_path: Path
) -> None:
    output = {"output_type": "error", "ename": name, "evalue": text, "traceback": []}
    cell = {"cell_type": "code", "source": "", "execution_count": 2, "metadata": {}}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [cell | {"outputs": [output]}]}))
    lines = read_failure(path).error.splitlines()
    assert lines[0].startswith(name)
    assert lines[-1].startswith("out of memory: use a smaller batch_size or image_size")


# The rest starts real kernels, 3 s each.

LAUNCH = """
import sys
from melnb import params
from melnb.running.stage import launch
launch("01_explore", parameters=params.Explore(dataset="d", seed=int(sys.argv[1])))
"""


def test_papermill_runs_a_notebook_in_the_project(
    project: Path, rewrite: Rewrite, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite("01_explore", '{\\"auc\\":', '{\\"here\\": str(Path.cwd()), \\"auc\\":')
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    subprocess.run([sys.executable, "-W", "error", "-c", LAUNCH, "2"], check=True)
    folder = project / "outputs/01_explore/d"
    assert documents.read_run(folder)["results"] == {"here": str(project), "auc": 0.52, "read": 0}
    book = json.loads((folder / "notebook.ipynb").read_text())
    assert book["metadata"]["papermill"]["parameters"]["seed"] == 2


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (
            "os.kill(os.getpid(), 9)",
            [r"by signal 9 \(SIGKILL\), perhaps out of memory", "smaller batch_size or image_size"],
        ),
        (
            "os.write(2, b'Check failed: p != nullptr\\\\n'); os.kill(os.getpid(), 11)",
            [r"by signal 11 \(SIGSEGV\): compiled code crashed", r"in .*01_explore/d\.kernel\.log",
             "Check failed: p != nullptr", "Fatal Python error: Segmentation fault", "File .*line"],
        ),
        ("os._exit(3)", ["of its own accord, with exit code 3: a cell, or what it calls"]),
    ],
    ids=["killed", "crashed", "ended"],
)  # fmt: skip
def test_a_kernel_that_dies_says_how(
    project: Path, rewrite: Rewrite, cell: str, words: list[str]
) -> None:
    rewrite("01_explore", "assert p.seed != 13", f"import os; {cell}")
    died = r"failed at In \[6\], under 'The work': the kernel died"
    with pytest.raises(LaunchError, match=died) as caught:
        launch("01_explore", parameters=EXPLORE)
    row = read_board(project / "outputs")[0]
    for word in words:
        assert re.search(word, str(caught.value)), str(caught.value)
        assert re.search(word, row.note)
    assert row.state == "failed"
    assert (project / "outputs/01_explore/d.kernel.log").exists() == (
        "kill(os.getpid(), 11" in cell
    )


@pytest.mark.parametrize(
    ("cell", "code"),
    [("os.kill(os.getpid(), 9)", 0), ("while Path('hold').exists(): time.sleep(0.05)", 130)],
    ids=["kernel killed", "launcher told to end"],
)
def test_what_befalls_a_finished_run_does_not_undo_it(
    project: Path, rewrite: Rewrite, cell: str, code: int
) -> None:
    rewrite("01_explore", END, f"{END}\\nimport os\\n{cell}")
    (project / "hold").touch()
    folder = project / "outputs/01_explore/d"
    command = [sys.executable, "-m", "melnb", "run", "01_explore", "dataset=d"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while not (folder / "run.json").exists():
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM if code else 0)
        said = child.communicate()[0]
    assert child.returncode == code, said
    assert "01_explore/d is finished, though then" in said
    assert (folder / "notebook.ipynb").is_file()
    assert [row.state for row in read_board(project / "outputs")] == ["done"]
    again: list[str] = []
    launch("01_explore", parameters=EXPLORE, say=again.append)
    assert again == ["01_explore/d is up to date"]


def test_a_disk_that_is_full_after_the_end_undoes_nothing(
    project: Path, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = launcher.execute

    def full(*given: Any, **named: Any) -> None:
        whole(*given, **named)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    said: list[str] = []
    monkeypatch.setattr(launcher, "execute", full)
    folder = launch("01_explore", parameters=EXPLORE, say=said.append)
    assert (folder / "notebook.ipynb").is_file()
    assert "is finished, though then OSError" in said[1]
    assert launch("01_explore", parameters=EXPLORE, say=said.append) == folder
    assert kernels() == ["d"]


def test_a_cell_that_fails_after_the_end_has_failed(project: Path, rewrite: Rewrite) -> None:
    rewrite("01_explore", END, f"{END}\\nassert not done")
    with pytest.raises(LaunchError, match=r"failed at In \[\d\], under 'The work': AssertionError"):
        launch("01_explore", parameters=EXPLORE)


def test_a_cell_that_exits_has_failed(project: Path, rewrite: Rewrite) -> None:
    rewrite("01_explore", "assert p.seed != 13", "import sys; sys.exit(0)")
    with pytest.raises(LaunchError, match=r"failed at In \[6\], under 'The work': SystemExit: 0"):
        launch("01_explore", parameters=EXPLORE)
    assert sorted(path.name for path in (project / "outputs/01_explore").glob("*.*")) == [
        ".d.launch.lock", ".d.lock", "d.failed.ipynb", "d.partial",
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])  # a closed terminal's
def test_a_polite_kill_stops_the_kernel_and_keeps_what_was_written(
    number: int, project: Path, rewrite: Rewrite
) -> None:
    beat = '(run.folder / \\"pid\\").write_text(str(__import__(\\"os\\").getpid()))'
    rewrite("01_explore", "while p.seed", f"{beat}\\nwhile p.seed")
    (project / "hold").touch()
    heeding = f"import signal; signal.signal({number:d}, signal.SIG_DFL)\n{LAUNCH}"  # unlike nohup
    with subprocess.Popen([sys.executable, "-c", heeding, "99"], stderr=subprocess.PIPE) as child:
        pid = project / "outputs/01_explore/d.partial/pid"
        while not (pid.exists() and pid.read_text()):
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(number)
        child.communicate()
    assert child.returncode != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    failure = read_failure(project / "outputs/01_explore/d.failed.ipynb")
    assert "stopped before its end" in failure.error or "KeyboardInterrupt" in failure.error
    assert store.open_run(
        "01_explore", "d", parameters=catalogue.Explore(dataset="d", seed=99).plain()
    ).resumed
