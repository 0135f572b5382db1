"""The local outlier factor of many small groups is scikit-learn's, of each."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import LocalOutlierFactor

from melnb.tables.within_patient import outlier_factors


@given(
    st.lists(st.integers(0, 4), min_size=4, max_size=60),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_outlier_factors_are_scikit_learns(groups: list[int], width: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(len(groups), width))
    codes = np.array(groups)
    made = outlier_factors(points, codes, neighbours=5)
    for code in np.unique(codes):
        own = codes == code
        if own.sum() < 3:
            assert (made[own] == 1).all()
            continue
        with warnings.catch_warnings(action="ignore"):
            model = LocalOutlierFactor(n_neighbors=min(int(own.sum()) // 2, 5)).fit(points[own])
        theirs = np.minimum(-model.negative_outlier_factor_, 100)  # ours ends there
        assert made[own] == pytest.approx(theirs, rel=1e-6)


def test_many_equal_points_are_not_apart() -> None:
    points = np.array([[0.0]] * 50 + [[1.0]])
    made = outlier_factors(points, np.zeros(51, dtype=int))
    assert made[:50] == pytest.approx(1)
    assert made[50] == 100
    lost = np.array([[np.nan], [1.0], [2.0], [4.0]])
    assert outlier_factors(lost, np.zeros(4, dtype=int))[0] == 1
