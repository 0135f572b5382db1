"""New pictures at a locked threshold: nothing of them is fitted, and what is promised is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from melnb.evaluation.calibration.cross_calibration import calibrate_run
from melnb.evaluation.decisions import new_calls as new
from melnb.evaluation.decisions.locked_threshold import lock_threshold
from melnb.evaluation.decisions.operating_point import operating_point
from melnb.evaluation.statistics.intervals import wilson_interval
from melnb.tables import schema
from melnb.tables.checks import TableError

NONE: dict[str, Any] = {"method": "none", "smoothing": 0.0, "positive": "melanoma"}


def table(rows: int, fold: int | None = None, *, seed: int = 0, run: str = "r") -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    truth = draw.random(rows) < 0.3
    score = 1 / (1 + np.exp(1 - draw.normal(size=rows) - 2 * truth))
    folds = np.arange(rows) % 3 if fold is None else fold
    return schema.make_predictions(
        [f"i{k}" for k in range(rows)], folds, np.where(truth, "melanoma", "other"),
        np.column_stack([1 - score, score]), classes=("other", "melanoma"), run=run,
    )  # fmt: skip


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 9), st.floats(0, 9)), min_size=1, max_size=60),
    st.sampled_from([0.005, 0.05, 0.3]),
)
def test_no_more_of_the_class_is_turned_away_than_was_asked_for(
    rows: list[tuple[bool, float, float]], share: float
) -> None:
    known = pd.DataFrame(rows, columns=["truth", "a", "b"])
    known["truth"] = np.where(known["truth"], "melanoma", "other")
    n = int((known["truth"] == "melanoma").sum())
    if not n:
        with pytest.raises(TableError, match="is melanoma"):
            new.novelty_limits(known, ["a", "b"], positive="melanoma", share=share)
        return
    limits = new.novelty_limits(known, ["a", "b"], positive="melanoma", share=share)
    last = limits.iloc[-1]
    assert last["measure"] == "any"
    assert last["turned_away"] <= share * n
    assert last["value"] == last["turned_away"] / n
    low, high = wilson_interval(last["turned_away"], n)
    assert (last["low"], last["high"]) == pytest.approx((low, high))
    assert bool(last["note"]) == (n < 2 / share)


def test_a_share_of_a_thousand_is_used_whole() -> None:
    known = pd.DataFrame({"truth": "melanoma", "a": np.arange(1000.0), "b": np.arange(1000)[::-1]})
    limits = new.novelty_limits(known, ["a", "b"], positive="melanoma", share=0.01)
    assert limits["limit"].tolist()[:2] == [994, 994]
    assert limits["turned_away"].tolist() == [5, 5, 10]


def test_a_score_stands_where_scipy_says() -> None:
    known, fresh = table(200), table(20, -1, seed=1)
    fresh["p_melanoma"] = np.round(fresh["p_melanoma"], 2)
    known["p_melanoma"] = np.round(known["p_melanoma"], 2)
    got = new.standings(fresh, known, positive="melanoma")
    for name, truth in (("among_positives", "melanoma"), ("among_others", "other")):
        own = known.loc[known["truth"] == truth, "p_melanoma"]
        wanted = [percentileofscore(own, s, "mean") / 100 for s in fresh["p_melanoma"]]
        assert got[name].to_numpy() == pytest.approx(np.array(wanted))
    nobody = known[known["truth"] == "other"]
    assert new.standings(fresh, nobody, positive="melanoma")["among_positives"].isna().all()


@pytest.mark.parametrize("method", ["none", "platt"])
def test_new_rows_are_calibrated_as_the_reports_test_rows_are(tmp_path: Path, method: str) -> None:
    known, fresh = table(300), table(12, -1, seed=1, run="x")
    networks = {k: table(12, -1, seed=5 + k, run="x") for k in range(3)}
    how = NONE | {"method": method}
    own, said, alone = new.judge_alike(known, fresh, networks, folder=tmp_path / "new", **how)
    apart = {k: t.assign(image_id="n" + t["image_id"], run="r") for k, t in networks.items()}
    both = pd.concat([known, fresh.assign(image_id="n" + fresh["image_id"], run="r")])
    versions, each = calibrate_run(both.reset_index(drop=True), apart, folder=tmp_path, **how)
    last = [*versions.values()][-1]
    assert own["p_melanoma"].tolist() == last.loc[last["fold"] >= 0, "p_melanoma"].tolist()
    assert said["p_melanoma"].tolist() == last.loc[last["fold"] < 0, "p_melanoma"].tolist()
    assert said["image_id"].tolist() == fresh["image_id"].tolist(), "though known ones bear them"
    assert alone[1]["p_melanoma"].tolist() == each[1]["p_melanoma"].tolist()
    assert (tmp_path / "new" / "calibrator.json").exists() == (method == "platt")


def test_calls_are_those_of_the_threshold_and_no_truth_is_no_judgement() -> None:
    known, fresh = table(300), table(30, -1, seed=1)
    networks = {k: table(30, -1, seed=7 + k) for k in range(3)}
    point = operating_point(known, positive="melanoma")
    locked = lock_threshold(point)
    calls = new.new_calls(fresh, networks, known, locked=locked)
    called = fresh["p_melanoma"] >= locked["threshold"]
    assert (calls["called"] == "melanoma").tolist() == called.tolist()
    wanted = sum((t["p_melanoma"] >= locked["threshold"]).astype(int) for t in networks.values())
    assert calls["networks_calling"].tolist() == wanted.tolist()  # type: ignore[union-attr]
    assert set(calls["set"]) <= {"melanoma", "other", "melanoma or other", "other or melanoma", ""}
    judged = new.judge_new(fresh, locked=locked, left_out=["i0"])
    rest = fresh[fresh["image_id"] != "i0"]
    hits = (rest["p_melanoma"] >= locked["threshold"]) & (rest["truth"] == "melanoma")
    assert judged["tp"].iloc[0] == hits.sum()
    assert judged["n"].iloc[0] == 29
    assert new.judge_new(fresh.assign(truth=None), locked=locked).empty


def test_flags_say_what_is_to_be_known_first() -> None:
    distances = pd.DataFrame({"image_id": ["a", "b", "c"], "d": [0.5, 2.0, 1.0]})
    limits = pd.DataFrame({"measure": ["d", "any"], "limit": [1.0, np.nan]})
    met = pd.DataFrame({"image_id": ["a"], "met_by": ["image"], "shared": ["k"]})
    flags = new.new_flags(distances, limits, ["", "too dark", "blurred"], met)
    assert flags["strange"].tolist() == [False, True, False]
    assert flags["flags"].tolist() == ["", "not like what was learnt from; too dark", "blurred"]
    assert flags["met"].fillna("").tolist() == ["k", "", ""]
