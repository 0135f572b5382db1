"""Pseudo-labels: which images a student is told of, and what.

Noisy student: Xie et al. 2020 (soft labels, a student trained with noise). The thresholds 0.10 and
0.70 are those of a published SIIM-ISIC 2020 solution.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.data.datasets import Dataset
from melnb.data.epochs.training_rows import PSEUDO, Rows, read_rows
from melnb.tables.checks import TEST, TableError
from melnb.tables.delimited import read_delimited
from melnb.tables.schema import class_names, read_predictions, write_table
from melnb.tables.values import read_numbers

# Teachers: what the networks of each fold say of test images without a label.

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


def read_teachers(
    folders: Sequence[Path], *, records: Sequence[Mapping[str, Any]] = (), dataset: str = ""
) -> pd.DataFrame:
    """Read what the teachers of each fold say of test images without a label.

    Args:
        folders: Finished runs of 04_predict; of several the mean is taken, fold by fold.
        records: As of `check_teachers`, which is asked first; so is `dataset`.
        dataset: See there.

    Returns:
        image_id, teacher_fold and p_<class>, in order of fold and id. Images whose label is known
        are left out: they are there to be tested on.

    Raises:
        FileNotFoundError: A run predicted no test images.
        ValueError: Runs differ in folds, classes or images, or no image lacks a label.
    """
    check_teachers(records, dataset=dataset)
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


METHODS = ("soft", "hard")
COLUMNS = ("image_id", "teacher_fold", "score", "kept")
_SUM_TOLERANCE = 1e-3


def choose_labels(
    teachers: pd.DataFrame,
    *,
    positive: str,
    method: str = "soft",
    low: float = 0.1,
    high: float = 0.7,
    share: float = 1.0,
    per_class: bool = True,
) -> pd.DataFrame:
    """Choose which images a student is told of, and what.

    Args:
        teachers: See `pseudo_labels.read_teachers`.
        positive: The class that scores are for.
        method: `soft`: what is learnt is the teachers' probabilities. `hard`: it is the positive
            class where its probability is `high` or more, and the most probable other class where
            it is `low` or less; what lies between is not learnt from.
        low: Of method hard.
        high: Of method hard.
        share: Of method soft: the most certain share of the images, by the greatest probability.
        per_class: Of method soft: whether that share is of each most probable class; if not, a
            rare class, of which a teacher is seldom certain, may lose all of its images.

    Returns:
        One row per image and teacher fold: image_id, teacher_fold, score (the teachers'
        probability of the positive class), p_<class> (what is to be learnt) and kept.

    Raises:
        ValueError: A choice is unknown, or thresholds or share have no meaning.
    """
    classes = class_names(teachers)
    if method not in METHODS or positive not in classes:
        raise ValueError(
            f"method is {method!r} and positive {positive!r}; use one of {list(METHODS)} and one "
            f"of {list(classes)}"
        )
    if not 0 <= low < high <= 1 or not 0 < share <= 1:
        raise ValueError(
            f"low is {low}, high {high}, share {share}; use 0 <= low < high <= 1 and a share "
            "above 0 and up to 1"
        )
    probabilities = teachers[[f"p_{name}" for name in classes]].to_numpy()
    score = probabilities[:, classes.index(positive)]
    if method == "hard":
        probabilities = _harden(probabilities, classes.index(positive), high)
        kept = (score <= low) | (score >= high)
    else:
        groups = [teachers["teacher_fold"], *([probabilities.argmax(axis=1)] if per_class else [])]
        rank = (-pd.Series(probabilities.max(axis=1))).groupby(groups).rank(method="first")
        size = rank.groupby(groups).transform("size")
        kept = (rank <= np.ceil(share * size)).to_numpy()
    labels = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
    return check_labels(
        teachers[["image_id", "teacher_fold"]].reset_index(drop=True)
        .assign(score=score).join(labels).assign(kept=kept)
    )  # fmt: skip


def count_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Count what is kept: a row per teacher fold, a column per most probable class."""
    classes = class_names(labels)
    codes = labels[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    kept = pd.DataFrame(
        {name: (codes == k) & labels["kept"].to_numpy() for k, name in enumerate(classes)}
    )
    counts = kept.groupby(labels["teacher_fold"].to_numpy()).sum()
    counts["not kept"] = (~labels["kept"]).groupby(labels["teacher_fold"]).sum()
    return counts.rename_axis("teacher_fold").reset_index()


def pseudo_histogram(labels: pd.DataFrame, *, bins: int = 40) -> pd.DataFrame:
    """Count images by score, kept and not, over all teacher folds: low, high, kept, not_kept."""
    edges = np.linspace(0, 1, bins + 1)
    kept = labels["kept"].to_numpy()
    counts = [np.histogram(labels["score"].to_numpy()[rows], edges)[0] for rows in (kept, ~kept)]
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "kept": counts[0], "not_kept": counts[1]}
    )


def check_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Return the table unchanged if it is a valid table of pseudo-labels.

    Raises:
        ValueError: A column is missing, an image stands twice for one fold, probabilities do not
            sum to one, or the teachers' fold is not told.
    """
    if lost := [name for name in COLUMNS if name not in labels]:
        raise ValueError(f"pseudo-labels: no column {lost[0]!r}: write them by 04b_pseudo_label")
    folds = pd.to_numeric(labels["teacher_fold"], errors="coerce")
    if (~(folds >= 0)).any():
        raise ValueError(
            f"pseudo-labels: teacher_fold of {labels.loc[~(folds >= 0), 'image_id'].iloc[0]} is "
            f"{labels.loc[~(folds >= 0), 'teacher_fold'].iloc[0]}: labels of all folds' teachers "
            "together hold what every student is judged on; keep each fold's apart"
        )
    doubled = labels[labels.duplicated(["image_id", "teacher_fold"])]
    if len(doubled):
        raise ValueError(f"pseudo-labels: {doubled['image_id'].iloc[0]!r} stands twice for a fold")
    probabilities = labels[[f"p_{name}" for name in class_names(labels)]].to_numpy()
    wrong = ~(np.abs(probabilities.sum(axis=1) - 1) <= _SUM_TOLERANCE) | (probabilities < 0).any(
        axis=1
    )
    if wrong.any():
        name = labels["image_id"].iloc[int(wrong.argmax())]
        raise ValueError(f"pseudo-labels: probabilities of {name} do not sum to one")
    return labels


def write_labels(labels: pd.DataFrame, path: str | Path) -> Path:
    """Check a table of pseudo-labels and write it whole or not at all."""
    return write_table(check_labels(labels), path)


def read_labels(path: str | Path) -> pd.DataFrame:
    """Read and check a table of pseudo-labels.

    Raises:
        FileNotFoundError: It is not there.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no {path}: run 04b_pseudo_label first")
    labels = read_delimited(path)
    for column in labels.columns:
        if column in ("teacher_fold", "score") or column.startswith("p_"):
            labels[column] = read_numbers(labels[column], path)
        elif column == "kept":
            labels[column] = _read_kept(labels[column], Path(path))
    return check_labels(labels.reset_index(drop=True))


def _read_kept(values: pd.Series, path: Path) -> pd.Series:
    kept = values.str.lower().map({"true": True, "false": False, "1": True, "0": False})
    if kept.isna().any():
        line = kept.index[kept.isna()][0]
        raise TableError(f"{path} line {line}: kept is {values[line]!r}: use True or False")
    return kept.astype(bool)


def pseudo_rows(labels: pd.DataFrame, dataset: Dataset, *, fold: int, image_size: int) -> Rows:
    """Read the rows that the student of a fold may be told of, as its teachers say.

    Args:
        labels: See `choose_labels`.
        dataset: Whose test images they are.
        fold: Held out from the student; the labels of this fold's teachers alone are used.
        image_size: Pixels on a side; the next larger size that is there serves too.

    Returns:
        Rows of group `PSEUDO`, their truth soft.

    Raises:
        ValueError: There are no labels of this fold's teachers, their classes or images are not
            the dataset's, or none is kept.
    """
    mine = check_labels(labels)[labels["teacher_fold"] == fold]
    if mine.empty:
        raise ValueError(
            f"no pseudo-labels by teachers that did not learn from fold {fold}, only of folds "
            f"{sorted(set(labels['teacher_fold'].tolist()))}: train and predict this fold first"
        )
    if set(class_names(mine)) != set(dataset.classes):
        raise ValueError(
            f"pseudo-labels are of {list(class_names(mine))}, {dataset.dataset!r} has "
            f"{list(dataset.classes)}: label its images by networks of its classes"
        )
    kept = mine[mine["kept"]].set_index("image_id")[[f"p_{name}" for name in dataset.classes]]
    rows = read_rows(
        dataset.paths(TEST, image_size, exact=False), n_classes=len(dataset.classes), group=PSEUDO,
        labelled=False,
    )  # fmt: skip
    if lost := set(kept.index) - set(rows.image_id):
        raise ValueError(
            f"{min(lost)!r} has a pseudo-label, but is no test image of {dataset.dataset!r} "
            f"({len(lost)} such)"
        )
    if kept.empty:
        raise ValueError(f"no pseudo-label is kept for fold {fold}: widen thresholds or share")
    rows = rows.take(np.isin(rows.image_id, kept.index))
    return replace(rows, truth=kept.loc[rows.image_id].to_numpy("float32"))


def _harden(probabilities: np.ndarray, positive: int, high: float) -> np.ndarray:
    others = np.where(np.arange(probabilities.shape[1]) == positive, -1.0, probabilities)
    label = np.where(probabilities[:, positive] >= high, positive, others.argmax(axis=1))
    return np.eye(probabilities.shape[1])[label]
