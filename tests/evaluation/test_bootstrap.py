"""Counts at the steps of a ranking against scikit-learn; resampling against DeLong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from melnb.evaluation import bootstrap, intervals

Cancer = tuple[np.ndarray, dict[str, np.ndarray]]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2).filter(
        lambda rows: 0 < sum(r[0] for r in rows) < len(rows)
    )
)
def test_statistics_of_counts_are_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    truth, score = np.array([r[0] for r in rows]), np.array([r[1] / 9 for r in rows])
    positives, negatives = bootstrap.step_counts(truth, score)
    assert positives.sum() == truth.sum()
    assert negatives.sum() == (~truth).sum()
    assert bootstrap.aucs(positives, negatives)[0] == pytest.approx(roc_auc_score(truth, score))
    assert bootstrap.average_precisions(positives, negatives)[0] == pytest.approx(
        average_precision_score(truth, score)
    )


def test_runs_of_negatives_are_one_step() -> None:
    score = np.linspace(1, 0, 1000)
    truth = np.zeros(1000, dtype=bool)
    truth[[10, 11, 500]] = True
    step = bootstrap.ranking_steps(truth, score)
    assert step[[0, 9, 10, 11, 12, 499, 500, 501, 999]].tolist() == [0, 0, 1, 2, 3, 3, 4, 5, 5]


def test_an_absent_class_is_not_a_number() -> None:
    for truth in (np.array([True, True]), np.array([False, False])):
        counts = bootstrap.step_counts(truth, np.array([0.1, 0.2]))
        assert np.isnan(bootstrap.aucs(*counts)[0])
    assert np.isnan(bootstrap.average_precisions(*counts)[0])
    empty = bootstrap.step_counts(np.array([], dtype=bool), np.array([]))
    assert np.isnan(bootstrap.aucs(*empty)[0])
    assert np.isnan(bootstrap.average_precisions(*empty)[0])


def test_resampling_agrees_with_delong(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    score = columns["mean texture"]
    value, wanted = intervals.auc_delong(truth, score)
    se, low, high = bootstrap.bootstrap_interval(
        truth, score, statistic=bootstrap.aucs, draws=4000, seed=1
    )
    assert se == pytest.approx(wanted, rel=0.05)
    assert (low, high) == pytest.approx((value - 1.96 * wanted, value + 1.96 * wanted), abs=0.004)


def test_resampling_agrees_with_resampled_rows(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    score = np.round(columns["mean texture"], 2)  # ties
    generator = np.random.default_rng(0)
    naive = []
    for _ in range(400):
        rows = generator.integers(len(truth), size=len(truth))
        naive.append(average_precision_score(truth[rows], score[rows]))
    se, low, high = bootstrap.bootstrap_interval(
        truth, score, statistic=bootstrap.average_precisions, draws=4000
    )
    assert se == pytest.approx(np.std(naive), rel=0.15)
    assert (low, high) == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.015)


def test_few_steps_and_many_rows_are_drawn_alike(
    breast_cancer: Cancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, columns = breast_cancer
    score = np.round(columns["mean texture"], 2)

    def limits(cost: float) -> tuple[float, float, float]:
        monkeypatch.setattr(bootstrap, "_CELL_COST", cost)
        return bootstrap.bootstrap_interval(truth, score, statistic=bootstrap.aucs, draws=4000)

    assert limits(0) != limits(1e9)  # counts are drawn, or rows
    assert limits(0) == pytest.approx(limits(1e9), rel=0.05)


def test_whole_clusters_are_drawn(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer
    score = columns["mean texture"]
    twice, both, n = np.tile(truth, 2), np.tile(score, 2), len(truth)
    _, wanted = intervals.auc_delong(truth, score)
    se, *_ = bootstrap.bootstrap_interval(
        twice, both, statistic=bootstrap.aucs, clusters=np.tile(np.arange(n), 2)
    )
    assert se == pytest.approx(wanted, rel=0.1)


def test_the_seed_decides(breast_cancer: Cancer) -> None:
    truth, columns = breast_cancer

    def limits(seed: int) -> tuple[float, float, float]:
        return bootstrap.bootstrap_interval(
            truth, columns["mean radius"], statistic=bootstrap.aucs, draws=50, seed=seed
        )

    assert limits(3) == limits(3)
    assert limits(3) != limits(4)


def test_a_lone_row_has_no_interval() -> None:
    truth = np.array([True, False, False, False])
    found = bootstrap.bootstrap_interval(
        truth, np.array([0.9, 0.2, 0.3, 0.4]), statistic=bootstrap.aucs
    )
    assert np.isnan(found).all()
