"""Which column of anyone's labels names the pictures, and which holds the labels.

The first is told by what it holds, the second by its name and its words.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from melnb.data.sources.vocabulary import GROUPS, UNKNOWN
from melnb.tables.checks import TableError
from melnb.tables.diagnoses import NAMES, OTHER, find_diagnosis
from melnb.tables.files import picture_id, safe_id
from melnb.tables.values import is_missing

KNOWN = frozenset({*NAMES, OTHER, *GROUPS}) - {UNKNOWN}
_TELLING = (
    "target", "label", "labels", "class", "diagnosis", "dx", "benign_malignant", "malignancy",
    "truth", "ground_truth", "gt", "y", "verdict", "result", "malignant", "melanoma",
)  # fmt: skip
_BINARY = frozenset({"0", "1", "0.0", "1.0", "true", "false", "yes", "no"})
_MOST_WORDS = 30  # distinct ones of a column of labels


def find_id_column(rows: pd.DataFrame, paths: pd.Series, file: Path) -> str:
    """Return the column whose cells name the pictures most often.

    Args:
        rows: Of a table, as texts.
        paths: Of the pictures.
        file: The table, for errors.

    Raises:
        TableError: No cell names a picture.
    """
    own = set(paths.map(picture_key))
    cells = {str(name): rows[name].dropna().astype(str) for name in rows}
    hits = {name: int(texts.map(picture_key).isin(own).sum()) for name, texts in cells.items()}
    best = max(hits, key=lambda name: hits[name])
    if not hits[best]:
        first = paths.iloc[0]
        raise TableError(
            f"{file}: no cell names a picture (columns: {', '.join(hits)}; a picture is "
            f"{Path(first).name}): give the folder and the table that belong together"
        )
    return best


def find_label_column(rows: pd.DataFrame, file: Path) -> str:
    """Return the column of labels: that of a telling name, else the one whose words all are labels.

    Args:
        rows: Of a table, as texts, less the column of ids.
        file: The table, for errors.

    Raises:
        TableError: None is, or several may be.
    """
    every = {str(c): {str(v) for v in rows[c].dropna().unique() if not is_missing(v)} for c in rows}
    words = {c: own for c, own in every.items() if 1 < len(own) <= _MOST_WORDS}
    telling = [c for name in _TELLING for c in words if c.strip().lower() == name]
    known = [c for c, own in words.items() if all(our_word(word) in KNOWN for word in own)]
    both = [c for c in telling if c in known or {w.lower() for w in words[c]} <= _BINARY]
    for choice in (both, known, telling, list(words)):
        if len(choice) == 1 or (choice and choice is not known and choice in (both, telling)):
            return choice[0]
        if choice:
            break
    single = [f"{c} says {next(iter(own))!r} alone" for c, own in every.items() if len(own) == 1]
    raise TableError(
        f"{file}: which column holds the labels? Say --label-column "
        f"{next(iter(known or words), 'NAME')} (columns: {', '.join(map(str, rows))}"
        f"{'; two classes are needed: ' if single else ''}{', '.join(single)})"
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
