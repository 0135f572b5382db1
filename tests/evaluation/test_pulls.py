"""Pulls of artefacts: their sign, their size and whom they turn, on shifts that were put in."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation import pulls
from melnb.evaluation.robustness import CELL

Make = Callable[..., pd.DataFrame]
HOW = {"positive": "melanoma", "cluster": "patient_id", "threshold": 0.4}


@pytest.fixture(scope="module")
def clean(binary: Make) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    truth = rng.random(160) < 0.4
    score = rng.uniform(0.05, 0.95, 160)
    return binary(truth, score).assign(patient_id=[f"P{k // 2}" for k in range(160)])


def moved(clean: pd.DataFrame, name: str, strength: int, shift: np.ndarray | float) -> pd.DataFrame:
    odds = np.exp(np.log(clean["p_melanoma"] / clean["p_other"]) + shift)
    table = clean.assign(p_melanoma=odds / (1 + odds), p_other=1 / (1 + odds))
    return table.assign(corruption=name, strength=strength)


@pytest.fixture(scope="module")
def cells(clean: pd.DataFrame) -> pd.DataFrame:
    """Ink that speaks for melanoma in others alone, a ruler against it, and mere noise."""
    rng = np.random.default_rng(1)
    ink = np.where(clean["truth"] == "melanoma", 0.0, 0.8) + rng.normal(0, 0.1, 160)
    return pd.concat(
        [
            moved(clean, "none", 0, 0.0), moved(clean, "ink", 3, ink), moved(clean, "ink", 5, 9.0),
            moved(clean, "ruler", 1, -0.5 + rng.normal(0, 0.1, 160)),
            moved(clean, "ruler", 5, -9.0), moved(clean, "jpeg", 2, rng.normal(0, 1, 160)),
        ],
        ignore_index=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def table(clean: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    return pulls.artefact_pulls(clean, cells, at=2, draws=400, **HOW)


def test_a_pull_is_signed_and_of_each_true_class(table: pd.DataFrame, clean: pd.DataFrame) -> None:
    own = table.set_index(["corruption", "class"])
    assert own.index.tolist() == [
        (name, label) for name in ("ink", "ruler", "jpeg") for label in ("melanoma", "other")
    ]
    row = own.loc[("ink", "other")]
    assert row["pull"] == "to melanoma"
    assert row["logit_low"] < 0.8 < row["logit_high"]
    assert row["n"] == clean["truth"].eq("other").sum()
    assert own.loc[("ink", "melanoma"), "pull"] == pulls.NO_PULL
    assert own.loc[("ruler", "melanoma"), "pull"] == "from melanoma"
    assert own.loc[("ruler", "other"), "logit"] == pytest.approx(-0.5, abs=0.05)
    assert own.loc[("ruler", "other"), "probability"] < 0
    assert own.loc["jpeg", "pull"].tolist() == [pulls.NO_PULL] * 2
    assert (table["p_holm"] >= table["p"]).all()


def test_the_strength_is_the_nearest_that_was_made_and_the_weaker_of_two(
    table: pd.DataFrame, clean: pd.DataFrame, cells: pd.DataFrame
) -> None:
    assert table.drop_duplicates("corruption")["strength"].tolist() == [3, 1, 2]
    other = pulls.artefact_pulls(clean, cells, at=3, draws=20, **HOW)
    assert other.drop_duplicates("corruption")["strength"].tolist() == [3, 1, 2]
    strong = pulls.artefact_pulls(clean, cells, at=5, draws=20, **HOW)
    assert strong.drop_duplicates("corruption")["strength"].tolist() == [5, 5, 2]


def test_turned_calls_are_counted_both_ways(
    table: pd.DataFrame, clean: pd.DataFrame, cells: pd.DataFrame
) -> None:
    others = clean["truth"].eq("other").to_numpy()
    own = cells[(cells["corruption"] == "ink") & (cells["strength"] == 3)].drop(columns=CELL)
    before, after = (t["p_melanoma"].to_numpy()[others] >= 0.4 for t in (clean, own))
    row = table[(table["corruption"] == "ink") & (table["class"] == "other")].iloc[0]
    assert row["turned"] == (before != after).mean()
    assert row["turned_to"] == (after & ~before).mean()
    assert row["turned_from"] == (before & ~after).mean()
    assert row["turned_low"] < row["turned"] < row["turned_high"]


def test_what_cannot_be_told_says_why(binary: Make) -> None:
    alone = binary([True] * 4, [0.2, 0.4, 0.6, 0.8]).assign(patient_id="P")
    both = pd.concat([moved(alone, "none", 0, 0.0), moved(alone, "ink", 3, 1.0)])
    how = {**HOW, "threshold": float("nan")}
    made = pulls.artefact_pulls(alone, both, draws=20, **how).set_index("class")
    assert made["pull"].tolist() == [pulls.UNKNOWN] * 2
    assert made.loc["melanoma", "logit"] == pytest.approx(1.0)
    assert np.isnan(made.loc["melanoma", "logit_low"])
    assert made.loc["melanoma", "note"] == (
        "interval not estimable: all rows are of one patient or lesion; "
        "not estimable: no threshold was chosen"
    )
    assert made.loc["other", "note"] == "not estimable: there is no such row"
