"""The rules of the tables, one function for each; `tables` says which table keeps which."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from melnb.tables.files import is_safe
from melnb.tables.nearest import nearest

_SUM_TOLERANCE = 1e-3  # a file with three decimals per class still sums to one
# Not shown, yet acted on: by a terminal (Escape), or by whoever lays out text from right to left.
_UNSEEN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]"
)
TEST = -1  # the fold of images that no model may be fitted on


class TableError(ValueError):
    """A table breaks the agreement; the message says where and what to do."""


def check_columns(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    """Refuse a table that lacks a column; name the nearest that it has."""
    for column in columns:
        if column not in table.columns:
            names = [str(c) for c in table.columns]
            near = nearest(column, names)
            hint = f" (rename {near!r}?)" if near else ""
            raise TableError(f"{name}: no column {column!r} among {names}{hint}")


def check_ids(table: pd.DataFrame, name: str) -> None:
    """Refuse ids that are empty, doubled, or unsafe as a file name."""
    ids = table["image_id"]
    if ids.isna().any():
        raise TableError(f"{name}: row {int(np.argmax(ids.isna()))} has an empty image_id")
    texts = [str(i) for i in ids.tolist()]
    if not all(map(is_safe, texts)):
        unsafe = next(text for text in texts if not is_safe(text))
        raise TableError(
            f"{name}: image_id {unsafe!r} is unsafe as a file name: "
            "use letters, digits, _ . + and -, not beginning with a dot"
        )
    # Most tables are in the order of their ids, and need no look-up, which of a million is slow.
    if all(map(operator.lt, texts, texts[1:])):
        return
    doubled = ids[ids.duplicated()]
    if len(doubled):
        raise TableError(
            f"{name}: image_id {doubled.iloc[0]!r} stands in more than one row "
            f"({doubled.nunique()} ids are doubled): keep one row per image"
        )


def check_texts(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    """Refuse control characters and marks of direction in texts and in the names of columns.

    They are not seen, yet a terminal or a page acts on them: what stands beside them is hidden, or
    read in another order.
    """
    for column in (None, *columns):
        cells = table.columns if column is None else table[column].dropna()
        texts = [cell if isinstance(cell, str) else str(cell) for cell in cells.tolist()]
        if "".join(texts).isprintable():  # ten times as fast as the pattern
            continue
        wrong = [text for text in texts if _UNSEEN.search(text)]
        if wrong:
            where = "the name of a column" if column is None else column
            raise TableError(
                f"{name}: {where} is {wrong[0]!r}, with a character that is not seen but acted on "
                f"({len(wrong)} such texts): write it without"
            )


def check_same_ids(folds: pd.DataFrame, images: pd.DataFrame) -> None:
    """Refuse tables of different images."""
    for have, lack, where in ((folds, images, "images"), (images, folds, "folds")):
        lost = set(have["image_id"]) - set(lack["image_id"])
        if lost:
            raise TableError(
                f"folds: image_id {min(lost)!r} is not in the {where} table "
                f"({len(lost)} such ids): both tables must come from one run of 02_prepare"
            )


def constant(table: pd.DataFrame, column: str) -> str:
    """Return the one value of a column; refuse several."""
    values = table[column].unique()
    if len(values) != 1:
        raise TableError(
            f"predictions: column {column!r} holds {len(values)} values "
            f"({list(values[:3])}); one table holds one run"
        )
    return str(values[0])


def check_values(table: pd.DataFrame, values: np.ndarray, classes: Sequence[str]) -> None:
    """Refuse values (n x classes) that are not within 0-1."""
    # The comparison is written so that NaN fails it too.
    rows, columns = np.nonzero(~((values >= 0) & (values <= 1)))
    if len(rows):
        raise TableError(
            f"predictions: p_{classes[columns[0]]} of {table['image_id'].iloc[rows[0]]} is "
            f"{values[rows[0], columns[0]]}, not between 0 and 1 ({len(rows)} such values)"
        )


def check_sums(table: pd.DataFrame, values: np.ndarray) -> None:
    """Refuse rows of probabilities (n x classes) that do not sum to one."""
    wrong = np.abs(values.sum(axis=1) - 1) > _SUM_TOLERANCE
    if wrong.any():
        first = int(np.argmax(wrong))
        raise TableError(
            f"predictions: probabilities of {table['image_id'].iloc[first]} sum to "
            f"{values[first].sum():.4f}, not one ({int(wrong.sum())} such rows): "
            "write kind 'score' if they are ranks or blends of ranks"
        )


def check_truths(table: pd.DataFrame, classes: Sequence[str]) -> None:
    """Refuse truths that are not a class, and rows without one that are not of test."""
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
