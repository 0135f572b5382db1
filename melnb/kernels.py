"""Execute a notebook in a kernel of its own, which boots while papermill is imported."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from melnb.imports import GRAMMAR, without

_PATIENCE = 600  # seconds that a kernel may take to start where others work or a disk is cold
_SOCKET_PATH = 100  # bytes that an ipc socket's path may have; the system's limit is 104 to 108


def execute(notebook: Path, executed: Path, values: Mapping[str, Any], *, cwd: Path) -> None:
    """Execute a notebook with parameters, and wait for its end.

    Args:
        notebook: Read.
        executed: Written, whole each time: at once, every few seconds, at an error, at the end.
        values: The parameters, plain Python objects.
        cwd: Where the kernel works.

    Raises:
        PapermillExecutionError: A cell failed.
        DeadKernelError: The kernel died.
    """
    shown = sys.stderr.isatty()
    half = executed.with_name(f".{executed.stem}.tmp.ipynb")  # being written
    half.unlink(missing_ok=True)  # of a try that was killed
    with _booting_kernel(cwd) as kernel:
        engine, papermill = _import_engine()
        try:
            papermill.execute_notebook(
                *(str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, half)),
                parameters=dict(values),
                engine_name=engine.NAME,
                kernel_name="python3",
                start_timeout=_PATIENCE,
                km=kernel,
                executed=executed,
                progress_bar=shown,
                stdout_file=None if shown else sys.stdout,
                stderr_file=None if shown else sys.stderr,
            )
        finally:
            if half.exists():  # papermill writes last, with a mark where an error is
                half.replace(executed)


@contextmanager
def _booting_kernel(cwd: Path) -> Iterator[Any]:
    """Start a kernel without waiting for it; it has ended when the context has."""
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync

    sockets = Path(tempfile.mkdtemp(prefix="melnb-"))
    own: dict[str, Any] = {}
    if sys.platform != "win32" and len(bytes(sockets)) + len("/k-ipc-5") < _SOCKET_PATH:
        # Kernels that start together may be given the same port; sockets in a folder are their own.
        own = {"transport": "ipc", "connection_file": str(sockets / "k.json")}
    kernel = AsyncKernelManager(kernel_name="python3", **own)
    try:
        # History in memory: kernels that start together would wait for one database.
        run_sync(kernel.start_kernel)(
            cwd=str(cwd), extra_arguments=["--HistoryManager.hist_file=:memory:"]
        )
        yield kernel
    finally:
        if kernel.has_kernel:  # something failed before papermill had it
            run_sync(kernel.shutdown_kernel)(now=True)
        shutil.rmtree(sockets, ignore_errors=True)


def _import_engine() -> tuple[Any, Any]:
    """Import melnb's engine and papermill."""
    with without(GRAMMAR):
        import papermill

        from melnb import engine
    return engine, papermill
