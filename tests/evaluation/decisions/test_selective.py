"""Risk against coverage: counted by hand, integrated by brute force, and at its limits."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.decisions import selective

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def table(binary: Make) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    score = np.round(draw.beta(1, 2, 800), 2)
    return binary(draw.random(800) < score, score, fold=np.arange(800) % 3)


def test_the_curve_by_hand(binary: Make) -> None:
    # At 0.5 the certainties rank 0.95, 0.9 = 0.1, 0.3; the calls of 0.1 and 0.3 are wrong.
    rows = binary([True, True, True, True], [0.95, 0.9, 0.1, 0.3])
    curve = selective.risk_coverage(rows, positive="melanoma")
    assert curve["coverage"].tolist() == [0.25, 0.75, 1.0]
    assert curve["wrong"].tolist() == [0, 1, 2]
    assert curve["risk"].tolist() == pytest.approx([0, 1 / 3, 1 / 2])
    assert curve["certainty"].iloc[1] == pytest.approx(math.log(9))
    assert set(curve["note"]) == {"every row is melanoma"}
    # A threshold elsewhere moves the calls and what is certain.
    low = selective.risk_coverage(rows, positive="melanoma", threshold=0.1)
    assert low["coverage"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert low["risk"].tolist() == [0, 0, 0, 0]


def test_missed_positives_are_a_part_of_the_errors(table: pd.DataFrame) -> None:
    error = selective.risk_coverage(table, positive="melanoma", threshold=0.3)
    missed = selective.risk_coverage(table, positive="melanoma", threshold=0.3, risk="missed")
    truth, flagged = table["truth"] == "melanoma", table["p_melanoma"] >= 0.3
    assert missed["wrong"].iloc[-1] == (truth & ~flagged).sum()
    assert error["wrong"].iloc[-1] == (truth != flagged).sum()
    assert (missed["wrong"] <= error["wrong"]).all()
    with pytest.raises(ValueError, match="risk is 'cost'"):
        selective.risk_coverage(table, positive="melanoma", risk="cost")  # type: ignore[arg-type]


def test_test_rows_serve_only_where_there_are_no_others(table: pd.DataFrame) -> None:
    test = table.assign(fold=-1)
    own = selective.risk_coverage(table, positive="melanoma")
    assert own.equals(selective.risk_coverage(test, positive="melanoma"))
    mixed = pd.concat([table, test.assign(image_id=test["image_id"] + "t", p_melanoma=0.99)])
    assert own.equals(selective.risk_coverage(mixed, positive="melanoma"))


def test_limit_cases(binary: Make) -> None:
    nothing = selective.risk_coverage(binary([], []), positive="melanoma")
    assert nothing["note"].tolist() == ["not estimable: no row has a truth"]
    ties = binary([True, False] * 5, [0.3] * 10)
    assert selective.risk_coverage(ties, positive="melanoma")["coverage"].tolist() == [1]
    alone = binary([False] * 4, [0.1, 0.2, 0.6, 0.7])
    uncut = selective.risk_coverage(alone, positive="melanoma", threshold=math.nan)
    assert uncut["note"].tolist() == ["not estimable: no threshold was chosen"]
