"""Disagreement as a predictor, against scikit-learn and counting."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from melnb.evaluation.mask_failures import (
    failure_prediction,
    failure_roc,
    failure_rows,
    jaccard_by_coverage,
)
from melnb.tables.checks import TableError


@pytest.fixture(scope="module")
def disagreement(scores: pd.DataFrame) -> pd.DataFrame:
    """Views that know something of failure, folds that know nothing; more images than scores."""
    draw = np.random.default_rng(0)
    views = (1 - scores["jaccard"]) / 2 + draw.random(40) / 4
    table = pd.DataFrame({"image_id": scores["image_id"], "views": views, "folds": draw.random(40)})
    more = pd.DataFrame({"image_id": ["more"], "views": [0.5], "folds": [0.5]})
    return pd.concat([table, more]).sample(frac=1, random_state=0).round(2)


def joined(scores: pd.DataFrame, disagreement: pd.DataFrame) -> pd.DataFrame:
    return scores.merge(disagreement, on="image_id")


def test_the_area_is_scikit_learns(scores: pd.DataFrame, disagreement: pd.DataFrame) -> None:
    table = failure_prediction(scores, disagreement)
    both = joined(scores, disagreement)
    assert table["predictor"].tolist() == ["views", "folds"]
    for name, value in zip(table["predictor"], table["value"], strict=True):
        assert value == pytest.approx(roc_auc_score(both["failed"], both[name]))
    assert table["positives"].tolist() == [int(scores["failed"].sum())] * 2
    views, folds = (row for _, row in table.iterrows())
    assert views["low"] > 0.5
    assert folds["low"] < 0.5 < folds["high"]
    clustered = failure_prediction(scores, disagreement, cluster="patient_id")
    assert clustered["method"].eq("logit DeLong by patient_id").all()


def test_the_curve_is_scikit_learns(scores: pd.DataFrame, disagreement: pd.DataFrame) -> None:
    curve = failure_roc(scores, disagreement).query("predictor == 'views'")
    both = joined(scores, disagreement)
    across, up, _ = roc_curve(both["failed"], both["views"], drop_intermediate=False)
    np.testing.assert_allclose(curve["false_positive_rate"], across)
    np.testing.assert_allclose(curve["sensitivity"], up)


def test_rows_are_a_predictions_table(scores: pd.DataFrame, disagreement: pd.DataFrame) -> None:
    rows = failure_rows(scores.tail(20), disagreement, "views")
    assert rows["kind"].eq("score").all()
    assert rows["fold"].tolist() == scores["fold"].tail(20).tolist()
    assert rows["patient_id"].tolist() == scores["patient_id"].tail(20).tolist()
    assert (rows["truth"] == "failed").tolist() == scores["failed"].tail(20).tolist()
    assert failure_rows(scores[["image_id", "jaccard"]], disagreement, "views")["fold"].eq(-1).all()


def test_without_a_failure_the_row_says_so(
    scores: pd.DataFrame, disagreement: pd.DataFrame
) -> None:
    good = scores[~scores["failed"]]
    row = failure_prediction(good, disagreement).iloc[0]
    assert np.isnan(row["value"])
    assert row["note"] == "not estimable: no row is failed"
    curve = failure_roc(good, disagreement)
    assert curve["note"].tolist() == ["not estimable: no row is failed"] * 2


def test_coverage_keeps_the_most_agreed(scores: pd.DataFrame, disagreement: pd.DataFrame) -> None:
    table = jaccard_by_coverage(scores, disagreement).query("predictor == 'views'")
    both = joined(scores, disagreement)
    for _, row in table.iterrows():
        kept = both[both["views"] <= row["disagreement"]]
        assert row["n"] == len(kept)
        assert row["coverage"] == pytest.approx(len(kept) / 40)
        assert row["jaccard"] == pytest.approx(kept["jaccard"].mean())
        assert row["threshold_jaccard"] == pytest.approx(kept["threshold_jaccard"].mean())
        assert row["failed"] == pytest.approx(kept["failed"].mean())
    assert table["coverage"].iloc[-1] == 1
    assert table["jaccard"].iloc[:5].mean() > table["jaccard"].iloc[-1]


def test_a_predictor_that_nobody_knows_is_left_out(
    scores: pd.DataFrame, disagreement: pd.DataFrame
) -> None:
    unknown = disagreement.assign(folds=np.nan)
    for table in (
        failure_prediction(scores, unknown),
        failure_roc(scores, unknown),
        jaccard_by_coverage(scores, unknown),
    ):
        assert set(table["predictor"]) == {"views"}


@pytest.mark.parametrize("what", ["no image", "no predictor", "no column"])
def test_where_there_is_nothing_to_judge_the_tables_are_empty(
    scores: pd.DataFrame, disagreement: pd.DataFrame, what: str
) -> None:
    told = {
        "no image": (scores.head(0), disagreement),
        "no predictor": (scores, disagreement.assign(views=np.nan, folds=np.nan)),
        "no column": (scores, disagreement[["image_id"]]),
    }[what]
    for make in (failure_prediction, failure_roc, jaccard_by_coverage):
        table = make(*told)
        assert len(table) == 0
        assert list(table.columns) == list(make(scores, disagreement).columns)


def test_bad_disagreements_are_named(scores: pd.DataFrame, disagreement: pd.DataFrame) -> None:
    short = disagreement[disagreement["image_id"] != "i07"]
    with pytest.raises(TableError, match=r"views of i07 is nan \(1 such images\)"):
        failure_prediction(scores, short)
    with pytest.raises(TableError, match="views of i00 is 2"):
        failure_prediction(scores, disagreement.assign(views=2.0))
    twice = disagreement[disagreement["image_id"] == "i00"]
    with pytest.raises(TableError, match="i00 has two rows"):
        failure_prediction(scores, pd.concat([disagreement, twice]))
    with pytest.raises(TableError, match="pass image_id and a column"):
        failure_prediction(scores, disagreement[["views"]])
    with pytest.raises(TableError, match="no column 'x'"):
        failure_rows(scores, disagreement, "x")
    with pytest.raises(TableError, match="there is no image"):
        failure_rows(scores.head(0), disagreement, "views")
