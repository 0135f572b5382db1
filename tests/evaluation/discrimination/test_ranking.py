"""Curves and areas against scikit-learn, published values, and the cases that have no answer."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.discrimination import ranking
from melnb.evaluation.rows import ESTIMATE_COLUMNS, binary_rows
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]
Cancer = tuple[np.ndarray, dict[str, np.ndarray]]


@pytest.fixture
def tied(binary: Make) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    truth = generator.random(500) < 0.2
    score = np.round(np.clip(generator.normal(0.3 + 0.2 * truth, 0.2), 0, 1), 2)
    table = binary(truth, score, fold=generator.integers(0, 3, 500))
    return table.assign(patient_id=[f"p{k // 4}" for k in range(500)])


def test_roc_curve_is_scikit_learns(tied: pd.DataFrame) -> None:
    curve = ranking.roc_curve(tied, positive="melanoma")
    wanted = sklearn_metrics.roc_curve(
        tied["truth"] == "melanoma", tied["p_melanoma"], drop_intermediate=False
    )
    assert np.array_equal(curve.iloc[:, :3].to_numpy(), np.column_stack(wanted))
    assert len(curve) < 110  # ties are one row


def test_precision_recall_curve_is_scikit_learns(tied: pd.DataFrame) -> None:
    curve = ranking.precision_recall_curve(tied, positive="melanoma")
    precision, recall, threshold = sklearn_metrics.precision_recall_curve(
        tied["truth"] == "melanoma", tied["p_melanoma"]
    )
    wanted = np.column_stack([recall[:-1], precision[:-1], threshold])[::-1]
    assert curve.iloc[:, :3].to_numpy() == pytest.approx(wanted, abs=1e-15)


def test_precision_at_another_prevalence_is_that_of_weighted_rows(tied: pd.DataFrame) -> None:
    curve = ranking.precision_recall_curve(tied, positive="melanoma", prevalence=0.02)
    truth = tied["truth"] == "melanoma"
    weights = np.where(truth, 0.02 / truth.mean(), 0.98 / (~truth).mean())
    precision, recall, _ = sklearn_metrics.precision_recall_curve(
        truth, tied["p_melanoma"], sample_weight=weights
    )
    wanted = np.column_stack([recall[:-1], precision[:-1]])[::-1]
    assert curve.iloc[:, :2].to_numpy() == pytest.approx(wanted, abs=1e-12)
    assert (curve["prevalence"] == 0.02).all()
    everyone = tied[truth]
    alone = ranking.precision_recall_curve(everyone, positive="melanoma", prevalence=0.02)
    assert (alone["precision"] == 1).all()


def test_areas_are_scikit_learns(tied: pd.DataFrame) -> None:
    truth, score = tied["truth"] == "melanoma", tied["p_melanoma"]
    area = ranking.auc(tied, positive="melanoma").iloc[0]
    assert area["value"] == pytest.approx(sklearn_metrics.roc_auc_score(truth, score))
    precision = ranking.average_precision(tied, positive="melanoma").iloc[0]
    assert precision["value"] == pytest.approx(
        sklearn_metrics.average_precision_score(truth, score)
    )
    for row in (area, precision):
        assert row["low"] < row["value"] < row["high"]
        assert (row["n"], row["positives"], row["note"]) == (500, truth.sum(), "")


def test_areas_of_several_runs_are_those_of_each(tied: pd.DataFrame) -> None:
    turned = tied.assign(p_melanoma=tied["p_other"], p_other=tied["p_melanoma"])
    how = {"positive": "melanoma", "cluster": "patient_id"}
    table = ranking.auc_by_run({"straight": tied, "turned": turned}, **how)
    assert table["run"].tolist() == ["straight", "turned"]
    single = ranking.auc(turned, **how).drop(columns="metric").iloc[0]
    assert table.iloc[1].drop("run").equals(single.rename(1))
    assert table["value"].sum() == pytest.approx(1)


def test_areas_by_patient(tied: pd.DataFrame) -> None:
    for function in (ranking.auc, ranking.average_precision):
        by_row = function(tied, positive="melanoma").iloc[0]
        by_patient = function(tied, positive="melanoma", cluster="patient_id").iloc[0]
        assert by_patient["value"] == by_row["value"]
        assert by_patient["se"] != by_row["se"]
        assert "patient_id" in by_patient["method"]
    with pytest.raises(TableError, match="no column 'lesion_id'"):
        ranking.auc(tied, positive="melanoma", cluster="lesion_id")


def test_a_class_of_one_patient_has_no_interval(tied: pd.DataFrame) -> None:
    # Their parts sum to 0, so that DeLong's error would be too small, and say nothing of it.
    held = tied["truth"] == "melanoma"
    table = tied.assign(patient_id=tied["patient_id"].mask(held, "one"))
    for function in (ranking.auc, ranking.average_precision):
        row = function(table, positive="melanoma", cluster="patient_id").iloc[0]
        assert row["note"] == "interval not estimable: all rows of a class are of one patient_id"
        assert row[["se", "low", "high"]].isna().all()
    second = table.assign(p_melanoma=table["p_melanoma"].iloc[::-1].to_numpy())
    runs = {"a": table, "b": second}
    row = ranking.auc_comparison(runs, positive="melanoma", cluster="patient_id").iloc[0]
    assert row["note"] == "not estimable: all rows of a class are of one patient_id"
    assert row[["se", "low", "high", "z", "p"]].isna().all()


def test_few_positives_are_said_to_be_few(binary: Make) -> None:
    truth = np.arange(300) % 30 == 0
    score = np.random.default_rng(0).random(300) * 0.5 + 0.3 * truth
    table = binary(truth, score).assign(patient_id=[f"p{k % 150}" for k in range(300)])
    for function in (ranking.average_precision, ranking.auc):
        row = function(table, positive="melanoma").iloc[0]
        assert row["note"] == "rough: a class has only 10 rows"
        assert row["low"] < row["value"] < row["high"]
    row = ranking.average_precision(table, positive="melanoma", cluster="patient_id").iloc[0]
    assert row["note"] == "rough: a class has only 5 patients"
    row = ranking.average_precision(table, positive="melanoma", draws=1).iloc[0]
    assert row["note"] == "interval not estimable: draws is 1, of two or more"


def test_an_unknown_patient_stands_alone(tied: pd.DataFrame) -> None:
    alone = tied.assign(patient_id=np.nan)
    se = ranking.auc(tied, positive="melanoma").iloc[0]["se"]
    clustered = ranking.auc(alone, positive="melanoma", cluster="patient_id").iloc[0]["se"]
    assert clustered == pytest.approx(se)


@settings(max_examples=settings.default.max_examples // 2)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1), st.integers(2, 5))
def test_a_monotone_transform_changes_no_area(
    binary: Make, rows: list[tuple[bool, int]], power: int
) -> None:
    truth, score = [r[0] for r in rows], np.array([r[1] / 20 for r in rows])
    for function in (ranking.auc, ranking.average_precision):
        plain = function(binary(truth, score), positive="melanoma")
        bent = function(binary(truth, score**power), positive="melanoma")
        pd.testing.assert_frame_equal(plain, bent)


def test_rows_without_a_truth_are_left_out_and_counted(binary: Make, tied: pd.DataFrame) -> None:
    blank = binary([None] * 7, [0.5] * 7, fold=-1)
    blank["image_id"] += "_test"
    both = pd.concat([tied, blank], ignore_index=True)
    alone, mixed = (ranking.auc(t, positive="melanoma") for t in (tied, both))
    assert mixed["left_out"].iloc[0] == 7
    pd.testing.assert_frame_equal(mixed.assign(left_out=0), alone)


@pytest.mark.parametrize(
    ("truth", "value_note", "interval_note"),
    [
        ([], "not estimable: no row has a truth", ""),
        ([None, None], "not estimable: no row has a truth", ""),
        ([True, True], "not estimable: every row is melanoma", ""),
        ([False], "not estimable: no row is melanoma", ""),
        ([True, False], "", "interval not estimable: a class has 1 row"),
        ([False, False, True, True], "", "interval not estimable: the rows show no spread"),
    ],
)
def test_what_cannot_be_estimated_says_why(
    binary: Make, truth: list[bool | None], value_note: str, interval_note: str
) -> None:
    table = binary(truth, np.linspace(0.1, 0.9, len(truth)), fold=-1)
    row = ranking.auc(table, positive="melanoma").iloc[0]
    assert row["note"].startswith(value_note or interval_note)
    assert pd.isna(row["value"]) == bool(value_note)
    assert row[["se", "low", "high"]].isna().all()
    curve = ranking.roc_curve(table, positive="melanoma")
    assert curve["note"].iloc[0] == value_note
    assert len(curve) == 1 or not value_note
    other = ranking.precision_recall_curve(table, positive="melanoma")
    assert (other["note"].iloc[0] == "") == (True in truth)
    average = ranking.average_precision(table, positive="melanoma").iloc[0]
    assert average["note"] != ""
    assert pd.isna(average["value"]) == (True not in truth)


def test_constant_scores_are_worth_half(binary: Make) -> None:
    table = binary([True] * 3 + [False] * 7, [0.4] * 10)
    row = ranking.auc(table, positive="melanoma").iloc[0]
    assert row["value"] == 0.5
    assert "no spread" in row["note"]
    assert ranking.average_precision(table, positive="melanoma")["value"].iloc[0] == 0.3
    assert len(ranking.roc_curve(table, positive="melanoma")) == 2


def test_a_class_or_a_score_that_is_not_there(tied: pd.DataFrame) -> None:
    with pytest.raises(TableError, match="positive is 'malignant'"):
        ranking.auc(tied, positive="malignant")
    tied.loc[3, "p_melanoma"] = np.nan
    with pytest.raises(TableError, match="p_melanoma of i00003 is NaN"):
        binary_rows(tied, positive="melanoma")


def test_metrics_by_fold(binary: Make, tied: pd.DataFrame) -> None:
    test = binary([True, False, True, False, None], [0.9, 0.2, 0.3, 0.4, 0.5], fold=-1)
    test["image_id"] += "_test"
    both = pd.concat([tied.drop(columns="patient_id"), test], ignore_index=True)
    table = ranking.metrics_by_fold(both, positive="melanoma", draws=50)
    assert list(table.columns) == ["rows", *ESTIMATE_COLUMNS]
    assert list(table["rows"].unique()) == ["fold 0", "fold 1", "fold 2", "out of fold", "test"]
    areas = table[table["metric"] == "AUC"].set_index("rows")
    assert areas.loc["out of fold", "n"] == 500
    assert areas.loc["test", ["n", "left_out", "value"]].tolist() == [4, 1, 0.75]
    for k in range(3):
        own = tied[tied["fold"] == k]
        wanted = sklearn_metrics.roc_auc_score(own["truth"] == "melanoma", own["p_melanoma"])
        assert areas.loc[f"fold {k}", "value"] == pytest.approx(wanted)
    one = ranking.metrics_by_fold(tied[tied["fold"] == 1], positive="melanoma", draws=9)
    assert list(one["rows"]) == ["out of fold"] * 2, "a file without folds is one, of no number"
    assert ranking.metrics_by_fold(tied.head(0), positive="melanoma").empty


def test_auc_comparison(binary: Make, breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    names = ["mean radius", "mean texture", "mean smoothness"]
    runs = {name: binary(truth, columns[name]).sample(frac=1, random_state=1) for name in names}
    table = ranking.auc_comparison(runs, positive="melanoma").set_index("second")
    assert table.loc["mean texture", "z"] == pytest.approx(7.308787, abs=5e-6)
    del runs["mean radius"]
    row = ranking.auc_comparison(runs, positive="melanoma").iloc[0]
    assert row["p"] == pytest.approx(0.086649, abs=5e-7)
    assert row["low"] < 0 < row["high"]
    assert row["difference"] == pytest.approx(row["auc_first"] - row["auc_second"])


def test_auc_comparison_of_what_ranks_alike(binary: Make, tied: pd.DataFrame) -> None:
    bent = tied.assign(p_melanoma=tied["p_melanoma"] ** 2)
    row = ranking.auc_comparison({"a": tied, "b": bent}, positive="melanoma").iloc[0]
    assert row["difference"] == 0
    assert row[["se", "low", "high", "z", "p"]].isna().all()
    assert row["note"].startswith("not estimable: the two scores rank the rows alike")
    flipped = tied.assign(truth=tied["truth"].map({"melanoma": "other", "other": "melanoma"}))
    with pytest.raises(TableError, match="differs between the two"):
        ranking.auc_comparison({"a": tied, "b": flipped}, positive="melanoma")
    stranger = binary([True, False], [0.1, 0.2]).assign(image_id=["x", "y"])
    row = ranking.auc_comparison({"a": tied, "b": stranger}, positive="melanoma").iloc[0]
    assert (row["n"], row["note"]) == (0, "not estimable: no row has a truth")
    assert ranking.auc_comparison({"a": tied}, positive="melanoma").empty


def test_a_thinned_curve_looks_the_same(binary: Make) -> None:
    generator = np.random.default_rng(1)
    truth = generator.random(30_000) < 0.02
    table = binary(truth, 1 / (1 + np.exp(-generator.normal(-3 + 2 * truth, 1.5))))
    for function in (ranking.roc_curve, ranking.precision_recall_curve):
        curve = function(table, positive="melanoma")
        thin = ranking.thin_curve(curve)
        assert len(thin) <= 400 < len(curve)
        assert thin.iloc[[0, -1]].equals(curve.iloc[[0, -1]])
        assert thin.index.isin(curve.index).all()
        place, drawn = (c.iloc[:, :2].to_numpy() for c in (curve, thin))
        before = np.clip(
            np.searchsorted(thin.index, curve.index, side="right") - 1, 0, len(thin) - 2
        )
        start, along = drawn[before], drawn[before + 1] - drawn[before]
        share = ((place - start) * along).sum(1) / np.maximum((along**2).sum(1), 1e-30)
        nearest = start + np.clip(share, 0, 1)[:, None] * along
        assert np.linalg.norm(place - nearest, axis=1).max() < 0.002  # a pixel of a 500-pixel plot


def test_a_straight_curve_is_its_ends() -> None:
    line = pd.DataFrame({"x": np.linspace(0, 1, 50), "y": np.linspace(0, 0.5, 50), "z": 0})
    assert len(ranking.thin_curve(line)) == 2
    assert len(ranking.thin_curve(line, x="x", y="z")) == 2
    assert len(ranking.thin_curve(line.head(2))) == 2
    assert ranking.thin_curve(line.head(0)).empty
    corner = pd.DataFrame({"x": [0, 0, 0, 0.5, 1], "y": [0, 0.3, 1, 1, 1]})
    assert list(ranking.thin_curve(corner).index) == [0, 2, 4]
    assert len(ranking.thin_curve(corner, points=2)) == 2


def test_numbers_need_no_heavy_library() -> None:
    code = (
        "import sys; import melnb.evaluation.discrimination.ranking\n"
        "import melnb.evaluation.decisions.operating_point\n"
        "import melnb.evaluation.discrimination.comparisons, melnb.evaluation.challenges.jaccard\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.data
def test_a_published_out_of_fold_file(siim_predictions: Path) -> None:
    table = read_foreign(siim_predictions / "oof_efficientnet_b1.csv")
    found = ranking.metrics_by_fold(table, positive="melanoma")
    areas = found[found["metric"] == "AUC"].set_index("rows")
    wanted = {0: 0.9117, 1: 0.9097, 2: 0.8864, 3: 0.9119, 4: 0.9007}
    for fold, value in wanted.items():
        assert areas.loc[f"fold {fold}", "value"] == pytest.approx(value, abs=5e-5)
    pooled = areas.loc["out of fold"]
    assert (pooled["n"], pooled["positives"]) == (33126, 584)
    assert pooled["value"] == pytest.approx(0.89978, abs=5e-6)
    assert pooled["se"] == pytest.approx(0.00571, abs=5e-7)
    assert (pooled["low"], pooled["high"]) == pytest.approx((0.88802, 0.91043), abs=5e-6)
    precision = found[found["metric"] == "average precision"].set_index("rows").loc["out of fold"]
    assert precision["value"] == pytest.approx(0.2013, abs=5e-5)
    assert precision["low"] < 0.2013 < precision["high"]
