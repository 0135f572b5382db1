"""Sets against their formula, with few rows, by fold, and on what they promise."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.evaluation.decisions import conformal
from melnb.evaluation.rows import crossfit_parts
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


def formula(scores: np.ndarray, error_rate: float) -> float:
    """The ceil((n + 1) (1 - a)) / n quantile of 1 - p; infinite past the end."""
    strange = np.sort(1 - scores)
    rank = math.ceil(round((len(strange) + 1) * (1 - error_rate), 9))
    return float(strange[rank - 1]) if rank <= len(strange) else math.inf


@pytest.fixture(scope="module")
def folded(binary: Make) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    truth = draw.random(1500) < 0.3
    score = np.round(np.clip(draw.normal(0.35 + 0.25 * truth, 0.15), 0, 1), 2)
    return binary(truth, score, fold=np.repeat([0, 1, 2, -1, -1], 300))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 10), st.integers(0, 2)), min_size=6),
    st.sampled_from([0.05, 0.1, 0.2, 0.25, 0.5]),
)
def test_a_class_is_in_the_set_by_the_formula(
    binary: Make, cells: list[tuple[bool, int, int]], error_rate: float
) -> None:
    table = binary([c[0] for c in cells], [c[1] / 10 for c in cells], fold=[c[2] for c in cells])
    sets = conformal.prediction_sets(table, error_rate=error_rate)
    part, _ = crossfit_parts(table)  # of one fold alone
    for fold in np.unique(part):
        here = part == fold
        for name in ("other", "melanoma"):
            own = table.loc[~here & (table["truth"] == name), f"p_{name}"].to_numpy()
            cut = formula(own, error_rate)
            expected = 1 - table.loc[here, f"p_{name}"] <= cut
            assert sets.loc[here, f"in_{name}"].tolist() == expected.tolist()
            told = sets.loc[here, "note"].str.contains(f"{name}: {len(own)} calibration rows")
            assert told.all() == math.isinf(cut)
    assert sets["size"].tolist() == (sets["in_other"] * 1 + sets["in_melanoma"]).tolist()


def test_test_rows_are_judged_by_all_others_and_judge_none(folded: pd.DataFrame) -> None:
    cuts = conformal.set_thresholds(folded).set_index(["fold", "class"])
    assert cuts["calibration_rows"].unstack().sum(axis=1).to_dict() == {
        -1: 900, 0: 600, 1: 600, 2: 600
    }  # fmt: skip
    own = folded.loc[(folded["fold"] >= 0) & (folded["truth"] == "melanoma"), "p_melanoma"]
    assert cuts.loc[(-1, "melanoma"), "strangest"] == formula(own.to_numpy(), 0.1)
    assert cuts.loc[(-1, "melanoma"), "probability"] == pytest.approx(
        np.sort(own)[int((len(own) + 1) * 0.1 + 1e-9) - 1]
    )
    blind = folded.assign(truth=folded["truth"].where(folded["fold"] >= 0))
    sets = conformal.prediction_sets(folded)
    unknown = conformal.prediction_sets(blind)
    columns = ["in_other", "in_melanoma", "size"]
    pd.testing.assert_frame_equal(sets[columns], unknown[columns])
    assert unknown["truth"].isna().sum() == 600
    # What a fold holds does not move its own thresholds.
    moved = folded.assign(p_melanoma=folded["p_melanoma"].where(folded["fold"] != 1, 0.5))
    again = conformal.set_thresholds(moved).set_index(["fold", "class"])
    assert again.loc[1].equals(cuts.loc[1])
    assert not again.loc[0].equals(cuts.loc[0])


def test_the_sets_hold_the_truth_as_often_as_they_promise(folded: pd.DataFrame) -> None:
    for error_rate in (0.05, 0.2):
        sets = conformal.prediction_sets(folded, error_rate=error_rate)
        table = conformal.coverage_by_class(sets)
        assert table["rows"].tolist() == ["out of fold"] * 2 + ["test"] * 2
        assert table["class"].tolist() == ["other", "melanoma"] * 2
        assert (table["high"] > 1 - error_rate).all()
        assert (table["value"] < 1 - error_rate + 0.06).all()  # ties of rounded scores add some
        assert (table["note"] == conformal.WARNING).all()
    row = table.iloc[3]
    own = sets[(sets["fold"] == -1) & (sets["truth"] == "melanoma")]
    assert row["value"] == own["in_melanoma"].mean()
    assert (row["n"], row["mean_size"]) == (len(own), own["size"].mean())
    assert (row["singles"], row["empty"]) == ((own["size"] == 1).mean(), (own["size"] == 0).mean())


def test_one_class_against_the_rest(many_classes: Make) -> None:
    draw = np.random.default_rng(0)
    names = ("melanoma", "nevus", "keratosis")
    truth = draw.integers(0, 3, 300)
    table = many_classes(
        [names[k] for k in truth], 0.6 * np.eye(3)[truth] + draw.random((300, 3)), names
    ).assign(fold=np.arange(300) % 3)
    every = conformal.prediction_sets(table)
    assert [c for c in every if c.startswith("in_")] == [f"in_{name}" for name in names]
    two = conformal.prediction_sets(table, positive="melanoma")
    assert [c for c in two if c.startswith("in_")] == ["in_melanoma", "in_rest"]
    assert two["in_melanoma"].equals(every["in_melanoma"])
    assert set(two["truth"]) == {"melanoma", "rest"}
    with pytest.raises(TableError, match="positive is 'mel'"):
        conformal.prediction_sets(table, positive="mel")


def test_too_few_calibration_rows_rule_nothing_out(binary: Make) -> None:
    truth = [True] * 8 + [False] * 40
    table = binary(truth, np.linspace(0.9, 0.1, 48), fold=[0, 1] * 24)
    sets = conformal.prediction_sets(table, error_rate=0.1)
    assert sets["in_melanoma"].all()
    assert (sets["note"] == "melanoma: 4 calibration rows, 9 are needed to rule out").all()
    assert not sets["in_other"].all()
    # 19 rows are just enough for 5 %, 18 are not.
    for n, enough in ((19, True), (18, False)):
        rows = binary([False] * (n + 1), np.linspace(0.1, 0.9, n + 1), fold=[0] * n + [1])
        cuts = conformal.set_thresholds(rows, error_rate=0.05).set_index(["fold", "class"])
        assert math.isfinite(cuts.loc[(1, "other"), "strangest"]) == enough
    alone = conformal.prediction_sets(table.assign(fold=0, patient_id="p"))
    assert (alone["size"] == 2).all()
    assert alone["note"].str.contains("one fold, and all its rows are of one patient_id").all()
    coverage = conformal.coverage_by_class(sets, cluster="").set_index("class")
    assert coverage.loc["melanoma", "note"].startswith("melanoma: 4 calibration rows")
    assert coverage.loc["other", "note"] == conformal.WARNING


def test_a_single_fold_is_cut_into_parts_by_patient(folded: pd.DataFrame) -> None:
    one = folded[folded["fold"] != -1].assign(fold=0, patient_id=[f"p{k // 3}" for k in range(900)])
    part, words = crossfit_parts(one)
    assert words == "one fold, cut into 5 parts by patient"
    assert pd.Series(part).groupby(one["patient_id"].to_numpy()).nunique().max() == 1
    sets = conformal.prediction_sets(one)
    by_part = conformal.prediction_sets(one.assign(fold=part))
    columns = ["in_other", "in_melanoma", "size"]
    pd.testing.assert_frame_equal(sets[columns], by_part[columns])
    assert (sets["note"] == words).all()
    assert (sets["size"] == 1).mean() > 0.5, "not every image is referred"
    covered = conformal.coverage_by_class(sets, cluster="patient_id").set_index("class")
    assert covered["value"].between(0.85, 0.95).all()


def test_constant_scores_are_ruled_in_together(binary: Make) -> None:
    table = binary([True, False] * 30, [0.5] * 60, fold=[0, 0, 1, 1] * 15)
    assert (conformal.prediction_sets(table)["size"] == 2).all()


def test_coverage_of_groups_is_joined_by_image(folded: pd.DataFrame) -> None:
    sets = conformal.prediction_sets(folded)
    groups = (
        folded[["image_id"]]
        .assign(sex=["male", "female", None] * 500)
        .sample(frac=1, random_state=0)
    )
    table = conformal.coverage_by_group(sets, groups, by="sex")
    assert list(table.columns[:3]) == ["sex", "rows", "class"]
    assert table["sex"].tolist() == ["female"] * 4 + ["male"] * 4
    women = sets.iloc[1::3]
    own = women[(women["truth"] == "melanoma") & (women["fold"] >= 0)]
    row = table[(table["class"] == "melanoma") & (table["rows"] == "out of fold")].iloc[0]
    assert (row["value"], row["n"]) == (own["in_melanoma"].mean(), len(own))
    with pytest.raises(TableError, match="no column 'tone'"):
        conformal.coverage_by_group(sets, groups, by="tone")
    with pytest.raises(TableError, match="is there twice"):
        conformal.coverage_by_group(sets, pd.concat([groups, groups]), by="sex")


def test_patients_widen_the_interval_of_coverage(folded: pd.DataFrame) -> None:
    twice = pd.concat([folded, folded.assign(image_id=folded["image_id"] + "b")])
    twice["patient_id"] = twice["image_id"].str[:6]
    sets = conformal.prediction_sets(twice)
    plain = conformal.coverage_by_class(sets)
    wide = conformal.coverage_by_class(sets, cluster="patient_id")
    assert (wide["low"] < plain["low"]).all()
    one = conformal.coverage_by_class(sets.assign(patient_id="p"), cluster="patient_id")
    assert one["note"].str.contains("interval not estimable: all such rows are of one").all()


def test_what_cannot_be_calibrated_is_refused(folded: pd.DataFrame) -> None:
    with pytest.raises(TableError, match="no out-of-fold row has a truth"):
        conformal.prediction_sets(folded[folded["fold"] == -1])
    with pytest.raises(ValueError, match="error_rate is 1"):
        conformal.prediction_sets(folded, error_rate=1)
    only = conformal.coverage_by_class(
        conformal.prediction_sets(folded)[lambda t: t["truth"] == "other"]
    )
    assert only["note"].str.startswith("not estimable: no row is melanoma").tolist() == [
        False, True, False, True
    ]  # fmt: skip


def test_coverage_of_every_group_is_that_of_each(folded: pd.DataFrame) -> None:
    sets = conformal.prediction_sets(folded)
    groups = folded[["image_id"]].assign(sex="female", site=folded["fold"].astype(str))
    table = conformal.coverage_by_groups(sets, groups)
    assert list(table.columns[:4]) == ["column", "level", "rows", "class"]
    for column, part in table.groupby("column"):
        alone = conformal.coverage_by_group(sets, groups, by=str(column))
        assert part["value"].tolist() == alone["value"].tolist()
        assert part["level"].astype(str).tolist() == alone[column].astype(str).tolist()
    assert conformal.coverage_by_groups(sets, groups[["image_id"]]).empty
    most = int(table["n"].max())
    few = conformal.coverage_by_groups(sets, groups, smallest=most)
    assert (few["n"] == most).all()
    assert len(few)
