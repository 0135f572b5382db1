"""What corruptions cost, against numbers made by hand and by the functions of a report."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation import robustness
from melnb.evaluation.calibration.calibration_scores import calibration_scores
from melnb.evaluation.calibration.cross_calibration import cross_calibrate
from melnb.evaluation.decisions.operating_point import operating_point
from melnb.evaluation.discrimination.ranking import auc, auc_comparison
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]
HOW = {"positive": "melanoma", "cluster": "patient_id"}


@pytest.fixture(scope="module")
def clean(binary: Make) -> pd.DataFrame:
    """240 rows of 80 patients in three folds, whose scores know something."""
    rng = np.random.default_rng(0)
    truth = rng.random(240) < 0.3
    score = 1 / (1 + np.exp(1.5 - 1.5 * truth - rng.normal(size=240)))
    patients = [f"P{k // 3}" for k in range(240)]
    return binary(truth, score, fold=np.arange(240) // 3 % 3).assign(patient_id=patients)


def corrupted(clean: pd.DataFrame, name: str, strength: int, **values: np.ndarray) -> pd.DataFrame:
    score = np.clip(values.get("score", clean["p_melanoma"].to_numpy()), 0, 1)
    table = clean.assign(p_melanoma=score, p_other=1 - score)
    return table.assign(corruption=name, strength=strength)


@pytest.fixture(scope="module")
def cells(clean: pd.DataFrame) -> pd.DataFrame:
    """Clean, lower scores of the same ranks, and noise; rows of the last in another order."""
    score, rng = clean["p_melanoma"].to_numpy(), np.random.default_rng(1)
    noisy = corrupted(clean, "noise", 5, score=score + rng.normal(0, 0.5, len(clean)))
    return pd.concat(
        [
            corrupted(clean, "none", 0),
            corrupted(clean, "underexposure", 3, score=score / 2),
            noisy.sample(frac=1, random_state=0),
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def table(clean: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    made = robustness.robustness_table(clean, cells, threshold=0.3, draws=200, **HOW)
    assert tuple(made.columns) == robustness.COLUMNS
    return made.set_index(["corruption", "metric"])


def test_clean_numbers_are_those_of_the_report(clean: pd.DataFrame, table: pd.DataFrame) -> None:
    own = table.loc["none"]
    area = auc(clean, **HOW).iloc[0]
    assert tuple(own.loc["AUC", ["value", "low", "high"]]) == tuple(area[["value", "low", "high"]])
    point = operating_point(clean, choose="threshold", at=0.3, draws=2, **HOW).iloc[0]
    for metric in ("sensitivity", "specificity"):
        ends = [metric, f"{metric}_fixed_low", f"{metric}_fixed_high"]
        assert tuple(own.loc[metric, ["value", "low", "high"]]) == pytest.approx(tuple(point[ends]))
    scores = calibration_scores(clean, draws=200, **HOW).set_index("metric")
    for metric in (robustness.ECE, "Brier score"):
        ends = ["value", "low", "high"]
        assert tuple(own.loc[metric, ends]) == pytest.approx(tuple(scores.loc[metric, ends]))
    assert own["difference"].isna().all()


def test_scores_that_all_fall_keep_their_area_and_lose_what_the_threshold_found(
    clean: pd.DataFrame, table: pd.DataFrame
) -> None:
    own = table.loc["underexposure"]
    assert own.loc["AUC", "value"] == table.loc[("none", "AUC"), "value"]
    assert own.loc["AUC", "difference"] == 0
    truth = clean["truth"].eq("melanoma")
    before, after = ((clean.loc[truth, "p_melanoma"] / divisor >= 0.3).mean() for divisor in (1, 2))
    row = own.loc["sensitivity"]
    assert row["value"] == pytest.approx(after)
    assert row["difference"] == pytest.approx(after - before)
    assert row["difference_low"] < row["difference"] < row["difference_high"] < 0
    assert own.loc["specificity", "difference"] > 0
    brier = own.loc["Brier score"]
    errors = [(clean["p_melanoma"] / divisor - truth) ** 2 for divisor in (1, 2)]
    assert brier["difference"] == pytest.approx((errors[1] - errors[0]).mean())
    assert brier["difference_low"] < brier["difference"] < brier["difference_high"]


def test_differences_of_areas_are_paired_whatever_the_order_of_rows(
    clean: pd.DataFrame, cells: pd.DataFrame, table: pd.DataFrame
) -> None:
    noisy = cells[cells["corruption"] == "noise"].drop(columns=robustness.CELL)
    paired = auc_comparison({"noise": noisy, "clean": clean}, **HOW).iloc[0]
    row = table.loc[("noise", "AUC")]
    assert row["difference"] == pytest.approx(paired["difference"])
    assert row["difference_low"] == pytest.approx(paired["low"])
    assert row["difference_high"] == pytest.approx(paired["high"])
    assert row["difference_high"] < 0
    ece = table.loc[("noise", robustness.ECE)]
    assert ece["difference_low"] <= ece["difference"] <= ece["difference_high"]


def test_one_class_and_no_threshold_are_told_not_computed(binary: Make) -> None:
    alone = binary([True] * 6, np.linspace(0.1, 0.9, 6))
    both = pd.concat([corrupted(alone, "none", 0), corrupted(alone, "ink", 1)])
    made = robustness.robustness_table(
        alone, both, positive="melanoma", threshold=float("nan"), draws=20
    ).set_index(["corruption", "metric"])
    assert made.loc[("ink", "AUC"), "note"] == "not estimable: every row is melanoma"
    assert np.isnan(made.loc[("ink", "AUC"), "value"])
    assert made.loc[("ink", "sensitivity"), "note"] == "not estimable: no threshold was chosen"
    assert np.isnan(made.loc[("ink", "sensitivity"), "value"])


def test_a_cell_of_other_images_is_refused(clean: pd.DataFrame, cells: pd.DataFrame) -> None:
    fewer = cells.drop(cells[cells["corruption"] == "noise"].index[0])
    with pytest.raises(TableError, match="noise at strength 5: its 239 rows are of other images"):
        robustness.robustness_table(clean, fewer, threshold=0.3, draws=2, **HOW)


def test_predictions_made_again_are_compared(clean: pd.DataFrame, cells: pd.DataFrame) -> None:
    assert robustness.check_again(clean, cells, positive="melanoma") == 0
    other = cells.assign(p_melanoma=cells["p_melanoma"] * 0.9)
    with pytest.raises(TableError, match="its network says otherwise now"):
        robustness.check_again(clean, other, positive="melanoma")
    with pytest.raises(TableError, match="says otherwise now"):
        robustness.check_again(clean, cells[cells["image_id"] != "i00003"], positive="melanoma")


def test_cells_are_calibrated_as_the_clean_rows_of_their_fold(
    clean: pd.DataFrame, cells: pd.DataFrame
) -> None:
    how = {"method": "platt", "positive": "melanoma"}
    judged, calibrated = robustness.calibrate_cells(clean, cells, **how)
    expected = cross_calibrate(clean, **how)[0]
    pd.testing.assert_frame_equal(judged, expected)
    again = calibrated[calibrated["strength"] == 0].set_index("image_id")["p_melanoma"]
    np.testing.assert_allclose(again.loc[clean["image_id"]], expected["p_melanoma"], rtol=1e-12)
    same = robustness.calibrate_cells(clean, cells, method="none", positive="melanoma")
    assert same[0] is clean
    assert same[1] is cells


def test_whole_patients_are_drawn_in_proportion(clean: pd.DataFrame) -> None:
    drawn = robustness.drawn_patients(clean, positive="melanoma", rows=90, seed=3)
    assert 90 <= len(drawn) <= 96
    counts = clean["patient_id"].value_counts()
    assert (drawn["patient_id"].value_counts() == counts[drawn["patient_id"].unique()]).all()
    share = clean["truth"].eq("melanoma").mean()
    assert abs(drawn["truth"].eq("melanoma").mean() - share) < 0.08
    shuffled = clean.sample(frac=1, random_state=1)
    same = robustness.drawn_patients(shuffled, positive="melanoma", rows=90, seed=3)
    assert set(same["image_id"]) == set(drawn["image_id"])
    more = robustness.drawn_patients(clean, positive="melanoma", rows=150, seed=3)
    assert set(drawn["image_id"]) < set(more["image_id"])
    whole = robustness.drawn_patients(clean, positive="melanoma")
    assert whole["image_id"].tolist() == clean["image_id"].tolist()
    with pytest.raises(TableError, match="no row is out of fold and has a truth"):
        robustness.drawn_patients(clean.assign(fold=-1), positive="melanoma")


def test_the_worst_group_is_the_one_that_was_spoilt(clean: pd.DataFrame) -> None:
    male = np.arange(240) // 3 % 2 == 0
    spoilt = np.where(male, 1 - clean["p_melanoma"], clean["p_melanoma"])
    both = pd.concat([corrupted(clean, "none", 0), corrupted(clean, "ink", 2, score=spoilt)])
    people = pd.DataFrame({"image_id": clean["image_id"], "sex": np.where(male, "male", "female")})
    made = robustness.worst_groups(clean, both, people, smallest=5, **HOW)
    assert tuple(made.columns) == robustness.GROUP_COLUMNS
    (row,) = made.to_dict("records")
    assert (row["column"], row["level"], row["levels"]) == ("sex", "male", 2)
    assert row["difference"] < row["all_images"] < 0
    alone = auc_comparison(
        {"ink": both[both["strength"] == 2][male].drop(columns=robustness.CELL),
         "clean": clean[male]}, confidence=0.975, **HOW,
    ).iloc[0]  # fmt: skip
    assert (row["low"], row["high"]) == pytest.approx((alone["low"], alone["high"]))
    few = robustness.worst_groups(clean, both, people, smallest=200, **HOW).iloc[0]
    assert few["note"] == "no group has 200 melanoma and others"
    assert few["levels"] == 0
