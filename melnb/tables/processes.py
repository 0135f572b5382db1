"""Worker processes: how many, what they are given, and how they begin and end."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import connection
from typing import Any, TypeVar, TypeVarTuple

# Leave out of an import what would take seconds and is not used.

# jsonschema imports it where it is there (JupyterLab brings it), to check a format that no
# notebook has, and it builds a grammar of web addresses anew in each process: 1.5 s, half of
# papermill's import and of plotly's renderers'.
GRAMMAR = "rfc3987_syntax"


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Import as if some optional modules were not installed; afterwards they can be imported.

    What is imported already stays.
    """
    absent = [name for name in modules if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say: not there
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


# Keep small work in one thread.


def one_thread() -> AbstractContextManager[Any]:
    """Let scikit-learn's boosted trees use no more than the thread that asks for them.

    They take a thread for each core, and on tables of a few features the threads mostly wait for
    each other, busily: where another job has the cores, a fit of 0.5 s takes 15 s. The limit is
    that of the calling thread.
    """
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="openmp")
    return limit


@functools.cache
def _controller() -> Any:
    import sklearn.ensemble  # so that its OpenMP is there to be found
    from threadpoolctl import ThreadpoolController

    assert sklearn.ensemble
    return ThreadpoolController()


_Given = TypeVarTuple("_Given")
_Made = TypeVar("_Made")


def count_cores() -> int:
    """Return the cores that are ours: a container or a batch job may own fewer than there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


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
