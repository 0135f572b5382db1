"""Worker processes: as many as there are cores for us, spawned, and at work."""

import os
from collections.abc import Iterator

import pytest

from melnb.tables.processes import count_cores, do_each, make_pool


def test_cores_are_those_that_are_ours() -> None:
    assert 1 <= count_cores() <= (os.cpu_count() or 1)


def test_workers_are_other_processes_and_give_results_in_order() -> None:
    with make_pool(2) as pool:
        assert list(pool.map(abs, range(-3, 0))) == [3, 2, 1]
        assert pool.submit(os.getpid).result() != os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_each_task_is_done_once_and_few_are_taken_ahead(workers: int) -> None:
    taken, made = [], []

    def tasks() -> Iterator[tuple[int, int]]:
        for k in range(12):
            taken.append(k)
            yield k, 2

    for result in do_each(pow, tasks(), workers=workers, ahead=2):
        assert len(taken) - len(made) <= 2 * workers + 1
        made.append(result)
    assert sorted(made) == [k**2 for k in range(12)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_ends_the_work(workers: int) -> None:
    tasks = ((number,) for number in ("1", "2", "three", *map(str, range(50))))
    with pytest.raises(ValueError, match=r"invalid literal for int.*three"):
        list(do_each(int, tasks, workers=workers, ahead=1))
    assert next(tasks, None) is not None  # they were not all taken
