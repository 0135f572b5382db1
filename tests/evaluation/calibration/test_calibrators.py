"""Methods against statsmodels and scikit-learn; what a calibrated table keeps; files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss, roc_auc_score

from melnb.evaluation.calibration import calibrators
from melnb.evaluation.calibration.calibrators import (
    calibrate,
    fit_calibrator,
    read_calibrator,
    write_calibrator,
)
from melnb.evaluation.calibration.prevalence import class_values, logit, truth_codes, unsmooth
from melnb.tables import schema
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]
FITTED = ("temperature", "platt", "beta", "isotonic")


def targets(truth: np.ndarray) -> np.ndarray:
    positives = truth.sum()
    high, low = (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2)
    return np.where(truth, high, low)


def test_platt_and_beta_are_regressions_of_platts_targets(stretched: Make) -> None:
    table = stretched(1500, shift=0.5)
    p, truth = table["p_melanoma"].to_numpy(), (table["truth"] == "melanoma").to_numpy()
    family = sm.families.Binomial()
    for method, features in (
        ("platt", logit(p)[:, None]),
        ("beta", np.column_stack([np.log(p), -np.log1p(-p)])),
    ):
        fitted = fit_calibrator(table, method=method).parameters["melanoma"]
        with np.errstate(all="ignore"):  # of their starting values
            wanted = sm.GLM(targets(truth), sm.add_constant(features), family=family).fit(tol=1e-13)
        assert fitted["intercept"][0] == pytest.approx(wanted.params[0], abs=1e-5)
        assert fitted["slopes"] == pytest.approx(wanted.params[1:], abs=1e-5)


def test_isotonic_is_that_of_scikit_learn_but_for_its_ends(stretched: Make) -> None:
    table = stretched(800)
    p, truth = table["p_melanoma"].to_numpy(), (table["truth"] == "melanoma").to_numpy()
    made = calibrate(table, fit_calibrator(table, method="isotonic"))["p_melanoma"]
    ends = targets(truth)
    wanted = IsotonicRegression().fit(p, truth).predict(p).clip(ends.min(), ends.max())
    assert made.to_numpy() == pytest.approx(wanted)
    assert 0 < made.min() < made.max() < 1


def test_temperature_has_the_least_log_loss(stretched: Make, many: Make) -> None:
    for table in (stretched(4000, scale=2), many(4000, scale=2)):
        fitted = fit_calibrator(table, method="temperature")
        temperature = fitted.parameters["all classes"]["temperature"][0]
        assert temperature == pytest.approx(2, abs=0.12)
        values, codes = class_values(table), truth_codes(table)
        losses = [
            log_loss(codes, calibrators.at_temperature(values, temperature * f))
            for f in (0.99, 1, 1.01)
        ]
        assert np.argmin(losses) == 1
        assert class_values(calibrate(table, fitted)) == pytest.approx(
            calibrators.at_temperature(values, temperature)
        )


def test_no_temperature_is_told_by_classes_that_are_always_alike() -> None:
    assert calibrators.fit_temperature(np.full((6, 3), 1 / 3), np.array([0, 1, 2] * 2)) == 1.0


@pytest.mark.parametrize("method", calibrators.METHODS)
def test_a_calibrated_table_keeps_its_rows(stretched: Make, many: Make, method: str) -> None:
    for table in (stretched(600), many(600)):
        shuffled = table.sample(frac=1, random_state=0).assign(views="dihedral")
        shuffled.index = range(7, 607)
        fitted = fit_calibrator(shuffled, method=method)
        made = calibrate(shuffled, fitted, run="calm")
        assert list(made.columns) == list(shuffled.columns)
        kept = [c for c in shuffled if not c.startswith("p_") and c != "run"]
        pd.testing.assert_frame_equal(made[kept], shuffled[kept])
        assert set(made["run"]) == {"calm"}
        assert class_values(made).sum(axis=1) == pytest.approx(np.ones(600), abs=1e-12)
        if method == "none":
            assert class_values(made) == pytest.approx(class_values(shuffled), abs=1e-12)
        swapped = shuffled[[*kept, *reversed([c for c in shuffled if c.startswith("p_")]), "run"]]
        again = calibrate(swapped, fitted, run="calm")
        pd.testing.assert_frame_equal(again[list(made.columns)], made)


@settings(max_examples=settings.default.max_examples // 2)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=4, max_size=40).filter(
        lambda rows: 0 < sum(r[0] for r in rows) < len(rows)
    ),
    st.sampled_from(FITTED),
)
def test_any_fit_is_finite_and_rises(
    binary: Make, rows: list[tuple[bool, float]], method: str
) -> None:
    """Classes wholly apart, all tied, probabilities of 0 and 1: none is beyond a method."""
    table = binary([r[0] for r in rows], [r[1] for r in rows])
    made = schema.check_predictions(calibrate(table, fit_calibrator(table, method=method)))
    order = np.argsort(table["p_melanoma"].to_numpy(), kind="stable")
    assert (np.diff(made["p_melanoma"].to_numpy()[order]) >= -1e-12).all()


@pytest.mark.parametrize("method", ["temperature", "platt", "beta"])
def test_the_auc_stays(stretched: Make, method: str) -> None:
    table = stretched(2000, scale=3)
    made = calibrate(table, fit_calibrator(table, method=method))
    truth = table["truth"] == "melanoma"
    wanted = roc_auc_score(truth, table["p_melanoma"])
    assert roc_auc_score(truth, made["p_melanoma"]) == pytest.approx(wanted, abs=1e-12)


def test_a_ranking_is_flattened_but_never_turned_round(stretched: Make) -> None:
    table = stretched(500)
    wrong = table.assign(p_melanoma=table["p_other"], p_other=table["p_melanoma"])
    for method in ("platt", "beta", "isotonic"):
        made = calibrate(wrong, fit_calibrator(wrong, method=method))["p_melanoma"]
        assert np.ptp(made) == pytest.approx(0, abs=1e-12)
        assert made.iloc[0] == pytest.approx((table["truth"] == "melanoma").mean(), abs=0.01)


def test_which_of_two_classes_is_fitted_makes_no_difference(stretched: Make) -> None:
    table = stretched(700)
    for method in ("platt", "beta", "isotonic"):
        one, other = (
            calibrate(table, fit_calibrator(table, method=method, positive=name))
            for name in ("melanoma", "other")
        )
        assert one["p_melanoma"].to_numpy() == pytest.approx(other["p_melanoma"], abs=1e-6)


def test_scores_become_probabilities(stretched: Make) -> None:
    table = stretched(2000)
    rank = table["p_melanoma"].rank(pct=True)
    ranks = table.assign(p_melanoma=rank, p_other=1 - rank + 1 / 2000, kind="score")
    truth = table["truth"] == "melanoma"
    for method in ("platt", "beta", "isotonic"):
        made = calibrate(ranks, fit_calibrator(ranks, method=method, positive="melanoma"))
        assert set(made["kind"]) == {"probability"}
        assert made["p_melanoma"].mean() == pytest.approx(truth.mean(), abs=0.02)
        assert log_loss(truth, made["p_melanoma"]) < log_loss(truth, rank.clip(0, 1 - 1e-4))
    made = calibrate(ranks, fit_calibrator(ranks, method="platt", positive="melanoma"))
    assert roc_auc_score(truth, made["p_melanoma"]) == pytest.approx(roc_auc_score(truth, rank))
    for method in ("none", "temperature"):
        with pytest.raises(TableError, match=f"kind is 'score', and {method} needs"):
            fit_calibrator(ranks, method=method)
    fitted = fit_calibrator(table, method="platt")
    with pytest.raises(TableError, match="kind is 'score', and the calibrator was fitted on"):
        calibrate(ranks, fitted)


def test_smoothing_is_undone(stretched: Make, many: Make) -> None:
    for table, number in ((stretched(3000, scale=1), 2), (many(3000, scale=1), 7)):
        columns = [c for c in table if c.startswith("p_")]
        smooth = table.assign(**{c: table[c] * 0.9 + 0.1 / number for c in columns})
        straight = unsmooth(smooth, 0.1)
        assert class_values(straight) == pytest.approx(class_values(table), abs=1e-12)
        assert unsmooth(table, 0)[columns].equals(table[columns])
        fitted = fit_calibrator(smooth, method="temperature", smoothing=0.1)
        assert fitted.parameters["all classes"]["temperature"][0] == pytest.approx(1, abs=0.1)
        made = calibrate(table, fitted)  # some of these lie beyond the smoothed range
        assert np.isfinite(class_values(made)).all()
    beyond = unsmooth(stretched(300, scale=4), 0.1)
    assert (beyond["p_melanoma"] == 0).any()
    with pytest.raises(ValueError, match="smoothing is 1"):
        unsmooth(table, 1)
    with pytest.raises(TableError, match="unsmooth needs probabilities"):
        unsmooth(table.assign(kind="score"), 0.1)


@pytest.mark.parametrize("method", calibrators.METHODS)
def test_a_calibrator_reads_back_bit_for_bit(many: Make, tmp_path: Path, method: str) -> None:
    table = many(300)
    fitted = fit_calibrator(table, method=method, smoothing=0.05)
    path = write_calibrator(fitted, tmp_path / "calibrator.json")
    read = read_calibrator(path)
    assert read == fitted
    assert (read.rows, read.run, read.kind) == (300, "many", "probability")
    assert calibrate(table, read).equals(calibrate(table, fitted))


def test_what_is_no_calibrator_is_refused(tmp_path: Path, many: Make, stretched: Make) -> None:
    with pytest.raises(FileNotFoundError, match=r"no calibrator\.json in"):
        read_calibrator(tmp_path / "calibrator.json")
    for text in ("{", "[]", '{"method": "platt"}', '{"classes": [], "parameters": {}}'):
        (tmp_path / "wrong.json").write_text(text)
        with pytest.raises(ValueError, match="holds no calibrator"):
            read_calibrator(tmp_path / "wrong.json")
    fitted = fit_calibrator(many(300), method="temperature")
    path = write_calibrator(fitted, tmp_path / "calibrator.json")
    path.write_text(path.read_text().replace('"temperature",', '"magic",'))
    with pytest.raises(ValueError, match="method is 'magic'"):
        read_calibrator(path)
    with pytest.raises(TableError, match="the classes are"):
        calibrate(stretched(100), fitted)


def test_what_cannot_be_fitted_says_why(binary: Make, stretched: Make) -> None:
    with pytest.raises(ValueError, match="method is 'magic'"):
        fit_calibrator(stretched(100), method="magic")
    with pytest.raises(TableError, match="positive is 'nevus'"):
        fit_calibrator(stretched(100), method="platt", positive="nevus")
    with pytest.raises(TableError, match="no row is melanoma among the 3"):
        fit_calibrator(binary([False] * 3, [0.1, 0.2, 0.3]), method="platt")
    with pytest.raises(TableError, match="no out-of-fold row to fit"):
        fit_calibrator(binary([True, False], [0.1, 0.2], fold=-1), method="platt")
    nan = stretched(100)
    nan.loc[3, "p_melanoma"] = np.nan
    with pytest.raises(TableError, match="p_melanoma of i00003 is nan"):
        fit_calibrator(nan, method="platt")
