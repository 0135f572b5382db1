from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from melnb.evaluation.shift import score_shift
from melnb.evaluation.shift.other_sources import source_tables

Make = Callable[..., pd.DataFrame]
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def found(judged: Tables) -> pd.DataFrame:
    versions = score_shift.source_versions(judged, positive="melanoma")
    table = score_shift.external_calibration(versions, positive="melanoma", draws=200)
    return table.set_index(["source", "version"])


def test_each_source_has_its_versions(found: pd.DataFrame) -> None:
    assert [*found.index] == [
        ("internal", "as it came"),
        *((s, v) for s in ("commoner", "moved")
          for v in ("as it came", "at its prevalence", "recalibrated")),
    ]  # fmt: skip


def test_another_prevalence_is_mended_by_moving_it(found: pd.DataFrame) -> None:
    before = found.loc[("commoner", "as it came")]
    assert before["intercept_low"] > 1  # of log 4 = 1.39
    after = found.loc[("commoner", "at its prevalence")]
    assert after["intercept_low"] < 0 < after["intercept_high"]
    assert after["slope_low"] < 1 < after["slope_high"]
    assert after["ece_low"] == 0 < before["ece_low"]
    assert after["brier"] < before["brier"]
    assert after["log_loss"] < before["log_loss"]


def test_moved_scores_are_mended_by_fitting_anew_alone(found: pd.DataFrame) -> None:
    moved = found.loc[("moved", "at its prevalence")]
    assert moved["intercept_low"] > 0.5
    assert moved["slope_high"] < 0.9  # of 1 / 1.5
    after = found.loc[("moved", "recalibrated")]
    assert after["intercept_low"] < 0 < after["intercept_high"]
    assert after["slope_low"] < 1 < after["slope_high"]
    assert after["ece_low"] == 0 < moved["ece_low"]
    assert after["log_loss_high"] < moved["log_loss_low"]


def test_scores_are_scikit_learns(judged: Tables, found: pd.DataFrame) -> None:
    truth = judged["moved"]["truth"] == "melanoma"
    score = judged["moved"]["p_melanoma"]
    row = found.loc[("moved", "as it came")]
    assert row["brier"] == pytest.approx(brier_score_loss(truth, score))
    assert row["log_loss"] == pytest.approx(log_loss(truth, score))
    assert row["prevalence"] == truth.mean()


def test_no_patient_teaches_its_own_calibrator(source: Make) -> None:
    b = source(200, name="b", fold=-1, patients=50, seed=4)
    a = source(300)

    def recalibrated(table: pd.DataFrame) -> pd.DataFrame:
        tables = source_tables(a, {"b": table}, positive="melanoma")
        made = score_shift.source_versions(tables, positive="melanoma")["b"]["recalibrated"]
        assert made["fold"].eq(-1).all()
        return made.set_index("image_id")["p_melanoma"]

    plain = recalibrated(b)
    pd.testing.assert_series_equal(recalibrated(b.sample(frac=1, random_state=1)), plain)
    patient = b["patient_id"] == "b-p7"
    turned = np.where(b["truth"] == "melanoma", "other", "melanoma")
    changed = recalibrated(b.assign(truth=np.where(patient, turned, b["truth"])))
    own = b.loc[patient, "image_id"]
    assert plain[own].tolist() == changed[own].tolist()
    assert (plain.drop(own) != changed.drop(own)).any()


def test_too_few_rows_have_no_version_and_scores_none(source: Make) -> None:
    b = source(40, name="b", fold=-1).assign(truth="other")
    tables = source_tables(source(200), {"b": b}, positive="melanoma")
    versions = score_shift.source_versions(tables, positive="melanoma")
    assert list(versions["b"]) == ["as it came"]
    found = score_shift.external_calibration(versions, positive="melanoma", draws=20)
    assert "no row is melanoma" in found["note"].iloc[1]
    assert np.isnan(found["slope"].iloc[1])
    ranks = {name: table.assign(kind="score") for name, table in tables.items()}
    assert score_shift.source_versions(ranks, positive="melanoma") == {}
    nothing = score_shift.external_calibration({}, positive="melanoma")
    assert nothing.empty
    assert "slope_low" in nothing
