"""Workers: as many as there is work for, and plans are not held in memory."""

import pytest

from melnb.data.shards import records
from melnb.data.shards.shard_files import Settings, ShardPlan, ShardReport


@pytest.mark.parametrize(("asked", "shards", "given"), [(1, 9, 1), (4, 9, 4), (4, 2, 2), (3, 0, 1)])
def test_no_more_workers_than_shards(asked, shards, given):
    assert records.count_workers(asked, shards) == given


def test_zero_asks_for_one_worker_for_each_core_of_ours(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert records.count_workers(0, 99) == 3


def test_plans_are_taken_as_shards_are_done(monkeypatch, tmp_path):
    taken, done = [], []

    def plans():
        for k in range(5):
            taken.append(k)
            yield ShardPlan(f"fold0-{k:02d}", 0, [])

    monkeypatch.setattr(records, "make_shard", lambda *_: ShardReport(0, [], [], False))
    for _ in records.make_shards(plans(), tmp_path, Settings(("a",), (8,), "crop", 90), False, 1):
        done.append(len(taken))
    assert done == [1, 2, 3, 4, 5]


def test_processes_get_few_plans_at_a_time(tmp_path):
    n_plans = 20
    ahead = []
    reports = 0

    def plans():
        for k in range(n_plans):
            ahead.append(k + 1 - reports)
            yield ShardPlan(f"fold0-{k:02d}", 0, [])

    settings = Settings(("a",), (8,), "crop", 90)
    for _ in records.make_shards(plans(), tmp_path, settings, True, 2):
        reports += 1
    assert reports == n_plans
    assert max(ahead) <= 5 + 1  # two for each of two workers, one in hand, one being told
