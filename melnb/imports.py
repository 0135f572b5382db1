"""Leave out of an import what would take seconds and is not used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# jsonschema imports it where it is there (JupyterLab brings it), to check a format that no
# notebook has, and it builds a grammar of web addresses anew in each process: 1.5 s, half of
# papermill's import and of plotly's renderers'.
GRAMMAR = "rfc3987_syntax"


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Import as if some optional modules were not installed; afterwards they can be imported.

    What is imported already stays.
    """
    absent = [name for name in modules if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say: not there
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
