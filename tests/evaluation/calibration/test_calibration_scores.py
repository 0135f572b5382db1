"""Scores against scikit-learn, loops and statsmodels; simulations of a known miscalibration."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from melnb.evaluation.calibration import calibration_scores
from melnb.evaluation.calibration.prevalence import class_values, logit, truth_codes
from melnb.evaluation.calibration.reliability import reliability_table
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


def read(table: pd.DataFrame, column: str = "value") -> pd.Series:
    return table.set_index("metric")[column]


def by_rows(truth: list[bool], score: list[float], make: Make) -> pd.DataFrame:
    return calibration_scores.calibration_scores(make(truth, score), positive="melanoma", draws=2)


def test_values_against_scikit_learn_and_the_reliability_table(stretched: Make) -> None:
    table = stretched(2000)
    truth, score = table["truth"] == "melanoma", table["p_melanoma"]
    made = calibration_scores.calibration_scores(table, positive="melanoma", draws=50)
    value = read(made)
    assert value["Brier score"] == pytest.approx(brier_score_loss(truth, score), abs=1e-14)
    assert value["log loss"] == pytest.approx(log_loss(truth, score), abs=1e-12)
    assert value["observed / expected"] == pytest.approx(truth.sum() / score.sum())
    base = truth.mean()
    assert value["uncertainty"] == pytest.approx(base * (1 - base))
    assert value["Brier skill"] == pytest.approx(1 - value["Brier score"] / (base * (1 - base)))
    for spacing in ("width", "mass"):
        bins = reliability_table(table, positive="melanoma", spacing=spacing)
        gap = (bins["mean_probability"] - bins["observed"]).abs()
        assert value[f"ECE, equal {spacing}"] == pytest.approx((gap * bins["n"]).sum() / 2000)
        assert value[f"MCE, equal {spacing}"] == pytest.approx(gap.max())
    assert (made["low"] <= made["value"]).all()
    assert (made["value"] <= made["high"]).all()
    assert (made["note"] == "").all()
    assert (made["n"] == 2000).all()


def test_ece_by_hand(binary: Make) -> None:
    # Two bins: 0.2 and 0.3 of which one is positive, 0.9 twice of which one is positive.
    value = read(by_rows([True, False, True, False], [0.2, 0.3, 0.9, 0.9], binary))
    assert value["ECE, equal width"] == pytest.approx((0.8 + 0.3 + 2 * 0.4) / 4)
    assert value["MCE, equal width"] == pytest.approx(0.8)


@settings(max_examples=settings.default.max_examples // 2)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=3, max_size=40),
    st.integers(1, 12),
)
def test_the_parts_of_brier_add_up(binary: Make, rows: list[tuple[bool, float]], bins: int) -> None:
    truth, score = [r[0] for r in rows], [r[1] for r in rows]
    table = binary(truth, score)
    made = calibration_scores.calibration_scores(table, positive="melanoma", bins=bins, draws=3)
    value = read(made)
    parts = value["reliability"] - value["resolution"] + value["uncertainty"]
    assert parts + value["within bins"] == pytest.approx(value["Brier score"], abs=1e-12)
    assert value["Brier score"] == pytest.approx(np.mean((np.array(score) - truth) ** 2), abs=1e-12)
    assert made.loc[made["value"].isna(), "note"].str.contains("not estimable").all()
    assert made.loc[made["low"].isna(), "note"].str.contains("not estimable").all()


def test_the_parts_of_brier_are_those_of_stephenson(stretched: Make) -> None:
    table = stretched(400)
    y, p = (table["truth"] == "melanoma").to_numpy(float), table["p_melanoma"].to_numpy()
    value = read(calibration_scores.calibration_scores(table, positive="melanoma", draws=2))
    place = np.argsort(np.argsort(p)) * 10 // 400
    reliability = resolution = within = 0.0
    for k in range(10):
        own = place == k
        share, mean = y[own].mean(), p[own].mean()
        reliability += own.mean() * (mean - share) ** 2
        resolution += own.mean() * (share - y.mean()) ** 2
        within += ((p[own] - mean) ** 2).sum() / 400
        within -= 2 * ((y[own] - share) * (p[own] - mean)).sum() / 400
    assert value["reliability"] == pytest.approx(reliability, abs=1e-13)
    assert value["resolution"] == pytest.approx(resolution, abs=1e-13)
    assert value["within bins"] == pytest.approx(within, abs=1e-13)


def test_slope_and_intercept_against_statsmodels(stretched: Make) -> None:
    table = stretched(1500, scale=1.7, shift=0.4)
    truth = (table["truth"] == "melanoma").to_numpy(float)
    stated = logit(table["p_melanoma"].to_numpy())
    slope = sm.Logit(truth, sm.add_constant(stated)).fit(disp=False, tol=1e-12)
    large = sm.GLM(truth, np.ones((1500, 1)), family=sm.families.Binomial(), offset=stated).fit(
        tol=1e-12
    )
    made = calibration_scores.calibration_scores(table, positive="melanoma", draws=2).set_index(
        "metric"
    )
    assert made.loc["slope", "value"] == pytest.approx(slope.params[1], abs=1e-7)
    assert made.loc["slope", "se"] == pytest.approx(slope.bse[1], rel=1e-6)
    assert made.loc["intercept", "value"] == pytest.approx(large.params[0], abs=1e-7)
    assert made.loc["intercept", "se"] == pytest.approx(large.bse[0], rel=1e-6)
    limits = made.loc["slope", ["low", "high"]].to_list()
    assert limits == pytest.approx(slope.conf_int()[1].tolist(), abs=1e-6)

    groups = pd.factorize(table["patient_id"])[0]
    kinds = {"groups": groups, "use_correction": False}
    robust = sm.Logit(truth, sm.add_constant(stated)).fit(
        disp=False, tol=1e-12, cov_type="cluster", cov_kwds=kinds
    )
    made = calibration_scores.calibration_scores(
        table, positive="melanoma", draws=2, cluster="patient_id"
    ).set_index("metric")
    number = groups.max() + 1
    wanted = robust.bse[1] * np.sqrt(number / (number - 1))
    assert made.loc["slope", "se"] == pytest.approx(wanted, rel=1e-6)
    assert made.loc["slope", "method"] == "sandwich by patient_id"


def test_a_known_miscalibration_is_found(stretched: Make) -> None:
    found = []
    for seed in range(20):
        made = calibration_scores.calibration_scores(
            stretched(1500, scale=2, seed=seed), positive="melanoma", draws=2
        ).set_index("metric")
        found.append(made.loc["slope", "low"] <= 0.5 <= made.loc["slope", "high"])
    assert sum(found) >= 17
    shifted = read(
        calibration_scores.calibration_scores(stretched(scale=1, shift=1), positive="melanoma")
    )
    assert shifted["intercept"] == pytest.approx(-1, abs=0.15)
    assert shifted["slope"] == pytest.approx(1, abs=0.1)
    assert shifted["observed / expected"] < 0.8


def test_the_interval_of_an_ece_holds_0_where_it_is_0(stretched: Make) -> None:
    """Percentiles never would: every resample of calibrated rows has a greater ECE than they."""
    name = "ECE, equal mass"
    rows = []
    for seed in range(40):
        made = calibration_scores.calibration_scores(
            stretched(800, scale=1, seed=seed), positive="melanoma", draws=200
        ).set_index("metric")
        low = made.loc[name, "low"]
        rows.append((low, made.loc[name, "value"], made.loc[f"{name}, debiased", "value"]))
    low, value, debiased = np.array(rows).T
    assert (low == 0).mean() >= 0.9
    assert debiased.mean() < 0.75 * value.mean()
    wrong = calibration_scores.calibration_scores(
        stretched(3000, scale=2), positive="melanoma", draws=200
    )
    true = np.random.default_rng(0).normal(-1.5, 1.5, 3000)
    gap = np.abs(1 / (1 + np.exp(-2 * true)) - 1 / (1 + np.exp(-true))).mean()
    row = wrong.set_index("metric").loc[name]
    assert 0 < row["low"] <= gap <= row["high"] + 0.01


def test_no_distance_between_probabilities_is_beyond_1(binary: Make) -> None:
    generator = np.random.default_rng(0)
    score = np.append(generator.uniform(0, 0.1, 300), [0.93, 0.97])  # a bin of two rows
    table = binary(np.append(generator.random(300) < 0.03, [False, False]), score)
    rows = calibration_scores.calibration_scores(table, positive="melanoma").set_index("metric")
    own = rows[rows.index.str.contains("ECE|MCE") | (rows.index == "reliability")]
    assert own.loc["MCE, equal width", "value"] > 0.4
    assert own["high"].le(1).all()
    assert own["low"].ge(0).all()
    assert own["high"].ge(own["value"]).all()


def test_patients_widen_the_intervals(stretched: Make) -> None:
    table = stretched(500)
    copies = pd.concat([table.assign(image_id=table["image_id"] + c) for c in "abcd"])
    copies = copies.assign(lesion_id=np.tile(table["image_id"], 4))
    options = {"positive": "melanoma", "draws": 400}
    alone = calibration_scores.calibration_scores(table, **options)
    loose = calibration_scores.calibration_scores(copies, **options)
    bound = calibration_scores.calibration_scores(copies, cluster="lesion_id", **options)
    assert read(loose)["Brier score"] == pytest.approx(read(alone)["Brier score"])
    ratio = read(bound, "se") / read(loose, "se")
    assert ratio[["Brier score", "log loss", "slope", "intercept"]].between(1.75, 2.3).all()
    assert read(bound, "se")["slope"] == pytest.approx(read(alone, "se")["slope"], rel=0.1)


def test_many_classes(many: Make) -> None:
    table = many(800)
    values, codes = class_values(table), truth_codes(table)
    made = calibration_scores.multiclass_calibration_scores(table, draws=100)
    value = read(made)
    assert value["log loss, all classes"] == pytest.approx(
        log_loss(codes, values, labels=range(7)), abs=1e-12
    )
    assert value["Brier, all classes"] == pytest.approx(
        ((values - np.eye(7)[codes]) ** 2).sum(axis=1).mean()
    )
    names = [c[2:] for c in table if c.startswith("p_")]
    one_by_one = [
        read(calibration_scores.calibration_scores(table, positive=name, draws=2))[
            "ECE, equal mass"
        ]
        for name in names
    ]
    assert value["class-wise ECE"] == pytest.approx(np.mean(one_by_one))
    assert value["top-label ECE"] > 0.1
    calm = read(
        calibration_scores.multiclass_calibration_scores(many(800, scale=1), draws=100), "low"
    )
    assert calm["top-label ECE"] == 0
    assert made["positives"].isna().all(), "of which class?"
    assert (made["low"] <= made["value"]).all()
    assert (made["value"] <= made["high"]).all()


def test_what_cannot_be_estimated_says_why(binary: Make) -> None:
    none = by_rows([False] * 30, list(np.linspace(0, 0.5, 30)), binary).set_index("metric")
    assert none.loc["slope", "note"] == "not estimable: no row is melanoma"
    assert none.loc["Brier score", "note"] == "interval not estimable: a class has 0 row(s)"
    assert none.loc["Brier skill", "note"].startswith("not estimable: the rows are of one class")
    apart = by_rows([False, False, True, True], [0.1, 0.2, 0.8, 0.9], binary).set_index("metric")
    assert apart.loc["slope", "note"] == "not estimable: the scores part the classes wholly"
    alike = by_rows([False, True] * 20, [0.3] * 40, binary).set_index("metric")
    assert alike.loc["slope", "note"] == "not estimable: all scores are equal"
    assert alike.loc["ECE, equal mass", "value"] == pytest.approx(0.2)
    assert np.isfinite(alike.loc["intercept", ["value", "low", "high"]].astype(float)).all()
    sure = by_rows([False, True, True, False], [0.0, 1.0, 0.0, 1.0], binary).set_index("metric")
    assert np.isfinite(sure.loc["log loss", "value"])
    empty = calibration_scores.calibration_scores(binary([], []), positive="melanoma")
    assert empty["note"].tolist() == ["not estimable: no row has a truth"]
    several = calibration_scores.multiclass_calibration_scores(binary([], []))
    assert several["note"].tolist() == ["not estimable: no row has a truth"]
    with pytest.raises(TableError, match="calibration_scores needs probabilities"):
        calibration_scores.calibration_scores(
            binary([True, False], [0.6, 0.2]).assign(kind="score"), positive="melanoma"
        )
