from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from melnb.evaluation.calibration.calibrators import calibrate
from melnb.evaluation.calibration.cross_calibration import cross_calibrate
from melnb.evaluation.shift import other_sources
from melnb.tables import schema
from melnb.tables.checks import TableError

Make = Callable[..., pd.DataFrame]


def test_seven_classes_and_two_meet_in_two() -> None:
    names = ("nevus", "melanoma", "benign_keratosis")
    values = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    ids, truths = ["z", "a", "m"], ["nevus", "melanoma", None]
    table = schema.make_predictions(ids, [0, 1, -1], truths, values, classes=names, run="r")
    found = other_sources.two_classes(
        table.assign(lesion_id=["l1", "l2", "l3"]), positive="melanoma"
    )
    assert found["image_id"].tolist() == ["a", "m", "z"]
    assert found["lesion_id"].tolist() == ["l2", "l3", "l1"]
    assert found["p_melanoma"].tolist() == [0.8, 0.2, 0.3]
    assert found["p_other"].tolist() == pytest.approx([0.2, 0.8, 0.7])
    assert found["truth"].tolist()[::2] == ["melanoma", "other"]
    assert found["truth"].isna().tolist() == [False, True, False]
    with pytest.raises(TableError, match="positive is 'angioma', not one of"):
        other_sources.two_classes(table, positive="angioma")


def test_a_rest_may_itself_be_looked_for(source: Make) -> None:
    found = other_sources.two_classes(source(30), positive="other")
    assert schema.class_names(found) == ("rest", "other")


def test_external_rows_are_test_rows_and_internal_ones_out_of_fold(source: Make) -> None:
    inside, outside = source(60), source(40, name="b", fold=0)
    inside.loc[:9, "fold"] = -1
    outside["truth"] = outside["truth"].where(outside.index > 4)
    outside["fold"] = np.where(outside.index > 4, 0, -1)
    found = other_sources.source_tables(inside, {"b": outside}, positive="melanoma")
    assert list(found) == ["internal", "b"]
    assert len(found["internal"]) == 50
    assert (found["internal"]["fold"] >= 0).all()
    assert found["b"]["fold"].eq(-1).all()
    assert len(found["b"]) == 35
    assert found["b"]["run"].eq("a").all()


def test_what_is_not_external_is_refused(source: Make) -> None:
    inside, outside = source(60), source(40, name="b", fold=-1)

    def give(table: pd.DataFrame, name: str = "b", own: pd.DataFrame = inside) -> None:
        other_sources.source_tables(own, {name: table}, positive="melanoma")

    with pytest.raises(TableError, match=r"b: its rows are out of 3 folds, .* have learnt"):
        give(source(40, name="b"))
    with pytest.raises(TableError, match="b: kind is 'score', and the internal one 'probability'"):
        give(outside.assign(kind="score"))
    with pytest.raises(TableError, match="may not be called 'internal'"):
        give(outside, "internal")
    with pytest.raises(TableError, match="b: no row"):
        give(outside.head(0))
    with pytest.raises(TableError, match="no out-of-fold row has a truth"):
        give(outside, own=inside.assign(fold=-1))


def images(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns)


LEARNT = pd.DataFrame({"image_id": ["ISIC_1", "h3"], "lesion_id": ["L1", "L3"]})


def test_sources_are_counted_and_left_without_what_was_met() -> None:
    external = {
        "one": images(image_id=["ISIC_1", "a", "b"], lesion_id=["L7", "L3", "L8"]),
        "two": images(image_id=["c"]),
    }
    met = other_sources.source_meetings(external, LEARNT)
    assert met["source"].tolist() == ["one", "one"]
    counts = other_sources.meeting_counts(external, met).set_index("source")
    assert counts.loc["one"].to_dict() == {
        "images": 3, "met_image": 1, "met_lesion": 1, "met_patient": 0, "met_picture": 0,
        "kept": 1, "judged": 0, "in_another": 0,
    }  # fmt: skip
    assert counts.loc["two", "kept"] == 1
    twice = external | {"three": images(image_id=["a_downsampled", "c", "d"])}
    counts = other_sources.meeting_counts(twice, met).set_index("source")
    assert counts["in_another"].to_dict() == {"one": 1, "two": 1, "three": 2}
    left = other_sources.strangers(external, met)
    assert {name: table["image_id"].tolist() for name, table in left.items()} == {
        "one": ["b"], "two": ["c"],
    }  # fmt: skip
    everything = {"all": LEARNT}
    with pytest.raises(TableError, match="source all: of 2 images not one is new"):
        other_sources.strangers(everything, other_sources.source_meetings(everything, LEARNT))
    assert other_sources.source_meetings({}, LEARNT).empty


def test_a_source_without_a_truth_is_predicted_not_judged(source: Make) -> None:
    met = other_sources.source_meetings({}, LEARNT)
    bare = source(20, name="n", fold=-1).assign(truth=np.nan)
    known = source(20, name="k", fold=-1)
    counts = other_sources.meeting_counts({"bare": bare, "known": known}, met)
    assert counts["judged"].tolist() == [0, 20]
    home = source(90)
    judged = other_sources.source_tables(home, {"bare": bare, "known": known}, positive="melanoma")
    assert [*judged] == ["internal", "known"]
    assert [*other_sources.source_tables(home, {"bare": bare}, positive="melanoma")] == ["internal"]


def test_sources_are_calibrated_by_internal_rows_alone_network_by_network(source: Make) -> None:
    inside, outside = source(90), source(40, name="b", fold=-1)
    tables = other_sources.source_tables(inside, {"b": outside}, positive="melanoma")
    named = {"positive": "melanoma"}
    plain = other_sources.calibrate_sources(tables, {"b": {}}, method="none", **named)
    assert plain == (tables, {"b": {}})
    made, alone = other_sources.calibrate_sources(tables, {}, method="platt", **named)
    home, frozen = cross_calibrate(tables["internal"], method="platt", **named)
    pd.testing.assert_frame_equal(made["internal"], home)
    pd.testing.assert_frame_equal(made["b"], calibrate(tables["b"], frozen))
    assert alone == {"b": {}}
    each = {"b": {0: tables["b"], 1: tables["b"]}}
    by_network, alone = other_sources.calibrate_sources(tables, each, method="platt", **named)
    values = [table["p_melanoma"].to_numpy() for table in alone["b"].values()]
    assert not np.array_equal(*values), "each by what the other folds asked for"
    assert by_network["b"]["p_melanoma"].to_numpy() == pytest.approx(np.mean(values, axis=0))
    truths = tables["b"].assign(truth=tables["b"]["truth"].iloc[::-1].to_numpy())
    flipped, _ = other_sources.calibrate_sources(
        tables | {"b": truths}, each, method="platt", **named
    )
    assert flipped["b"]["p_melanoma"].equals(by_network["b"]["p_melanoma"])
    more = {"b": {fold: pd.concat([table, inside]) for fold, table in each["b"].items()}}
    rows, again = other_sources.calibrated_rows(tables, more, method="platt", **named)
    assert rows["internal"].equals(home)
    assert rows["b"]["network"].value_counts().to_dict() == {0: 40, 1: 40}
    for fold, table in again["b"].items():
        pd.testing.assert_frame_equal(table, alone["b"][fold])
