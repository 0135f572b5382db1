"""Shards: TFRecord files of `tf.train.Example` messages, without TensorFlow.

A shard is a chain of frames: length (uint64), its masked CRC-32C (uint32), the message, its masked
CRC-32C (uint32), all little-endian.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import google_crc32c

from melnb.data.shards.messages import Example, RecordError, decode_example, encode_example

# Access: one record of a shard, found by its place, without those before it.

_OPEN_FILES = 256  # of the 1,024 that a process may have open


class ShardFiles:
    """Shards that are read here and there; each stays open for the next record.

    Any number of threads may read at once.
    """

    def __init__(self) -> None:
        self._open = lru_cache(maxsize=_OPEN_FILES)(_OpenFile)

    def read_message(self, path: str, offset: int, length: int) -> bytes:
        """Read the message of the frame that begins at a byte, and compute its checksum.

        Args:
            path: The shard.
            offset: Byte at which the frame begins.
            length: Bytes of the message.

        Raises:
            RecordError: There is no such frame, or its data is damaged.
            FileNotFoundError: The shard is gone.
        """
        size = HEADER.size + length + CRC.size
        frame = self._open(path).read(offset, size)
        where = f"{path}: record at byte {offset}"
        if len(frame) < size:
            raise RecordError(f"{where}: truncated: the file ends {size - len(frame)} bytes short")
        if HEADER.unpack_from(frame)[0] != length:
            raise RecordError(f"{where}: no record of {length} bytes: the shard was written anew")
        data = frame[HEADER.size : -CRC.size]
        if frame[-CRC.size :] != CRC.pack(masked_crc(data)):
            raise RecordError(f"{where}: CRC error: damaged data")
        return data


class _OpenFile:
    """A file that closes when nobody reads it any more."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (it stays open)
        self._lock = Lock()

    def read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:  # Windows has one position for all threads
            self._file.seek(offset)
            return self._file.read(size) or b""

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


HEADER = struct.Struct("<QI")
CRC = struct.Struct("<I")


@dataclass(frozen=True)
class Shard:
    """One file of records.

    Attributes:
        path: The file.
        image_size: Pixels on a side of its pictures.
        fold: Fold of all its images; -1 is test.
        images: Number of records.
        crc: CRC-32C of the file, eight hexadecimal digits; empty if unknown.
    """

    path: Path
    image_size: int
    fold: int
    images: int
    crc: str = ""


class Frame(NamedTuple):
    """One frame of a shard.

    Attributes:
        record: Number in the file, from 0.
        offset: Byte at which the frame begins.
        data: The message.
        intact: Whether the message has the checksum it was written with.
    """

    record: int
    offset: int
    data: bytes
    intact: bool


def read_frames(path: str | Path, check: bool = True) -> Iterator[Frame]:
    """Read the frames of a shard, in file order.

    Args:
        path: The shard.
        check: Whether to compute each message's checksum; if not, every frame counts as intact.

    Raises:
        RecordError: The file ends inside a frame, or a length's checksum is wrong, so that what
            follows cannot be found. (A wrong message checksum is told by `intact`.)
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for record, (offset, length) in enumerate(_headers(file, size, path)):
            data = file.read(length)
            (crc,) = CRC.unpack(file.read(CRC.size))
            yield Frame(record, offset, data, not check or crc == masked_crc(data))


def read_examples(
    path: str | Path, keys: Collection[str] | None = None, check: bool = True
) -> Iterator[dict[str, Any]]:
    """Read the examples of a shard, in file order.

    Args:
        path: The shard.
        keys: Keys wanted; None: all.
        check: Whether to compute each message's checksum.

    Raises:
        RecordError: The file is truncated or damaged; file, record and byte are named.
    """
    for frame in read_frames(path, check):
        if not frame.intact:
            raise RecordError(_place(path, frame.record, frame.offset, "CRC error: damaged data"))
        try:
            yield decode_example(frame.data, keys)
        except RecordError as error:
            raise RecordError(_place(path, frame.record, frame.offset, str(error))) from None


def read_example(
    path: str | Path, record: int, keys: Collection[str] | None = None
) -> dict[str, Any]:
    """Read one example of a shard, without reading those before it.

    Raises:
        RecordError: There is no such record, or it is damaged.
    """
    frames = _frames_of(str(path), _version(path))
    if not 0 <= record < len(frames):
        raise RecordError(f"{path}: no record {record}, only 0 to {len(frames) - 1}")
    offset, length = frames[record]
    with Path(path).open("rb") as file:
        file.seek(offset + HEADER.size)
        data, crc = file.read(length), file.read(CRC.size)
    if crc != CRC.pack(masked_crc(data)):
        raise RecordError(_place(path, record, offset, "CRC error: damaged data"))
    return decode_example(data, keys)


def count_examples(path: str | Path) -> int:
    """Count the records of a shard by its headers alone.

    Raises:
        RecordError: The file ends inside a record, or a header is damaged.
    """
    return len(_frames_of(str(path), _version(path)))


class ShardWriter:
    """Write a shard under a temporary name; `finish` gives it its name.

    Use it in a `with` block: what was not finished is removed, so a shard is whole or absent.

    Attributes:
        count: Records written so far.
        crc: CRC-32C of the file so far, as eight hexadecimal digits.
    """

    def __init__(self, temporary: str | Path) -> None:
        self._temporary = Path(temporary)
        self._temporary.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = self._temporary.open("wb")
        self._crc = 0
        self.count = 0

    @property
    def crc(self) -> str:
        return f"{self._crc:08x}"

    def write(self, example: Example) -> None:
        """Append one example."""
        framed = frame_of(encode_example(example))
        self._file.write(framed)
        self._crc = google_crc32c.extend(self._crc, framed)
        self.count += 1

    def finish(self, path: str | Path) -> Path:
        """Close the file and rename it."""
        self._file.close()
        return self._temporary.replace(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()  # may fail again on a full disk: the first error is the one to tell
        except OSError:
            if error is None:
                raise
        finally:
            self._temporary.unlink(missing_ok=True)


def write_shard(path: str | Path, examples: Iterable[Example]) -> int:
    """Write a shard whole or not at all; return the number of records."""
    path = Path(path)
    with ShardWriter(path.with_name(f".{path.name}.{os.getpid()}.tmp")) as writer:
        for example in examples:
            writer.write(example)
        writer.finish(path)
        return writer.count


def file_crc(path: str | Path) -> str:
    """Compute the CRC-32C of a whole file, as eight hexadecimal digits."""
    crc = 0
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            crc = google_crc32c.extend(crc, chunk)
    return f"{crc:08x}"


# ------------------------------------------------------------------------------- framing


def _version(path: str | Path) -> tuple[int, ...]:
    """Return what changes when a file is replaced (its time alone is too coarse)."""
    state = Path(path).stat()
    return state.st_mtime_ns, state.st_size, state.st_ino


@lru_cache(maxsize=64)
def _frames_of(path: str, _version: tuple[int, ...]) -> list[tuple[int, int]]:
    """Find each frame's (offset, message length), once for a shard of which many are wanted."""
    with Path(path).open("rb") as file:
        return list(_headers(file, os.fstat(file.fileno()).st_size, path))


def _headers(file: BinaryIO, size: int, path: str | Path) -> Iterator[tuple[int, int]]:
    """Yield (offset, message length) of each frame, the file standing at the message."""
    if not size:
        raise RecordError(f"{path}: empty (0 bytes): the copy was broken off")
    record, offset = 0, 0
    while offset < size:
        file.seek(offset)
        head = file.read(HEADER.size)
        if len(head) < HEADER.size:
            raise RecordError(_place(path, record, offset, "truncated: the file ends in a header"))
        length, crc = HEADER.unpack(head)
        if crc != masked_crc(head[:8]):
            packed = head[:2] == b"\x1f\x8b"
            reason = "gzip file: unpack it first" if packed else "CRC error: damaged header"
            raise RecordError(_place(path, record, offset, reason))
        end = offset + HEADER.size + length + CRC.size
        if end > size:
            lost = f"truncated: the file ends {end - size} bytes short of this record's end"
            raise RecordError(_place(path, record, offset, lost))
        yield offset, length
        record, offset = record + 1, end


def frame_of(data: bytes) -> bytes:
    """Return a record as a TFRecord file holds it: its length, itself, and the CRC of each."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, CRC.pack(masked_crc(length)), data, CRC.pack(masked_crc(data))))


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of bytes, rotated and shifted as TFRecord stores it.

    A plain CRC of data that holds its own CRC is weak.
    """
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _place(path: str | Path, record: int, offset: int, reason: str) -> str:
    return f"{path}: record {record} at byte {offset}: {reason}"
