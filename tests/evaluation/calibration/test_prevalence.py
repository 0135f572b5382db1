"""The shift by hand and back again; the prevalence of rows whose truth is hidden."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from melnb.evaluation.calibration.prevalence import (
    at_prevalence,
    class_values,
    estimated_prevalence,
    shift_prevalence,
    shifted_probability,
)
from melnb.evaluation.rows import binary_rows
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import read_predictions

Make = Callable[..., pd.DataFrame]
MANY = {"melanoma": 0.2, "nevus": 0.3, "bcc": 0.1, "ak": 0.1, "bkl": 0.1, "df": 0.1, "vasc": 0.1}


def test_the_shift_by_hand(stretched: Make) -> None:
    table = stretched(500)
    p, old, new = table["p_melanoma"], (table["truth"] == "melanoma").mean(), 0.02
    above = p * new / old
    wanted = above / (above + (1 - p) * (1 - new) / (1 - old))
    made = shift_prevalence(table, positive="melanoma", prevalence=new)
    assert made["p_melanoma"].to_numpy() == pytest.approx(wanted.to_numpy(), abs=1e-15)
    assert made["image_id"].equals(table["image_id"])
    given_old = shift_prevalence(
        table, positive="melanoma", prevalence=new, training_prevalence=float(old)
    )
    assert given_old.equals(made)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.floats(0.001, 0.999),
    st.floats(0.001, 0.999),
)
def test_there_and_back_is_nothing(
    binary: Make, score: list[float], first: float, second: float
) -> None:
    table = binary([True] * len(score), score)
    there = shift_prevalence(
        table, positive="melanoma", prevalence=second, training_prevalence=first, run="there"
    )
    back = shift_prevalence(
        there, positive="melanoma", prevalence=first, training_prevalence=second
    )
    assert back["p_melanoma"].to_numpy() == pytest.approx(np.array(score), abs=1e-9)
    order = np.argsort(score, kind="stable")
    assert (np.diff(there["p_melanoma"].to_numpy()[order]) >= 0).all()


def test_a_threshold_moves_as_the_probabilities_do(many: Make, stretched: Make) -> None:
    for table in (many(600), stretched(600)):
        own = float((table["truth"] == "melanoma").mean())
        moved = shift_prevalence(table, positive="melanoma", prevalence=0.02)[
            "p_melanoma"
        ].to_numpy()
        alone = shifted_probability(
            table["p_melanoma"].to_numpy(), prevalence=0.02, training_prevalence=own
        )
        assert alone == pytest.approx(moved, abs=1e-12)
        back = shifted_probability(alone, prevalence=own, training_prevalence=0.02)
        assert back == pytest.approx(table["p_melanoma"].to_numpy(), abs=1e-12)
    for still in ((0, 0.2), (0.1, 0), (0.1, 1)):
        kept = shifted_probability(0.3, prevalence=still[0], training_prevalence=still[1])
        assert kept == 0.3


def test_many_classes(many: Make) -> None:
    table = many(600)
    made = shift_prevalence(table, prevalence=MANY)
    shares = table["truth"].value_counts(normalize=True)
    weights = np.array([MANY[c] / shares[c] for c in MANY])
    wanted = class_values(table) * weights
    assert class_values(made) == pytest.approx(wanted / wanted.sum(axis=1, keepdims=True))
    # One prevalence leaves the others in proportion.
    one = shift_prevalence(table, prevalence=0.4, positive="melanoma")
    ratio = one["p_bcc"] / one["p_vasc"]
    assert ratio.to_numpy() == pytest.approx((table["p_bcc"] / table["p_vasc"]).to_numpy())
    back = shift_prevalence(
        made, prevalence={str(k): float(v) for k, v in shares.items()}, training_prevalence=MANY
    )
    assert class_values(back) == pytest.approx(class_values(table), abs=1e-12)


@pytest.mark.parametrize("wrong", [0, 1, -0.1, 1.5, float("nan")])
def test_impossible_prevalences_are_refused(stretched: Make, wrong: float) -> None:
    with pytest.raises(ValueError, match="prevalence is"):
        shift_prevalence(stretched(50), positive="melanoma", prevalence=wrong)


def test_bad_input_is_named(stretched: Make, many: Make, binary: Make) -> None:
    table = stretched(50)
    with pytest.raises(TableError, match="shift needs probabilities"):
        shift_prevalence(table.assign(kind="score"), positive="melanoma", prevalence=0.1)
    with pytest.raises(ValueError, match="positive is 'nevus'"):
        shift_prevalence(table, positive="nevus", prevalence=0.1)
    with pytest.raises(ValueError, match="prevalence names"):
        shift_prevalence(many(50), prevalence={"melanoma": 0.1, "nevus": 0.9})
    with pytest.raises(ValueError, match="of sum one"):
        shift_prevalence(many(50), prevalence=MANY | {"melanoma": 0.5})
    with pytest.raises(TableError, match="no row is melanoma, so its prevalence in the data is 0"):
        shift_prevalence(binary([False] * 3, [0.1, 0.2, 0.3]), positive="melanoma", prevalence=0.1)
    with pytest.raises(TableError, match="no test row"):
        estimated_prevalence(table)


def with_test_rows(table: pd.DataFrame, share: float) -> pd.DataFrame:
    """Make half of the rows test rows without a truth, thinned to a share of melanoma."""
    table = table.assign(fold=np.where(np.arange(len(table)) % 2, TEST, 0))
    test = table[table["fold"] == TEST]
    melanoma = test[test["truth"] == "melanoma"]
    rest = test[test["truth"] != "melanoma"]
    kept = rest.head(int(len(melanoma) * (1 - share) / share))
    made = pd.concat([table[table["fold"] == 0], melanoma, kept])
    hidden = made["truth"].where(made["fold"] != TEST)
    return made.assign(truth=hidden)


def test_the_prevalence_of_hidden_truths_is_found(stretched: Make) -> None:
    table = with_test_rows(stretched(8000, scale=1), 0.5)
    made = estimated_prevalence(table).set_index("class")
    row = made.loc["melanoma"]
    assert row["low"] < 0.5 < row["high"]
    assert row["high"] - row["low"] < 0.1
    assert row["training"] == pytest.approx(0.27, abs=0.02)
    assert row["mean"] < row["low"]  # the probabilities still believe the old prevalence
    assert made["value"].sum() == pytest.approx(1)
    assert made.loc["other", "low"] == pytest.approx(1 - row["high"])
    # It is the maximum of the likelihood.
    p = table.loc[table["fold"] == TEST, "p_melanoma"].to_numpy()
    old = row["training"]

    def cost(share: float) -> float:
        return float(-np.log(share * p / old + (1 - share) * (1 - p) / (1 - old)).mean())

    best = minimize_scalar(cost, bounds=(0.01, 0.99), method="bounded", options={"xatol": 1e-9})
    assert row["value"] == pytest.approx(best.x, abs=1e-6)
    shifted = shift_prevalence(table, positive="melanoma", prevalence=float(row["value"]))
    test = shifted[shifted["fold"] == TEST]
    assert test["p_melanoma"].mean() == pytest.approx(row["value"], abs=1e-6)


def test_intervals_of_the_estimate_cover(stretched: Make) -> None:
    hits = 0
    for seed in range(40):
        table = with_test_rows(stretched(1600, scale=1, seed=seed), 0.4)
        row = estimated_prevalence(table, cluster="patient_id").set_index("class").loc["melanoma"]
        hits += row["low"] < 0.4 < row["high"]
    assert hits >= 34


def test_an_estimate_at_the_edge_says_so(binary: Make) -> None:
    table = binary([True, False, None, None], [0.8, 0.2, 0.01, 0.02], fold=[0, 0, -1, -1])
    made = estimated_prevalence(table).set_index("class")
    assert made.loc["melanoma", "value"] == pytest.approx(0, abs=1e-3)
    assert made["low"].isna().all()
    assert made["note"].str.startswith("interval not estimable").all()
    alike = binary([True, False, None, None], [0.8, 0.2, 0.5, 0.5], fold=[0, 0, -1, -1])
    assert estimated_prevalence(alike)["low"].isna().all()
    assert len(binary_rows(alike, positive="melanoma")) == 2


def test_many_classes_are_estimated(many: Make) -> None:
    table = many(4000, scale=1)
    table = table.assign(fold=np.where(table["fold"] == 0, TEST, table["fold"]))
    hidden = table.assign(truth=table["truth"].where(table["fold"] != TEST))
    made = estimated_prevalence(hidden)
    true = table[table["fold"] == TEST]["truth"].value_counts(normalize=True)
    assert made["value"].sum() == pytest.approx(1)
    assert (made["low"] < made["value"]).all()
    assert (made["value"] < made["high"]).all()
    assert made["value"].to_numpy() == pytest.approx(true[made["class"]].to_numpy(), abs=0.05)


def test_a_place_that_is_named_moves_probabilities_alone(stretched: Make, tmp_path: Path) -> None:
    table, path = stretched(100), tmp_path / "at_prevalence.csv"
    how = {"positive": "melanoma", "folder": tmp_path}
    assert at_prevalence(table, prevalence=0, **how) is table
    ranks = table.assign(kind="score")
    assert at_prevalence(ranks, prevalence=0.02, **how) is ranks
    assert not path.exists()
    moved = at_prevalence(table, prevalence=0.02, **how)
    assert moved.equals(shift_prevalence(table, positive="melanoma", prevalence=0.02))
    assert len(read_predictions(path)) == 100
