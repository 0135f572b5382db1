"""The three tables that join the rooms: images, folds, predictions.

A missing value is empty in the file and NaN in memory. Rows are joined by `image_id` alone, so
every check begins with it. Checks raise `TableError` with the table, the column, the value
received and what to do first.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

IMAGE_COLUMNS = (
    "image_id", "patient_id", "lesion_id", "path", "diagnosis",
    "target", "sex", "age", "site", "source",
)  # fmt: skip
OPTIONAL_IMAGE_COLUMNS = ("mask_path", "width", "height", "split", "shard")
FOLD_COLUMNS = ("image_id", "fold")
PREDICTION_COLUMNS = ("image_id", "fold", "truth")
CONSTANT_COLUMNS = ("run", "views", "kind")
KINDS = ("probability", "score")
TEST = -1  # the fold of images that no model may be fitted on

_NUMBERS = {"age": "float64", "fold": "int64", "width": "Int64", "height": "Int64"}
_TEXT = {
    *IMAGE_COLUMNS, *PREDICTION_COLUMNS, *CONSTANT_COLUMNS, "mask_path", "split", "shard",
} - {*_NUMBERS}  # fmt: skip
_IMAGE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_SUM_TOLERANCE = 1e-3  # a file with three decimals per class still sums to one


class TableError(ValueError):
    """A table breaks the agreement; the message says where and what to do."""


def check_images(images: pd.DataFrame) -> pd.DataFrame:
    """Return the table unchanged if it is a valid images table.

    Raises:
        TableError: A column is missing, an id is empty, doubled or unsafe as a file name, or an
            age is not a number of years from 0 to 120.
    """
    _check_columns(images, IMAGE_COLUMNS, "images")
    _check_ids(images, "images")
    age = pd.to_numeric(images["age"], errors="coerce")
    wrong = images["age"].notna() & ~age.between(0, 120)
    if wrong.any():
        row = images.loc[wrong].iloc[0]
        raise TableError(
            f"images: age of {row['image_id']} is {row['age']}, not a number of years "
            "from 0 to 120: correct it, or leave it empty if it is unknown"
        )
    return images


def check_folds(folds: pd.DataFrame, images: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the table unchanged if it is a valid folds table.

    Args:
        folds: One row per image.
        images: When given, ids must agree, and no patient or lesion may lie in two folds.

    Raises:
        TableError: A column is missing, ids are doubled or differ from the images', a fold is
            not a whole number of -1 or more, or a patient or a lesion lies in two folds.
    """
    _check_columns(folds, FOLD_COLUMNS, "folds")
    _check_ids(folds, "folds")
    numbers = pd.to_numeric(folds["fold"], errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0) | (numbers < TEST)
    if wrong.any():
        row = folds.loc[wrong].iloc[0]
        raise TableError(
            f"folds: fold of {row['image_id']} is {row['fold']}; use 0, 1, 2 … and -1 for test"
        )
    if images is not None:
        _check_same_ids(folds, images)
        for group in ("patient_id", "lesion_id"):
            _check_no_straddling(folds, images, group)
    return folds


def check_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the table unchanged if it is a valid predictions table.

    `truth` may be missing in test rows (fold -1) alone.

    Raises:
        TableError: A column is missing, ids are doubled, a value is NaN or outside 0-1, a truth
            is not one of the classes, or probabilities of a row do not sum to one.
    """
    _check_columns(predictions, (*PREDICTION_COLUMNS, *CONSTANT_COLUMNS), "predictions")
    _check_ids(predictions, "predictions")
    classes = class_names(predictions)
    kind = _constant(predictions, "kind")
    _constant(predictions, "run")
    _constant(predictions, "views")
    if kind not in KINDS:
        raise TableError(f"predictions: kind is {kind!r}; use one of {list(KINDS)}")
    values = predictions[[f"p_{name}" for name in classes]].to_numpy(dtype=float)
    _check_values(predictions, values, classes)
    if kind == "probability":
        _check_sums(predictions, values)
    _check_truths(predictions, classes)
    return predictions


def class_names(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes of a predictions table, in its column order.

    Raises:
        TableError: There are fewer than two `p_<class>` columns.
    """
    names = tuple(str(c)[2:] for c in predictions.columns if str(c).startswith("p_"))
    if len(names) < 2:
        raise TableError(
            f"predictions: {len(names)} column(s) p_<class> among {list(predictions.columns)}; "
            "two or more are needed (melanoma and other, say)"
        )
    return names


def make_predictions(
    image_ids: Sequence[str] | pd.Series,
    folds: Sequence[int] | pd.Series | int,
    truths: Sequence[str | None] | pd.Series | None,
    probabilities: np.ndarray,
    *,
    classes: Sequence[str],
    run: str,
    views: str = "none",
    kind: str = "probability",
) -> pd.DataFrame:
    """Make a checked predictions table.

    Args:
        image_ids: n ids.
        folds: n folds, or one for all rows.
        truths: n class names; None or NaN where unknown.
        probabilities: n x classes, each 0-1.
        classes: Class names, in the order of the columns of `probabilities`.
        run: The model run's name.
        views: How many looks at each image were averaged, in words: `none`, `dihedral`, `random15`.
        kind: `probability` or `score`.
    """
    columns = {f"p_{name}": probabilities[:, k] for k, name in enumerate(classes)}
    table = pd.DataFrame(
        {
            "image_id": np.asarray(image_ids, dtype=object),
            "fold": folds,
            "truth": pd.array(np.asarray(truths, dtype=object)) if truths is not None else np.nan,
            **columns,
            "run": run,
            "views": views,
            "kind": kind,
        }
    )
    table["truth"] = table["truth"].astype(object).where(table["truth"].notna(), np.nan)
    return check_predictions(table)


def read_images(path: str | Path) -> pd.DataFrame:
    """Read and check an images table."""
    return check_images(_read(path, "images", "run 02_prepare first"))


def read_folds(path: str | Path) -> pd.DataFrame:
    """Read and check a folds table."""
    return check_folds(_read(path, "folds", "run 02_prepare first"))


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read and check a predictions table."""
    return check_predictions(_read(path, "predictions", "run 03_train or 04_predict first"))


def write_images(images: pd.DataFrame, path: str | Path) -> Path:
    """Check an images table and write it whole or not at all."""
    return write_table(check_images(images), path)


def write_folds(folds: pd.DataFrame, path: str | Path) -> Path:
    """Check a folds table and write it whole or not at all."""
    return write_table(check_folds(folds), path)


def write_predictions(predictions: pd.DataFrame, path: str | Path) -> Path:
    """Check a predictions table and write it whole or not at all."""
    return write_table(check_predictions(predictions), path)


def write_table(table: pd.DataFrame, path: str | Path) -> Path:
    """Write any table as CSV under a temporary name, then rename it: whole or absent.

    Numbers are written so that they read back bit for bit.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        table.to_csv(temporary, index=False, lineterminator="\n")
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def _read(path: str | Path, table: str, remedy: str) -> pd.DataFrame:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: {remedy}")
    header = [str(c) for c in pd.read_csv(path, nrows=0).columns]
    numbers: dict[str, Any] = {c: t for c, t in _NUMBERS.items() if c in header}
    numbers |= {c: "float64" for c in header if c.startswith("p_")}
    text = {c: str for c in header if c in numbers or c in _TEXT or c.endswith("_id")}
    read = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    for column, kind in numbers.items():
        try:
            # From text, because pandas before 3.1 read floats in CSV files inexactly by default.
            read[column] = pd.to_numeric(read[column]).astype(kind)
        except (ValueError, TypeError) as error:
            raise TableError(f"{table}: column {column!r} of {path}: {error}") from error
    return read


def _check_columns(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    for column in columns:
        if column not in table.columns:
            near = difflib.get_close_matches(column, [str(c) for c in table.columns], n=1)
            hint = f" (rename {near[0]!r}?)" if near else ""
            raise TableError(
                f"{name}: no column {column!r} among {[str(c) for c in table.columns]}{hint}"
            )


def _check_ids(table: pd.DataFrame, name: str) -> None:
    ids = table["image_id"]
    if ids.isna().any():
        raise TableError(f"{name}: row {int(np.argmax(ids.isna()))} has an empty image_id")
    safe = ids.map(lambda i: bool(_IMAGE_ID.fullmatch(str(i))))
    if not safe.all():
        raise TableError(
            f"{name}: image_id {ids[~safe].iloc[0]!r} is unsafe as a file name: "
            "use letters, digits, _ . + and -, not beginning with a dot"
        )
    doubled = ids[ids.duplicated()]
    if len(doubled):
        raise TableError(
            f"{name}: image_id {doubled.iloc[0]!r} stands in more than one row "
            f"({doubled.nunique()} ids are doubled): keep one row per image"
        )


def _check_same_ids(folds: pd.DataFrame, images: pd.DataFrame) -> None:
    for have, lack, where in ((folds, images, "images"), (images, folds, "folds")):
        lost = set(have["image_id"]) - set(lack["image_id"])
        if lost:
            raise TableError(
                f"folds: image_id {min(lost)!r} is not in the {where} table "
                f"({len(lost)} such ids): both tables must come from one run of 02_prepare"
            )


def _check_no_straddling(folds: pd.DataFrame, images: pd.DataFrame, group: str) -> None:
    joined = folds[["image_id", "fold"]].merge(images[["image_id", group]], on="image_id")
    counts = joined.dropna(subset=[group]).groupby(group)["fold"].nunique()
    straddling = counts[counts > 1]
    if len(straddling):
        raise TableError(
            f"folds: {group} {straddling.index[0]!r} lies in {straddling.iloc[0]} folds "
            f"({len(straddling)} such): its images would be learnt and tested on; "
            "keep each one in one fold"
        )


def _constant(table: pd.DataFrame, column: str) -> str:
    values = table[column].unique()
    if len(values) != 1:
        raise TableError(
            f"predictions: column {column!r} holds {len(values)} values "
            f"({list(values[:3])}); one table holds one run"
        )
    return str(values[0])


def _check_values(table: pd.DataFrame, values: np.ndarray, classes: Sequence[str]) -> None:
    # The comparison is written so that NaN fails it too.
    rows, columns = np.nonzero(~((values >= 0) & (values <= 1)))
    if len(rows):
        raise TableError(
            f"predictions: p_{classes[columns[0]]} of {table['image_id'].iloc[rows[0]]} is "
            f"{values[rows[0], columns[0]]}, not between 0 and 1 ({len(rows)} such values)"
        )


def _check_sums(table: pd.DataFrame, values: np.ndarray) -> None:
    wrong = np.abs(values.sum(axis=1) - 1) > _SUM_TOLERANCE
    if wrong.any():
        first = int(np.argmax(wrong))
        raise TableError(
            f"predictions: probabilities of {table['image_id'].iloc[first]} sum to "
            f"{values[first].sum():.4f}, not one ({int(wrong.sum())} such rows): "
            "write kind 'score' if they are ranks or blends of ranks"
        )


def _check_truths(table: pd.DataFrame, classes: Sequence[str]) -> None:
    unknown = table["truth"].isna()
    lost = unknown & (table["fold"] != TEST)
    if lost.any():
        raise TableError(
            f"predictions: {table.loc[lost, 'image_id'].iloc[0]} has no truth; "
            "only test rows (fold -1) may lack one"
        )
    wrong = ~unknown & ~table["truth"].isin(classes)
    if wrong.any():
        row = table.loc[wrong].iloc[0]
        raise TableError(
            f"predictions: truth of {row['image_id']} is {row['truth']!r}, "
            f"not one of the classes {list(classes)}"
        )
