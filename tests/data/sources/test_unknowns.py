"""The unknown: named by a threshold of rows that no network has learnt from, and counted."""

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from melnb.data.sources.tasks import relabel_unknown
from melnb.tables.schema import make_predictions


def images(diagnoses, **more):
    ids = [f"i{k:04d}" for k in range(len(diagnoses))]
    table = pd.DataFrame({"image_id": ids, "diagnosis": diagnoses, "target": diagnoses})
    return table.assign(**more)


def predictions(scores, folds=0, ids=None):
    scores = np.asarray(scores, dtype=float)
    ids = ids or [f"i{k:04d}" for k in range(len(scores))]
    values = np.column_stack([1 - scores, scores])
    return make_predictions(ids, folds, ["melanoma"] * len(ids), values,
                            classes=("melanoma", "nevus"), run="r")  # fmt: skip


def test_the_threshold_is_the_percentile_of_the_known():
    known = np.linspace(0, 1, 21)  # the 5th percentile is 0.05
    table = images(["nevus"] * 21 + ["unknown"] * 4 + ["melanoma"])
    found, said = relabel_unknown(table, predictions([*known, 0.049, 0.05, 0.5, 0.0, 1.0]))
    assert found["diagnosis"].tolist()[21:] == ["unknown", "nevus", "nevus", "unknown", "melanoma"]
    assert found["target"].equals(found["diagnosis"])
    assert said.to_dict("records") == [
        {
            "diagnosis": "nevus", "percentile": 5.0, "threshold": pytest.approx(0.05), "known": 21,
            "unknown": 4, "relabelled": 2, "not_predicted": 0,
        }
    ]  # fmt: skip
    assert table["diagnosis"].eq("unknown").sum() == 4  # the table given stays


def test_rows_that_were_not_held_out_set_no_threshold():
    table = images(["nevus"] * 4 + ["unknown"] * 2)
    folds = [0, 1, -1, -1, 0, -1]
    found, said = relabel_unknown(
        table, predictions([0.6, 0.6, 0.1, 0.1, 0.5, 0.7], folds), percentile=0
    )
    assert said["threshold"][0] == pytest.approx(0.6)
    assert said["known"][0] == 2
    # An unknown image of fold -1 was learnt from by none: the frozen threshold holds for it.
    assert found["diagnosis"].tolist()[4:] == ["unknown", "nevus"]


def test_melanomas_and_test_images_are_never_touched():
    table = images(
        ["nevus", "unknown", "unknown", "unknown", "unknown"],
        target=["other", "melanoma", "malignant", "other", np.nan],
        split=["train"] * 4 + ["test"],
    )
    found, said = relabel_unknown(table, predictions([0.1, 0.9, 0.9, 0.9, 0.9]))
    assert found["diagnosis"].tolist() == ["nevus", "unknown", "unknown", "nevus", "unknown"]
    assert found["target"].equals(table["target"])  # the task's own, not unknown
    assert (said["unknown"][0], said["relabelled"][0]) == (1, 1)


def test_an_image_without_target_gets_one():
    table = images(["nevus", "unknown", "unknown"], target=["nevus", np.nan, np.nan])
    found, said = relabel_unknown(table, predictions([0.5, 0.9], ids=["i0000", "i0001"]))
    assert found["target"].tolist()[:2] == ["nevus", "nevus"]
    assert pd.isna(found["target"][2])
    assert said["not_predicted"][0] == 1


@given(
    scores=st.lists(st.floats(0, 1), min_size=3, max_size=60),
    percentile=st.floats(0, 100),
    data=st.data(),
)
def test_the_higher_the_percentile_the_fewer_and_order_plays_no_part(scores, percentile, data):
    names = st.sampled_from(["unknown", "melanoma", "nevus", "benign_keratosis"])
    drawn = data.draw(st.lists(names, min_size=len(scores), max_size=len(scores)))
    drawn[0] = "nevus"
    table, said = images(drawn), predictions(scores)
    found, counts = relabel_unknown(table, said, percentile=percentile)
    changed = found["diagnosis"] != table["diagnosis"]
    assert (table.loc[changed, "diagnosis"] == "unknown").all()
    assert changed.sum() == counts["relabelled"][0] <= (table["diagnosis"] == "unknown").sum()
    assert (
        counts["relabelled"][0] >= relabel_unknown(table, said, percentile=100)[1]["relabelled"][0]
    )
    shuffled = relabel_unknown(table, said.sample(frac=1, random_state=0), percentile=percentile)
    assert shuffled[0].equals(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"of": "melanoma"}, "of is 'melanoma'"),
        ({"of": "unknown"}, "of is 'unknown'"),
        ({"of": "dermatofibroma"}, "no column p_dermatofibroma .*p_melanoma"),
        ({"percentile": 101}, "percentile is 101"),
    ],
)
def test_refusals(change, said):
    with pytest.raises(ValueError, match=said):
        relabel_unknown(images(["nevus", "unknown"]), predictions([0.5, 0.5]), **change)


def test_without_a_known_image_there_is_no_threshold():
    with pytest.raises(ValueError, match="no out-of-fold row of an image known as nevus"):
        relabel_unknown(images(["nevus", "unknown"]), predictions([0.5, 0.5], [-1, 0]))


def test_predictions_are_joined_whatever_they_call_the_images():
    table = images(["nevus"] * 4 + ["unknown"] * 2)
    scores = [0.5, 0.6, 0.7, 0.8, 0.9, 0.1]
    ids = [f"I{k:04d}_downsampled.jpg" for k in range(6)]
    found, said = relabel_unknown(table, predictions(scores, ids=ids))
    assert found["diagnosis"].tolist()[4:] == ["nevus", "unknown"]
    assert said["not_predicted"].tolist() == [0]


def test_without_predictions_nothing_is_renamed() -> None:
    table = images(["nevus", "unknown"])
    same, counts = relabel_unknown(table)
    assert same is table
    assert counts.empty
    _, some = relabel_unknown(table, predictions([0.5, 0.5]))
    assert list(counts.columns) == list(some.columns)
    with pytest.raises(ValueError, match="percentile is 200"):
        relabel_unknown(table, percentile=200)
