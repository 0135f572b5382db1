"""Out-of-fold masks: each image segmented by networks that have not learnt from it.

One that stands in a fold of the data set that was learnt from, by itself, its lesion or its
patient, is segmented by that fold's network alone; any other by the mean of all networks.
Call these under the accelerator's scope: there the networks are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.datasets import Dataset, read_dataset
from melnb.data.lesions.applying import Prediction
from melnb.models.segmentation.mask_tta import predict_masks
from melnb.models.segmentation.unet import read_segmenter
from melnb.tables.checks import TEST
from melnb.tables.documents import read_run
from melnb.tables.overlap import held_out_folds
from melnb.tables.schema import check_folds, read_folds, read_images

MOST = 320  # pixels on a side of a plane that is shown


@dataclass(frozen=True)
class Segmenters:
    """The networks of a run of 02c_segment_train; none, where masks are an earlier run's.

    Attributes:
        folders: Of each fold's `model.keras`.
        dataset: That they learnt from.
        image_size: Pixels on a side of what they learnt from.
    """

    folders: Mapping[int, Path]
    dataset: str
    image_size: int

    @property
    def side(self) -> int:
        """Return the pixels on a side of the planes of `predict_planes`."""
        step = max(1, -(-self.image_size // MOST))
        return max(1, -(-self.image_size // step))


def find_segmenters(folders: Mapping[int, Path]) -> Segmenters:
    """Return the networks of a run, and what their records tell of them.

    Args:
        folders: Fold and finished folder (`lookup.find_folds`); none: no network segments.

    Raises:
        FileNotFoundError: A folder holds no finished run.
        ValueError: The folds learnt from several data sets, or at several sizes.
    """
    if not folders:
        return Segmenters({}, "", 0)
    records = {fold: read_run(folder)["parameters"] for fold, folder in folders.items()}
    for name in ("dataset", "image_size"):
        values = {fold: parameters[name] for fold, parameters in records.items()}
        if len(set(values.values())) != 1:
            raise ValueError(
                f"the folds of a segmenter differ in {name} ({values}): run 02c_segment_train for "
                "all folds with the same parameters"
            )
    first = next(iter(records.values()))
    return Segmenters(folders, str(first["dataset"]), int(first["image_size"]))


def assign_networks(segmenters: Segmenters, data: Dataset, home: Path | None = None) -> pd.Series:
    """Return for each image of a data set the fold whose network segments it.

    Args:
        segmenters: The networks.
        data: The prepared data set that is to be segmented.
        home: The folder of the one that was learnt from; None: there is no network.

    Returns:
        The fold by image id; -1: all networks, none of which has learnt from the image. Without a
        network no row.

    Raises:
        FileNotFoundError: A table or `dataset.json` is not there.
        ValueError: Pictures were cut or cleaned otherwise than those that were learnt from, or an
            image needs a network that is not trained.
    """
    if home is None:
        return pd.Series(dtype="int64", name="fold")
    theirs = read_dataset(home)
    theirs.check_prepared_alike(data, "the segmenter")
    learnt, folds = read_images(home / "images.csv"), read_folds(home / "folds.csv")
    check_folds(folds, learnt)
    fold_of = held_out_folds(read_images(data.folder / "images.csv"), learnt, folds)
    for fold in sorted(set(fold_of) - set(segmenters.folders) - {TEST}):
        alone = fold_of.index[fold_of == fold]
        raise ValueError(
            f"{len(alone)} images of {data.dataset!r} (the first is {alone[0]}) stand in fold "
            f"{fold} of {theirs.dataset!r}, and may be segmented by the network of that fold "
            f"alone, which is not trained (folds there: {sorted(segmenters.folders)}): run "
            f"02c_segment_train with fold={fold}"
        )
    return fold_of


def predict_apart(
    segmenters: Segmenters,
    data: Dataset,
    fold_of: pd.Series,
    *,
    batch_size: int,
    views: str = "dihedral",
    only: Collection[str] | None = None,
) -> Iterator[Prediction]:
    """Predict images, each by the networks that have not learnt from it.

    Args:
        segmenters: The networks; they are read when their turn comes.
        data: The prepared data set.
        fold_of: `assign_networks`.
        batch_size: Images in a batch, over all replicas.
        views: As `mask_tta.predict_masks` takes it.
        only: The ids of the images wanted; None: all.

    Returns:
        Without a network nothing; else one image after another, fold by fold: its id, the plane of
        probabilities, and its numbers: those of `PredictedMask.numbers`, and `fold`, whose network
        said it; -1: all.

    Raises:
        ValueError: An image is in none of the records, or the views are unknown.
    """
    if not segmenters.folders:
        return
    paths = data.paths(None, segmenters.image_size, exact=False)
    wanted = fold_of if only is None else fold_of[fold_of.index.isin(list(only))]
    for fold in sorted(set(wanted), key=lambda k: (k == TEST, k)):
        folders = segmenters.folders.values() if fold == TEST else [segmenters.folders[fold]]
        models = [read_segmenter(folder / "model.keras") for folder in folders]
        masks = predict_masks(
            models, paths, image_size=segmenters.image_size, batch_size=batch_size, views=views,
            only=set(wanted.index[wanted == fold]),
        )  # fmt: skip
        for mask in masks:
            yield mask.image_id, mask.probability, {**mask.numbers(), "fold": int(fold)}


def predict_planes(
    segmenters: Segmenters,
    data: Dataset,
    fold_of: pd.Series,
    *,
    only: Collection[str],
    batch_size: int,
    views: str = "dihedral",
    most: int = MOST,
) -> dict[str, np.ndarray]:
    """Return the planes of a few images, in their order, to be looked at.

    Args:
        segmenters: As for `predict_apart`, and so the rest.
        data: See `segmenters`.
        fold_of: See `segmenters`.
        only: The ids of the images.
        batch_size: See `segmenters`.
        views: See `segmenters`.
        most: Pixels on a side; of a larger plane every second, third … row and column is kept.
    """
    predictions = predict_apart(
        segmenters, data, fold_of, batch_size=batch_size, views=views, only=only
    )
    planes = {
        image: plane[:: (step := -(-len(plane) // most)), ::step] for image, plane, _ in predictions
    }
    return {image: planes[image] for image in only if segmenters.folders}
