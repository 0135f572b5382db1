"""Balancing: ratios are reached, by training rows alone, whatever their order."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.models.tabular.learners import choose_rows


def ids(n: int) -> np.ndarray:
    return np.array([f"i{k:06d}" for k in range(n)], dtype=object)


def test_the_ratios_of_the_winners_of_isic_2024() -> None:
    codes = np.zeros(40_105, dtype=int)
    codes[:39] = 1
    chosen = choose_rows(ids(40_105), codes, over=0.003, under=0.01, seed=0)
    # 39 of 40,066 become 120 (0.003), which then stand against 12,000 (0.01).
    assert Counter(codes[chosen]) == {1: 120, 0: 12_000}
    times = Counter(chosen[codes[chosen] == 1])
    assert len(times) == 39
    assert set(times.values()) == {3, 4}
    negatives = chosen[codes[chosen] == 0]
    assert len(set(negatives)) == len(negatives)


@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=4),
    over=st.floats(0, 1),
    under=st.floats(0.05, 1),
    seed=st.integers(0, 10**6),
)
def test_any_number_of_classes(sizes: list[int], over: float, under: float, seed: int) -> None:
    codes = np.repeat(np.arange(len(sizes)), sizes)
    names = ids(len(codes))
    raised = [max(n, round(over * max(sizes))) for n in sizes]
    wanted = [min(n, round(min(raised) / under)) for n in raised]
    chosen = choose_rows(names, codes, over=over, under=under, seed=seed)
    assert np.bincount(codes[chosen], minlength=len(sizes)).tolist() == wanted
    # Any order of rows chooses the same images.
    mixed = np.random.default_rng(seed).permutation(len(codes))
    again = choose_rows(names[mixed], codes[mixed], over=over, under=under, seed=seed)
    np.testing.assert_array_equal(names[mixed][again], names[chosen])


def test_another_seed_chooses_others_and_every_row_has_the_same_chance() -> None:
    codes = np.repeat([0, 1], [40, 4])
    kept = [choose_rows(ids(44), codes, under=0.5, seed=seed) for seed in range(400)]
    times = np.bincount(np.concatenate(kept), minlength=44)
    assert (times[40:] == 400).all()
    assert times[:40].mean() == 80  # 8 of 40
    assert np.abs(times[:40] - 80).max() < 4.5 * np.sqrt(400 * 0.2 * 0.8)


def test_off_changes_nothing() -> None:
    codes = np.repeat([0, 1], [9, 2])
    np.testing.assert_array_equal(choose_rows(ids(11), codes, seed=3), np.arange(11))


@pytest.mark.parametrize("ratio", [{"over": 1.5}, {"under": -0.1}, {"under": float("nan")}])
def test_a_ratio_without_meaning_is_refused(ratio: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not a ratio of the smaller class to the larger"):
        choose_rows(ids(2), np.array([0, 1]), seed=0, **ratio)
