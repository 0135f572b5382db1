"""Numerals: numbers as others write them, and cells of a column of numbers that are none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.checks import TableError
from melnb.missing import blank_missing

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
    known = cells.dropna()
    texts = known.unique()  # each is looked at once: ages are few
    odd = [text for text in texts if not _NUMBER.fullmatch(text)]
    if odd:
        wrong = known[known.isin(odd)]
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
    known = blank_missing(values).dropna()
    return len(known) > 0 and 2 * sum(bool(_NUMBER.fullmatch(t)) for t in known) >= len(known)


def plain_numbers(values: pd.Series, *, negative: bool = False) -> pd.Series | None:
    """Return a column of which every cell is empty or a number; None if one may be something else.

    It is `read_numbers` without a look at each cell: of the letters of numbers `float` makes what
    `_NUMBER` means, and nothing of words for missing.
    """
    known = values.notna().to_numpy()
    texts = values.to_numpy(dtype=object)[known]
    try:
        joined = "".join(texts).encode()
        if not len(texts) or joined.translate(None, b"+-.0123456789Ee"):
            return None
        numbers = np.full(len(values), np.nan)
        numbers[known] = texts.astype("float64")
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
