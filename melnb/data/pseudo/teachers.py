"""Teachers: what the networks of each fold say of test images without a label."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.tables import class_names, read_predictions

_OF_FOLDS = ("03_train", "04_predict")  # stages whose folds are the teachers'
_FILE = re.compile(r"test-by-fold(\d+)\.csv")


def check_teachers(records: Sequence[Mapping[str, Any]], *, dataset: str) -> None:
    """Refuse teachers whose folds are not the student's.

    Args:
        records: `run.json` of the teachers' runs and of all runs behind them.
        dataset: That the student learns and is judged on.

    Raises:
        ValueError: A network was trained or has predicted on another dataset, whose fold k is
            another one.
    """
    for record in (r for r in records if r["stage"] in _OF_FOLDS):
        used = record["parameters"].get("dataset", dataset)
        if used != dataset:
            raise ValueError(
                f"{record['stage']} of the teachers used dataset {used!r}, not {dataset!r}: its "
                "folds are others, so its teachers may have learnt from what the student is "
                "judged on; train them on the student's dataset"
            )


def read_teachers(folders: Sequence[Path]) -> pd.DataFrame:
    """Read what the teachers of each fold say of test images without a label.

    Args:
        folders: Finished runs of 04_predict; of several the mean is taken, fold by fold.

    Returns:
        image_id, teacher_fold and p_<class>, in order of fold and id. Images whose label is known
        are left out: they are there to be tested on.

    Raises:
        FileNotFoundError: A run predicted no test images.
        ValueError: Runs differ in folds, classes or images, or no image lacks a label.
    """
    if not folders:
        raise ValueError("no teachers: name one run of 04_predict or more")
    parts = [_read_run(folder) for folder in folders]
    first = parts[0]
    for folder, part in zip(folders, parts, strict=True):
        if list(part.columns) != list(first.columns) or not part.index.equals(first.index):
            raise ValueError(
                f"{folder} and {folders[0]} differ in classes, folds or test images: teachers "
                "that are averaged are of one dataset"
            )
    mean = np.mean([part.to_numpy() for part in parts], axis=0)
    return pd.DataFrame(mean, index=first.index, columns=first.columns).reset_index()


def _read_run(folder: Path) -> pd.DataFrame:
    """Return p_<class> of one run's teachers, indexed by fold and image."""
    files = {int(m[1]): p for p in (folder / "folds").glob("*") if (m := _FILE.fullmatch(p.name))}
    if not files:
        raise FileNotFoundError(
            f"no folds/test-by-fold<k>.csv in {folder}: 04_predict found no test images to label"
        )
    parts = []
    for fold, path in sorted(files.items()):
        table = read_predictions(path)
        unlabelled = table[table["truth"].isna()]
        columns = ["image_id", *(f"p_{name}" for name in class_names(table))]
        parts.append(unlabelled[columns].assign(teacher_fold=fold))
    whole = pd.concat(parts, ignore_index=True)
    if whole.empty:
        raise ValueError(f"{folder}: every test image has a label: there is nothing to label")
    return whole.set_index(["teacher_fold", "image_id"]).sort_index()
