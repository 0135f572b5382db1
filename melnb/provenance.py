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
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import melnb

RECORD = "run.json"  # written last: a folder that has it is whole
ELSEWHERE = frozenset({"outputs"})  # parameters that say where a run is written, not what it is
_COUNTED = ("melnb", "numpy", "pandas", "keras", "tensorflow", "jax")


class DamagedError(ValueError):
    """A file that melnb wrote is not as it was written.

    Attributes:
        path: Of the file.
        problem: What is wrong with it, in words.
    """

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path} is damaged ({problem}): {remedy}")


class Entry(TypedDict):
    """A file of a run, or a folder of many, whose path ends in `/`."""

    path: str
    bytes: int
    files: NotRequired[int]
    sha256: NotRequired[str]


class Input(TypedDict):
    """What a run read, and the hash of its content."""

    path: str
    sha256: str


class Record(TypedDict):
    """What a finished run recorded: its `run.json`."""

    stage: str
    run: str
    parameters: dict[str, Any]
    inputs: list[Input]
    results: dict[str, Any]
    files: list[Entry]
    started: str
    seconds: float
    resumed: bool
    commit: str
    versions: dict[str, str]
    device: str


_SHAPE: dict[str, type | tuple[type, ...]] = {
    "stage": str, "run": str, "parameters": dict, "inputs": list, "results": dict, "files": list,
    "started": str, "seconds": (int, float), "resumed": bool, "commit": str, "versions": dict,
    "device": str,
}  # fmt: skip
_LISTED: dict[str, dict[str, type]] = {
    "inputs": {"path": str, "sha256": str}, "files": {"path": str, "bytes": int},
}  # fmt: skip


def read_record(folder: Path) -> Record:
    """Read and check the record of a finished run.

    Raises:
        FileNotFoundError: The folder holds none.
        DamagedError: It is empty, cut, another program's, or lacks what a record has.
    """
    path, remedy = folder / RECORD, "run its stage again, which makes it anew"
    record = read_json(path, remedy, needs=_SHAPE)
    if problem := _misshapen(record):
        raise DamagedError(path, problem, remedy)
    return cast(Record, record)


def _misshapen(record: Mapping[str, Any]) -> str:
    """Return what in a record is not of its kind, in words; empty if all is."""
    for name, kind in _SHAPE.items():
        if not isinstance(record[name], kind):
            return f"its {name} is a {type(record[name]).__name__}"
    for name, kinds in _LISTED.items():
        for entry in record[name]:
            if not isinstance(entry, dict) or any(
                not isinstance(entry.get(key), kind) for key, kind in kinds.items()
            ):
                return f"{name} has {str(entry)[:60]}, which lacks {' or '.join(kinds)}"
    try:
        datetime.fromisoformat(record["started"])
    except ValueError:
        return f"started is {record['started']!r}, no time"
    return ""


def read_json(path: Path, remedy: str, *, needs: Iterable[str] = ()) -> dict[str, Any]:
    """Read a JSON file that holds a mapping.

    Args:
        path: Of the file.
        remedy: What to do if it is damaged.
        needs: Names that the mapping must have.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: It is empty or cut, or holds something else.
    """
    content = path.read_bytes()
    try:
        read = json.loads(content) if content.strip(b"\0 \t\r\n") else None
    except ValueError as error:
        raise DamagedError(path, f"no JSON: {error}", remedy) from None
    except RecursionError:
        raise DamagedError(path, "no JSON: its brackets are too deep", remedy) from None
    if not isinstance(read, dict):
        kind = "it is empty" if read is None else f"it holds a {type(read).__name__}"
        raise DamagedError(path, kind, remedy)
    if lost := [name for name in needs if name not in read]:
        raise DamagedError(path, f"it has no {lost[0]!r}", remedy)
    return read


def hash_path(path: Path) -> str:
    """Return what stands for the content of a file or folder, as `kind:sha256`.

    A file is read whole (1.7 GB/s on one core). A finished run is hashed by what its `run.json`
    says it read and wrote. Any other folder (raw images) is hashed by the names and sizes of its
    files: reading 100 GB to learn that nothing changed would cost more than the run.

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
    """Return the parameters as JSON holds them, without those that say only where to write."""
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
    found = []
    for place, inner, names in os.walk(folder):
        whole = {name for name in inner if Path(place, name) in named}
        inner[:] = set(inner) - whole
        found += [Path(place, name) for name in (*names, *whole)]
    told = [(path.relative_to(folder).as_posix(), path) for path in sorted(found)]
    return [
        _entry(path, name, hashed=hashed)
        for name, path in told
        if name not in skipped and (path.is_file() or path.is_dir())  # no pipe, no lost link
    ]


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


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
