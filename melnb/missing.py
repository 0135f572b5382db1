"""Missing values: the words by which others say that a thing is not known.

A missing value is NaN in every table of ours. What is no value for one column may be one for
another: `none` is no patient, but it may be a class; -1 is no age, but it may be a fold.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.checks import TableError

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
    known = blank_missing(ids, negative=True)
    if known.isna().all():
        return known
    exponents = [text for text in known.dropna().unique() if "+" in text]
    rounded = known[known.isin([text for text in exponents if _ROUNDED.fullmatch(text)])]
    if len(rounded):
        raise TableError(
            f"{file} line {rounded.index[0]}: {ids.name} {rounded.iloc[0]!r} was rounded by "
            "a spreadsheet, so that several ids may be one: export the ids as text"
        )
    return whole_ids(known)


def whole_ids(ids: pd.Series) -> pd.Series:
    """Return ids with `12.0` as `12`, unless other ids of the column are true decimals (`1.1`)."""
    texts = ids.dropna().unique()
    decimals = [text for text in texts if "." in text and re.fullmatch(r"\d+\.\d+", text)]
    if not decimals or any(text.partition(".")[2].strip("0") for text in decimals):
        return ids
    return ids.replace({text: text.partition(".")[0] for text in decimals})


def count_missing(said: pd.Series, read: pd.Series) -> str:
    """Say how many cells of a column hold a word that was read as missing; empty if none does.

    Args:
        said: The cells of the file.
        read: What was made of them, NaN where missing.

    Returns:
        `16 of 24 patient_id say NA: unknown`.
    """
    words = said[said.notna() & read.isna().to_numpy()]
    if words.empty:
        return ""
    shown = [str(word) for word in words.value_counts().index[:3]]
    more = " …" if words.nunique() > 3 else ""
    return f"{len(words)} of {len(said)} {said.name} say {', '.join(shown)}{more}: unknown"
