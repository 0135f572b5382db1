"""Referring what is uncertain: counted by hand; the expert only helps."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.decisions import conformal, operating_point
from melnb.evaluation.decisions.selective import referral_table

Make = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def table(binary: Make) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    truth = draw.random(900) < 0.3
    score = np.round(np.clip(draw.normal(0.35 + 0.25 * truth, 0.15), 0.01, 0.99), 2)
    return binary(truth, score, fold=np.repeat([0, 1, -1], 300))


def test_a_band_by_hand(binary: Make) -> None:
    # Odds of the threshold 1; of the scores 1/9, 2/3, 1, 3/2, 9.
    rows = binary([False, True, False, True, True, False], [0.1, 0.4, 0.5, 0.6, 0.9, 0.9])
    found = referral_table(rows, positive="melanoma", threshold=0.5, error_rates=(), bands=(1.5, 2))
    assert found["rule"].tolist() == ["none", "band", "band"]
    none, band, wider = (found.iloc[k] for k in range(3))
    assert (none["referred"], none["sensitivity"], none["specificity"]) == (0, 2 / 3, 1 / 3)
    assert (none["assisted_sensitivity"], none["assisted_specificity"]) == (2 / 3, 1 / 3)
    assert (band["referred"], band["sensitivity"], band["specificity"]) == (0.5, 1, 0.5)
    assert (band["assisted_sensitivity"], band["assisted_specificity"]) == (1, 2 / 3)
    assert wider["referred"] == 0.5
    assert (band["n"], band["positives"]) == (6, 3)
    assert band["referred_low"] < 0.5 < band["referred_high"]


def test_a_set_rule_refers_what_has_not_one_class(table: pd.DataFrame) -> None:
    found = referral_table(table, positive="melanoma", threshold=0.4, error_rates=(0.1,))
    assert found["rows"].tolist() == ["out of fold"] * 5 + ["test"] * 5
    assert found["rule"].tolist() == ["none", "set", "band", "band", "band"] * 2
    sets = conformal.prediction_sets(table, error_rate=0.1)
    for rows, row in zip(
        (sets[sets["fold"] >= 0], sets[sets["fold"] == -1]),
        (found.iloc[1], found.iloc[6]),
        strict=True,
    ):
        kept = rows[rows["size"] == 1]
        ill = kept[kept["truth"] == "melanoma"]
        assert row["referred"] == (rows["size"] != 1).mean()
        assert row["sensitivity"] == pytest.approx(ill["in_melanoma"].mean())
        missed = (~ill["in_melanoma"]).sum()
        every = (rows["truth"] == "melanoma").sum()
        assert row["assisted_sensitivity"] == pytest.approx(1 - missed / every)


def test_an_expert_only_helps_and_more_doubt_refers_more(table: pd.DataFrame) -> None:
    point = operating_point.operating_point(table, positive="melanoma", at=0.8)
    found = referral_table(
        table, positive="melanoma", threshold=point["threshold"].iloc[0], bands=(1.2, 2, 4, 8)
    )
    own = found[found["rows"] == "out of fold"].reset_index(drop=True)
    bands = own[own["rule"].isin(["none", "band"])]
    for name in ("referred", "assisted_sensitivity", "assisted_specificity"):
        assert bands[name].is_monotonic_increasing
    assert own["sensitivity"].iloc[0] == point["sensitivity"].iloc[0]
    assert (own["assisted_sensitivity"] >= own["sensitivity"] - 1e-12).all()
    patients = table.assign(patient_id=table["image_id"].str[:5])
    wide = referral_table(patients, positive="melanoma", threshold=0.4, cluster="patient_id")
    narrow = referral_table(patients, positive="melanoma", threshold=0.4)
    assert (wide["referred_low"] <= narrow["referred_low"] + 1e-12).all()


def test_limit_cases(binary: Make, table: pd.DataFrame) -> None:
    test = referral_table(table[table["fold"] == -1], positive="melanoma", threshold=0.4)
    assert test["rule"].tolist() == ["none", "band", "band", "band"]
    ties = binary([True, False] * 20, [0.4] * 40, fold=[0, 0, 1, 1] * 10)
    found = referral_table(ties, positive="melanoma", threshold=0.4)
    rest = found[found["rule"] != "none"]
    assert (rest["referred"] == 1).all()
    assert (rest["assisted_sensitivity"] == 1).all()
    assert (
        rest["note"]
        == "sensitivity not estimable: no such row; specificity not estimable: no such row"
    ).all()
    healthy = referral_table(
        binary([False] * 40, np.linspace(0.1, 0.9, 40), fold=[0, 1] * 20),
        positive="melanoma",
        threshold=0.5,
    )
    assert healthy["sensitivity"].isna().all()
    assert healthy["note"].str.contains("sensitivity not estimable").all()
    nothing = referral_table(binary([], []), positive="melanoma", threshold=0.5)
    assert nothing["note"].tolist() == ["not estimable: no row has a truth"]
    with pytest.raises(ValueError, match="bands holds 1"):
        referral_table(table, positive="melanoma", threshold=0.5, bands=(1,))
    uncut = referral_table(table, positive="melanoma", threshold=math.nan)
    assert uncut["note"].tolist() == ["not estimable: no threshold was chosen"]
    assert list(uncut) == list(referral_table(table, positive="melanoma", threshold=0.5))
    with pytest.raises(ValueError, match="threshold is 2, not from 0 to 1"):
        referral_table(table, positive="melanoma", threshold=2)
