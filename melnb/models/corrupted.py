"""Robustness, by corrupted pictures: out-of-fold predictions of them, cell by cell.

A cell is a corruption at a strength. Its predictions are written as soon as they are made and read
again, so that a run that is killed loses one cell at most and ends as if it had not been. Each
fold's network is read and compiled once for all cells. Call these under the accelerator's scope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from melnb.data.augmentation.corruptions import corrupt, corrupted_views, corruption_cells
from melnb.data.batches import predict_batches
from melnb.data.datasets import Dataset
from melnb.data.shards.records import read_index
from melnb.models.networks.heads import input_sizes
from melnb.models.openvino_engine import OpenVinoViewer
from melnb.models.out_of_fold import (
    Trained,
    check_classes,
    encode_images,
    name_views,
    read_model,
)
from melnb.models.tta import (
    average_views,
    check_numbers,
    count_views,
    open_viewer,
    predict_rows,
    sample_views,
)
from melnb.tables.schema import read_predictions, write_predictions


class Witness(NamedTuple):
    """A fold's network, and the images that it is asked about.

    Attributes:
        viewer: What makes the views of a picture and predicts each.
        batches: Makes the batches of one pass.
        images: What the shards say of them, in file order.
        views: Of each image.
    """

    viewer: keras.Model | OpenVinoViewer
    batches: Callable[[], Any]
    images: pd.DataFrame
    views: int


def predict_corrupted(
    trained: Trained,
    data: Dataset,
    rows: pd.DataFrame,
    *,
    corruptions: Sequence[str] = (),
    strengths: Sequence[int] = (1, 2, 3, 4, 5),
    seed: int = 0,
    run: str,
    folder: Path,
    average: str = "probability",
    batch_size: int = 64,
    engine: str = "keras",
    looks: Mapping[str, Any],
) -> pd.DataFrame:
    """Predict corrupted pictures, each by the network of its fold, that has not learnt from it.

    A picture is corrupted first, and then looked at in all its views, as a clinic's would be.

    Args:
        trained: Fold and folder of its `model.keras`.
        data: The prepared dataset.
        rows: `image_id` and `fold` of the images wanted.
        corruptions: Of `corruptions.CORRUPTIONS`; none: all.
        strengths: 1 to 5.
        seed: Of the corruptions.
        run: The name of the result.
        folder: Where finished cells are kept, below `cells/`.
        average: Of the looks, see `tta.average_views`.
        batch_size: Rows in a batch, over all replicas.
        engine: What runs the networks, see `tta.predict_images`.
        looks: `views`, `n_views`, `seed` and `augmentation` of `tta.predict_views`.

    Returns:
        Predictions tables under each other, with `corruption` and `strength`, without patients and
        lesions; the first are of the pictures as they are, `none` at strength 0.

    Raises:
        ValueError: There is no such corruption or strength.
    """
    witnesses: dict[int, Witness] = {}
    tables = []
    for name, strength in tqdm(corruption_cells(corruptions, strengths), unit="cell"):
        file = Path(folder) / "cells" / f"{name}-{strength}.csv"
        if not file.is_file():
            witnesses = witnesses or _call(trained, data, rows, batch_size, engine, looks)
            change = partial(corrupt, name=name, strength=strength, seed=seed)
            parts = []
            for fold, witness in witnesses.items():
                seen = average_views(_testify(witness, change if strength else None), average)
                kind = name_views(looks)
                parts.append(data.label(witness.images, seen, fold=fold, run=run, views=kind))
            write_predictions(pd.concat(parts, ignore_index=True), file)
        # Whose lesion it is stands beside the clean predictions: in memory once, not in each cell.
        table = read_predictions(file).drop(columns=["patient_id", "lesion_id"])
        tables.append(table.assign(corruption=name, strength=strength))
    return pd.concat(tables, ignore_index=True)


def _call(
    trained: Trained,
    data: Dataset,
    rows: pd.DataFrame,
    batch_size: int,
    engine: str,
    looks: Mapping[str, Any],
) -> dict[int, Witness]:
    """Read the networks of the rows' folds, and settle what each is shown."""
    witnesses = {}
    how = {k: v for k, v in looks.items() if k in ("views", "augmentation")}
    count = count_views(looks.get("views", "none"), looks.get("n_views", 1))
    for fold in sorted({*rows["fold"].astype(int)}):
        home, wanted = trained[fold], {*rows.loc[rows["fold"] == fold, "image_id"]}
        check_classes(home, data)
        model = read_model(home)
        size = input_sizes(model)[0]
        paths = data.paths(fold, size, exact=False)
        index = read_index(paths)
        index = index[index["image_id"].isin(wanted)].reset_index(drop=True)
        batches = partial(
            predict_batches, paths, image_size=size, batch_size=batch_size, n_views=count,
            seed=looks.get("seed", 0), only=wanted,
            metadata=encode_images(model, home, data, paths),
        )  # fmt: skip
        viewer = open_viewer(model, image_size=size, engine=engine, **how)
        witnesses[fold] = Witness(viewer, batches, index, count)
    return witnesses


def _testify(witness: Witness, change: Callable[..., np.ndarray] | None) -> np.ndarray:
    """Return what a network says: images x views x classes."""
    rows, batches = len(witness.images) * witness.views, witness.batches()
    if change is None:
        answers = predict_rows(witness.viewer, batches, rows)
    else:
        # Batch by batch: a generator that Keras left before its end would hang the process at exit.
        ids = witness.images["image_id"].to_numpy()
        parts = [
            np.asarray(witness.viewer.predict_on_batch(batch))[: len(batch["image"])]
            for batch in _changed(batches, ids, witness.views, change)
        ]
        answers = check_numbers(np.concatenate(parts)[:rows])
    return answers.reshape(len(witness.images), witness.views, -1)


def _changed(
    batches: Any, image_ids: np.ndarray, views: int, change: Callable[..., np.ndarray]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches whose pictures are changed, each once for all its views in the batch."""
    row = 0
    for batch in batches.as_numpy_iterator():
        images = batch["image"]
        places = (row + np.arange(len(images))) // views
        real = np.flatnonzero(places < len(image_ids))  # what fills up the last batch stays black
        shown, first, view_of = np.unique(places[real], return_index=True, return_inverse=True)
        seen = images.copy()
        seen[real] = change(images[real][first], list(image_ids[shown]))[view_of]
        row += len(images)
        yield {**batch, "image": seen}


def sample_corruptions(
    trained: Trained,
    data: Dataset,
    rows: pd.DataFrame,
    *,
    corruptions: Sequence[str] = (),
    strengths: Sequence[int] = (1, 2, 3, 4, 5),
    seed: int = 0,
) -> dict[str, list[np.ndarray]]:
    """Return an image of the first row's fold as its network gets it, corrupted (uint8).

    Args:
        trained: Fold and folder of its `model.keras`.
        data: The prepared dataset.
        rows: `image_id` and `fold` of the images wanted.
        corruptions: As of `predict_corrupted`, and so are the next two.
        strengths: A picture each.
        seed: Of the corruptions.
    """
    fold = int(rows["fold"].iloc[0])
    size = input_sizes(read_model(trained[fold]))[0]
    path = data.paths(fold, size, exact=False)[0]
    picture = sample_views(path, image_size=size)[0]
    name = str(read_index([path])["image_id"].iloc[0])
    cells = corruption_cells(corruptions, strengths)
    return corrupted_views(picture, name, cells, seed=seed)
