"""The luck of a search is found: members of noise gain by all rows, and nothing honestly."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.ensembles import blends, candidates, search

Make = Callable[..., pd.DataFrame]


def members_of(binary: Make, gains: dict[str, float], *, n: int = 600) -> dict[str, pd.DataFrame]:
    """Members on patients of three images; four folds that part no patient."""
    draw = np.random.default_rng(7)
    truth = draw.random(n) < 0.3
    patient = np.arange(n) // 3
    tables = {}
    for name, gain in gains.items():
        score = 1 / (1 + np.exp(1 - gain * truth - draw.normal(size=n)))
        table = binary(truth, score, fold=patient % 4, run=name)
        tables[name] = table.assign(patient_id=[f"p{k}" for k in patient])
    return tables


@pytest.fixture(scope="module")
def found(binary: Make) -> candidates.Selection:
    gains = {"good": 1.6, "fair": 1.2, "poor": 0.6} | {f"noise {k}": 0.0 for k in range(5)}
    made = candidates.make_candidates(members_of(binary, gains), positive="melanoma")
    return search.exhaustive_search(made)


@pytest.mark.parametrize("greedy", [False, True])
def test_noise_gains_apparently_and_not_honestly(binary: Make, greedy: bool) -> None:
    tables = members_of(binary, {f"noise {k}": 0.0 for k in range(10)}, n=900)
    made = candidates.make_candidates(tables, positive="melanoma")
    one = search.greedy_search(made, steps=20) if greedy else search.exhaustive_search(made)
    table = search.optimism_table(one, cluster="patient_id").set_index(["what", "pairs"])
    selected = table.loc[search.SELECTED]
    assert (selected["apparent"] > 0.54).all()
    assert (selected["low"] < 0.5).all()
    assert (selected["optimism"] > 0.03).all()
    for what in (search.OVER_MEAN, search.OVER_BEST):
        gain = table.loc[what]
        assert (gain["apparent"] > 0).all()
        assert (gain["low"] < 0).all()
        assert (gain["high"] > 0).all()
        assert (gain["optimism"] > 0).all()


def test_numbers_are_those_of_the_blends(binary: Make, found: candidates.Selection) -> None:
    names, rows = found.candidates.names, found.candidates.rows
    table = search.optimism_table(found, cluster="patient_id").set_index(["what", "pairs"])
    scored = {
        "apparent": candidates.blended_scores(found.candidates, found.chosen()),
        "honest": candidates.cross_fitted_scores(found, {k: found.chosen(k) for k in range(4)}),
        "mean": candidates.blended_scores(found.candidates, np.ones(len(names), dtype=int)),
    }
    truth = rows["truth"].to_numpy()
    runs = {
        name: binary(truth, score / 10**15, fold=rows["fold"]).assign(patient_id=rows["patient_id"])
        for name, score in scored.items()
    }

    def compared(first: str, second: str) -> pd.Series:
        both = {name: runs[name] for name in (first, second)}
        return ranking.auc_comparison(both, positive="melanoma", cluster="patient_id").iloc[0]

    luck = compared("apparent", "honest")
    row = table.loc[(search.SELECTED, "all")]
    assert row["apparent"] == pytest.approx(found.aucs[-1].max())
    assert row["apparent"] == pytest.approx(luck["auc_first"])
    assert row["honest"] == pytest.approx(luck["auc_second"])
    for column, theirs in (("", "difference"), ("_low", "low"), ("_high", "high")):
        assert row[f"optimism{column}"] == pytest.approx(luck[theirs])
    gain, row = compared("honest", "mean"), table.loc[(search.OVER_MEAN, "all")]
    for column, theirs in (("honest", "difference"), ("low", "low"), ("high", "high")):
        assert row[column] == pytest.approx(gain[theirs])
    alone = ranking.auc(runs["honest"], positive="melanoma", cluster="patient_id").iloc[0]
    row = table.loc[(search.SELECTED, "all")]
    assert row[["low", "high"]].tolist() == pytest.approx(alone[["low", "high"]].tolist())
    assert row["n"] == 600


def test_pairs_of_one_fold_are_the_weighed_mean_of_folds(found: candidates.Selection) -> None:
    rows = found.candidates.rows
    score = candidates.cross_fitted_scores(found, {k: found.chosen(k) for k in range(4)})
    won = pairs = 0.0
    for k in range(4):
        own = rows["fold"].to_numpy() == k
        truth = rows["truth"].to_numpy()[own]
        gap = score[own][truth][:, None] - score[own][~truth]
        won, pairs = won + ((np.sign(gap) + 1) / 2).sum(), pairs + gap.size
    table = search.optimism_table(found).set_index(["what", "pairs"])
    assert table.loc[(search.SELECTED, "of one fold"), "honest"] == pytest.approx(won / pairs)


def test_a_blend_by_the_weights_has_the_honest_area(
    binary: Make, found: candidates.Selection
) -> None:
    gains = {"good": 1.6, "fair": 1.2, "poor": 0.6} | {f"noise {k}": 0.0 for k in range(5)}
    tables = blends.align(members_of(binary, gains))
    weights = candidates.search_weights(found).pivot(
        index="fold", columns="member", values="weight"
    )
    fold = tables["good"]["fold"]
    score = sum(weights[n].reindex(fold).to_numpy() * t["p_melanoma"] for n, t in tables.items())
    area = ranking.auc(binary(tables["good"]["truth"] == "melanoma", score), positive="melanoma")
    honest = search.optimism_table(found)["honest"].iloc[0]
    assert area["value"].iloc[0] == pytest.approx(honest, abs=1e-12)


def test_the_path_is_apparent_and_honest(found: candidates.Selection) -> None:
    table = search.path_table(found, cluster="patient_id")
    assert list(table.columns) == list(search.PATH_COLUMNS)
    assert table["size"].tolist() == list(range(1, 9))
    assert table["chosen"].sum() == 1
    assert table["apparent"].idxmax() == table["chosen"].idxmax()
    assert table["members"].iloc[0] == "good"
    assert table["honest"].iloc[0] == pytest.approx(table["apparent"].iloc[0])  # in every fold
    assert table["honest"].iloc[-1] == pytest.approx(
        table["apparent"].iloc[-1]
    )  # nothing to choose
    assert (table["optimism"].iloc[1:-1] >= 0).all()
    assert table["low"].lt(table["honest"]).all()
    greedy = search.greedy_search(found.candidates, steps=6)
    steps = search.path_table(greedy)
    assert (steps["added"] != "").all()
    assert steps["added"].iloc[0] == "good"


def test_what_has_no_interval_says_so(binary: Make) -> None:
    alone = candidates.make_candidates(members_of(binary, {"a": 1.0}), positive="melanoma")
    table = search.optimism_table(search.exhaustive_search(alone), cluster="patient_id")
    assert table["optimism"].eq(0).all()
    assert table["optimism_low"].isna().all()
    gains = table[table["what"].str.startswith("gain")]
    assert gains["note"].str.startswith("interval not estimable: both rank the rows alike").all()
    selected = table[table["what"] == search.SELECTED]
    assert selected["note"].str.startswith("no error of the optimism").all()
    assert selected["low"].notna().all()
    apart = binary([True, True, False, False] * 3, np.linspace(0.1, 0.9, 12), fold=[0, 0, 1, 1] * 3)
    apart["fold"] = [0, 2, 1, 3] * 3  # no fold holds both classes
    made = candidates.make_candidates({"a": apart}, positive="melanoma")
    within = search.optimism_table(search.exhaustive_search(made)).iloc[3:]
    assert within["honest"].isna().all()
    assert within["note"].str.startswith("not estimable: no fold holds both classes").all()
