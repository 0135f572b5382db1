"""The gain: found where it was planted, none where there is none, and never fitted on its fold."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.patient_context import GAIN_COLUMNS, ugly_duckling_gain
from melnb.tables.checks import TEST

Make = Callable[..., pd.DataFrame]


def cohort(binary: Make, *, level: float, seed: int = 0, patients: int = 150) -> pd.DataFrame:
    """Make patients whose whole level of scores says nothing: the more, the more context helps."""
    draw = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 10)
    truth = draw.random(len(patient)) < 0.15
    odds = (
        level * draw.normal(size=patients)[patient] + draw.normal(size=len(patient)) + 1.5 * truth
    )
    made = binary(truth, 1 / (1 + np.exp(2 - odds)), fold=list(patient % 4))
    return made.assign(patient_id=[f"p{k}" for k in patient])


def test_context_helps_where_patients_differ_for_no_reason(binary: Make) -> None:
    table = ugly_duckling_gain(cohort(binary, level=2.0), positive="melanoma")
    assert tuple(table.columns.drop("p_holm")) == GAIN_COLUMNS
    assert table["feature"].tolist() == ["score_z", "score_rank"]
    assert (table["difference"] > 0.03).all()
    assert (table["low"] > 0).all()
    assert (table["weight_low"] > 0).all()
    assert (table["weight_low"] <= table["weight"]).all()
    assert (table["note"] == "").all()


def test_context_does_not_help_where_there_is_none(binary: Make) -> None:
    made = cohort(binary, level=0.0)
    table = ugly_duckling_gain(made, positive="melanoma")
    assert (table["difference"].abs() < 0.01).all()
    assert (table["high"] - table["low"] > 0).all()
    plain = ranking.auc(made, positive="melanoma")["value"].iloc[0]
    assert table["auc_second"].to_numpy() == pytest.approx(plain)


def test_a_folds_own_truths_do_not_touch_its_weight(binary: Make) -> None:
    made = cohort(binary, level=1.0)
    other = made.copy()
    own = other["fold"] == 0
    other.loc[own, "truth"] = np.where(other.loc[own, "truth"] == "other", "melanoma", "other")
    weights = {}
    for name, table in (("as it is", made), ("turned", other)):
        kept = table.assign(fold=table["fold"].where(table["fold"] != 0, TEST))
        rows = ugly_duckling_gain(kept, positive="melanoma", features=["score_z"])
        weights[name] = rows.set_index("rows").loc["test", "weight"]
    assert weights["as it is"] == weights["turned"]
    both = ugly_duckling_gain(made, positive="melanoma", features=["score_z"])
    assert both["weight_low"].iloc[0] <= weights["as it is"] <= both["weight_high"].iloc[0]


def test_what_cannot_be_fitted_has_a_note(binary: Make) -> None:
    made = cohort(binary, level=1.0, patients=20)
    one = ugly_duckling_gain(made.assign(fold=0, patient_id="p"), positive="melanoma")
    assert one["note"].str.contains("not estimable: one fold, and all its rows are of one").all()
    assert ugly_duckling_gain(made.assign(fold=0), positive="melanoma")["weight"].notna().all()
    assert one["difference"].isna().all()
    backwards = made.assign(p_melanoma=made["p_other"], p_other=made["p_melanoma"])
    notes = ugly_duckling_gain(backwards, positive="melanoma")["note"]
    assert notes.str.contains("does not rise with the truth").all()
    strangers = made.assign(patient_id=np.nan)
    notes = ugly_duckling_gain(strangers, positive="melanoma")["note"]
    assert notes.str.contains("rank the rows alike").all()
    constant = binary(made["truth"] == "melanoma", np.full(200, 0.5), fold=list(made["fold"]))
    flat = ugly_duckling_gain(constant.assign(patient_id=made["patient_id"]), positive="melanoma")
    assert flat["note"].str.startswith("not estimable").all()
    with pytest.raises(ValueError, match=r"features is \['age'\]"):
        ugly_duckling_gain(made, positive="melanoma", features=["age"])
