"""What may select: rows with truths, in folds that share no patient. And what is read off."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.ensembles import alignment, blends, candidates, search
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def four(binary: Make) -> dict[str, pd.DataFrame]:
    """Two members that complete each other, a poor one and noise; three folds and test rows."""
    draw = np.random.default_rng(1)
    truth = draw.random(400) < 0.4
    fold = np.arange(400) % 4 - 1
    words = [None if f == -1 else bool(t) for f, t in zip(fold, truth, strict=True)]
    tables = {}
    for name, gain in (("first", 0.3), ("second", 0.3), ("poor", 0.05), ("noise", 0.0)):
        score = np.clip(draw.normal(0.35 + gain * truth, 0.2), 0, 1)
        tables[name] = binary(words, score, fold=fold, run=name)
    return tables


def test_weights_are_those_of_the_other_folds(four: dict[str, pd.DataFrame]) -> None:
    made = candidates.make_candidates(four, positive="melanoma")
    found = search.exhaustive_search(made)
    table = candidates.search_weights(found)
    assert list(table.columns) == ["fold", "member", "weight"]
    assert sorted(table["fold"].unique()) == [-1, 0, 1, 2]
    wide = table.pivot(index="fold", columns="member", values="weight")
    assert wide.sum(axis=1).to_numpy() == pytest.approx(1)
    assert (wide[["first", "second"]] > 0).all(axis=None)
    for k in (0, 1, 2):
        own = four["first"]["fold"] == k
        turned = {"melanoma": "other", "other": "melanoma"}
        lying = {
            n: t.assign(truth=t["truth"].where(~own, t["truth"].replace(turned)))
            for n, t in four.items()
        }
        other = search.exhaustive_search(candidates.make_candidates(lying, positive="melanoma"))
        assert (other.chosen(k) == found.chosen(k)).all()
        assert other.aucs[k].tolist() == found.aucs[k].tolist()
        assert other.aucs[-1].max() < found.aucs[-1].max()


def test_rows_score_as_the_blend_does(four: dict[str, pd.DataFrame]) -> None:
    made = candidates.make_candidates(four, positive="melanoma", method="rank")
    found = search.greedy_search(made, steps=7)
    counts = found.chosen()
    judged = {n: t[t["fold"] != -1] for n, t in four.items()}
    ranks = {n: t["p_melanoma"].rank(pct=True) for n, t in judged.items()}
    wanted = sum(c * ranks[n] for n, c in zip(made.names, counts, strict=True)) / counts.sum()
    n = len(ranks["first"])
    score = candidates.blended_scores(made, counts) / (2 * n)
    assert score == pytest.approx(wanted.to_numpy(), abs=1e-12)
    mixed = candidates.cross_fitted_scores(found, {k: found.chosen(k) for k in (0, 1, 2)})
    own = made.rows["fold"].to_numpy() == 1
    assert (mixed[own] == candidates.blended_scores(made, found.chosen(1))[own]).all()
    weights = blends.weights_table(four, method="weighted", weights=[1, 1, 1, 1])
    assert set(weights.columns) == set(candidates.search_weights(found).columns)


def test_frequency_counts_the_best(four: dict[str, pd.DataFrame]) -> None:
    made = candidates.make_candidates(four, positive="melanoma")
    table = candidates.member_frequency(search.exhaustive_search(made, top=3)).set_index("member")
    assert table.loc[["first", "second"], ["share", "folds"]].eq(1).all(axis=None)
    assert table["n"].eq(3).all()
    assert table["share"].is_monotonic_decreasing
    assert table["weight"].sum() == pytest.approx(1)


def test_what_cannot_judge_is_refused(binary: Make) -> None:
    def made(tables: dict[str, pd.DataFrame], **more: object) -> candidates.Candidates:
        return candidates.make_candidates(tables, positive="melanoma", **more)  # type: ignore[arg-type]

    score, fold = np.linspace(0.1, 0.9, 12), np.arange(12) % 3
    truth = [True, True, True, False, False, False] * 2
    fine = binary(truth, score, fold=fold)
    assert made({"a": fine, "b": fine}).folds == [0, 1, 2]
    with pytest.raises(TableError, match="no row is melanoma"):
        made({"a": binary([False] * 12, score, fold=fold)})
    with pytest.raises(TableError, match="every row is melanoma"):
        made({"a": binary([True] * 12, score, fold=fold)})
    with pytest.raises(TableError, match="no row has a truth"):
        made({"a": binary([None] * 12, score, fold=-1)})
    with pytest.raises(TableError, match="no row is melanoma without fold 1"):
        made({"a": binary(fold == 1, score, fold=fold)})
    with pytest.raises(TableError, match="lie in 1 fold"):
        made({"a": binary(truth, score)})
    astray = fine.assign(patient_id=["p0", "p0", *(f"p{k}" for k in range(2, 12))])
    with pytest.raises(TableError, match="patient_id 'p0' lies in 2 folds"):
        made({"a": astray, "b": fine})
    with pytest.raises(TableError, match="no common scale"):
        made({"a": fine, "b": fine.assign(kind="score")})
    assert made({"a": fine, "b": fine.assign(kind="score")}, method="rank").scores.shape == (2, 12)
    with pytest.raises(ValueError, match="method is 'median'"):
        made({"a": fine}, method="median")
    with pytest.raises(TableError, match="positive is 'mole'"):
        candidates.make_candidates({"a": fine}, positive="mole")


def test_decimals_tie_that_floats_would_part(binary: Make) -> None:
    truth, fold = [True, False] * 4, [0, 0, 1, 1] * 2
    a = binary(truth, [0.1, 0.3, 0.2, 0.0, 0.4, 0.5, 0.6, 0.7], fold=fold)
    b = binary(truth, [0.2, 0.0, 0.1, 0.3, 0.5, 0.4, 0.7, 0.6], fold=fold)
    made = candidates.make_candidates({"a": a, "b": b}, positive="melanoma")
    assert 0.1 + 0.2 != 0.3 + 0.0
    assert len(set(made.scores.sum(axis=0)[:4].tolist())) == 1


def test_ranks_of_parts_without_a_common_size_are_rounded() -> None:
    sizes = (53, 59, 61, 67, 71, 73, 79, 83, 89, 97)  # their product passes 15 digits
    part = np.repeat(np.arange(10), sizes)
    values = np.random.default_rng(0).random(len(part))
    ranks = pd.Series(values).groupby(part).rank(pct=True).to_numpy()
    unit = alignment.whole_unit(sizes, largest=10**15)
    assert unit == 10**15
    whole = alignment.whole_ranks(values, part, unit)
    assert whole / 10**15 == pytest.approx(ranks, abs=1e-15)
    few = alignment.whole_ranks(values[:112], part[:112], alignment.whole_unit(sizes[:2]))
    assert few / (2 * 53 * 59) == pytest.approx(ranks[:112], abs=1e-15)


def test_one_class_of_several(many_classes: Make) -> None:
    names = ("melanoma", "nevus", "unknown")
    draw = np.random.default_rng(0)
    code = draw.integers(0, 3, 90)
    tables = {
        n: many_classes(
            [names[k] for k in code], draw.random((90, 3)) + gain * np.eye(3)[code], names
        )
        for n, gain in (("good", 1.0), ("noise", 0.0))
    }
    tables = {n: t.assign(fold=np.arange(90) % 3) for n, t in tables.items()}
    for positive in ("melanoma", "nevus"):
        found = search.exhaustive_search(candidates.make_candidates(tables, positive=positive))
        assert found.chosen().tolist() == [1, 0]


def test_what_was_selected_is_what_is_blended(four: dict[str, pd.DataFrame]) -> None:
    found = search.exhaustive_search(candidates.make_candidates(four, positive="melanoma"))
    by_fold = candidates.weights_by_fold(found)
    table = candidates.search_weights(found)
    assert {*by_fold} == {-1, 0, 1, 2}
    for _, row in table.iterrows():
        assert by_fold[row["fold"]][row["member"]] == row["weight"]
    made = blends.blend(four, by_fold=by_fold)
    first = four["first"].set_index("image_id")
    for fold, weights in by_fold.items():
        own = made[made["fold"] == fold].set_index("image_id")["p_melanoma"]
        wanted = sum(
            share * four[name].set_index("image_id").loc[own.index, "p_melanoma"]
            for name, share in weights.items()
        )
        assert own.to_numpy() == pytest.approx(np.asarray(wanted))
        assert len(own) == (first["fold"] == fold).sum()
    with pytest.raises(ValueError, match="by_fold is given, but method is 'logit'"):
        blends.blend(four, method="logit", by_fold=by_fold)
    with pytest.raises(ValueError, match=r"for fold -1, but the members are .*select among these"):
        blends.blend({"first": four["first"]}, by_fold=by_fold)


def test_without_a_search_tables_are_empty_or_say_so_and_everybody_stays(
    four: dict[str, pd.DataFrame],
) -> None:
    none = search.select_members(four, positive="melanoma")
    assert none is None
    assert candidates.weights_by_fold(none) is None
    assert list(candidates.selected_members(four, none)) == list(four)
    some = search.select_members(four, positive="melanoma", select="greedy", steps=3)
    assert some is not None
    for make in (candidates.search_table, candidates.member_frequency, search.path_table):
        assert make(none).empty
        assert list(make(none).columns) == list(make(some).columns)
    luck = search.optimism_table(none)
    assert luck["note"].tolist() == [
        "not estimable: all members are blended, and none was selected"
    ]
    assert list(luck.columns) == list(search.optimism_table(some).columns)


@pytest.mark.parametrize("select", ["greedy", "exhaustive"])
def test_members_are_selected_by_the_search_that_is_asked_for(
    four: dict[str, pd.DataFrame], select: Any
) -> None:
    made = candidates.make_candidates(four, positive="melanoma", method="rank")
    by_hand = (
        search.greedy_search(made, steps=4, replace=False)
        if select == "greedy"
        else search.exhaustive_search(made)
    )
    ours = search.select_members(
        four, positive="melanoma", select=select, method="rank", steps=4, replace=False
    )
    assert ours is not None
    assert candidates.weights_by_fold(ours) == candidates.weights_by_fold(by_hand)
    weights = candidates.search_weights(by_hand)
    taken = weights[(weights["fold"] == -1) & (weights["weight"] > 0)]["member"]
    assert {*candidates.selected_members(four, ours)} == {*taken}
