"""What a machine refuses (disk, rights, files, memory): which file, and what to do first, in words.

Who writes does it under `naming`; who shows an error, also one that a library told, asks `describe`
or `remedy`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        own = error.filename in (None, str(temporary)) or isinstance(error.filename, int)
        raise RefusedError(error.errno, words, str(path if own else error.filename)) from error


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
