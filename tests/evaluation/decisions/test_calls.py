"""Calls worth looking at: the surest of each kind, and a fair draw."""

import numpy as np
import pandas as pd

from melnb.evaluation.decisions import flagged as errors
from melnb.tables.schema import make_predictions


def table(n: int = 40, positives: int = 8) -> pd.DataFrame:
    score = np.round(np.random.default_rng(0).random(n), 1)  # with ties
    truth = ["melanoma"] * positives + ["nevus"] * (n - positives - 2) + [None] * 2
    made = make_predictions(
        [f"i{k:02d}" for k in range(n)], -1, truth, np.column_stack([1 - score, score]),
        classes=("nevus", "melanoma"), run="r",
    )  # fmt: skip
    return made.assign(patient_id=[f"p{k // 2}" for k in range(n)])


def test_the_surest_of_each_kind_stand_first() -> None:
    rows = table()
    found = errors.surest_calls(rows, positive="melanoma", threshold=0.4, n=3)
    assert set(found["call"]) == {"hit", "miss", "false alarm"}
    for call, part in found.groupby("call"):
        assert len(part) <= 3
        positive, flagged = part["truth"] == "melanoma", part["score"] >= 0.4
        assert (positive == (call != "false alarm")).all()
        assert (flagged == (call != "miss")).all()
        assert (
            part["score"].is_monotonic_increasing == (call == "miss") or part["score"].nunique() < 2
        )
    hits = rows[(rows["truth"] == "melanoma") & (rows["p_melanoma"] >= 0.4)]
    best = hits.sort_values(["p_melanoma", "image_id"], ascending=[False, True])
    assert (
        found.loc[found["call"] == "hit", "image_id"].tolist() == best["image_id"].head(3).tolist()
    )
    assert (
        errors.surest_calls(rows, positive="melanoma", threshold=1.1, n=3)["call"].eq("miss").all()
    )


def test_half_of_a_draw_is_positive_as_far_as_there_are() -> None:
    rows = table()
    even = errors.drawn_calls(rows, positive="melanoma", n=10, seed=1)
    assert even["group"].value_counts().to_dict() == {"melanoma": 5, "rest": 5}
    assert even["image_id"].is_monotonic_increasing
    assert {"patient_id", "fold", "truth"} <= {*even.columns}
    assert even.equals(errors.drawn_calls(rows, positive="melanoma", n=10, seed=1))
    assert not even.equals(errors.drawn_calls(rows, positive="melanoma", n=10, seed=2))
    few = errors.drawn_calls(rows, positive="melanoma", n=30, seed=1)
    assert few["group"].value_counts().to_dict() == {"rest": 22, "melanoma": 8}
    every = errors.drawn_calls(rows, positive="melanoma", n=99)
    assert len(every) == 38
    rare = errors.drawn_calls(rows.iloc[:12], positive="melanoma", n=11)
    assert rare["group"].value_counts().to_dict() == {"melanoma": 7, "rest": 4}
