"""Whether a finished run still is what running it again would make.

The answer looks at content alone: parameters, the notebook's code, hashes of what was read, files
that were written, and the first two numbers of melnb's version. Times play no part, so a run that
was made by hand in JupyterLab counts, and so does one that was copied from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import melnb
from melnb.folders import RECORD, mend, partial
from melnb.params import Parameters, stage_class
from melnb.provenance import (
    DamagedError,
    Entry,
    Input,
    hash_path,
    identity,
    list_files,
    read_json,
)
from melnb.runs import outputs_root, project_root, read_run, resolve, run_name

_PARAMETER_TAGS = {"parameters", "injected-parameters"}


def run_folder(parameters: Parameters) -> Path:
    """Return the folder of a finished run of these parameters."""
    outputs = str(parameters.plain()["outputs"])
    return outputs_root(outputs) / parameters.stage / run_name(parameters)


def notebook_of(stage: str) -> Path:
    """Return a stage's notebook.

    Raises:
        FileNotFoundError: The project has no such notebook.
    """
    path = project_root() / "notebooks" / f"{stage}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(
            f"no notebook {path}: run inside the project, or set MELNB_ROOT to its folder"
        )
    return path


def why_stale(parameters: Parameters) -> str:
    """Return why a run must be made (again), in words; empty if it is up to date."""
    final = run_folder(parameters)
    mend(final)
    if not (final / RECORD).is_file():
        return "not finished" if partial(final).is_dir() else "never run"
    failed = final.with_name(f"{final.name}.failed.ipynb")
    if failed.exists() and failed.stat().st_mtime > (final / RECORD).stat().st_mtime:
        return "failed last time"
    try:
        record = read_run(final, stage=parameters.stage)
    except DamagedError as error:
        return f"damaged ({error.path}: {error.problem}), will be made anew"
    return (
        _other_parameters(record["parameters"], parameters)
        or _other_version(record["versions"])
        or _other_code(final / "notebook.ipynb", notebook_of(parameters.stage))
        or _other_inputs(record["inputs"])
        or _other_files(record["files"], final)
    )


def code_of(notebook: Path) -> list[str]:
    """Return a notebook's code, without its prose and its parameters cells.

    Raises:
        ValueError: No cell is tagged `parameters`.
        DamagedError: It is no notebook.
    """
    code, tagged = [], False
    for cell in read_cells(notebook):
        tags = set(cell["metadata"].get("tags", ()))
        tagged |= "parameters" in tags
        if cell["cell_type"] == "code" and not tags & _PARAMETER_TAGS:
            code.append("".join(cell["source"]).strip())
    if not tagged:
        raise ValueError(f"{notebook}: no cell is tagged `parameters`: tag the one that holds them")
    return code


def read_cells(notebook: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook.

    Raises:
        DamagedError: It is empty, cut, or no notebook.
    """
    remedy = "take it from git again, or if it is a run's, run its stage again"
    cells = read_json(notebook, remedy).get("cells")
    if not isinstance(cells, list) or not all(
        isinstance(cell, dict) and {"cell_type", "source", "metadata"} <= cell.keys()
        for cell in cells
    ):
        raise DamagedError(notebook, "it has no list of cells", remedy)
    return cells


def _other_parameters(recorded: Mapping[str, Any], parameters: Parameters) -> str:
    fields = stage_class(parameters.stage).model_fields
    defaults = {name: field.default for name, field in fields.items()}
    # A parameter younger than the run had its default's effect.
    before, now = identity({**defaults, **recorded}), identity(parameters.plain())
    changed = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    words = [f"{name} {before.get(name)!r} -> {now.get(name)!r}" for name in changed[:3]]
    return ", ".join(words) + (" …" if len(changed) > 3 else "")


def _other_version(versions: Mapping[str, str]) -> str:
    before, now = versions.get("melnb", "?"), melnb.__version__
    same = before.split(".")[:2] == now.split(".")[:2]  # a patch release keeps the numbers
    return "" if same else f"melnb {before} -> {now}"


def _other_code(executed: Path, source: Path) -> str:
    if not executed.is_file():  # run by hand: the notebook is the person's own
        return ""
    try:
        return "" if code_of(executed) == code_of(source) else "notebook changed"
    except DamagedError as error:
        if error.path != executed:
            raise
        return f"damaged ({executed}: {error.problem}), will be made anew"


def _other_inputs(inputs: list[Input]) -> str:
    for entry in inputs:
        try:
            now = hash_path(resolve(entry["path"]))
        except FileNotFoundError:
            return f"{entry['path']} is gone"
        except DamagedError as error:
            return f"{entry['path']} is damaged ({error.problem})"
        if now != entry["sha256"]:
            return f"{entry['path']} changed"
    return ""


def _other_files(files: list[Entry], final: Path) -> str:
    for entry in files:
        path = final / entry["path"]
        if entry["path"].endswith("/"):
            inside = list_files(path)
            size = sum(file["bytes"] for file in inside)
            if (len(inside), size) != (entry["files"], entry["bytes"]):
                return f"its folder {entry['path']} is {'changed' if inside else 'gone'}"
        elif not path.is_file() or path.stat().st_size != entry["bytes"]:
            return f"its file {entry['path']} is {'changed' if path.is_file() else 'gone'}"
    return ""
