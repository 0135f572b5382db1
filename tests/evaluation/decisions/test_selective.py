"""Risk against coverage: counted by hand, integrated by brute force, and at its limits."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.evaluation.decisions import selective
from melnb.evaluation.statistics.intervals import wilson_interval

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def table(binary: Make) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    score = np.round(draw.beta(1, 2, 800), 2)
    return binary(draw.random(800) < score, score, fold=np.arange(800) % 3)


def test_the_curve_by_hand(binary: Make) -> None:
    # At 0.5 the certainties rank 0.95, 0.9 = 0.1, 0.3; the calls of 0.1 and 0.3 are wrong.
    rows = binary([True, True, True, True], [0.95, 0.9, 0.1, 0.3])
    curve = selective.risk_coverage(rows, positive="melanoma")
    assert curve["coverage"].tolist() == [0.25, 0.75, 1.0]
    assert curve["wrong"].tolist() == [0, 1, 2]
    assert curve["risk"].tolist() == pytest.approx([0, 1 / 3, 1 / 2])
    assert curve["certainty"].iloc[1] == pytest.approx(math.log(9))
    assert set(curve["note"]) == {"every row is melanoma"}
    # A threshold elsewhere moves the calls and what is certain.
    low = selective.risk_coverage(rows, positive="melanoma", threshold=0.1)
    assert low["coverage"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert low["risk"].tolist() == [0, 0, 0, 0]


def test_missed_positives_are_a_part_of_the_errors(table: pd.DataFrame) -> None:
    error = selective.risk_coverage(table, positive="melanoma", threshold=0.3)
    missed = selective.risk_coverage(table, positive="melanoma", threshold=0.3, risk="missed")
    truth, flagged = table["truth"] == "melanoma", table["p_melanoma"] >= 0.3
    assert missed["wrong"].iloc[-1] == (truth & ~flagged).sum()
    assert error["wrong"].iloc[-1] == (truth != flagged).sum()
    assert (missed["wrong"] <= error["wrong"]).all()
    with pytest.raises(ValueError, match="risk is 'cost'"):
        selective.risk_coverage(table, positive="melanoma", risk="cost")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8))
def test_the_area_is_that_of_brute_force(steps: list[tuple[int, int]]) -> None:
    wrong, right = (np.array([[s[k] for s in steps]], dtype=float) for k in (0, 1))
    area = selective.mean_risks(wrong, right)[0]
    if not (wrong + right).sum():
        assert math.isnan(area)
        return
    fine = 20_000  # of each row: the wrong of a step are spread evenly over it
    ends = np.append(0, np.cumsum(wrong + right))
    places = (np.arange(fine) + 0.5) / fine * ends[-1]
    risks = np.interp(places, ends, np.append(0, np.cumsum(wrong))) / places
    assert area == pytest.approx(risks.mean(), abs=2e-3)
    assert 0 <= area <= 1


def test_the_area_is_the_mean_risk(table: pd.DataFrame) -> None:
    draw = np.random.default_rng(1)
    score = draw.random(5000)
    rows = table.iloc[[0] * 5000].assign(
        image_id=[f"i{k}" for k in range(5000)],
        p_melanoma=score,
        truth=np.where(draw.random(5000) < score, "melanoma", "other"),
    )
    curve = selective.risk_coverage(rows, positive="melanoma")
    area = selective.area_under_risk(rows, positive="melanoma", draws=100).iloc[0]
    assert area["value"] == pytest.approx(curve["risk"].mean(), abs=1e-3)
    assert area["value"] == pytest.approx(1 / 8, abs=0.02)  # of calibrated, evenly spread scores
    assert area["low"] < area["value"] < area["high"]
    blind = selective.area_under_risk(rows.assign(p_melanoma=0.6), positive="melanoma", draws=100)
    assert blind["value"].iloc[0] == pytest.approx((rows["truth"] == "other").mean())


def test_chosen_coverages_with_limits(table: pd.DataFrame) -> None:
    found = selective.risk_at_coverage(
        table, positive="melanoma", threshold=0.3, coverages=(1, 0.8, 0.01)
    )
    whole = found.iloc[0]
    wrong = (table["truth"] == "melanoma") != (table["p_melanoma"] >= 0.3)
    low, high = wilson_interval(wrong.sum(), 800)
    assert (whole["coverage"], whole["n"]) == (1, 800)
    assert (whole["value"], whole["low"], whole["high"]) == pytest.approx(
        (wrong.mean(), float(low), float(high))
    )
    curve = selective.risk_coverage(table, positive="melanoma", threshold=0.3)
    at = curve[curve["coverage"] >= 0.8].iloc[0]
    assert (found["value"].iloc[1], found["coverage"].iloc[1]) == (at["risk"], at["coverage"])
    assert found["value"].is_monotonic_decreasing
    patients = table.assign(patient_id=[f"p{k // 100}" for k in range(800)])
    patients = patients.sort_values("p_melanoma").assign(patient_id=patients["patient_id"].values)
    wide = selective.risk_at_coverage(
        patients, positive="melanoma", threshold=0.3, coverages=(1,), cluster="patient_id"
    ).iloc[0]
    assert wide["high"] - wide["low"] > whole["high"] - whole["low"]
    with pytest.raises(ValueError, match="coverages holds 0"):
        selective.risk_at_coverage(table, positive="melanoma", coverages=(0,))


def test_test_rows_serve_only_where_there_are_no_others(table: pd.DataFrame) -> None:
    test = table.assign(fold=-1)
    own = selective.risk_coverage(table, positive="melanoma")
    assert own.equals(selective.risk_coverage(test, positive="melanoma"))
    mixed = pd.concat([table, test.assign(image_id=test["image_id"] + "t", p_melanoma=0.99)])
    assert own.equals(selective.risk_coverage(mixed, positive="melanoma"))


def test_limit_cases(binary: Make) -> None:
    for function in (selective.risk_coverage, selective.risk_at_coverage):
        assert function(binary([], []), positive="melanoma")["note"].tolist() == [
            "not estimable: no row has a truth"
        ]
    nothing = selective.area_under_risk(binary([], []), positive="melanoma").iloc[0]
    assert nothing["note"].startswith("not estimable: no row has a truth")
    ties = binary([True, False] * 5, [0.3] * 10)
    assert selective.risk_coverage(ties, positive="melanoma")["coverage"].tolist() == [1]
    found = selective.risk_at_coverage(ties, positive="melanoma", threshold=0.3, coverages=(0.5,))
    assert (found["coverage"].iloc[0], found["value"].iloc[0]) == (1, 0.5)
    sure = binary([True, False] * 5, [1.0, 0.0] * 5)
    area = selective.area_under_risk(sure, positive="melanoma", threshold=0.0).iloc[0]
    right = selective.area_under_risk(sure, positive="melanoma").iloc[0]
    assert (right["value"], area["value"] > 0) == (0, True)
    assert right["note"].startswith("interval not estimable: 0 wrong or right call(s)")
    alone = binary([False] * 4, [0.1, 0.2, 0.6, 0.7])
    row = selective.risk_at_coverage(alone, positive="melanoma", coverages=(1,)).iloc[0]
    assert row["value"] == 0.5
    assert row["note"] == "sensitivity not estimable: no such row"
    uncut = selective.risk_coverage(alone, positive="melanoma", threshold=math.nan)
    assert uncut["note"].tolist() == ["not estimable: no threshold was chosen"]
    with pytest.raises(ValueError, match="threshold is nan"):
        selective.risk_at_coverage(alone, positive="melanoma", threshold=math.nan)
