"""Means by group: their values, intervals that cover, and what is left out."""

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.statistics.proportions import grouped_means
from melnb.tables.checks import TableError


def test_means_of_each_group_are_pandas_and_nothing_known_is_left_out() -> None:
    scores = pd.DataFrame(
        {
            "method": ["b", "a", "b", "a", "b", "a"],
            "x": [1.0, 2, 3, np.nan, 5, 6],
            "y": [True, False, True, None, None, None],
        }
    )
    found = grouped_means(scores, ["x", "y"], by=["method"])
    assert found[["method", "metric"]].to_numpy().tolist() == [
        ["b", "x"], ["b", "y"], ["a", "x"], ["a", "y"],
    ]  # fmt: skip
    np.testing.assert_allclose(found["value"], [3, 1, 4, 0])
    assert found["n"].tolist() == [3, 2, 2, 1]
    assert found["left_out"].tolist() == [0, 1, 1, 2]
    assert found["note"].tolist() == ["", "", "", "interval not estimable: of one row alone"]
    assert (found["low"].iloc[0], found["high"].iloc[0]) == (1, 5)


def test_the_standard_error_is_that_of_whole_clusters() -> None:
    rng = np.random.default_rng(0)
    of_patient = rng.normal(size=200)
    scores = pd.DataFrame(
        {"x": np.repeat(of_patient, 4), "patient_id": np.repeat([f"p{k}" for k in range(200)], 4)}
    )
    rows = grouped_means(scores, ["x"], draws=2000).iloc[0]
    patients = grouped_means(scores, ["x"], cluster="patient_id", draws=2000).iloc[0]
    assert patients["se"] == pytest.approx(of_patient.std() / np.sqrt(200), rel=0.1)
    assert rows["se"] == pytest.approx(patients["se"] / 2, rel=0.1)
    assert patients["low"] < patients["value"] < patients["high"]
    alone = scores.assign(patient_id=np.nan)
    assert grouped_means(alone, ["x"], cluster="patient_id", draws=2000).iloc[0][
        "se"
    ] == pytest.approx(rows["se"], rel=0.1)


def test_what_cannot_be_estimated_says_why() -> None:
    scores = pd.DataFrame({"x": [np.nan, np.nan], "lesion_id": ["l", "l"]})
    found = grouped_means(scores, ["x"]).iloc[0]
    assert np.isnan(found["value"])
    assert found["note"] == "interval not estimable: there is no such row"
    one = grouped_means(scores.assign(x=[1.0, 3]), ["x"], cluster="lesion_id").iloc[0]
    assert (one["value"], one["note"]) == (2, "interval not estimable: of one lesion_id alone")
    with pytest.raises(TableError, match="no column 'patient_id'"):
        grouped_means(scores.assign(x=1.0), ["x"], cluster="patient_id")
