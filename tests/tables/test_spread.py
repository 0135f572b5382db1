"""Spread: numbers of any size are standardised, and what hardly varies is constant everywhere."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from melnb.tables.within_patient import (
    LARGEST,
    centred,
    mean_and_deviation,
    negligible,
    standardised,
)

ANY = st.floats(-1e300, 1e300, allow_subnormal=True)
# Many alike and a few a little apart, as rounding leaves them, besides numbers of any size.
NEAR = st.builds(
    lambda level, steps: [level + step for step in steps],
    st.sampled_from([0.0, 0.1, 1e8, -1e300, 1e-310]),
    st.lists(st.sampled_from([0.0, 5e-324, 1.4e-45, 1e-16, 1e-9, 1.0]), min_size=1, max_size=30),
)
COLUMNS = st.one_of(st.lists(st.one_of(ANY, st.just(np.nan)), max_size=30), NEAR)


@given(COLUMNS, st.lists(st.one_of(ANY, st.sampled_from([np.nan, np.inf, -np.inf])), max_size=5))
@example([0.0, 1.4e-45], [120.0])
@example([1e8, 1e8 + 1e-9, 1e8 + 1e-7], [0.0])
@example([1e300, -1e300], [1.7e308])
@example([], [1.0])
@example([7.0], [1e300])
def test_any_column_is_standardised_and_feeds_a_network(
    column: list[float], others: list[float]
) -> None:
    own, new = np.array(column, dtype=float), np.array(others, dtype=float)
    mean, deviation = mean_and_deviation(own)
    assert np.isfinite([mean, deviation]).all()
    made = standardised(own, mean, deviation)
    known = ~np.isnan(own)
    assert np.isnan(made[~known]).all()
    if deviation:
        assert made[known].mean() == pytest.approx(0, abs=1e-3)
        assert made[known].std() == pytest.approx(1, abs=1e-3)
    else:
        assert (made[known] == 0).all()
        assert (centred(own)[known] == 0).all()
        halves = np.sort(own[known] / 2)  # whose difference is a number
        assert (halves[-1:] - halves[:1] <= 30 * negligible(2 * np.abs(halves[-1:]))).all()
    fed = standardised(new, mean, deviation).astype(np.float32)
    assert np.array_equal(np.isnan(fed), np.isnan(new))
    assert np.isfinite(fed[~np.isnan(new)]).all()


def test_the_moments_are_numpys() -> None:
    values = np.random.default_rng(0).normal(50, 12, size=(40, 3))
    mean, deviation = mean_and_deviation(values)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(deviation, values.std(axis=0), rtol=1e-14)
    _, deviation = mean_and_deviation(values[:, 0], ddof=1)
    assert deviation == pytest.approx(values[:, 0].std(ddof=1), rel=1e-14)
    values[3, 1] = np.nan
    _, deviation = mean_and_deviation(values)
    np.testing.assert_allclose(deviation, np.nanstd(values, axis=0), rtol=1e-14)
    expected = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    made = standardised(values, *mean_and_deviation(values))
    np.testing.assert_allclose(made, expected, rtol=1e-12, atol=1e-12)


def test_rounding_is_no_spread_and_a_spread_is_no_rounding() -> None:
    for level in (0.1, 50.0, 1e8, 1e-8):
        alike = np.full(33_126, level)
        alike[::7] = np.nextafter(level, np.inf)
        assert mean_and_deviation(alike)[1] == 0
        assert mean_and_deviation(np.append(alike, 1.001 * level))[1] > 0
    # What was computed in float32 is rounded 500 million times as coarsely.
    single = np.full(9, 0.1, dtype=np.float32)
    single[0] = np.nextafter(single[0], np.float32(1))
    assert mean_and_deviation(single)[1] == 0
    assert mean_and_deviation(single.astype(np.float64))[1] > 0
    assert mean_and_deviation(np.array([1, 1, 2]))[1] > 0


def test_a_column_that_is_constant_is_0_for_new_values_too() -> None:
    mean, deviation = mean_and_deviation(np.array([[50.0, 1.0], [50.0, 3.0]]))
    made = standardised(np.array([[60.0, 4.0], [np.nan, 2.0]]), mean, deviation)
    np.testing.assert_array_equal(made, [[0, 2], [np.nan, 0]])
    assert standardised(np.array([1e300]), 0.0, 1.0).tolist() == [LARGEST]
