import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melnb.evaluation.shift import meetings
from melnb.tables import TableError


def images(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame(columns)


LEARNT = images(
    image_id=["ISIC_1", "ISIC_2", "h3"],
    lesion_id=["L1", np.nan, "L3"],
    patient_id=[np.nan, "P2", np.nan],
)


def test_each_met_image_is_named_with_what_it_shares() -> None:
    theirs = images(
        image_id=["new", "z", "y", "ISIC_1", "x", "ISIC_2_downsampled"],
        lesion_id=["L9", "L3", np.nan, "L1", np.nan, np.nan],
        patient_id=[np.nan, np.nan, "P2", "P1", np.nan, "P2"],
    )
    identical = images(image_id=["x", "h3", "new", "other"], identical=[0, 0, 1, 1])
    found = meetings.met_images(theirs, LEARNT, identical=identical)
    assert found.to_numpy().tolist() == [
        ["ISIC_1", "image", "ISIC_1"],
        ["ISIC_2_downsampled", "image", "ISIC_2"],
        ["x", "picture", "h3"],
        ["y", "patient", "P2"],
        ["z", "lesion", "L3"],
    ]


def test_unknown_ids_never_meet() -> None:
    unknown = images(image_id=["a"], lesion_id=[np.nan], patient_id=[np.nan])
    assert meetings.met_images(unknown, LEARNT).empty
    assert meetings.met_images(unknown[["image_id"]], LEARNT).empty
    assert meetings.met_images(LEARNT, LEARNT.head(0)).empty
    assert list(meetings.met_images(LEARNT.head(0), LEARNT)) == list(meetings.COLUMNS)


@settings(max_examples=settings.default.max_examples // 7)
@given(st.permutations(range(8)))
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    theirs = images(image_id=[f"i{k}" for k in range(8)], lesion_id=["L1", "L3", *"abcdef"])
    found = meetings.met_images(theirs.iloc[list(order)], LEARNT.iloc[::-1])
    pd.testing.assert_frame_equal(found, meetings.met_images(theirs, LEARNT))


def test_sources_are_counted_and_left_without_what_was_met() -> None:
    external = {
        "one": images(image_id=["ISIC_1", "a", "b"], lesion_id=["L7", "L3", "L8"]),
        "two": images(image_id=["c"]),
    }
    met = meetings.source_meetings(external, LEARNT)
    assert met["source"].tolist() == ["one", "one"]
    counts = meetings.meeting_counts(external, met).set_index("source")
    assert counts.loc["one"].to_dict() == {
        "images": 3, "image": 1, "lesion": 1, "patient": 0, "picture": 0, "kept": 1,
        "in_another": 0,
    }  # fmt: skip
    assert counts.loc["two", "kept"] == 1
    twice = external | {"three": images(image_id=["a_downsampled", "c", "d"])}
    counts = meetings.meeting_counts(twice, met).set_index("source")
    assert counts["in_another"].to_dict() == {"one": 1, "two": 1, "three": 2}
    left = meetings.strangers(external, met)
    assert {name: table["image_id"].tolist() for name, table in left.items()} == {
        "one": ["b"], "two": ["c"],
    }  # fmt: skip
    everything = {"all": LEARNT}
    with pytest.raises(TableError, match="source all: of 3 images not one is new"):
        meetings.strangers(everything, meetings.source_meetings(everything, LEARNT))
    assert meetings.source_meetings({}, LEARNT).empty
