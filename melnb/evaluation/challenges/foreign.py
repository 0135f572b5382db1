"""Predictions that others wrote: challenge submissions and out-of-fold files of any solution.

Columns are known by their names, never by their positions.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.diagnoses import MELANOMA, NAMES, OTHER, find_diagnosis
from melnb.tables import ID_COLUMNS, TEST, TableError, make_predictions, read_predictions

PREDICTION_COLUMNS = (
    "pred", "prediction", "predictions", "probability", "prob", "confidence", "score",
)  # fmt: skip
TRUTH_COLUMNS = ("truth", "target", "label", "benign_malignant")
_POSITIVE_WORDS = ("1", "1.0", "true", "malignant")
_NEGATIVE_WORDS = ("0", "0.0", "false", "benign", "other", "rest")
_SUFFIX = re.compile(r"\.(jpe?g|png)$", re.IGNORECASE)
_BARE_ID = re.compile(r"ISIC_\d+(\.jpe?g)?")


def read_foreign(path: str | Path, *, positive: str = MELANOMA, name: str = "") -> pd.DataFrame:
    """Read anyone's predictions as a predictions table.

    Known: our own table; an id with one probability, and truth and fold if they are there
    (`image_name,target,fold,pred`); a submission, whose `target` alone is the prediction; a column
    per diagnosis, by ISIC code or name; the two columns of ISIC 2017; two columns without a header.
    Folds 1 to k become 0 to k - 1, as in `02_prepare`. Without folds, rows are fold 0 if they have
    truths and test rows if not.

    Args:
        path: A CSV file.
        positive: The class that a single probability is of.
        name: The run's name; empty: the file's.

    Returns:
        A checked predictions table; other columns ending in `_id` (patient, lesion) are kept.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: No column is known as an id or a prediction, or a value is refused.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: give the path of a CSV file")
    table = _read_text(path)
    if {"image_id", "truth", "kind"} <= set(table.columns):
        return read_predictions(path)
    try:
        return _predictions(table, positive, name or path.stem)
    except TableError as error:
        raise TableError(f"{path}: {error}") from error


def _read_text(path: Path) -> pd.DataFrame:
    """Read every cell as text, so that numbers are parsed once and ids are never numbers."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file), [])
    bare = len(first) == 2 and _BARE_ID.fullmatch(first[0].strip()) is not None
    names = ["image_id", "prediction"] if bare else None
    try:
        table = pd.read_csv(
            path,
            names=names,
            header=None if bare else 0,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise TableError(f"{path} does not read as a CSV table: {error}") from error
    return table.rename(columns=lambda c: str(c).strip())


def _predictions(table: pd.DataFrame, positive: str, run: str) -> pd.DataFrame:
    id_column = _column(table, ID_COLUMNS)
    if not id_column:
        raise TableError(
            f"no id among the columns {list(table.columns)}: name it one of {list(ID_COLUMNS)}"
        )
    ids = table[id_column].str.strip().str.replace(_SUFFIX, "", regex=True)
    by_class = _diagnosis_columns(table)
    if len(by_class) > 1:
        classes, values = _class_values(table, ids, by_class)
        truth_column = _column(table, ("truth",))
    else:
        classes, values, truth_column = _binary_values(table, ids, positive)
    truths = _truths(table[truth_column], ids, classes) if truth_column else None
    made = make_predictions(
        ids,
        pd.Series(_folds(table, ids, truths)),
        truths,
        values,
        classes=classes,
        run=run,
        kind="probability" if _sums_to_one(values) else "score",
    )
    kept = [c for c in table.columns if c.endswith("_id") and c not in (id_column, "image_id")]
    return made.assign(**{c: table[c].where(table[c] != "", np.nan).to_numpy() for c in kept})


def _column(table: pd.DataFrame, names: tuple[str, ...]) -> str:
    """Return the table's own spelling of the first name that it has, or an empty text."""
    spelt = {str(c).lower(): str(c) for c in reversed(table.columns)}
    return next((spelt[name] for name in names if name in spelt), "")


def _diagnosis_columns(table: pd.DataFrame) -> dict[str, str]:
    """Return the class of each column that is named as a diagnosis, `p_` or not."""
    found = {}
    for column in table.columns:
        try:
            found[find_diagnosis(column.removeprefix("p_"))] = column
        except ValueError:
            continue
    return found


def _class_values(
    table: pd.DataFrame, ids: pd.Series, by_class: dict[str, str]
) -> tuple[tuple[str, ...], np.ndarray]:
    classes = tuple(name for name in NAMES if name in by_class)
    values = np.column_stack([_numbers(table[by_class[name]], ids) for name in classes])
    if set(classes) == {MELANOMA, "benign_keratosis"}:
        # ISIC 2017 asks two questions of three classes; what neither claims is the third's.
        classes = (MELANOMA, "nevus", "benign_keratosis")
        rest = np.clip(1 - values.sum(axis=1), 0, 1)
        values = np.column_stack([values[:, 0], rest, values[:, 1]])
    return classes, values


def _binary_values(
    table: pd.DataFrame, ids: pd.Series, positive: str
) -> tuple[tuple[str, ...], np.ndarray, str]:
    """Return two classes, their values, and the truth's column (empty if there is none)."""
    own = (f"p_{positive}", positive)
    prediction = _column(table, (*own, *PREDICTION_COLUMNS))
    truth = _column(table, TRUTH_COLUMNS)
    if not prediction:
        # In a submission the prediction is called target.
        prediction, truth = _column(table, ("target",)), ""
    if not prediction:
        known = [*own, *PREDICTION_COLUMNS, "target"]
        raise TableError(f"no prediction among the columns {list(table.columns)}: use {known}")
    values = _numbers(table[prediction], ids)
    classes = ("benign" if positive == "malignant" else OTHER, positive)
    return classes, np.column_stack([1 - values, values]), truth


def _numbers(cells: pd.Series, ids: pd.Series) -> np.ndarray:
    """Return cells as numbers from 0 to 1, each the float nearest to its text."""
    values = np.empty(len(cells))
    for row, text in enumerate(cells):
        try:
            values[row] = float(text)
        except ValueError:
            values[row] = np.nan
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        first = int(wrong.argmax())
        raise TableError(
            f"{cells.name} of {ids.iloc[first]} is {cells.iloc[first]!r}, not a number from 0 to 1 "
            f"({int(wrong.sum())} such rows): divide ranks by their number first, and fill gaps"
        )
    return values


def _truths(cells: pd.Series, ids: pd.Series, classes: tuple[str, ...]) -> pd.Series:
    words: dict[str, str | float] = {"": np.nan}
    if len(classes) == 2:
        words |= dict.fromkeys(_NEGATIVE_WORDS, classes[0])
        words |= dict.fromkeys(_POSITIVE_WORDS, classes[1])
    words |= {name: name for name in classes}
    cleaned = cells.str.strip().str.lower()
    wrong = ~cleaned.isin(words)
    if wrong.any():
        raise TableError(
            f"{cells.name} of {ids[wrong].iloc[0]} is {cells[wrong].iloc[0]!r}, not a truth: "
            f"use one of {[word for word in words if word]}"
        )
    return pd.Series([words[word] for word in cleaned], dtype=object)


def _folds(table: pd.DataFrame, ids: pd.Series, truths: pd.Series | None) -> np.ndarray:
    column = _column(table, ("fold",))
    if not column:
        unknown = pd.Series(True, index=ids.index) if truths is None else truths.isna()
        return np.where(unknown, TEST, 0)
    numbers = pd.to_numeric(table[column], errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0)
    if wrong.any():
        raise TableError(
            f"{column} of {ids[wrong].iloc[0]} is {table.loc[wrong, column].iloc[0]!r}: "
            "use 0, 1, 2 … and -1 for test"
        )
    folds = numbers.to_numpy(dtype=int)
    given = np.unique(folds[folds != TEST])
    # Others count folds from 1. One number alone may be a single fold's file, and stays.
    from_one = len(given) > 1 and np.array_equal(given, np.arange(1, len(given) + 1))
    return np.where(folds == TEST, TEST, folds - 1) if from_one else folds


def _sums_to_one(values: np.ndarray) -> bool:
    return bool((np.abs(values.sum(axis=1) - 1) <= 1e-3).all())
