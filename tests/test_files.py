from pathlib import Path

import pandas as pd
import pytest

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.files import PICTURE_SUFFIXES, picture_id
from melnb.patients.overlap import keys


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES | {".dcm", ".npy", ".JPG", ".Tiff"}))
@pytest.mark.parametrize("folder", ["", "train/", "C:\\pictures\\train\\", "./a b/"])
def test_a_picture_is_called_without_folder_and_suffix_by_all_who_ask(
    suffix: str, folder: str
) -> None:
    name = f"{folder}ISIC_0000001{suffix}"
    assert picture_id(name) == "ISIC_0000001"
    assert keys(pd.Series([name, "ISIC_0000001"])).nunique() == 1


@pytest.mark.parametrize("name", ["v1.2", "p.1_left", "scan.0001", ".jpg", "a.jpg.part"])
def test_a_point_in_an_id_is_no_suffix(name: str) -> None:
    assert picture_id(name) == name


def test_a_newer_suffix_is_none_of_an_id_in_predictions_either(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": ["x/a.jfif", "x\\b.jp2"], "target": [0, 1], "pred": [0.2, 0.7]})
    table.to_csv(tmp_path / "theirs.csv", index=False)
    assert read_foreign(tmp_path / "theirs.csv")["image_id"].tolist() == ["a", "b"]
