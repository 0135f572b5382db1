"""Which column of anyone's labels names the pictures, and which hold the labels.

The first is told by what it holds, the others by their names and words: one column, or one of 0 and
1 for each class. A first line that names a picture is no header.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from melnb.data.sources.layout import read_rows
from melnb.data.sources.vocabulary import GROUPS, UNKNOWN, find_classes
from melnb.tables.checks import TableError
from melnb.tables.delimited import read_first_row
from melnb.tables.diagnoses import NAMES, OTHER, find_diagnosis
from melnb.tables.files import picture_id, safe_id
from melnb.tables.values import NO, YES, is_missing

KNOWN = frozenset({*NAMES, OTHER, *GROUPS}) - {UNKNOWN}
_TELLING = (
    "target", "label", "labels", "class", "diagnosis", "dx", "benign_malignant", "malignancy",
    "truth", "ground_truth", "gt", "y", "verdict", "result", "malignant", "malignancy", "cancer",
    "melanoma", "benign", "histology", "histopathology", "pathology", "outcome",
)  # fmt: skip
_BINARY = frozenset({*YES, *NO})
_MOST_WORDS = 30  # distinct ones of a column of labels


@dataclass(frozen=True)
class Labels:
    """A table of labels, and what of it was taken for what.

    Attributes:
        rows: Its cells, as texts.
        image_id: The column that names the pictures.
        columns: That hold the labels: one, or one of 0 and 1 for each class.
    """

    rows: pd.DataFrame
    image_id: str
    columns: tuple[str, ...]

    @property
    def mapping(self) -> dict[str, str]:
        """Ours to theirs, as `source: csv` takes it, which finds the columns of classes itself."""
        target = {"target": self.columns[0]} if len(self.columns) == 1 else {}
        return {"image_id": self.image_id} | target


def find_labels(
    file: Path, paths: pd.Series, *, id_column: str = "", label_column: str = ""
) -> Labels:
    """Read a table of labels, and find its columns.

    Args:
        file: The table.
        paths: Of the pictures.
        id_column: That names the pictures; empty: the one that does so most often.
        label_column: Empty: told by names and words.

    Raises:
        TableError: A column is not there, no cell names a picture, or it is not plain which column
            holds the labels.
    """
    keys = set(paths.map(picture_key))
    first = read_first_row(file)
    headless = any(picture_key(cell) in keys for cell in first if cell)
    names = [f"column {k}" for k, _ in enumerate(first, 1)] if headless else ()
    rows = read_rows(file, names=names)
    for asked in filter(None, (id_column, label_column)):
        if asked not in rows:
            raise TableError(f"{file}: no column {asked!r} among {list(rows.columns)}")
    name = id_column or _find_id_column(rows, paths, keys, file)
    rest = rows.drop(columns=name)
    columns = (label_column,) if label_column else _find_label_columns(rest, file)
    return Labels(rows, name, columns)


def _find_id_column(rows: pd.DataFrame, paths: pd.Series, keys: set[str], file: Path) -> str:
    """Return the column whose cells name the pictures most often."""
    cells = {str(name): rows[name].dropna().astype(str) for name in rows}
    hits = {name: int(texts.map(picture_key).isin(keys).sum()) for name, texts in cells.items()}
    best = max(hits, key=lambda name: hits[name])
    if not hits[best]:
        raise TableError(
            f"{file}: no cell names a picture (columns: {', '.join(hits)}; a picture is "
            f"{Path(paths.iloc[0]).name}): give the folder and the table that belong together"
        )
    return best


def _find_label_columns(rows: pd.DataFrame, file: Path) -> tuple[str, ...]:
    """Return the column of labels: that of a telling name, else the one whose words all are labels.

    Columns of 0 and 1 that are named by classes hold them together.
    """
    every = {str(c): {str(v) for v in rows[c].dropna().unique() if not is_missing(v)} for c in rows}
    words = {c: values for c, values in every.items() if 1 < len(values) <= _MOST_WORDS}
    flags = {c for c, values in every.items() if values and {w.lower() for w in values} <= _BINARY}
    classes = tuple(c for c in find_classes(rows, file).values() if c in flags)
    telling = [c for name in _TELLING for c in words if c.strip().lower() == name]
    readable = [c for c, values in words.items() if all(our_word(word) in KNOWN for word in values)]
    sure = [c for c in telling if c in readable or (c in flags and c not in classes)]
    if sure or len(classes) > 1:
        return (sure[0],) if sure else classes
    for choice in (readable, classes, telling, list(words)):
        if len(choice) == 1 or (choice and choice is telling):
            return (choice[0],)
        if choice:
            break
    single = [
        f"{c} says {next(iter(values))!r} alone" for c, values in every.items() if len(values) == 1
    ]
    likely = min(readable or words, key=lambda c: len(words[c]), default="NAME")
    raise TableError(
        f"{file}: which column holds the labels? Say --label-column {likely} (columns: "
        f"{', '.join(map(str, rows))}{'; two classes are needed: ' if single else ''}"
        f"{', '.join(single)})"
    )


def picture_key(path: object) -> str:
    """Return what a file and a cell that names it have in common, whatever folder or suffix."""
    return safe_id(picture_id(str(path).replace("\\", "/").rsplit("/", 1)[-1])).lower()


def our_word(text: str) -> str:
    """Return how we call a class; an unknown word comes back as it was."""
    if plain_word(text) in KNOWN:
        return plain_word(text)
    try:
        return find_diagnosis(text)
    except ValueError:
        return text


def plain_word(text: str) -> str:
    """Return a label in lower case, its blanks as underscores."""
    return "_".join(text.strip().lower().split())
