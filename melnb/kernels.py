"""Execute a notebook in a kernel of its own, which boots while papermill is imported."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from melnb import endings
from melnb.imports import GRAMMAR, without

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
    notebook: Path, executed: Path, values: Mapping[str, Any], *, cwd: Path, log: Path | None = None
) -> None:
    """Execute a notebook with parameters, and wait for its end.

    Args:
        notebook: Read.
        executed: Written, whole each time: at once, every few seconds, at an error, at the end.
        values: The parameters, plain Python objects.
        cwd: Where the kernel works.
        log: What the kernel says besides its cells; it stays if that fails. None: beside
            `executed`.

    Raises:
        PapermillExecutionError: A cell failed.
        DeadKernelError: The kernel died; how is told under the cell at which it did.
    """
    shown = sys.stderr.isatty()
    written = half(executed)
    written.unlink(missing_ok=True)  # of a try that was killed
    with _booting_kernel(cwd, log or executed.with_suffix(".log")) as (kernel, ending):
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
                progress_bar=shown,
                stdout_file=None if shown else sys.stdout,
                stderr_file=None if shown else sys.stderr,
            )
        finally:
            if written.exists():  # papermill writes last, with a mark where an error is
                written.replace(executed)


def half(executed: Path) -> Path:
    """Return where an executed notebook is while it is being written."""
    return executed.with_name(f".{executed.stem}.tmp.ipynb")


def takes_sockets(file: Path) -> bool:
    """Tell whether the sockets of a kernel whose connection file has this stem can be files too."""
    return sys.platform != "win32" and len(bytes(file)) + len("-ipc-5") < _SOCKET_PATH


@contextmanager
def _booting_kernel(cwd: Path, log: Path) -> Iterator[tuple[Any, Callable[[Exception], str]]]:
    """Start a kernel without waiting for it; it has ended when the context has.

    It comes with what says how it ended, if it died. The log stays where the context fails.
    """
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync

    sockets = Path(tempfile.mkdtemp(prefix="melnb-"))
    own: dict[str, Any] = {}
    if takes_sockets(sockets / "k"):
        # Kernels that start together may be given the same port; sockets in a folder are their own.
        own = {"transport": "ipc", "connection_file": str(sockets / "k.json")}
    kernel = AsyncKernelManager(kernel_name="python3", **own)
    kills, whole = endings.count_memory_kills(), False

    def ending(error: Exception) -> str:
        if process.poll() is None:
            return f"the kernel does not answer: {error}"
        more = endings.count_memory_kills() - kills
        return endings.describe(process.poll(), log=log, memory_kills=more)

    try:
        with log.open("w", encoding="utf-8") as said:
            run_sync(kernel.start_kernel)(
                cwd=str(cwd), extra_arguments=_ARGUMENTS, stdout=said, stderr=said
            )
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

        from melnb import engine
    return engine, papermill
