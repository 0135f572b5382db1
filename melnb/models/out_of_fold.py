"""Out-of-fold predictions: each network on images that it has not learnt from.

What is finished of a run that is killed stays: a fold's predictions are written as soon as they
are made, and read again. Call these under the accelerator's scope: there the networks are read.
A network that takes metadata gets it as its training did: its folder says how it is encoded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from melnb.data import metadata
from melnb.data.datasets import Dataset, read_dataset
from melnb.data.epochs.external import match_classes
from melnb.data.shards.records import read_index
from melnb.models.networks.classifier import read_classifier
from melnb.models.networks.heads import input_sizes
from melnb.models.tta import average_views, predict_views, sample_views
from melnb.tables.checks import TEST
from melnb.tables.delimited import read_first_row
from melnb.tables.documents import read_run
from melnb.tables.schema import (
    class_names,
    read_folds,
    read_images,
    read_predictions,
    write_predictions,
)

# Foreign datasets: images that no fold's network has learnt from, predicted by all of them.
#
# Their own folds mean nothing here: every row is a test row.


class Matched(NamedTuple):
    """Classes of predictions that a network and a foreign dataset agree on.

    Attributes:
        classes: Their names.
        targets: For each class of the dataset, its place among them.
        sums: The network's classes x these, 1 where a column is added to a class.
    """

    classes: tuple[str, ...]
    targets: tuple[int, ...]
    sums: np.ndarray


def foreign_homes(data: Dataset, homes: Sequence[Path]) -> list[Path]:
    """Return the datasets that were learnt from, if a dataset is foreign to them (`is_foreign`).

    Args:
        data: The prepared dataset.
        homes: Folders of those learnt from, the networks' own first; none: it is no other.

    Returns:
        The folders; none where the dataset is what was learnt from.
    """
    return list(homes) if homes and is_foreign(data, homes[0]) else []


def is_foreign(data: Dataset, own: Path) -> bool:
    """Return whether a dataset is another than the one that was learnt from.

    The same images in the same folds, prepared at another size, are no foreign dataset.

    Args:
        data: The prepared dataset.
        own: The folder of the dataset that was learnt from.

    Raises:
        FileNotFoundError: A `folds.csv` or `dataset.json` is not there.
        ValueError: Pictures of a foreign dataset were cut or cleaned otherwise than those that were
            learnt from.
    """
    if own.absolute() == data.folder.absolute():
        return False
    learnt, asked = (
        read_folds(folder / "folds.csv").set_index("image_id")["fold"]
        for folder in (own, data.folder)
    )
    if asked.index.isin(learnt.index).all() and asked.eq(learnt.reindex(asked.index)).all():
        return False
    read_dataset(own).check_prepared_alike(data, "the networks")
    return True


def predict_foreign(
    trained: Trained,
    data: Dataset,
    *,
    run: str,
    images: int | None = None,
    left_out: Collection[str] = (),
    average: str = "probability",
    batch_size: int = 64,
    folder: Path,
    networks: Mapping[int, keras.Model] | None = None,
    **looks: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict every image of a foreign dataset by the mean of all networks.

    Classes are matched by name (`shared_classes`), metadata is encoded as each network's training
    did, and what it never met is missing.

    Args:
        trained: Fold and folder of its `model.keras`.
        data: The prepared dataset.
        run: The name of the result.
        images: Of which fold of the dataset; -1: test; None: all.
        left_out: Images that the networks have met, which are no strangers.
        average: Of the looks, see `tta.average_views`.
        batch_size: Rows in a batch, over all replicas.
        folder: Where finished folds are kept, below `folds/`.
        networks: Of `read_networks`, where they are read already.
        looks: `views`, `n_views`, `seed`, `augmentation` and `engine` of `tta.predict_views`.

    Returns:
        Predictions tables, every row of fold -1: from the first look alone, and averaged over all.

    Raises:
        ValueError: Classes are not to be matched, or no image is left.
    """
    parts = []
    for fold, home in tqdm(trained.items(), desc="foreign images, by fold", unit="fold"):
        network = "all" if fold == TEST else f"fold{fold}"
        files = [folder / "folds" / f"foreign-by-{network}-{k}.csv" for k in ("single", "averaged")]
        if not all(file.is_file() for file in files):
            matched = shared_classes(learnt_classes(home, data), data.classes)
            model = (networks or {}).get(fold)
            rows, seen = look_at(home, data, images, batch_size=batch_size, model=model, **looks)
            targets = rows["target"].map(dict(enumerate(matched.targets)))
            rows = rows.assign(target=targets.fillna(-1).astype(int))
            for file, views in zip(files, ("none", name_views(looks)), strict=True):
                stated = seen[:, 0] if views == "none" else average_views(seen, average)
                named = replace(data, classes=matched.classes)
                table = named.label(rows, stated @ matched.sums, fold=TEST, run=run, views=views)
                write_predictions(table, file)
        parts.append([read_predictions(file) for file in files])
    single, averaged = (_mean(tables, left_out, data) for tables in zip(*parts, strict=True))
    return single, averaged


def shared_classes(learnt: Sequence[str], theirs: Sequence[str]) -> Matched:
    """Match the classes of a network with those of a foreign dataset, by name.

    The coarser of the two is kept: seven diagnoses are summed to melanoma and other where a dataset
    knows no more, and its seven diagnoses are melanoma and other to a network that learnt no more.
    A network's diagnoses that a dataset lacks stay, for it may be wrong by them. A dataset without
    any label has no classes, and gets the network's.

    Raises:
        ValueError: A class is without a counterpart either way.
    """
    kept, asked = tuple(learnt), tuple(theirs)
    if not asked:
        return Matched(kept, (), np.eye(len(kept)))
    added = _matched(kept, asked) if len(asked) <= len(kept) else {}
    if added:
        sums = np.array([[float(added[name] == label) for label in asked] for name in kept])
        return Matched(asked, tuple(range(len(asked))), sums)
    called = _matched(asked, kept)
    if not called:
        raise ValueError(
            f"the network learnt {list(kept)}, and the dataset has {list(asked)}: prepare it with "
            "task=melanoma, or with the task that was learnt"
        )
    return Matched(kept, tuple(kept.index(called[name]) for name in asked), np.eye(len(kept)))


def _matched(theirs: Sequence[str], ours: Sequence[str]) -> dict[str, str]:
    """Return `match_classes`; nothing where a class has no counterpart."""
    try:
        return match_classes(theirs, ours)
    except ValueError:
        return {}


def _mean(tables: Sequence[pd.DataFrame], left_out: Collection[str], data: Dataset) -> pd.DataFrame:
    mean = tables[0].copy()
    columns = [str(c) for c in mean if str(c).startswith("p_")]
    # Every network read the same shards in the same order; the ids say so.
    if any(not table["image_id"].equals(mean["image_id"]) for table in tables):
        raise ValueError(f"folds predicted other images of {data.dataset!r}: run 04_predict anew")
    mean[columns] = np.mean([table[columns].to_numpy() for table in tables], axis=0)
    strangers = mean[~mean["image_id"].isin([*left_out])].reset_index(drop=True)
    if strangers.empty:
        raise ValueError(
            f"of {len(mean)} images of {data.dataset!r} not one is new to the networks: predict "
            "a dataset of other images"
        )
    return strangers


Trained = Mapping[int, Path]


def read_model(folder: Path) -> keras.Model:
    """Read the network of a finished fold, without its optimizer.

    Raises:
        FileNotFoundError: The folder holds no `model.keras`.
        ModelFileError: It is not what the fold wrote.
    """
    return read_classifier(folder / "model.keras")


def read_networks(trained: Trained) -> dict[int, keras.Model]:
    """Read the network of every fold, to be used more than once.

    Raises:
        FileNotFoundError: A folder holds no `model.keras`.
        ModelFileError: One is not what its fold wrote.
    """
    return {fold: read_model(home) for fold, home in trained.items()}


class Patients(NamedTuple):
    """What a network is to know of patients; of one that takes pictures alone nothing.

    Attributes:
        rows: n x cells float32, in file order.
        baseline: Of each cell, where nothing is known.
        columns: Of the images table.
        cells: The column that each cell belongs to, from 0.
    """

    rows: np.ndarray | None = None
    baseline: tuple[float, ...] | None = None
    columns: tuple[str, ...] = ()
    cells: tuple[int, ...] = ()


def encode_patients(
    model: keras.Model, home: Path, data: Dataset, paths: Sequence[Path]
) -> Patients:
    """Encode what a network is to know of patients, and say how; as `encode_images`."""
    rows = encode_images(model, home, data, paths)
    if rows is None:
        return Patients()
    encoder = metadata.read_encoder(home)
    names = tuple(one.name for one in encoder.columns)
    return Patients(rows, encoder.cells.missing, names, encoder.cells.column)


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
    encoder = metadata.read_encoder(home / metadata.METADATA_FILE)
    return encoder.rows_for(read_index(paths)["image_id"], read_images(data.folder / "images.csv"))


def learnt_classes(home: Path, data: Dataset) -> tuple[str, ...]:
    """Return the classes of a network's columns: those of the predictions beside it.

    A network that predicted nothing has them in its record; one without any is taken to be of the
    dataset's.
    """
    table = home / "predictions.csv"
    if table.is_file():
        return class_names(pd.DataFrame(columns=read_first_row(table)))
    recorded = read_run(home)["results"] if (home / "run.json").is_file() else {}
    return tuple(map(str, recorded.get("classes") or data.classes))


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
        average: Of the looks, see `tta.average_views`.
        batch_size: Rows in a batch, over all replicas.
        folder: Where finished folds are kept, below `folds/`.
        looks: `views`, `n_views`, `seed`, `augmentation` and `engine` of `tta.predict_views`.

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


def predict_dataset(
    trained: Trained,
    data: Dataset,
    *,
    folder: Path,
    foreign: bool = False,
    left_out: Collection[str] = (),
    **how: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Predict all images of a dataset, each by networks that have not learnt from it.

    Args:
        trained: Fold and finished folder; -1: of a network that learnt from all rows, which is
            asked about test images alone.
        data: The prepared dataset.
        folder: Of the run; what each fold says is kept in `folds/`.
        foreign: Whether no network has learnt from it: `predict_foreign` of every image, and no
            test images beside them. Else `predict_out_of_fold`, and `predict_test`.
        left_out: Image ids of a foreign dataset that were learnt from all the same.
        how: `run`, `average`, `batch_size` and looks, as those functions take them; `networks` of a
            foreign dataset.

    Returns:
        The predictions of one look and of all, and those of test images (perhaps none).
    """
    if not foreign and TEST in trained and not data.has_test:
        raise ValueError(
            f"the network learnt from all rows (fold none) of {data.dataset!r}, which has no test "
            "images: predict another dataset"
        )
    if foreign or TEST in trained:
        images = None if foreign else TEST
        single, predictions = predict_foreign(
            trained, data, folder=folder, images=images, left_out=left_out, **how
        )
        return single, predictions, predictions.head(0)
    single, predictions = predict_out_of_fold(trained, data, folder=folder, **how)
    return single, predictions, predict_test(trained, data, folder=folder, **how)


def sample_looks(trained: Trained, data: Dataset, **looks: Any) -> list[np.ndarray]:
    """Return the looks at a dataset's first image, as the network gets them (uint8)."""
    size = input_sizes(read_model(next(iter(trained.values()))))[0]
    path = data.paths(None, size, exact=False)[0]
    seen = sample_views(path, image_size=size, **looks)
    return list(np.clip(np.rint(seen), 0, 255).astype("uint8"))


def look_at(
    home: Path,
    data: Dataset,
    fold: int | None,
    *,
    batch_size: int,
    model: keras.Model | None = None,
    **looks: Any,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Predict the images of a fold by one network, each look by itself.

    Args:
        home: The folder of its `model.keras`.
        data: The prepared dataset.
        fold: Of it; -1: test; None: all images.
        batch_size: Rows in a batch, over all replicas.
        model: The network, if it is read already.
        looks: As for `predict_out_of_fold`.

    Returns:
        What `tta.predict_views` returns.
    """
    model = model or read_model(home)
    size = input_sizes(model)[0]
    paths = data.paths(fold, size, exact=False)
    rows = encode_images(model, home, data, paths)
    return predict_views(
        model, paths, image_size=size, batch_size=batch_size, metadata=rows, **looks
    )


def name_views(looks: Mapping[str, Any]) -> str:
    """Return how many looks at each image are averaged, in words."""
    views = str(looks.get("views", "none"))
    return f"random{looks['n_views']}" if views == "random" else views
