"""Predicting: file order, whole batches, and views that hang on nothing but their place."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from melnb.data.augmentation.augment import dihedral
from melnb.data.batches import predict_batches
from melnb.models.tta import average_views, count_views, predict_images, predict_views, sample_views

SIDE = 32


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A network to which it matters which way up a picture is."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.AveragePooling2D(4)(x)
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x))
    return keras.Model(image, x)


@pytest.fixture(scope="module")
def pixels(blobs: list[Path]) -> np.ndarray:
    batches = predict_batches(blobs[:2], image_size=SIDE, batch_size=48).as_numpy_iterator()
    return np.asarray(next(batches)["image"])


@pytest.fixture(scope="module")
def informed() -> keras.Model:
    """A network of picture and metadata, to which both matter."""
    keras.utils.set_random_seed(1)
    image, words = keras.Input((SIDE, SIDE, 3), name="image"), keras.Input((2,), name="metadata")
    x = keras.layers.AveragePooling2D(4)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Concatenate()([keras.layers.Flatten()(x), words])
    x = keras.layers.Dense(3, activation="softmax")(x)
    return keras.Model({"image": image, "metadata": words}, x)


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    """Metadata of the 48 pictures: each has its own."""
    return np.linspace(-3, 3, 96).reshape(48, 2).astype("float32")


def looks(model: keras.Model, blobs: list[Path], **more: Any) -> np.ndarray:
    given = {"image_size": SIDE, "batch_size": 20, **more}
    return predict_views(model, blobs[:2], **given)[1]


def test_rows_are_in_file_order_and_the_filling_is_cut(
    model: keras.Model, blobs: list[Path], pixels: np.ndarray
) -> None:
    index, found = predict_images(model, blobs[:2], image_size=SIDE, batch_size=20)
    assert index["image_id"].tolist() == [f"image{k}_{n}" for k in range(2) for n in range(24)]
    assert index["target"].tolist() == [0, 1] * 24
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(pixels)), atol=1e-6)


def test_dihedral_views_are_those_of_the_picture(
    model: keras.Model, blobs: list[Path], pixels: np.ndarray
) -> None:
    found = looks(model, blobs, views="dihedral")
    assert found.shape == (48, 8, 3)
    for view in range(8):
        expected = keras.ops.convert_to_numpy(model(dihedral(pixels, view)))
        np.testing.assert_allclose(found[:, view], expected, atol=1e-6)


@pytest.mark.backends
def test_random_views_are_a_function_of_seed_view_and_place(
    model: keras.Model, blobs: list[Path]
) -> None:
    strong = {"views": "random", "augmentation": {"rotation": 180.0, "shift": 0.2, "flips": True}}
    found = looks(model, blobs, **strong, n_views=4, seed=1)
    np.testing.assert_allclose(found[:, :1], looks(model, blobs), atol=1e-6)
    other_batches = looks(model, blobs, **strong, n_views=3, seed=1, batch_size=7)
    np.testing.assert_allclose(found[:, :3], other_batches, atol=1e-6)
    assert (
        np.abs(found[:, 1:] - looks(model, blobs, **strong, n_views=4, seed=2)[:, 1:]).max() > 0.01
    )
    assert np.abs(np.diff(found, axis=1)).max(axis=(0, 2)).min() > 0.01


def test_the_views_that_are_shown_are_those_that_are_predicted(
    model: keras.Model, blobs: list[Path]
) -> None:
    choices: dict[str, Any] = {"views": "random", "n_views": 3, "seed": 1}
    choices |= {"augmentation": {"rotation": 180.0, "flips": True}}
    shown = sample_views(blobs[0], image_size=SIDE, **choices)
    assert shown.shape == (3, SIDE, SIDE, 3)
    expected = keras.ops.convert_to_numpy(model(shown))
    np.testing.assert_allclose(looks(model, blobs, **choices)[0], expected, atol=1e-5)


@pytest.mark.backends
def test_metadata_goes_with_its_picture_into_every_view(
    informed: keras.Model, blobs: list[Path], pixels: np.ndarray, words: np.ndarray
) -> None:
    found = looks(informed, blobs, views="dihedral", metadata=words)
    for view in range(8):
        turned = keras.ops.convert_to_numpy(dihedral(pixels, view))
        given = {"image": turned, "metadata": words}
        expected = keras.ops.convert_to_numpy(informed(given))
        np.testing.assert_allclose(found[:, view], expected, atol=1e-6)
    strong = {"views": "random", "n_views": 3, "augmentation": {"rotation": 90.0}}
    random = looks(informed, blobs, **strong, metadata=words)
    np.testing.assert_allclose(random[:, 0], found[:, 0], atol=1e-6)
    other = looks(informed, blobs, **strong, metadata=words[::-1].copy())
    assert np.abs(other - random).max(axis=(1, 2)).min() > 1e-4  # every row hangs on its own
    _, mean = predict_images(informed, blobs[:2], image_size=SIDE, batch_size=20, metadata=words)
    np.testing.assert_allclose(mean, found[:, 0], atol=1e-6)  # batches of another size


def test_metadata_that_does_not_fit_the_network_is_refused(
    model: keras.Model, informed: keras.Model, blobs: list[Path], words: np.ndarray
) -> None:
    with pytest.raises(ValueError, match=r"takes 2 cells of it: encode .* metadata.json"):
        looks(informed, blobs)
    with pytest.raises(ValueError, match="takes pictures alone: leave it out"):
        looks(model, blobs, metadata=words)
    with pytest.raises(ValueError, match=r"shape \(47, 2\), but \(48, 2\) is wanted"):
        looks(informed, blobs, metadata=words[1:])


@pytest.mark.backends
def test_predict_images_averages_the_views(model: keras.Model, blobs: list[Path]) -> None:
    found = looks(model, blobs, views="dihedral")
    for average in ("probability", "logit"):
        _, mean = predict_images(
            model, blobs[:2], image_size=SIDE, batch_size=20, views="dihedral", average=average
        )
        np.testing.assert_array_equal(mean, average_views(found, average))


def test_the_two_averages() -> None:
    looked = np.array([[[0.9, 0.1], [0.5, 0.5]]])
    np.testing.assert_allclose(average_views(looked), [[0.7, 0.3]])
    # the mean logit: sqrt(9 x 1) = 3, that is 3 to 1
    np.testing.assert_allclose(average_views(looked, "logit"), [[0.75, 0.25]])
    sure = average_views(np.array([[[1.0, 0.0], [1.0, 0.0]]]), "logit")
    np.testing.assert_allclose(sure, [[1, 0]], atol=1e-6)


@given(arrays("float64", (3, 4, 5), elements=st.floats(0.01, 1)), st.permutations(range(4)))
def test_averages_are_probabilities_whatever_the_order(raw: np.ndarray, order: list[int]) -> None:
    looked = raw / raw.sum(axis=-1, keepdims=True)
    for average in ("probability", "logit"):
        mean = average_views(looked, average)
        np.testing.assert_allclose(mean.sum(axis=-1), 1)
        np.testing.assert_allclose(mean, average_views(looked[:, order], average))
        np.testing.assert_allclose(average_views(looked[:, :1], average), looked[:, 0])


def test_what_cannot_be_is_refused(model: keras.Model, blobs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="views is 'eight' with n_views 8; use one of"):
        count_views("eight", 8)
    with pytest.raises(ValueError, match="n_views 0"):
        count_views("random", 0)
    with pytest.raises(ValueError, match="average is 'median'; use one of"):
        average_views(np.ones((1, 1, 2)), "median")
    renamed = tmp_path / "fold0-00-25.tfrec"
    renamed.write_bytes(blobs[0].read_bytes())
    with pytest.raises(ValueError, match=r"fold0-00-25\.tfrec: 24 records, but its name says 25"):
        predict_images(model, [renamed], image_size=SIDE, batch_size=20)
    broken = keras.models.clone_model(model)
    broken.layers[-1].bias.assign([np.nan, 0, 0])
    with pytest.raises(ValueError, match="no number for 24 of 24 rows"):
        predict_images(broken, blobs[:1], image_size=SIDE, batch_size=24)
