"""A folder that is whole or absent: one writer, a partial name, a rename at the end.

`final` is the finished folder. Beside it lie, for a while, `<final>.partial` (being written) and
`<final>.old` (being replaced), and the lock file. A process may be killed between any two lines.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from melnb.runs.provenance import identity
from melnb.tables.documents import OPENED_SHAPE, DamagedError, read_document
from melnb.tables.documents import RECORD as RECORD
from melnb.tables.files import naming, old_folder, replace_folder, replacing

# Who holds a lock: a note of its process, which is believed only while that process lives.
#
# A lock itself is the system's, and goes with its process, however that ends; a note may stay.

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


OPENED = "parameters.json"  # in a partial folder: whose it is, and who writes it
RESERVED = (".partial", ".old", ".lock", ".running", ".failed")  # endings no run may have
_PATIENCE = 5.0  # seconds: `holder` may be looking, or a kernel whose launcher was killed be dying
_HELD: WeakValueDictionary[Path, FileLock] = WeakValueDictionary()  # by this process


class RunError(RuntimeError):
    """A run cannot be opened or finished; the message says what to do first."""


def partial(final: Path) -> Path:
    """Return where the folder is while it is being written."""
    return final.with_name(f"{final.name}.partial")


def hold(final: Path) -> FileLock:
    """Lock a folder until the lock is released or dropped, or the process ends, however it ends.

    A process that holds the folder already gets the lock that it has: cells are run again.

    Raises:
        RunError: Another process holds it.
    """
    lock = _HELD.get(final)
    if lock is None:
        with naming(final):
            final.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_file(final), timeout=_PATIENCE, thread_local=False)
    if not lock.is_locked:
        try:
            with naming(final):
                lock.acquire()
        except Timeout:
            who = holder(final) or "another process"
            raise RunError(
                f"{final} is being written by {who}: wait for it, or stop it first "
                "(a notebook open in JupyterLab: shut down its kernel)"
            ) from None
        _HELD[final] = lock
    return lock


def holder(final: Path, *, patience: float = 0) -> str:
    """Return who is writing a folder, in words, after some seconds' patience; empty if nobody."""
    if final in _HELD and _HELD[final].is_locked:
        return "this process"
    if not _lock_file(final).exists():
        return ""
    try:
        with FileLock(_lock_file(final), timeout=patience):
            return ""
    except Timeout:
        return describe(read_opened(final))
    except OSError:  # another person's folder, say: its note alone can tell
        who = describe(read_opened(final))
        return "" if who == UNKNOWN else who


def claim(final: Path, parameters: dict[str, Any]) -> bool:
    """Make the partial folder ours, the lock being held; return whether it was begun before.

    A partial folder of the same parameters is continued with all its files; any other is wiped.
    """
    _settle(final)
    folder, before = partial(final), read_opened(final).get("parameters")
    if problem := damage(final):
        print(f"{problem}: nobody knows whose files lie there, and they are wiped")
    if folder.exists() and (before is None or identity(before) != identity(parameters)):
        # The claim goes first: a wipe that is killed half-way must not look like a run to continue.
        (folder / OPENED).unlink(missing_ok=True)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.rglob(".*.tmp"):  # by a write that was killed
        left.unlink()
    write_json({"parameters": parameters} | note(), folder / OPENED)
    return any(path.name != OPENED for path in folder.iterdir())


def read_opened(final: Path) -> dict[str, Any]:
    """Return the parameters and the writer of an unfinished folder; empty if it says neither."""
    try:
        return _opened(final)
    except DamagedError:
        return {}


def damage(final: Path) -> str:
    """Return what is wrong with the claim of an unfinished folder, in words; empty if nothing."""
    try:
        _opened(final)
    except DamagedError as error:
        return f"{error.path} is damaged ({error.problem})"
    return ""


def _opened(final: Path) -> dict[str, Any]:
    path, remedy = partial(final) / OPENED, "run its stage again, which begins it anew"
    if not path.is_file():
        return {}
    opened = read_document(path, OPENED_SHAPE, remedy)
    return {**opened}


def replace(final: Path) -> None:
    """Put the partial folder, which is whole, in the place of the finished one."""
    (partial(final) / OPENED).unlink(missing_ok=True)
    replace_folder(partial(final), final)


def mend(final: Path) -> None:
    """End a `replace` that was killed, unless it lives, or the folder is not ours to write."""
    whole = (partial(final) / RECORD).is_file()
    if not whole and not old_folder(final).is_dir():
        return
    lock = _HELD.get(final) or FileLock(_lock_file(final), timeout=_PATIENCE if whole else 0)
    with suppress(Timeout, OSError), lock:
        _settle(final)


def _settle(final: Path) -> None:
    """Put a partial folder that has a record, and so is whole and newer, in its place."""
    if (partial(final) / RECORD).is_file():
        replace(final)
    elif final.exists():
        shutil.rmtree(old_folder(final), ignore_errors=True)


def write_json(value: Any, path: Path) -> Path:
    """Write JSON under a temporary name, then rename it: whole or absent."""
    text = json.dumps(value, indent=1, allow_nan=False)
    with replacing(path, lasting=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _lock_file(final: Path) -> Path:
    return final.parent / f".{final.name}.lock"
