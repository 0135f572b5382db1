"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")


def is_table(path: str | Path) -> bool:
    """Tell whether a name is that of a table: `.csv`, `.tsv`, `.tab` or `.txt` in any case."""
    return str(path).lower().endswith(TABLE_SUFFIXES)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` at the end.

    If the block raises, or the process is killed, the file stays as it was. The temporary file is
    made by the block, so that it gets the usual permissions (`mkstemp` would keep others from
    reading it).

    Args:
        path: Of the file to write; its folder is made if need be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
