"""The chosen operating point as a file, which a report can take its threshold from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from melnb.evaluation.decisions.chosen import read_threshold, write_threshold
from melnb.tables import TableError

FILE = "operating_point.json"


def write_choice(choice: Mapping[str, Any], path: str | Path) -> Path:
    """Write what was chosen, whole or not at all; a folder gets a file of the usual name.

    Args:
        choice: `ThresholdExplorer.choice`.
        path: A file or a folder.
    """
    path = Path(path)
    return write_threshold(choice, path / FILE if path.is_dir() else path)


def choice_before(path: str | Path, *, run: str, positive: str) -> dict[str, Any]:
    """Return what somebody chose for a run before; empty when nobody did.

    Args:
        path: The file.
        run: Of the predictions; a choice for another run does not count.
        positive: The class looked for, likewise.
    """
    if not Path(path).is_file():
        return {}
    choice = read_threshold(path)
    same = (choice.get("run"), choice.get("positive")) == (run, positive)
    return choice if same else {}


class Replacement:
    """Writes a chosen point, and asks before it replaces what another wrote."""

    def __init__(self) -> None:
        self._own = self._asked = b""  # what we wrote last, and what we asked about

    def write(self, choice: Mapping[str, Any], path: Path, *, replace: bool) -> str:
        """Write, unless something else lies there; return the question, empty if it is written.

        Args:
            choice: `ThresholdExplorer.choice`.
            path: A file.
            replace: The answer was yes. It holds for what was asked about, and for no later file.
        """
        before = path.read_bytes() if path.exists() else b""
        known = before in (b"", self._own) or (replace and before == self._asked)
        held = {} if known else _read(path)
        if not known and held != choice:
            self._asked = before
            return f"{path.name} holds {_words(held)}. Replace it by {_words(choice)}?"
        self._own = write_choice(choice, path).read_bytes()
        return ""


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_threshold(path)
    except TableError:
        return {}


def _words(choice: Mapping[str, Any]) -> str:
    if not choice:
        return "something else"
    threshold, run = choice["threshold"], choice.get("run", "?")
    return f"the threshold {threshold:.4g} of {run}"
