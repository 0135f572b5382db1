"""The k most suspicious lesions: the official measure, chance by the book, equal looks."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melnb.evaluation.challenges.scoring import top_k_sensitivity
from melnb.evaluation.patient_context import (
    RANDOM,
    STRATEGIES,
    THRESHOLD,
    WITHIN,
    top_k_sensitivity_curve,
)
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def cohort(binary: Make) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    sizes = draw.integers(1, 25, 60)
    truth = draw.random(sizes.sum()) < 0.1
    score = np.round(draw.random(len(truth)) * 0.6 + 0.4 * truth * draw.random(len(truth)), 1)
    return binary(truth, score).assign(patient_id=np.repeat(np.arange(60).astype(str), sizes))


def cell(made: pd.DataFrame, k: int, strategy: str, unit: str = "image") -> pd.Series:
    own = made[(made["k"] == k) & (made["strategy"] == strategy) & (made["unit"] == unit)]
    assert len(own) == 1
    return own.iloc[0]


def test_it_is_the_official_measure(cohort: pd.DataFrame) -> None:
    made = top_k_sensitivity_curve(cohort, positive="melanoma")
    for k in (1, 3, 15):
        official = top_k_sensitivity(cohort, positive="melanoma", k=k).iloc[0]
        own = cell(made, k, WITHIN)
        assert own["value"] == pytest.approx(official["value"])
        assert own["n"] == official["positives"]
        assert own["low"] <= official["low"] + 1e-9  # patients widen it
    assert len(made) == 20 * len(STRATEGIES) * 2


def test_nobody_looks_at_more_pictures_than_a_patient_has(binary: Make) -> None:
    few = binary([True, False] * 30, np.linspace(0, 1, 60)).assign(patient_id=np.arange(60) // 3)
    made = top_k_sensitivity_curve(few, positive="melanoma")
    assert sorted(made["k"].unique()) == [1, 2, 3]
    assert made.loc[made["k"] == 3, "value"].to_numpy() == pytest.approx(1)


def test_all_ways_spend_the_same_looks_and_end_at_all(cohort: pd.DataFrame) -> None:
    made = top_k_sensitivity_curve(cohort, positive="melanoma", ks=(1, 2, 25))
    pictures = cohort["patient_id"].value_counts()
    for k in (1, 2, 25):
        assert made.loc[made["k"] == k, "seen"].unique() == [pictures.clip(upper=k).sum()]
    assert made.loc[made["k"] == 25, "value"].to_numpy() == pytest.approx(1)
    by_score = cohort.sort_values(["p_melanoma", "image_id"], ascending=[False, True])
    looked = by_score.head(60)
    positive = by_score["truth"] == "melanoma"
    found = (looked["truth"] == "melanoma").sum() / positive.sum()
    assert cell(made, 1, THRESHOLD)["value"] == pytest.approx(found)
    patients = looked.loc[looked["truth"] == "melanoma", "patient_id"].nunique()
    everyone = by_score.loc[positive, "patient_id"].nunique()
    assert cell(made, 1, THRESHOLD, "patient")["value"] == pytest.approx(patients / everyone)


@settings(max_examples=settings.default.max_examples // 5)
@given(positives=st.integers(1, 6), negatives=st.integers(1, 6), k=st.integers(1, 7))
def test_chance_is_the_mean_over_all_draws(
    binary: Make, positives: int, negatives: int, k: int
) -> None:
    truth = [True] * positives + [False] * negatives
    one = binary(truth, np.linspace(0, 1, len(truth))).assign(patient_id="p")
    made = top_k_sensitivity_curve(one, positive="melanoma", ks=(k,))
    draws = list(combinations(truth, min(k, len(truth))))
    found = np.array([sum(draw) for draw in draws])
    assert cell(made, k, RANDOM)["value"] == pytest.approx(found.mean() / positives)
    assert cell(made, k, RANDOM, "patient")["value"] == pytest.approx((found > 0).mean())


def test_what_cannot_be_told_has_a_note(binary: Make, cohort: pd.DataFrame) -> None:
    made = top_k_sensitivity_curve(cohort, positive="melanoma")
    chance = made[made["strategy"] == RANDOM]
    assert chance["low"].isna().all()
    assert (chance["note"] == "an expected value, which has no interval").all()
    assert (made.loc[made["strategy"] != RANDOM, "note"] == "").all()
    one = cohort.assign(patient_id="p")
    own = cell(top_k_sensitivity_curve(one, positive="melanoma"), 5, WITHIN)
    assert "of one patient" in own["note"]
    assert np.isnan(own["low"])
    partly = cohort.assign(patient_id=cohort["patient_id"].where(cohort.index >= 10))
    assert (top_k_sensitivity_curve(partly, positive="melanoma")["left_out"] == 10).all()
    for lost in (
        cohort.assign(patient_id=np.nan),
        binary([False] * 5, [0.5] * 5).assign(patient_id="p"),
        cohort.head(0),
    ):
        nothing = top_k_sensitivity_curve(lost, positive="melanoma", ks=(1,))
        assert nothing["note"].str.startswith("not estimable").all()
        assert nothing["value"].isna().all()
        assert len(nothing) == 6


def test_constant_scores_find_what_chance_would(binary: Make) -> None:
    draw = np.random.default_rng(0)
    truth = draw.random(4000) < 0.2
    made = binary(truth, np.full(4000, 0.5)).assign(patient_id=np.repeat(np.arange(200), 20))
    table = top_k_sensitivity_curve(made, positive="melanoma", ks=(5,))
    own, chance = (cell(table, 5, s) for s in (WITHIN, RANDOM))
    assert chance["value"] == pytest.approx(0.25)
    assert own["low"] < 0.25 < own["high"]


def test_senseless_parameters_are_refused(cohort: pd.DataFrame) -> None:
    for ks in ((), (0, 1), (1.5,)):
        with pytest.raises(ValueError, match="whole numbers of 1 or more"):
            top_k_sensitivity_curve(cohort, positive="melanoma", ks=ks)
    with pytest.raises(TableError, match="no column 'patient_id'"):
        top_k_sensitivity_curve(cohort.drop(columns="patient_id"), positive="melanoma")
