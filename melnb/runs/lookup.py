"""What earlier stages left, found by name; and where raw data lies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from melnb.runs.folders import RECORD
from melnb.runs.provenance import check_written
from melnb.runs.store import (
    Record,
    find_run,
    find_table,
    located,
    outputs_root,
    project_root,
    resolve,
)
from melnb.tables.checks import TEST
from melnb.tables.documents import DamagedError, read_run
from melnb.tables.files import is_table
from melnb.tables.schema import read_images, read_table

ALL = "foldnone"  # the folder of a network that learnt from every fold
FOLD = re.compile(r"fold(\d+)")
_NETWORK = re.compile(r"(?:test|foreign)-by-fold(\d+)(?:-averaged)?\.csv")


def raw_folder(
    folder: str, *, rows: int, seed: int, faults: Sequence[str] = (), outputs: str | Path = ""
) -> Path:
    """Return where the raw files are: the folder given, or that of synthetic lesions.

    Args:
        folder: As the parameters name it; empty: synthetic lesions, whose folder is named for how
            many there are, their seed and their faults, so that another number makes another set.
        rows: Images to use.
        seed: Of the synthetic lesions.
        faults: Likewise.
        outputs: Where runs are written.
    """
    if folder:
        return resolve(folder)
    name = "-".join([f"images{rows or 600}", f"seed{seed}", *faults])
    return outputs_root(outputs) / "synthetic" / name


def raw_folders(
    folder: str,
    parts: Mapping[str, Mapping[str, Any]],
    *,
    rows: int,
    seed: int,
    faults: Sequence[str] = (),
    outputs: str | Path = "",
) -> dict[str, Path]:
    """Return where the raw files of each of several sources are, by name; of one, by an empty name.

    Args:
        folder: As of `raw_folder`, where there are no parts.
        parts: The sources that are read together: `folder` and `rows` of each.
        rows: As of `raw_folder`.
        seed: Likewise.
        faults: Likewise, where there are no parts.
        outputs: Where runs are written.
    """
    how: dict[str, Any] = {"seed": seed, "outputs": outputs}
    if not parts:
        return {"": raw_folder(folder, rows=rows, faults=faults, **how)}
    return {
        name: raw_folder(part.get("folder", ""), rows=part.get("rows", 0), **how)
        for name, part in parts.items()
    }


def source_folders(
    source: str,
    folder: str,
    parts: Mapping[str, Mapping[str, Any]],
    *,
    applied: str = "",
    rows: int,
    seed: int,
    faults: Sequence[str] = (),
    outputs: str | Path = "",
    reads: Callable[[Path], Path] = Path,
) -> tuple[str, dict[str, Path], dict[str, Path]]:
    """Return the layout of a dataset's source, and where its files are, by the name of each part.

    Args:
        source: Its layout.
        folder: As of `raw_folders`; so are `parts`, `rows`, `seed`, `faults` and `outputs`.
        parts: See there.
        applied: A run of 02d_segment_apply, whose pictures are the source instead; empty: none.
        rows: See there.
        seed: See there.
        faults: See there.
        outputs: See there.
        reads: Told the applied run, as `Run.reads`.

    Returns:
        The layout, the places, and those among them that are raw: of an applied run none.

    Raises:
        FileNotFoundError: The applied run is not finished.
    """
    if applied:
        layout, file = applied_source(applied, outputs)
        reads(file.parent)
        return layout, {"": file}, {}
    roots = raw_folders(folder, parts, rows=rows, seed=seed, faults=faults, outputs=outputs)
    return source, roots, roots


def applied_source(run: str, outputs: str | Path = "") -> tuple[str, Path]:
    """Return the source and the file by which 02_prepare reads what 02d_segment_apply wrote.

    Raises:
        FileNotFoundError: The run is not finished.
    """
    return "csv", find_run("02d_segment_apply", run, outputs) / "images.csv"


def weights_files(weights: str, backbone: str = "") -> list[Path]:
    """Return the files of one's own that weights and backbone name.

    Published ones are none: their digest is in the code, and each use is checked against it.

    Args:
        weights: As the parameters name them.
        backbone: A file if it is one of a network, `.keras` or `.onnx`.
    """
    published = weights in ("none", "kept", "imagenet", "noisy-student", "edges")
    named = [] if published else [weights]
    named += [backbone] if backbone.endswith((".keras", ".onnx")) else []
    return [path.absolute() for path in map(located, named) if path.is_file()]


def finished_runs(stage: str, outputs: str | Path = "") -> list[Path]:
    """Return the folders of a stage's finished runs, by name, that hold what they wrote."""
    home = outputs_root(outputs) / stage
    whole = []
    for name in sorted(_names(home)):
        with suppress(DamagedError):
            if (home / name / RECORD).is_file():
                check_written(home / name)
                whole.append(home / name)
    return whole


def find_folds(stage: str, run: str, outputs: str | Path = "") -> dict[int, Path]:
    """Return fold and folder of every finished fold of a run; of an empty name none.

    Raises:
        FileNotFoundError: Not one fold is finished; or the run learnt from all rows.
    """
    if not run:
        return {}
    home = outputs_root(outputs) / stage / run
    numbers = sorted(int(m[1]) for m in map(FOLD.fullmatch, _names(home)) if m)
    if not numbers and (home / ALL / RECORD).is_file():
        raise FileNotFoundError(
            f"{stage}/{run} learnt from all rows (fold none): it has nothing to say out of fold. "
            "Its predictions of test rows or of another dataset are those of 04_predict"
        )
    if not numbers:
        raise FileNotFoundError(f"no fold of {stage}/{run} in {home.parent}: run {stage} first")
    return {number: find_run(stage, f"{run}/fold{number}", outputs) for number in numbers}


def find_trained(run: str, outputs: str | Path = "") -> dict[int, Path]:
    """Return what a run of 03_train has to predict with: its folds, as `find_folds` finds them.

    Of a run that learnt from all rows it is the one network, under the number of test rows (-1):
    the only rows of its dataset that it may be asked about. Where there are folds too, it is not
    among them, for what is fitted out of fold would not be of it.

    Raises:
        FileNotFoundError: Nothing is finished.
    """
    home = outputs_root(outputs) / "03_train" / run
    folds = any(map(FOLD.fullmatch, _names(home)))
    if folds or not (home / ALL).is_dir():
        return find_folds("03_train", run, outputs)
    return {TEST: find_run("03_train", f"{run}/{ALL}", outputs)}


def find_seeds(run: str, outputs: str | Path = "") -> dict[int, list[Path]]:
    """Return seed and out-of-fold predictions, a file a fold, of the runs `<run>-s<seed>`.

    Raises:
        FileNotFoundError: Not one fold of one seed is finished.
    """
    home = outputs_root(outputs) / "03_train"
    seeds = sorted(
        int(m[1]) for m in map(re.compile(f"{re.escape(run)}-s(\\d+)").fullmatch, _names(home)) if m
    )
    if not seeds:
        raise FileNotFoundError(f"no 03_train/{run}-s<seed> in {home.parent}: run 03_train first")
    return {
        seed: [
            folder / "predictions.csv"
            for folder in find_folds("03_train", f"{run}-s{seed}", outputs).values()
        ]
        for seed in seeds
    }


def judged_names(report: Path) -> list[str]:
    """Return the names of the tables that a report judged, as `find_tables` takes them.

    Args:
        report: Its folder. Where it wrote rows of its own, calibrated, these stand for its first.
    """
    parameters = read_run(report)["parameters"]
    first, *others = parameters["predictions"]
    corrected = (report / "predictions.csv").is_file()
    return [f"06_report/{parameters['run']}" if corrected else first, *others]


def find_tables(
    names: Iterable[str], outputs: str | Path = "", *, reads: Callable[[Path], Path] = Path
) -> dict[str, list[Path]]:
    """Return the prediction files that texts name, by a label for each.

    A run (`04_predict/b3`) has its out-of-fold predictions, its test predictions, or both; a CSV
    file of anyone's is itself, labelled by its stem.

    Args:
        names: Runs and files; empty ones are none.
        outputs: Where runs are written.
        reads: Told each file that is looked for, as `Run.seeks` of the run that asks.

    Raises:
        FileNotFoundError: A run is not finished or wrote no predictions, or a file is not there.
        ValueError: Two names have one label.
    """
    tables: dict[str, list[Path]] = {}
    for name in filter(None, names):
        label = Path(name).stem if is_table(name) else name
        if label in tables:
            raise ValueError(f"{name!r} and another are both called {label!r}: rename a file")
        tables[label] = _files(name, outputs, reads)
    return tables


def find_networks(
    name: str, outputs: str | Path = "", *, reads: Callable[[Path], Path] = Path
) -> dict[int, Path]:
    """Return, by fold, what each network alone said of the test rows of a run.

    Args:
        name: As of `find_tables`, or its label.
        outputs: Where runs are written.
        reads: As of `find_tables`.

    Returns:
        Predictions files; none of a CSV file of anyone's, or of a run that kept none.
    """
    stage, _, run = name.partition("/")
    if is_table(name) or not run:  # a file's label is its stem
        return {}
    home = reads(find_run(stage, run, outputs) / "folds")
    networks = {int(m[1]): reads(home / m[0]) for m in map(_NETWORK.fullmatch, _names(home)) if m}
    return dict(sorted(networks.items()))


def find_images(
    dataset: str, outputs: str | Path = "", *, reads: Callable[[Path], Path] = Path
) -> pd.DataFrame | None:
    """Return the images table of a prepared dataset; None for an empty name.

    Args:
        dataset: Of 02_prepare.
        outputs: Where runs are written.
        reads: Told the file, as `Run.reads` of the run that asks.

    Raises:
        FileNotFoundError: The dataset was not prepared.
    """
    if not dataset:
        return None
    return read_images(reads(find_run("02_prepare", dataset, outputs) / "images.csv"))


def learnt_datasets(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the datasets that runs learnt from: their own first, then those mixed in.

    Args:
        records: Of any runs, as `lineage` or `documents.read_run` gives them; those of training
            count.
    """
    parameters = [r["parameters"] for r in records if str(r["stage"]).startswith("03")]
    names = [p["dataset"] for p in parameters if "dataset" in p]
    return list(
        dict.fromkeys([*names, *(name for p in parameters for name in p.get("external", ()))])
    )


def predicted_dataset(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the dataset whose images the last run of a lineage predicted; empty if it is unknown.

    Args:
        records: The earliest first, as `lineage` gives them.
    """
    named = [r["parameters"].get("dataset", "") for r in records if str(r["stage"])[:2] != "02"]
    return next((str(name) for name in reversed(named) if name), "")


def own_dataset(names: Iterable[str], outputs: str | Path = "") -> str:
    """Return the prepared dataset whose images runs predicted; empty if none is known, or left."""
    dataset = predicted_dataset(lineage(names, outputs))
    prepared = outputs_root(outputs) / "02_prepare" / dataset / RECORD
    return dataset if dataset and prepared.is_file() else ""


def find_measures(
    dataset: str, outputs: str | Path = "", *, reads: Callable[[Path], Path] = Path
) -> pd.DataFrame | None:
    """Return what was measured in the pictures of a prepared dataset; None where nothing was.

    Args:
        dataset: Of 02_prepare.
        outputs: Where runs are written.
        reads: As of `find_tables`.

    Raises:
        FileNotFoundError: The dataset was not prepared.
    """
    if not dataset:
        return None
    path = reads(find_run("02_prepare", dataset, outputs) / "measures.csv")
    table = read_table(path, empty=True) if path.is_file() else pd.DataFrame()
    return table if len(table) else None


def lineage(names: Iterable[str], outputs: str | Path = "") -> list[Record]:
    """Return the records of runs and of all runs behind them, the earliest first.

    Files that are not of a run have no record and are passed over.

    Raises:
        DamagedError: A record cannot be read: what was learnt from is not known without it.
    """
    records: dict[Path, Record] = {}
    for name in names:
        if not is_table(name):
            _trace(outputs_root(outputs) / name, records)
    return list(records.values())


def _trace(folder: Path, records: dict[Path, Record]) -> None:
    """Add a run's record behind those of the runs that it read."""
    if folder in records or not (folder / RECORD).is_file():
        return
    record = read_run(folder)
    for item in record["inputs"]:
        path = project_root() / item["path"]
        _trace(path if path.is_dir() else path.parent, records)
    records[folder] = record


def _files(name: str, outputs: str | Path, reads: Callable[[Path], Path]) -> list[Path]:
    if is_table(name):
        return [reads(find_table(name, outputs))]
    stage, _, run = name.partition("/")
    home = find_run(stage, run, outputs)
    sought = [reads(home / file) for file in ("predictions.csv", "test.csv")]
    files = [file for file in sought if file.is_file()]
    if not files and run.endswith(f"/{ALL}"):
        raise FileNotFoundError(
            f"{name} learnt from all rows (fold none), and predicted none of them: an image that "
            "was learnt is no evidence. Predict test rows or another dataset by 04_predict"
        )
    if not files:
        raise FileNotFoundError(f"no predictions.csv and no test.csv in {home}: name another run")
    return files


def _names(folder: Path) -> Sequence[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
