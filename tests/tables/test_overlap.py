"""Overlap: the same image, lesion and patient, whoever writes their ids."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melnb.tables import overlap
from melnb.tables.checks import TableError
from melnb.tables.overlap import check_together, keys, make_groups, match


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
    found = overlap.met_images(theirs, LEARNT, identical=identical)
    assert found.to_numpy().tolist() == [
        ["ISIC_1", "image", "ISIC_1"],
        ["ISIC_2_downsampled", "image", "ISIC_2"],
        ["x", "picture", "h3"],
        ["y", "patient", "P2"],
        ["z", "lesion", "L3"],
    ]


def test_unknown_ids_never_meet() -> None:
    unknown = images(image_id=["a"], lesion_id=[np.nan], patient_id=[np.nan])
    assert overlap.met_images(unknown, LEARNT).empty
    assert overlap.met_images(unknown[["image_id"]], LEARNT).empty
    assert overlap.met_images(LEARNT, LEARNT.head(0)).empty
    assert list(overlap.met_images(LEARNT.head(0), LEARNT)) == list(overlap.COLUMNS)


@settings(max_examples=settings.default.max_examples // 7)
@given(st.permutations(range(8)))
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    theirs = images(image_id=[f"i{k}" for k in range(8)], lesion_id=["L1", "L3", *"abcdef"])
    found = overlap.met_images(theirs.iloc[list(order)], LEARNT.iloc[::-1])
    pd.testing.assert_frame_equal(found, overlap.met_images(theirs, LEARNT))


NAMES = ("ISIC_1", " ISIC_1", "isic_1", "ISIC_1.jpg", "train/mel/ISIC_1.JPEG", "a\\ISIC_1.png",
         "ISIC_1_downsampled", "x/ISIC_1_downsampled.jpg")  # fmt: skip


def test_an_image_is_itself_under_every_name() -> None:
    assert set(keys(pd.Series(NAMES))) == {"isic_1"}
    others = ["ISIC_10", "ISIC_1.5", "ISIC_1_crop", "1", "", np.nan]
    assert keys(pd.Series(others, dtype=object)).tolist()[:4] == [
        "isic_10", "isic_1.5", "isic_1_crop", "1",
    ]  # fmt: skip
    assert keys(pd.Series(others, dtype=object))[4:].isna().all()


def test_a_patient_is_not_cut_as_a_file_name_is() -> None:
    ids = pd.Series(["P1", "p1 ", "17", "17.0", 17, "a/P1", "P1_downsampled", None], dtype=object)
    found = keys(ids, of="patient")
    assert found[:7].tolist() == ["p1", "p1", "17", "17", "17", "a/p1", "p1_downsampled"]
    assert found.isna().tolist() == [*[False] * 7, True]


@settings(max_examples=settings.default.max_examples // 2)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=8), st.sampled_from(["jpg", "PNG"]))
def test_folder_suffix_and_case_never_make_another_image(names: list[str], suffix: str) -> None:
    ids = pd.Series([f"id{k}_{len(name)}" for k, name in enumerate(names)])
    written = "f/g/" + ids.str.upper() + "." + suffix
    assert keys(written).tolist() == keys(ids).tolist()
    assert match(written, ids).tolist() == [*range(len(ids))]


def test_a_join_takes_the_nearest_name_and_none_of_two() -> None:
    known = pd.Series(["ISIC_1_downsampled", "ISIC_1.jpg", "b", "B", "c.png", "C.jpg", "d"])
    asked = pd.Series(["ISIC_1", "ISIC_1_downsampled", "B", "c", "d_downsampled", "D.JPG", np.nan])
    assert match(asked, known).tolist() == [1, 0, 3, -1, 6, 6, -1]
    assert match(asked, known.head(0)).tolist() == [-1] * 7
    assert match(asked.head(0), known).tolist() == []
    assert match(pd.Series(["a"]), pd.Series(["a", "a"])).tolist() == [-1]


def test_who_is_of_a_met_images_patient_is_met() -> None:
    """The copy tells whose patient it is, though the table learnt from does not."""
    theirs = images(
        image_id=["ISIC_1_downsampled", "a", "b", "c"],
        lesion_id=[np.nan, "M1", "M1", "M9"],
        patient_id=["Q1", "Q1", np.nan, "Q2"],
    )
    found = overlap.met_images(theirs, LEARNT[["image_id"]])
    assert found.to_numpy().tolist() == [
        ["ISIC_1_downsampled", "image", "ISIC_1"],
        ["a", "patient", "Q1"],
        ["b", "lesion", "M1"],
    ]


def test_a_smaller_copy_is_dealt_out_with_its_original() -> None:
    table = images(
        image_id=["ISIC_1", "b", "ISIC_1_downsampled", "c"],
        patient_id=["p1", "p1 ", np.nan, np.nan], lesion_id=[np.nan] * 4,
    )  # fmt: skip
    assert make_groups(table).tolist() == [0, 0, 0, 1]
    folds = images(image_id=table["image_id"].tolist(), fold=[0, 0, 1, 1])
    with pytest.raises(TableError, match="image_id 'ISIC_1' lies in 2 folds"):
        check_together(folds, table)
    check_together(folds.assign(fold=[0, 0, 0, 1]), table)
    with pytest.raises(TableError, match="patient_id 'p1' lies in 2 folds"):
        check_together(folds.assign(fold=[0, 1, 0, 1]), table)
