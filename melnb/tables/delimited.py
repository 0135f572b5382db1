"""Delimited text: the one door through which every table that others may have written is read.

Cells are text, and nothing is guessed that is not certain: a row of another length than the
header's, a column name that stands twice, or a file that is no table at all is refused with the
file, the line and the column.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from melnb.tables.checks import TableError
from melnb.tables.encodings import Utf8, find_utf8
from melnb.tables.files import TABLE_SUFFIXES
from melnb.tables.values import is_written, restore

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEP = re.compile(rb'"?sep=(.)"?\s*', re.IGNORECASE)
_SAMPLE = 200  # rows that tell the delimiter
FIRST = "Unnamed: 0"  # a first column without a name, as pandas calls it
# A cell in quotes; the group is empty if it neither begins nor ends in a blank.
_QUOTED = re.compile(rb'"(?:[^"\x00-\x20](?:[^"]*[^"\x00-\x20])?|([^"]*))"')
_HEAD = 1_000_000  # bytes in which the header ends
# Blanks beyond ASCII.
_BLANKS = [c.encode() for c in map(chr, range(0x80, 0x3001)) if c.isspace()]
_END, _BLANK = "\x01", "\x02"  # cells put behind each row, and behind a blank line


class _Text(NamedTuple):
    """A file from one of its rows on.

    Attributes:
        source: The file.
        head: What it begins with, of `_HEAD` bytes or more if it has them.
        begin: Bytes before it.
        number: Of its first line in the file, from 1.
        delimiter: One character.
    """

    source: Utf8
    head: bytes
    begin: int = 0
    number: int = 1
    delimiter: str = ","

    @property
    def file(self) -> Path:
        return self.source.file

    def after(self, part: bytes) -> _Text:
        """Return the text behind a part of whole lines that it begins with."""
        head, begin = self.head[len(part) :], self.begin + len(part)
        return self._replace(head=head, begin=begin, number=self.number + part.count(b"\n"))

    def blocks(self) -> Iterator[bytes]:
        """Yield it in blocks of whole lines."""
        before = self.begin
        for block in self.source.blocks():
            if len(block) > before:
                yield block[before:]
            before = max(0, before - len(block))

    def rows(self, data: bytes) -> Iterator[tuple[int, list[str]]]:
        """Yield the line in which each row begins, and its trimmed cells.

        Args:
            data: All of it, or its head.

        Raises:
            TableError: Quotes are not in pairs.
        """
        blank = rb"[ \t]" if self.delimiter != "\t" else b" "
        mark = re.escape(self.delimiter.encode())
        data = re.sub(b'(?<!")"' + blank + rb"+(?=[\n" + mark + rb"])", b'"', data)
        lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="\n")
        reader = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True, strict=True)
        number = self.number
        try:
            for cells in reader:
                yield number, [cell.strip() for cell in cells]
                number = self.number + reader.line_num
        except csv.Error as error:
            raise TableError(
                f"{self.file} line {number}: quotes are not in pairs ({error}): close the quote, "
                'and write one that is meant as "" in a cell in quotes'
            ) from None


class _Rows:
    """The rows of a text as a file that pandas reads: each block is looked at on its way.

    A cell is put behind each row; a blank line becomes a row as long as the others. If all these
    come to lie in one column, no row was too long or too short.

    Attributes:
        lines: How many were read.
        certain: Whether none of them is, or may be, the header once more.
        padded: Whether a cell may begin or end in a blank; to trim all would take far longer.
    """

    def __init__(self, text: _Text, header: bytes, columns: int) -> None:
        self.lines, self.padded = 0, False
        self._end = f"{text.delimiter}{_END}\n".encode()
        self._blank = re.compile(rb"\n[ \t]*" + re.escape(self._end[:-1]) + rb"(?=\n)")
        self._row = f"\n{text.delimiter * columns}{_BLANK}".encode()
        self.certain = header.count(b"\n") < 2  # of several lines it may lie in two blocks
        self._blocks, self._header, self._delimiter = text.blocks(), header, text.delimiter

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def read(self, _: int = -1) -> bytes:
        """Return the next block with its further cells; empty at the end."""
        block = next(self._blocks, b"")
        again = self._header and (block.startswith(self._header) or b"\n" + self._header in block)
        self.certain &= not (again or any(mark.encode() in block for mark in (_END, _BLANK)))
        self.padded = self.padded or _is_padded(block, self._delimiter)
        self.lines += block.count(b"\n")
        ended = b"\n" + block.replace(b"\n", self._end)
        return self._blank.sub(self._row, ended)[1:]


def read_delimited(
    file: str | Path,
    *,
    names: Sequence[str] = (),
    only: Collection[str] = (),
    empty: bool = False,
) -> pd.DataFrame:
    """Read a table as text: cells trimmed, empty ones NaN, the index the lines of the file.

    Read are UTF-8 (with a mark or without), UTF-16 and, where it is certain, Windows-1252; commas,
    semicolons, tabs and bars, with a `sep=` line or without. Rows without a cell are passed over,
    and so is a nameless first column that numbers the rows.

    Args:
        file: The table.
        names: Column names of a file without a header.
        only: Columns wanted, in any case, of a file with many; none: all.
        empty: Whether a header alone is a table too.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: The file is no table (a web page, a Git LFS pointer, a workbook, an archive),
            is empty or a header alone, its encoding or delimiter is in doubt, a row has more or
            fewer cells than the header, or two columns have one name.
    """
    text = _open(Path(file))
    header, body = (list(names), text) if names else _take_header(text)
    first = text.head[: body.begin - text.begin]
    if not body.head:
        if empty:
            return pd.DataFrame(columns=header, dtype=pd.Series([""]).dtype)
        raise TableError(f"{file} has a header alone, no row ({_shown(header)}): is it cut off?")
    wanted = {_folded(name) for name in only}
    keep = [k for k, name in enumerate(header) if not wanted or not name or _folded(name) in wanted]
    table = _read_even(body, header, keep, first)
    if table is None:
        table = _read_odd(body, header, first).iloc[:, keep]
    named = _name_columns(table, [header[k] for k in keep], body.file)
    return restore(named) if any(map(is_written, text.blocks())) else named


def read_first_row(file: str | Path) -> list[str]:
    """Return the trimmed cells of a table's first row: its header, if it has one.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: See `read_delimited`.
    """
    text = _open(Path(file))
    return next(text.rows(text.head))[1]


def _open(file: Path) -> _Text:
    """Read a file and find its delimiter."""
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}: give a table ({' '.join(TABLE_SUFFIXES)})")
    source, head = find_utf8(file), b""
    for block in source.blocks():
        head += block if head or block.strip() else b""
        if len(head) >= _HEAD:
            break
    return _read_dialect(_Text(source, head))


def _read_dialect(text: _Text) -> _Text:
    """Find the delimiter: a first line `sep=;` says it, else the header and the rows do.

    Returns:
        The text from the header on, its delimiter known.

    Raises:
        TableError: Two characters may be meant, or there is no header.
    """
    text = _pass_blank(text)
    first = text.head[: text.head.find(b"\n") + 1]
    if not first:
        raise TableError(f"{text.file} is empty: download or write it again")
    line = _SEP.fullmatch(first)
    if not line:
        return text._replace(delimiter=_find_delimiter(text))
    text = _pass_blank(text.after(first))
    if not text.head:
        raise TableError(f"{text.file} is empty but for its line sep=: write or download it again")
    return text._replace(delimiter=line[1].decode())


def _pass_blank(text: _Text) -> _Text:
    """Return the text from the first line on that holds anything."""
    blank = re.match(rb"(?:[ \t]*\n)*", text.head)
    return text.after(blank[0] if blank else b"")


def _find_delimiter(text: _Text) -> str:
    """Return the one delimiter by which all rows are as long as the first."""
    lines = text.head.splitlines()[:_SAMPLE]
    sample = [re.sub(rb'"[^"]*"', b"", line) for line in lines if line.strip()]
    counts = {d: [line.count(d.encode()) for line in sample] for d in _DELIMITERS}
    there = [d for d in _DELIMITERS if counts[d][0]]
    if not there:  # one column, unless rows have more
        return next((d for d in _DELIMITERS if any(counts[d])), ",")
    even = [d for d in there if len(set(counts[d])) == 1]
    if len(even) > 1:
        raise TableError(
            f"{text.file} line {text.number}: {' or '.join(_DELIMITERS[d] for d in even)} may part "
            "the cells, for every row has as many: write a first line "
            f"sep={even[0]} or sep={even[1]}"
        )
    return even[0] if even else max(there, key=lambda d: counts[d][0])


def _take_header(text: _Text) -> tuple[list[str], _Text]:
    rows = text.rows(text.head)
    _, header = next(rows)
    _check_header(header, text)
    second = next(rows, None)
    if second is None:
        return header, text._replace(head=b"")
    lines = text.head.split(b"\n", second[0] - text.number)
    return header, text.after(text.head[: len(text.head) - len(lines[-1])])


def _check_header(header: list[str], text: _Text) -> None:
    place = f"{text.file} line {text.number}"
    if len(header) == 1 and any(d in header[0] for d in _DELIMITERS):
        raise TableError(
            f"{place}: the whole line stands in quotes ({header[0]!r}): write lines without the "
            "outer quotes"
        )
    places: dict[str, int] = {}
    for k, name in enumerate(header):
        first = places.setdefault(_folded(name), k) if name else k
        if first != k:
            raise TableError(
                f"{place}: columns {first + 1} and {k + 1} are called {header[first]!r} and "
                f"{name!r}: rename or remove the one that is not meant"
            )


def _read_even(
    text: _Text, header: list[str], keep: list[int], first: bytes
) -> pd.DataFrame | None:
    """Read rows that are all as long as the header, a line each; None if they may not be."""
    rows, last = _Rows(text, first, len(header)), str(len(header))
    columns = [str(k) for k in keep]
    kinds: dict[str, Any] = dict.fromkeys(columns, str) | {last: "category"}
    try:
        table: pd.DataFrame = pd.read_csv(  # type: ignore[call-overload]
            rows,
            sep=text.delimiter,
            header=None,
            names=[str(k) for k in range(len(header) + 1)],
            usecols=[*columns, last],
            index_col=False,
            dtype=kinds,
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
            skipinitialspace=True,
            encoding="utf-8",
        )
    except ValueError:  # a row too long, or a quote that is not closed
        return None
    ends = table.pop(last)
    blank = ends.eq(_BLANK).to_numpy()
    if not rows.certain or len(table) != rows.lines or not (blank | ends.eq(_END)).all():
        return None
    table.index = pd.RangeIndex(text.number, text.number + len(table))
    if rows.padded:
        table = table.apply(lambda cells: cells.str.strip()).replace("", np.nan)
    bare = table.iloc[:, :1].isna().all(axis=1).to_numpy(copy=True)
    bare[bare] = table[bare].isna().all(axis=1)
    # A row without a cell is none; columns that were left out may hold one.
    if bare.all() or (len(keep) < len(header) and (bare != blank).any()):
        return None
    return table.loc[~bare] if bare.any() else table


def _is_padded(block: bytes, delimiter: str) -> bool:
    """Tell whether a cell of some lines may begin or end in a blank."""
    quoted = b'"' in block
    if quoted and delimiter == "\t":
        return True  # a tab in quotes is a blank too
    if not block.isascii() and any(blank in block for blank in _BLANKS):
        return True
    if quoted:  # what stands inside quotes is no blank at an end
        block = _QUOTED.sub(rb'"\1"', block)
    mark, letters = ord(delimiter), np.frombuffer(block, dtype=np.uint8)
    places = np.flatnonzero(letters <= ord(" "))
    places = places[(letters[places] != ord("\n")) & (letters[places] != mark)]
    neighbours = np.concatenate([letters[places - 1], letters[places + 1]])  # before the first: LF
    return bool(np.isin(neighbours, [mark, ord("\n"), ord('"')]).any())


def _read_odd(text: _Text, header: list[str], first: bytes) -> pd.DataFrame:
    """Read rows one by one: cells of several lines, empty rows; refuse one of another length."""
    data = b"".join(text.blocks())
    if first and (at := (b"\n" + data).find(b"\n" + first)) >= 0:
        line = text.number + data.count(b"\n", 0, at)
        raise TableError(
            f"{text.file} line {line} is the header once more: were two tables put together? "
            "Remove that line"
        )
    rows = {number: cells for number, cells in text.rows(data) if any(cells)}
    wrong = [number for number, cells in rows.items() if len(cells) != len(header)]
    if wrong:
        cells, last = rows[wrong[0]], wrong[0] == max(rows)
        place = f"{text.file} line {wrong[0]}: {len(cells)} cells where "
        place += f"the header has {len(header)}" if first else f"{len(header)} are meant"
        many = f"{len(wrong)} of {len(rows)} rows are not as long"
        raise TableError(f"{place} {_length(cells, header, many, last=last)}")
    if not rows:
        raise TableError(f"{text.file} has no row that holds anything: is it cut off?")
    table = pd.DataFrame(list(rows.values()), index=list(rows), dtype=pd.Series([""]).dtype)
    return table.replace("", np.nan)


def _length(cells: list[str], header: list[str], many: str, *, last: bool) -> str:
    """Say what is wrong with a row's length, and what to do."""
    if len(cells) < len(header):
        cut = "; it is the last row: is the file cut off?" if last else ""
        return (
            f"({many}), {header[len(cells)]!r} is the first column without one{cut}: fill the row "
            "up, with empty cells where nothing is known"
        )
    beyond = cells[len(header)]
    place = f"({_shown(header)}); behind {header[-1]!r} stands {beyond!r} ({many}): "
    if not beyond:
        return f"{place}remove the delimiter at the end of each row"
    for whole, part in pairwise(cells):
        if re.fullmatch(r"[+-]?\d{1,3}", whole) and re.fullmatch(r"\d+", part):
            return f"{place}is {whole},{part} one number? Write it with a point, or in quotes"
    return f"{place}remove the delimiter too many, name its column, or put its cell in quotes"


def _name_columns(table: pd.DataFrame, names: list[str], file: Path) -> pd.DataFrame:
    """Give columns their names; one without a name is refused unless it says nothing.

    A first column without a name is the index that pandas writes: it goes if it numbers the rows,
    and is called `Unnamed: 0`, as pandas calls it, if it holds more than that, ids say.
    """
    called: dict[int, str] = {}
    for k, name in enumerate(names):
        if name:
            called[k] = name
            continue
        cells = table.iloc[:, k].dropna()
        if k == 0 and len(cells):
            called |= {} if _numbers_rows(cells, len(table)) else {0: FIRST}
        elif len(cells):
            raise TableError(
                f"{file}: column {k + 1} of {len(names)} has no name but holds {cells.iloc[0]!r} "
                f"(line {cells.index[0]}): name it, or remove it"
            )
    kept = table if len(called) == len(names) else table.iloc[:, list(called)].copy()
    kept.columns = pd.Index(list(called.values()))
    return kept


def _numbers_rows(cells: pd.Series, rows: int) -> bool:
    """Tell whether a column holds a whole number for each row, as pandas writes them first."""
    return len(cells) == rows and cells.is_unique and bool(cells.str.fullmatch(r"\d+").all())


def _folded(name: str) -> str:
    return "".join(str(name).lower().split())


def _shown(header: list[str]) -> str:
    return ", ".join(header[:8]) + (" …" if len(header) > 8 else "")
