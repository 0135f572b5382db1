"""Scores moved within patients: by what other folds taught, and only where there are neighbours."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import rankdata

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.ensembles import patient_moves
from melnb.tables.checks import TEST, TableError

Make = Callable[..., pd.DataFrame]


def cohort(binary: Make, *, level: float = 2.0, number: int = 120) -> pd.DataFrame:
    """Make patients whose whole level of scores says nothing; three folds and a test part."""
    draw = np.random.default_rng(0)
    patient = np.repeat(np.arange(number), 8)
    truth = draw.random(len(patient)) < 0.15
    odds = level * draw.normal(size=number)[patient] + draw.normal(size=len(patient)) + 1.5 * truth
    made = binary(truth, expit(odds - 2), fold=patient % 4 - 1)
    return made.assign(patient_id=[f"p{k}" for k in patient])


def area(table: pd.DataFrame, fold: int | None = None) -> float:
    rows = table[table["fold"] != TEST] if fold is None else table[table["fold"] == fold]
    return float(ranking.auc(rows, positive="melanoma")["value"].iloc[0])


@pytest.mark.parametrize("standing", ["z", "rank"])
def test_a_level_that_says_nothing_is_taken_off(
    binary: Make, standing: patient_moves.Standing
) -> None:
    table = cohort(binary)
    weights = patient_moves.standing_weights(table, positive="melanoma", standing=standing)
    assert weights["fold"].tolist() == [-1, 0, 1, 2]
    assert (weights["weight"] > 0.2).all()
    assert (weights["note"] == "").all()
    made = patient_moves.shift_scores(table, positive="melanoma", standing=standing, run="moved")
    assert area(made) > area(table) + 0.03
    assert area(made, TEST) > area(table, TEST) + 0.03
    assert (made["run"] == "moved").all()
    assert (made["kind"] == "score").all()


def test_the_shift_is_a_weight_times_the_standing(binary: Make) -> None:
    table = cohort(binary)
    weights = patient_moves.standing_weights(table, positive="melanoma").set_index("fold")["weight"]
    made = patient_moves.shift_scores(table, positive="melanoma").set_index("image_id")
    for _, rows in table.groupby("patient_id"):
        p = rows["p_melanoma"].to_numpy()
        apart = (rankdata(p) - 0.5) / len(p) - 0.5
        wanted = expit(logit(p) + weights[rows["fold"].iloc[0]] * apart)
        assert made.loc[rows["image_id"], "p_melanoma"].to_numpy() == pytest.approx(wanted)


def test_a_folds_own_truths_do_not_move_its_rows(binary: Make) -> None:
    table = cohort(binary)
    own = table["fold"] == 1
    turned = table["truth"].replace({"melanoma": "other", "other": "melanoma"})
    lying = table.assign(truth=table["truth"].where(~own, turned))
    first, second = (
        patient_moves.shift_scores(t, positive="melanoma")["p_melanoma"] for t in (table, lying)
    )
    assert (first[own] == second[own]).all()
    assert (first[~own] != second[~own]).mean() > 0.9
    blind = table.assign(truth=table["truth"].where(table["fold"] != TEST))
    hidden = patient_moves.shift_scores(blind, positive="melanoma")["p_melanoma"]
    assert hidden.tolist() == first.tolist()  # test rows' truths are never used


def test_rows_without_neighbours_stay(binary: Make) -> None:
    table = cohort(binary)
    table["patient_id"] = table["patient_id"].where(np.arange(len(table)) % 8 < 6)  # unknown
    few = np.arange(len(table)) < 80
    table.loc[few, "patient_id"] = table.loc[few, "patient_id"] + pd.Series(
        [f"-{k % 4}" for k in range(80)]
    )  # two pictures at most
    made = patient_moves.shift_scores(table.sample(frac=1, random_state=0), positive="melanoma")
    stays = few | table["patient_id"].isna().to_numpy()
    assert made["image_id"].tolist() == table["image_id"].tolist()
    values = ["p_melanoma", "p_other"]
    pd.testing.assert_frame_equal(
        made.loc[stays, values], table.loc[stays, values], check_exact=True
    )
    assert (made.loc[~stays, "p_melanoma"] != table.loc[~stays, "p_melanoma"]).mean() > 0.9
    strangers = patient_moves.shift_scores(table.assign(patient_id=np.nan), positive="melanoma")
    pd.testing.assert_frame_equal(strangers[values], table[values], check_exact=True)


def test_other_classes_share_what_is_left(many_classes: Make) -> None:
    draw = np.random.default_rng(0)
    names = ("nevus", "melanoma", "other")
    values = draw.random((12, 3))
    values[0] = [0, 1, 0]
    table = many_classes([names[k % 3] for k in range(12)], values, names)
    table = table.assign(patient_id=["a"] * 6 + ["b"] * 6)
    made = patient_moves.shift_scores(table, positive="melanoma", weight=2.0)
    before, after = (t["p_nevus"][1:] / t["p_other"][1:] for t in (table, made))
    assert after.to_numpy() == pytest.approx(before.to_numpy())
    assert made["p_melanoma"].iloc[0] == pytest.approx(1)
    highest = table[table["patient_id"] == "b"]["p_melanoma"].idxmax()
    assert made["p_melanoma"][highest] > table["p_melanoma"][highest]


def test_scores_keep_their_kind_and_range(binary: Make) -> None:
    table = cohort(binary, number=12)
    ranks = table["p_melanoma"].rank(pct=True)
    scores = table.assign(p_melanoma=ranks, p_other=(1 - ranks) * 0.5 + 0.5, kind="score")
    made = patient_moves.shift_scores(scores, positive="melanoma", weight=3.0)
    assert (made["kind"] == "score").all()
    assert made[["p_melanoma", "p_other"]].stack().between(0, 1).all()


def test_where_no_weight_can_be_fitted(binary: Make) -> None:
    table = cohort(binary, number=24)
    backwards = table.assign(p_melanoma=table["p_other"], p_other=table["p_melanoma"])
    found = patient_moves.standing_weights(backwards, positive="melanoma")
    assert (found["weight"] == 0).all()
    assert found["note"].str.contains("does not rise").all()
    made = patient_moves.shift_scores(backwards, positive="melanoma")
    assert made["p_melanoma"].tolist() == backwards["p_melanoma"].tolist()
    calm = patient_moves.standing_weights(table.assign(truth="other"), positive="melanoma")
    assert calm["note"].str.contains("lack a class").all()
    for values in (np.full(192, 0.5), np.random.default_rng(1).random(192)):
        flat = table.assign(p_melanoma=values, p_other=1 - values)
        notes = patient_moves.standing_weights(flat, positive="melanoma")["note"]
        assert notes.str.contains("beyond chance").all()


def test_a_weight_has_bounds(binary: Make) -> None:
    table = cohort(binary, level=4.0)  # a patient's level drowns all else
    for standing, most in (("z", 5), ("rank", 20)):
        weights = patient_moves.standing_weights(table, positive="melanoma", standing=standing)  # type: ignore[arg-type]
        assert (weights["weight"] == most).all()
        made = patient_moves.shift_scores(table, positive="melanoma", standing=standing)  # type: ignore[arg-type]
        assert area(made) > area(table) + 0.02
        assert made["p_melanoma"].nunique() > 0.9 * len(made)


def test_what_is_refused(binary: Make) -> None:
    table = cohort(binary, number=24)
    with pytest.raises(TableError, match=r"lie in 1 fold\(s\)"):
        patient_moves.shift_scores(table.assign(fold=0), positive="melanoma")
    with pytest.raises(TableError, match="patient_id 'p0' lies in"):
        patient_moves.shift_scores(table.assign(fold=np.arange(192) % 3), positive="melanoma")
    with pytest.raises(TableError, match="no column 'patient_id'"):
        patient_moves.shift_scores(table.drop(columns="patient_id"), positive="melanoma")
    with pytest.raises(TableError, match="positive is 'nevus'"):
        patient_moves.shift_scores(table, positive="nevus")
    with pytest.raises(ValueError, match="standing is 'lof'"):
        patient_moves.shift_scores(table, positive="melanoma", standing="lof")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight is nan"):
        patient_moves.shift_scores(table, positive="melanoma", weight=np.nan)
    with pytest.raises(TableError, match="not between 0 and 1"):
        patient_moves.shift_scores(table.assign(p_melanoma=np.nan), positive="melanoma")


def test_without_a_standing_nothing_is_moved(binary: Make) -> None:
    table = binary([True, False], [0.9, 0.1])
    assert patient_moves.shift_scores(table, positive="melanoma", standing="") is table
    weights = patient_moves.standing_weights(table, positive="melanoma", standing="")
    assert weights.empty
    assert list(weights.columns) == ["fold", "weight", "note"]
