"""papermill's engine of melnb: a notebook that runs is saved seldom.

papermill writes the whole notebook before and after every cell, prose too. This engine writes it
at once, then every few seconds, and at the end, be that an error; and under a temporary name
first, so that a kill leaves no half of it. Importing papermill takes a second, so this module is
imported by `kernels.execute` alone, while a kernel boots.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_output
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines

NAME = "melnb"  # as papermill knows it
DIED = "DeadKernelError"  # the name of the error under the cell at which a kernel died
SAVE_EVERY = 5.0  # seconds that the notebook on disk may be behind the one that runs
_SHARE = 0.05  # of the time at most is spent on saving: large notebooks are saved more seldom


class SeldomSaved(NotebookExecutionManager):  # type: ignore[misc]
    """A notebook that runs; saved when asked, or soon after.

    Args:
        nb: The notebook.
        executed: Where it is to be read; it is written to papermill's `output_path` first.
    """

    def __init__(self, nb: Any, *, executed: Path, **named: Any) -> None:
        super().__init__(nb, **named)
        self._executed = executed
        self._earliest = 0.0  # on the monotonic clock: when it may be saved again
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._saving = Lock()  # a loop that runs already has nbclient work in another thread

    def save(self, **_: Any) -> None:
        """Save, unless it was saved just now."""
        if time.monotonic() >= self._earliest:
            self._save_now()

    def save_soon(self, **_: Any) -> None:
        """Save now or in a while, though nothing more is heard: a cell may take hours.

        It is called from the loop in which the kernel's messages are awaited.
        """
        if self._timer is None:
            wait = max(0.0, self._earliest - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._save_in_time)

    def autosave_cell(self, **_: Any) -> None:
        """Save what a cell has said so far."""
        self.save_soon()

    def kernel_died(self, said: str) -> None:
        """Write under the cell that was begun last, or the first, how the kernel ended."""
        code = [cell for cell in self.nb.cells if cell.cell_type == "code"]
        begun = [cell for cell in code if cell.metadata.papermill.get("start_time")]
        error = new_output("error", ename=DIED, evalue=said, traceback=said.splitlines())
        (begun[-1] if begun else code[0]).outputs.append(error)

    def notebook_complete(self, **_: Any) -> None:
        """Save the end, whatever it is."""
        self._earliest, self._ended = 0.0, True
        super().notebook_complete()

    def _save_in_time(self) -> None:
        self._timer = None
        with suppress(RuntimeError):  # the notebook grew meanwhile: the next save is near
            self._save_now(late=True)

    def _save_now(self, *, late: bool = False) -> None:
        with self._saving:
            if late and self._ended:
                return
            begun = time.monotonic()
            super().save()
            Path(self.output_path).replace(self._executed)
            took = time.monotonic() - begun
            self._earliest = begun + took + max(SAVE_EVERY, took / _SHARE)


class SeldomSavingEngine(Engine):  # type: ignore[misc]
    """Executes the cells in a kernel that has been started already."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str = "",
        progress_bar: bool = True,
        *,
        executed: Path,
        ending: Callable[[Exception], str],
        launch: str,
        **named: Any,
    ) -> Any:
        """Execute a notebook; return it with its outputs. Called by papermill."""
        nb.metadata["melnb"] = {"launch": launch}  # `kernels.launch_of` reads it
        book = SeldomSaved(
            nb, executed=executed, output_path=output_path, progress_bar=progress_bar
        )
        book.notebook_start()
        try:
            cls.execute_managed_notebook(book, kernel_name, **named)
        except (DeadKernelError, RuntimeError) as error:  # the latter where it could not begin
            book.kernel_died(ending(error))
            raise
        finally:
            book.notebook_complete()
        return book.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: SeldomSaved,
        kernel_name: str,
        *,
        km: Any,
        start_timeout: float = 60,
        stdout_file: Any = None,
        stderr_file: Any = None,
        **_: Any,
    ) -> None:
        """Execute every cell until one fails; the kernel has ended when this returns."""
        client = PapermillNotebookClient(
            nb_man,
            km=km,
            kernel_name=kernel_name,
            startup_timeout=start_timeout,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
            on_cell_execute=nb_man.save_soon,
        )
        client.execute(cleanup_kc=True)


papermill_engines.register(NAME, SeldomSavingEngine)
