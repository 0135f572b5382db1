"""Decisions on published predictions of SIIM-ISIC 2020, patients counted as patients."""

from pathlib import Path

import pandas as pd
import pytest

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.decisions import conformal, net_benefit, operating_point, selective

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def b1(siim_predictions: Path) -> pd.DataFrame:
    return read_foreign(
        siim_predictions / "oof_efficientnet_b1.csv", positive="melanoma", name="b1"
    )


def test_the_honest_row_falls_short_of_what_was_asked(b1: pd.DataFrame) -> None:
    asked = {"positive": "melanoma", "at": 0.9, "cluster": "patient_id"}
    point = operating_point.operating_point(b1, **asked).iloc[0]
    honest = operating_point.operating_point_by_fold(b1, **asked).iloc[-1]
    assert point["sensitivity"] == 526 / 584
    assert honest["sensitivity"] == 522 / 584
    assert honest["sensitivity_low"] < 0.9 < honest["sensitivity_high"]
    # Patients have 16 images each: where specificity is concerned they count for far fewer rows.
    plain = operating_point.operating_point(b1, positive="melanoma", at=0.9).iloc[0]
    width = point["specificity_fixed_high"] - point["specificity_fixed_low"]
    assert width > 2.5 * (plain["specificity_fixed_high"] - plain["specificity_fixed_low"])
    # The threshold errs too: at it the limits are 0.726 and 0.754.
    ends = [point[f"specificity_{end}"] for end in ("low", "high", "fixed_low", "fixed_high")]
    assert ends == pytest.approx([0.693, 0.775, 0.726, 0.754], abs=0.003)


def test_the_sets_keep_their_promise_and_the_model_is_worth_having(b1: pd.DataFrame) -> None:
    coverage = conformal.coverage_by_class(conformal.prediction_sets(b1), cluster="patient_id")
    assert coverage["value"].tolist() == pytest.approx([0.9, 0.9], abs=0.005)
    assert ((coverage["low"] < 0.9) & (coverage["high"] > 0.9)).all()
    cuts = (0.01, 0.05, 0.5)
    table = net_benefit.net_benefit_table(
        b1, positive="melanoma", thresholds=cuts, cluster="patient_id"
    )
    assert (table["difference_low"] > 0).tolist() == [True, True, False]
    assert table["net_benefit"].iloc[1] == pytest.approx(349 / 33126 - 2431 / 33126 / 19)
    rules = selective.referral_table(b1, positive="melanoma", threshold=0.00446, error_rates=(0.1,))
    assert rules["assisted_sensitivity"].iloc[1] == pytest.approx(0.9, abs=0.005)
