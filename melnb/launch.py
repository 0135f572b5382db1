"""Run one stage: check its parameters, run its notebook by papermill, keep what it wrote.

A run is done when papermill raised nothing *and* the notebook finished its run: an interrupted
notebook looks complete to papermill. What is up to date is not run again.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from melnb import endings, kernels
from melnb.folders import RECORD, holder
from melnb.freshness import code_of, notebook_of, read_cells, run_folder, why_stale
from melnb.inputs import check_inputs
from melnb.params import ParameterError, Parameters
from melnb.runs import DamagedError, project_root, read_run, run_name

_SAID = 5  # lines of an error's text; TensorFlow's may have a hundred
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
    final.parent.mkdir(parents=True, exist_ok=True)
    with _alone(stage, run_name(parameters), final, wait=wait):
        reason = "forced" if force else why_stale(parameters)
        if not reason:
            _adopt(final)
            say(f"{stage}/{run_name(parameters)} is up to date")
            return final
        check_inputs(parameters)
        say(f"{stage}/{run_name(parameters)}: {reason}, running {notebook.name}")
        return _run(notebook, final, parameters)


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
                return Failure(number, heading, _said(str(output["ename"]), str(output["evalue"])))
        if cell["metadata"].get("papermill", {}).get("start_time"):
            begun, cell_number = heading, number
    return Failure(cell_number, begun, "stopped before its end")


def _said(name: str, text: str) -> str:
    """Return an error's text as it is shown."""
    if name == "DeadKernelError":  # the engine's, who tells all that is known
        return text
    lines = _COLOURS.sub("", f"{name}: {text}").strip().splitlines()
    cut = [*lines[:_SAID], "…"] if len(lines) > _SAID + 1 else lines
    remedy = [f"out of memory: {endings.LESS}"] if endings.is_of_memory(f"{name}: {text}") else []
    return "\n".join([*cut, *remedy])


def _run(notebook: Path, final: Path, parameters: Parameters) -> Path:
    """Execute the notebook beside its run's folder, then file it where it belongs."""
    stage, run = parameters.stage, run_name(parameters)
    running, failed = _beside(final, "running"), _beside(final, "failed")
    log = final.with_name(f"{final.name}.kernel.log")
    failed.unlink(missing_ok=True)
    log.unlink(missing_ok=True)  # of a kernel that died
    before = _stamp(final)
    try:
        with terminable():
            kernels.execute(notebook, running, parameters.plain(), cwd=project_root(), log=log)
    except BaseException as error:
        if running.exists():
            running.replace(failed)
        if not isinstance(error, Exception):  # Ctrl-C: what was finished stays
            raise
        raise _explained(error, stage, run, failed) from error
    if _stamp(final) == before:
        running.replace(failed)
        failure = read_failure(failed)
        if failure.error.startswith("SystemExit"):  # papermill takes exit(0) for a good end
            raise LaunchError(stage, run, f"failed at {failure}", notebook=failed, failure=failure)
        problem = "ran to its last cell without finishing its run: call its finish(results) there"
        raise LaunchError(stage, run, problem, notebook=failed)
    return running.replace(final / "notebook.ipynb").parent


def _explained(error: Exception, stage: str, run: str, failed: Path) -> LaunchError:
    if not failed.exists():
        return LaunchError(stage, run, f"could not be started: {error}")
    failure = read_failure(failed)
    return LaunchError(stage, run, f"failed at {failure}", notebook=failed, failure=failure)


@contextmanager
def _alone(stage: str, run: str, final: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock of the launcher's own: the run's is taken by the kernel."""
    lock = FileLock(final.parent / f".{final.name}.launch.lock", timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        problem = "is being run by another process: wait for it, or stop it first"
        raise LaunchError(stage, run, problem, notebook=_beside(final, "running")) from None
    try:
        if who := holder(final, patience=3):
            raise LaunchError(stage, run, f"is being written by {who}: wait for it or stop it")
        yield
    finally:
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


def _adopt(final: Path) -> None:
    """File the notebook of a run that was finished just before its launcher was killed."""
    running, filed = _beside(final, "running"), final / "notebook.ipynb"
    if running.exists() and not filed.exists():
        started = datetime.fromisoformat(read_run(final)["started"]).timestamp()
        if running.stat().st_mtime >= started:  # else it is an older try's
            running.replace(filed)


def _beside(final: Path, state: str) -> Path:
    return final.with_name(f"{final.name}.{state}.ipynb")


def _stamp(final: Path) -> tuple[int, int]:
    path = final / RECORD
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else (0, 0)
