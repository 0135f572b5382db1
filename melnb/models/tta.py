"""Test-time augmentation: one or many looks at every image, in file order.

An image is decoded once for all its looks; each look is a row of a batch, made on the accelerator
out of the picture, the number of the look and its draws. The first look is always the picture as
it is, so that what the others add can be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops

from melnb.data.augmentation.augment import VIEWS, augment, dihedral
from melnb.data.augmentation.draws import DRAWS
from melnb.data.batches import predict_batches
from melnb.data.shards.records import read_index
from melnb.data.streams import count_images
from melnb.models.accelerator import choose_jit, scope_of
from melnb.models.networks.heads import input_sizes
from melnb.models.openvino_engine import OpenVinoViewer

LOOKS = ("none", "dihedral", "random")
AVERAGES = ("probability", "logit")
ENGINES = ("keras", "openvino")
_EPSILON = 1e-7  # the smallest probability whose logarithm is taken


def predict_images(
    model: keras.Model,
    paths: Sequence[str | Path],
    *,
    batch_size: int,
    image_size: int = 0,
    views: str = "none",
    n_views: int = 8,
    average: str = "probability",
    seed: int = 0,
    augmentation: Mapping[str, Any] | None = None,
    metadata: np.ndarray | None = None,
    engine: str = "keras",
) -> tuple[pd.DataFrame, np.ndarray]:
    """Predict every image of shards, averaged over its views.

    Args:
        model: From pixels (0-255), and metadata if it takes any, to n x classes probabilities.
        paths: Shards, labelled or not.
        batch_size: Rows in a batch, over all replicas.
        image_size: Pixels on a side; 0: the model's own.
        views: `none`: the picture as it is; `dihedral`: its eight flips and quarter turns;
            `random`: n_views, the first as it is, the others augmented.
        n_views: Of views random.
        average: See `average_views`.
        seed: Of views random, which are a function of (seed, view, position).
        augmentation: Of views random: strengths of `augment`.
        metadata: n x cells in file order, for a model that takes it (`Encoder.rows_for`); it is
            the same in every view of an image.
        engine: What runs the network: `keras`, or `openvino` (`openvino_engine.OpenVinoViewer`),
            1.5 times as fast on a processor.

    Returns:
        The index of the shards (`read_index`: image_id, target …) and n x classes probabilities
        (float64), both in file order.

    Raises:
        ValueError: A choice is unknown, shards hold other than their names say, the model gives
            no numbers, or metadata is given to a model that takes none, or other or none to one
            that does.
    """
    index, looks = predict_views(
        model, paths, image_size=image_size, batch_size=batch_size, views=views, n_views=n_views,
        seed=seed, augmentation=augmentation, metadata=metadata, engine=engine,
    )  # fmt: skip
    return index, average_views(looks, average)


def predict_views(
    model: keras.Model,
    paths: Sequence[str | Path],
    *,
    batch_size: int,
    image_size: int = 0,
    views: str = "none",
    n_views: int = 8,
    seed: int = 0,
    augmentation: Mapping[str, Any] | None = None,
    metadata: np.ndarray | None = None,
    engine: str = "keras",
) -> tuple[pd.DataFrame, np.ndarray]:
    """Predict every image of shards, each view by itself.

    Takes what `predict_images` takes, and raises the same.

    Returns:
        The index and n x views x classes probabilities; view 0 is the picture as it is.
    """
    index = read_index(paths)
    image_size = image_size or input_sizes(model)[0]
    count_images(paths)  # refuses a shard that was cut off
    _check_metadata(model, metadata, len(index))
    count = count_views(views, n_views)
    if index.empty:
        return index, np.zeros((0, count, int(model.output_shape[-1])))
    viewer = open_viewer(
        model, image_size=image_size, views=views, augmentation=augmentation, engine=engine
    )
    batches = predict_batches(
        paths, image_size=image_size, batch_size=batch_size, n_views=count, seed=seed,
        metadata=metadata,
    )  # fmt: skip
    return index, predict_rows(viewer, batches, len(index) * count).reshape(len(index), count, -1)


def average_views(looks: np.ndarray, average: str = "probability") -> np.ndarray:
    """Average n x views x classes probabilities over the views.

    Args:
        looks: Probabilities.
        average: `probability`: their mean. `logit`: the mean of their logarithms, brought back to
            a sum of one (their geometric mean); for two classes this is the mean logit.

    Returns:
        n x classes.

    Raises:
        ValueError: The average is unknown.
    """
    if average not in AVERAGES:
        raise ValueError(f"average is {average!r}; use one of {list(AVERAGES)}")
    if average == "probability":
        return np.asarray(looks.mean(axis=1))
    logs = np.log(np.clip(looks, _EPSILON, 1)).mean(axis=1)
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def count_views(views: str, n_views: int) -> int:
    """Return how many looks at each image a choice means.

    Raises:
        ValueError: The choice is unknown, or n_views is below 1.
    """
    if views not in LOOKS or n_views < 1:
        raise ValueError(f"views is {views!r} with n_views {n_views}; use one of {list(LOOKS)}")
    return {"none": 1, "dihedral": VIEWS}.get(views, n_views)


def sample_views(
    path: str | Path,
    *,
    image_size: int,
    views: str = "none",
    n_views: int = 8,
    seed: int = 0,
    augmentation: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Return the first picture of a shard as a model sees it in each view.

    Takes what `predict_images` takes.

    Returns:
        views x size x size x 3, float32, 0-255.
    """
    count = count_views(views, n_views)
    batches = predict_batches(
        [path], image_size=image_size, batch_size=count, n_views=count, seed=seed
    )
    rows = next(batches.as_numpy_iterator())
    look = _Look(views, dict(augmentation or {}))
    return np.asarray(ops.convert_to_numpy(look(rows["image"], rows["draws"], rows["view"])))


def make_viewer(
    model: keras.Model,
    *,
    image_size: int,
    views: str = "none",
    augmentation: Mapping[str, Any] | None = None,
) -> keras.Model:
    """Put the making of the views before a model: it then takes `predict_batches`' batches.

    With metadata, if the model takes any; that passes as it is.
    """
    cells = input_sizes(model)[1]
    with scope_of(model):
        image = keras.Input((image_size, image_size, 3), name="image")
        draws = keras.Input((DRAWS,), name="draws")
        view = keras.Input((), dtype="int32", name="view")
        seen = _Look(views, dict(augmentation or {}), name="look")(image, draws, view)
        inputs, given = {"image": image, "draws": draws, "view": view}, seen
        if cells:
            inputs["metadata"] = keras.Input((cells,), name="metadata")
            given = {"image": seen, "metadata": inputs["metadata"]}
        viewer = keras.Model(inputs, model(given))
    if choose_jit() is False:  # an uncompiled model would predict by XLA
        viewer.jit_compile = False
    return viewer


def open_viewer(
    model: keras.Model,
    *,
    image_size: int,
    views: str = "none",
    augmentation: Mapping[str, Any] | None = None,
    engine: str = "keras",
) -> keras.Model | OpenVinoViewer:
    """Make a viewer that only predicts, by the engine asked for.

    Raises:
        ModuleNotFoundError: The engine is not installed.
        ValueError: There is no such engine, or it cannot run the network.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; use one of {list(ENGINES)}")
    if engine == "openvino":
        return OpenVinoViewer(model, _Look(views, dict(augmentation or {})))
    return make_viewer(model, image_size=image_size, views=views, augmentation=augmentation)


def predict_rows(viewer: Any, batches: Any, rows: int) -> np.ndarray:
    """Predict the first rows of whole batches, without what fills up the last one.

    Args:
        viewer: Of `open_viewer`, or what predicts as one.
        batches: Of `batches.predict_batches`.
        rows: As many.

    Returns:
        rows x classes, float64.

    Raises:
        ValueError: The model gives NaN or infinity.
    """
    return check_numbers(np.asarray(viewer.predict(batches, verbose=0))[:rows])


def check_numbers(said: np.ndarray) -> np.ndarray:
    """Return what a network said as float64, rows x classes.

    Raises:
        ValueError: Some of it is NaN or infinity.
    """
    probabilities = said.astype("float64")
    lost = ~np.isfinite(probabilities).all(axis=-1)
    if lost.any():
        raise ValueError(
            f"the model gives no number for {lost.sum()} of {len(said)} rows (the first is row "
            f"{int(np.argmax(lost))}): its weights are broken, or the precision is too low"
        )
    return np.asarray(probabilities)


def _check_metadata(model: keras.Model, metadata: np.ndarray | None, images: int) -> None:
    cells = input_sizes(model)[1]
    if metadata is None and cells:
        raise ValueError(
            f"metadata is not given, but this network takes {cells} cells of it: encode the images "
            "with the metadata.json beside its model.keras"
        )
    if metadata is not None and not cells:
        raise ValueError("metadata is given, but this network takes pictures alone: leave it out")
    if metadata is not None and metadata.shape != (images, cells):
        raise ValueError(
            f"metadata has the shape {metadata.shape}, but {(images, cells)} is wanted, a row for "
            "each image of the shards: encode it with the metadata.json beside model.keras"
        )


def make_look(views: str) -> keras.layers.Layer:
    """Return what shows pictures in the view of their rows: `image`, `draws`, `view`."""
    return _Look(views, {})


class _Look(keras.layers.Layer):  # type: ignore[misc]
    """The picture as it is seen in one view of its row."""

    def __init__(self, views: str, strengths: dict[str, Any], **keywords: Any) -> None:
        super().__init__(**{"dtype": "float32", **keywords})
        self.views = views
        self.strengths = strengths

    def call(self, images: Any, draws: Any, view: Any) -> Any:
        match self.views:
            case "dihedral":
                return dihedral(images, view)
            case "random":
                plain = ops.reshape(ops.equal(view, 0), (-1, 1, 1, 1))
                return ops.where(plain, images, augment(images, draws, **self.strengths))
        return images

    def compute_output_shape(self, images_shape: Any, draws_shape: Any, view_shape: Any) -> Any:
        return images_shape
