"""Anyone's CSV: features by name, and nothing that tells the truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.data.features.feature_files import read_features
from melnb.tables.checks import TableError


def write(folder: Path, table: pd.DataFrame) -> Path:
    table.to_csv(folder / "theirs.csv", index=False)
    return folder / "theirs.csv"


def test_columns_become_numbers_and_words(tmp_path: Path, images: pd.DataFrame) -> None:
    draw = np.random.default_rng(0)
    area = draw.normal(size=120)
    theirs = pd.DataFrame({
        "ISIC_ID": images["image_id"] + ".jpg", "area": area, "hairy": draw.random(120) < 0.5,
        "border": draw.choice(["sharp", "fuzzy"], 120), "rings": draw.integers(0, 3, 120),
    })  # fmt: skip
    theirs.loc[3, ["area", "border"]] = np.nan
    strangers = theirs.head(2).assign(ISIC_ID=["s1", "s2"], border=" fuzzy ")
    file = write(tmp_path, pd.concat([theirs.drop(index=5), strangers]).sample(frac=1))
    made = read_features(file, images)
    assert [*made.columns] == ["image_id", "area", "hairy", "border", "rings"]
    assert made["image_id"].tolist() == images["image_id"].drop(index=5).tolist()
    assert [str(kind) for kind in made.dtypes[1:]] == ["float64", "float64", "object", "float64"]
    expected = theirs.drop(index=5).reset_index(drop=True)
    assert made["area"].to_numpy() == pytest.approx(expected["area"], rel=1e-15, nan_ok=True)
    assert made["border"].dropna().tolist() == expected["border"].dropna().tolist()
    assert made["hairy"].tolist() == expected["hairy"].tolist()
    assert made.attrs["left_out"] == {}


def test_what_is_no_feature_is_left_out_and_said(tmp_path: Path, images: pd.DataFrame) -> None:
    draw = np.random.default_rng(0)
    hidden = images["target"].map({"melanoma": 1, "other": 0})
    theirs = images[["image_id", "patient_id"]].assign(
        area=draw.normal(size=120), target=hidden, Diagnosis="nevus", MEL=hidden, fold=0,
        iddx_full="x", hidden=hidden, site=images["site"], maker="lens", remark=draw.random(120),
        free=[f"word {k}" for k in range(120)], nothing=np.nan, note="",
    )  # fmt: skip
    made = read_features(write(tmp_path, theirs), images)
    assert [*made.columns] == ["image_id", "area", "site", "remark"]
    left = {key.removeprefix("theirs.csv: "): why for key, why in made.attrs["left_out"].items()}
    assert [*left] == [
        "patient_id", "target", "Diagnosis", "MEL", "fold", "iddx_full", "hidden", "maker", "free",
        "nothing", "note",
    ]  # fmt: skip
    assert "one class alone" in left["hidden"]
    assert "different words" in left["free"]
    assert left["nothing"] == "is empty"


def test_what_is_wrong_is_refused(tmp_path: Path, images: pd.DataFrame) -> None:
    with pytest.raises(FileNotFoundError, match=r"no theirs\.csv"):
        read_features(tmp_path / "theirs.csv", images)
    good = images[["image_id"]].assign(area=np.arange(120))
    for table, reason in (
        (good.rename(columns={"image_id": "who"}), "no id among"),
        (pd.concat([good, good.head(1)]), "stands in more than one row"),
        (good.assign(image_id=good["image_id"].where(good.index > 0)), "empty image_id"),
        (good.assign(image_id="s" + good["image_id"]), "knows none of the dataset's 120 images"),
        (good.assign(pred=0.5), "holds predictions"),
        (good.assign(p_melanoma=0.5), "give them as scores"),
        (good.assign(area=1), "no column that is a feature"),
    ):
        with pytest.raises(TableError, match=reason):
            read_features(write(tmp_path, table), images)
    (tmp_path / "theirs.csv").write_text("")
    with pytest.raises(TableError, match=r"theirs\.csv"):
        read_features(tmp_path / "theirs.csv", images)
