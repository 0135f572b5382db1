"""Crossing the folds: each network predicts the images that it has not learnt from.

What is finished of a run that is killed stays: a fold's predictions are written as soon as they
are made, and read again. Call these under the accelerator's scope: there the networks are read.
A network that takes metadata gets it as its training did: its folder says how it is encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from melnb.data import metadata
from melnb.data.datasets import Dataset
from melnb.data.records import read_index
from melnb.delimited import read_first_row
from melnb.models.networks.classifier import read_classifier
from melnb.models.networks.fusion import input_sizes
from melnb.models.prediction.predicting import average_views, predict_views, sample_views
from melnb.tables import TEST, class_names, read_images, read_predictions, write_predictions

Trained = Mapping[int, Path]


def read_model(folder: Path) -> keras.Model:
    """Read the network of a finished fold, without its optimizer.

    Raises:
        FileNotFoundError: The folder holds no `model.keras`.
        ModelFileError: It is not what the fold wrote.
    """
    return read_classifier(folder / "model.keras")


def encode_images(
    model: keras.Model, home: Path, data: Dataset, paths: Sequence[Path]
) -> np.ndarray | None:
    """Encode what a network is to know of images besides their pixels.

    Args:
        model: The network.
        home: The folder of its `model.keras` and, if it takes metadata, `metadata.json`.
        data: The dataset, whose `images.csv` tells of the images.
        paths: Shards of it.

    Returns:
        n x cells float32 in file order; None for a network that takes pictures alone.

    Raises:
        FileNotFoundError: `metadata.json` or `images.csv` is not there.
        ValueError: An image is not in `images.csv`.
    """
    if not input_sizes(model)[1]:
        return None
    encoder = metadata.read_encoder(home / metadata.FILE)
    return encoder.rows_for(read_index(paths)["image_id"], read_images(data.folder / "images.csv"))


def learnt_classes(home: Path, data: Dataset) -> tuple[str, ...]:
    """Return the classes of a network's columns: those of the predictions beside it.

    A network without any is taken to be of the dataset's.
    """
    beside = home / "predictions.csv"
    return (
        class_names(pd.DataFrame(columns=read_first_row(beside)))
        if beside.is_file()
        else data.classes
    )


def check_classes(home: Path, data: Dataset) -> None:
    """Refuse a network whose columns are other classes than the dataset's, or in another order.

    Raises:
        ValueError: They differ.
    """
    learnt = learnt_classes(home, data)
    if learnt != data.classes:
        raise ValueError(
            f"{home} learnt {list(learnt)}, but the dataset {data.dataset!r} has "
            f"{list(data.classes)}: predict it on a dataset prepared with the same task"
        )


def predict_out_of_fold(
    trained: Trained,
    data: Dataset,
    *,
    run: str,
    average: str = "probability",
    batch_size: int = 64,
    folder: Path,
    **looks: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict every fold by the network that was trained without it.

    Args:
        trained: Fold and folder of its `model.keras`.
        data: The prepared dataset.
        run: The name of the result.
        average: Of the looks, see `predicting.average_views`.
        batch_size: Rows in a batch, over all replicas.
        folder: Where finished folds are kept, below `folds/`.
        looks: `views`, `n_views`, `seed` and `augmentation` of `predicting.predict_views`.

    Returns:
        Predictions tables: from the first look alone, and averaged over all.
    """
    parts = []
    for fold, home in tqdm(trained.items(), desc="folds", unit="fold"):
        files = [folder / "folds" / f"fold{fold}-{kind}.csv" for kind in ("single", "averaged")]
        if not all(file.is_file() for file in files):
            check_classes(home, data)
            rows, seen = look_at(home, data, fold, batch_size=batch_size, **looks)
            for file, kind in zip(files, ("none", name_views(looks)), strict=True):
                values = seen[:, 0] if kind == "none" else average_views(seen, average)
                table = data.label(rows, values, fold=fold, run=run, views=kind)
                write_predictions(table, file)
        parts.append([read_predictions(file) for file in files])
    single, averaged = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    return single, averaged


def predict_test(
    trained: Trained,
    data: Dataset,
    *,
    run: str,
    average: str = "probability",
    batch_size: int = 64,
    folder: Path,
    **looks: Any,
) -> pd.DataFrame:
    """Predict the test images by the mean of all networks; arguments as `predict_out_of_fold`.

    Returns:
        A predictions table; empty if the dataset has no test images.
    """
    if not data.has_test:
        return pd.DataFrame()
    tables = []
    for fold, home in tqdm(trained.items(), desc="test, by fold", unit="fold"):
        file = folder / "folds" / f"test-by-fold{fold}.csv"
        if not file.is_file():
            check_classes(home, data)
            rows, seen = look_at(home, data, TEST, batch_size=batch_size, **looks)
            values = average_views(seen, average)
            table = data.label(rows, values, fold=TEST, run=run, views=name_views(looks))
            write_predictions(table, file)
        tables.append(read_predictions(file))
    mean = tables[0].copy()
    columns = [f"p_{name}" for name in data.classes]
    # Every network read the same shards in the same order; the ids say so.
    if any(not table["image_id"].equals(mean["image_id"]) for table in tables):
        raise ValueError(f"{folder}: folds predicted other test images: run 04_predict anew")
    mean[columns] = np.mean([table[columns].to_numpy() for table in tables], axis=0)
    return mean


def sample_looks(trained: Trained, data: Dataset, **looks: Any) -> list[np.ndarray]:
    """Return the looks at a dataset's first image, as the network gets them (uint8)."""
    size = input_sizes(read_model(next(iter(trained.values()))))[0]
    path = data.paths(None, size, exact=False)[0]
    seen = sample_views(path, image_size=size, **looks)
    return list(np.clip(np.rint(seen), 0, 255).astype("uint8"))


def look_at(
    home: Path, data: Dataset, fold: int | None, *, batch_size: int, **looks: Any
) -> tuple[pd.DataFrame, np.ndarray]:
    """Predict the images of a fold by one network, each look by itself.

    Args:
        home: The folder of its `model.keras`.
        data: The prepared dataset.
        fold: Of it; -1: test; None: all images.
        batch_size: Rows in a batch, over all replicas.
        looks: As for `predict_out_of_fold`.

    Returns:
        What `predicting.predict_views` returns.
    """
    model = read_model(home)
    size = input_sizes(model)[0]
    paths = data.paths(fold, size, exact=False)
    told = encode_images(model, home, data, paths)
    return predict_views(
        model, paths, image_size=size, batch_size=batch_size, metadata=told, **looks
    )


def name_views(looks: Mapping[str, Any]) -> str:
    """Return how many looks at each image are averaged, in words."""
    views = str(looks.get("views", "none"))
    return f"random{looks['n_views']}" if views == "random" else views
