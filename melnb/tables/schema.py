"""The three tables that join the rooms: images, folds, predictions.

A missing value is empty in the file and NaN in memory. Rows are joined by `image_id` alone, so
every check begins with it. Checks raise `TableError` with the table, the column, the value
received and what to do first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.tables.checks import (
    TEST,
    TableError,
    check_columns,
    check_ids,
    check_same_ids,
    check_sums,
    check_texts,
    check_truths,
    check_values,
    constant,
)
from melnb.tables.delimited import read_delimited
from melnb.tables.diagnoses import looked_for
from melnb.tables.files import replacing
from melnb.tables.overlap import check_together
from melnb.tables.values import blank_missing, neutralise, read_group_ids, read_numbers

IMAGE_COLUMNS = (
    "image_id", "patient_id", "lesion_id", "path", "diagnosis",
    "target", "sex", "age", "site", "source",
)  # fmt: skip
OPTIONAL_IMAGE_COLUMNS = ("mask_path", "width", "height", "split", "shard")
FOLD_COLUMNS = ("image_id", "fold")
PREDICTION_COLUMNS = ("image_id", "fold", "truth")
ID_COLUMNS = (
    "image_id", "image_name", "image", "isic_id", "filename", "file_name", "file", "img", "img_id",
    "img_name", "id",
)  # as others call it  # fmt: skip
THEIR_FOLDS = ("fold", "folds", "kfold", "k_fold", "cv_fold", "fold_id")
PATIENT_COLUMNS = ("patient_id", "patient", "patientid", "subject_id", "subject")
CONSTANT_COLUMNS = ("run", "views", "kind")
KINDS = ("probability", "score")

_NUMBERS = {"age": "float64", "fold": "int64", "width": "Int64", "height": "Int64"}
# Labels of which a word may mean missing, and whether one that may name a class does too.
_LABELS = {"diagnosis": False, "target": False, "truth": False, "sex": True, "site": True}
_TEXT = {
    *IMAGE_COLUMNS, *PREDICTION_COLUMNS, *CONSTANT_COLUMNS, "mask_path", "split", "shard",
} - {*_NUMBERS}  # fmt: skip


def check_images(images: pd.DataFrame) -> pd.DataFrame:
    """Return the table unchanged if it is a valid images table.

    Raises:
        TableError: A column is missing, an id is empty, doubled or unsafe as a file name, or an
            age is not a number of years from 0 to 120.
    """
    check_columns(images, IMAGE_COLUMNS, "images")
    check_ids(images, "images")
    check_texts(images, [c for c in images if c in _TEXT - {"image_id"}], "images")
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
        images: When given, ids must agree, and no patient, lesion or image (`overlap`) may lie in
            two folds.

    Raises:
        TableError: A column is missing, ids are doubled or differ from the images', a fold is
            not a whole number of -1 or more, or a patient, a lesion or an image and its copy lie
            in two folds.
    """
    check_columns(folds, FOLD_COLUMNS, "folds")
    check_ids(folds, "folds")
    numbers = pd.to_numeric(folds["fold"], errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0) | (numbers < TEST)
    if wrong.any():
        row = folds.loc[wrong].iloc[0]
        raise TableError(
            f"folds: fold of {row['image_id']} is {row['fold']}; use 0, 1, 2 … and -1 for test"
        )
    if images is not None:
        check_same_ids(folds, images)
        check_together(folds, images)
    return folds


def check_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the table unchanged if it is a valid predictions table.

    `truth` may be missing in test rows (fold -1) alone.

    Raises:
        TableError: A column is missing, ids are doubled, a value is NaN or outside 0-1, a truth
            is not one of the classes, or probabilities of a row do not sum to one.
    """
    check_columns(predictions, (*PREDICTION_COLUMNS, *CONSTANT_COLUMNS), "predictions")
    check_ids(predictions, "predictions")
    classes = class_names(predictions)
    check_texts(predictions, ("truth",), "predictions")
    kind = constant(predictions, "kind")
    constant(predictions, "run")
    constant(predictions, "views")
    if kind not in KINDS:
        raise TableError(f"predictions: kind is {kind!r}; use one of {list(KINDS)}")
    values = predictions[[f"p_{name}" for name in classes]].to_numpy(dtype=float)
    check_values(predictions, values, classes)
    if kind == "probability":
        check_sums(predictions, values)
    check_truths(predictions, classes)
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


def positive_class(predictions: pd.DataFrame) -> str:
    """Return the class of a predictions table that is looked for: `diagnoses.looked_for`."""
    return looked_for(class_names(predictions))


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

    Returns:
        A predictions table; without an image an empty one, which nobody takes for predictions.
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
    return check_predictions(table) if len(table) else table


def read_images(path: str | Path) -> pd.DataFrame:
    """Read and check an images table."""
    return check_images(_read(path, "run 02_prepare first"))


def join_images(folders: Iterable[Path], *, otherwise: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the images of prepared datasets in one table; one that is in two is the first's.

    Args:
        folders: Of the datasets.
        otherwise: Returned where there is no folder; None: no rows are.
    """
    tables = [read_images(folder / "images.csv") for folder in folders]
    if not tables:
        return pd.DataFrame(columns=list(IMAGE_COLUMNS)) if otherwise is None else otherwise
    return pd.concat(tables, ignore_index=True).drop_duplicates("image_id", ignore_index=True)


def read_folds(path: str | Path) -> pd.DataFrame:
    """Read and check a folds table."""
    return check_folds(_read(path, "run 02_prepare first"))


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read and check a predictions table."""
    return check_predictions(_read(path, "run 03_train or 04_predict first"))


def write_images(images: pd.DataFrame, path: str | Path) -> Path:
    """Check an images table and write it whole or not at all, its folds left out."""
    return write_table(check_images(without_folds(images)), path)


def without_folds(images: pd.DataFrame) -> pd.DataFrame:
    """Return images without a column `fold` of their source: the folds table alone says where."""
    return images.drop(columns="fold", errors="ignore")


def write_folds(
    folds: pd.DataFrame, path: str | Path, *, images: pd.DataFrame | None = None
) -> Path:
    """Check a folds table, beside its images if given, and write it whole or not at all."""
    return write_table(check_folds(folds, images), path)


def write_predictions(predictions: pd.DataFrame, path: str | Path) -> Path:
    """Check a predictions table and write it whole or not at all.

    An empty one, of a network that nothing is held out of, is not written: a file stands for rows.
    """
    return write_table(check_predictions(predictions), path) if len(predictions) else Path(path)


def write_table(table: pd.DataFrame, path: str | Path, *, header: bool = True) -> Path:
    """Write any table as CSV, whole or not at all; numbers read back bit for bit.

    A text that a spreadsheet would run (`=…`) gets an apostrophe, which `read_table` takes away.

    Args:
        table: Any.
        path: Of the file.
        header: Whether the first row names the columns.
    """
    with replacing(path) as temporary:
        neutralise(table).to_csv(temporary, index=False, header=header, lineterminator="\n")
    return Path(path)


def table_text(table: pd.DataFrame) -> str:
    """Return a table as `write_table` would write it."""
    return str(neutralise(table).to_csv(index=False, lineterminator="\n"))


def read_table(path: str | Path, *, empty: bool = False) -> pd.DataFrame:
    """Read any table that `write_table` wrote, or that someone has edited since.

    Columns of ours have their kinds, ids are texts; further ones are numbers or truths where all of
    their cells are.

    Args:
        path: The CSV.
        empty: Whether it may be without rows.

    Raises:
        TableError: The file is no table, or a cell of a column of numbers is none.
    """
    path = Path(path)
    table = read_delimited(path, empty=empty)
    for column in map(str, table.columns):
        if column in _NUMBERS or column.startswith("p_"):
            table[column] = _numbers(table[column], path, _NUMBERS.get(column, "float64"))
        elif column in ("patient_id", "lesion_id"):
            table[column] = read_group_ids(table[column], path)
        elif column in _LABELS:
            table[column] = blank_missing(table[column], names=_LABELS[column])
        elif column not in _TEXT and not column.endswith("_id"):
            table[column] = _guess(table[column])
    return table.reset_index(drop=True)


def _read(path: str | Path, remedy: str) -> pd.DataFrame:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: {remedy}")
    return read_table(path)


def _numbers(values: pd.Series, path: Path, kind: str) -> pd.Series:
    numbers = read_numbers(values, path)
    try:
        return numbers.astype(kind)  # type: ignore[call-overload, no-any-return]
    except (ValueError, TypeError) as error:
        wrong = numbers[numbers.isna() | (numbers % 1 != 0)]
        raise TableError(
            f"{path} line {wrong.index[0]}: {values.name} is {values[wrong.index[0]]!r}, not a "
            "whole number: correct it"
        ) from error


def _guess(values: pd.Series) -> pd.Series:
    """Return a further column as numbers or as truths, if all of its cells are."""
    words = set(values.dropna().unique())
    if words <= {"True", "False"} and values.notna().all():
        return values == "True"
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().sum() < values.notna().sum():
        return values
    exact = values.astype(object).astype("float64")
    return exact.astype("int64") if numbers.dtype.kind == "i" else exact
