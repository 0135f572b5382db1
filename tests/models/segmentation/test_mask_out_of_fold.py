"""Crossing: no image is segmented by a network that has learnt from it, and each once."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from melnb.data.datasets import Dataset, read_dataset, write_dataset
from melnb.data.lesions.applying import apply_masks
from melnb.data.lesions.lesion_tables import missing_images, write_tables
from melnb.data.shards.examples import Shard
from melnb.data.shards.records import read_index
from melnb.models.segmentation.mask_out_of_fold import (
    Segmenters,
    assign_networks,
    find_segmenters,
    predict_apart,
    predict_planes,
)
from melnb.models.segmentation.mask_tta import predict_masks
from melnb.models.segmentation.unet import read_segmenter
from melnb.tables.checks import TEST
from melnb.tables.schema import IMAGE_COLUMNS, read_images, write_folds, write_images

SIDE = 16


def prepare(folder: Path, name: str, discs: list[Path], folds: list[int]) -> Dataset:
    """Write the folder of a prepared data set of shards, one fold each."""
    folder.mkdir(parents=True)
    index = pd.concat(
        [read_index([path]).assign(fold=fold) for path, fold in zip(discs, folds, strict=True)],
        ignore_index=True,
    )
    images = pd.DataFrame(index, columns=[*IMAGE_COLUMNS]).assign(target="lesion")
    write_images(images, folder / "images.csv")
    write_folds(index[["image_id", "fold"]], folder / "folds.csv")
    shards = tuple(Shard(p, 32, k, 12, "") for p, k in zip(discs, folds, strict=True))
    data = Dataset(
        folder=folder, dataset=name, source="csv", task="mask", classes=("lesion",), n_folds=2,
        image_sizes=(32,), fit="squash", images=len(images), shards=shards,
    )  # fmt: skip
    write_dataset(data)
    return read_dataset(folder)


def train(folder: Path, fold: int, **parameters: object) -> Path:
    """Write the folder of a fold whose network was never trained."""
    home = folder / f"fold{fold}"
    home.mkdir(parents=True)
    keras.utils.set_random_seed(fold)
    pixels = keras.layers.Rescaling(1 / 255)(image := keras.Input((None, None, 3), name="image"))
    mask = keras.layers.Conv2D(1, 3, padding="same", name="mask")
    keras.Model(image, mask(pixels)).save(home / "model.keras")  # which takes no time to trace
    told = {"dataset": "home", "image_size": SIDE, "fold": fold, **parameters}
    record = {
        "stage": "02c_segment_train", "run": f"s/fold{fold}", "parameters": told, "inputs": [],
        "results": {}, "files": [], "started": "2026-01-01T00:00:00", "seconds": 1.0,
        "resumed": False, "commit": "", "versions": {}, "device": "cpu",
    }  # fmt: skip
    (home / "run.json").write_text(json.dumps(record))
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, discs: list[Path]) -> Dataset:
    """Two folds, and a third shard for test."""
    return prepare(tmp_path_factory.mktemp("home") / "d", "home", discs, [0, 1, TEST])


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory: pytest.TempPathFactory) -> Segmenters:
    folder = tmp_path_factory.mktemp("trained")
    return find_segmenters({fold: train(folder, fold) for fold in (0, 1)})


def own_planes(segmenters: Segmenters, discs: list[Path], folds: list[int]) -> dict:
    models = [read_segmenter(segmenters.folders[fold] / "model.keras") for fold in folds]
    found = predict_masks(models, discs, image_size=SIDE, batch_size=12, views="none")
    return {one.image_id: one for one in found}


def test_each_fold_is_segmented_by_its_own_network_and_the_test_by_all(
    home: Dataset, segmenters: Segmenters, discs: list[Path]
) -> None:
    assert (segmenters.dataset, segmenters.image_size) == ("home", SIDE)
    fold_of = assign_networks(segmenters, home, home.folder)
    found = list(predict_apart(segmenters, home, fold_of, batch_size=5, views="none"))
    assert sorted(image for image, _, _ in found) == sorted(fold_of.index)
    wanted = {
        0: own_planes(segmenters, discs[:1], [0]),
        1: own_planes(segmenters, discs[1:2], [1]),
        TEST: own_planes(segmenters, discs[2:], [0, 1]),
    }
    for image, plane, numbers in found:
        one = wanted[int(numbers["fold"])][image]
        np.testing.assert_allclose(plane, one.probability, atol=1e-5)
        assert np.isnan(numbers["fold_distance"]) == (numbers["fold"] != TEST)
        np.testing.assert_allclose(numbers["disagreement"], one.fold_distance, atol=1e-5)


def test_without_networks_nobody_is_asked(home: Dataset) -> None:
    none = find_segmenters({})
    fold_of = assign_networks(none, home)
    assert fold_of.empty
    assert list(predict_apart(none, home, fold_of, batch_size=5, only={"image0_0"})) == []
    assert predict_planes(none, home, fold_of, only=["image0_0"], batch_size=5) == {}
    assert none.side >= 1


@pytest.mark.parametrize(("size", "side"), [(16, 16), (320, 320), (321, 161), (1000, 250)])
def test_planes_that_are_shown_are_of_a_side_that_is_known_before(size: int, side: int) -> None:
    segmenters = Segmenters({}, "home", size)
    assert segmenters.side == side == len(range(0, size, -(-size // 320)))


def test_another_data_set_goes_by_image_lesion_and_patient(
    tmp_path: Path, home: Dataset, segmenters: Segmenters, discs: list[Path]
) -> None:
    theirs = read_images(home.folder / "images.csv")
    theirs.loc[theirs["image_id"] == "image1_0", "lesion_id"] = "L"
    place = tmp_path / "home"
    data = prepare(place, "home", discs, [0, 1, TEST])
    write_images(theirs, place / "images.csv")
    away = prepare(tmp_path / "away", "away", discs[1:], [0, 1])
    images = read_images(away.folder / "images.csv")
    images.loc[images["image_id"] == "image2_5", "lesion_id"] = "L"
    write_images(images, away.folder / "images.csv")
    fold_of = assign_networks(segmenters, away, data.folder)
    assert fold_of.filter(like="image1").eq(1).all()
    assert fold_of["image2_5"] == 1
    assert fold_of.filter(like="image2").drop("image2_5").eq(TEST).all()


def test_a_network_that_is_not_trained_is_asked_for(home: Dataset, segmenters: Segmenters) -> None:
    one = replace(segmenters, folders={1: segmenters.folders[1]})
    with pytest.raises(
        ValueError,
        match=r"12 images of 'home' \(the first is image0_\d+\) stand in fold 0 of 'home'.*"
        r"not trained \(folds there: \[1\]\): run 02c_segment_train with fold=0",
    ):
        assign_networks(one, home, home.folder)


@pytest.mark.parametrize(("name", "value"), [("fit", "pad"), ("cleaning", "hairs")])
def test_pictures_made_otherwise_are_refused(
    home: Dataset, segmenters: Segmenters, name: str, value: str
) -> None:
    data = replace(home, **{name: value})  # type: ignore[arg-type]
    match = f"learnt from pictures of {name} '.*' .home., but those of 'home' are of '{value}'"
    with pytest.raises(ValueError, match=match):
        assign_networks(segmenters, data, home.folder)


def test_folds_of_two_segmenters_are_refused(tmp_path: Path) -> None:
    folders = {0: train(tmp_path, 0), 1: train(tmp_path, 1, image_size=32)}
    with pytest.raises(ValueError, match=r"differ in image_size \({0: 16, 1: 32}\)"):
        find_segmenters(folders)


def test_what_was_begun_is_ended_with_the_images_that_are_missing(
    tmp_path: Path, home: Dataset, segmenters: Segmenters
) -> None:
    fold_of = assign_networks(segmenters, home, home.folder)
    images = read_index(home.paths()).assign(source="s")
    how = {"output": "mask", "workers": 1, "progress": False}

    def predict(images: pd.DataFrame, folder: Path) -> list[str]:
        only = missing_images(images, folder)["image_id"]
        said = list(predict_apart(
            segmenters, home, fold_of, batch_size=4, views="none", only=only
        ))  # fmt: skip
        apply_masks(images, said, folder, **how)  # type: ignore[arg-type]
        return [image for image, _, _ in said]

    images["path"] = [str(tmp_path / f"{image}.jpg") for image in images["image_id"]]
    for path in images["path"]:
        keras.utils.array_to_img(np.zeros((20, 30, 3)), scale=False).save(path)
    some = images.iloc[[1, 14, 30]]
    predict(some, tmp_path / "out")
    stamps = {f: f.stat().st_mtime_ns for f in (tmp_path / "out" / "masks").iterdir()}
    assert len(stamps) == 3
    rest = predict(images, tmp_path / "out")
    assert sorted(rest) == sorted(set(images["image_id"]) - set(some["image_id"]))
    assert {f: f.stat().st_mtime_ns for f in stamps} == stamps
    assert predict(images, tmp_path / "out") == []
    predict(images, tmp_path / "at_once")
    lesions = [write_tables(images, tmp_path / name) for name in ("out", "at_once")]
    pd.testing.assert_frame_equal(lesions[0], lesions[1], atol=1e-5)
    assert lesions[0]["fold"].tolist() == fold_of.loc[images["image_id"]].tolist()


def test_a_few_planes_come_as_asked_for_and_not_too_large(
    home: Dataset, segmenters: Segmenters
) -> None:
    fold_of = assign_networks(segmenters, home, home.folder)
    only = ["image2_1", "image0_0"]
    given = {"only": only, "batch_size": 4, "views": "none"}
    planes = predict_planes(segmenters, home, fold_of, **given)  # type: ignore[arg-type]
    small = predict_planes(segmenters, home, fold_of, most=6, **given)  # type: ignore[arg-type]
    assert list(planes) == list(small) == only
    for image in only:
        assert planes[image].shape == (SIDE, SIDE)
        np.testing.assert_array_equal(small[image], planes[image][::3, ::3])
