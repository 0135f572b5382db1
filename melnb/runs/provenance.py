"""What a run was made of: hashes of what it read and wrote, versions, commit, plain numbers.

Nothing here looks at times: two runs that read and wrote the same bytes hash the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import melnb
from melnb.tables.documents import RECORD, DamagedError, Entry, Record, read_record

LAUNCH = "MELNB_LAUNCH"  # the variable by which a kernel knows the launch that it is of
ABSENT = "none:"  # in place of a hash: nothing lay there
# Parameters that say where a run is written, not what it is, or in one word what others say too.
ELSEWHERE = frozenset({"outputs", "augmentation"})
SMALL = 16 << 20  # bytes: a file up to this is compared by its hash always, 16 ms on one core
_TICK, _SLOW = 20_000_000, 2_000_000_000  # ns: of a file system's clock, and of one of seconds
_COUNTED = ("melnb", "numpy", "pandas", "keras", "tensorflow", "jax")


def hash_path(path: Path) -> str:
    """Return what stands for the content of a file or folder, as `kind:sha256`.

    A file is read whole (1 to 1.7 GB/s on one core). A finished run is hashed by what its
    `run.json` says it read and wrote. Any other folder is hashed by the names and sizes of its
    files; of raw data more is kept, see `rawdata`.

    Raises:
        FileNotFoundError: There is nothing at the path.
        DamagedError: It is a run whose record is damaged.
    """
    if path.is_file():
        return f"file:{hash_file(path)}"
    if (path / RECORD).is_file():
        return f"run:{hash_run(read_record(path))}"
    if path.is_dir():
        return f"listing:{_digest([[f['path'], f['bytes']] for f in list_files(path)])}"
    raise FileNotFoundError(f"nothing to read at {path}")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_run(record: Record) -> str:
    """Return the hash of what a run is: parameters, inputs, results and files, without times."""
    inputs = sorted(entry["sha256"] for entry in record["inputs"])
    parameters = identity(record["parameters"])
    return _digest([record["stage"], parameters, inputs, record["results"], record["files"]])


def identity(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as JSON holds them, without those that say only where to write.

    A preset's name is none of them either: the strengths that came of it stand beside it.
    """
    kept = {name: value for name, value in parameters.items() if name not in ELSEWHERE}
    return dict(json.loads(json.dumps(kept)))


def list_files(
    folder: Path, *, hashed: bool = False, but: Iterable[str] = (), folders: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """List the files under a folder by name: path, bytes and, if asked, sha256.

    Args:
        folder: Where they lie.
        hashed: Whether to read them.
        but: Names to leave out.
        folders: Sub-folders that are one entry each: of 30,000 masks a list would be 5 MB. Its path
            ends in `/`; `files` is their number, `bytes` their sum, and `sha256` covers the name,
            size and content of each. One that is not there has no entry.
    """
    named, skipped = {folder / name for name in folders}, set(but)
    paths = []
    for place, inner, names in os.walk(folder):
        whole = {name for name in inner if Path(place, name) in named}
        inner[:] = set(inner) - whole
        paths += [Path(place, name) for name in (*names, *whole)]
    entries = [(path.relative_to(folder).as_posix(), path) for path in sorted(paths)]
    return [
        _entry(path, name, hashed=hashed)
        for name, path in entries
        if name not in skipped and (path.is_file() or path.is_dir())  # no pipe, no lost link
    ]


def alteration(files: Iterable[Entry], folder: Path, *, whole: bool = False) -> str:
    """Return in words the first of a run's files that is not what it wrote; empty if all are.

    Args:
        files: As its record lists them.
        folder: Of the run.
        whole: Whether files above `SMALL`, and those in folders of many, are read too, and not
            compared by their sizes alone.
    """
    for entry in files:
        if how := _alteration(entry, folder / entry["path"], whole=whole):
            kind = "folder" if entry["path"].endswith("/") else "file"
            return f"its {kind} {entry['path']} is {how}"
    return ""


def stamps(files: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Return of each file what tells, unread, that nobody has written to it since.

    That is its size and times, of which nobody can set the last (`st_ctime`: on Windows it is
    another, and size and time must do). A file that is no older than the clock can tell has none.
    """
    before = {entry["path"]: _stamp(folder / entry["path"]) for entry in files}
    return {path: stamp for path, stamp in before.items() if stamp}


def check_written(path: Path) -> None:
    """Refuse a finished run, or a file in one, that is not what the run wrote.

    Read is what has another stamp than the run recorded, as it was copied, say; the rest, a disk
    that fails alone can have changed, which `melnb status --check` finds.

    Raises:
        DamagedError: It is not; or the run's record is damaged.
    """
    home = next((p for p in (path, *path.parents) if (p / RECORD).is_file()), None)
    if home is None:
        return
    try:
        record = read_record(home)
    except DamagedError:
        if path == home:
            raise
        return  # a file beside another program's run.json
    before, name = record.get("stamps", {}), path.relative_to(home).as_posix()
    for entry in record["files"]:
        place = home / entry["path"]
        if path != home and entry["path"] != name:
            continue
        stamp = before.get(entry["path"])
        if stamp and stamp == _stamp(place):
            continue
        if how := _alteration(entry, place, whole=True):
            remedy = "remove it, and run its stage again, which makes it anew"
            raise DamagedError(place, f"it is {how}", remedy)


def _alteration(entry: Entry, path: Path, *, whole: bool) -> str:
    """Return how what lies there differs from what a record says; empty if it does not."""
    altered = "not what this run wrote"
    try:
        if entry["path"].endswith("/"):
            inside = list_files(path)
            size = sum(file["bytes"] for file in inside)
            if (len(inside), size) != (entry["files"], entry["bytes"]):
                return altered if inside else "gone"
        elif not path.is_file():
            return "gone"
        elif path.stat().st_size != entry["bytes"]:
            return altered
        elif entry["bytes"] <= SMALL:
            whole = True
        if not whole or "sha256" not in entry:
            return ""
        now = hash_file(path) if path.is_file() else _digest(list_files(path, hashed=True))
        return "" if now == entry["sha256"] else altered
    except OSError as error:
        return f"not to be read ({error.strerror})"


def plain(value: Any, name: str = "results") -> Any:
    """Turn NumPy numbers, tuples and paths into what JSON holds; a NaN or infinity becomes None.

    A metric may rightly be undefined (a sensitivity without positives), and an hour's training must
    not be lost for it at the last step; JSON knows no NaN.

    Raises:
        TypeError: The value is neither number, text, list nor mapping of these.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{name}[{k}]") for k, item in enumerate(value)]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # NumPy, without importing it
        return plain(value.tolist(), name)
    raise TypeError(
        f"{name} is a {type(value).__name__}: record numbers, texts or lists of them, "
        "and write tables as files of the run"
    )


def versions() -> dict[str, str]:
    """Return the versions of Python and of those packages that this process has imported."""
    imported = {name: sys.modules[name] for name in _COUNTED if name in sys.modules}
    return {"python": platform.python_version(), "melnb": melnb.__version__} | {
        name: str(getattr(module, "__version__", "")) for name, module in imported.items()
    }


def commit(folder: Path) -> str:
    """Return the git commit of a folder, with `+` if it was changed since; empty without git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        answer = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _entry(path: Path, name: str, *, hashed: bool) -> dict[str, Any]:
    if path.is_dir():
        inside = list_files(path, hashed=hashed)
        size = sum(file["bytes"] for file in inside)
        entry = {"path": f"{name}/", "files": len(inside), "bytes": size}
        return entry | ({"sha256": _digest(inside)} if hashed else {})
    entry = {"path": name, "bytes": path.stat().st_size}
    return entry | ({"sha256": hash_file(path)} if hashed else {})


def _stamp(path: Path) -> str:
    """Return the stamp of a file, or of a folder and all in it; empty if there can be none."""
    try:
        if path.is_dir():
            inside = {file["path"]: _stamp(path / file["path"]) for file in list_files(path)}
            return _digest(inside) if all(inside.values()) else ""
        seen = path.stat()
    except OSError:
        return ""
    last = max(seen.st_mtime_ns, seen.st_ctime_ns)
    young = time.time_ns() - last < (_TICK if last % 10**9 else _SLOW)
    return "" if young else f"{seen.st_size}.{seen.st_mtime_ns}.{seen.st_ctime_ns}"


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
