"""Corrupted pictures, each through its fold's own network: resumed by the cell, ever the same."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melnb.data.augmentation.corruptions import corrupt
from melnb.data.datasets import Dataset
from melnb.models import corrupted, out_of_fold
from melnb.tables.schema import read_predictions

SIDE = 32
LOOKS = {"views": "random", "n_views": 3, "seed": 5, "augmentation": {"flips": True, "hue": 0.1}}
GRID = {"corruptions": ["noise", "patch"], "strengths": [2, 4], "seed": 1}


@pytest.fixture(scope="module")
def clean(
    trained: dict[int, Path], data: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> pd.DataFrame:
    home = tmp_path_factory.mktemp("clean")
    return out_of_fold.predict_out_of_fold(
        trained, data, run="r", batch_size=20, folder=home, **LOOKS
    )[1]


def predict(
    trained: dict[int, Path], data: Dataset, rows: pd.DataFrame, folder: Path
) -> pd.DataFrame:
    return corrupted.predict_corrupted(
        trained, data, rows, **GRID, run="r", folder=folder, batch_size=20, looks=LOOKS
    )


def test_cells_are_of_their_folds_networks_and_are_not_made_twice(
    trained: dict[int, Path], data: Dataset, clean: pd.DataFrame, tmp_path: Path
) -> None:
    cells = predict(trained, data, clean, tmp_path)
    assert cells.groupby(["corruption", "strength"], sort=False).size().to_dict() == {
        ("none", 0): 48, ("noise", 2): 48, ("noise", 4): 48, ("patch", 2): 48, ("patch", 4): 48,
    }  # fmt: skip
    first = cells[cells["strength"] == 0].reset_index(drop=True)
    names = clean.columns.intersection(first.columns)
    pd.testing.assert_frame_equal(first[names], clean[names])  # to the last bit
    far = cells.assign(p=(cells["p_melanoma"] - np.tile(clean["p_melanoma"], 5)).abs())
    far = far.groupby("corruption")["p"].mean()
    assert far["none"] == 0 < min(far["noise"], far["patch"])
    # Killed in the midst: what is there is read, what is not is made as it was.
    files = sorted((tmp_path / "cells").iterdir())
    kept = {file: file.read_bytes() for file in files}
    assert [file.name for file in files][:2] == ["noise-2.csv", "noise-4.csv"]
    (tmp_path / "cells" / "noise-4.csv").unlink()
    pd.testing.assert_frame_equal(predict(trained, data, clean, tmp_path), cells)
    assert {file: file.read_bytes() for file in files} == kept
    nowhere = dict.fromkeys(trained, tmp_path / "gone")
    pd.testing.assert_frame_equal(predict(nowhere, data, clean, tmp_path), cells)


def test_some_images_alone_get_what_they_get_among_all(
    trained: dict[int, Path], data: Dataset, clean: pd.DataFrame, tmp_path: Path
) -> None:
    """Their corruptions are of their ids, and their random looks of their places among all."""
    few = clean.iloc[[1, 7, 30, 31, 47]]
    whole, part = (
        predict(trained, data, rows, tmp_path / name) for rows, name in ((clean, "a"), (few, "b"))
    )
    same = whole[whole["image_id"].isin(few["image_id"])].reset_index(drop=True)
    assert part["image_id"].tolist() == same["image_id"].tolist()
    np.testing.assert_allclose(part["p_melanoma"], same["p_melanoma"], atol=1e-5)
    assert (tmp_path / "b" / "cells" / "patch-4.csv").is_file()


def test_one_look_is_the_network_on_the_corrupted_picture(
    trained: dict[int, Path], data: Dataset, clean: pd.DataFrame, tmp_path: Path
) -> None:
    from melnb.data.batches import predict_batches

    seen = corrupted.predict_corrupted(
        trained, data, clean, corruptions=["noise"], strengths=[3], run="r", folder=tmp_path,
        batch_size=24, looks={"views": "none"},
    )  # fmt: skip
    (batch,) = predict_batches(data.paths(1), image_size=SIDE, batch_size=24).as_numpy_iterator()
    own = seen[(seen["corruption"] == "noise") & (seen["fold"] == 1)]
    images = corrupt(batch["image"], own["image_id"].tolist(), "noise", 3)
    said = out_of_fold.read_model(trained[1]).predict(images, verbose=0)
    np.testing.assert_allclose(own["p_melanoma"], said[:, 1], atol=1e-6)
    assert read_predictions(tmp_path / "cells" / "noise-3.csv")["views"].eq("none").all()


def test_a_picture_is_shown_in_each_cell(
    trained: dict[int, Path], data: Dataset, clean: pd.DataFrame
) -> None:
    rows = corrupted.sample_corruptions(trained, data, clean, **GRID)
    assert [len(row) for row in rows.values()] == [1, 2, 2]
    assert {view.shape for row in rows.values() for view in row} == {(SIDE, SIDE, 3)}
