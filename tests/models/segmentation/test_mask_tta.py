"""Predicting masks: looks averaged as logits, what they disagree on, and one batch at a time."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit
from sklearn.metrics import jaccard_score

from melnb.data.shards.records import read_index
from melnb.models.segmentation.mask_tta import (
    PredictedMask,
    disagreement,
    predict_masks,
    predict_pictures,
)
from melnb.models.segmentation.unet import make_segmenter


def make_model(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return make_segmenter("unet-tiny", filters=3, finest=2)


@pytest.fixture(scope="module")
def models() -> list[keras.Model]:
    return [make_model(1), make_model(2)]


def pixels(rows: int, height: int = 16, width: int = 16) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (rows, height, width, 3)).astype("float32")


def say(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(model(x)))[..., 0].astype(float)


def turned_logits(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return views x n x height x width logits, each view made and undone by NumPy's own words."""
    found = []
    for transpose in (False, True):
        for up in (False, True):
            for left in (False, True):
                seen = x[:, :, ::-1] if left else x
                seen = seen[:, ::-1] if up else seen
                seen = seen.transpose(0, 2, 1, 3) if transpose else seen
                said = say(model, np.ascontiguousarray(seen))
                said = said.transpose(0, 2, 1) if transpose else said
                said = said[:, ::-1] if up else said
                found.append(said[:, :, ::-1] if left else said)
    return np.array(found)


def test_views_and_networks_are_averaged_as_logits(models: list[keras.Model]) -> None:
    x = pixels(3)
    looks = np.array([turned_logits(model, x) for model in models])
    found = list(predict_pictures(models, [(["a", "b"], x)]))
    assert [one.image_id for one in found] == ["a", "b"]  # the third row only fills up the batch
    for row, one in enumerate(found):
        expected = expit(looks[:, :, row].mean(axis=(0, 1)))
        assert one.probability.dtype == np.float32
        np.testing.assert_allclose(one.probability, expected, atol=1e-5)
        views, folds = looks[:, :, row].mean(axis=0), looks[:, :, row].mean(axis=1)
        assert one.view_spread == pytest.approx(expit(views).std(axis=0).mean(), abs=1e-5)
        assert one.fold_spread == pytest.approx(expit(folds).std(axis=0).mean(), abs=1e-5)
        assert one.view_distance == pytest.approx(disagreement(views)[1], abs=0.02)


def test_one_look_is_the_networks_own_and_disagrees_with_none(models: list[keras.Model]) -> None:
    x = pixels(1, 12, 20)
    (one,) = predict_pictures(models[:1], [(["a"], x)], views="none")
    np.testing.assert_allclose(one.probability, expit(say(models[0], x)[0]), atol=1e-6)
    told = (one.view_spread, one.view_distance, one.fold_spread, one.fold_distance)
    assert np.isnan(told).all()
    (turned,) = predict_pictures(models[:1], [(["a"], x)])  # an oblong picture is turned, too
    expected = expit(turned_logits(models[0], x).mean(axis=0)[0])
    np.testing.assert_allclose(turned.probability, expected, atol=1e-5)


def test_what_sees_all_views_alike_disagrees_with_none_of_them() -> None:
    image = keras.Input((None, None, 3))
    mean = keras.layers.Conv2D(1, 1, kernel_initializer="ones")(image)
    (one,) = predict_pictures([keras.Model(image, mean)], [(["a"], pixels(1) / 255 - 0.5)])
    assert one.view_spread == pytest.approx(0, abs=1e-6)
    assert one.view_distance == 0


def test_disagreement_is_the_mean_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    looks = rng.normal(0, 1, (5, 7, 6)).astype("float32")
    spread, distance = disagreement(looks)
    assert spread == pytest.approx(expit(looks).std(axis=0).mean(), rel=1e-5)
    pairs = combinations((looks > 0).reshape(5, -1), 2)
    expected = np.mean([1 - jaccard_score(one, other) for one, other in pairs])
    assert distance == pytest.approx(expected, rel=1e-12)
    assert disagreement(-np.abs(looks))[1] == 0  # all empty: all agree
    halves = np.array([[[9.0, -9.0]], [[-9.0, 9.0]]])
    assert disagreement(halves)[1] == 1
    assert disagreement(halves)[0] == pytest.approx(0.5, abs=1e-3)


def test_shards_are_predicted_in_file_order_each_image_once(
    models: list[keras.Model], discs: list[Path]
) -> None:
    found = list(predict_masks(models, discs[:2], image_size=16, batch_size=10, views="none"))
    names = read_index(discs[:2])["image_id"].tolist()
    assert [one.image_id for one in found] == names
    assert len(names) == 24
    others = list(predict_masks(models, discs[:2], image_size=16, batch_size=7, views="none"))
    for one, other in zip(found, others, strict=True):
        np.testing.assert_allclose(one.probability, other.probability, atol=1e-5)


def test_some_images_are_predicted_as_among_all(
    models: list[keras.Model], discs: list[Path]
) -> None:
    given = {"image_size": 16, "batch_size": 5, "views": "none"}
    every = {one.image_id: one for one in predict_masks(models[:1], discs, **given)}  # type: ignore[arg-type]
    only = ["image2_3", "image0_11", "image2_0"]
    found = list(predict_masks(models[:1], discs, only=only, **given))  # type: ignore[arg-type]
    assert [one.image_id for one in found] == ["image0_11", "image2_0", "image2_3"]
    for one in found:
        np.testing.assert_allclose(one.probability, every[one.image_id].probability, atol=1e-6)
    assert list(predict_masks(models[:1], discs, only=[], **given)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("distances", "expected"),
    [((0.2, 0.4), 0.3), ((np.nan, 0.4), 0.4), ((0.2, np.nan), 0.2), ((np.nan, np.nan), np.nan)],
)
def test_disagreement_is_the_mean_of_the_distances_that_are_known(
    distances: tuple[float, float], expected: float
) -> None:
    one = PredictedMask("a", np.zeros((2, 2)), 0.01, distances[0], 0.02, distances[1])
    numbers = one.numbers()
    assert list(numbers) == [
        "disagreement", "view_spread", "view_distance", "fold_spread", "fold_distance",
    ]  # fmt: skip
    assert numbers["disagreement"] == pytest.approx(expected, nan_ok=True)
    assert numbers["fold_spread"] == 0.02


def test_a_batch_is_read_only_when_its_turn_comes(models: list[keras.Model]) -> None:
    read: list[int] = []

    def batches() -> Iterator[tuple[list[str], np.ndarray]]:
        for number in range(1000):
            read.append(number)
            yield [f"{number}a", f"{number}b"], pixels(2)

    stream = predict_pictures(models[:1], batches(), views="none")
    assert read == []
    assert [next(stream).image_id for _ in range(3)] == ["0a", "0b", "1a"]
    assert read == [0, 1]


def test_a_network_without_numbers_is_refused_by_the_name_of_the_image() -> None:
    model = make_model(3)
    model.get_layer("logit").bias.assign([np.nan])
    with pytest.raises(ValueError, match="no number for 256 pixels of b: its weights are broken"):
        list(predict_pictures([model], [(["b"], pixels(1))], views="none"))


@pytest.mark.parametrize(
    ("given", "message"),
    [({"models": []}, "no models to predict with"), ({"views": "random"}, "views is 'random'")],
)
def test_what_has_no_meaning_is_refused_before_anything_is_read(
    models: list[keras.Model], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        predict_pictures(**{"models": models, "batches": [], **given})


def test_great_logits_are_certain_without_overflow() -> None:
    image = keras.Input((None, None, 3))
    huge = keras.layers.Rescaling(1e4)(image)
    model = keras.Model(image, keras.layers.Conv2D(1, 1, kernel_initializer="ones")(huge))
    signs = np.ones((1, 2, 2, 3), "float32")
    signs[0, 0] = -1
    (one,) = predict_pictures([model], [(["a"], signs)], views="none")
    np.testing.assert_array_equal(one.probability, [[0, 0], [1, 1]])
