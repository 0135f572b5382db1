"""The chosen operating point as a file, which a report can take its threshold from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from melnb.evaluation.decisions.chosen import read_threshold, write_threshold

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
