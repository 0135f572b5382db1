"""Plans: every row once, classes mixed, the same for every order of rows."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from melnb.data.shards.records import COLUMNS, Place, plan_shards, take_rows


def table(folds: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": [f"i{k}" for k in range(len(folds))], "fold": folds})


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.integers(1, 20))
def test_every_row_is_in_one_shard_of_its_fold(folds, shard_size):
    places = plan_shards(table(folds), shard_size, seed=0)
    assert sorted(np.concatenate([p.positions for p in places])) == list(range(len(folds)))
    assert all(folds[row] == p.fold for p in places for row in p.positions)
    for fold in set(folds):
        sizes = [len(p.positions) for p in places if p.fold == fold]
        assert len(sizes) == -(-folds.count(fold) // shard_size)
        assert max(sizes) <= shard_size
        assert max(sizes) - min(sizes) <= 1


@settings(max_examples=settings.default.max_examples // 5)
@given(st.permutations(range(30)))
def test_row_order_does_not_matter(order):
    rows = table([k % 3 for k in range(30)])
    moved = rows.iloc[order].reset_index(drop=True)

    def ids(rows: pd.DataFrame) -> list[list[str]]:
        return [rows["image_id"].iloc[p.positions].tolist() for p in plan_shards(rows, 4, seed=1)]

    assert ids(rows) == ids(moved)


def test_shards_are_mixed():
    # 20 % positives, all at the end of the table: a shard of 100 holds 20 on average (SD 4).
    places = plan_shards(table([0] * 1000), 100, seed=0)
    positives = [int((p.positions >= 800).sum()) for p in places]
    assert sum(positives) == 200
    assert min(positives) >= 8
    assert max(positives) <= 32


def test_names_sort_as_numbers_do_and_test_is_last():
    names = [p.name for p in plan_shards(table([0] * 102 + [-1]), 1, seed=0)]
    assert names == [*sorted(names[:-1]), "test-00"]
    assert names[0] == "fold0-000"


def test_unknown_values_become_none():
    rows = pd.DataFrame({c: [np.nan, "x"] for c in COLUMNS}).assign(age=[np.nan, 45.0])
    plan = take_rows(rows.assign(mask_path=[None, "m"]), Place("fold0-00", 0, np.array([1, 0])))
    assert plan.rows[0]["age"] == 45.0
    assert plan.rows[0]["mask_path"] == "m"
    assert set(plan.rows[1].values()) == {None}
