"""Gaps: the tests are the textbook's, a planted gap is found, and none is not called none."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, combine_pvalues, norm

from melnb.evaluation.statistics import intervals
from melnb.evaluation.subgroups.gaps import gap_tests

Make = Callable[..., pd.DataFrame]
ARGS = {"positive": "melanoma", "threshold": 0.5}


def cohort(
    binary: Make, levels: list[str], *, signal: dict[str, float], seed: int = 0, each: int = 200
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make predictions of levels with signals of their own, 40 % positive."""
    draw = np.random.default_rng(seed)
    level = np.repeat(levels, each)
    truth = draw.random(len(level)) < 0.4
    push = np.array([signal[name] for name in level])
    score = np.round(1 / (1 + np.exp(push / 2 - draw.normal(size=len(level)) - push * truth)), 3)
    made = binary(truth, score)
    return made, pd.DataFrame({"image_id": made["image_id"], "camera": level})


def test_proportions_have_pearsons_chi_square(binary: Make) -> None:
    made, groups = cohort(binary, ["a", "b", "c"], signal={"a": 2.0, "b": 1.5, "c": 1.0})
    table = gap_tests(made, groups, **ARGS).set_index("metric")
    for metric, of in (("sensitivity", True), ("specificity", False)):
        counted = (made["truth"] == "melanoma") == of
        hit = (made["p_melanoma"] >= 0.5) == of
        counts = pd.crosstab(groups["camera"][counted], hit[counted])
        expected = chi2_contingency(counts.to_numpy(), correction=False)
        row = table.loc[metric]
        assert (row["statistic"], row["p"]) == pytest.approx((expected.statistic, expected.pvalue))
        assert row["df"] == 2
        shares = hit[counted].groupby(groups["camera"][counted]).mean()
        assert (row["value_lowest"], row["value_highest"]) == (shares.min(), shares.max())
        assert (row["lowest"], row["highest"]) == (shares.idxmin(), shares.idxmax())


def test_two_independent_areas_have_delongs_z(binary: Make) -> None:
    made, groups = cohort(binary, ["a", "b"], signal={"a": 2.0, "b": 1.0})
    values, errors = [], []
    for name in ("a", "b"):
        own = made[groups["camera"] == name]
        truth, score = (own["truth"] == "melanoma").to_numpy(), own["p_melanoma"].to_numpy()
        value, se = intervals.auc_delong(truth, score)
        values.append(value)
        errors.append(se)
    se = math.hypot(*errors)
    gap = values[0] - values[1]
    row = gap_tests(made, groups, **ARGS).set_index("metric").loc["AUC"]
    assert row["gap"] == pytest.approx(gap)
    assert row["statistic"] == pytest.approx((gap / se) ** 2)
    assert row["p"] == pytest.approx(2 * norm.sf(gap / se))
    assert (row["low"], row["high"]) == pytest.approx((gap - 1.959964 * se, gap + 1.959964 * se))
    assert row["detectable"] == pytest.approx((1.959964 + 0.841621) * se)


def test_many_areas_have_cochrans_q(binary: Make) -> None:
    names = list("abcd")
    made, groups = cohort(binary, names, signal=dict(zip(names, (1.0, 1.4, 1.2, 2), strict=True)))
    found = []
    for name in names:
        own = made[groups["camera"] == name]
        truth, score = (own["truth"] == "melanoma").to_numpy(), own["p_melanoma"].to_numpy()
        found.append(intervals.auc_delong(truth, score))
    values, weights = (np.array(v) for v in zip(*found, strict=True))
    weights = weights**-2
    mean = (weights * values).sum() / weights.sum()
    row = gap_tests(made, groups, **ARGS).set_index("metric").loc["AUC"]
    assert row["statistic"] == pytest.approx((weights * (values - mean) ** 2).sum())
    assert row["df"] == 3


def test_patients_at_several_levels_are_paired(binary: Make) -> None:
    """Levels that hold the same patients share their luck: the gap is surer than it looks."""
    draw = np.random.default_rng(1)
    truth = np.tile(np.repeat([True, False], [40, 160]), 2)
    own = np.tile(draw.normal(size=200), 2)
    score = 1 / (1 + np.exp(-own - truth - 0.3 * draw.normal(size=400)))
    made = binary(truth, score).assign(patient_id=[f"p{k % 200}" for k in range(400)])
    groups = pd.DataFrame({"image_id": made["image_id"], "site": np.repeat(["x", "y"], 200)})
    apart = gap_tests(made, groups, **ARGS).set_index("metric").loc["AUC"]
    paired = gap_tests(made, groups, cluster="patient_id", **ARGS).set_index("metric").loc["AUC"]
    assert paired["gap"] == apart["gap"]
    assert paired["high"] - paired["low"] < 0.6 * (apart["high"] - apart["low"])


def test_a_planted_gap_is_found_and_no_gap_is_not_called_proof(binary: Make) -> None:
    made, groups = cohort(binary, ["dark", "light"], signal={"light": 2.5, "dark": 0.2}, each=300)
    made = made.assign(patient_id=[f"p{k // 2}" for k in range(600)])
    chance = np.resize(["left", "right"], 600)
    table = gap_tests(made, groups.assign(hand=chance), cluster="patient_id", **ARGS)
    tested = table.set_index(["column", "metric"])
    found = tested.loc[("camera", "AUC")]
    assert found["p_holm"] < 1e-6
    assert found["low"] > 0.1
    assert found["note"].startswith("levels differ")
    assert (found["lowest"], found["highest"]) == ("dark", "light")
    nothing = tested.loc[("hand", "AUC")]
    assert nothing["p_holm"] > 0.05
    assert "no proof that there is none" in nothing["note"]
    assert f"{nothing['detectable']:.3f}" in nothing["note"]
    assert nothing["low"] < 0 < nothing["high"]


def test_without_a_gap_p_values_are_spread_evenly(binary: Make) -> None:
    p: dict[str, list[float]] = {"AUC": [], "sensitivity": [], "specificity": []}
    for seed in range(60):
        made, groups = cohort(binary, ["a", "b", "c"], signal=dict.fromkeys("abc", 1.0), seed=seed)
        for metric, value in gap_tests(made, groups, **ARGS)[["metric", "p"]].to_numpy():
            p[str(metric)].append(float(value))
    for values in p.values():
        assert combine_pvalues(values).pvalue > 1e-3
        assert np.mean(np.array(values) < 0.2) < 0.4


def test_unknown_small_and_diagnosis_are_not_tested(binary: Make) -> None:
    made, groups = cohort(binary, ["a", "b"], signal={"a": 1.0, "b": 1.0})
    camera = groups["camera"].to_numpy(dtype=object).copy()
    camera[:30], camera[30:40] = np.nan, "c"
    groups = groups.assign(camera=camera, diagnosis=made["truth"])
    table = gap_tests(made, groups, **ARGS)
    assert table["column"].unique() == ["camera"]
    assert (table["levels"] == 2).all()
    assert set(table["left_out"]) == {"c"}
    few = gap_tests(made, groups, smallest=500, **ARGS)
    assert few["note"].str.startswith("not estimable: fewer than two levels").all()
    assert few["p_holm"].isna().all()
    assert gap_tests(made, groups[["image_id"]], **ARGS).empty


def test_constant_scores_and_perfect_calls_have_notes(binary: Make) -> None:
    truth = np.tile([True, False], 60)
    groups = pd.DataFrame(
        {"image_id": [f"i{k:05d}" for k in range(120)], "sex": np.repeat(["m", "f"], 60)}
    )
    for score in (np.full(120, 0.7), np.where(truth, 0.9, 0.1)):
        table = gap_tests(binary(truth, score), groups, **ARGS)
        assert (table["gap"] == 0).all()
        assert table["note"].str.contains("no spread").all()
        assert table["p"].isna().all()
