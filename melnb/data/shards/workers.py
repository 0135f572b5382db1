"""Worker processes: many shards at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    as_completed,
    wait,
)
from multiprocessing import connection
from pathlib import Path

from melnb.data.shards.files import Settings, ShardPlan, ShardReport, make_shard

_AHEAD = 2  # plans handed out for each worker: its rows are all the memory that grows


def count_workers(workers: int, shards: int) -> int:
    """Return how many processes to start for so many shards; 0 asks for one for each core."""
    if not workers:
        # A container or a batch job may own fewer cores than the machine has.
        own = getattr(os, "sched_getaffinity", None)
        workers = len(own(0)) if own else os.cpu_count() or 1
    return max(1, min(workers, shards))


def make_shards(
    plans: Iterable[ShardPlan],
    folder: Path,
    settings: Settings,
    skip_unreadable: bool,
    workers: int,
) -> Iterator[ShardReport]:
    """Make shards, and yield a report of each as it is done.

    Processes are spawned and not forked, for a notebook's kernel runs threads, and a fork of a
    process that holds TensorFlow or a lock hangs.

    Args:
        plans: Taken one by one, as workers become free.
        folder: Where to write.
        settings: Of all shards.
        skip_unreadable: Whether pictures that cannot be read are left out.
        workers: Processes; 1 makes them in this one.

    Raises:
        OSError: From any worker.
        BrokenProcessPool: A worker died.
    """
    if workers == 1:
        for plan in plans:
            yield make_shard(plan, folder, settings, skip_unreadable)
        return
    context = multiprocessing.get_context("spawn")
    pending: set[Future[ShardReport]] = set()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent) as pool:
        try:
            for plan in plans:
                if len(pending) >= _AHEAD * workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                pending.add(pool.submit(make_shard, plan, folder, settings, skip_unreadable))
            yield from (future.result() for future in as_completed(pending))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what is in hand is still finished
            raise


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
