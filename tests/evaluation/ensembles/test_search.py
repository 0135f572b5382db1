"""Every subset against scikit-learn; the greedy path against a loop; nothing hangs on an order."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from melnb.evaluation.ensembles import candidates, search
from melnb.evaluation.ensembles.candidates import Duels
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


def members_of(
    binary: Make, number: int, *, n: int = 80, seed: int = 0, share: float = 0.3
) -> dict[str, pd.DataFrame]:
    """Members of scores with one decimal, so that rows and sums tie; four folds of odd sizes."""
    draw = np.random.default_rng(seed)
    truth = draw.random(n) < share
    truth[:8] = np.arange(8) < 4  # both classes in each fold
    fold = np.append(np.arange(8) % 4, draw.choice(4, n - 8, p=[0.4, 0.3, 0.2, 0.1]))
    score = [np.round(0.6 * draw.random(n) + 0.4 * truth * draw.random(n), 1) for _ in "x" * number]
    return {f"m{k}": binary(truth, s, fold=fold, run=f"m{k}") for k, s in enumerate(score)}


def blended(members: dict[str, pd.DataFrame], method: str, within: bool) -> dict[str, np.ndarray]:
    """What is blended of each member, in the words of pandas."""
    if method == "mean":
        return {n: t["p_melanoma"].to_numpy() for n, t in members.items()}
    return {
        n: t["p_melanoma"].groupby(t["fold"] if within else 0 * t["fold"]).rank(pct=True).to_numpy()
        for n, t in members.items()
    }


@pytest.mark.parametrize("share", [0.3, 0.7])
@pytest.mark.parametrize(("method", "within"), [("mean", False), ("rank", False), ("rank", True)])
def test_all_subsets_are_scikit_learns(
    binary: Make, method: candidates.Blended, within: bool, share: float
) -> None:
    members = members_of(binary, 6, share=share)
    made = candidates.make_candidates(
        members, positive="melanoma", method=method, rank_within_fold=within
    )
    found = search.exhaustive_search(made, top=100)
    truth = members["m0"]["truth"].to_numpy() == "melanoma"
    fold = members["m0"]["fold"].to_numpy()
    values = blended(members, method, within)
    aucs: dict[int, dict[str, float]] = {k: {} for k in (-1, 0, 1, 2, 3)}
    for size in range(1, 7):
        for names in combinations(members, size):
            # Rounded, or what ties in decimals would not tie in floats.
            score = np.mean([values[n] for n in names], axis=0).round(12)
            for k, own in aucs.items():
                rows = fold != k
                own[" + ".join(names)] = roc_auc_score(truth[rows], score[rows])
    table = candidates.search_table(found).set_index("members")
    assert len(table) == 63
    assert table["auc"].is_monotonic_decreasing
    for words, auc in aucs[-1].items():
        assert table.loc[words, "auc"] == pytest.approx(auc, abs=1e-12)
    for k, own in aucs.items():
        sizes = {words: words.count("+") + 1 for words in own}
        for size in range(1, 7):
            best = max(auc for words, auc in own.items() if sizes[words] == size)
            assert found.aucs[k][size - 1] == pytest.approx(best, abs=1e-12)
            words = candidates.name_blend(made.names, found.counts[k][size - 1])
            assert sizes[words] == size
            assert own[words] == pytest.approx(best, abs=1e-12)
        assert own[candidates.name_blend(made.names, found.chosen(k))] == pytest.approx(
            max(own.values()), abs=1e-12
        )


def test_many_members_are_searched_in_parts(binary: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = candidates.make_candidates(members_of(binary, 7), positive="melanoma")
    whole = search.exhaustive_search(made, top=20)
    monkeypatch.setattr(search, "_BITS", 3)
    parts = search.exhaustive_search(made, top=20, jobs=2)
    pd.testing.assert_frame_equal(
        candidates.search_table(whole), candidates.search_table(parts), check_exact=True
    )
    for k in whole.counts:
        assert (whole.counts[k] == parts.counts[k]).all()
        assert (whole.aucs[k] == parts.aucs[k]).all()


@settings(max_examples=settings.default.max_examples // 7)
@given(st.integers(0, 10_000), st.sampled_from(["mean", "rank"]), st.booleans())
def test_the_order_of_members_and_rows_changes_nothing(
    binary: Make, seed: int, method: candidates.Blended, greedy: bool
) -> None:
    members = members_of(binary, 4, n=40)
    order = np.random.default_rng(seed).permutation(list(members))
    shuffled = {str(n): members[n].sample(frac=1, random_state=seed) for n in order}

    def searched(tables: dict[str, pd.DataFrame]) -> candidates.Selection:
        made = candidates.make_candidates(tables, positive="melanoma", method=method)
        return search.greedy_search(made, steps=6) if greedy else search.exhaustive_search(made)

    one, other = searched(members), searched(shuffled)
    for table in (candidates.search_table, candidates.search_weights, candidates.member_frequency):
        pd.testing.assert_frame_equal(table(one), table(other), check_exact=True)


@pytest.mark.parametrize("replace", [True, False])
def test_the_greedy_path_is_a_loops(binary: Make, replace: bool) -> None:
    members = members_of(binary, 5)
    made = candidates.make_candidates(members, positive="melanoma", method="rank")
    found = search.greedy_search(made, replace=replace, steps=9)
    truth = members["m0"]["truth"].to_numpy() == "melanoma"
    fold = members["m0"]["fold"].to_numpy()
    ranks = list(blended(members, "rank", False).values())
    for k in (-1, 2):
        rows, counts = fold != k, np.zeros(5, dtype=int)
        for step in range(9 if replace else 5):
            tried = {}
            for j in range(5):
                if replace or not counts[j]:
                    more = counts + (np.arange(5) == j)
                    score = sum(c * r for c, r in zip(more, ranks, strict=True))
                    tried[j] = roc_auc_score(truth[rows], np.round(score[rows], 9))
            top = max(tried.values())
            counts[min(j for j, auc in tried.items() if auc > top - 1e-12)] += 1
            assert found.counts[k][step].tolist() == counts.tolist()
            assert found.aucs[k][step] == pytest.approx(top, abs=1e-12)
        assert len(found.counts[k]) == (9 if replace else 5)


def test_greedy_is_at_most_as_good_as_looking_at_all(binary: Make) -> None:
    made = candidates.make_candidates(members_of(binary, 6), positive="melanoma")
    every, greedy = search.exhaustive_search(made), search.greedy_search(made, replace=False)
    assert (every.aucs[-1] >= greedy.aucs[-1]).all()
    assert every.aucs[-1][[0, -1]].tolist() == greedy.aucs[-1][[0, -1]].tolist()
    weighed = search.greedy_search(made, steps=40)
    assert weighed.counts[-1].sum(axis=1).tolist() == list(range(1, 41))
    assert weighed.chosen().max() > 1  # replacement weighs


def test_wins_are_counted_by_fold() -> None:
    draw = np.random.default_rng(4)
    truth = np.array([True] * 5 + [False] * 9)
    fold = np.array([0, 0, 0, 2, 2] + [0] * 4 + [7] * 5)  # no fold but 0 holds both classes
    scores = draw.integers(0, 4, (2, 14))
    duels = Duels(scores, truth, fold, most=2)
    won = duels.wins(duels.start + duels.scores[0] + duels.scores[1])
    total = scores.sum(axis=0)
    for i, a in enumerate((0, 2, 7)):
        for j, b in enumerate((0, 2, 7)):
            gap = total[truth & (fold == b)][:, None] - total[~truth & (fold == a)]
            assert won[i, j] == (np.sign(gap) + 1).sum()
    aucs = duels.aucs(duels.start + duels.scores[0])
    assert aucs[0] == pytest.approx(roc_auc_score(truth, scores[0]))
    for auc, k in zip(aucs[1:], (0, 2, 7), strict=True):
        assert auc == pytest.approx(roc_auc_score(truth[fold != k], scores[0][fold != k]))
    poor = Duels(scores, truth, truth.astype(int), most=1)
    assert np.isnan(poor.aucs(poor.start)).tolist() == [False, True, True]
    with pytest.raises(TableError, match="3 folds are too many"):
        Duels(scores * 10**15, truth, fold, most=2_000)


def test_one_member_is_a_search_too(binary: Make) -> None:
    made = candidates.make_candidates(members_of(binary, 1), positive="melanoma")
    for found in (search.exhaustive_search(made), search.greedy_search(made, steps=2)):
        table = candidates.search_table(found)
        assert table["members"].iloc[0] == "m0"
        assert candidates.search_weights(found)["weight"].tolist() == [1] * 5


def test_too_many_members_are_refused(binary: Make) -> None:
    made = candidates.make_candidates(members_of(binary, 19, n=20), positive="melanoma")
    with pytest.raises(ValueError, match=r"19 members have 524,287 subsets.*select greedily"):
        search.exhaustive_search(made)
    assert search.greedy_search(made, steps=3).chosen().sum() <= 3


@pytest.mark.parametrize("name", ["top", "jobs", "steps"])
def test_numbers_below_one_are_refused(binary: Make, name: str) -> None:
    made = candidates.make_candidates(members_of(binary, 2), positive="melanoma")
    how = search.greedy_search if name == "steps" else search.exhaustive_search
    with pytest.raises(ValueError, match=f"{name} is 0"):
        how(made, **{name: 0})  # type: ignore[operator]
