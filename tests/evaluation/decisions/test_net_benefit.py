"""Net benefit against the package dcurves, against counting by hand, and at its limits."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.evaluation.calibration.prevalence import shift_prevalence
from melnb.evaluation.decisions.net_benefit import net_benefit_table
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]
CUTS = (0.05, 0.1, 0.2, 0.35, 0.5)


@pytest.fixture
def sixty(binary: Make) -> pd.DataFrame:
    k = np.arange(60)
    truth = ((k * 7) % 10 < 3) | (k % 11 == 0)
    return binary(truth, np.round((k * 37) % 60 / 60 * 0.5 + 0.3 * truth + 0.05, 3))


@pytest.mark.parametrize(
    ("prevalence", "benefit", "everyone", "avoided"),
    [
        (
            0,
            (0.3333333333, 0.3018518519, 0.2541666667, 0.2230769231, 0.1666666667),
            (0.3333333333, 0.2962962963, 0.2083333333, 0.0256410256, -0.2666666667),
            (0, 5, 18.3333, 36.6667, 43.3333),
        ),
        (
            0.02,
            (-0.0315789474, -0.0802923977, -0.1540789474, -0.2021862348, -0.1153110048),
            (-0.0315789474, -0.0888888889, -0.225, -0.5076923077, -0.96),
            (0, 7.7368, 28.3684, 56.7368, 84.4689),
        ),
    ],
)
def test_the_numbers_are_those_of_dcurves(
    sixty: pd.DataFrame,
    prevalence: float,
    benefit: tuple[float, ...],
    everyone: tuple[float, ...],
    avoided: tuple[float, ...],
) -> None:
    """Made with dcurves 1.1.7: dca(outcome="y", modelnames=["p"], prevalence=None or 0.02)."""
    table = net_benefit_table(
        sixty, positive="melanoma", thresholds=CUTS, prevalence=prevalence, draws=50
    )
    assert tuple(table["net_benefit"]) == pytest.approx(benefit, abs=1e-9)
    assert tuple(table["biopsy_all"]) == pytest.approx(everyone, abs=1e-9)
    assert tuple(table["interventions_avoided"]) == pytest.approx(avoided, abs=1e-4)
    better = np.maximum(everyone, 0)
    assert tuple(table["difference"]) == pytest.approx(tuple(benefit - better), abs=1e-9)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=4).filter(
        lambda rows: 1 < sum(r[0] for r in rows) < len(rows) - 1
    ),
    st.lists(st.sampled_from([0.05, 0.1, 0.35, 0.5, 0.9]), min_size=1),
)
def test_net_benefit_is_what_counting_gives(
    binary: Make, cells: list[tuple[bool, int]], cuts: list[float]
) -> None:
    predictions = binary([c[0] for c in cells], [c[1] / 20 for c in cells])
    table = net_benefit_table(predictions, positive="melanoma", thresholds=cuts, draws=30)
    assert table["threshold"].tolist() == sorted(set(cuts))
    truth, score = predictions["truth"] == "melanoma", predictions["p_melanoma"]
    for row in table.itertuples():
        tp, fp = (truth & (score >= row.threshold)).sum(), (~truth & (score >= row.threshold)).sum()
        odds = row.threshold / (1 - row.threshold)
        assert (row.tp, row.fp) == (tp, fp)
        assert row.net_benefit == pytest.approx(tp / len(cells) - fp / len(cells) * odds)
        assert row.net_benefit_low <= row.net_benefit_high
        assert (row.note == "no row is flagged") == (tp + fp == 0)


def test_the_interval_is_a_bootstrap_of_rows_or_of_patients(sixty: pd.DataFrame) -> None:
    five = pd.concat([sixty.assign(image_id=sixty["image_id"] + c) for c in "abcde"])
    five["patient_id"] = five["image_id"].str[:6]
    plain = net_benefit_table(five, positive="melanoma", thresholds=(0.2,), draws=4000).iloc[0]
    wide = net_benefit_table(
        five, positive="melanoma", thresholds=(0.2,), cluster="patient_id", draws=4000
    ).iloc[0]
    assert (plain["method"], wide["method"]) == ("bootstrap of rows", "bootstrap of patient_id")
    # The variance of a mean of (positive and flagged) - (other and flagged) x odds.
    truth, flagged = sixty["truth"] == "melanoma", sixty["p_melanoma"] >= 0.2
    worth = np.where(truth, flagged * 1.0, -0.25 * flagged)
    for row, n in ((plain, 300), (wide, 60)):
        half = 1.96 * worth.std() / math.sqrt(n)
        assert row["net_benefit_low"] == pytest.approx(row["net_benefit"] - half, abs=0.012)
        assert row["net_benefit_high"] == pytest.approx(row["net_benefit"] + half, abs=0.012)
    again = net_benefit_table(five, positive="melanoma", thresholds=(0.2,), draws=4000).iloc[0]
    assert again["net_benefit_low"] == plain["net_benefit_low"]


def test_a_useful_model_is_useful_at_another_prevalence_once_it_is_moved(binary: Make) -> None:
    draw = np.random.default_rng(0)
    truth = draw.random(4000) < 0.2
    odds = np.exp(1.9 * draw.normal(size=4000) * 0.75 + 2.6 * truth - 2.6)
    table = binary(truth, odds / (1 + odds))
    asked: dict[str, Any] = {"positive": "melanoma", "prevalence": 0.02}
    how: dict[str, Any] = {"thresholds": (0.05, 0.1, 0.2), "draws": 50}
    moved = net_benefit_table(shift_prevalence(table, **asked), **asked, **how)
    assert (moved["net_benefit_low"] > 0).all()
    assert (net_benefit_table(table, **asked, **how)["net_benefit"] < 0).all()
    # Rows kept as they are at that prevalence say the same.
    kept = table[~truth | (draw.random(4000) < 0.02 / 0.98 * 0.8 / 0.2)]
    own = (kept["truth"] == "melanoma").mean()
    rare = net_benefit_table(
        shift_prevalence(kept, positive="melanoma", prevalence=own, training_prevalence=0.2),
        positive="melanoma", **how,
    )  # fmt: skip
    found = rare["net_benefit_low"].le(moved["net_benefit"])
    assert (found & rare["net_benefit_high"].ge(moved["net_benefit"])).all()


def test_test_rows_are_left_out_where_there_are_others(sixty: pd.DataFrame) -> None:
    test = sixty.assign(fold=-1, image_id=sixty["image_id"] + "t")
    alone = net_benefit_table(test, positive="melanoma", draws=20)
    both = net_benefit_table(
        pd.concat([sixty, test.assign(p_melanoma=0.9, p_other=0.1)]), positive="melanoma", draws=20
    )
    own = net_benefit_table(sixty, positive="melanoma", draws=20)
    assert (alone["rows"] == "test").all()
    assert len(own) == 50
    pd.testing.assert_frame_equal(own, both)
    pd.testing.assert_series_equal(own["net_benefit"], alone["net_benefit"])


def test_what_cannot_be_said_is_said(binary: Make, sixty: pd.DataFrame) -> None:
    for truth in ([], [True, True], [False, False]):
        table = net_benefit_table(binary(truth, [0.2, 0.7][: len(truth)]), positive="melanoma")
        assert table["note"].iloc[0].startswith("not estimable")
        assert table["net_benefit"].isna().all()
    few = net_benefit_table(binary([True, False, False], [0.5, 0.2, 0.1]), positive="melanoma")
    assert few["note"].iloc[0] == "interval not estimable: a class has 1 row(s)"
    assert few["net_benefit"].notna().all()
    assert few["net_benefit_low"].isna().all()
    one = net_benefit_table(sixty.assign(patient_id="p"), positive="melanoma", cluster="patient_id")
    assert (one["note"] == "interval not estimable: all rows are of one patient_id").all()
    constant = net_benefit_table(binary([True, False] * 9, [0.3] * 18), positive="melanoma")
    assert (constant.loc[constant["threshold"] <= 0.3, "difference"] <= 0).all()
    assert (constant.loc[constant["threshold"] > 0.3, "note"] == "no row is flagged").all()


def test_scores_and_wild_thresholds_are_refused(sixty: pd.DataFrame) -> None:
    with pytest.raises(TableError, match=r"kind is 'score'.*calibrate these predictions"):
        net_benefit_table(sixty.assign(kind="score"), positive="melanoma")
    for cut in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="thresholds holds"):
            net_benefit_table(sixty, positive="melanoma", thresholds=(0.1, cut))
    with pytest.raises(ValueError, match="prevalence is 1"):
        net_benefit_table(sixty, positive="melanoma", prevalence=1)


def test_the_standardised_benefit_is_a_share_of_what_perfect_predictions_give(
    sixty: pd.DataFrame,
) -> None:
    """Kerr et al. 2016: sensitivity less specificity's want at the odds, both at the prevalence."""
    for prevalence in (0, 0.1):
        table = net_benefit_table(sixty, positive="melanoma", prevalence=prevalence, draws=300)
        share = prevalence or (sixty["truth"] == "melanoma").mean()
        odds = table["threshold"] / (1 - table["threshold"])
        negatives = table["n"] - table["positives"]
        kerr = table["tp"] / table["positives"]
        kerr -= (1 - share) / share * odds * table["fp"] / negatives
        assert table["standardised"].to_numpy() == pytest.approx(kerr.to_numpy())
        assert (table["standardised_low"] <= table["standardised"]).all()
        assert (table["standardised_high"] <= 1).all()
    perfect = sixty.assign(p_melanoma=(sixty["truth"] == "melanoma").astype(float))
    perfect = perfect.assign(p_other=1 - perfect["p_melanoma"])
    whole = net_benefit_table(perfect, positive="melanoma", draws=50)
    ends = whole[["standardised", "standardised_low", "standardised_high"]].to_numpy()
    assert ends == pytest.approx(np.ones_like(ends))


def covered(sets: int, patients: int) -> float:
    """How often the band by patient holds the truth, of calibrated scores at one threshold."""
    draw, held = np.random.default_rng(1), []
    node = np.random.default_rng(2).normal(-1.5, 1.5, 400_000)
    chance = 1 / (1 + np.exp(-node))
    flagged, odds = chance >= 0.2, 0.25
    worth = (flagged * (chance - (1 - chance) * odds)).mean() / chance.mean()
    for _ in range(sets):
        ids = np.repeat(np.arange(patients), draw.integers(1, 5, patients))
        shared = draw.normal(size=patients)[ids] * math.sqrt(0.5)
        logit = -1.5 + 1.5 * (shared + math.sqrt(0.5) * draw.normal(size=len(ids)))
        score = 1 / (1 + np.exp(-logit))
        table = pd.DataFrame({
            "image_id": [f"i{k}" for k in range(len(ids))], "fold": 0, "patient_id": ids,
            "truth": np.where(draw.random(len(ids)) < score, "melanoma", "other"),
            "p_other": 1 - score, "p_melanoma": score, "run": "r", "views": 1,
            "kind": "probability",
        })  # fmt: skip
        row = net_benefit_table(
            table, positive="melanoma", thresholds=(0.2,), cluster="patient_id", draws=300
        ).iloc[0]
        held.append(row["standardised_low"] <= worth <= row["standardised_high"])
    return float(np.mean(held))


def test_the_standardised_band_by_patient_holds_the_truth() -> None:
    assert covered(30, 150) >= 0.83


@pytest.mark.nightly
def test_the_standardised_band_by_patient_covers() -> None:
    assert 0.93 <= covered(1200, 200) <= 0.97
