"""Each level's numbers are those of its rows alone; few rows have none."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss

from melnb.evaluation import rows
from melnb.evaluation.calibration.calibration_scores import calibration_scores
from melnb.evaluation.discrimination import ranking
from melnb.evaluation.statistics import intervals
from melnb.evaluation.subgroups.gaps import gap_tests
from melnb.evaluation.subgroups.subgroup_metrics import METRICS, subgroup_metrics
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]
POSITIVE = {"positive": "melanoma", "draws": 60}


@pytest.fixture(scope="module")
def table(binary: Make) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    truth = draw.random(900) < 0.3
    score = np.round(1 / (1 + np.exp(1 - draw.normal(size=900) - 1.5 * truth)), 2)
    return binary(truth, score).assign(patient_id=[f"p{k // 3}" for k in range(900)])


@pytest.fixture(scope="module")
def groups(table: pd.DataFrame) -> pd.DataFrame:
    sex = np.resize(["male", "female", "female"], len(table))
    return pd.DataFrame({"image_id": table["image_id"], "sex": sex}).sample(frac=1, random_state=0)


def rows_of(made: pd.DataFrame, level: str) -> pd.DataFrame:
    return made[made["level"] == level].set_index("metric")


@pytest.mark.parametrize("cluster", ["", "patient_id"])
def test_numbers_are_those_of_the_level_alone(
    table: pd.DataFrame, groups: pd.DataFrame, cluster: str
) -> None:
    made = subgroup_metrics(table, groups, threshold=0.5, cluster=cluster, **POSITIVE)
    assert made["level"].drop_duplicates().tolist() == ["all", "female", "male"]
    assert (made.groupby("level").size() == len(METRICS)).all()
    assert (made["note"] == "").all()
    women = table[table["image_id"].isin(groups.loc[groups["sex"] == "female", "image_id"])]
    for level, part in (("all", table), ("female", women)):
        own = rows_of(made, level)
        truth, score = part["truth"] == "melanoma", part["p_melanoma"]
        area = ranking.auc(part, positive="melanoma", cluster=cluster).iloc[0]
        for column in ("value", "low", "high", "n", "positives"):
            assert own.loc["AUC", column] == pytest.approx(area[column], abs=1e-12)
        precision = average_precision_score(truth, score)
        assert own.loc["average precision", "value"] == pytest.approx(precision)
        assert own.loc["Brier score", "value"] == pytest.approx(brier_score_loss(truth, score))
        assert own.loc["sensitivity", "value"] == (score[truth] >= 0.5).mean()
        assert own.loc["specificity", "value"] == (score[~truth] < 0.5).mean()
        assert own.loc["observed − expected", "value"] == pytest.approx((truth - score).mean())
        assert own.loc["prevalence", "value"] == truth.mean()
        assert own["patients"].unique() == [part["patient_id"].nunique() if cluster else len(part)]
        assert (own["low"] < own["value"]).all()
        assert (own["value"] < own["high"]).all()


def test_without_clusters_proportions_have_wilsons_limits(
    table: pd.DataFrame, groups: pd.DataFrame
) -> None:
    own = rows_of(subgroup_metrics(table, groups, threshold=0.5, **POSITIVE), "male")
    row = own.loc["sensitivity"]
    found = row["value"] * row["positives"]
    assert (row["low"], row["high"]) == intervals.wilson_interval(found, row["positives"])


@pytest.mark.parametrize("cluster", ["", "patient_id"])
def test_means_have_the_limits_of_the_calibration(table: pd.DataFrame, cluster: str) -> None:
    args = {"cluster": cluster, "confidence": 0.9, "seed": 3, **POSITIVE}
    own = subgroup_metrics(table, table[["image_id"]], threshold=0.5, **args).set_index("metric")
    score = calibration_scores(table, **args).set_index("metric")
    columns = ["value", "low", "high"]
    wanted = score.loc["Brier score", columns].astype(float)
    assert own.loc["Brier score", columns].to_list() == pytest.approx(wanted.to_list())
    assert own.loc["Brier score", "method"].startswith("bootstrap")


def test_patients_that_err_together_widen_the_limits(binary: Make) -> None:
    draw = np.random.default_rng(0)
    truth = np.tile([True, False], 300)
    score = np.clip(0.5 + 0.1 * np.repeat(draw.normal(size=60), 10) + 0.1 * truth, 0, 1)
    made = binary(truth, score).assign(patient_id=np.repeat(np.arange(60), 10).astype(str))
    groups = pd.DataFrame({"image_id": made["image_id"], "all_one": "x"})
    both = {
        c: rows_of(subgroup_metrics(made, groups, threshold=0.5, cluster=c, **POSITIVE), "x")
        for c in ("", "patient_id")
    }
    wide, narrow = ((both[c]["high"] - both[c]["low"]) for c in ("patient_id", ""))
    kept = ["sensitivity", "specificity"]
    assert (wide[kept] > 1.5 * narrow[kept]).all()


def test_few_rows_are_suppressed_and_say_how_few(binary: Make) -> None:
    truth = [True] * 7 + [False] * 93 + [True] * 40 + [False] * 60
    made = binary(truth, np.linspace(0, 1, 200)).assign(patient_id=np.repeat(np.arange(100), 2))
    groups = pd.DataFrame({"image_id": made["image_id"], "sex": ["male"] * 100 + ["female"] * 100})
    args = {"threshold": 0.5, "cluster": "patient_id", **POSITIVE}
    own = rows_of(subgroup_metrics(made, groups, smallest=10, **args), "male")
    hidden = own.loc[["AUC", "average precision", "sensitivity"]]
    assert hidden[["value", "low", "high"]].isna().all(axis=None)
    assert set(hidden["note"]) == {"suppressed: 7 melanoma row(s), fewer than 10"}
    assert own.loc["specificity", "note"] == ""
    assert own["positives"].unique() == [7]
    of_patients = rows_of(subgroup_metrics(made, groups, smallest=25, **args), "female")
    note = "suppressed: 40 melanoma row(s) of 20 patient_id, fewer than 25"
    assert of_patients.loc["sensitivity", "note"] == note
    nothing = subgroup_metrics(made, groups, smallest=1000, **args)
    assert nothing["value"].isna().all()
    assert nothing["note"].str.startswith("suppressed").all()
    everything = subgroup_metrics(made, groups, smallest=0, **args)
    assert everything["value"].notna().all()


def test_within_a_diagnosis_there_is_no_auc(table: pd.DataFrame) -> None:
    diagnosis = np.where(table["truth"] == "melanoma", "melanoma", "nevus")
    groups = pd.DataFrame({"image_id": table["image_id"], "diagnosis": diagnosis})
    made = subgroup_metrics(table, groups, threshold=0.5, **POSITIVE)
    for level, there, absent in (
        ("melanoma", "sensitivity", "every row is melanoma"),
        ("nevus", "specificity", "no row is melanoma"),
    ):
        own = rows_of(made, level)
        assert own.loc["AUC", "note"].startswith("not defined: rows of one diagnosis")
        assert own.loc[there, "note"] == ""
        other = {"sensitivity": "specificity", "specificity": "sensitivity"}[there]
        assert own.loc[other, "note"] == f"not estimable: {absent}"
        assert np.isnan(own.loc["AUC", "value"])


def test_scores_have_no_calibration(table: pd.DataFrame, groups: pd.DataFrame) -> None:
    ranks = table.assign(kind="score")
    own = rows_of(subgroup_metrics(ranks, groups, threshold=0.5, **POSITIVE), "male")
    assert own.loc["Brier score", "note"].startswith("not estimable: scores are no probabilities")
    assert np.isnan(own.loc["observed − expected", "value"])
    assert own.loc["AUC", "note"] == ""


def test_limit_cases_have_notes_and_no_warnings(binary: Make) -> None:
    truth = [True, False] * 30
    groups = pd.DataFrame({"image_id": [f"i{k:05d}" for k in range(60)], "sex": "male"})
    constant = binary(truth, [0.5] * 60)
    own = rows_of(subgroup_metrics(constant, groups, threshold=0.5, **POSITIVE), "male")
    assert own.loc["AUC", "value"] == 0.5
    assert own.loc["AUC", "note"].startswith("interval not estimable")
    one = constant.assign(patient_id="p", lesion_id=np.nan)
    args = {"threshold": 0.5, "smallest": 0, **POSITIVE}
    own = rows_of(subgroup_metrics(one, groups, cluster="patient_id", **args), "male")
    assert own["value"].notna().all()
    assert own["note"].str.contains("one patient_id alone").all()
    alone = subgroup_metrics(one, groups, cluster="lesion_id", **args)
    assert alone["patients"].unique() == [60]  # rows of unknown lesions stand alone
    empty = subgroup_metrics(binary([None] * 60, [0.5] * 60, fold=-1), groups, **args)
    assert empty["level"].unique() == ["all"]
    assert empty["note"].str.startswith("not estimable").all()


def test_without_a_threshold_the_areas_go_on(table: pd.DataFrame, groups: pd.DataFrame) -> None:
    made, uncut = (
        subgroup_metrics(table, groups, threshold=cut, **POSITIVE).set_index("metric")
        for cut in (0.5, float("nan"))
    )
    pd.testing.assert_frame_equal(made.loc[["AUC"]], uncut.loc[["AUC"]])
    for metric in ("sensitivity", "specificity"):
        assert uncut.loc[metric, "value"].isna().all()
        assert uncut.loc[metric, "note"].isin([rows.UNCUT]).any()
    tested = gap_tests(table, groups, threshold=float("nan"), positive="melanoma")
    tested = tested.set_index("metric")
    assert (tested.loc[["sensitivity", "specificity"], "note"] == rows.UNCUT).all()


def test_senseless_parameters_are_refused(table: pd.DataFrame, groups: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="smallest is -1"):
        subgroup_metrics(table, groups, threshold=0.5, smallest=-1, **POSITIVE)
    with pytest.raises(TableError, match="no column 'lesion_id'"):
        subgroup_metrics(table, groups, threshold=0.5, cluster="lesion_id", **POSITIVE)
