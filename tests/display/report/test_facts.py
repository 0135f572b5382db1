import pandas as pd
import pytest
from melnb_tables import predictions

from melnb.display.report import facts
from melnb.evaluation import subgroup_metrics
from melnb.evaluation.decisions import operating_point


def test_rows_are_of_the_pool_and_of_each_fold() -> None:
    table = predictions(folds=3)
    rows = facts.by_fold(table)
    assert list(rows) == ["out of fold", "fold 0", "fold 1", "fold 2"]
    pd.testing.assert_frame_equal(rows["fold 1"], table[table["fold"] == 1])
    assert list(facts.by_fold(table.assign(fold=-1))) == ["test"]
    assert len(facts.by_fold(table.assign(fold=[-1] * 10 + [0] * 50))["out of fold"]) == 50


def test_the_facts_of_a_point_are_its_numbers() -> None:
    table = predictions()
    point = operating_point.operating_point(
        table, positive="melanoma", choose="sensitivity", at=0.8
    )
    told = facts.point_facts(point).set_index("measure")
    for words, name in (
        ("sensitivity", "sensitivity"),
        ("PPV", "ppv"),
        ("number needed to biopsy", "number_needed_to_biopsy"),
        ("F2", "f_beta"),
        ("Youden's J", "youden"),
    ):
        assert told.loc[words, "value"] == point[name].iloc[0]
        assert told.loc[words, "low"] == point[f"{name}_low"].iloc[0]
    assert told.loc["prevalence", "value"] == point["prevalence"].iloc[0]
    assert (told["note"] == point["note"].iloc[0]).all()
    tp, fn = (point[name].iloc[0] for name in ("tp", "fn"))
    assert f"{tp} found, {fn} missed, " in told.loc["threshold", "meaning"]
    assert not told.index.str.contains("_").any()
    assert "theoretical threshold" not in told.index


def test_the_facts_of_a_cost_bring_the_threshold_of_theory() -> None:
    point = operating_point.operating_point(
        predictions(), positive="melanoma", choose="cost", at=19, beta=0.5
    )
    told = facts.point_facts(point).set_index("measure")
    assert told.loc["theoretical threshold", "value"] == pytest.approx(0.05)
    assert "0.5 times" in told.loc["F0.5", "meaning"]


def test_a_rival_has_the_same_images() -> None:
    first = predictions()
    other = facts.rival({"a": first, "few": first.head(3), "b": first})
    assert other is not None
    assert set(other["run"]) == {"b"}
    assert facts.rival({"a": first, "few": first.head(3)}) is None
    assert facts.rival({"a": first}) is None


def test_gap_facts_leave_out_what_was_not_tested() -> None:
    columns = ["column", "metric", "lowest", "highest", "low", "high", "p", "p_holm", "detectable"]
    gaps = pd.DataFrame([dict.fromkeys(columns, 0.5)] * 2).assign(gap=[0.1, None], note="long")
    told = facts.gap_facts(gaps)
    assert told["gap"].tolist() == [0.1]
    assert "note" not in told


def test_subgroup_facts_are_a_row_for_each_level_that_is_no_truth() -> None:
    table = predictions().assign(patient_id=[f"p{k // 2}" for k in range(len(predictions()))])
    groups = pd.DataFrame({"image_id": table["image_id"], "diagnosis": table["truth"]})
    groups["sex"] = ["female"] * (len(groups) - 3) + ["male"] * 3
    numbers = subgroup_metrics(
        table, positive="melanoma", groups=groups, threshold=0.5, smallest=10, cluster="patient_id"
    )
    told = facts.subgroup_facts(numbers)
    assert told["column"].tolist() == ["all", "sex", "sex"]
    own = numbers.query("column == 'sex' and level == 'female' and metric == 'sensitivity'").iloc[0]
    row = told.query("level == 'female'").iloc[0]
    assert (row["sensitivity"], row["sensitivity_low"]) == (own["value"], own["low"])
    few = told.query("level == 'male'").iloc[0]
    assert pd.isna(few["auc"])
    assert few["note"].startswith("too few: ")
    assert facts.subgroup_facts(numbers.head(0)).empty
