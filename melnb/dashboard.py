"""The threshold explorer as a page of its own: Voila runs 06c_choose on a finished report.

The page is served from this machine to this machine alone, by a process of its own, which ends
with the caller.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from melnb.folders import RECORD
from melnb.runs import find_run, located, outputs_root, project_root, read_run

NOTEBOOK = "06c_choose.ipynb"
_SHOWN = "dashboard"  # tag of the cell whose output is the page
_PATIENCE = 10  # seconds that Voila gets to end its kernels


def serve(report: str | Path, *, port: int = 0, open_browser: bool = True) -> None:
    """Serve the explorer of a report until it is interrupted (Ctrl-C).

    Args:
        report: The folder of a finished 06_report run, or the run's name.
        port: Where to listen; 0: any that is free.
        open_browser: Open the page in the default browser.

    Raises:
        FileNotFoundError: There is no such finished run.
        ValueError: The folder is of another stage.
        RuntimeError: Voila is not installed, or it failed.
    """
    home = report_folder(report)
    if importlib.util.find_spec("voila") is None:
        raise RuntimeError("Voila is not installed: pip install 'melnb[lab]'")
    port = port or _free_port()
    with tempfile.TemporaryDirectory(prefix="melnb-explore-") as folder:
        notebook = write_notebook(home, Path(folder) / NOTEBOOK)
        print(f"06_report/{home.name}: http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
        _run(notebook, port=port, open_browser=open_browser)


def report_folder(report: str | Path) -> Path:
    """Return the folder of a finished report, from its path or its name.

    Raises:
        FileNotFoundError: There is no such finished run.
        ValueError: The folder is of another stage.
    """
    path = located(report)
    if not (path / RECORD).is_file():
        return find_run("06_report", Path(report).name)
    stage = read_run(path)["stage"]
    if stage != "06_report":
        raise ValueError(f"{path} is a run of {stage}: name one of 06_report")
    return path.resolve()


def write_notebook(home: Path, path: Path) -> Path:
    """Write 06c_choose with a report's parameters, all but the explorer hidden; return its path.

    Args:
        home: The folder of a finished report.
        path: Of the notebook.
    """
    # Imported here: together they cost 0.4 s, and every command of the command line imports this.
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    book = load_notebook_node(str(project_root() / "notebooks" / NOTEBOOK))
    outputs = home.parents[1]
    usual = outputs == outputs_root().resolve()
    values = {"run": home.name, "report": home.name, "outputs": "" if usual else str(outputs)}
    made = parameterize_notebook(book, values)
    made.cells = [cell for cell in made.cells if cell.cell_type == "code"]
    for cell in made.cells:
        if _SHOWN not in cell.metadata["tags"]:
            cell.source += (
                "\nNone"  # Voila shows what a cell's last line gives; tags do not stop it
            )
    nbformat.write(made, path)
    return path


def _run(notebook: Path, *, port: int, open_browser: bool) -> None:
    """Run Voila until it ends or we are interrupted; it is gone when this returns."""
    command: list[Any] = [
        *(sys.executable, "-m", "voila", notebook, f"--port={port}", "--Voila.ip=127.0.0.1"),
        *("--strip_sources=True", "--Voila.port_retries=0", "--show_tracebacks=True"),
        *(() if open_browser else ("--no-browser",)),
    ]
    environment = {**os.environ, "MELNB_ROOT": str(project_root())}
    log = notebook.with_suffix(".log")
    with log.open("w", encoding="utf-8") as said:
        # A session of its own: Ctrl-C reaches us alone, and Voila once: it ends its kernels.
        process = subprocess.Popen(
            command, env=environment, stdout=said, stderr=said, start_new_session=True
        )
    try:
        while process.poll() is None:  # reading a pipe to its end would be deaf to Ctrl-C
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
    finally:
        _end(process)
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    raise RuntimeError(f"Voila ended ({process.returncode}): {text[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for stop in (_interrupt, subprocess.Popen.terminate, subprocess.Popen.kill):
        if process.poll() is not None:
            return
        stop(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.terminate()
    else:
        process.send_signal(signal.SIGINT)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
