"""What many rows make worth keeping or leaving out is the same as the plain way."""

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.rows import first_by_score, joined_rows, row_clusters
from melnb.evaluation.statistics import bootstrap
from melnb.tables.within_patient import without_gaps


@pytest.mark.parametrize("kind", ["str", "object", "category", "int64"])
def test_clusters_are_numbered_anew_when_the_table_was_written_to(kind: str) -> None:
    names = ["a", "b", "a", None] if kind != "int64" else [3, 1, 3, 2]
    rows = pd.DataFrame({"patient_id": pd.Series(names, dtype=kind), "score": 0.5})
    assert row_clusters(rows, "patient_id").tolist() == [0, 1, 0, 2]
    assert row_clusters(rows[::-1], "patient_id").tolist() != [0, 1, 0, 2]
    assert row_clusters(rows.head(2), "patient_id").tolist() == [0, 1]
    rows.loc[1, "patient_id"] = rows["patient_id"].iloc[0]
    assert row_clusters(rows, "patient_id").tolist() == [0, 0, 0, 1]
    rows["patient_id"] = rows["patient_id"].to_numpy()[[0, 3, 0, 0]]
    assert len(np.unique(row_clusters(rows, "patient_id"))) == 2


def test_the_numbers_that_are_kept_cannot_be_written_to() -> None:
    codes = row_clusters(pd.DataFrame({"patient_id": ["a", "b"]}), "patient_id")
    with pytest.raises(ValueError, match="read-only"):
        codes[0] = 1


def test_rows_are_joined_as_pandas_merges_them() -> None:
    first = pd.DataFrame({"image_id": ["c", "a", "b"], "score": [1, 2, 3], "fold": 0})
    second = first.assign(score=[4, 5, 6], image=["x", "y", "z"])[["image", "image_id", "score"]]
    for other in (second, second[::-1], second.tail(2)):
        wanted = first.merge(other, on="image_id", suffixes=("", " b"))
        pd.testing.assert_frame_equal(joined_rows(first, other, suffix=" b"), wanted)
    moved = second.set_axis([5, 7, 9])
    assert joined_rows(first, moved)["score_second"].tolist() == [4, 5, 6]


def test_gaps_close_in_order() -> None:
    codes = np.array([7, 0, 7, 3])
    assert without_gaps(codes).tolist() == np.unique(codes, return_inverse=True)[1].tolist()
    assert without_gaps(codes[:0]).tolist() == []


@pytest.mark.parametrize("exact", [1, 2**24])
def test_counts_of_clusters_are_exact_in_either_precision(
    exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    truth, score = draw.random(400) < 0.3, draw.normal(size=400)
    clusters = without_gaps(draw.integers(60, size=400))
    monkeypatch.setattr(bootstrap, "_EXACT", exact)
    found = bootstrap.resampled_statistics(
        truth, score, statistics=[bootstrap.aucs], draws=20, clusters=clusters
    )
    drawn = bootstrap.resample_counts(int(clusters.max()) + 1, draws=20, seed=0, block=3)
    for value, counts in zip(found[:, 0], np.concatenate([*drawn]), strict=True):
        rows = np.repeat(np.arange(400), counts[clusters])
        assert value == bootstrap.aucs(*bootstrap.step_counts(truth[rows], score[rows]))[0]


@pytest.mark.parametrize("rising", [True, False])
def test_the_first_rows_are_those_of_all_sorted(rising: bool) -> None:
    draw = np.random.default_rng(0)
    ids = draw.permutation([f"i{k}" for k in range(50)])
    rows = pd.DataFrame({"image_id": ids, "score": draw.integers(5, size=50) / 5})
    wanted = rows.sort_values(["score", "image_id"], ascending=[rising, True])
    for n in (0, 1, 7, 49, 50, 60):
        pd.testing.assert_frame_equal(first_by_score(rows, n, rising=rising), wanted.head(n))
