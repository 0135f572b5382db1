"""Folds: LeDell's error by its formula, the corrected t as scikit-learn publishes it, coverage."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, ttest_1samp

from melnb.evaluation.discrimination import ranking, within_folds
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


def written_out(
    truth: np.ndarray, score: np.ndarray, fold: np.ndarray, ids: np.ndarray, less: int
) -> tuple[float, float]:
    """LeDell, Petersen and van der Laan 2015, row by row; `less`: 0 as in the paper, 1: n - 1."""
    n, number = len(truth), len(set(ids))
    per_id = n / number
    weight = {True: 1 / truth.mean(), False: 1 / (1 - truth.mean())}
    areas, squares = [], []
    for v in sorted(set(fold)):
        rows = np.flatnonzero(fold == v)
        positive = [i for i in rows if truth[i]]
        negative = [i for i in rows if not truth[i]]
        area = np.mean([[score[j] < score[i] for j in negative] for i in positive])
        influence = {}
        for i in rows:
            if truth[i]:
                share = np.mean([score[j] < score[i] for j in negative])
            else:
                share = np.mean([score[j] > score[i] for j in positive])
            own = len(positive if truth[i] else negative)
            influence[i] = weight[bool(truth[i])] * (share - area) * math.sqrt(own / (own - less))
        sums = [sum(influence[i] for i in rows if ids[i] == k) / per_id for k in set(ids[rows])]
        areas.append(area)
        several = less if number < n else 0
        squares.append(np.sum(np.square(sums)) / (len(sums) - several))
    return float(np.mean(areas)), math.sqrt(np.mean(squares) / number)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_error_is_the_papers(clustered: bool) -> None:
    draw = np.random.default_rng(0)
    truth, score = draw.random(150) < 0.3, draw.normal(size=150)
    fold = np.arange(150) // 3 % 5
    ids = np.arange(150) // 3 if clustered else np.arange(150)
    found = within_folds.influence_error(truth, score, fold, ids if clustered else None)
    assert found == pytest.approx(written_out(truth, score, fold, ids, 1))
    value, paper = written_out(truth, score, fold, ids, 0)
    assert found[0] == pytest.approx(value)
    assert paper < found[1] < 1.12 * paper


def test_shifted_folds_are_seen_in_the_pooled_area_alone(binary: Make) -> None:
    draw = np.random.default_rng(1)
    truth, fold = draw.random(600) < 0.3, np.arange(600) % 5
    logit = 2 * truth + draw.normal(size=600)
    plain = binary(truth, 1 / (1 + np.exp(-logit)), fold=fold)
    moved = binary(truth, 1 / (1 + np.exp(-logit - 1.5 * fold)), fold=fold)
    first, second = (
        within_folds.cross_validated_auc(t, positive="melanoma").set_index("rows")
        for t in (plain, moved)
    )
    kept = ["value", "se", "low", "high"]
    assert second.loc[within_folds.WITHIN, kept].tolist() == pytest.approx(
        first.loc[within_folds.WITHIN, kept].tolist()
    )
    assert second.loc[within_folds.POOLED, "value"] < first.loc[within_folds.POOLED, "value"] - 0.05
    by_fold = ranking.metrics_by_fold(plain, positive="melanoma", draws=2)
    single = by_fold[(by_fold["metric"] == "AUC") & by_fold["rows"].str.startswith("fold")]
    assert first.loc[within_folds.WITHIN, "value"] == pytest.approx(single["value"].mean())
    assert first.loc[within_folds.WITHIN, "method"] == "influence curve"
    assert first["note"].tolist() == ["", ""]


def test_a_fold_of_one_class_is_left_out_and_said(binary: Make) -> None:
    truth = np.array([True, False] * 30 + [False] * 10)
    score = np.linspace(0.2, 0.8, 70)
    table = binary(truth, score, fold=np.repeat([0, 1, 2], [30, 30, 10]))
    row = within_folds.cross_validated_auc(table, positive="melanoma").iloc[0]
    assert "without fold 2, of one class" in row["note"]
    assert row["n"] == 60
    single = within_folds.cross_validated_auc(table.assign(fold=0), positive="melanoma")
    assert single["note"].iloc[0] == "of one fold, which is the pooled area"
    assert single["value"].iloc[0] == single["value"].iloc[1]
    nothing = within_folds.cross_validated_auc(table[table["fold"] == 2], positive="melanoma")
    assert nothing["note"].str.startswith("not estimable: no row is melanoma").all()
    empty = within_folds.cross_validated_auc(table.assign(fold=-1), positive="melanoma")
    assert empty["note"].eq("not estimable: no row has a truth").all()


def simulated(sets: int, patients: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Truths and scores of five networks whose scales differ, images of patients in one fold."""
    draw = np.random.default_rng(2)
    apart = math.sqrt(2) * norm.ppf(0.85)
    for _ in range(sets):
        ids = np.repeat(np.arange(patients), 1 + draw.poisson(2, patients))
        truth = draw.random(len(ids)) < 0.2
        noise = math.sqrt(0.4) * draw.normal(size=patients)[ids]
        noise = noise + math.sqrt(0.6) * draw.normal(size=len(ids))
        fold = ids % 5
        yield truth, (noise + apart * truth) * (1 + fold) + 3 * fold, fold, ids


def covered(sets: int, patients: int) -> float:
    held = []
    for truth, score, fold, ids in simulated(sets, patients):
        value, se = within_folds.influence_error(truth, score, fold, ids)
        held.append(abs(value - 0.85) < 1.959964 * se)
    return float(np.mean(held))


def test_the_interval_within_folds_covers() -> None:
    assert 0.92 <= covered(400, 300) <= 0.98


@pytest.mark.nightly
@pytest.mark.parametrize("patients", [200, 600])
def test_the_interval_within_folds_covers_at_two_sizes(patients: int) -> None:
    assert 0.93 <= covered(4000, patients) <= 0.97


def test_the_corrected_t_is_the_plain_one_with_a_larger_variance() -> None:
    gaps = np.random.default_rng(5).normal(0.01, 0.02, 10)
    plain = ttest_1samp(gaps, 0)
    found = within_folds.corrected_t(gaps, test_share=1 / 9)
    assert found["t"] == pytest.approx(plain.statistic / math.sqrt(1 + 10 / 9))
    none = within_folds.corrected_t(gaps, test_share=0)
    assert none["p"] == pytest.approx(plain.pvalue)
    assert (none["low"], none["high"]) == pytest.approx(tuple(plain.confidence_interval()))


@pytest.mark.nightly
def test_the_corrected_t_is_that_which_scikit_learn_publishes() -> None:
    """Its example `plot_grid_search_stats`: t 0.750, one-sided p 0.227, of 10 x 10 folds."""
    from sklearn.datasets import make_moons
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    splits = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    curved, straight = (
        cross_val_score(SVC(kernel=kernel), x, y, cv=splits, scoring="roc_auc")
        for kernel in ("rbf", "linear")
    )
    found = within_folds.corrected_t(curved - straight, test_share=1 / 9)
    assert found["t"] == pytest.approx(0.750, abs=5e-4)
    assert found["p"] / 2 == pytest.approx(0.227, abs=5e-4)
    assert found["df"] == 99
    assert found["low"] < 0 < found["high"]
    # Without the correction the same folds would find a difference.
    assert ttest_1samp(curved - straight, 0).pvalue < 0.05


def rejected(sets: int) -> tuple[float, float]:
    """How often two learners of equal worth are told apart, corrected and not."""
    draw = np.random.default_rng(3)
    found = []
    for _ in range(sets):
        truth = np.arange(60) % 2 == 0
        x = draw.normal(size=(2, 60, 5)) + 0.3 * truth[None, :, None]
        fold = draw.permutation(60) % 10
        differences = []
        for k in range(10):
            train, test = fold != k, fold == k
            right = []
            for own in x:  # each learner has features of its own, all alike
                means = [own[train & side].mean(axis=0) for side in (truth, ~truth)]
                nearer = [((own[test] - m) ** 2).sum(axis=1) for m in means]
                right.append(((nearer[0] < nearer[1]) == truth[test]).mean())
            differences.append(right[0] - right[1])
        pair = np.array(differences)
        found.append(
            (within_folds.corrected_t(pair, test_share=1 / 9)["p"], ttest_1samp(pair, 0).pvalue)
        )
    return tuple((np.array(found) < 0.05).mean(axis=0))


def test_learners_of_equal_worth_are_seldom_told_apart() -> None:
    corrected, plain = rejected(300)
    assert corrected <= 0.05
    assert plain > corrected


def test_members_are_compared_over_their_folds(binary: Make) -> None:
    draw = np.random.default_rng(4)
    truth, fold = draw.random(900) < 0.3, np.arange(900) % 5
    shared = draw.normal(size=900)
    strong, weak, same = (
        binary(truth, norm.cdf(gap * truth + shared + 0.3 * draw.normal(size=900)), fold=fold)
        for gap in (1.5, 0.6, 1.5)
    )
    members = {"strong": strong, "weak": weak.sample(frac=1, random_state=0), "same": same}
    table = within_folds.fold_comparison(members, positive="melanoma")
    assert tuple(table.columns) == within_folds.COMPARISON_COLUMNS
    weak_row, same_row = table.to_dict("records")
    assert weak_row["low"] > 0.05
    assert same_row["low"] < 0 < same_row["high"]
    assert weak_row["df"] == 4
    assert weak_row["p"] <= weak_row["p_holm"] <= 2 * weak_row["p"] + 1e-12
    single = [
        ranking.auc(t[t["fold"] == k], positive="melanoma")["value"].iloc[0]
        for t in (strong, weak) for k in range(5)
    ]  # fmt: skip
    gaps = np.subtract(single[:5], single[5:])
    assert weak_row["difference"] == pytest.approx(gaps.mean())
    assert weak_row["se"] == pytest.approx(gaps.std(ddof=1) * math.sqrt(1 / 5 + 1 / 4))


def test_what_cannot_be_compared_says_so(binary: Make) -> None:
    truth, score = np.arange(40) % 2 == 0, np.linspace(0.1, 0.9, 40)
    one = binary(truth, score, fold=np.arange(40) // 10)
    members = {"a": one, "b": one, "c": binary(truth, score, fold=0)}
    table = within_folds.fold_comparison(members, positive="melanoma")
    assert table["note"].tolist() == [
        "not estimable: 4 fold(s) of both classes, or no difference",
        "not estimable: 30 images are in other folds",
    ]
    assert table["p"].isna().all()
    assert within_folds.fold_comparison({"a": one}, positive="melanoma").empty
    with pytest.raises(TableError, match="truth of i00000 differs"):
        within_folds.fold_comparison({"a": one, "b": binary(~truth, score)}, positive="melanoma")
