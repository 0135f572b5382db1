"""Event files: a run's history as TensorBoard reads it, written without TensorBoard.

They are records of the message `tensorflow/core/util/event.proto`, framed as shards are:

    Event { double wall_time = 1, int64 step = 2, string file_version = 3, Summary summary = 5,
            SessionLog session_log = 7 }
    Summary { repeated Value value = 1 }    Value { string tag = 1, float simple_value = 2 }

What is drawn is the history, so a run that is taken up again writes it anew into another file and
removes the old one: no point is there twice, none is lost.
"""

from __future__ import annotations

import math
import struct
import time
from pathlib import Path

import pandas as pd

from melnb.data.shards.examples import frame_of
from melnb.data.shards.messages import encode_field, encode_varint

FOLDER = "tensorboard"  # of a run
_TIME, _STEP, _SCALAR = (bytes([number << 3 | wire]) for number, wire in ((1, 1), (2, 0), (2, 5)))
_VERSION, _SUMMARY, _SESSION = 3, 5, 7
_START = b"\x08\x01"  # a session's: what an earlier file said of these steps is forgotten


class EventFiles:
    """Writes the numbers of each epoch as scalars, by their names in the history.

    Args:
        folder: Gets one file; those of an earlier try are removed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._file: Path | None = None
        self._written = 0

    def write(self, history: pd.DataFrame) -> None:
        """Write the epochs of a history, a row each, that are not written yet.

        Args:
            history: `epoch`, from 1, and numbers; `seconds` dates the epochs before the last.
        """
        if self._file is None:
            self._file = self._begin(len(history))
        fresh = history.iloc[self._written :]
        after = fresh["seconds"][::-1].cumsum()[::-1].shift(-1, fill_value=0.0)
        moments = time.time() - after
        with self._file.open("ab") as file:
            for (_, row), moment in zip(fresh.iterrows(), moments, strict=True):
                numbers = {
                    str(k): float(v) for k, v in row.items() if k not in ("epoch", "seconds")
                }
                file.write(frame_of(_event(moment, int(row["epoch"]), _summary(numbers))))
        self._written = len(history)

    def _begin(self, epochs: int) -> Path:
        """Start a file of its own name, by which TensorBoard sees that there is another."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("events.out.tfevents.*"):
            old.unlink()
        file = self.folder / f"events.out.tfevents.{epochs:010d}.melnb"
        version = encode_field(_VERSION, b"brain.Event:2")
        session = encode_field(_SESSION, _START)
        file.write_bytes(
            b"".join(frame_of(_event(time.time(), 1, value)) for value in (version, session))
        )
        return file


def _event(moment: float, step: int, what: bytes) -> bytes:
    return _TIME + struct.pack("<d", moment) + _STEP + encode_varint(step) + what


def _summary(numbers: dict[str, float]) -> bytes:
    finite = {name: number for name, number in numbers.items() if math.isfinite(number)}
    values = (
        encode_field(1, encode_field(1, name.encode()) + _SCALAR + struct.pack("<f", number))
        for name, number in finite.items()
    )
    return encode_field(_SUMMARY, b"".join(values))
