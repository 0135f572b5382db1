"""Held out: an image stands where it, its lesion or its patient stood in other folds."""

import numpy as np
import pandas as pd
import pytest

from melnb.tables.checks import TEST, TableError
from melnb.tables.overlap import held_out_folds
from melnb.tables.schema import IMAGE_COLUMNS


def images(**columns: list) -> pd.DataFrame:
    n = len(columns["image_id"])
    table = pd.DataFrame({name: [np.nan] * n for name in IMAGE_COLUMNS}, dtype=object)
    return table.assign(**columns)


LEARNT = images(
    image_id=["a", "b", "c", "d", "e"],
    lesion_id=["la", "la", "lc", np.nan, "le"],
    patient_id=["pa", "pa", np.nan, "pd", np.nan],
)
FOLDS = pd.DataFrame({"image_id": ["e", "d", "c", "b", "a"], "fold": [TEST, 2, 1, 0, 0]})


def test_the_image_comes_before_its_lesion_and_that_before_its_patient() -> None:
    asked = images(
        image_id=["c", "x", "y", "z", "e", "w", "c_downsampled", "v"],
        lesion_id=["la", "lc", "lx", np.nan, "lc", "le", np.nan, "le"],
        patient_id=["pd", "pd", "pd", np.nan, np.nan, np.nan, np.nan, "pd"],
    )
    found = held_out_folds(asked, LEARNT, FOLDS)
    assert found.to_dict() == {
        "c": 1, "x": 1, "y": 2, "z": TEST, "e": 1, "w": 2, "c_downsampled": 1, "v": 2,
    }  # fmt: skip
    assert found.dtype == np.int64


def test_siblings_that_only_the_asked_table_knows_stand_together() -> None:
    asked = images(
        image_id=["a", "x", "c", "y", "b", "z", "e", "w"],
        lesion_id=["l1", "l1", "l2", "l2", "l2", np.nan, "l3", "l3"],
        patient_id=[np.nan, "p1", np.nan, np.nan, np.nan, "p1", np.nan, np.nan],
    )
    found = held_out_folds(asked, LEARNT, FOLDS)
    expected = {"a": 0, "x": 0, "c": 1, "y": 0, "b": 0, "z": 0, "e": TEST, "w": TEST}
    assert found.to_dict() == expected


def test_a_data_set_stands_in_its_own_folds_whatever_the_order() -> None:
    found = held_out_folds(LEARNT.sample(frac=1, random_state=0), LEARNT, FOLDS)
    assert found.to_dict() == FOLDS.set_index("image_id")["fold"].to_dict()


def test_unknown_ids_never_meet() -> None:
    asked = images(image_id=["x", "y"])
    assert held_out_folds(asked, LEARNT, FOLDS).tolist() == [TEST, TEST]
    bare = asked[["image_id"]]
    assert held_out_folds(bare, LEARNT, FOLDS).tolist() == [TEST, TEST]


def test_folds_that_part_a_lesion_are_refused() -> None:
    parted = FOLDS.assign(fold=[TEST, 2, 1, 1, 0])
    with pytest.raises(TableError, match="patient_id 'pa' lies in 2 folds"):
        held_out_folds(LEARNT, LEARNT, parted)
