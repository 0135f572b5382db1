"""Crossing the folds: the right network for every fold, and nothing that is finished made again."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from melnb.data import metadata
from melnb.data.datasets import Dataset
from melnb.data.pictures import read_picture
from melnb.data.shards.records import read_index
from melnb.models import out_of_fold, tta
from melnb.tables import schema

SIDE = 32


def predict(trained: dict[int, Path], data: Dataset, fold: int) -> np.ndarray:
    from melnb.models.tta import predict_images

    model = out_of_fold.read_model(trained[fold if fold >= 0 else 0])
    return predict_images(model, data.paths(fold), image_size=SIDE, batch_size=24)[1]


def test_each_fold_is_predicted_by_its_own_network(
    trained: dict[int, Path], data: Dataset, tmp_path: Path
) -> None:
    single, averaged = out_of_fold.predict_out_of_fold(
        trained, data, run="r", batch_size=24, folder=tmp_path, views="dihedral"
    )
    assert single["fold"].tolist() == [0] * 24 + [1] * 24
    assert set(averaged["views"]) == {"dihedral"}
    assert averaged["image_id"].equals(single["image_id"])
    for fold in (0, 1):
        own = single.loc[single["fold"] == fold, ["p_other", "p_melanoma"]].to_numpy()
        np.testing.assert_allclose(own, predict(trained, data, fold), atol=1e-6)
    assert not np.allclose(single["p_melanoma"], averaged["p_melanoma"], atol=1e-6)


def test_test_images_get_the_mean_of_all_networks(
    trained: dict[int, Path], data: Dataset, tmp_path: Path
) -> None:
    test = out_of_fold.predict_test(trained, data, run="r", batch_size=24, folder=tmp_path)
    parts = []
    for home in trained.values():
        alone = out_of_fold.predict_test({0: home}, data, run="r", batch_size=24, folder=home)
        parts.append(alone["p_melanoma"])
    np.testing.assert_allclose(test["p_melanoma"], np.mean(parts, axis=0), rtol=1e-12)
    assert set(test["fold"]) == {-1}
    without = Dataset(**{**vars(data), "shards": data.shards[:2]})
    assert out_of_fold.predict_test(trained, without, run="r", folder=tmp_path).empty


def test_a_fold_that_is_finished_is_not_predicted_again(
    trained: dict[int, Path], data: Dataset, tmp_path: Path
) -> None:
    how = {"run": "r", "batch_size": 24, "folder": tmp_path}
    first = out_of_fold.predict_out_of_fold(trained, data, **how)
    nowhere = {0: tmp_path / "gone", 1: tmp_path / "gone"}
    again = out_of_fold.predict_out_of_fold(nowhere, data, **how)
    for one, other in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one, other)
    (tmp_path / "folds" / "fold1-averaged.csv").unlink()  # killed between its two files
    with pytest.raises(FileNotFoundError, match=r"no model.keras in .*: run 03_train first"):
        out_of_fold.predict_out_of_fold(nowhere, data, **how)


@pytest.fixture
def people(tmp_path: Path) -> pd.DataFrame:
    """What is known of the images of all four shards."""
    ids = [f"image{k}_{n}" for k in range(4) for n in range(24)]
    ages = np.linspace(20, 80, len(ids))
    table = pd.DataFrame({"image_id": ids, "age": ages, "sex": ["male", "female", np.nan] * 32})
    table = table.reindex(columns=schema.IMAGE_COLUMNS)
    schema.write_images(table.sample(frac=1, random_state=0), tmp_path / "prepared" / "images.csv")
    return table


@pytest.fixture
def informed(people: pd.DataFrame, untrained: Callable[..., dict[int, Path]]) -> dict[int, Path]:
    """Two networks that take metadata, each encoded by its own training fold."""
    others = people["image_id"].str.extract(r"^image(\d)_", expand=False)
    encoders = {
        fold: metadata.fit_encoder(people[others == str(1 - fold)], ["age", "sex"])
        for fold in (0, 1)
    }
    homes = untrained(2, cells=len(encoders[0].cells.column))
    for fold, home in homes.items():
        metadata.write_encoder(encoders[fold], home / metadata.METADATA_FILE)
    return homes


def test_metadata_is_encoded_as_each_networks_folder_says(
    informed: dict[int, Path], people: pd.DataFrame, data: Dataset, tmp_path: Path
) -> None:
    data = Dataset(**{**vars(data), "folder": tmp_path / "prepared"})
    how = {"run": "r", "batch_size": 24, "folder": tmp_path / "run"}
    single, _ = out_of_fold.predict_out_of_fold(informed, data, views="dihedral", **how)
    encoders = {
        fold: metadata.read_encoder(home / metadata.METADATA_FILE)
        for fold, home in informed.items()
    }
    assert encoders[0] != encoders[1]
    for fold in (0, 1):
        model = out_of_fold.read_model(informed[fold])
        pixels = [image for _, image in _pictures(data.paths(fold))]
        ids = [name for name, _ in _pictures(data.paths(fold))]
        given = {"image": np.stack(pixels), "metadata": encoders[fold].rows_for(ids, people)}
        expected = keras.ops.convert_to_numpy(model(given))
        own = single.loc[single["fold"] == fold]
        assert own["image_id"].tolist() == ids
        np.testing.assert_allclose(own[["p_other", "p_melanoma"]], expected, atol=1e-5)
    test = out_of_fold.predict_test(informed, data, **how)
    assert len(test) == 24
    assert len(out_of_fold.sample_looks(informed, data, views="dihedral")) == 8


def test_a_network_of_metadata_without_its_encoder_says_so(
    informed: dict[int, Path], data: Dataset, tmp_path: Path
) -> None:
    data = Dataset(**{**vars(data), "folder": tmp_path / "prepared"})
    how = {"run": "r", "batch_size": 24, "folder": tmp_path / "run"}
    (informed[1] / metadata.METADATA_FILE).unlink()
    with pytest.raises(FileNotFoundError, match=r"no metadata.json in .*fold1, which says how"):
        out_of_fold.predict_out_of_fold(informed, data, **how)
    known = schema.read_images(data.folder / "images.csv")
    known = known[known["image_id"] != "image0_3"]
    schema.write_images(known, data.folder / "images.csv")
    with pytest.raises(ValueError, match=r"no row for 'image0_3' .* images.csv"):
        out_of_fold.predict_out_of_fold({0: informed[0]}, data, **{**how, "folder": tmp_path / "b"})


def _pictures(paths: list[Path]) -> list[tuple[str, np.ndarray]]:
    """Return name and pixels of every record, read without the code under test."""
    index = read_index(paths)
    return [
        (row.image_id, np.asarray(read_picture(row.path), "float32")) for row in index.itertuples()
    ]


def test_a_network_of_other_classes_is_refused(
    trained: dict[int, Path], data: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "predictions.csv").write_text("image_id,fold,truth,p_nevus,p_melanoma,run\n")
    with pytest.raises(ValueError, match=r"learnt \['nevus', 'melanoma'\], but the dataset 'd'"):
        out_of_fold.check_classes(tmp_path, data)
    out_of_fold.check_classes(trained[0], data)


def test_looks_are_shown_as_pictures(trained: dict[int, Path], data: Dataset) -> None:
    seen = out_of_fold.sample_looks(trained, data, views="dihedral")
    assert len(seen) == 8
    assert all(look.shape == (SIDE, SIDE, 3) and look.dtype == np.uint8 for look in seen)
    np.testing.assert_array_equal(seen[1], seen[0][:, ::-1])


def test_a_network_of_all_rows_is_asked_about_test_rows_alone(
    trained: dict[int, Path], data: Dataset, tmp_path: Path
) -> None:
    how = {"run": "r", "batch_size": 24, "folder": tmp_path / "run"}
    single, predictions, test = out_of_fold.predict_dataset({-1: trained[0]}, data, **how)
    assert test.empty
    assert {*predictions["fold"]} == {-1}
    expected = out_of_fold.predict_test({0: trained[0]}, data, **how | {"folder": tmp_path / "b"})
    columns = ["image_id", "p_other", "p_melanoma"]
    pd.testing.assert_frame_equal(predictions[columns], expected[columns])
    pd.testing.assert_frame_equal(single[columns], expected[columns])
    folds = tuple(shard for shard in data.shards if shard.fold >= 0)
    untested = Dataset(**{**vars(data), "shards": folds})
    with pytest.raises(ValueError, match=r"all rows \(fold none\) of 'd', which has no test"):
        out_of_fold.predict_dataset({-1: trained[0]}, untested, **how)


def test_without_an_image_there_is_no_prediction(
    trained: dict[int, Path], data: Dataset, tmp_path: Path
) -> None:
    index, said = tta.predict_images(out_of_fold.read_model(trained[0]), [], batch_size=8)
    assert said.shape == (0, 2)
    empty = data.label(index, said, fold=0, run="r")
    assert [*empty.columns[:5]] == ["image_id", "fold", "truth", "p_other", "p_melanoma"]
    assert empty.empty
    assert not schema.write_predictions(empty, tmp_path / "none.csv").exists()
