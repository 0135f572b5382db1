"""Patient-relative features: of one's own fold and patient, and of no others."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import LocalOutlierFactor

from melnb.data.features.feature_files import STATISTICS, relative_features
from melnb.tables.checks import TableError

COLUMNS = ["size", "redness"]
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def make(patients: list[int], values: list[int], *, folds: list[int] | None = None) -> Tables:
    """Make feature rows, images and folds; whole numbers, so that there are many ties."""
    n = len(patients)
    ids = np.array([f"i{k:03d}" for k in range(n)], dtype=object)
    rows = pd.DataFrame({"image_id": ids, "size": np.array(values[:n], dtype=float)})
    rows["redness"] = np.roll(rows["size"], 1) * 2 - 3
    images = pd.DataFrame({"image_id": ids, "patient_id": [f"p{k}" for k in patients]})
    images = images.assign(lesion_id=np.nan, site=np.where(np.arange(n) % 3, "torso", "head/neck"))
    return rows, images, pd.DataFrame({"image_id": ids, "fold": folds or [0] * n})


PATIENTS = st.lists(st.integers(0, 3), min_size=1, max_size=30)
NUMBERS = st.lists(st.integers(-4, 9), min_size=30, max_size=30)


@settings(max_examples=settings.default.max_examples // 2)
@given(PATIENTS, NUMBERS, st.randoms(use_true_random=False), st.booleans())
def test_order_of_rows_and_names_of_patients_change_no_bit(
    patients: list[int], values: list[int], random: "np.random.Generator", by_site: bool
) -> None:
    rows, images, folds = make(patients, values)
    rows["size"] /= 7  # so that sums are rounded
    made = relative_features(rows, images, folds, columns=COLUMNS, by_site=by_site)
    shuffled = [*range(len(rows))]
    random.shuffle(shuffled)
    renamed = images.assign(patient_id="z" + images["patient_id"].str[1:].map(
        {"0": "9", "1": "2", "2": "5", "3": "0"}
    )).iloc[::-1]  # fmt: skip
    again = relative_features(rows.iloc[shuffled], renamed, folds, columns=COLUMNS, by_site=by_site)
    assert again["image_id"].tolist() == rows["image_id"].iloc[shuffled].tolist()
    pd.testing.assert_frame_equal(
        again.sort_values("image_id", ignore_index=True), made, check_exact=True
    )


@settings(max_examples=settings.default.max_examples // 2)
@given(PATIENTS, NUMBERS, NUMBERS)
def test_no_patient_and_no_fold_knows_of_another(
    patients: list[int], values: list[int], others: list[int]
) -> None:
    folds = [k % 2 for k in range(len(patients))]  # each patient lies in two folds, wrongly
    rows, images, table = make(patients, values, folds=folds)
    rows["size"] /= 7
    mine = (images["patient_id"] == images["patient_id"][0]) & (table["fold"] == 0)
    changed = rows.copy()
    changed["size"] = rows["size"].where(mine, np.array(others[: len(rows)]) * 1e5)
    changed["redness"] = rows["redness"].where(mine)
    pair = [
        relative_features(r, images, table, columns=COLUMNS)[mine] for r in (rows, changed)
    ]  # fmt: skip
    pd.testing.assert_frame_equal(*pair, check_exact=True)


def test_values_are_the_textbooks(images: pd.DataFrame, folds: pd.DataFrame) -> None:
    draw = np.random.default_rng(1)
    rows = images[["image_id"]].assign(size=draw.normal(5, 1, 120), redness=draw.random(120))
    made = relative_features(rows, images, folds, columns=COLUMNS)
    assert [*made.columns] == [
        "image_id", "size_difference", "size_ratio", "size_z", "size_rank",
        "redness_difference", "redness_ratio", "redness_z", "redness_rank", "lof", "pictures",
    ]  # fmt: skip
    groups = 0
    for _, own in rows.groupby([folds["fold"], images["patient_id"]]):
        mine, x = made.loc[own.index], own[COLUMNS]
        assert (mine["pictures"] == len(own)).all()
        if len(own) < 3:
            assert (mine.iloc[:, 1:-1] == [0, 1, 0, 0.5, 0, 1, 0, 0.5, 1]).all(axis=None)
            continue
        groups += 1
        z = (x - x.mean()) / x.std()
        assert mine["redness_z"].to_numpy() == pytest.approx(z["redness"])
        assert mine["size_ratio"].to_numpy() == pytest.approx(x["size"] / x["size"].mean())
        assert mine["size_difference"].to_numpy() == pytest.approx(x["size"] - x["size"].mean())
        assert mine["size_rank"].to_numpy() == pytest.approx((x["size"].rank() - 0.5) / len(x))
        model = LocalOutlierFactor(n_neighbors=len(own) // 2).fit(z)
        assert mine["lof"].to_numpy() == pytest.approx(-model.negative_outlier_factor_, rel=1e-6)
    assert groups == 16


def test_by_site_missing_values_and_unknown_people(
    images: pd.DataFrame, folds: pd.DataFrame
) -> None:
    draw = np.random.default_rng(1)
    rows = images[["image_id"]].assign(size=draw.random(120), redness=draw.random(120))
    rows.loc[::5, "redness"] = np.nan
    images.loc[images["patient_id"] == "p05", "patient_id"] = np.nan
    made = relative_features(rows, images, folds, columns=COLUMNS, by_site=True)
    assert all(name.endswith("_site") for name in made.columns[1:])
    assert made.notna().all(axis=None)
    size = images.groupby(["patient_id", "site"])["image_id"].transform("size")
    assert made["pictures_site"].tolist() == size.fillna(1).tolist()
    lost = rows["redness"].isna()
    assert (made.loc[lost, ["redness_z_site", "lof_site"]] == [0, 1]).all(axis=None)
    assert (made.loc[lost, "size_z_site"] != 0).any()
    alone = images["patient_id"].isna() | images["site"].isna()
    assert (made.loc[alone, ["size_ratio_site", "lof_site", "pictures_site"]] == 1).all(axis=None)
    few = relative_features(rows, images, folds, columns=["size"], statistics=["z", "pictures"])
    assert [*few.columns] == ["image_id", "size_z", "pictures"]


def test_lesions_are_groups_where_no_patient_is_known() -> None:
    rows, images, folds = make([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 9])
    lesions = images.assign(patient_id=np.nan, lesion_id=images["patient_id"])
    expected = relative_features(rows, images, folds, columns=["size"])
    for group in ("", "lesion_id"):
        made = relative_features(rows, lesions, folds, columns=["size"], group=group)
        pd.testing.assert_frame_equal(made, expected)
    with pytest.raises(TableError, match="no patient_id is known"):
        relative_features(rows, lesions, folds, columns=["size"], group="patient_id")
    nobody = lesions.assign(lesion_id=np.nan)
    with pytest.raises(TableError, match="no patient_id and no lesion_id is known"):
        relative_features(rows, nobody, folds, columns=["size"])


def test_what_is_wrong_is_refused() -> None:
    rows, images, folds = make([0, 0, 0, 1], [1, 2, 3, 4])
    for columns in ([], ["size", "size"]):
        with pytest.raises(ValueError, match="each once"):
            relative_features(rows, images, folds, columns=columns)
    with pytest.raises(ValueError, match=f"use some of .*{STATISTICS[-1]}"):
        relative_features(rows, images, folds, columns=["size"], statistics=["mean"])
    with pytest.raises(TableError, match="'sex', which is no number"):
        relative_features(rows.assign(sex="male"), images, folds, columns=["sex"])
    with pytest.raises(TableError, match="rename 'size'"):
        relative_features(rows, images, folds, columns=["siz"])
    with pytest.raises(TableError, match="folds: no row for 'i003'"):
        relative_features(rows, images, folds.head(3), columns=["size"])
    assert relative_features(rows.head(0), images, folds, columns=["size"]).empty
