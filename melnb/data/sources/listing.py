"""Where files lie: a folder and all below it listed once, pictures found by id."""

from __future__ import annotations

import filecmp
import fnmatch
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from melnb.files import PICTURE_SUFFIXES as PICTURE_SUFFIXES
from melnb.files import TABLE_SUFFIXES, is_table

_COMPANIONS = frozenset({"__MACOSX", "@eaDir"})  # folders that systems lay beside one's own


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
        home: Where its files can be got, in words.
        root: The folder, absolute.
        names: Folder relative to the root to its file names; shallow folders first.
    """

    source: str
    home: str
    root: Path
    names: dict[PurePosixPath, list[str]]

    def find(self, *patterns: str) -> Path | None:
        """Return the first file of that name (`*` allowed); earlier patterns and folders win.

        Where there is none, a name in another case serves, and a table of another suffix.
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
                    if any(fnmatch.fnmatchcase(name.lower(), p) for p in near):
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
                f"(tables there: {tables[:8] or 'none'}): get it from {self.home}"
            )
        return file

    def pictures(self, *folders: str, tail: str = "") -> Pictures:
        """Return id to path of the pictures in folders of these names; earlier names win.

        Args:
            folders: Names or trailing paths (`jpeg/train`); `**` is every folder.
            tail: What follows the id in a file name (`_segmentation`); others are left out.
        """
        found = Pictures(folders)
        for pattern in folders:
            paths = defaultdict(list)
            for folder, names in self.names.items():
                # The folder that was given may itself be the one: a test part's pictures alone.
                if pattern == "**" or (PurePosixPath(self.root.name) / folder).match(pattern):
                    place = os.path.join(self.root, folder)  # noqa: PTH118 (20 times as fast)
                    for name in names:
                        stem, suffix = os.path.splitext(name)  # noqa: PTH122
                        if suffix.lower() in PICTURE_SUFFIXES and stem.endswith(tail):
                            paths[stem.removesuffix(tail)].append(f"{place}{os.sep}{name}")
            for stem in paths.keys() - found.keys():
                found[stem] = paths[stem][0]
                if len(paths[stem]) > 1:
                    found.doubled[stem] = paths[stem]
        return found

    def near(self, ids: Collection[str]) -> dict[str, str]:
        """Return id to a file that may be meant: its name in any case, suffix and folder."""
        wanted = {name.lower(): name for name in ids}
        found: dict[str, str] = {}
        for folder, names in self.names.items():
            for name in names:
                stem = wanted.get(name.lower()) or wanted.get(os.path.splitext(name)[0].lower())  # noqa: PTH122
                if stem is not None:
                    found.setdefault(stem, str(self.root / folder / name))
        return found


def list_folder(folder: str | Path, *, source: str, home: str) -> Listing:
    """List a source's folder.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    root = Path(folder).expanduser().absolute()
    if not str(folder) or not root.is_dir():
        raise FileNotFoundError(
            f"{source}: no folder {str(folder)!r}: give the folder of the files from {home}"
        )
    names: dict[PurePosixPath, list[str]] = {}
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if f[0] != "." and f not in _COMPANIONS)
        own = sorted(f for f in files if f[0] != ".")  # `._a.jpg` is a Mac's companion of a.jpg
        names[PurePosixPath(Path(place).relative_to(root).as_posix())] = own
    shallow_first = dict(sorted(names.items(), key=lambda item: len(item[0].parts)))
    return Listing(source, home, root, shallow_first)
