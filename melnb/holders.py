"""Who holds a lock: a note of its process, which is believed only while that process lives.

A lock itself is the system's, and goes with its process, however that ends; a note may stay.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

UNKNOWN = "another process"
_SHOWN = 100  # characters of a command
_CLOCK = 2.0  # seconds by which two readings of a process's start may differ
_KERNEL = "ipykernel_launcher"


def note(pid: int = 0) -> dict[str, Any]:
    """Return what tells a process from all others: this one, or another of this machine."""
    pid = pid or os.getpid()
    now = datetime.now(UTC).isoformat()
    return {"pid": pid, "host": platform.node(), "begun": _begin_of(pid), "opened": now}


def read(path: Path) -> str:
    """Describe what a note in a file names."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        noted = {}
    return describe(noted if isinstance(noted, dict) else {})


def describe(noted: Mapping[str, Any]) -> str:
    """Return which process a note names, and since when it holds; `UNKNOWN` if it ended.

    A number of a process is given again once that has ended, so its begin is compared too. What
    runs on another machine is taken at its word.
    """
    pid, host = noted.get("pid"), noted.get("host")
    if not isinstance(pid, int) or (host == platform.node() and not _lives(pid, noted)):
        heir = noted.get("heir")  # that holds on, though who began it has ended
        return describe(heir) if isinstance(heir, Mapping) else UNKNOWN
    command = f", {_command_of(pid)}" if host == platform.node() else ""
    return f"{UNKNOWN} (pid {pid} on {host}{command}, since {_local(noted.get('opened'))})"


def _lives(pid: int, noted: Mapping[str, Any]) -> bool:
    now, then = _begin_of(pid), noted.get("begun")
    return now is not None and (
        not isinstance(then, int | float) or abs(now - float(then)) < _CLOCK
    )


def _begin_of(pid: int) -> float | None:
    """Return when a process began, in seconds; None if there is none."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _command_of(pid: int) -> str:
    import psutil

    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        words = []
    if any(_KERNEL in word for word in words):
        return "a notebook's kernel"
    words = [Path(words[0]).name, *words[1:]] if words else ["its command unknown"]
    text = " ".join(" ".join(words).split())  # a script of `-c` has lines
    return f"{text[:_SHOWN]} …" if len(text) > _SHOWN else text


def _local(opened: Any) -> str:
    try:
        return f"{datetime.fromisoformat(opened).astimezone():%Y-%m-%d %H:%M:%S}"
    except (TypeError, ValueError):
        return "?"
