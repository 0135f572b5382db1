"""Means by fold with intervals, and one segmenter less another."""

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.discrimination.comparisons import fold_dispersion
from melnb.evaluation.mask_scores import (
    SUMMARY_COLUMNS,
    segmentation_summary,
)
from melnb.tables.checks import TableError

Masks = dict[str, np.ndarray]


def test_each_part_has_the_mean_of_each_measure(scores: pd.DataFrame) -> None:
    table = segmentation_summary(scores, draws=200)
    assert tuple(table.columns) == SUMMARY_COLUMNS
    assert table["rows"].unique().tolist() == ["fold 0", "fold 1", "out of fold", "test"]
    assert table["metric"].unique().tolist() == [
        "threshold jaccard", "jaccard", "dice", "sensitivity", "specificity", "accuracy",
        "failed", "hd95", "hd95 share",
    ]  # fmt: skip
    part = {"fold 0": scores["fold"] == 0, "out of fold": scores["fold"] >= 0}
    for name, rows in part.items():
        for metric in ("jaccard", "hd95 share", "failed"):
            own = table[(table["rows"] == name) & (table["metric"] == metric)].iloc[0]
            values = scores.loc[rows, metric.replace(" ", "_")].astype(float)
            assert own["value"] == pytest.approx(values.mean())
            assert own["n"] == rows.sum()
            assert own["low"] < own["value"] < own["high"]


def test_patients_widen_the_interval(scores: pd.DataFrame) -> None:
    twice = pd.concat([scores, scores]).assign(patient_id=[*range(40)] * 2)
    se = [
        segmentation_summary(twice, cluster=c, draws=1000).query("rows == 'out of fold'")["se"]
        for c in ("", "patient_id")
    ]
    assert (se[0] < 0.85 * se[1]).all()
    with pytest.raises(TableError, match="no column 'lesion_id'"):
        segmentation_summary(scores, cluster="lesion_id")


def test_folds_that_differ_are_told_by_the_house_test(scores: pd.DataFrame) -> None:
    table = fold_dispersion(segmentation_summary(scores, draws=200)).set_index("metric")
    assert table.loc["jaccard", "folds"] == 2
    assert 0 <= table.loc["jaccard", "p"] <= 1


def test_what_has_no_interval_says_why(scores: pd.DataFrame) -> None:
    perfect = scores.assign(jaccard=1.0)
    row = segmentation_summary(perfect, draws=50).query("metric == 'jaccard'").iloc[0]
    assert row["note"] == "interval not estimable: all images score alike"
    assert np.isnan(row["low"])
    one = segmentation_summary(scores.head(1), draws=50)
    assert one["note"].eq("interval not estimable: of one row alone").all()
    assert segmentation_summary(scores.head(0)).empty
