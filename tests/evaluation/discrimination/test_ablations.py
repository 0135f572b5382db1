"""Techniques against the base: what is planted is found, luck is not, and errors add up."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.discrimination.ablations import COLUMNS, ablation_table, seeds_table
from melnb.tables.checks import TEST, TableError

Make = Callable[..., pd.DataFrame]


def trained(binary: Make, *, skill: float, luck: int, n: int = 1500) -> pd.DataFrame:
    """Make a run: what all see in an image, what this training adds, and how much it helps."""
    common = np.random.default_rng(0)
    truth = common.random(n) < 0.2
    seen = common.normal(size=n) + truth
    own = np.random.default_rng(luck).normal(size=n)
    return binary(truth, 1 / (1 + np.exp(-(seen + 0.4 * own + skill * truth))), fold=list(range(n)))


def test_what_is_planted_is_found_and_luck_is_not(binary: Make) -> None:
    tables = {
        "base": [trained(binary, skill=0.0, luck=k) for k in (1, 2, 3)],
        "better": [trained(binary, skill=0.5, luck=k) for k in (4, 5, 6)],
        "worse": [trained(binary, skill=-0.5, luck=k) for k in (7, 8, 9)],
        "again": [trained(binary, skill=0.0, luck=k) for k in (10, 11, 12)],
    }
    made = ablation_table(tables, positive="melanoma")
    assert tuple(made.columns) == COLUMNS
    assert made["technique"].tolist() == ["better", "worse", "again"]
    assert made["verdict"].tolist() == ["helps", "hurts", "within noise"]
    assert (made["low"] < made["difference"]).all()
    assert made["difference"].to_numpy() == pytest.approx(made["auc"] - made["auc_base"])
    assert made["se"].to_numpy() == pytest.approx(np.hypot(made["se_images"], made["se_training"]))
    assert (made["p_holm"] >= made["p"]).all()


def test_one_seed_is_the_paired_difference_of_two_runs(binary: Make) -> None:
    base, other = (trained(binary, skill=s, luck=k) for s, k in ((0.0, 1), (0.2, 2)))
    row = ablation_table({"base": [base], "other": [other]}, positive="melanoma").iloc[0]
    plain = ranking.auc_comparison({"other": other, "base": base}, positive="melanoma").iloc[0]
    for name in ("difference", "se", "low", "high", "p", "n", "positives"):
        assert row[name] == pytest.approx(plain[name])
    assert row["note"] == "noise of training unknown: one seed"


def test_noise_of_training_is_the_pooled_spread_over_seeds(binary: Make) -> None:
    base = [trained(binary, skill=0.0, luck=k) for k in (1, 2)]
    other = [trained(binary, skill=0.0, luck=k) for k in (3, 4, 5)]
    row = ablation_table({"base": base, "other": other}, positive="melanoma").iloc[0]
    areas = [
        [ranking.auc(t, positive="melanoma")["value"].iloc[0] for t in runs]
        for runs in (base, other)
    ]
    pooled = (np.var(areas[0]) * 2 + np.var(areas[1]) * 3) / 3
    assert row["se_training"] == pytest.approx(np.sqrt(pooled * (1 / 2 + 1 / 3)))


def test_rows_are_joined_by_id_and_test_rows_stay_out(binary: Make) -> None:
    base, other = (trained(binary, skill=0.0, luck=k, n=400) for k in (1, 2))
    shuffled = other.sample(frac=1, random_state=0).iloc[:300]
    test = other.iloc[:50].assign(fold=TEST)
    test["image_id"] = "t" + test["image_id"]
    more = pd.concat([shuffled, test])
    row = ablation_table({"base": [base], "other": [more]}, positive="melanoma").iloc[0]
    assert row["n"] == 300


def test_clusters_widen_and_one_class_has_a_note(binary: Make) -> None:
    runs = [trained(binary, skill=s, luck=k, n=400) for s, k in ((0.0, 1), (0.3, 2))]
    lesions = [f"l{k // 4}" for k in range(400)]
    runs = [t.assign(lesion_id=lesions) for t in runs]
    tables = {"base": runs[:1], "other": runs[1:]}
    plain = ablation_table(tables, positive="melanoma").iloc[0]
    wide = ablation_table(tables, positive="melanoma", cluster="lesion_id").iloc[0]
    assert wide["difference"] == plain["difference"]
    assert wide["se"] != plain["se"]
    healthy = {name: [t[t["truth"] == "other"] for t in ts] for name, ts in tables.items()}
    lost = ablation_table(healthy, positive="melanoma").iloc[0]
    assert lost["verdict"] == "not estimable"
    assert lost["note"] == "not estimable: no row is melanoma"


def test_the_same_run_twice_is_not_told_apart(binary: Make) -> None:
    base = trained(binary, skill=0.0, luck=1, n=300)
    row = ablation_table({"base": [base], "same": [base]}, positive="melanoma").iloc[0]
    assert row["difference"] == 0
    assert row["verdict"] == "not estimable"
    assert row["note"].startswith("not estimable: the two scores rank")


def test_what_does_not_fit_is_refused(binary: Make) -> None:
    base = trained(binary, skill=0.0, luck=1, n=300)
    turned = base.assign(truth=base["truth"].map({"melanoma": "other", "other": "melanoma"}))
    with pytest.raises(TableError, match="truth of i00000 differs between two tables"):
        ablation_table({"base": [base], "other": [turned]}, positive="melanoma")
    with pytest.raises(TableError, match="one seed or more"):
        ablation_table({"base": [base], "other": []}, positive="melanoma")


def test_each_seed_has_its_own_area(binary: Make) -> None:
    runs = {"base": {"base-s1": trained(binary, skill=0.0, luck=1, n=300)}}
    table = seeds_table(runs, positive="melanoma")
    plain = ranking.auc(runs["base"]["base-s1"], positive="melanoma").iloc[0]
    assert table[["technique", "run"]].to_numpy().tolist() == [["base", "base-s1"]]
    assert table["value"].iloc[0] == plain["value"]
    assert seeds_table({}, positive="melanoma").empty
