"""Members weighed: correlations against SciPy, contributions against the comparison of runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.discrimination import ranking
from melnb.evaluation.ensembles import blends

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def three(binary: Make) -> dict[str, pd.DataFrame]:
    generator = np.random.default_rng(3)
    truth = generator.random(300) < 0.3
    tables = {}
    for name, gain in (("good", 0.25), ("fair", 0.15), ("noise", 0.0)):
        score = np.round(np.clip(generator.normal(0.4 + gain * truth, 0.15), 0, 1), 2)
        table = binary(truth, score, fold=np.arange(300) % 3, run=name)
        tables[name] = table.sample(frac=1, random_state=len(name))
    return tables


def test_correlation_is_scipys(three: dict[str, pd.DataFrame]) -> None:
    table = blends.member_correlation(three, positive="melanoma")
    assert [tuple(r) for r in table[["first", "second"]].to_numpy()] == [
        ("good", "fair"), ("good", "noise"), ("fair", "noise"),
    ]  # fmt: skip
    a, b = (three[n].set_index("image_id")["p_melanoma"].sort_index() for n in ("good", "fair"))
    row = table.iloc[0]
    assert row["correlation"] == pytest.approx(spearmanr(a, b).statistic)
    assert row["low"] < row["correlation"] < row["high"]
    assert row["note"] == ""


def test_correlation_that_is_not_there(binary: Make) -> None:
    flat, steep = binary([True] * 5, [0.5] * 5), binary([True] * 5, np.linspace(0, 1, 5))
    members = {"a": flat, "b": steep, "c": steep}
    table = blends.member_correlation(members, positive="melanoma")
    assert table["note"].iloc[0] == "not estimable: a member's scores are all alike"
    assert table["correlation"].isna().tolist() == [True, True, False]
    assert table["correlation"].iloc[2] == pytest.approx(1)
    assert table["note"].iloc[2].startswith("interval not estimable")
    few = {"a": steep.head(2), "b": steep.head(2)}
    assert blends.member_correlation(few, positive="melanoma")["low"].isna().all()
    assert blends.member_correlation({"a": flat}, positive="melanoma").empty


@pytest.mark.parametrize("method", ["mean", "rank", "weighted", "fitted"])
def test_contribution_is_the_blend_less_the_blend_without(
    three: dict[str, pd.DataFrame], method: blends.Method
) -> None:
    weights = [3, 2, 1] if method == "weighted" else []
    table = blends.member_contribution(
        three, positive="melanoma", method=method, weights=weights
    ).set_index("member")
    without = {n: t for n, t in three.items() if n != "fair"}
    runs = {
        "all": blends.blend(three, method=method, weights=weights, positive="melanoma"),
        "without": blends.blend(
            without, method=method, weights=[3, 1] if weights else [], positive="melanoma"
        ),
    }
    wanted = ranking.auc_comparison(runs, positive="melanoma").iloc[0]
    row = table.loc["fair"]
    for column in ("difference", "se", "low", "high", "z", "p"):
        assert row[column] == pytest.approx(wanted[column]), column
    alone = ranking.auc(three["fair"], positive="melanoma").iloc[0]
    for column, own in (("auc", "value"), ("auc_low", "low"), ("auc_high", "high")):
        assert row[column] == pytest.approx(alone[own], rel=1e-12)
    assert table.loc["good", "difference"] > table.loc["noise", "difference"]
    # A fit may leave a member out altogether: then the two blends are one, and the note says so.
    assert (table["note"] == "").equals(table["difference"] != 0)


def test_contribution_by_patient(three: dict[str, pd.DataFrame]) -> None:
    tables = {n: t.assign(patient_id=t["image_id"].str[:5]) for n, t in three.items()}
    rows = blends.member_contribution(tables, positive="melanoma")
    patients = blends.member_contribution(tables, positive="melanoma", cluster="patient_id")
    assert (rows["difference"] == patients["difference"]).all()
    assert (rows["se"] != patients["se"]).all()


def test_contribution_that_is_not_there(binary: Make, three: dict[str, pd.DataFrame]) -> None:
    alone = blends.member_contribution({"good": three["good"]}, positive="melanoma").iloc[0]
    assert alone["note"] == "not estimable: there is no other member"
    assert alone["auc"] > 0.5
    test = binary([None] * 4, [0.1, 0.2, 0.3, 0.4], fold=-1)
    table = blends.member_contribution({"a": test, "b": test}, positive="melanoma")
    assert (table["note"] == "not estimable: no row has a truth").all()


@pytest.mark.data
def test_the_third_places_members_disagree(siim_predictions: Path) -> None:
    images = {p.stem: read_foreign(p) for p in siim_predictions.glob("submission_Eff*.csv")}
    table = blends.member_correlation(images, positive="melanoma")
    assert len(table) == 28
    assert table["correlation"].mean() == pytest.approx(0.556, abs=5e-4)
    assert table["correlation"].min() == pytest.approx(0.318, abs=5e-4)
    pair = {
        "images": blends.blend(images),
        "metadata": read_foreign(siim_predictions / "submission_simple_baseline.csv"),
    }
    found = blends.member_correlation(pair, positive="melanoma")["correlation"].iloc[0]
    assert found == pytest.approx(0.137, abs=5e-4)
