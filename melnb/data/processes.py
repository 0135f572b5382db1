"""Worker processes: how many, and how they begin and end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection


def count_cores() -> int:
    """Return the cores that are ours: a container or a batch job may own fewer than there are."""
    own = getattr(os, "sched_getaffinity", None)
    return len(own(0)) if own else os.cpu_count() or 1


def make_pool(workers: int) -> ProcessPoolExecutor:
    """Make a pool whose workers end with this process, however it ends.

    They are spawned and not forked, for a notebook's kernel runs threads, and a fork of a process
    that holds TensorFlow or a lock hangs.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent)


def _follow_parent() -> None:
    """Let a worker end with its parent: at once when interrupted, and when the parent is killed.

    A pool's worker would otherwise wait for work for ever once its parent is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
