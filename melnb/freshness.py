"""Whether a finished run still is what running it again would make.

The answer looks at content alone: parameters, the notebook's code, hashes of what was read, files
that were written, and the first two numbers of melnb's version. Times play no part, so a run that
was made by hand in JupyterLab counts, and so does one that was copied from elsewhere. What takes
long to read is read if the whole is asked for (`melnb status --check`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import melnb
from melnb import rawdata
from melnb.documents import NOTEBOOK_SHAPE, Cell, DamagedError, Input, Record, read_document
from melnb.folders import RECORD, mend, partial
from melnb.inputs import needed
from melnb.params import Parameters, stage_class
from melnb.provenance import ABSENT, alteration, hash_path, identity
from melnb.rawdata import Look
from melnb.runs import outputs_root, project_root, read_run, run_name

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
    return look(parameters).change


def look(parameters: Parameters) -> Look:
    """Return why a run must be made (again), and what cannot be told of it."""
    final = run_folder(parameters)
    mend(final)
    if not (final / RECORD).is_file():
        return Look("not finished" if partial(final).is_dir() else "never run")
    failed = final.with_name(f"{final.name}.failed.ipynb")
    if failed.exists() and failed.stat().st_mtime > (final / RECORD).stat().st_mtime:
        return Look("failed last time")
    try:
        record = read_run(final, stage=parameters.stage)
    except DamagedError as error:
        return Look(_anew(error))
    change = (
        _other_parameters(record["parameters"], parameters)
        or _other_version(record["versions"])
        or _other_code(final / "notebook.ipynb", notebook_of(parameters.stage))
        or _new_runs(record["inputs"], parameters)
    )
    outputs = outputs_root(str(parameters.plain()["outputs"]))
    return Look(change) if change else look_at(record, final, outputs=outputs)


def look_at(record: Record, final: Path, *, outputs: Path, whole: bool = False) -> Look:
    """Say what a run read that is another now, or what it wrote.

    Args:
        record: Of the run.
        final: Its folder.
        outputs: The folder of all runs.
        whole: Whether large files and pictures are read too.
    """
    doubts = []
    for entry in record["inputs"]:
        seen = _look_at_input(entry, final, outputs, whole=whole)
        if seen.change:
            return seen
        doubts += [seen.doubt] if seen.doubt else []
    return Look(alteration(record["files"], final, whole=whole), "; ".join(doubts))


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


def read_cells(notebook: Path) -> list[Cell]:
    """Return the cells of a notebook.

    Raises:
        DamagedError: It is empty, cut, or no notebook.
    """
    remedy = "take it from git again, or if it is a run's, run its stage again"
    return read_document(notebook, NOTEBOOK_SHAPE, remedy)["cells"]


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
    now = code_of(source)
    try:
        return "" if code_of(executed) == now else "notebook changed"
    except DamagedError as error:
        return _anew(error)
    except ValueError:
        return f"damaged ({executed}: no cell is tagged `parameters`), will be made anew"


def _anew(error: DamagedError) -> str:
    return f"damaged ({error.path}: {error.problem}), will be made anew"


def _new_runs(inputs: Iterable[Input], parameters: Parameters) -> str:
    """Name a run that would be read as the others were: a fold or seed trained since."""
    places = [project_root() / entry["path"] for entry in inputs]
    read = {*places, *(path.parent for path in places)}
    root = outputs_root(str(parameters.plain()["outputs"]))
    for name in needed(parameters):
        pattern = re.escape(name).replace(r"\-s\*", r"\-s\d+").replace(r"/\*", r"/fold\d+")
        for record in sorted(root.glob(f"{name}/{RECORD}")) if "*" in name else ():
            key = record.parent.relative_to(root).as_posix()
            if re.fullmatch(pattern, key) and record.parent not in read:
                return f"{key} is new"
    return ""


def _look_at_input(entry: Input, final: Path, outputs: Path, *, whole: bool) -> Look:
    """Compare what was read with what is there now."""
    name, place = entry["path"], project_root() / entry["path"]
    kind, _, content = entry["sha256"].partition(":")
    try:
        if entry["sha256"] == ABSENT:
            return Look(f"{name} is new" if place.exists() else "")
        if kind == "raw":
            before = rawdata.read_files(final / rawdata.FILE, name, content)
            seen = rawdata.compare(before, place, whole=whole)
            return Look(*(f"{name}: {words}" if words else "" for words in seen))
        return Look("" if hash_path(place) == entry["sha256"] else f"{name} changed")
    except FileNotFoundError:
        ours = any(place.is_relative_to(home) for home in (project_root(), outputs))
        if not ours and rawdata.is_away(place):
            return Look(doubt=f"{name} cannot be checked, as nothing is at {place.parent}")
        return Look(f"{name} is gone")
    except DamagedError as error:
        if error.path.name == rawdata.FILE:
            return Look(_anew(error))
        return Look(f"{name} is damaged ({error.problem})")
    except OSError as error:
        return Look(doubt=f"{name} cannot be checked: {error.strerror}")
