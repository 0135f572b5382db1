"""Files: what their names say, and how they are whole or absent."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import stat
import unicodedata
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# What a machine refuses (disk, rights, files, memory): which file, and what to do first, in words.
#
# Who writes does it under `naming`; who shows an error, also one that a library told, asks
# `describe` or `remedy`.

LESS = "use a smaller batch_size or image_size, or fewer rows or workers"
_GO_ON = "then run it again"
_ELSEWHERE = "name another folder (outputs=FOLDER)"
_DENIED = "permission is denied: have its owner let you (chmod, chown), or name another place"
_IN_THE_WAY = "a file lies where a folder is needed: move it, or name another place"
_REMEDIES = {
    "ENOSPC": f"the disk is full: free some of it, or {_ELSEWHERE}, {_GO_ON}",
    "EDQUOT": f"your share of the disk is used up: free some of it, or {_ELSEWHERE}, {_GO_ON}",
    "EROFS": f"the disk is read-only: {_ELSEWHERE}, or have the disk made writable",
    "EACCES": _DENIED,
    "EPERM": _DENIED,
    "EMFILE": "too many files are open: allow more (ulimit -n 4096) or use fewer workers",
    "ENFILE": f"too many files are open on this machine: close other programs, {_GO_ON}",
    "ENAMETOOLONG": "the name is too long: give the run, the dataset or the folder a shorter one",
    "ENOMEM": f"no memory is left: {LESS}",
    "EEXIST": _IN_THE_WAY,
    "ENOTDIR": _IN_THE_WAY,
    "EFBIG": "a file may not be so large here: allow more (ulimit -f), or name another disk",
    "ESTALE": f"the network disk lost this file: have it mounted again, {_GO_ON}",
    "EIO": "the disk fails: save what it still gives, see the system's log, and use another",
}
_WORDS = {getattr(errno, name): words for name, words in _REMEDIES.items() if hasattr(errno, name)}
_NUMBER = re.compile(r"\[Errno (\d+)\]|\berrno = (\d+)")
_PLACE = re.compile(r"""['"]|(^|\s)(/|[A-Z]:)""")
_OF_MEMORY = re.compile(
    "MemoryError|ResourceExhausted|RESOURCE_EXHAUSTED|OUT_OF_MEMORY|bad_alloc|annot allocate memory"
)


class RefusedError(OSError):
    """The machine refused a file: `str` gives its path, and what to do first."""

    def __str__(self) -> str:
        """Return path and remedy."""
        return f"{self.filename}: {self.strerror}"


@contextmanager
def naming(path: Path, *, temporary: Path | None = None) -> Iterator[None]:
    """Let what the machine refuses in a block be told with the path that is written.

    Args:
        path: Of the file or folder.
        temporary: Its name while it is written, which tells a person nothing.

    Raises:
        RefusedError: In place of an OSError that has a remedy; it has the same `errno`.
    """
    try:
        yield
    except RefusedError:
        raise
    except OSError as error:
        if not (words := words_of(error)):
            raise
        ours = error.filename in (None, str(temporary)) or isinstance(error.filename, int)
        raise RefusedError(error.errno, words, str(path if ours else error.filename)) from error


def describe(error: BaseException) -> str:
    """Return path and remedy of what the machine refused; empty if an error is of no such kind."""
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {LESS}"
    words = words_of(error) if isinstance(error, OSError) else ""
    named = words and isinstance(getattr(error, "filename", None), str | os.PathLike)
    return f"{error.filename}: {words}" if named and isinstance(error, OSError) else words


def remedy(text: str, *, near: Path | None = None) -> str:
    """Return what to do first about an error that others told; empty if nothing is known.

    Args:
        text: Its name and words.
        near: Where it was met, told if the words name no file.
    """
    if any(words in text for words in _WORDS.values()):
        return ""  # told already
    number = next((int(m[1] or m[2]) for m in _NUMBER.finditer(text)), 0)
    texts = (code for code in _WORDS if re.search(re.escape(os.strerror(code)), text))
    if words := _WORDS.get(number) or _WORDS.get(next(texts, 0), ""):
        # Looked for before memory: TensorFlow calls a full disk an exhausted resource too.
        return words if near is None or _PLACE.search(text) else f"near {near}: {words}"
    return f"out of memory: {LESS}" if _OF_MEMORY.search(text) else ""


def words_of(error: OSError) -> str:
    """Return what was refused, and what to do first; empty if nothing is known of it."""
    if error.errno in _WORDS:
        return _WORDS[error.errno]
    text = str(error)  # h5py's errors have their number in their words alone
    return next((words for code, words in _WORDS.items() if os.strerror(code) in text), "")


TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".gif"}
)
# What a picture's file may be, whatever its name says. Pillow reads more, some of it by programs
# that it starts: of an EPS, PostScript is run.
PICTURE_FORMATS = (
    "JPEG", "MPO", "PNG", "TIFF", "BMP", "DIB", "WEBP", "JPEG2000", "GIF", "PPM", "PSD", "TGA",
    "PCX", "AVIF",
)  # fmt: skip
MOST_PIXELS = 1 << 26  # of one picture, 8,192 x 8,192: an eighth of a GB for each byte of a pixel
# Of pictures too, which cameras and others have.
UNREAD_SUFFIXES = frozenset(
    {".dcm", ".npy", ".heic", ".heif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw"}
)
COMPANIONS = frozenset({"__MACOSX", "@eaDir"})  # folders that systems lay beside one's own
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def is_table(path: str | Path) -> bool:
    """Tell whether a name is that of a table: `.csv`, `.tsv`, `.tab` or `.txt` in any case."""
    return str(path).lower().endswith(TABLE_SUFFIXES)


def picture_id(name: str) -> str:
    r"""Return a picture's id, without folder and suffix: `a\ISIC_1.jpg` is ISIC_1, `v1.2` stays."""
    bare = name.strip().replace("\\", "/").rpartition("/")[2]
    stem, suffix = os.path.splitext(bare)  # noqa: PTH122
    return stem if suffix.lower() in PICTURE_SUFFIXES | UNREAD_SUFFIXES else bare


def is_safe(name: str) -> bool:
    """Tell whether a name may be that of a file everywhere: ASCII, no blank, no sign in front."""
    return _SAFE.fullmatch(name) is not None


def safe_id(name: str) -> str:
    """Return an id that may be a file's name everywhere, the same however its letters are coded.

    `Müller 1` is Muller_1, whether its letter is one character or two (as a Mac writes it); what
    has no letter of ASCII is `_`. A name that is safe, and none, stay as they are.
    """
    if not name or is_safe(name):
        return name
    letters = unicodedata.normalize("NFKD", name.strip())
    seen = "".join(c for c in letters if unicodedata.category(c) not in ("Mn", "Cf"))
    return re.sub(r"^[.+-]|[^A-Za-z0-9_.+-]+", "_", seen) or "_"


class Folder(NamedTuple):
    """What lies in a folder, each in the order of names; what begins with a dot is nobody's.

    Attributes:
        prefix: Of the names below the folder that was given: empty, `a/` or `a/b/`.
        files: All that is no folder.
        lost: Names of links that lead nowhere, or in circles.
    """

    prefix: str
    files: list[os.DirEntry[str]]
    lost: list[str]


def walk(root: str | Path) -> Iterator[Folder]:
    """Go through a folder and all below it; links are followed, and no folder is met twice.

    A data set may well lie on another disk, behind a link. What a folder and a link have in common
    bears the folder's name: shallow folders come first, links to folders last. So two walks of the
    same content say the same, whatever the order in which a disk tells it.

    Raises:
        OSError: A folder may not be listed.
    """
    places, links = deque([(str(root), "")]), deque[tuple[str, str]]()
    seen = set[tuple[int, int]]()
    while places or links:
        place, prefix = (places or links).popleft()
        here = os.stat(place)  # noqa: PTH116 (with no object a folder)
        if (here.st_dev, here.st_ino) in seen:  # of a link that leads back up, say
            continue
        seen.add((here.st_dev, here.st_ino))
        with os.scandir(place) as scan:
            entries = sorted((e for e in scan if e.name[0] != "."), key=lambda e: e.name)
        files, lost = [], []
        for entry in entries:
            folder = _is_folder(entry)
            if folder is None:
                lost.append(entry.name)
            elif not folder:
                files.append(entry)
            elif entry.name not in COMPANIONS:
                more = links if entry.is_symlink() else places
                more.append((entry.path, f"{prefix}{entry.name}/"))
        yield Folder(prefix, files, lost)


def _is_folder(entry: os.DirEntry[str]) -> bool | None:
    """Tell whether an entry is a folder or leads to one; None if it leads nowhere."""
    if not entry.is_symlink():
        return entry.is_dir()
    try:
        return stat.S_ISDIR(entry.stat().st_mode)
    except OSError:
        return None


@contextmanager
def replacing(path: str | Path, *, lasting: bool = False) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` at the end.

    If the block raises, or the process is killed, the file stays as it was. The temporary file is
    made by the block, so that it gets the usual permissions (`mkstemp` would keep others from
    reading it).

    Args:
        path: Of the file to write; its folder is made if need be.
        lasting: Whether its content must lie on the disk before it has its name: it survives a
            power cut too.

    Raises:
        RefusedError: The disk is full or read-only, rights lack, and their like.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path, temporary=temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if lasting:
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_left(path: Path) -> None:
    """Remove what killed writes of a file left beside it; nobody else may write it meanwhile."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)


def replace_folder(new: Path, final: Path) -> None:
    """Put a folder in the place of another, which is there whole until it is gone whole.

    Killed in the midst, `final` may be absent, and `old_folder(final)` be left to be removed.
    """
    old = old_folder(final)
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def old_folder(final: Path) -> Path:
    """Return where a folder is while another takes its place."""
    return final.with_name(f"{final.name}.old")
