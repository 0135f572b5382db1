"""Worker processes: many shards at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from melnb.data.processes import count_cores, do_each
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
    """Make shards; a report of each comes as it is done.

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
    tasks = ((plan, folder, settings, skip_unreadable) for plan in plans)
    return do_each(make_shard, tasks, workers=workers, ahead=_AHEAD)
