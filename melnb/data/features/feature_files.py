"""Feature tables of any maker: lesion features, colour statistics, measurements of a clinic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from melnb.data.features.feature_rows import (
    LEFT_OUT,
    NOTES,
    feature_column,
    reason_against,
    reason_against_values,
)
from melnb.tables.checks import TableError, check_columns, check_ids
from melnb.tables.delimited import read_delimited
from melnb.tables.files import picture_id, safe_id
from melnb.tables.overlap import match
from melnb.tables.schema import ID_COLUMNS
from melnb.tables.values import count_missing
from melnb.tables.within_patient import (
    FEWEST,
    first_known,
    group_codes,
    outlier_factors,
    standings,
)

# Patient-relative features: how an image stands among its patient's, for any number.
#
# The ugly duckling (Grob and Bonerandi 1998, Archives of Dermatology 134:103) as features of a
# model of tables, which made most of the gain in the ISIC 2024 challenge.

OF_EACH = ("difference", "ratio", "z", "rank")  # a column for each number
OF_ALL = ("lof", "pictures")  # one column
STATISTICS = (*OF_EACH, *OF_ALL)
GROUPS = ("patient_id", "lesion_id")


def relative_features(
    rows: pd.DataFrame,
    images: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    columns: Sequence[str],
    statistics: Sequence[str] = STATISTICS,
    group: str = "",
    by_site: bool = False,
) -> pd.DataFrame:
    """Return how each image stands among those of its fold and patient.

    A fold's images are compared with one another alone, so that nothing crosses a fold's border,
    and out-of-fold scores of one model alone are compared. No truth is used.

    Args:
        rows: Feature rows.
        images: The images table.
        folds: The folds table.
        columns: Numbers of `rows`.
        statistics: `difference` from the patient's mean, `ratio` to it, `z` (in the patient's
            standard deviations, n - 1), `rank` (mean rank less a half, as a share), `lof` (local
            outlier factor of all columns together, each in the patient's standard deviations;
            Breunig et al. 2000, SIGMOD 29:93), `pictures` (how many there are).
        group: A column of `images`; empty: the patient, or the lesion where the patient is unknown.
        by_site: Compare the images of one site of the patient; where the site is unknown, the
            image is alone. New columns end in `_site`.

    Returns:
        `image_id`, in the order of `rows`, `<column>_<statistic>` of each, `lof` and `pictures`.
        An image of a group of fewer than three, of no group, or with a missing value is neutral:
        difference 0, ratio 1, z 0, rank 0.5, lof 1. That a value is missing says its own column.

    Raises:
        TableError: A column is not there, is no number, or no group is known; an image has no row
            in `images` or `folds`.
        ValueError: A statistic is unknown or none is asked for.
    """
    _check(rows, columns, statistics)
    # Sums are rounded, and equal distances told apart, in the order of ids: whatever the order of
    # the rows, the same bits.
    order = np.argsort(rows["image_id"].to_numpy(dtype=object).astype(str), kind="stable")
    ordered = rows.iloc[order]
    codes = _groups(ordered["image_id"], images, folds, group, by_site)
    values = {name: ordered[name].to_numpy(dtype=float) for name in columns}
    measures = _relative(values, codes, statistics)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    end = "_site" if by_site else ""
    table = {"image_id": rows["image_id"].to_numpy(dtype=object)}
    return pd.DataFrame(table | {f"{name}{end}": of[back] for name, of in measures.items()})


def _relative(
    values: dict[str, np.ndarray], groups: np.ndarray, statistics: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return each new column, in the order of columns, then of statistics."""
    columns: dict[str, np.ndarray] = {}
    scaled = []
    for name, column in values.items():
        standing = standings(column, groups)
        columns |= {f"{name}_{s}": standing[s] for s in statistics if s in OF_EACH}
        scaled.append(np.where(np.isnan(column), np.nan, standing["z"]))
    if "lof" in statistics:
        columns["lof"] = outlier_factors(np.column_stack(scaled), groups, fewest=FEWEST)
    if "pictures" in statistics:
        columns["pictures"] = np.bincount(groups, minlength=1)[groups].astype(float)
    return columns


def _groups(
    ids: pd.Series, images: pd.DataFrame, folds: pd.DataFrame, group: str, by_site: bool
) -> np.ndarray:
    """Return a whole number for each id, equal within a fold's group."""
    members, fold = _rows_of(images, ids, "images"), _rows_of(folds, ids, "folds")["fold"]
    if group:
        check_columns(images, (group,), "images")
    names = members[group] if group else first_known(members, GROUPS)
    if len(ids) and names.isna().all():
        raise TableError(
            f"images: no {group or 'patient_id and no lesion_id'} is known, and an image can be "
            "compared with no others: leave relative features out"
        )
    return group_codes(fold, names, *([members["site"]] if by_site else []))


def _rows_of(table: pd.DataFrame, ids: pd.Series, name: str) -> pd.DataFrame:
    check_ids(table, name)
    place = pd.Index(table["image_id"]).get_indexer(pd.Index(ids))
    if (place < 0).any():
        raise TableError(
            f"{name}: no row for {ids.to_numpy()[place < 0][0]!r} ({int((place < 0).sum())} such "
            "images): give the tables of one run of 02_prepare"
        )
    rows: pd.DataFrame = table.iloc[place].reset_index(drop=True)
    return rows


def _check(rows: pd.DataFrame, columns: Sequence[str], statistics: Sequence[str]) -> None:
    if not statistics or set(statistics) - set(STATISTICS):
        raise ValueError(f"statistics is {list(statistics)}: use some of {list(STATISTICS)}")
    if not columns or len(set(columns)) < len(columns):
        raise ValueError(f"columns is {list(columns)}: name one or more numbers, each once")
    check_columns(rows, ("image_id", *columns), "features")
    check_ids(rows, "features")
    words = [name for name in columns if not is_numeric_dtype(rows[name])]
    if words:
        raise TableError(f"columns names {words[0]!r}, which is no number: compare numbers alone")


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
    matched = images[there >= 0]
    if matched.empty:
        raise TableError(
            f"{path} knows none of the dataset's {len(images)} images "
            f"({images['image_id'].iloc[0]}, say): is it another dataset's, or are ids cut?"
        )
    truth = matched.set_index("image_id")["target"]
    columns, left = {}, {}
    notes: dict[str, str] = {}
    for name in map(str, table.columns.drop("image_id")):
        reason = reason_against(name)
        if not reason:
            column = feature_column(table[name], path)
            notes |= {name: count_missing(table[name], column)}
            columns[name] = column.iloc[there[there >= 0]].set_axis(truth.index)
            reason = reason_against_values(columns[name], truth)
        if reason:
            left[f"{path.name}: {name}"] = reason
            columns.pop(name, None)
    if not columns:
        raise TableError(f"{path} has no column that is a feature: {left}")
    features = pd.DataFrame(columns).rename_axis("image_id").reset_index()
    features.attrs |= {LEFT_OUT: left, NOTES: {k: v for k, v in notes.items() if v}}
    return features


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a table as text, its id column as `image_id` in front; the index holds its lines."""
    table = read_delimited(path)
    spelt = {str(c).lower(): str(c) for c in reversed(table.columns)}
    id_column = next((spelt[name] for name in ID_COLUMNS if name in spelt), "")
    if not id_column:
        raise TableError(
            f"{path}: no id among {[*table.columns]}: name it one of {list(ID_COLUMNS)}"
        )
    ids = table.pop(id_column).map(picture_id, na_action="ignore").map(safe_id, na_action="ignore")
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
