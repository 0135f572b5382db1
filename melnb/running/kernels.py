"""Execute a notebook in a kernel of its own, which boots while papermill is imported."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from melnb.runs.provenance import LAUNCH
from melnb.tables.files import LESS, remedy
from melnb.tables.processes import GRAMMAR, without

# How a kernel ended that was not asked to: what is known of it, and what to do, in words.

_LAST, _WIDTH = 3, 160  # lines of a log that are shown, and their characters
_FATAL = "Fatal Python error"  # what Python says of a crash, and then where it was
_CRASHED = "compiled code crashed, no cell's Python: run it again; if it dies there again, it is a"
_ASKED = "a person or a scheduler asked it to end, at a limit of time, say: run it again to go on"
_CAUSES = {
    "SIGSEGV": f"{_CRASHED} library's fault or two that do not fit together",
    "SIGABRT": f"{_CRASHED} library that gave up, in the words below if it has any",
    "SIGBUS": f"{_CRASHED} file that was cut while it was read, or a full disk or /dev/shm",
    "SIGILL": f"{_CRASHED} library that was built for another processor",
    "SIGFPE": f"{_CRASHED} library's fault",
    "SIGTERM": _ASKED,
    "SIGHUP": _ASKED,
    "SIGINT": _ASKED,
    "SIGXCPU": "it used all the processor time that it may: ask for more, or run it again to go on",
}


def count_memory_kills() -> int:
    """Return how many processes the system has ended for want of memory, as far as it tells."""
    for file in _counters():
        try:
            text = file.read_text(encoding="utf-8")
        except OSError:  # no such file system here, or not for us
            continue
        if match := re.search(r"^oom_kill (\d+)$", text, re.MULTILINE):
            return int(match[1])
    return 0


def describe(code: int | None, *, log: Path, memory_kills: int = 0) -> str:
    """Say how a kernel ended, what to do, and what it said last.

    Args:
        code: Of its exit; below zero: minus the signal's number; None: unknown.
        log: What it wrote besides its cells' outputs.
        memory_kills: Processes that the system ended for want of memory while it ran.
    """
    words = last_words(log)
    quote = f"\nits last words, in {log}:\n" + "\n".join(words) if words else ""
    return f"the kernel died {_cause(code, ' '.join(words), memory_kills)}{quote}"


def last_words(log: Path) -> list[str]:
    """Return what matters of a log: its last; of a crash the words before it, and where."""
    if not log.is_file():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip()[:_WIDTH] for line in text.splitlines() if line.strip()]
    fatal = max((k for k, line in enumerate(lines) if _FATAL in line), default=None)
    if fatal is None:
        return lines[-_LAST:]
    where = [line for line in lines[fatal + 1 :] if line.startswith("File ")][:1]
    return [*lines[max(0, fatal - 1) : fatal + 1], *where]


def _cause(code: int | None, words: str, memory_kills: int) -> str:
    if code is None:
        return "and nothing is known of how: see the system's log"
    if code >= 0 and code <= 128:
        ended = f"of its own accord, with exit code {code}"
        if lacks := remedy(words):
            return f"{ended}, {lacks}"
        return f"{ended}: a cell, or what it calls, ends the process (exit, os._exit)"
    number = -code if code < 0 else code - 128  # as a shell tells it
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"with exit code {code}: see the system's log"
    by = f"by signal {number} ({name})"
    if name == "SIGKILL" and memory_kills:
        return f"{by}, out of memory: the system ended {memory_kills} for that meanwhile; {LESS}"
    if name == "SIGKILL":
        return (
            f"{by}, perhaps out of memory, for which the system does so (its log would say): {LESS}"
            "; or somebody ended it: run it again to go on"
        )
    if lacks := remedy(words):
        return f"{by}, {lacks}"
    return f"{by}: {_CAUSES.get(name, _ASKED)}"


def _counters() -> list[Path]:
    """Return the files that may count: those of our group of processes first."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    files, root = [], Path("/sys/fs/cgroup")
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files.append(root / path.strip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            files.append(root / "memory" / path.strip("/") / "memory.oom_control")
    return [*files, Path("/proc/vmstat")]


_GUESS = re.compile("^(Passed unknown parameter|Unable to parse line)")
PATIENCE = 600  # seconds that a kernel may take to start where others work or a disk is cold
_SOCKET_PATH = 100  # bytes that an ipc socket's path may have; the system's limit is 104 to 108
_ARGUMENTS = [
    # In memory: kernels that start together would wait for one database.
    "--HistoryManager.hist_file=:memory:",
    # What compiled code says is written at once: a kernel that crashes would take it along.
    "--IPKernelApp.capture_fd_output=False",
    "--IPKernelApp.exec_lines=import faulthandler; faulthandler.enable(all_threads=False)",
]


def execute(
    notebook: Path,
    executed: Path,
    values: Mapping[str, Any],
    *,
    cwd: Path,
    log: Path | None = None,
    launch: str = "",
) -> None:
    """Execute a notebook with parameters, and wait for its end.

    Args:
        notebook: Read.
        executed: Written, whole each time: at once, every few seconds, at an error, at the end.
        values: The parameters, plain Python objects.
        cwd: Where the kernel works.
        log: What the kernel says besides its cells; it stays if that fails. None: beside
            `executed`.
        launch: What tells this launch from all others: the run that the notebook writes records
            it, and so does the executed notebook (`launch_of`).

    Raises:
        PapermillExecutionError: A cell failed.
        DeadKernelError: The kernel died; how is told under the cell at which it did.
    """
    shown = sys.stderr.isatty()
    written = half(executed)
    written.unlink(missing_ok=True)  # of a try that was killed
    # What papermill reads off the cell, and does not, is no news: the parameters' class knows all.
    logging.getLogger("papermill").addFilter(lambda record: not _GUESS.search(record.getMessage()))
    log = log or executed.with_suffix(".log")
    with _booting_kernel(cwd, log, {LAUNCH: launch}) as (kernel, ending):
        engine, papermill = _import_engine()
        try:
            papermill.execute_notebook(
                *(str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, written)),
                parameters=dict(values),
                engine_name=engine.NAME,
                kernel_name="python3",
                start_timeout=PATIENCE,
                km=kernel,
                ending=ending,
                executed=executed,
                launch=launch,
                progress_bar=shown,
                stdout_file=None if shown else sys.stdout,
                stderr_file=None if shown else sys.stderr,
            )
        finally:
            if written.exists():  # papermill writes last, with a mark where an error is
                written.replace(executed)


def launch_of(executed: Path) -> str:
    """Return the launch that an executed notebook is of; empty if it tells none."""
    try:
        return str(json.loads(executed.read_bytes())["metadata"]["melnb"]["launch"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def half(executed: Path) -> Path:
    """Return where an executed notebook is while it is being written."""
    return executed.with_name(f".{executed.stem}.tmp.ipynb")


def takes_sockets(file: Path) -> bool:
    """Tell whether the sockets of a kernel whose connection file has this stem can be files too."""
    return sys.platform != "win32" and len(bytes(file)) + len("-ipc-5") < _SOCKET_PATH


@contextmanager
def _booting_kernel(
    cwd: Path, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[Any, Callable[[Exception], str]]]:
    """Start a kernel without waiting for it; it has ended when the context has.

    It comes with what says how it ended, if it died. The log stays where the context fails.
    """
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync

    sockets = Path(tempfile.mkdtemp(prefix="melnb-"))
    options: dict[str, Any] = {}
    if takes_sockets(sockets / "k"):
        # Kernels that start together may be given the same port; sockets in a folder are their own.
        options = {"transport": "ipc", "connection_file": str(sockets / "k.json")}
    kernel = AsyncKernelManager(kernel_name="python3", **options)
    kills, whole = count_memory_kills(), False

    def ending(error: Exception) -> str:
        if process.poll() is None:
            return f"the kernel does not answer: {error}"
        more = count_memory_kills() - kills
        return describe(process.poll(), log=log, memory_kills=more)

    try:
        with log.open("w", encoding="utf-8") as log_file:
            run_sync(kernel.start_kernel)(
                cwd=str(cwd), extra_arguments=_ARGUMENTS, stdout=log_file, stderr=log_file,
                env=os.environ | dict(environment or {}),
            )  # fmt: skip
        provisioner: Any = kernel.provisioner
        process = provisioner.process  # the manager forgets both once the kernel has ended
        yield kernel, ending
        whole = True
    finally:
        if kernel.has_kernel:  # something failed before papermill had it
            run_sync(kernel.shutdown_kernel)(now=True)
        shutil.rmtree(sockets, ignore_errors=True)
        if whole or not log.stat().st_size:
            log.unlink()


def _import_engine() -> tuple[Any, Any]:
    """Import melnb's engine and papermill."""
    with without(GRAMMAR):
        import papermill

        from melnb.running import engine
    return engine, papermill
