"""Formulas: cells of text that a spreadsheet would run, written so that none does.

`=cmd|' /C calc'!A0` in a patient's id is a program to a spreadsheet that opens our table. What
begins with = + - or @ and is no number gets an apostrophe before it, which spreadsheets take as "a
text follows"; reading takes it away again, so that ids come back as they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pandas as pd

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
