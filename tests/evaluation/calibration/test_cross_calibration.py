"""No row calibrates itself; test rows get the frozen calibrator; methods side by side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from melnb.evaluation.calibration.calibrators import calibrate, fit_calibrator
from melnb.evaluation.calibration.cross_calibration import (
    calibrate_networks,
    calibrate_run,
    calibrator_comparison,
    cross_calibrate,
)
from melnb.evaluation.challenges.foreign import read_foreign
from melnb.tables.checks import TEST, TableError

Make = Callable[..., pd.DataFrame]


def flipped(table: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    other = {"melanoma": "other", "other": "melanoma"}
    return table.assign(truth=table["truth"].where(~rows, table["truth"].map(other)))


@pytest.mark.parametrize("method", ["temperature", "platt", "beta", "isotonic"])
def test_a_fold_is_calibrated_by_the_others(stretched: Make, method: str) -> None:
    table = stretched(800)
    made, frozen = cross_calibrate(table, method=method)
    own = table["fold"] == 2
    by_hand = calibrate(table[own], fit_calibrator(table[~own], method=method))
    pd.testing.assert_frame_equal(made[own], by_hand)
    assert frozen == fit_calibrator(table, method=method)
    # Its own truths are without any effect.
    again, _ = cross_calibrate(flipped(table, own), method=method)
    assert (made.loc[own, "p_melanoma"] == again.loc[own, "p_melanoma"]).all()
    assert (made.loc[~own, "p_melanoma"] != again.loc[~own, "p_melanoma"]).any()
    for fold in range(4):
        rows = table["fold"] == fold
        areas = [
            roc_auc_score(t.loc[rows, "truth"] == "melanoma", t.loc[rows, "p_melanoma"])
            for t in (table, made)
        ]
        assert areas[1] == pytest.approx(areas[0], abs=0.02 if method == "isotonic" else 1e-12)


def test_test_rows_get_the_frozen_calibrator(stretched: Make) -> None:
    table = stretched(800, folds=5)
    test = table["fold"] == 4
    table["fold"] = table["fold"].where(~test, TEST)
    made, frozen = cross_calibrate(table, method="platt")
    pd.testing.assert_frame_equal(made[test], calibrate(table[test], frozen))
    hidden, _ = cross_calibrate(table.assign(truth=table["truth"].where(~test)), method="platt")
    assert hidden["p_melanoma"].equals(made["p_melanoma"])
    assert frozen.rows == (~test).sum()


def test_a_single_fold_is_cut_by_patient(stretched: Make) -> None:
    table = stretched(400, folds=1)
    made, _ = cross_calibrate(table, method="platt", run="calm")
    for patient in ("p0", "p57"):
        own = table["patient_id"] == patient
        again, _ = cross_calibrate(flipped(table, own), method="platt")
        assert (made.loc[own, "p_melanoma"] == again.loc[own, "p_melanoma"]).all()
        assert (made["p_melanoma"] != again["p_melanoma"]).sum() > 200
    assert set(made["run"]) == {"calm"}
    without, _ = cross_calibrate(table.drop(columns="patient_id"), method="platt")
    assert without["p_melanoma"].std() > 0
    with pytest.raises(TableError, match="all its rows are of one patient_id"):
        cross_calibrate(table.assign(patient_id="p"), method="platt")


def test_too_little_is_left_when_a_fold_is_set_aside(binary: Make) -> None:
    table = binary([True, True, False, False], [0.9, 0.8, 0.1, 0.2], fold=[0, 0, 1, 1])
    with pytest.raises(TableError, match=r"no row is melanoma .* \(part 0 was set aside\)"):
        cross_calibrate(table, method="platt")


def test_many_classes_are_calibrated(many: Make) -> None:
    table = many(3000)
    by_method = calibrator_comparison(table, positive="melanoma", draws=50).set_index("method")
    assert by_method.loc["none", "slope"] < 0.7
    assert (by_method.loc[["temperature", "platt", "beta"], "slope"] - 1).abs().max() < 0.12


def test_methods_side_by_side(stretched: Make) -> None:
    table = stretched(2400, scale=2, shift=0.5)
    made = calibrator_comparison(table, positive="melanoma", cluster="patient_id", draws=200)
    assert made["method"].tolist() == ["none", "temperature", "platt", "beta", "isotonic"]
    row = made.set_index("method")
    assert (row["n"] == 2400).all()
    assert (row["note"] == "").all()
    assert row.loc["none", "slope_high"] < 0.6
    for name in ("platt", "beta"):
        assert row.loc[name, "slope_low"] < 1 < row.loc[name, "slope_high"]
        assert row.loc[name, "intercept_low"] < 0 < row.loc[name, "intercept_high"]
        assert row.loc[name, "log_loss"] < row.loc["none", "log_loss"]
        assert row.loc[name, "ece"] < row.loc["none", "ece_low"]
    for name in ("log_loss", "brier", "slope", "intercept", "ece"):
        assert (row[f"{name}_low"] <= row[name]).all()
        assert (row[name] <= row[f"{name}_high"]).all()


def test_scores_side_by_side(stretched: Make) -> None:
    table = stretched(800)
    rank = table["p_melanoma"].rank(pct=True)
    ranks = table.assign(p_melanoma=rank, p_other=1 - rank, kind="score")
    made = calibrator_comparison(ranks, positive="melanoma", draws=20).set_index("method")
    assert made["log_loss"].notna().tolist() == [False, False, True, True, True]
    assert (
        made.loc["none", "note"] == "not estimable: kind is 'score', and none needs probabilities"
    )


@pytest.mark.data
def test_siim_2020(siim_predictions: Path) -> None:
    table = read_foreign(siim_predictions / "oof_efficientnet_b1.csv")
    made = calibrator_comparison(
        table, positive="melanoma", methods=("none", "platt"), cluster="patient_id", draws=100
    ).set_index("method")
    assert made.loc["none", "slope"] == pytest.approx(0.6638, abs=5e-5)
    assert made.loc["none", "log_loss"] == pytest.approx(0.067732, abs=5e-7)
    assert made.loc["none", "ece_low"] > 0
    assert made.loc["platt", "log_loss"] == pytest.approx(0.06513, abs=5e-6)
    assert made.loc["platt", "slope_low"] < 1 < made.loc["platt", "slope_high"]
    assert np.isclose(made.loc["platt", "ece_low"], 0)


def test_test_rows_alone_compare_no_calibrators(binary: Make) -> None:
    table = binary([True, False, True, False], [0.9, 0.2, 0.6, 0.4]).assign(fold=-1)
    compared = calibrator_comparison(table, positive="melanoma", draws=20)
    assert (compared["note"] == "not estimable: no row is out of fold").all()
    assert len(compared) == 5


def test_a_run_is_calibrated_with_its_networks_where_that_is_asked_for(
    stretched: Make, tmp_path: Path
) -> None:
    table = stretched(800, folds=5)
    test = table["fold"] == 4
    table["fold"] = table["fold"].where(~test, TEST)
    networks = {0: table[test], 1: table[test].assign(p_melanoma=0.3, p_other=0.7)}
    how: dict[str, Any] = {"positive": "melanoma", "smoothing": 0.0}
    versions, same = calibrate_run(table, networks, method="none", folder=tmp_path, **how)
    assert list(versions) == ["as they came"]
    assert versions["as they came"] is table
    assert same is networks
    assert not [*tmp_path.iterdir()]
    versions, each = calibrate_run(table, networks, method="platt", folder=tmp_path, **how)
    assert list(versions) == ["as they came", "calibrated"]
    wanted = calibrate_networks(table, networks, method="platt", **how)
    for fold, own in each.items():
        pd.testing.assert_frame_equal(own, wanted[fold])
    made = versions["calibrated"]
    mean = (each[0]["p_melanoma"].to_numpy() + each[1]["p_melanoma"].to_numpy()) / 2
    assert made.loc[test, "p_melanoma"].to_numpy() == pytest.approx(mean)
    alone, _ = cross_calibrate(table, method="platt", **how)
    assert made.loc[~test, "p_melanoma"].equals(alone.loc[~test, "p_melanoma"])
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.csv", "calibrator.json"}
