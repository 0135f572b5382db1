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
from melnb.params.catalogue import ParameterError, Parameters, stage_class
from melnb.runs import raw_data
from melnb.runs.folders import RECORD, mend, partial
from melnb.runs.provenance import ABSENT, alteration, hash_path, identity
from melnb.runs.raw_data import Look
from melnb.runs.store import find_table, located, outputs_root, project_root, resolve, run_name
from melnb.tables.documents import (
    NOTEBOOK_SHAPE,
    Cell,
    DamagedError,
    Input,
    Record,
    read_document,
    read_run,
)
from melnb.tables.files import is_table
from melnb.tables.nearest import did_you_mean

# What a run reads, as its parameters name it: told before a kernel starts, if it will not do.

# The runs that each stage reads, as its parameters name them; `*` stands for every fold.
NEEDS: dict[str, tuple[str, ...]] = {
    "02_prepare": ("{relabel}", "02d_segment_apply/{applied}", "{same_as}"),
    "02b_audit": ("02_prepare/{dataset}", "03d_embed/{embeddings}", "{predictions}"),
    "02c_segment_train": ("02_prepare/{dataset}",),
    "02d_segment_apply": (
        "02_prepare/{dataset}",
        "02c_segment_train/{segment_run}/*",
        "02d_segment_apply/{masks_of}",
    ),
    "03_train": (
        "02_prepare/{dataset}",
        "02_prepare/{external}",
        "03b_find_lr/{find_lr}",
        "04b_pseudo_label/{pseudo}",
    ),
    "03b_find_lr": ("02_prepare/{dataset}",),
    "03c_metadata": ("02_prepare/{dataset}", "{score_runs}"),
    "03d_embed": ("02_prepare/{dataset}",),
    "04_predict": ("02_prepare/{dataset}", "03_train/{train_run}/*"),
    "04b_pseudo_label": ("02_prepare/{dataset}", "04_predict/{predict_runs}"),
    "04c_look": ("03_train/{train_run}/*", "{predictions}", "06_report/{report}"),
    "05_ensemble": ("{members}", "{recipe}"),
    "05b_ablation": ("03_train/{techniques}-s*/*",),
    "06_report": ("{predictions}", "02_prepare/{dataset}"),
    "06b_explain": ("03_train/{trained}",),
    "06c_choose": ("06_report/{report}",),
    "06d_external": ("{predictions}", "{external}"),
    "06e_robustness": ("04_predict/{predict_run}",),
}
# The stage whose runs come first in a pipeline that has any, though no parameter names them.
AFTER = {"06_report": "02b_audit"}
# Parameters that name files and folders.
PATHS = (
    "folder", "fold_file", "marks", "chosen", "masks", "feature_tables", "pictures", "labels",
)  # fmt: skip


def needed(parameters: Parameters) -> list[str]:
    """Return the runs (`stage/run`, perhaps with `*`) and files that a stage's parameters name."""
    values = parameters.plain()
    for name in ("train_run", "segment_run"):
        if name in values:
            values[name] = values[name] or values["run"]
    if values.get("masks_of"):
        values["segment_run"] = ""
    names: list[str] = []
    for pattern in NEEDS.get(parameters.stage, ()):
        field = pattern[pattern.index("{") + 1 : pattern.index("}")]
        given = values[field] if isinstance(values[field], list) else [values[field]]
        names += [pattern.replace(f"{{{field}}}", str(value)) for value in given if value]
    return names


def check_inputs(parameters: Parameters) -> None:
    """Refuse parameters that name a run, a file, a folder or a class that is not there.

    It takes a second, where a kernel takes ten to find it out.

    Raises:
        ParameterError: They do; what is nearest is named. Or raw files are laid out otherwise.
    """
    values = parameters.plain()
    key, outputs = f"{parameters.stage}/{run_name(parameters)}", str(values.get("outputs", ""))
    for name in needed(parameters):
        if not there_already(name, outputs):
            raise ParameterError(
                f"{key} needs {name}, which is no finished run or file{_runs(name, outputs)}"
            )
        _check_positive(str(values.get("positive", "")), name, key, outputs)
    for field in PATHS:
        given = values.get(field) or ()
        for text in (given,) if isinstance(given, str) else given:
            synthetic = field == "folder" and values.get("source") == "synthetic"
            if text and not synthetic and not resolve(text).exists():
                raise ParameterError(
                    f"{key}: {field} is {text!r}: no {resolve(text)}{_files(resolve(text))}"
                )
    backbone = str(values.get("backbone", ""))
    if backbone.endswith((".keras", ".onnx")) and not located(backbone).is_file():
        raise ParameterError(
            f"{key}: backbone is {backbone!r}: no {resolve(backbone)}{_files(resolve(backbone))}"
        )
    check_raw_data(parameters)


def check_raw_data(parameters: Parameters) -> None:
    """Refuse a source and a folder whose files are not laid out as that source's are.

    Raises:
        ParameterError: They are not, in the words of the source's reader; or there is no folder.
    """
    values, key = parameters.plain(), f"{parameters.stage}/{run_name(parameters)}"
    names = ("columns", "rows", "seed", "task", "missing")
    options: dict[str, Any] = {name: values[name] for name in names if name in values}
    options["held_out"] = not values.get("n_folds", True)
    parts = values.get("sources") or {"": values}
    for name, part in parts.items():
        _check_source(f"{key}: {name}".removesuffix(": "), part, options)


def _check_source(key: str, part: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse one source whose files are not laid out as it says."""
    source, folder = part.get("source", "synthetic"), part.get("folder", "")
    if source == "synthetic":
        return
    if not folder:
        raise ParameterError(
            f"{key}: source is {source!r}, but folder is empty: say where its files are"
        )
    if not resolve(folder).exists():
        raise ParameterError(
            f"{key}: folder is {folder!r}: no {resolve(folder)}{_files(resolve(folder))}"
        )
    # Imported here, as most stages have no raw files, and pandas takes longer than all else.
    from melnb.data.sources.catalogue import check_source

    settings = {name: part.get(name, value) for name, value in options.items()}
    try:
        check_source(source, resolve(folder), **settings)
    except (OSError, ValueError) as error:
        raise ParameterError(f"{key}: {error}") from None


def check_other_dataset(parameters: Parameters) -> None:
    """Refuse to write over a run that was made of another dataset.

    A pipeline that is given another `dataset` and keeps its runs' names would replace them all.

    Raises:
        ParameterError: The run is finished, and its dataset is another.
    """
    final, wanted = run_folder(parameters), parameters.plain().get("dataset")
    if not wanted or not (final / RECORD).is_file():
        return
    try:
        before = read_run(final)["parameters"].get("dataset")
    except DamagedError:  # nobody's, and made anew
        return
    if before and before != wanted:
        name, key = run_name(parameters), f"{parameters.stage}/{run_name(parameters)}"
        first = name.split("/")[0]
        raise ParameterError(
            f"{key} is a run of the dataset {before}, which dataset={wanted} would write over: "
            f"give it another name (run={first}-{wanted}, say), or write over it (--force)"
        )


def there_already(name: str, outputs: str) -> bool:
    """Return whether a run, of any fold where the name has a `*`, or a file is there.

    Raises:
        DamagedError: A run's record cannot be read.
    """
    if "*" in name:
        records = list(outputs_root(outputs).glob(f"{name}/run.json"))
    else:
        try:
            table = find_table(name, outputs, file="run.json")
        except FileNotFoundError:
            return False
        if table.name != "run.json":
            return table.is_file()
        records = [table] if table.is_file() else []
    for record in records:
        read_run(record.parent)
    return bool(records)


def _check_positive(positive: str, name: str, key: str, outputs: str) -> None:
    """Refuse a class that a run's predictions have no column of; anyone's file is read later."""
    run, table = name.partition("/")[2], ""
    if positive and run and "*" not in name and not is_table(name):
        file = find_table(name, outputs, file="run.json").with_name("predictions.csv")
        if file.is_file():
            with file.open(encoding="utf-8") as lines:
                table = lines.readline().strip()
    classes = [column[2:] for column in table.split(",") if column.startswith("p_")]
    if classes and positive not in classes:
        raise ParameterError(
            f"{key}: positive is {positive!r}, and {name} has the classes {', '.join(classes)}: "
            "set it to one of them"
        )


def _runs(name: str, outputs: str) -> str:
    stage, _, run = name.partition("/")
    if not run or is_table(name):
        return _files(resolve(name))
    home = outputs_root(outputs) / stage
    runs = [p.name for p in home.iterdir() if p.is_dir()] if home.is_dir() else []
    return _near(run.split("/")[0], runs, f"in {home}")


def _files(path: Path) -> str:
    """Return what lies where a path leads as far as it does."""
    place = next((p for p in path.parents if p.is_dir()), path)
    wrong = path.relative_to(place).parts[0]
    return _near(wrong, (p.name for p in place.iterdir()), f"in {place}")


def _near(name: str, there: Iterable[str], place: str) -> str:
    names = sorted(n for n in there if not n.startswith("."))
    if hint := did_you_mean(name, names):
        return hint
    shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    return f" ({place} there is {shown or 'nothing'})"


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
        pattern = re.escape(name).replace(r"\-s\*", r"\-s\d+").replace(r"/\*", r"/fold(?:\d+|none)")
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
            before = raw_data.read_files(final / raw_data.FILE, name, content)
            seen = raw_data.compare(before, place, whole=whole)
            return Look(*(f"{name}: {words}" if words else "" for words in seen))
        return Look("" if hash_path(place) == entry["sha256"] else f"{name} changed")
    except FileNotFoundError:
        ours = any(place.is_relative_to(home) for home in (project_root(), outputs))
        if not ours and raw_data.is_away(place):
            return Look(doubt=f"{name} cannot be checked, as nothing is at {place.parent}")
        return Look(f"{name} is gone")
    except DamagedError as error:
        if error.path.name == raw_data.FILE:
            return Look(_anew(error))
        return Look(f"{name} is damaged ({error.problem})")
    except OSError as error:
        return Look(doubt=f"{name} cannot be checked: {error.strerror}")
