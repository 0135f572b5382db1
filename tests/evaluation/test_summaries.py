from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from melnb_tables import predictions

from melnb.evaluation import summaries
from melnb.evaluation.decisions import operating_point
from melnb.evaluation.discrimination import ranking
from melnb.tables import checks, schema


def test_members_are_read_with_their_test_rows(tmp_path: Path) -> None:
    table = predictions()
    test = table.head(3).assign(fold=-1, truth=np.nan, image_id=["x", "y", "z"])
    files = [
        schema.write_predictions(t, tmp_path / f"{k}.csv") for k, t in enumerate([table, test])
    ]
    read = summaries.read_members({"a": files}, positive="melanoma")
    row = summaries.members_table(read, positive="melanoma").iloc[0]
    assert (row["out_of_fold"], row["test"], row["folds"], row["without_truth"]) == (60, 3, 2, 3)
    assert row["positives"] == (table["truth"] == "melanoma").sum()
    assert len(summaries.out_of_fold(read)["a"]) == 60
    assert len(summaries.out_of_fold({"t": test})["t"]) == 3
    with pytest.raises(checks.TableError, match=r"member a: .*stands in more than one row"):
        summaries.read_members({"a": [files[0], files[0]]}, positive="melanoma")
    with pytest.raises(checks.TableError, match="member a has no class 'nevus'"):
        summaries.members_table(read, positive="nevus")


def test_members_say_how_many_patients_they_are_of() -> None:
    table = predictions()
    known = table.assign(patient_id=[f"p{k // 3}" for k in range(60)])
    bare = known.assign(truth=pd.Series(np.nan, table.index, dtype=object))
    rows = summaries.members_table({"a": known, "b": table, "c": bare}, positive="melanoma")
    own = known.loc[known["truth"] == "melanoma", "patient_id"].nunique()
    assert rows["patients"].fillna(-1).tolist() == [20, -1, 20]
    assert rows["positive_patients"].fillna(-1).tolist() == [own, -1, -1]


def test_of_images_without_a_truth_nothing_is_said_but_what_they_are_called() -> None:
    table = predictions().assign(fold=-1)
    called = (table["p_melanoma"] > 0.5).sum()
    bare = table.assign(truth=pd.Series(np.nan, table.index, dtype=object))
    row = summaries.members_table({"bare": bare, "known": table}, positive="melanoma")["positives"]
    assert pd.isna(row[0])
    assert row[1] == (table["truth"] == "melanoma").sum()
    counts = summaries.called_counts(table).set_index("class")
    assert counts["called"].to_dict() == {"other": 60 - called, "melanoma": called}
    assert counts["truly"].to_dict() == table["truth"].value_counts().to_dict()
    assert "truly" not in summaries.called_counts(bare)


def test_patients_are_preferred_to_lesions_and_unknown_ones_do_not_count() -> None:
    table = predictions()
    assert summaries.cluster_column(table) == ""
    table["lesion_id"] = "l"
    table["patient_id"] = np.nan
    assert summaries.cluster_column(table) == "lesion_id"
    assert summaries.cluster_column(table.assign(patient_id="p")) == "patient_id"


def test_results_are_those_of_the_pooled_rows() -> None:
    table = predictions()
    scores = ranking.metrics_by_fold(table, positive="melanoma", draws=50)
    point = operating_point.operating_point(table, positive="melanoma")
    results = summaries.run_results(scores, point)
    assert results["auc"] == ranking.auc(table, positive="melanoma")["value"].iloc[0]
    assert next(iter(results)) == "auc"
    assert results["sensitivity_low"] < results["sensitivity"] < results["sensitivity_high"]
    assert results["images"] == 60
    single = ranking.metrics_by_fold(table.assign(fold=0), positive="melanoma", draws=50)
    assert summaries.run_results(single, point)["auc"] == results["auc"]


def test_rows_of_known_patients() -> None:
    table = pd.DataFrame({"image_id": ["a", "b"], "patient_id": ["x", None]})
    assert summaries.of_known_patients(table)["image_id"].tolist() == ["a"]
    without = summaries.of_known_patients(table[["image_id"]])
    assert without.empty
    assert "patient_id" in without


def test_the_mean_of_all_comes_first_where_there_are_several() -> None:
    one, two, mean = (predictions().assign(run=name) for name in ("one", "two", "mean"))
    both = summaries.out_of_fold({"one": one, "two": two}, mean=mean)
    assert list(both) == ["mean of all", "one", "two"]
    assert list(summaries.out_of_fold({"one": one}, mean=mean)) == ["one"]


def test_a_rival_is_of_the_very_same_images() -> None:
    one = predictions()
    second = summaries.rival(one, {"few": one.head(10), "two": one, "three": one})
    assert second is not None
    assert second["run"].eq("two").all()
    assert summaries.rival(one, {"few": one.head(10)}) is None
