"""The threshold explorer as a page of its own: Voila runs 06c_choose on a finished report.

The page is served from this machine to this machine alone, at an address that only its caller is
told, by a process of its own (`melnb.running.voila_server`), which ends with the caller.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import webbrowser
from pathlib import Path
from typing import Any

from melnb.running.stage import terminable
from melnb.runs.folders import RECORD
from melnb.runs.store import find_run, located, outputs_root, project_root
from melnb.tables.documents import read_run

NOTEBOOK = "06c_choose.ipynb"
_SHOWN = "dashboard"  # tag of the cell whose output is the page
HOST, PORT_FILE = "127.0.0.1", "port"  # where the server listens, and says so
_PATIENCE = 10  # seconds that the server gets to end its kernels
_TICK = 0.1  # seconds; reading a pipe to its end would be deaf to Ctrl-C


def serve(report: str | Path, *, run: str = "", port: int = 0, open_browser: bool = True) -> None:
    """Serve the explorer of a report until it is interrupted (Ctrl-C).

    Args:
        report: The folder of a finished 06_report run, or the run's name.
        run: Name of the choice; empty: the report's.
        port: Where to listen; 0: any that is free.
        open_browser: Open the page in the default browser.

    Raises:
        FileNotFoundError: There is no such finished run.
        ValueError: The folder is of another stage, or the choice of that name for another report.
        RuntimeError: Voila is not installed, or it failed.
    """
    home = report_folder(report)
    if importlib.util.find_spec("voila") is None:
        raise RuntimeError("Voila is not installed: pip install 'melnb[lab]'")
    with tempfile.TemporaryDirectory(prefix="melnb-", ignore_cleanup_errors=True) as folder:
        notebook = write_notebook(home, Path(folder) / NOTEBOOK, run=run)
        print(f"06_report/{home.name}: ", end="")
        with terminable():
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


def write_notebook(home: Path, path: Path, *, run: str = "") -> Path:
    """Write 06c_choose with a report's parameters, all but the explorer hidden; return its path.

    Args:
        home: The folder of a finished report.
        path: Of the notebook.
        run: Name of the choice; empty: the report's.

    Raises:
        ValueError: A choice of that name was made for another report.
    """
    # Imported here: together they cost 0.4 s, and every command of the command line imports this.
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    book = load_notebook_node(str(project_root() / "notebooks" / NOTEBOOK))
    notebook = parameterize_notebook(book, _parameters(home, run or home.name))
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        if _SHOWN not in cell.metadata["tags"]:
            cell.source += (
                "\nNone"  # Voila shows what a cell's last line gives; tags do not stop it
            )
    nbformat.write(notebook, path)
    return path


def _parameters(home: Path, run: str) -> dict[str, Any]:
    """Return the parameters of an earlier choice for a report, if there is one, else the usual."""
    outputs, stage = home.parents[1], Path(NOTEBOOK).stem
    usual = outputs == outputs_root().resolve()
    values = {"run": run, "report": home.name, "outputs": "" if usual else str(outputs)}
    final = outputs / stage / run
    if not (final / RECORD).is_file():
        return values
    before = read_run(final, stage=stage)["parameters"]
    if before["report"] != home.name:
        raise ValueError(
            f"{final} is a choice for the report {before['report']!r}, which a page for "
            f"{home.name!r} would replace: name another with --run"
        )
    return before | values


def _run(notebook: Path, *, port: int, open_browser: bool) -> None:
    """Run the server until it ends or we are told to stop; it is gone when this returns."""
    secret = secrets.token_urlsafe(24)
    with notebook.with_suffix(".log").open("w+", encoding="utf-8", errors="replace") as log:
        # A session of its own: Ctrl-C reaches us alone. The pipe ends with us, even if killed.
        process = subprocess.Popen(
            [sys.executable, "-m", "melnb.running.voila_server"],
            env={**os.environ, "MELNB_ROOT": str(project_root())},
            stdin=subprocess.PIPE, stdout=log, stderr=log, bufsize=0, start_new_session=True,
        )  # fmt: skip
        try:
            _tell(process, notebook=str(notebook), secret=secret, port=port)
            if heard := _await_port(process, notebook.with_name(PORT_FILE)):
                address = f"http://{HOST}:{heard}/{secret}/"
                print(f"{address}  (Ctrl-C ends it)", flush=True)
                if open_browser:
                    _open(address, notebook.with_suffix(".html"))
            while process.poll() is None:
                time.sleep(_TICK)
        except KeyboardInterrupt:
            return
        finally:
            _end(process)
        log.seek(0)
        raise RuntimeError(f"Voila ended ({process.returncode}): {log.read().strip()[-2000:]}")


def _await_port(process: subprocess.Popen[bytes], file: Path) -> str:
    """Return where the server listens, once it does; empty if it has ended instead."""
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            return file.read_text(encoding="utf-8")
        time.sleep(_TICK)
    return ""


def _tell(process: subprocess.Popen[bytes], **words: Any) -> None:
    """Tell the server what to serve; a command line or its variables others could read."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended already, and its log says why
        process.stdin.write(json.dumps(words).encode() + b"\n")


def _open(address: str, page: Path) -> None:
    """Open an address by a file that leads there: a browser's command line others could read."""
    page.write_text(f'<meta http-equiv="refresh" content="0; url={address}">', encoding="utf-8")
    webbrowser.open(page.as_uri())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe, which tells the server to end, and see that it does."""
    assert process.stdin is not None
    process.stdin.close()
    for stop in (subprocess.Popen.terminate, subprocess.Popen.kill):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
            return
        stop(process)
    process.wait()
