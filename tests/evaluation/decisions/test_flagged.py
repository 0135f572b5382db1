"""Measures against scikit-learn and statsmodels; patients widen intervals, and by enough."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score, matthews_corrcoef

from melnb.evaluation.decisions import flagged as measures
from melnb.evaluation.statistics.proportions import clustered_wilson, diagnostic_intervals


def patients(seed: int = 0, n: int = 40, size: int = 8) -> tuple[np.ndarray, ...]:
    """Rows of patients who differ: truth, flagged, patient."""
    draw = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n), draw.integers(1, size + 1, n))
    truth = draw.random(len(patient)) < 0.4
    easy = draw.beta(0.6, 0.3, n)[patient]
    return truth, np.where(draw.random(len(patient)) < easy, truth, ~truth), patient


def test_measures_are_those_of_scikit_learn_and_of_the_counts() -> None:
    truth, flagged, patient = patients()
    for beta in (0.5, 2):
        found = measures.measure_rows(truth, flagged, beta=beta)
        assert found["f_beta"][0] == pytest.approx(fbeta_score(truth, flagged, beta=beta))
    assert found["matthews_correlation"][0] == pytest.approx(matthews_corrcoef(truth, flagged))
    assert found["youden"][0] == pytest.approx(
        found["sensitivity"][0] + found["specificity"][0] - 1
    )
    cells = [(truth & flagged), (~truth & flagged), (~truth & ~flagged), (truth & ~flagged)]
    plain = diagnostic_intervals(*(int(cell.sum()) for cell in cells))
    assert {name: found[name] for name in plain} == plain
    clustered = measures.measure_rows(truth, flagged, clusters=patient)
    for name, (value, low, high) in found.items():
        wide = clustered[name]
        assert low < value < high
        assert wide[0] == value or name == "f_beta"
        assert wide[2] - wide[1] >= high - low, name
    assert clustered["sensitivity"][1] < found["sensitivity"][1]
    assert (
        clustered["matthews_correlation"]
        == measures.measure_rows(truth, flagged, clusters=patient)["matthews_correlation"]
    )


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), max_size=25),
    st.sampled_from([0, 0.02, 0.5, 0.999]),
)
def test_any_rows_give_ordered_limits_and_clusters_never_narrow_them(
    cells: list[tuple[bool, bool, int]], prevalence: float
) -> None:
    truth, flagged = (np.array([c[k] for c in cells], dtype=bool) for k in (0, 1))
    _, patient = np.unique([c[2] for c in cells], return_inverse=True)
    plain = measures.measure_rows(truth, flagged, prevalence=prevalence, draws=20)
    wide = measures.measure_rows(truth, flagged, prevalence=prevalence, draws=20, clusters=patient)
    for name, (value, low, high) in wide.items():
        assert value == pytest.approx(plain[name][0], nan_ok=True)
        if name in ("f_beta", "matthews_correlation") or math.isnan(low):
            continue
        assert low - 1e-12 <= value <= high + 1e-12, name
        assert low <= plain[name][1] + 1e-9, name
        assert high >= plain[name][2] - 1e-9, name


def test_a_beta_is_above_zero() -> None:
    with pytest.raises(ValueError, match="beta is 0"):
        measures.measure_rows(np.ones(2, dtype=bool), np.ones(2, dtype=bool), beta=0)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.booleans())
def test_limits_at_every_count_are_those_of_each_alone(codes: list[int], alone: bool) -> None:
    n, patients = len(codes), None if alone else np.array(codes)
    low, high = measures.limits_by_count(patients, n, confidence=0.9)
    every = np.ones(n, dtype=bool)
    for k in range(n + 1):
        wanted = clustered_wilson(np.arange(n) < k, every, patients, confidence=0.9)
        assert (low[k], high[k]) == pytest.approx(wanted[1:], nan_ok=True, abs=1e-9)


def test_no_row_has_no_limits() -> None:
    assert np.isnan(measures.limits_by_count(None, 0)).all()
    assert np.isnan(measures.limits_by_count(np.array([], dtype=int), 0)).all()
