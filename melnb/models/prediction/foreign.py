"""Foreign datasets: images that no fold's network has learnt from, predicted by all of them.

Their own folds mean nothing here: every row is a test row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from melnb.data.datasets import Dataset, read_dataset
from melnb.data.epochs.external import match_classes
from melnb.models.prediction.crossing import Trained, learnt_classes, look_at, name_views
from melnb.models.prediction.predicting import average_views
from melnb.tables import TEST, read_folds, read_predictions, write_predictions


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
    left_out: Collection[str] = (),
    average: str = "probability",
    batch_size: int = 64,
    folder: Path,
    **looks: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict every image of a foreign dataset by the mean of all networks.

    Classes are matched by name (`shared_classes`), metadata is encoded as each network's training
    did, and what it never met is missing.

    Args:
        trained: Fold and folder of its `model.keras`.
        data: The prepared dataset.
        run: The name of the result.
        left_out: Images that the networks have met, which are no strangers.
        average: Of the looks, see `predicting.average_views`.
        batch_size: Rows in a batch, over all replicas.
        folder: Where finished folds are kept, below `folds/`.
        looks: `views`, `n_views`, `seed` and `augmentation` of `predicting.predict_views`.

    Returns:
        Predictions tables, every row of fold -1: from the first look alone, and averaged over all.

    Raises:
        ValueError: Classes are not to be matched, or no image is left.
    """
    parts = []
    for fold, home in tqdm(trained.items(), desc="foreign images, by fold", unit="fold"):
        files = [
            folder / "folds" / f"foreign-by-fold{fold}-{k}.csv" for k in ("single", "averaged")
        ]
        if not all(file.is_file() for file in files):
            matched = shared_classes(learnt_classes(home, data), data.classes)
            rows, seen = look_at(home, data, None, batch_size=batch_size, **looks)
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
        sums = np.array([[float(added[name] == own) for own in asked] for name in kept])
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
