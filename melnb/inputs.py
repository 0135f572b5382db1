"""What a run reads, as its parameters name it: told before a kernel starts, if it will not do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from melnb.files import is_table
from melnb.params import ParameterError, Parameters
from melnb.runs import find_table, outputs_root, read_run, resolve, run_name

# The runs that each stage reads, as its parameters name them; `*` stands for every fold.
NEEDS: dict[str, tuple[str, ...]] = {
    "02_prepare": ("{relabel}", "02d_segment_apply/{applied}"),
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
    "04_predict": ("02_prepare/{dataset}", "03_train/{train_run}/*"),
    "04b_pseudo_label": ("02_prepare/{dataset}", "04_predict/{predict_runs}"),
    "05_ensemble": ("{members}", "{recipe}"),
    "05b_ablation": ("03_train/{techniques}-s*/*",),
    "06_report": ("{predictions}", "02_prepare/{dataset}"),
    "06b_explain": ("03_train/{trained}",),
    "06c_choose": ("06_report/{report}",),
    "06d_external": ("{predictions}", "{external}"),
}
# Parameters that name files and folders.
PATHS = ("folder", "fold_file", "chosen", "masks", "feature_tables")


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
            made = field == "folder" and values.get("source") == "synthetic"
            if text and not made and not resolve(text).exists():
                raise ParameterError(
                    f"{key}: {field} is {text!r}: no {resolve(text)}{_files(resolve(text))}"
                )
    check_raw_data(parameters)


def check_raw_data(parameters: Parameters) -> None:
    """Refuse a source and a folder whose files are not laid out as that source's are.

    Raises:
        ParameterError: They are not, in the words of the source's reader; or there is no folder.
    """
    values, key = parameters.plain(), f"{parameters.stage}/{run_name(parameters)}"
    if values.get("source", "synthetic") == "synthetic":
        return
    if not values["folder"]:
        raise ParameterError(
            f"{key}: source is {values['source']!r}, but folder is empty: say where its files are"
        )
    # Imported here, as most stages have no raw files, and pandas takes longer than all else.
    from melnb.data.sources.catalogue import check_source

    told = {name: values[name] for name in ("columns", "rows", "seed", "task", "missing")}
    held_out = not values.get("n_folds", True)
    try:
        check_source(values["source"], resolve(values["folder"]), held_out=held_out, **told)
    except (OSError, ValueError) as error:
        raise ParameterError(f"{key}: {error}") from None


def there_already(name: str, outputs: str) -> bool:
    """Return whether a run, of any fold where the name has a `*`, or a file is there.

    Raises:
        DamagedError: A run's record cannot be read.
    """
    if "*" in name:
        records = list(outputs_root(outputs).glob(f"{name}/run.json"))
    else:
        try:
            found = find_table(name, outputs, file="run.json")
        except FileNotFoundError:
            return False
        if found.name != "run.json":
            return found.is_file()
        records = [found] if found.is_file() else []
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
    if near := difflib.get_close_matches(name, names, n=1):
        return f"; is {near[0]!r} meant?"
    shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    return f" ({place} there is {shown or 'nothing'})"
