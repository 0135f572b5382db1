"""Feature rows: one for each image, of the right kind, and never the truth."""

import numpy as np
import pandas as pd
import pytest

from melnb.data.features import feature_rows
from melnb.tables.checks import TableError

ALL = ["sex", "age", "site", "images_per_patient", "width"]


def test_rows_hold_what_the_images_table_says(images: pd.DataFrame) -> None:
    images.loc[0, "patient_id"] = np.nan
    images.loc[1, "width"] = pd.NA
    rows = feature_rows.image_features(images, ALL)
    assert [*rows.columns] == ["image_id", *ALL]
    assert rows["image_id"].tolist() == images["image_id"].tolist()
    assert [str(kind) for kind in rows.dtypes[1:]] == [
        "object", "float64", "object", "float64", "float64"
    ]  # fmt: skip
    assert rows["age"].equals(images["age"])
    for name in ("sex", "site"):
        assert rows[name].isna().tolist() == images[name].isna().tolist()
        assert rows[name].dropna().tolist() == images[name].dropna().tolist()
    assert np.isnan(rows["images_per_patient"][0])
    assert np.isnan(rows["width"][1])
    for patient, own in images.groupby("patient_id"):
        counted = rows.loc[own.index, "images_per_patient"]
        assert (counted == len(own)).all(), patient
    assert [*feature_rows.image_features(images, []).columns] == ["image_id"]


def test_a_feature_is_no_truth_no_name_and_says_something(images: pd.DataFrame) -> None:
    more = images.assign(
        finding=np.where(images["target"] == "melanoma", "atypical", "regular"),
        code=np.where(images["target"] == "melanoma", 3, np.arange(len(images)) % 3),
        empty=np.nan,
        maker="lens",
        remark=[f"seen {k}" for k in range(len(images))],
    )
    for name, reason in {
        "target": "tells the truth", "diagnosis": "tells the truth", "fold": "no column",
        "patient_id": "names an image", "path": "names an image", "image_id": "names an image",
        "finding": "each of its values goes with one class", "code": "goes with one class",
        "empty": "is empty", "maker": "the same in every image", "remark": "120 different words",
        "widht": "rename 'width'",
    }.items():  # fmt: skip
        with pytest.raises(TableError, match=reason):
            feature_rows.image_features(more, ["sex", name])
    with pytest.raises(TableError, match="each once"):
        feature_rows.image_features(images, ["sex", "sex"])
    with pytest.raises(TableError, match="infinite in 1 rows"):
        feature_rows.image_features(images.assign(x=np.r_[np.inf, np.zeros(119)]), ["x"])
    with pytest.raises(TableError, match="is empty"):
        feature_rows.image_features(images.assign(patient_id=np.nan), ["images_per_patient"])
    # One value for each class is chance among few: 9 melanomas.
    few = pd.concat([more[more["target"] == c].head(9) for c in ("melanoma", "other")])
    assert "finding" in feature_rows.image_features(few, ["finding"])


def test_tables_are_joined_by_id_alone(images: pd.DataFrame) -> None:
    rows = feature_rows.image_features(images, ["age"])
    other = images[["image_id"]].assign(contrast=np.arange(120.0)).sample(frac=0.5, random_state=1)
    other = pd.concat([other, pd.DataFrame({"image_id": ["stranger"], "contrast": [7.0]})])
    words = images[["image_id"]].tail(3).assign(skin="light")
    other.attrs["left_out"] = {"m.csv: truth": "tells the truth"}
    made = feature_rows.join_features(rows, [other, words])
    assert [*made.columns] == ["image_id", "age", "contrast", "skin"]
    assert made["age"].equals(rows["age"])
    own = other.set_index("image_id")["contrast"]
    assert made["contrast"].notna().sum() == 60
    for name, value in zip(made["image_id"], made["contrast"], strict=True):
        assert value == own[name] if name in own else np.isnan(value)
    assert made["skin"].isna().sum() == 117
    assert (made["contrast"].dtype, made["skin"].dtype) == (np.float64, object)
    assert made.attrs == {"left_out": {"m.csv: truth": "tells the truth"}}
    with pytest.raises(TableError, match="'contrast' stands in two tables"):
        feature_rows.join_features(made, [other])
    with pytest.raises(TableError, match="more than one row"):
        feature_rows.join_features(rows, [pd.concat([words, words])])


def test_the_overview_tells_what_there_is_and_what_is_not() -> None:
    rows = pd.DataFrame(
        {
            "image_id": list("abcd"),
            "age": [40.0, np.nan, 50.0, 60.0],
            "sex": np.array(["male", "male", np.nan, "female"], dtype=object),
            "lof": 1.0,
            "none": np.nan,
        }
    )
    rows.attrs["left_out"] = {"m.csv: dx": "tells the truth"}
    table = feature_rows.feature_overview(rows)
    assert tuple(table.columns) == feature_rows.OVERVIEW_COLUMNS
    own = table.set_index("feature")
    assert own["kind"].tolist() == ["number", "word", "number", "number", "left out"]
    assert own["missing"][:4].tolist() == [0.25, 0.25, 0, 1]
    assert own["levels"][:4].tolist() == [3, 2, 1, 0]
    assert (own.loc["age", "mean"], own.loc["age", "sd"]) == (50, 10)
    assert own["note"].tolist() == [
        "",
        "male: 67%",
        "the same in every image",
        "",
        "tells the truth",
    ]
    assert feature_rows.feature_overview(pd.DataFrame({"image_id": []})).empty
