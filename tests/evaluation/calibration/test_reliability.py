"""Bins against scikit-learn's and by hand; equal scores together; notes for empty bins."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from melnb.evaluation.calibration import prevalence
from melnb.evaluation.calibration.reliability import bin_codes, reliability_table
from melnb.evaluation.statistics.intervals import wilson_interval
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


@pytest.mark.parametrize(("spacing", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_bins_are_those_of_scikit_learn(stretched: Make, spacing: str, strategy: str) -> None:
    table = stretched(1000)
    truth = table["truth"] == "melanoma"
    observed, stated = calibration_curve(truth, table["p_melanoma"], n_bins=10, strategy=strategy)
    made = reliability_table(table, positive="melanoma", spacing=spacing)
    filled = made[made["n"] > 0]
    assert filled["observed"].to_numpy() == pytest.approx(observed, abs=1e-14)
    assert filled["mean_probability"].to_numpy() == pytest.approx(stated, abs=1e-14)
    assert (made["n"].sum(), made["positives"].sum()) == (1000, truth.sum())
    low, high = wilson_interval(filled["positives"], filled["n"])
    assert filled["low"].to_numpy() == pytest.approx(low)
    assert filled["high"].to_numpy() == pytest.approx(high)


def test_a_table_by_hand(binary: Make) -> None:
    table = binary([False, True, True, False], [0.1, 0.1, 0.15, 0.9])
    made = reliability_table(table, positive="melanoma", bins=5)
    assert made["n"].tolist() == [3, 0, 0, 0, 1]
    assert made["positives"].tolist() == [2, 0, 0, 0, 0]
    assert made["observed"].iloc[0] == pytest.approx(2 / 3)
    assert made["mean_probability"].iloc[0] == pytest.approx(0.35 / 3)
    assert made["left"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert made["note"].tolist() == ["", *["not estimable: no score falls here"] * 3, ""]
    assert made["observed"].isna().tolist() == [False, True, True, True, False]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 12))
def test_equal_scores_share_a_bin(steps: list[int], bins: int) -> None:
    score = np.array(steps) / 6
    for spacing in ("width", "mass"):
        codes = bin_codes(score, bins=bins, spacing=spacing)
        assert all(len(set(codes[score == value])) == 1 for value in set(score))
        order = np.argsort(score, kind="stable")
        assert (np.diff(codes[order]) >= 0).all()
        assert codes.max() < bins
    assert set(codes) == set(range(codes.max() + 1))


def test_bins_of_equal_mass_hold_equally_many() -> None:
    score = np.random.default_rng(0).random(1003)
    counts = np.bincount(bin_codes(score, bins=10, spacing="mass"))
    assert counts.max() - counts.min() <= 1


def test_patients_widen_the_intervals(stretched: Make) -> None:
    table = stretched(2000)
    alone = reliability_table(table, positive="melanoma")
    alike = pd.concat([table.assign(image_id=table["image_id"] + s) for s in ("a", "b", "c")])
    thrice = reliability_table(
        alike.assign(lesion_id=np.tile(table["image_id"], 3)), positive="melanoma",
        cluster="lesion_id",
    )  # fmt: skip
    # Three copies of each row say no more than one; only n / (n - 1) is new.
    assert thrice["observed"].to_numpy() == pytest.approx(alone["observed"].to_numpy())
    assert thrice["low"].to_numpy() == pytest.approx(alone["low"].to_numpy(), abs=2e-3)
    assert thrice["n"].sum() == 3 * alone["n"].sum()
    single = table.assign(patient_id="p")
    notes = reliability_table(single, positive="melanoma", cluster="patient_id")["note"]
    assert (notes == "interval not estimable: all rows are of one patient_id").all()


def test_top_label_counts_right_calls(many: Make) -> None:
    table = many(500)
    values = prevalence.class_values(table)
    called = np.array([c[2:] for c in table.columns if c.startswith("p_")])[values.argmax(axis=1)]
    made = reliability_table(prevalence.top_label(table), positive="right")
    assert made["positives"].sum() == (called == table["truth"]).sum()
    assert (made["n"] * made["mean_probability"]).sum() == pytest.approx(values.max(axis=1).sum())
    columns = {c: 1 / 7 for c in table if c.startswith("p_")}
    tied = prevalence.top_label(table.assign(**columns))
    assert (tied["truth"] == "wrong").all()


def test_bad_input_is_named(binary: Make) -> None:
    table = binary([True, False], [0.6, 0.2])
    with pytest.raises(TableError, match="kind is 'score', and reliability_table needs"):
        reliability_table(table.assign(kind="score"), positive="melanoma")
    with pytest.raises(TableError, match="positive is 'nevus'"):
        reliability_table(table, positive="nevus")
    with pytest.raises(TableError, match=r"p_melanoma of i00000 is 1\.5, not within 0-1"):
        reliability_table(table.assign(p_melanoma=1.5), positive="melanoma")
    with pytest.raises(ValueError, match="bins is 0"):
        reliability_table(table, positive="melanoma", bins=0)
    with pytest.raises(ValueError, match="spacing is 'equal'"):
        reliability_table(table, positive="melanoma", spacing="equal")
    empty = reliability_table(table.assign(truth=np.nan), positive="melanoma")
    assert empty["note"].tolist() == ["not estimable: no row has a truth"]
