"""Run one stage: check its parameters, run its notebook by papermill, keep what it wrote.

A run is done when its notebook finished it *and* no cell failed: an interrupted notebook looks
complete to papermill, and what befalls a kernel after the end undoes nothing. What is up to date is
not run again.
"""

from __future__ import annotations

import json
import re
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from melnb.params.catalogue import ParameterError, Parameters
from melnb.running import kernels
from melnb.running.up_to_date import (
    check_inputs,
    check_other_dataset,
    code_of,
    notebook_of,
    read_cells,
    run_folder,
    why_stale,
)
from melnb.runs import folders
from melnb.runs.folders import RECORD, holder, mend
from melnb.runs.store import DamagedError, project_root, run_name
from melnb.tables import files
from melnb.tables.documents import read_run

_STOPPED = "stopped before its end"
_ABSENT = (0, 0)  # in the place of a record's stamp
_SAID = 5  # lines of an error's text; TensorFlow's may have a hundred
_OF_A_CELL = "PapermillExecutionError"  # by name: to import it takes a second
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Failure:
    """Where a notebook stopped, and what it said."""

    cell: int  # the number in In [..]; 0: none was begun
    heading: str  # the nearest above that cell
    error: str

    def __str__(self) -> str:
        under = f", under {self.heading!r}" if self.heading else ""
        return f"In [{self.cell}]{under}: {self.error}"


class LaunchError(RuntimeError):
    """A stage was not run to its end.

    Attributes:
        stage: The notebook's stem.
        run: The folder below the stage's.
        notebook: The notebook as far as it ran, if it was begun.
        failure: Where and why it stopped, if it was begun.
    """

    def __init__(
        self,
        stage: str,
        run: str,
        problem: str,
        *,
        notebook: Path | None = None,
        failure: Failure | None = None,
    ) -> None:
        self.stage, self.run, self.notebook, self.failure = stage, run, notebook, failure
        place = f"\n  see {notebook}" if notebook else ""
        super().__init__(f"{stage}/{run} {problem}{place}")


def launch(
    stage: str,
    *,
    parameters: Parameters,
    force: bool = False,
    wait: bool = False,
    say: Say = print,
) -> Path:
    """Run a stage's notebook unless its run is up to date; return the finished folder.

    Args:
        stage: The notebook's stem, such as `03_train`.
        parameters: Of that stage's class.
        force: Run also what is up to date.
        wait: If another process runs it, wait for its end, and take its run.
        say: Told in one line what is done.

    Raises:
        ParameterError: The parameters are another stage's, or name what is not there.
        FileNotFoundError: The project has no such notebook.
        LaunchError: Another process runs it, or the notebook failed; the notebook as far as it
            ran is `<run>.failed.ipynb` beside the run's folder.
    """
    if parameters.stage != stage:
        raise ParameterError(f"{stage} was given the parameters of {parameters.stage}")
    notebook, final = notebook_of(stage), run_folder(parameters)
    code_of(notebook)  # refuses a notebook whose parameters papermill could not set
    run = run_name(parameters)
    with _named(stage, run, final), _alone(stage, run, final, wait=wait):
        reason = "forced" if force else why_stale(parameters)
        if not reason:
            _adopt(final)
            say(f"{stage}/{run} is up to date")
            return final
        if not force:
            check_other_dataset(parameters)
        check_inputs(parameters)
        say(f"{stage}/{run}: {reason}, running {notebook.name}")
        return _run(notebook, final, parameters, say)


def read_failure(notebook: Path) -> Failure:
    """Return where an executed notebook stopped: its error, or its last cell if interrupted."""
    heading, begun, cell_number = "", "", 0
    try:
        cells = read_cells(notebook)
    except DamagedError as error:
        return Failure(0, "", f"{notebook} is damaged ({error.problem})")
    for cell in cells:
        source = "".join(cell["source"])
        titles = re.findall(r"^#+ +(.+)$", source, re.MULTILINE)
        if cell["cell_type"] == "markdown" and titles:
            heading = titles[-1].strip()
        if cell["cell_type"] != "code":
            continue
        number = cell.get("execution_count") or cell_number + 1
        for output in cell.get("outputs", ()):
            if output.get("output_type") == "error":
                words = _said(str(output["ename"]), str(output["evalue"]), notebook.parent)
                return Failure(number, heading, words)
        if cell["metadata"].get("papermill", {}).get("start_time"):
            begun, cell_number = heading, number
    return Failure(cell_number, begun, _STOPPED)


def _said(name: str, text: str, near: Path) -> str:
    """Return an error's text as it is shown."""
    if name == "DeadKernelError":  # the engine's, who tells all that is known
        return text
    lines = _COLOURS.sub("", f"{name}: {text}").strip().splitlines()
    cut = [*lines[:_SAID], "…"] if len(lines) > _SAID + 1 else lines
    remedy = files.remedy(f"{name}: {text}", near=near)
    return "\n".join([*cut, *([remedy] if remedy else [])])


def _run(notebook: Path, final: Path, parameters: Parameters, say: Say) -> Path:
    """Execute the notebook beside its run's folder, then file it where it belongs."""
    stage, run = parameters.stage, run_name(parameters)
    running, failed = _beside(final, "running"), _beside(final, "failed")
    log = _log(final)
    failed.unlink(missing_ok=True)
    log.unlink(missing_ok=True)  # of a kernel that died
    mend(final)  # else what an earlier kernel left whole would pass for this one's
    before = _stamp(final)
    try:
        with terminable():
            kernels.execute(
                notebook, running, parameters.injected(), cwd=project_root(), log=log,
                launch=uuid.uuid4().hex,
            )  # fmt: skip
    except BaseException as error:
        mend(final)  # the kernel may have died as it gave the folder its name
        if _stamp(final) not in (before, _ABSENT) and type(error).__name__ != _OF_A_CELL:
            _adopt(final)
            then = _said(type(error).__name__, str(error), final)
            say(f"{stage}/{run} is finished, though then {then}")
            if isinstance(error, Exception):
                return final
            raise
        if running.exists():
            running.replace(failed)
        if not isinstance(error, Exception):  # Ctrl-C: what was finished stays
            raise
        raise _explained(error, stage, run, failed) from error
    if _stamp(final) in (before, _ABSENT):
        running.replace(failed)
        failure = read_failure(failed)
        if failure.error.startswith("SystemExit"):  # papermill takes exit(0) for a good end
            raise LaunchError(stage, run, f"failed at {failure}", notebook=failed, failure=failure)
        problem = "ran to its last cell without finishing its run: call its finish(results) there"
        raise LaunchError(stage, run, problem, notebook=failed)
    return running.replace(final / "notebook.ipynb").parent


def _explained(error: Exception, stage: str, run: str, failed: Path) -> LaunchError:
    if not failed.exists():
        problem = files.describe(error) or str(error)
        return LaunchError(stage, run, f"could not be started: {problem}")
    failure = read_failure(failed)
    if failure.error == _STOPPED and (problem := files.describe(error)):  # under no cell
        failure = replace(failure, error=problem)
    return LaunchError(stage, run, f"failed at {failure}", notebook=failed, failure=failure)


@contextmanager
def _named(stage: str, run: str, final: Path) -> Iterator[None]:
    """Make the run's folder; let what the machine refuses this process be told with the stage."""
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if problem := files.describe(error):
            raise LaunchError(stage, run, f"could not be run: {problem}") from error
        raise


@contextmanager
def _alone(stage: str, run: str, final: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock of the launcher's own: the run's is taken by the kernel."""
    note, lock = _launch_note(final), FileLock(_launch_lock(final), timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        problem = f"is being run by {folders.read(note)}: wait for it, or stop it first"
        raise LaunchError(stage, run, problem, notebook=_beside(final, "running")) from None
    try:
        note.write_text(json.dumps(folders.note()), encoding="utf-8")  # half a note is none
        if who := holder(final, patience=3):
            raise LaunchError(stage, run, f"is being written by {who}: wait for it or stop it")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


@contextmanager
def terminable() -> Iterator[None]:
    """Let a polite kill (a scheduler's, a closed terminal's) stop kernels too, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as `nohup` has a closed terminal ignored
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def launcher(final: Path) -> str:
    """Return who is launching a run whose kernel holds nothing yet, in words; empty if nobody."""
    note, path = _launch_note(final), _launch_lock(final)
    if not path.exists():
        return ""
    try:
        with FileLock(path, timeout=0):
            return ""
    except Timeout:
        return folders.read(note)
    except OSError:  # another person's
        return ""


def adopt(parameters: Parameters) -> None:
    """File the notebook of a finished run whose launcher was killed before it could."""
    final, run = run_folder(parameters), run_name(parameters)
    if _beside(final, "running").exists():
        with suppress(LaunchError), _alone(parameters.stage, run, final, wait=False):
            _adopt(final)


def _adopt(final: Path) -> None:
    running, filed = _beside(final, "running"), final / "notebook.ipynb"
    if running.exists() and not filed.exists():
        launch = read_run(final).get("launch")
        if launch and launch == kernels.launch_of(running):  # else it is an older try's
            running.replace(filed)
            kernels.half(running).unlink(missing_ok=True)
            _log(final).unlink(missing_ok=True)


def _log(final: Path) -> Path:
    return final.with_name(f"{final.name}.kernel.log")


def _launch_lock(final: Path) -> Path:
    return final.with_name(f".{final.name}.launch.lock")


def _launch_note(final: Path) -> Path:
    return _launch_lock(final).with_suffix(".json")


def _beside(final: Path, state: str) -> Path:
    return final.with_name(f"{final.name}.{state}.ipynb")


def _stamp(final: Path) -> tuple[int, int]:
    path = final / RECORD
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else _ABSENT
