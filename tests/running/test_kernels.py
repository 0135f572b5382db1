"""Executing notebooks: how often they are saved, and what lies on the disk when one is killed."""

import asyncio
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from melnb.running import engine, kernels


def write_book(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0]["metadata"]["tags"] = ["parameters"]
    book = nbformat.v4.new_notebook(
        cells=cells,
        metadata={"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}},
    )
    nbformat.write(book, path)
    return path


def outputs(path: Path) -> list[str]:
    """Return what each cell of an executed notebook printed."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join("".join(o.get("text", "")) for o in c["outputs"]) for c in cells]


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The states of the cells at each time that a notebook was written."""
    seen: list[list[str]] = []
    save = engine.NotebookExecutionManager.save

    def counting(self: Any, **named: Any) -> None:
        seen.append([cell.metadata.papermill["status"] for cell in self.nb.cells])
        save(self, **named)

    monkeypatch.setattr(engine.NotebookExecutionManager, "save", counting)
    return seen


def test_a_short_notebook_is_written_at_its_start_and_its_end(
    tmp_path: Path, saves: list[list[str]]
) -> None:
    book = write_book(tmp_path / "a {b}.ipynb", "n = 1", *["print(n)"] * 9)
    executed = tmp_path / "out {c}.ipynb"
    kernels.execute(book, executed, {"n": 2}, cwd=tmp_path)
    assert outputs(executed)[1:] == ["", *["2\n"] * 9]
    assert saves == [["pending"] * 11, ["completed"] * 11]


@pytest.mark.parametrize("looped", [False, True])
def test_a_long_cell_is_on_the_disk_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: list[list[str]], looped: bool
) -> None:
    """The cell is silent and ends when it reads of itself, on the disk, that it runs.

    Where a loop runs already, as in a notebook from which another is launched, too.
    """
    monkeypatch.setattr(engine, "SAVE_EVERY", 0.2)
    executed = tmp_path / "out.ipynb"
    read = "json.loads(Path('out.ipynb').read_text())['cells'][-1]['metadata']['papermill']"
    book = write_book(
        tmp_path / "a.ipynb",
        "n = 1",
        "import json, time\nfrom pathlib import Path",
        f"while {read}['status'] != 'running': time.sleep(0.05)",
    )

    async def within_a_loop() -> None:
        kernels.execute(book, executed, {}, cwd=tmp_path)

    if looped:
        with ThreadPoolExecutor(1) as thread:  # another test's loop may run in this one
            thread.submit(asyncio.run, within_a_loop()).result()
    else:
        kernels.execute(book, executed, {}, cwd=tmp_path)
    assert ["completed", "completed", "running"] in saves
    assert saves[-1] == ["completed"] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ipynb", "out.ipynb"]


def test_saving_takes_a_small_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, half = [100.0], tmp_path / "half.ipynb"
    monkeypatch.setattr(engine.time, "monotonic", lambda: clock[0])

    def slow(self: Any, **_: Any) -> None:
        half.touch()
        clock[0] += 2.0

    monkeypatch.setattr(engine.NotebookExecutionManager, "save", slow)
    book = engine.SeldomSaved(
        nbformat.v4.new_notebook(), executed=tmp_path / "out.ipynb", output_path=str(half),
        progress_bar=False,
    )  # fmt: skip
    book.save()
    assert clock[0] == 102.0
    clock[0] += 39.0
    book.save()
    assert clock[0] == 141.0, "it waits, for 2 seconds were spent 39 ago"
    clock[0] += 2.0
    book.save()
    assert clock[0] == 145.0


def test_an_error_is_on_the_disk_with_what_came_before(tmp_path: Path) -> None:
    book = write_book(tmp_path / "a.ipynb", "n = 1", "print('before')", "1 / 0", "print('after')")
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        kernels.execute(book, tmp_path / "out.ipynb", {}, cwd=tmp_path)
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    said = [o.get("ename", "".join(o.get("text", ""))) for c in cells for o in c.get("outputs", ())]
    assert said == ["before\n", "ZeroDivisionError"]


def test_a_dead_kernel_leaves_what_was_said(tmp_path: Path) -> None:
    book = write_book(tmp_path / "a.ipynb", "print('before')", "import os; os._exit(1)")
    with pytest.raises(DeadKernelError):
        kernels.execute(book, tmp_path / "out.ipynb", {}, cwd=tmp_path)
    assert outputs(tmp_path / "out.ipynb")[0] == "before\n"
    assert not (tmp_path / "out.log").exists(), "nothing was said"


SCRIPT = """
import sys
from pathlib import Path
from melnb.running import kernels

before = set(sys.modules)
with kernels._booting_kernel(Path.cwd(), Path("k.log")) as (kernel, _):
    booting = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
    pid = kernel.provisioner.pid
    engine, papermill = kernels._import_engine()
    assert "lark" not in sys.modules
    print("papermill" in booting, "nbclient" in booting, pid)
"""


def test_a_kernel_boots_before_papermill_is_imported_and_ends_with_its_context(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *known, pid = done.stdout.split()
    assert known == ["False", "False"]
    end = time.monotonic() + 600
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, "the kernel outlives its context"
        time.sleep(0.05)
