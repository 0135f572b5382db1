"""Numbers as readers want them: an estimate and its interval in one cell, no digit too many."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

NOTHING = "–"
_WORDS = {
    "ap": "AP", "auc": "AUC", "ece": "ECE, debiased", "fn": "FN", "fp": "FP", "n": "n",
    "npv": "NPV", "p": "p", "ppv": "PPV", "sd": "SD", "se": "SE", "tn": "TN", "tp": "TP", "z": "z",
    "t": "t", "df": "df", "fixed": "At this fixed threshold", "holm": "(Holm)",
}  # fmt: skip
_IDS = re.compile(r"(\b(?:by|one|a|each)\s)?\b(patient|lesion|image)_id\b")
_ROWS = re.compile(r"\b([\d,]+)((?:\s[^\s,;:()]+)*?) row\(s\)")
_NAMES = ("column", "feature", "level", "measure", "metric")  # columns whose cells are names
PROSE = ("method", "note", "meaning")  # and whose cells are words about rows
_SHORT = 12  # letters that every row may repeat
_MANY = 14  # columns beyond which it may repeat none
_WIDE = 8  # columns of a single row above which it reads better downwards
_MOST_ROWS, _FEW_ROWS = 60, 20  # of a table in a cell: with more, so many are seen


def shared_words(table: pd.DataFrame) -> dict[str, str]:
    """Return the columns that hold one text in every row: said once, they save a column.

    A short one stays, unless there are many columns.
    """
    least = _SHORT if len(table.columns) <= _MANY else 0
    texts = {str(c): table[c].iloc[0] for c in table.columns if len(table) > 1}
    return {
        c: text
        for c, text in texts.items()
        if isinstance(text, str) and len(text) > least and (table[c] == text).all()
    }


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as text, to be read and not computed on.

    An estimate takes its limits (`ppv`, `ppv_low`, `ppv_high`, or the column before `low` and
    `high`) into its own cell, and further limits (`fixed_low`, `fixed_high`) share one; empty
    columns go; one wide row becomes two columns.

    Args:
        table: Any table; an index with a name or with labels becomes the first columns.
    """
    labelled = any(table.index.names) or not pd.api.types.is_integer_dtype(table.index)
    names = [" " * k if name is None else str(name) for k, name in enumerate(table.index.names)]
    first = table.rename_axis(index=names).reset_index() if labelled else table
    shown = _paired(first.rename(columns=str))
    cells = {}
    limits = _limits(list(shown.columns))
    spent = {name for pair in limits.values() for name in pair}
    for column in sorted(shown.columns, key="note".__eq__):  # the note is last
        if column in spent or _is_empty(shown[column]):
            continue
        written = _threshold if column == "threshold" else number
        cells[column] = [written(value) for value in shown[column]]
        if column in PROSE:
            cells[column] = [plain(text) for text in cells[column]]
        elif column in _NAMES:
            cells[column] = [text.replace("_", " ") for text in cells[column]]
        if column in limits:
            low, high = (shown[name] for name in limits[column])
            cells[column] = [
                text if pd.isna(a) or pd.isna(b) else f"{text} ({number(a)} – {number(b)})"
                for text, a, b in zip(cells[column], low, high, strict=True)
            ]
    tidied = pd.DataFrame({words(c): values for c, values in cells.items()})
    if len(tidied) == 1 and len(tidied.columns) > _WIDE:
        return pd.DataFrame({"": tidied.columns, "Value": tidied.iloc[0].to_list()})
    return tidied


def table_html(table: pd.DataFrame) -> str:
    """Return a table as a cell of a notebook shows it: `tidy`, numbers to the right.

    A table without a row is a sentence; of a long one the first rows are seen, and it says so.
    """
    seen = table if len(table) <= _MOST_ROWS else table.head(_FEW_ROWS)
    texts = tidy(seen).astype(str)
    if texts.empty:
        names = ", ".join(words(str(column)).lower() for column in table.columns)
        return f"<p>no row{f' ({escape(names)})' if names else ''}</p>"
    right = {c: all(map(is_number, texts[c])) for c in texts}
    sides = [f' style="text-align:{"right" if right[c] else "left"}"' for c in texts]

    def line(tag: str, row: Iterable[Any]) -> str:
        tagged = zip(row, sides, strict=True)
        return f"<tr>{''.join(f'<{tag}{side}>{escape(str(t))}</{tag}>' for t, side in tagged)}</tr>"

    body = "".join(line("td", row) for row in texts.to_numpy())
    rest = f"<p>{len(seen)} of {len(table):,} rows</p>" if len(seen) < len(table) else ""
    return (
        f'<table class="dataframe"><thead>{line("th", texts)}</thead>'
        f"<tbody>{body}</tbody></table>{rest}"
    )


def is_number(text: str) -> bool:
    """Return whether a cell reads as a number, or as nothing: those stand to the right."""
    return not text or text == NOTHING or not text.strip("+−-–∞.,%() 0123456789e")


def number(value: Any) -> str:
    """Return a value as text: counts whole with commas, shares with three decimals."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return _decimal(float(value))
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return NOTHING if value is None or value is pd.NA or value is pd.NaT else str(value)


def plain(text: str) -> str:
    """Return a remark as people say it: `bootstrap of patient_id`, `3 row(s)`."""
    text = _IDS.sub(lambda m: f"{m[1]}{m[2]}" if m[1] else f"{m[2]}s", text)
    return _ROWS.sub(lambda m: f"{m[1]}{m[2]} row{'' if m[1] == '1' else 's'}", text)


def words(column: str) -> str:
    """Return a column's name as a heading: `number_needed_to_biopsy`, `auc_first`, `tp`."""
    if not column.replace("_", "").isalnum() or not column.islower():
        return column  # a heading already, or a name
    if column in ("image_id", "lesion_id", "patient_id"):
        return column.removesuffix("_id").capitalize()
    if column.startswith("p_") and column != "p_holm":
        return f"Score of {column.removeprefix('p_').replace('_', ' ')}"
    parts = [_WORDS.get(part, part) for part in column.split("_")]
    text = " ".join(parts).strip()
    return text if parts[0] in _WORDS.values() else text[:1].upper() + text[1:]


def _threshold(value: Any) -> str:
    """Return a threshold with as many digits as figures show: it is meant to be typed again."""
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else number(value)


def _decimal(value: float) -> str:
    if math.isnan(value):
        return NOTHING
    if value < 0:
        return f"−{_decimal(-value)}"
    if math.isinf(value):
        return "∞"
    if value == 0 or (value >= 1000 and value.is_integer()):
        return f"{value:,.0f}"
    if value < 0.1:
        return f"{value:#.3g}"
    return f"{value:.3f}" if value < 10 else f"{value:,.1f}"


def _paired(shown: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a column for limits whose estimate stands elsewhere, as another's do."""
    pairs: dict[str, Any] = {}
    for column in shown.columns:
        name = column.removesuffix("_low")
        other = f"{name}_high"
        if name == column or name in shown or other not in shown:
            pairs[column] = shown[column]
            continue
        pairs[name] = [
            NOTHING if pd.isna(a) or pd.isna(b) else f"{number(a)} – {number(b)}"
            for a, b in zip(shown[column], shown[other], strict=True)
        ]
    spent = {f"{name}_high" for name in pairs.keys() - {*shown.columns}}
    return pd.DataFrame({c: v for c, v in pairs.items() if c not in spent}, index=shown.index)


def _limits(columns: list[str]) -> dict[str, tuple[str, str]]:
    """Return the columns that have limits, and the names of those."""
    limits = {
        c: (f"{c}_low", f"{c}_high") for c in columns if {f"{c}_low", f"{c}_high"} <= {*columns}
    }
    if {"low", "high"} <= {*columns}:
        before = [c for c in columns[: columns.index("low")] if c != "se"]
        limits |= {before[-1]: ("low", "high")} if before else {}
    return limits


def _is_empty(values: pd.Series) -> bool:
    if values.name == "left_out":  # that nothing was is what a reader expects
        values = values.astype(object).where(values != 0, "")
    return bool((values.isna() | (values.astype(str) == "")).all())


def show(*parts: Any, otherwise: str = "") -> None:
    """Show tables, figures and galleries one below the other, in the cell that calls.

    Args:
        parts: None, and tables without a row, are left out.
        otherwise: The sentence that stands there where nothing is left.
    """
    from IPython.display import display

    filled = [p for p in parts if p is not None and not (isinstance(p, pd.DataFrame) and p.empty)]
    display(*(filled or [Words(otherwise or NO_ROWS)]))


def findings_table(table: pd.DataFrame) -> Any:
    """Show `tables.findings_table` with every word of it, the worst severities marked.

    Args:
        table: Its findings.
    """
    colours = {"FAIL": "#b3261e", "REVIEW": "#8a5a00", "PASS": "#1b6e3c"}
    style = table.style.hide(axis="index").format(escape="html")
    style = style.set_properties(**{"text-align": "left", "white-space": "normal"})  # type: ignore[arg-type]
    marked = {name: f"color:{colour};font-weight:600" for name, colour in colours.items()}
    return style.map(lambda severity: marked.get(severity, ""), subset=["severity"])


# What a cell of a notebook shows.

NO_ROWS = "nothing to show of these rows"


class Words(str):
    """A sentence that a cell shows, without quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Parts(tuple[Any, ...]):
    """What a cell shows, one below the other."""

    __slots__ = ()

    def _ipython_display_(self) -> None:
        show(*self)


@dataclass(frozen=True)
class Folded:
    """A table that is opened by hand, in a cell and on a page alike.

    Attributes:
        title: What it is, on the line that is clicked.
        table: Formatted where it is shown.
    """

    title: str
    table: pd.DataFrame

    def _repr_html_(self) -> str:
        below = table_html(self.table)
        return f"<details><summary>{escape(self.title)}</summary>{below}</details>"


def cell(parts: Sequence[Any]) -> Any:
    """Return what a cell shows: tables are formatted."""
    shown: list[Any] = []
    for part in parts:
        if isinstance(part, pd.DataFrame):
            shown += [] if part.empty else [tidy(part)]
        elif isinstance(part, str):
            shown += [Words(part)] if part else []
        elif part is not None:
            shown.append(part)
    shown = shown or [Words(NO_ROWS)]
    return shown[0] if len(shown) == 1 else Parts(shown)
