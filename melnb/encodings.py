"""Text encodings: what others wrote, as UTF-8 with plain line ends, where it is certain."""

from __future__ import annotations

import re
from pathlib import Path

from melnb.checks import TableError
from melnb.signatures import HEAD, describe_file

_HIGH = re.compile(rb"[\x80-\xff]+")


def read_utf8(file: Path) -> bytes:
    """Read a text file as UTF-8 without a mark, its lines ending in LF.

    UTF-8 and UTF-16 are known by their marks or their zeros. Windows-1252 is believed where nothing
    but single letters and signs stands among ASCII.

    Raises:
        TableError: The file is no text, or its encoding is in doubt; its line is named.
    """
    data = file.read_bytes()
    if kind := describe_file(data[:HEAD]):
        raise TableError(f"{file} is no table but {kind}")
    data = _recode(data, file)
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise TableError(
            f"{file} line {line} holds a NUL byte, so that it is no text: is the file damaged, or "
            "of another kind than its name says?"
        )
    if not data.isascii():
        data = data.replace(b"\xc2\xa0", b" ")  # a blank that does not break, as pages have it
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _recode(data: bytes, file: Path) -> bytes:
    encoding = _find_encoding(data)
    try:
        if encoding == "utf-8":
            data = data.removeprefix(b"\xef\xbb\xbf")
            if not data.isascii():
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
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
