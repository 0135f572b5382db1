"""Means by fold with intervals, and one segmenter less another."""

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.discrimination.comparisons import fold_dispersion
from melnb.evaluation.mask_scores import (
    COMPARISON_COLUMNS,
    SUMMARY_COLUMNS,
    segmentation_scores,
    segmentation_summary,
    segmenter_comparison,
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


def test_a_difference_is_paired(scores: pd.DataFrame, truth: Masks) -> None:
    exact = segmentation_scores(truth, truth).sample(frac=1, random_state=0).head(30)
    table = segmenter_comparison(exact, scores, draws=500)
    assert tuple(table.columns) == COMPARISON_COLUMNS
    row = table.set_index("metric").loc["jaccard"]
    shared = scores[scores["image_id"].isin(exact["image_id"])]
    assert (row["value_first"], row["n"]) == (1, 30)
    assert row["value_second"] == pytest.approx(shared["jaccard"].mean())
    assert row["difference"] == pytest.approx(1 - shared["jaccard"].mean())
    assert row["low"] < row["difference"] < row["high"]
    assert table.set_index("metric").loc["hd95", "difference"] < 0


def test_the_interval_is_of_the_difference_and_not_of_either(scores: pd.DataFrame) -> None:
    draw = np.random.default_rng(0)
    better = scores.assign(jaccard=scores["jaccard"] + 0.01 + draw.normal(0, 0.001, 40))
    row = segmenter_comparison(better, scores, draws=500).set_index("metric").loc["jaccard"]
    assert row["difference"] == pytest.approx(0.01, abs=0.001)
    assert row["se"] < 0.0005
    alike = segmenter_comparison(scores, scores, draws=50)
    assert alike["note"].eq("interval not estimable: all images score alike").all()
    assert alike["difference"].eq(0).all()


def test_a_difference_is_of_images_that_both_could_score(scores: pd.DataFrame) -> None:
    lost = scores.assign(hd95=scores["hd95"].where(scores.index != 3))
    row = segmenter_comparison(lost, scores, draws=50).set_index("metric").loc["hd95"]
    assert row["n"] == scores["hd95"].notna().sum() - 1
    assert row["value_first"] - row["value_second"] == pytest.approx(row["difference"]) == 0


def test_clusters_of_a_difference_are_drawn_whole(scores: pd.DataFrame) -> None:
    other = scores.assign(jaccard=scores["jaccard"] - scores["patient_id"].str[1:].astype(int) / 99)
    se = [
        segmenter_comparison(scores, other, cluster=c).set_index("metric").loc["jaccard", "se"]
        for c in ("", "patient_id")
    ]
    assert se[1] == pytest.approx(se[0] * 2**0.5, rel=0.1)


def test_what_cannot_be_compared(scores: pd.DataFrame) -> None:
    with pytest.raises(TableError, match="the two segmenters have no image in common"):
        segmenter_comparison(scores.head(3), scores.tail(3))
    with pytest.raises(TableError, match="the true mask of i00 has"):
        segmenter_comparison(scores, scores.assign(fn=scores["fn"] + 1))
