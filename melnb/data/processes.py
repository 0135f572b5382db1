"""Worker processes: how many, what they are given, and how they begin and end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import connection
from typing import TypeVar, TypeVarTuple

_Given = TypeVarTuple("_Given")
_Made = TypeVar("_Made")


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


def do_each(
    work: Callable[[*_Given], _Made],
    tasks: Iterable[tuple[*_Given]],
    *,
    workers: int,
    ahead: int,
) -> Iterator[_Made]:
    """Do tasks in other processes, and yield each result as it is there, in any order.

    Tasks are taken one by one as workers become free, so that a stream of them needs little memory.
    After an error, or where the results are no longer asked for, what is in hand is still finished.

    Args:
        work: A function of a module, which another process can import.
        tasks: Its arguments.
        workers: Processes; 1 works in this one, in the order of the tasks.
        ahead: Tasks handed out for each worker.

    Raises:
        BrokenProcessPool: A worker died. Whatever `work` and `tasks` raise is raised too.
    """
    if workers == 1:
        yield from (work(*task) for task in tasks)
        return
    pending: set[Future[_Made]] = set()
    with make_pool(workers) as pool:
        try:
            for task in tasks:
                if len(pending) >= ahead * workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                pending.add(pool.submit(work, *task))
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
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
