"""Numerals: numbers as others write them, and cells of a column of numbers that are none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.tables.checks import TableError

# Formulas: cells of text that a spreadsheet would run, written so that none does.
#
# `=cmd|' /C calc'!A0` in a patient's id is a program to a spreadsheet that opens our table. What
# begins with = + - or @ and is no number gets an apostrophe before it, which spreadsheets take as
# "a text follows"; reading takes it away again, so that ids come back as they were.

_FORMULA = re.compile(r"'*[=+\-@](?!(?<=[+-])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$)", re.ASCII)
_WRITTEN = re.compile(rb"""(?:^|[\n,;|\t" ])'+[=+\-@]""")


def neutralise(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts and column names no spreadsheet runs."""
    return _change(table, ("'", "=", "+", "-", "@"), lambda text: f"'{text}")


def restore(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table that `neutralise` was given."""
    return _change(table, ("'",), lambda text: text[1:])


def neutral(text: str) -> str:
    """Return a text as `neutralise` writes it."""
    return f"'{text}" if _FORMULA.match(text) else text


def restored(text: str) -> str:
    """Return the text that `neutral` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def is_written(data: bytes) -> bool:
    """Tell whether the bytes of a table may hold a cell that was neutralised."""
    return b"'" in data and _WRITTEN.search(data) is not None


def _change(
    table: pd.DataFrame, begins: tuple[str, ...], change: Callable[[str], str]
) -> pd.DataFrame:
    """Change the texts that are formulas and begin so; a table without any is returned itself."""
    changed = {}
    for column in table.columns[[kind.kind not in "iufbmM" for kind in table.dtypes]]:
        new = _find(table[column].tolist(), begins, change)
        if new:
            changed[column] = table[column].map(lambda text, new=new: new.get(text, text))
    names = _find(table.columns, begins, change)
    table = table.assign(**changed) if changed else table
    return table.rename(columns=names) if names else table


def _find(
    texts: Iterable[object], begins: tuple[str, ...], change: Callable[[str], str]
) -> dict[str, str]:
    risky = (text for text in texts if isinstance(text, str) and text.startswith(begins))
    return {text: change(text) for text in risky if _FORMULA.match(text)}


# Missing values: the words by which others say that a thing is not known.
#
# A missing value is NaN in every table of ours. What is no value for one column may be one for
# another: `none` is no patient, but it may be a class; -1 is no age, but it may be a fold.

# Never a value of anything.
WORDS = frozenset(
    {
        "", "na", "n/a", "n.a.", "n.a", "#n/a", "#na", "#n/a n/a", "<na>", "nan", "-nan", "#nan",
        "nat", "null", "#null!", "nil", "-", "--", "---", "\u2013", "\u2014", "?", "??", ".", "..",
        "missing", "not available", "not applicable", "not known", "not recorded", "not reported",
        "not specified", "not stated", "no data", "unspecified",
    }
)  # fmt: skip
# No value, unless a class or a level bears the name.
NAMES = frozenset({"unknown", "unk", "none", "undetermined", "undefined"})
UNSAID = WORDS | NAMES
NEGATIVE = frozenset({"-1", "-1.0"})  # of ids and ages
# Labels of two classes, in small letters: it is of the one looked for, or it is not.
YES = ("1", "1.0", "true", "yes", "positive", "pos")
NO = ("0", "0.0", "false", "no", "negative", "neg")
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")


def is_missing(text: object, *, names: bool = True, negative: bool = False) -> bool:
    """Tell whether a cell says that its value is not known: by a word, in any case, or by NaN.

    Args:
        text: The cell.
        names: Whether a word that may be the name of a class (`NAMES`) says so too.
        negative: Whether -1 does.
    """
    if not isinstance(text, str):
        return bool(pd.isna(text))  # type: ignore[call-overload]
    return _folded(text) in _vocabulary(names, negative)


def blank_missing(values: pd.Series, *, names: bool = True, negative: bool = False) -> pd.Series:
    """Return texts trimmed, with NaN for every word that means missing; see `is_missing`."""
    words, cells = _vocabulary(names, negative), {}
    for text in values.dropna().unique():
        bare = text.strip()
        if _folded(bare) in words:
            cells[text] = np.nan
        elif bare != text:
            cells[text] = bare
    if not cells:
        return values
    read, wrong = values.to_numpy(dtype=object, copy=True), values.isin(list(cells)).to_numpy()
    read[wrong] = [cells[text] for text in read[wrong]]
    return pd.Series(read, index=values.index, name=values.name, dtype=values.dtype)


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


@cache
def _vocabulary(names: bool, negative: bool) -> frozenset[str]:
    return WORDS | (NAMES if names else frozenset()) | (NEGATIVE if negative else frozenset())


def read_group_ids(ids: pd.Series, file: str | Path) -> pd.Series:
    """Return ids of patients or lesions, trimmed; words for missing are NaN: they are no patient.

    Whole numbers that were written as decimals (`12.0`, because other cells were empty) become
    whole again, so that they join with those of other tables.

    Args:
        ids: Texts; the index holds lines of the file.
        file: For the message.

    Raises:
        TableError: A spreadsheet rounded an id (`1.23E+12`): several have become one.
    """
    texts = blank_missing(ids, negative=True)
    if texts.isna().all():
        return texts
    exponents = [text for text in texts.dropna().unique() if "+" in text]
    rounded = texts[texts.isin([text for text in exponents if _ROUNDED.fullmatch(text)])]
    if len(rounded):
        raise TableError(
            f"{file} line {rounded.index[0]}: {ids.name} {rounded.iloc[0]!r} was rounded by "
            "a spreadsheet, so that several ids may be one: export the ids as text"
        )
    return whole_ids(texts)


def whole_ids(ids: pd.Series) -> pd.Series:
    """Return ids with `12.0` as `12`, unless other ids of the column are true decimals (`1.1`)."""
    texts = ids.dropna().unique()
    decimals = [text for text in texts if "." in text and re.fullmatch(r"\d+\.\d+", text)]
    if not decimals or any(text.partition(".")[2].strip("0") for text in decimals):
        return ids
    return ids.replace({text: text.partition(".")[0] for text in decimals})


def count_missing(cells: pd.Series, read: pd.Series) -> str:
    """Say how many cells of a column hold a word that was read as missing; empty if none does.

    Args:
        cells: The cells of the file.
        read: What was made of them, NaN where missing.

    Returns:
        `16 of 24 patient_id say NA: unknown`.
    """
    words = cells[cells.notna() & read.isna().to_numpy()]
    if words.empty:
        return ""
    shown = [str(word) for word in words.value_counts().index[:3]]
    more = " …" if words.nunique() > 3 else ""
    return f"{len(words)} of {len(cells)} {cells.name} say {', '.join(shown)}{more}: unknown"


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


def read_numbers(
    values: pd.Series, file: str | Path, *, negative: bool = False, row: str = "line"
) -> pd.Series:
    """Return texts as float64, each the nearest to its text; words for missing are NaN.

    Args:
        values: Texts, or numbers already; the index holds lines of the file.
        file: For the message.
        negative: Whether -1 means missing.
        row: What the index holds.

    Raises:
        TableError: A cell is no number: its line, column and text are named, and what to do.
    """
    if values.dtype.kind in "iufb":
        return values.astype("float64")
    plain = plain_numbers(values, negative=negative)
    if plain is not None:
        return plain
    cells = blank_missing(values, negative=negative)
    filled = cells.dropna()
    texts = filled.unique()  # each is looked at once: ages are few
    odd = [text for text in texts if not _NUMBER.fullmatch(text)]
    if odd:
        wrong = filled[filled.isin(odd)]
        many = f" ({len(wrong)} of {len(values)} cells are none)" if len(wrong) > 1 else ""
        raise TableError(
            f"{file} {row} {wrong.index[0]}: {values.name} is {wrong.iloc[0]!r}, not a number"
            f"{many}: {_remedy(wrong.iloc[0])}"
        )
    # Floats go from text by NumPy: pandas before 3.1 reads them inexactly.
    exact = dict(zip(texts, np.asarray(texts, dtype=object).astype("float64"), strict=True))
    return cells.map(exact).astype("float64")


def is_numeric(values: pd.Series) -> bool:
    """Tell whether a column of texts is meant as numbers: at least half of what it says are."""
    if plain_numbers(values) is not None:
        return True
    cells = blank_missing(values).dropna()
    return len(cells) > 0 and 2 * sum(bool(_NUMBER.fullmatch(t)) for t in cells) >= len(cells)


def plain_numbers(values: pd.Series, *, negative: bool = False) -> pd.Series | None:
    """Return a column of which every cell is empty or a number; None if one may be something else.

    It is `read_numbers` without a look at each cell: of the letters of numbers `float` makes what
    `_NUMBER` means, and nothing of words for missing.
    """
    present = values.notna().to_numpy()
    texts = values.to_numpy(dtype=object)[present]
    try:
        joined = "".join(texts).encode()
        if not len(texts) or joined.translate(None, b"+-.0123456789Ee"):
            return None
        numbers = np.full(len(values), np.nan)
        numbers[present] = texts.astype("float64")
    except (TypeError, ValueError):  # a cell that is no text; no number
        return None
    if negative and (numbers == -1).any():
        return None
    return pd.Series(numbers, index=values.index, name=values.name)


def _remedy(text: str) -> str:
    if _COMMA.fullmatch(text):
        return f"write {text.replace(',', '.')} if that is meant, with a point"
    if text.startswith("#"):
        return "a formula failed there: correct it, or leave the cell empty where it is unknown"
    return "correct it, or leave the cell empty where it is unknown"
