"""Access: one record of a shard, found by its place, without those before it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from threading import Lock

from melnb.data.shards.examples import CRC, HEADER, masked_crc
from melnb.data.shards.messages import RecordError

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
