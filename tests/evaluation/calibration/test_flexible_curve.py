"""Flexible curves against statsmodels on patsy's natural splines; coverage of band and indices."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import patsy
import pytest
import statsmodels.api as sm

from melnb.evaluation.calibration import flexible_curve
from melnb.evaluation.calibration.flexible_curve import calibration_curve, calibration_indices
from melnb.evaluation.statistics.logistic import expit
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]
HOW = {"positive": "melanoma"}


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


@pytest.mark.parametrize("knots", [3, 4, 5])
def test_the_curve_and_its_band_are_statsmodels_on_natural_splines(
    stretched: Make, knots: int
) -> None:
    """patsy's `cr` spans the same curves: cubic between the knots, linear beyond the outer ones."""
    table = stretched(1500)
    stated = logit(table["p_melanoma"].to_numpy())
    truth = (table["truth"] == "melanoma").to_numpy(float)
    places = np.quantile(stated, {3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95),
                                  5: (0.05, 0.275, 0.5, 0.725, 0.95)}[knots])  # fmt: skip
    inner = ", ".join(repr(float(v)) for v in places[1:-1])
    ends = f"lower_bound={float(places[0])!r}, upper_bound={float(places[-1])!r}"
    design = patsy.dmatrix(f"cr(x, knots=[{inner}], {ends}) - 1", {"x": stated})
    for cluster in ("", "patient_id"):
        codes = pd.factorize(table["patient_id"])[0]
        by = {"cov_type": "cluster", "cov_kwds": {"groups": codes}} if cluster else {}
        theirs = sm.GLM(truth, np.asarray(design), family=sm.families.Binomial()).fit(**by)
        curve = calibration_curve(table, knots=knots, points=50, cluster=cluster, **HOW)
        at = patsy.build_design_matrices(
            [design.design_info], {"x": logit(curve["probability"].to_numpy())}
        )[0]
        assert curve["observed"].to_numpy() == pytest.approx(theirs.predict(at), abs=2e-5)
        odds = np.asarray(at) @ theirs.params
        spread = np.sqrt(np.einsum("ij,jk,ik->i", at, theirs.cov_params(), at))
        low = expit(odds - 1.959964 * spread)
        # statsmodels also multiplies the sandwich by (n - 1) / (n - k).
        assert curve["low"].to_numpy() == pytest.approx(low, abs=2e-3 if cluster else 2e-5)


def test_the_indices_are_distances_over_the_rows(stretched: Make) -> None:
    table = stretched(900)
    stated = table["p_melanoma"].to_numpy()
    curve = calibration_curve(table, points=20_000, **HOW)
    observed = np.interp(stated, curve["probability"], curve["observed"])
    found = calibration_indices(table, draws=50, **HOW)
    away = np.abs(observed - stated)
    assert tuple(found["metric"]) == flexible_curve.INDICES
    assert found["value"].tolist() == pytest.approx(
        [away.mean(), *np.quantile(away, [0.5, 0.9], method="inverted_cdf")], abs=1e-5
    )
    many = stretched(6000)
    curve = calibration_curve(many, points=20_000, **HOW)
    stated = many["p_melanoma"].to_numpy()
    away = np.abs(np.interp(stated, curve["probability"], curve["observed"]) - stated)
    found = calibration_indices(many, draws=50, **HOW)
    assert found["value"].tolist() == pytest.approx(
        [away.mean(), *np.quantile(away, [0.5, 0.9], method="inverted_cdf")], abs=1e-5
    )


def test_a_step_of_newtons_is_near_a_full_bootstrap(stretched: Make) -> None:
    table = stretched(1200)
    found = calibration_indices(table, draws=800, cluster="patient_id", **HOW)
    draw, drawn = np.random.default_rng(0), []
    for _ in range(60):  # a patient is four rows on end
        picked = (4 * draw.integers(300, size=300)[:, None] + np.arange(4)).ravel()
        drawn.append(calibration_indices(table.iloc[picked], draws=2, knots=5, **HOW)["value"])
    assert found["se"].to_numpy() == pytest.approx(np.std(drawn, axis=0), rel=0.25)


def truth_of(scale: float) -> np.ndarray:
    """The indices of endless rows of `make_stretched`."""
    true = np.random.default_rng(9).normal(-1.5, 1.5, 400_000)
    away = np.abs(expit(scale * true) - expit(true))
    return np.array([away.mean(), *np.quantile(away, [0.5, 0.9])])


def covered(
    make: Make, sets: int, n: int, scale: float, seed: int = 0
) -> tuple[np.ndarray, float, float]:
    """How often limits hold the indices, the band the truth, and the lower limit is 0."""
    wanted, held, band, none = truth_of(scale), [], [], []
    for k in range(sets):
        table = make(n, scale=scale, seed=seed + k)
        found = calibration_indices(table, draws=200, **HOW)
        held.append((found["low"] <= wanted) & (wanted <= found["high"]))
        none.append(found["low"].iloc[0] == 0)
        curve = calibration_curve(table, points=41, **HOW)
        true = expit(logit(curve["probability"].to_numpy()) / scale)[8:33]
        inside = (curve["low"][8:33] <= true) & (true <= curve["high"][8:33])
        band.append(inside.mean())
    return np.mean(held, axis=0), float(np.mean(band)), float(np.mean(none))


def test_limits_and_band_hold_the_truth(stretched: Make) -> None:
    indices, band, _ = covered(stretched, 20, 900, 1.6)
    assert (indices >= 0.85).all()
    assert band >= 0.85
    _, band, none = covered(stretched, 20, 900, 1.0)
    assert band >= 0.85
    assert none >= 0.85  # perfect probabilities are not called wrong


@pytest.mark.nightly
@pytest.mark.parametrize(("n", "scale"), [(1000, 1.3), (1000, 2.0), (4000, 1.6), (2000, 1.0)])
def test_limits_and_band_hold_the_truth_95_times_in_a_hundred(
    stretched: Make, n: int, scale: float
) -> None:
    indices, band, none = covered(stretched, 400, n, scale)
    assert (indices >= 0.93).all()
    assert 0.925 <= band <= 0.975
    assert none >= 0.94 or scale != 1


def test_few_rows_are_said_to_be_few(stretched: Make) -> None:
    table = stretched(200)
    note = calibration_curve(table, **HOW)["note"].iloc[0]
    positives = int((table["truth"] == "melanoma").sum())
    assert note == f"rough: a class has {positives} rows, and a flexible curve wants 200"
    assert calibration_indices(table, draws=20, **HOW)["note"].str.endswith(note).all()
    assert calibration_curve(stretched(4000), **HOW)["note"].eq("").all()


def test_ties_and_single_scores_are_no_hindrance(stretched: Make) -> None:
    table = stretched(600)
    for digits in (1, 0):
        tied = np.clip(np.round(table["p_melanoma"], digits), 0.01, 0.99)
        curve = calibration_curve(table.assign(p_melanoma=tied, p_other=1 - tied), **HOW)
        assert curve["observed"].between(0, 1).all()
        assert (curve["low"] <= curve["observed"]).all()
    exact = (table["p_melanoma"] > 0.5).astype(float)
    curve = calibration_curve(table.assign(p_melanoma=exact, p_other=1 - exact), **HOW)
    share = (table["truth"] == "melanoma")[exact == 1].mean()
    assert curve["observed"].iloc[-1] == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"truth": "other"}, "not estimable: no row is melanoma"),
        ({"p_melanoma": 0.3, "p_other": 0.7}, "not estimable: all scores are equal"),
        ({"patient_id": "p"}, "not estimable: all rows of a class are of one patient_id"),
    ],
)
def test_what_has_no_curve_says_why(stretched: Make, change: dict[str, object], words: str) -> None:
    table = stretched(300).assign(**change)
    cluster = "patient_id" if "patient_id" in change else ""
    curve = calibration_curve(table, cluster=cluster, **HOW)
    assert curve["note"].tolist() == [words]
    found = calibration_indices(table, cluster=cluster, **HOW)
    assert found["note"].tolist() == [words] * 3
    assert found["value"].map(math.isnan).all()


def test_ranks_and_odd_knots_are_refused(stretched: Make) -> None:
    with pytest.raises(TableError, match="kind is 'score'"):
        calibration_curve(stretched(50).assign(kind="score"), **HOW)
    with pytest.raises(ValueError, match="knots is 7"):
        calibration_curve(stretched(50), knots=7, **HOW)
