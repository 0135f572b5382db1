"""Ratios and measures of four counts: limits that tend to known ones, turn over, and cover."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.evaluation.statistics.proportions import diagnostic_intervals, ratio_interval


def test_a_ratio_tends_to_the_logarithms_limits() -> None:
    (a, m), (b, n) = (9000, 10000), (2000, 10000)
    ratio, low, high = ratio_interval((a, m), (b, n))
    half = 1.959964 * math.sqrt(1 / a - 1 / m + 1 / b - 1 / n)  # Simel 1991
    assert ratio == pytest.approx(4.5)
    assert (low, high) == pytest.approx((4.5 * math.exp(-half), 4.5 * math.exp(half)), rel=1e-3)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 40), st.integers(0, 40))
def test_a_ratio_lies_in_its_interval_and_turns_over(m: int, n: int, a: int, b: int) -> None:
    a, b = min(a, m), min(b, n)
    ratio, low, high = ratio_interval((a, m), (b, n))
    turned, other_low, other_high = ratio_interval((b, n), (a, m))
    assert 0 <= low < high
    if a and b:
        assert low < ratio < high
        assert (turned, other_low) == pytest.approx((1 / ratio, 1 / high))
        assert other_high == pytest.approx(1 / low) if low else math.isinf(other_high)
    else:
        assert math.isnan(ratio) if not a and not b else ratio in (0, math.inf)


def test_a_ratios_interval_covers() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for a, b in generator.binomial([30, 80], [0.8, 0.1], size=(1000, 2)):
        _, low, high = ratio_interval((int(a), 30), (int(b), 80))
        hits += low <= 8 <= high
    assert 0.93 < hits / 1000 < 0.98


def test_a_test_at_its_own_prevalence_and_at_another() -> None:
    counts = {"tp": 90, "fp": 100, "tn": 800, "fn": 10}
    own = diagnostic_intervals(**counts)
    stated = diagnostic_intervals(**counts, prevalence=0.1)
    for name, (value, low, high) in own.items():
        assert low < value < high, name
        assert stated[name][0] == pytest.approx(value), name
    assert own["ppv"][0] == pytest.approx(90 / 190)
    assert own["number_needed_to_biopsy"][0] == pytest.approx(190 / 90)
    assert own["likelihood_ratio_positive"][0] == pytest.approx(8.1)
    assert own["likelihood_ratio_negative"][0] == pytest.approx(0.1125)
    assert own["f1"][0] == pytest.approx(180 / 290)
    rare = diagnostic_intervals(**counts, prevalence=0.01)
    assert rare["ppv"][0] == pytest.approx(0.009 / (0.009 + 0.99 / 9))
    assert rare["npv"][0] == pytest.approx(0.88 / (0.88 + 0.001))
    assert rare["npv"][1] < rare["npv"][0] < rare["npv"][2]


def test_what_no_row_tells_is_nan() -> None:
    only_negatives = diagnostic_intervals(0, 3, 7, 0)
    assert all(math.isnan(v) for v in only_negatives["sensitivity"])
    assert all(math.isnan(v) for v in only_negatives["likelihood_ratio_positive"])
    assert only_negatives["specificity"][0] == pytest.approx(0.7)
    nothing_flagged = diagnostic_intervals(0, 0, 9, 1, prevalence=0.02)
    assert all(math.isnan(v) for v in nothing_flagged["ppv"])
    assert nothing_flagged["npv"][0] == pytest.approx(0.98)
    everything = diagnostic_intervals(0, 0, 0, 0)
    assert all(math.isnan(v) for limits in everything.values() for v in limits)
