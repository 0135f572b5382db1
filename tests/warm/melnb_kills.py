"""Kills of a process by itself: at its n-th touch of the disk, or after so many seconds.

`MELNB_KILL` says who and when: `kernel touch 37 9` sends signal 9 before the 37th touch below the
project's folder, `worker after 0.5 15` signal 15 after half a second; `refuse` in a signal's place
lets the disk be full from that touch on. What is killed writes a line into `MELNB_KILLED` first;
without an order each process writes there how often it touched the disk.
"""

from __future__ import annotations

import atexit
import csv
import errno
import io
import json
import os
import re
import signal
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

ORDER, PLACE, LOG = "MELNB_KILL", "MELNB_KILL_PLACE", "MELNB_KILLED"
# `open` first: most of them are, and tuples are looked through in order.
TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")


def arm(who: str) -> None:
    """Arm this process, if it is meant."""
    order = os.environ.get(ORDER, "").split()
    if PLACE in os.environ and not order:
        left = arm_touch(0, os.environ[PLACE], "9")

        def tell() -> None:
            _tell(f"{who} {-left[0]}")

        def tell_at_the_end(event: str, given: tuple[Any, ...]) -> None:
            if event == "os.rename" and str(given[0]).endswith(".partial"):
                tell()

        atexit.register(tell)
        sys.addaudithook(tell_at_the_end)  # a kernel may not come to its own end
    elif order and order[0] == who:
        place, how = os.environ[PLACE], order[3]
        if order[1] == "touch":
            arm_touch(int(order[2]), place, how)
        else:
            timer = threading.Timer(float(order[2]), end, [how, f"after {order[2]} s"])
            timer.daemon = True
            timer.start()


def arm_touch(step: int, place: str, how: str) -> list[int]:
    """Count touches below a place, and act before one; return a list that holds those left."""
    left, here = [step], os.getpid()

    def count(event: str, given: tuple[Any, ...]) -> None:
        if event not in TOUCHES or os.getpid() != here:
            return
        path = given[0]
        if not isinstance(path, str | os.PathLike) or (
            event == "open" and str(path).startswith("/") and not str(path).startswith(f"{place}/")
        ):
            return
        if "__pycache__" in str(path):  # of the first import in a fresh clone, and of no other
            return
        left[0] -= 1
        if how == "refuse":
            writes = event != "open" or given[2] & (os.O_WRONLY | os.O_RDWR)
            if left[0] < 0 and writes and event not in ("os.remove", "os.rmdir"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        elif left[0] == 0:
            end(how, f"before {event} {path}")

    sys.addaudithook(count)
    return left


def end(how: str, moment: str) -> None:
    """Tell of it, and send this process a signal."""
    _tell(f"{signal.Signals(int(how)).name} {moment}")
    os.kill(os.getpid(), int(how))


def _tell(line: str) -> None:
    if log := os.environ.get(LOG):
        handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{line}\n".encode())
        os.close(handle)


def contents(folder: Path) -> dict[str, Any]:
    """Return what lies in a folder, to be compared: all but locks, times and what only shows."""
    return {
        path.relative_to(folder).as_posix(): _content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", ".launch.json", ".tmp.ipynb"))
        and path.name != "kernels.log"
    }  # fmt: skip


def _content(path: Path) -> Any:
    """Return what a file says, but for when it was written and how long that took."""
    if path.name == "run.json":
        record = json.loads(path.read_bytes())
        record["files"] = [file["path"] for file in record["files"]]  # each is compared itself
        times = ("started", "seconds", "resumed", "stamps", "launch")
        return {k: v for k, v in record.items() if k not in times}
    if path.suffix == ".ipynb":
        return [cell["source"] for cell in json.loads(path.read_bytes())["cells"]]
    if path.name == "history.csv":
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    if path.name == "curves.html":
        return re.sub(rb'data-(seconds|written)="[^"]*"', b"", path.read_bytes())
    if path.suffix in (".keras", ".npz"):
        with zipfile.ZipFile(path) as file:
            return {name: _member(name, file.read(name)) for name in sorted(file.namelist())}
    return path.read_bytes()


def _member(name: str, data: bytes) -> Any:
    if name == "metadata.json":  # of a model: Keras' version and the time
        return b""
    if name == "config.json":  # Keras numbers layers as its process made them, others by address
        return re.sub(rb'_[0-9]+|"shared_object_id": [0-9]+', b"", data)
    if name == "model.weights.h5":
        return _arrays(data)
    if name != "note.npy":
        return data
    # Of a state: a text of four bytes a character, which is as long as its numbers make it.
    return re.sub(rb'"seconds": [0-9.e+-]+|<U[0-9]+| +', b"", data.replace(b"\0", b""))


def _arrays(data: bytes) -> list[tuple[str, bytes]]:
    import h5py

    arrays: list[tuple[str, bytes]] = []

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays.append((re.sub(r"_[0-9]+", "", name), item[()].tobytes()))

    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(take)
    return sorted(arrays)
