"""Raw data: what lay in a source's folder when a run read it, and what is different now.

Of every table and picture the name, size and time are kept, and of those that the run has read the
hash of their content: a file of the run, `raw.csv.gz`, holds a line for each. A look at 400,000
files takes seconds: names and sizes are compared, tables and what has another time by content. A
folder that was copied has other times throughout; then, as what is read at a look is bounded, the
names and sizes must do, and `melnb status --check` reads all.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from melnb.runs.provenance import hash_file
from melnb.tables.documents import DamagedError
from melnb.tables.files import PICTURE_SUFFIXES, TABLE_SUFFIXES, replacing, walk
from melnb.tables.values import neutral, restored

FILE = "raw.csv.gz"
LOOKED = 64 << 20  # bytes of pictures that a look reads to tell a swapped one from a copied one
_TABLES = frozenset({*TABLE_SUFFIXES, ".xlsx"})
_COUNTED = _TABLES | PICTURE_SUFFIXES | {".tfrec"}
_MANY = 1000  # tables that are compared by content at each look; more are as pictures are
_DIGITS = 32  # of a hash: enough to tell files apart, half as long
_NAMED = 3  # files in a message
_REMEDY = "run its stage again, which makes it anew"


class File(NamedTuple):
    """A raw file; `content` is empty if the run did not read it."""

    bytes: int
    time: int  # of its last change, in ns
    content: str = ""


Files = Mapping[str, File]
"""Path, relative to the root where it lies below it, to the file."""


class Look(NamedTuple):
    """What a look at something found, in words."""

    change: str = ""  # what is another; empty: nothing
    doubt: str = ""  # what it could not tell; empty: nothing


def read_raw(
    root: Path, used: Iterable[str | Path] = (), *, most: int | None = None
) -> dict[str, File]:
    """List raw data, with the content of all tables and of the files used.

    Args:
        root: The source's folder, or a table with the pictures below its folder.
        used: Paths of the pictures that are read; what follows `::` is a record in the file.
        most: Bytes of these: of more, no content is kept. None: any number.

    Raises:
        FileNotFoundError: There is nothing at the root.
    """
    if not root.exists():
        raise FileNotFoundError(f"nothing to read at {root}")
    files = dict(_listed(root))
    pictures = set()
    for path in {str(path).partition("::")[0] for path in used}:
        name = _name(root, path)
        if name not in files and (stat := _stat(root, name)):
            files[name] = stat
        pictures |= {name} & files.keys()
    if most is not None and sum(files[name].bytes for name in pictures) > most:
        pictures = set()
    hashes = _hashes(root, sorted(pictures.union(filter(_is_table, files))))
    return {name: file._replace(content=hashes.get(name, "")) for name, file in files.items()}


def digest(files: Files) -> str:
    """Return what stands for raw data: names, sizes and contents, and no times."""
    hasher = hashlib.sha256()
    for name, file in sorted(files.items()):
        hasher.update(f"{name}\0{file.bytes}\0{file.content}\0".encode(errors="surrogateescape"))
    return hasher.hexdigest()


def compare(before: Files, root: Path, *, whole: bool = False) -> Look:
    """Say how raw data differs from what a run read.

    Args:
        before: As the run read it.
        root: As then.
        whole: Whether all is read that the run has read.

    Returns:
        The files that are gone, new or changed, tables first. If nothing of it is there, as when
        a disk is not plugged in, or it cannot be listed, that is a doubt and no change: a finished
        run is not thrown away for it.
    """
    try:
        now = dict(_listed(root)) if root.exists() else {}
        for name in before.keys() - now.keys():
            if stat := _stat(root, name):
                now[name] = stat
        if not before.keys() & now.keys() and (root == _home(root) or is_away(root)):
            return Look(doubt="cannot be checked, as nothing of it is there")
        changes = dict.fromkeys(before.keys() - now.keys(), "is gone")
        changes |= dict.fromkeys(now.keys() - before.keys(), "is new")
        changes |= {n: "changed" for n in now if n in before and now[n].bytes != before[n].bytes}
        read, left = _to_read(before, {n: now[n] for n in now if n not in changes}, whole=whole)
        hashes = _hashes(root, read)
        changes |= {n: "changed" for n in read if hashes[n] != before[n].content}
    except OSError as error:
        return Look(doubt=f"cannot be checked: {error.filename or root}: {error.strerror}")
    order = sorted(changes, key=lambda name: (not _is_table(name), name))
    more = f" and {len(order) - _NAMED:,} more" if len(order) > _NAMED else ""
    copied = f"{left:,} pictures have other times, as after a copy: melnb status --check reads them"
    return Look(
        ", ".join(f"{name} {changes[name]}" for name in order[:_NAMED]) + more,
        copied if left else "",
    )


def is_away(path: Path) -> bool:
    """Tell whether nothing lies where a file should, nor beside it: a disk is not plugged in."""
    try:
        return not any(path.parent.iterdir())
    except OSError:
        return True


def write_files(trees: Mapping[str, Files], path: Path) -> Path:
    """Write raw data's files, by the names of their roots."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for root, files in sorted(trees.items()):
        for name, file in sorted(files.items()):
            writer.writerow((neutral(root), neutral(name), *file))
    content = text.getvalue().encode(errors="surrogateescape")
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(content, 6, mtime=0))
    return path


def read_files(path: Path, root: str, sha256: str) -> dict[str, File]:
    """Read the files of one root, as they were recorded.

    Args:
        path: Of the file.
        root: Its name.
        sha256: What `digest` must say of them.

    Raises:
        DamagedError: They are not those that were recorded.
    """
    try:
        content = gzip.decompress(path.read_bytes()).decode(errors="surrogateescape")
        lines, names = csv.reader(io.StringIO(content, newline="")), [neutral(root)]
        files = {
            restored(name): File(int(size), int(time), sha)
            for _, name, size, time, sha in (line for line in lines if line[:1] == names)
        }
    except FileNotFoundError:
        raise DamagedError(path, "it is gone", _REMEDY) from None
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise DamagedError(path, f"no list of raw files: {error}", _REMEDY) from None
    if digest(files) != sha256:
        raise DamagedError(path, "it is not what this run wrote", _REMEDY)
    return files


def _to_read(before: Files, same: Files, *, whole: bool) -> tuple[list[str], int]:
    """Choose which files of the same size are compared by content; and count what is left out."""
    unchanged = sorted(name for name in same if before[name].content)
    if whole:
        return unchanged, 0
    tables = [name for name in unchanged if _is_table(name)]
    always = set(tables if len(tables) <= _MANY else ())
    later = [n for n in unchanged if n not in always and before[n].time != same[n].time]
    if sum(same[name].bytes for name in later) > LOOKED:
        return sorted(always), len(later)
    return sorted(always.union(later)), 0


def _listed(root: Path) -> Iterator[tuple[str, File]]:
    """Find tables and pictures below a root; of a table that is the root, itself and pictures."""
    alone = root.is_file()
    if alone:
        yield root.name, _of(root.stat())
    for prefix, files, _ in walk(root.parent if alone else root):
        for entry in files:
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
            if suffix in _COUNTED and not (alone and suffix in _TABLES) and entry.is_file():
                yield f"{prefix}{entry.name}", _of(entry.stat())


def _hashes(root: Path, names: list[str]) -> dict[str, str]:
    """Return the hashes of files by name; they are read several at a time, as disks like it."""
    home = _home(root)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        hashes = pool.map(lambda name: hash_file(home / name)[:_DIGITS], names)
        return dict(zip(names, hashes, strict=True))


def _stat(root: Path, name: str) -> File | None:
    try:
        return _of(os.stat(_home(root) / name))  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None


def _of(stat: os.stat_result) -> File:
    return File(stat.st_size, stat.st_mtime_ns)


def _home(root: Path) -> Path:
    alone = root.is_file() or (_is_table(root.name) and not root.is_dir())
    return root.parent if alone else root


def _name(root: Path, path: str) -> str:
    """Return a path relative to the root's folder if it lies below it, else absolute."""
    home, absolute = _home(root), Path(path).absolute()
    return (absolute.relative_to(home) if absolute.is_relative_to(home) else absolute).as_posix()


def _is_table(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _TABLES  # noqa: PTH122
