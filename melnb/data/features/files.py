"""Feature tables of any maker: lesion features, colour statistics, measurements of a clinic."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from melnb.checks import check_ids
from melnb.data.features.columns import feature_column, reason_against, reason_against_values
from melnb.data.features.tables import LEFT_OUT, NOTES
from melnb.delimited import read_delimited
from melnb.files import picture_id, safe_id
from melnb.missing import count_missing
from melnb.patients.overlap import match
from melnb.tables import ID_COLUMNS, TableError

_PREDICTIONS = ("pred", "prediction", "predictions", "probability", "prob")


def read_features(path: str | Path, images: pd.DataFrame) -> pd.DataFrame:
    """Read a CSV as feature columns of a dataset's images.

    Words for missing are NaN, which `attrs["notes"]` says by column. Left out, with the reason in
    `attrs["left_out"]`, are columns that tell the truth by name or by value (see `columns`), that
    name images or say where they lie, that are empty or the same in every image of the dataset,
    and words of too many kinds.

    Args:
        path: A CSV with an id column (`ID_COLUMNS`), which may end in .jpg or .png.
        images: The images table.

    Returns:
        `image_id` and the features, a row for each image of the dataset that the file knows, in
        the order of `images`.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: There is no id column, an id is empty or doubled, no image of the dataset is
            there, no feature is left, a cell of a column of numbers is none (its line is named), or
            the file holds predictions, whose folds would have to be compared (see `scores`).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: give the path of a CSV file")
    table = _read_csv(path)
    _check_no_predictions(table, path)
    there = match(images["image_id"], table["image_id"])
    known = images[there >= 0]
    if known.empty:
        raise TableError(
            f"{path} knows none of the dataset's {len(images)} images "
            f"({images['image_id'].iloc[0]}, say): is it another dataset's, or are ids cut?"
        )
    truth = known.set_index("image_id")["target"]
    made, left = {}, {}
    notes: dict[str, str] = {}
    for name in map(str, table.columns.drop("image_id")):
        reason = reason_against(name)
        if not reason:
            column = feature_column(table[name], path)
            notes |= {name: count_missing(table[name], column)}
            made[name] = column.iloc[there[there >= 0]].set_axis(truth.index)
            reason = reason_against_values(made[name], truth)
        if reason:
            left[f"{path.name}: {name}"] = reason
            made.pop(name, None)
    if not made:
        raise TableError(f"{path} has no column that is a feature: {left}")
    features = pd.DataFrame(made).rename_axis("image_id").reset_index()
    features.attrs |= {LEFT_OUT: left, NOTES: {k: v for k, v in notes.items() if v}}
    return features


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a table as text, its id column as `image_id` in front; the index holds its lines."""
    table = read_delimited(path)
    spelt = {str(c).lower(): str(c) for c in reversed(table.columns)}
    own = next((spelt[name] for name in ID_COLUMNS if name in spelt), "")
    if not own:
        raise TableError(
            f"{path}: no id among {[*table.columns]}: name it one of {list(ID_COLUMNS)}"
        )
    ids = table.pop(own).map(picture_id, na_action="ignore").map(safe_id, na_action="ignore")
    table = table.drop(columns="image_id", errors="ignore")
    table.insert(0, "image_id", ids.astype(object))
    try:
        check_ids(table, "features")
    except TableError as error:
        raise TableError(f"{path}: {error}") from error
    return table


def _check_no_predictions(table: pd.DataFrame, path: Path) -> None:
    for column in map(str, table.columns):
        if column.lower() in _PREDICTIONS or column.lower().startswith("p_"):
            raise TableError(
                f"{path} holds predictions (column {column!r}), whose folds must be this "
                "dataset's: give them as scores, or rename the column if it is a measurement"
            )
