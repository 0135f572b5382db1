"""Standings: the textbook's numbers, neutral where there is nobody to be compared with."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import rankdata, zscore

from melnb.tables.within_patient import NEUTRAL, mean_and_deviation, outlier_factors, standings

# Whole numbers, so that ties are common and shifts and doublings are exact.
VALUES = st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 50)), min_size=1, max_size=40)


def unpack(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    groups, values = (np.array(column) for column in zip(*rows, strict=True))
    return values.astype(float), groups


@given(VALUES)
def test_each_group_alone_gives_the_textbooks_numbers(rows: list[tuple[int, int]]) -> None:
    values, groups = unpack(rows)
    made = standings(values, groups)
    for group in np.unique(groups):
        own = values[groups == group]
        mine = {name: of[groups == group] for name, of in made.items()}
        if len(own) < 3:
            assert all((of == NEUTRAL[name]).all() for name, of in mine.items())
            continue
        assert mine["difference"] == pytest.approx(own - own.mean(), abs=1e-12)
        assert mine["rank"] == pytest.approx((rankdata(own) - 0.5) / len(own))
        flat = np.ptp(own) == 0
        assert mine["z"] == pytest.approx(np.zeros(len(own)) if flat else zscore(own, ddof=1))
        zero = own.sum() == 0
        assert mine["ratio"] == pytest.approx(np.ones(len(own)) if zero else own / own.mean())


@given(VALUES, st.integers(-100, 100), st.sampled_from([0.25, 3.0, 1e6]))
def test_shifts_and_scales_leave_what_they_should(
    rows: list[tuple[int, int]], shift: int, scale: float
) -> None:
    values, groups = unpack(rows)
    made, moved, scaled = (standings(v, groups) for v in (values, values + shift, values * scale))
    for name in ("difference", "z", "rank"):
        assert moved[name] == pytest.approx(made[name], abs=1e-9)
    for name in ("ratio", "z", "rank"):
        assert scaled[name] == pytest.approx(made[name], rel=1e-9, abs=1e-9)


@given(
    st.lists(st.floats(-1e300, 1e300, allow_subnormal=True), min_size=3, max_size=9),
    st.sampled_from([0.0, 0.1, 1e8]),
)
@example([0.0, 1.4e-45, 0.0], 0.0)
@example([1e300, -1e300, 5e-324], 0.0)
@example([0.0, 1e-9, 1e-16, 1e-17], 1e8)
def test_values_of_any_size_are_compared_without_a_warning(
    values: list[float], level: float
) -> None:
    own = np.array(values) + level
    made = standings(own, np.zeros(len(own), dtype=int))
    assert all(np.isfinite(of).all() for of in made.values())
    constant = not mean_and_deviation(own, ddof=1)[1]
    assert all((of == NEUTRAL[name]).all() for name, of in made.items()) == constant
    factors = outlier_factors(made["z"][:, None], np.zeros(len(own), dtype=int))
    assert np.isfinite(factors).all()
    assert not constant or (factors == 1).all()


def test_missing_values_are_neutral_and_not_compared() -> None:
    values = np.array([1.0, np.nan, 2.0, 3.0, 6.0, np.nan, 5.0, 7.0])
    groups = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    made = standings(values, groups)
    assert {name: of[1] for name, of in made.items()} == NEUTRAL
    assert made["difference"][[0, 2, 3, 4]].tolist() == [-2, -1, 0, 3]
    assert made["rank"][[0, 2, 3, 4]].tolist() == [0.125, 0.375, 0.625, 0.875]
    assert all((of[5:] == NEUTRAL[name]).all() for name, of in made.items())  # two are known
    # Rounding leaves 4e-17 of a mean of 0, by which nothing is to be divided.
    assert (standings(np.array([0.1, 0.2, -0.3]), np.zeros(3, dtype=int))["ratio"] == 1).all()
    assert all(not len(of) for of in standings(np.empty(0), np.empty(0, dtype=int)).values())
