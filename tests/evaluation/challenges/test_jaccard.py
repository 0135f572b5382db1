"""Masks against the official scorer's own cases, and what has no pixels to count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, recall_score

from melnb.evaluation.challenges import jaccard as masks
from melnb.tables.checks import TableError


def mask(*rows: str) -> np.ndarray:
    return np.array([[255 if c == "#" else 0 for c in row] for row in rows], dtype=np.uint8)


TRUTH = mask("##..", "##..", "....", "....")


@pytest.mark.parametrize(
    ("predicted", "jaccard", "counted", "dice", "sensitivity", "specificity", "accuracy"),
    [
        (mask("....", "....", "....", "...."), 0, 0, 0, 0, 1, 12 / 16),
        (mask("....", "....", "..##", "..##"), 0, 0, 0, 0, 8 / 12, 8 / 16),
        (mask("....", ".##.", ".##.", "...."), 1 / 7, 0, 2 / 8, 1 / 4, 9 / 12, 10 / 16),
        (mask(".##.", ".##.", "....", "...."), 2 / 6, 0, 4 / 8, 2 / 4, 10 / 12, 12 / 16),
        (mask(".#..", ".#..", "....", "...."), 2 / 4, 0, 4 / 6, 2 / 4, 1, 14 / 16),
        (mask(".#..", "##..", "....", "...."), 3 / 4, 3 / 4, 6 / 7, 3 / 4, 1, 15 / 16),
        (TRUTH, 1, 1, 1, 1, 1, 1),
        (mask("##..", "##..", "..#.", "...."), 4 / 5, 4 / 5, 8 / 9, 1, 11 / 12, 15 / 16),
        (mask("####", "####", "####", "####"), 4 / 16, 0, 8 / 20, 1, 0, 4 / 16),
    ],
)
def test_the_official_cases(
    predicted: np.ndarray, jaccard: float, counted: float, dice: float, sensitivity: float,
    specificity: float, accuracy: float,
) -> None:  # fmt: skip
    row = masks.mask_scores({"a": TRUTH}, {"a": predicted}).iloc[0]
    wanted = (counted, jaccard, dice, sensitivity, specificity, accuracy)
    assert tuple(row[list(masks.MEASURES)]) == pytest.approx(wanted)
    assert row[["tp", "fp", "fn", "tn"]].sum() == 16


def test_empty_and_empty_is_one() -> None:
    row = masks.mask_scores({"a": 0 * TRUTH}, {"a": 0 * TRUTH}).iloc[0]
    assert (row[list(masks.MEASURES)] == 1).all()
    full = masks.mask_scores({"a": TRUTH | 255}, {"a": TRUTH | 255}).iloc[0]
    assert full["specificity"] == 1


@pytest.mark.parametrize(("both", "counted"), [(649, 0), (650, 0.65)])
def test_the_threshold_itself_counts(both: int, counted: float) -> None:
    truth = np.ones((1, 1000), dtype=bool)
    row = masks.mask_scores({"a": truth}, {"a": np.arange(1000)[None] < both}).iloc[0]
    assert row["jaccard"] == both / 1000
    assert row["threshold_jaccard"] == counted


def test_a_pixel_is_lesion_above_128() -> None:
    grey = np.array([[127, 128, 129, 255]], dtype=np.uint8)
    row = masks.mask_scores({"a": grey}, {"a": np.ones((1, 4), dtype=bool)}).iloc[0]
    assert (row["tp"], row["fp"]) == (2, 2)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_shares_are_scikit_learns(pixels: list[tuple[bool, bool]]) -> None:
    truth, called = (np.array([side]) for side in zip(*pixels, strict=True))
    row = masks.mask_scores({"a": truth}, {"a": called}).iloc[0]
    pair = truth[0], called[0]
    assert row["jaccard"] == pytest.approx(jaccard_score(*pair, zero_division=1))
    assert row["dice"] == pytest.approx(f1_score(*pair, zero_division=1))
    assert row["sensitivity"] == pytest.approx(recall_score(*pair, zero_division=1))


def test_rows_are_joined_by_id() -> None:
    truth = {"a": TRUTH, "b": 0 * TRUTH}
    found = masks.mask_scores(truth, {"b": 0 * TRUTH, "a": TRUTH})
    assert found["jaccard"].tolist() == [1, 1]
    with pytest.raises(TableError, match=r"b has no predicted mask \(1 such"):
        masks.mask_scores(truth, {"a": TRUTH})
    with pytest.raises(TableError, match="c has a predicted mask and no true one"):
        masks.mask_scores(truth, {**truth, "c": TRUTH})
    with pytest.raises(TableError, match=r"mask of a is \(3, 4\) and the true one \(4, 4\)"):
        masks.mask_scores({"a": TRUTH}, {"a": TRUTH[1:]})
    with pytest.raises(ValueError, match="mask of a is float64"):
        masks.mask_scores({"a": TRUTH}, {"a": TRUTH / 255})
    with pytest.raises(ValueError, match=r"of shape \(4, 4, 3\)"):
        masks.mask_scores({"a": np.stack([TRUTH] * 3, axis=2)}, {"a": TRUTH})
