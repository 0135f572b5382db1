"""Groups: equal where every column is, alone where one is unknown."""

import numpy as np
import pandas as pd

from melnb.tables.within_patient import first_known, group_codes


def same(codes: np.ndarray) -> list[list[int]]:
    """List the rows of each group."""
    return sorted(np.flatnonzero(codes == code).tolist() for code in np.unique(codes))


def test_rows_are_together_where_every_column_is_equal() -> None:
    patient = pd.Series(["p", "q", "p", "p", np.nan, np.nan, "q"])
    site = pd.Series(["torso", "torso", "head/neck", "torso", "torso", "torso", np.nan])
    assert same(group_codes(patient)) == [[0, 2, 3], [1, 6], [4], [5]]
    assert same(group_codes(patient, site)) == [[0, 3], [1], [2], [4], [5], [6]]
    fold = np.array([0, 0, 0, 1, 1, 1, 0])
    assert same(group_codes(fold, patient)) == [[0, 2], [1, 6], [3], [4], [5]]
    codes = group_codes(patient, site)
    assert sorted(set(codes.tolist())) == list(range(6))
    assert group_codes(patient.head(0)).tolist() == []


def test_a_lesion_stands_in_for_an_unknown_patient() -> None:
    images = pd.DataFrame(
        {"patient_id": ["1", np.nan, np.nan, np.nan], "lesion_id": ["l", "1", "1", np.nan]}
    )
    names = first_known(images, ("patient_id", "lesion_id"))
    assert names[:3].tolist() == ["patient_id 1", "lesion_id 1", "lesion_id 1"]
    assert names.isna().tolist() == [False, False, False, True]
    assert first_known(images, ("patient_id", "person")).notna().tolist() == [True, *[False] * 3]
