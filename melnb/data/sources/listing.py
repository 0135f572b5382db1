"""Where files lie: a folder and all below it listed once, pictures found by id."""

from __future__ import annotations

import filecmp
import fnmatch
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from melnb.tables.files import PICTURE_SUFFIXES as PICTURE_SUFFIXES
from melnb.tables.files import (
    TABLE_SUFFIXES,
    UNREAD_SUFFIXES,
    is_table,
    picture_id,
    safe_id,
    walk,
)
from melnb.tables.signatures import HEAD, describe_file

# What a mask's name has behind its picture's.
MASK_TAIL = re.compile(r"[-_ .]*(?:segmentations?|lesions?|masks?|segs?)$", re.IGNORECASE)
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_COPY = re.compile(r" ?\(\d+\)(?=\.\w+$)")  # `a (1).csv`, as browsers name a second download


class Pictures(dict[str, str]):
    """Image id to path.

    Attributes:
        sought: The names of folders that were looked in.
        doubled: Of an id that several files of equal right bear, all their paths.
    """

    def __init__(self, sought: Sequence[str] = ()) -> None:
        super().__init__()
        self.sought = tuple(sought)
        self.doubled: dict[str, list[str]] = {}

    def of(self, ids: pd.Series) -> pd.Series:
        """Return the path of each id, NaN where there is none.

        Raises:
            ValueError: Two files bear one of these ids, and they are not the same byte for byte.
        """
        for name in ids[ids.isin(self.doubled)].unique():
            first, *others = self.doubled[name]
            for other in others:
                if not filecmp.cmp(first, other, shallow=False):
                    raise ValueError(
                        f"two files are called {name}: {first} and {other} differ, and nothing "
                        "tells which is meant: remove or rename one, or name the file in a column "
                        "path (source csv)"
                    )
        return ids.map(dict(self))


@dataclass(frozen=True)
class Listing:
    """The files of a source's folder and of all folders below it, listed once.

    Attributes:
        source: The source's name, for messages.
        home: Where its files can be got, in words; empty: nobody but their owner knows.
        root: The folder, absolute.
        names: Folder relative to the root to its file names; shallow folders first.
        broken: Links that lead nowhere, absolute.
    """

    source: str
    home: str
    root: Path
    names: dict[PurePosixPath, list[str]]
    broken: tuple[str, ...] = ()

    def find(self, *patterns: str) -> Path | None:
        """Return the first file of that name (`*` allowed); earlier patterns and folders win.

        Where there is none, a name in another case serves, a table of another suffix, and a second
        download (`a (1).csv`).
        """
        for pattern in patterns:
            for folder, names in self.names.items():
                for name in fnmatch.filter(names, pattern):
                    return self.root / folder / name
        return next(self._find_near(patterns), None)

    def _find_near(self, patterns: Sequence[str]) -> Iterator[Path]:
        wanted = [(p.lower(), p.lower().removesuffix(".csv")) for p in patterns]
        for pattern, bare in wanted:
            near = {pattern, *((bare + s for s in TABLE_SUFFIXES) if bare != pattern else ())}
            for folder, names in self.names.items():
                for name in names:
                    plain = _COPY.sub("", name.lower())
                    if any(fnmatch.fnmatchcase(plain, p) for p in near):
                        yield self.root / folder / name

    def need(self, *patterns: str) -> Path:
        """Return what `find` finds.

        Raises:
            FileNotFoundError: It finds nothing.
        """
        file = self.find(*patterns)
        if file is None:
            tables = [n for names in self.names.values() for n in names if is_table(n)]
            raise FileNotFoundError(
                f"{self.source}: no {' or '.join(patterns)} in {self.root} or below "
                f"(tables there: {tables[:8] or 'none'}): {self.remedy('get it from {}')}"
            )
        return file

    def pictures(self, *folders: str, tail: str = "") -> Pictures:
        """Return safe id to path of the pictures in folders of these names; earlier names win.

        Args:
            folders: Names or trailing paths (`jpeg/train`); `**` is every folder.
            tail: What follows the id in a file name (`_segmentation`); others are left out.
        """
        hits = Pictures(folders)
        for pattern in folders:
            paths = defaultdict(list)
            for folder, names in self.names.items():
                # The folder that was given may itself be the one: a test part's pictures alone.
                if pattern == "**" or (PurePosixPath(self.root.name) / folder).match(pattern):
                    place = os.path.join(self.root, folder)  # noqa: PTH118 (20 times as fast)
                    for name in names:
                        stem, suffix = os.path.splitext(name)  # noqa: PTH122
                        if suffix.lower() in PICTURE_SUFFIXES and stem.endswith(tail):
                            paths[safe_id(stem.removesuffix(tail))].append(f"{place}{os.sep}{name}")
            for stem, places in paths.items():  # in the folders' order, each time
                if stem not in hits:
                    hits[stem] = places[0]
                    if len(places) > 1:
                        hits.doubled[stem] = places
        return hits

    def near(self, ids: Collection[str]) -> dict[str, str]:
        """Return id to a file that may be meant.

        It bears the id in any case, with zeros, signs and blanks or without, with any suffix or
        two, in any folder; or it is a link of that name that leads nowhere.
        """
        wanted = {_loose(name): name for name in ids}
        files = (
            str(self.root / folder / name) for folder, names in self.names.items() for name in names
        )
        hits: dict[str, str] = {}
        for file in (*files, *self.broken):
            name = os.path.basename(file)  # noqa: PTH119 (20 times as fast)
            stem = wanted.get(_loose(name)) or wanted.get(_loose(os.path.splitext(name)[0]))  # noqa: PTH122
            if stem is not None:
                hits.setdefault(stem, file)
        return hits

    def unread(self) -> list[str]:
        """Return the pictures of kinds that are not read, a telephone's HEIC, say."""
        return self._of_suffix(UNREAD_SUFFIXES)

    def remedy(self, words: str) -> str:
        """Say what to do where files are missing: unpack, fetch (`{}` in words is the home)."""
        packed = self._of_suffix(_ARCHIVES)
        if packed:
            return f"unpack {packed[0]}" + (
                f" ({len(packed)} archives there)" if packed[1:] else ""
            )
        return words.format(self.home) if self.home else "put the missing files there"

    def _of_suffix(self, suffixes: Collection[str]) -> list[str]:
        return [
            str(self.root / folder / name)
            for folder, names in self.names.items()
            for name in names
            if os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122
        ]


def _loose(name: str) -> str:
    """Return what names have in common that may mean one picture: `0012.jpg.jpg` is 12."""
    bare = safe_id(name)
    while (shorter := picture_id(bare)) != bare:
        bare = shorter
    return re.sub(r"[^a-z0-9]+|(?<!\d)0+(?=\d)", "", bare.lower())


def list_folder(folder: str | Path, *, source: str, home: str) -> Listing:
    """List a source's folder.

    Raises:
        FileNotFoundError: There is no such folder, or it is a file.
        PermissionError: A folder below it may not be listed.
    """
    root = Path(folder).expanduser().absolute()
    if root.is_file():
        with root.open("rb") as file:
            kind = describe_file(file.read(HEAD))
        raise FileNotFoundError(f"{source}: a folder is wanted, and {root} is {kind or 'a file'}")
    if not str(folder) or not root.is_dir():
        raise FileNotFoundError(
            f"{source}: no folder {str(folder)!r}: give the folder of "
            f"{f'the files from {home}' if home else 'your pictures'}"
        )
    folders: list[tuple[PurePosixPath, list[str]]] = []
    broken: list[str] = []
    try:
        for prefix, files, lost in walk(root):
            folders.append((PurePosixPath(prefix), [entry.name for entry in files]))
            broken += [os.path.join(root, prefix, name) for name in lost]  # noqa: PTH118
    except PermissionError as error:
        raise PermissionError(
            f"{source}: {error.filename} may not be listed ({error.strerror}): ask its owner for "
            "the right to read it, or move it away"
        ) from None
    names = dict(sorted(folders, key=lambda each: len(each[0].parts)))
    return Listing(source, home, root, names, tuple(broken))
