"""Text encodings: what others wrote, as UTF-8 with plain line ends, where it is certain."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from melnb.tables.checks import TableError
from melnb.tables.signatures import HEAD, describe_file

_HIGH = re.compile(rb"[\x80-\xff]+")
_MARK = b"\xef\xbb\xbf"
_BLOCK = 1 << 18  # bytes that a processor holds near itself


class Utf8(NamedTuple):
    """A text file as UTF-8 without a mark, its lines ending in LF.

    Attributes:
        file: Its place.
        recoded: All of it, if it is written in another encoding.
    """

    file: Path
    recoded: bytes | None = None

    def blocks(self) -> Iterator[bytes]:
        """Yield the text in blocks of whole lines, so that it need not be held at once."""
        with self.file.open("rb") if self.recoded is None else io.BytesIO(self.recoded) as stream:
            if stream.read(len(_MARK)) != _MARK:
                stream.seek(0)
            for block in _lines(stream):
                if not block.isascii():
                    block = block.replace(b"\xc2\xa0", b" ")  # does not break, as pages have it
                if b"\r" in block:
                    block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                yield block if block.endswith(b"\n") else block + b"\n"


def find_utf8(file: Path) -> Utf8:
    """Find how to read a text file as UTF-8.

    UTF-8 and UTF-16 are known by their marks or their zeros. Windows-1252 is believed where nothing
    but single letters and signs stands among ASCII.

    Raises:
        TableError: The file is no text, or its encoding is in doubt; its line is named.
    """
    with file.open("rb") as stream:
        if kind := describe_file(stream.read(HEAD)):
            raise TableError(f"{file} is no table but {kind}")
        stream.seek(0)
        if all(b"\0" not in block and _is_utf8(block) for block in _lines(stream)):
            return Utf8(file)
    data = _recode(file.read_bytes(), file)
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise TableError(
            f"{file} line {line} holds a NUL byte, so that it is no text: is the file damaged, or "
            "of another kind than its name says?"
        )
    return Utf8(file, data)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block + stream.readline()


def _recode(data: bytes, file: Path) -> bytes:
    encoding = _find_encoding(data)
    try:
        if encoding == "utf-8":
            data.decode()
            return data
        return data.decode(encoding).encode()
    except UnicodeDecodeError as error:
        if encoding == "utf-8":
            return _read_western(data, file).encode()
        raise TableError(
            f"{file} is {encoding} but breaks off at byte {error.start}: get the whole file again"
        ) from None


def _find_encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    even, odd = data[:64:2], data[1:64:2]
    if len(data) > 3 and all(even) and not any(odd):
        return "utf-16-le"  # as some programs write it, without a mark
    if len(data) > 3 and all(odd) and not any(even):
        return "utf-16-be"
    return "utf-8"


def _read_western(data: bytes, file: Path) -> str:
    for run in _HIGH.finditer(data):
        letters = run[0].decode("cp1252", errors="replace")
        if len(run[0]) > 2 or "\ufffd" in letters or _is_utf8(run[0]):
            line = data.count(b"\n", 0, run.start()) + 1
            raise TableError(
                f"{file} line {line}: bytes {run[0][:6].hex(' ')} are neither UTF-8 nor surely "
                "Windows-1252: save the table as UTF-8"
            )
    return data.decode("cp1252")


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
