"""Imports that would take seconds for nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_GRAMMAR = "rfc3987_syntax"


@contextmanager
def no_grammar() -> Iterator[None]:
    """Import jsonschema, or what needs it, without its grammar of web addresses.

    Where `rfc3987_syntax` is installed (JupyterLab brings it), jsonschema imports it, to check a
    format that no notebook has, and it builds its grammar anew in each process: 1.5 s, half of
    papermill's import and of plotly's renderers'. Without it, jsonschema leaves the format
    unchecked.
    """
    if _GRAMMAR in sys.modules:
        yield
        return
    sys.modules[_GRAMMAR] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        yield
    finally:
        del sys.modules[_GRAMMAR]
