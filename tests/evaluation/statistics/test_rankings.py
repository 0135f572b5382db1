"""Counts at the steps of a ranking against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from melnb.evaluation.statistics import bootstrap


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
