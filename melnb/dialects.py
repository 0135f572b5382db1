"""Dialects of delimited text: which character parts the cells of a file."""

from __future__ import annotations

import re
from pathlib import Path

from melnb.checks import TableError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEP = re.compile(rb'"?sep=(.)"?\s*', re.IGNORECASE)
_SAMPLE = 200  # rows that tell the delimiter


def read_dialect(data: bytes, file: Path) -> tuple[bytes, int, str]:
    """Find the delimiter: a first line `sep=;` says it, else the header and the rows do.

    Args:
        data: A whole file; UTF-8, lines end in LF.
        file: For the message.

    Returns:
        The data from the header on, the header's line, and one character.

    Raises:
        TableError: Two characters may be meant, or there is no header.
    """
    data, number = _pass_blank(data, 1)
    first, _, rest = data.partition(b"\n")
    if said := _SEP.fullmatch(first):
        data, number = _pass_blank(rest, number + 1)
        if not data:
            raise TableError(f"{file} is empty but for its line sep=: write or download it again")
        delimiter = said[1].decode()
    else:
        delimiter = _find_delimiter(data, number, file)
    return data, number, delimiter


def _pass_blank(data: bytes, number: int) -> tuple[bytes, int]:
    """Return the data from the first line on that holds anything, and its number."""
    blank = re.match(rb"(?:[ \t]*\n)*", data)
    passed = blank[0] if blank else b""
    return data[len(passed) :], number + passed.count(b"\n")


def _find_delimiter(data: bytes, number: int, file: Path) -> str:
    """Return the one delimiter by which all rows are as long as the first."""
    lines = data[:1_000_000].splitlines()[:_SAMPLE]
    sample = [re.sub(rb'"[^"]*"', b"", line) for line in lines if line.strip()]
    counts = {d: [line.count(d.encode()) for line in sample] for d in DELIMITERS}
    there = [d for d in DELIMITERS if counts[d][0]]
    if not there:  # one column, unless rows have more
        return next((d for d in DELIMITERS if any(counts[d])), ",")
    even = [d for d in there if len(set(counts[d])) == 1]
    if len(even) > 1:
        raise TableError(
            f"{file} line {number}: {' or '.join(DELIMITERS[d] for d in even)} may part the "
            f"cells, for every row has as many: write a first line sep={even[0]} or sep={even[1]}"
        )
    return even[0] if even else max(there, key=lambda d: counts[d][0])
