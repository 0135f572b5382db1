"""Worker processes: many shards at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait
from pathlib import Path

from melnb.data.processes import count_cores, make_pool
from melnb.data.shards.files import Settings, ShardPlan, ShardReport, make_shard

_AHEAD = 2  # plans handed out for each worker: its rows are all the memory that grows


def count_workers(workers: int, shards: int) -> int:
    """Return how many processes to start for so many shards; 0 asks for one for each core."""
    return max(1, min(workers or count_cores(), shards))


def make_shards(
    plans: Iterable[ShardPlan],
    folder: Path,
    settings: Settings,
    skip_unreadable: bool,
    workers: int,
) -> Iterator[ShardReport]:
    """Make shards, and yield a report of each as it is done.

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
    pending: set[Future[ShardReport]] = set()
    with make_pool(workers) as pool:
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
