"""Worker processes: as many as there are cores for us, spawned, and at work."""

import os

from melnb.data.processes import count_cores, make_pool


def test_cores_are_those_that_are_ours() -> None:
    assert 1 <= count_cores() <= (os.cpu_count() or 1)


def test_workers_are_other_processes_and_give_results_in_order() -> None:
    with make_pool(2) as pool:
        assert list(pool.map(abs, range(-3, 0))) == [3, 2, 1]
        assert pool.submit(os.getpid).result() != os.getpid()
