"""Scores that rounding alone tells apart are answered as those that are equal."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.calibration.calibration_scores import recalibration
from melnb.evaluation.calibration.calibrators import fit_calibrator
from melnb.evaluation.ensembles.cross_fit import fit_logistic_stacker
from melnb.evaluation.ensembles.patient_moves import standing_weights
from melnb.evaluation.patient_context import ugly_duckling_gain
from melnb.evaluation.rows import binary_rows
from melnb.evaluation.shift.score_shift import source_histogram

Make = Callable[..., pd.DataFrame]


@pytest.fixture(params=[0.0, 1.0], ids=["equal", "rounded"])
def alike(binary: Make, request: pytest.FixtureRequest) -> pd.DataFrame:
    """240 rows of 60 patients in four folds, with scores that differ in their last bit at most."""
    draw = np.random.default_rng(0)
    score = 0.3 + request.param * draw.integers(0, 2, 240) * np.spacing(0.3)
    made = binary(draw.random(240) < 0.3, score, fold=np.arange(240) // 4 % 4)
    return made.assign(patient_id=[f"p{k}" for k in np.arange(240) // 4])


def test_they_have_no_slope(alike: pd.DataFrame) -> None:
    rows = binary_rows(alike, positive="melanoma")
    table = recalibration(rows, positive="melanoma").set_index("metric")
    assert table.loc["slope", "note"] == "not estimable: all scores are equal"


def test_what_varies_little_is_fitted_as_if_it_varied_much(binary: Make) -> None:
    draw = np.random.default_rng(0)
    truth, step = draw.random(300) < 0.3, draw.normal(size=300)
    slopes, errors, maps = {}, {}, {}
    for size in (1e-4, 1e-10):
        made = binary(truth, 0.3 + size * (step + truth))
        row = recalibration(binary_rows(made, positive="melanoma"), positive="melanoma").iloc[0]
        slopes[size], errors[size] = size * row["value"], size * row["se"]
        fitted = fit_calibrator(made, method="platt", positive="melanoma")
        maps[size] = size * fitted.parameters["melanoma"]["slopes"][0]
    for found in (slopes, errors, maps):
        assert found[1e-10] == pytest.approx(found[1e-4], rel=1e-3)
        assert found[1e-4] > 0


@pytest.mark.parametrize("method", ["platt", "beta"])
def test_they_are_calibrated_to_the_prevalence(alike: pd.DataFrame, method: str) -> None:
    fitted = fit_calibrator(alike, method=method, positive="melanoma")
    assert not any(fitted.parameters["melanoma"]["slopes"])


def test_they_give_context_no_weight(alike: pd.DataFrame) -> None:
    weights = standing_weights(alike, positive="melanoma")
    assert weights["note"].str.contains("beyond chance").all()
    gain = ugly_duckling_gain(alike, positive="melanoma")
    assert gain["note"].str.contains("does not rise with the truth").all()


def test_they_lie_in_the_middle_of_a_histogram(alike: pd.DataFrame) -> None:
    table = source_histogram({"one": alike}, positive="melanoma", bins=2)
    assert table["right"].iloc[1] - table["left"].iloc[0] == pytest.approx(1)


def test_they_count_for_nothing_in_a_stack(alike: pd.DataFrame) -> None:
    truth = (alike["truth"] == "melanoma").to_numpy()
    seen = 0.5 * truth + 0.5 * np.random.default_rng(1).random(len(alike))
    values = {"alike": np.full((len(alike), 2), 0.5), "good": np.column_stack([1 - seen, seen])}
    values["alike"][:, 1] += alike["p_melanoma"] - 0.3  # what rounding leaves of no log odds
    weights, _ = fit_logistic_stacker(values, truth.astype(int), positive=1)
    assert weights["alike"] == pytest.approx(0.5)  # where it began
    assert 0.5 < weights["good"] < 20
