"""A threshold is locked on out-of-fold rows, kept in a file, and applied to test rows unchanged."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.decisions import locked_threshold, operating_point
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def both(binary: Make) -> pd.DataFrame:
    """Out-of-fold rows, and test rows on which quite another threshold would do best."""
    draw = np.random.default_rng(0)
    truth = draw.random(400) < 0.3
    score = np.round(np.clip(draw.normal(0.3 + 0.2 * truth, 0.15), 0, 1), 2)
    fold = np.repeat([0, 1, -1], [150, 150, 100])
    return binary(truth, np.where(fold == -1, score / 2, score), fold=fold)


def test_the_lock_is_plain_json_and_comes_back(both: pd.DataFrame, tmp_path: Path) -> None:
    point = operating_point.operating_point(both, positive="melanoma", at=0.9, prevalence=0.02)
    locked = locked_threshold.lock_threshold(point)
    assert locked["threshold"] == point["threshold"].iloc[0]
    assert (locked["choose"], locked["at"], locked["prevalence"]) == ("sensitivity", 0.9, 0.02)
    assert (locked["run"], locked["rows"], locked["n"]) == ("run", "out of fold", 300)
    path = locked_threshold.write_threshold(locked, tmp_path / "new" / "threshold.json")
    assert locked_threshold.read_threshold(path) == locked == json.loads(path.read_text())
    assert [p.name for p in path.parent.iterdir()] == ["threshold.json"]


def test_test_rows_are_judged_by_the_threshold_of_the_others(both: pd.DataFrame) -> None:
    point = operating_point.operating_point(both, positive="melanoma", at=0.9)
    locked = locked_threshold.lock_threshold(point)
    row = locked_threshold.locked_point(both, locked=locked, prevalence=0).iloc[0]
    test = both[both["fold"] == -1]
    truth, flagged = test["truth"] == "melanoma", test["p_melanoma"] >= locked["threshold"]
    assert (row["tp"], row["fp"]) == ((truth & flagged).sum(), (~truth & flagged).sum())
    assert (row["rows"], row["n"], row["choose"], row["note"]) == ("test", 100, "locked", "")
    assert row["sensitivity"] < 0.5 < point["sensitivity"].iloc[0]
    assert row["sensitivity_low"] < row["sensitivity"] < row["sensitivity_high"]
    assert set(point.columns) == set(row.index)
    # What the test rows hold moves nothing but the counts.
    other = both.assign(p_melanoma=both["p_melanoma"].where(both["fold"] != -1, 0.99))
    again = locked_threshold.lock_threshold(
        operating_point.operating_point(other, positive="melanoma", at=0.9)
    )
    assert again == locked
    assert locked_threshold.locked_point(other, locked=again)["flagged"].iloc[0] == pytest.approx(1)


def test_the_locked_prevalence_stands_unless_another_is_given(both: pd.DataFrame) -> None:
    locked = {"threshold": 0.2, "positive": "melanoma", "prevalence": 0.02}
    own, rare, given = (
        locked_threshold.locked_point(both, locked=locked, prevalence=p).iloc[0]
        for p in (0, None, 0.1)
    )
    assert own["prevalence"] == pytest.approx(own["positives"] / 100)
    assert (rare["prevalence"], given["prevalence"]) == (0.02, 0.1)
    assert rare["ppv"] < given["ppv"] < own["ppv"]


def test_what_a_reader_must_know_is_in_the_note(both: pd.DataFrame) -> None:
    locked = {"threshold": 0.3, "positive": "melanoma", "run": "b6"}
    note = locked_threshold.locked_point(both, locked=locked)["note"].iloc[0]
    assert note == "locked on run b6, whose scores may be on another scale"
    known = both.assign(truth=both["truth"].where(both["fold"] != -1))
    row = locked_threshold.locked_point(known, locked=locked).iloc[0]
    assert row["rows"] == "out of fold"
    assert row["note"].startswith("no test row has a truth: judged on out of fold rows")
    assert row["left_out"] == 100
    alone = both[(both["fold"] == -1) & (both["truth"] == "other")]
    row = locked_threshold.locked_point(
        alone, locked={"threshold": 0.1, "positive": "melanoma"}
    ).iloc[0]
    assert "not estimable" in row["note"]
    assert math.isnan(row["sensitivity"])


def test_a_threshold_that_was_not_found_says_so_and_is_not_applied(
    binary: Make, tmp_path: Path
) -> None:
    table = binary([True, True], [0.1, 0.2])
    locked = locked_threshold.lock_threshold(
        operating_point.operating_point(table, positive="melanoma")
    )
    assert locked["threshold"] is None
    assert locked["note"] == "not estimable: every row is melanoma"
    point = locked_threshold.locked_point(table, locked=locked).iloc[0]
    assert math.isnan(point["sensitivity"])
    assert point["note"] == locked["note"]
    path = locked_threshold.write_threshold(locked, tmp_path / "operating_point.json")
    with pytest.raises(TableError, match=r"no threshold was locked \(not estimable: every row is"):
        locked_threshold.read_threshold(path)


@pytest.mark.parametrize(
    ("locked", "words"),
    [
        ({"positive": "melanoma"}, "threshold is absent"),
        ({"threshold": "0.5", "positive": "melanoma"}, "threshold is '0.5', not a number"),
        ({"threshold": True, "positive": "melanoma"}, "threshold is True"),
        ({"threshold": math.nan, "positive": "melanoma"}, "threshold is nan"),
        ({"threshold": 1.2, "positive": "melanoma"}, "threshold is 1.2, not a number from 0 to 1"),
        ({"threshold": 0.5}, "positive is absent, not the name of a class"),
        ({"threshold": 0.5, "positive": 1}, "positive is 1"),
        ({"threshold": 0.5, "positive": "m", "prevalence": 1}, "prevalence is 1, not a share"),
        ({"threshold": 0.5, "positive": "m", "melnb": "folds"}, "melnb is 'folds'"),
    ],
)
def test_a_bad_lock_is_refused_wherever_it_comes(
    locked: dict[str, Any], words: str, both: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(locked))
    with pytest.raises(TableError, match=words) as error:
        locked_threshold.read_threshold(path)
    assert "t.json" in str(error.value)
    assert "lock an operating point again" in str(error.value)
    with pytest.raises(TableError, match=words):
        locked_threshold.write_threshold(locked, path)
    with pytest.raises(TableError, match=words):
        locked_threshold.locked_point(both, locked=locked)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no gone\.json in .*06_report"):
        locked_threshold.read_threshold(tmp_path / "gone.json")
    path = tmp_path / "t.json"
    for content, words in ((b"{", "no JSON"), (b"\xff", "no JSON"), (b"[1]", "it holds a list")):
        path.write_bytes(content)
        with pytest.raises(TableError, match=words):
            locked_threshold.read_threshold(path)
    nothing = locked_threshold.write_threshold(
        {"threshold": math.nextafter(1.0, 2.0), "positive": "melanoma"}, path
    )
    assert locked_threshold.read_threshold(nothing)["threshold"] > 1


def test_a_file_wins_over_the_ways_of_choosing(both: pd.DataFrame, tmp_path: Path) -> None:
    assert locked_threshold.threshold_rule("ppv", 0.3) == {"choose": "ppv", "at": 0.3}
    point = operating_point.operating_point(both, positive="melanoma", at=0.9)
    locked = locked_threshold.lock_threshold(point)
    path = locked_threshold.write_threshold(locked, tmp_path / "threshold.json")
    rule = locked_threshold.threshold_rule("ppv", 0.3, chosen=path)
    assert rule == {"choose": "threshold", "at": locked["threshold"]}


def test_test_rows_are_judged_network_by_network_and_by_the_mean(both: pd.DataFrame) -> None:
    point = operating_point.operating_point(both, positive="melanoma", at=0.9)
    locked, test = locked_threshold.lock_threshold(point), both[both["fold"] == -1]
    networks = {0: test, 1: test.assign(p_melanoma=0.99, p_other=0.01)}
    points = locked_threshold.locked_test_points(both, networks=networks, point=point, seed=1)
    assert points["judged"].tolist() == ["network by network", "mean of networks"]
    alone = locked_threshold.locked_point(test, locked=locked, seed=1)
    assert points["flagged"].iloc[1] == alone["flagged"].iloc[0]
    assert points["flagged"].iloc[0] == pytest.approx((alone["flagged"].iloc[0] + 1) / 2)
    single = locked_threshold.locked_test_points(both, networks={}, point=point)
    assert single["judged"].tolist() == ["one score each"]
    assert "If it is a mean of networks" in single["note"].iloc[0]


def test_rows_that_the_point_is_of_are_not_judged_again(both: pd.DataFrame) -> None:
    test = both.assign(fold=-1)
    given = operating_point.operating_point(test, positive="melanoma", choose="threshold", at=0.4)
    points = locked_threshold.locked_test_points(test, networks={0: test}, point=given)
    assert points["judged"].tolist() == ["network by network"]
    assert locked_threshold.locked_test_points(test, networks={}, point=given).empty
    bare = both.assign(truth=both["truth"].where(both["fold"] != -1))
    assert locked_threshold.locked_test_points(bare, networks={}, point=given).empty
