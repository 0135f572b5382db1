"""Held out: the fold in which an image stands in the folds of another data set.

A network that was trained without a fold has learnt from none of its images, lesions and patients;
of an image that stands in no fold, none of the networks has learnt.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.tables import TEST, check_folds

_SMALLER = "_downsampled"  # ISIC 2019 marks smaller copies of earlier images so


def held_out_folds(images: pd.DataFrame, learnt: pd.DataFrame, folds: pd.DataFrame) -> pd.Series:
    """Return the fold of each image in the data set that networks learnt from.

    It is that of the image itself, else that of its lesion, else that of its patient; else that of
    another image asked for that is of its lesion or patient: of siblings in several folds, the
    lowest, though all networks have then learnt from one of them. Sources that number their lesions
    or patients alike (1, 2 …) seem to meet: give them ids of their own.

    Args:
        images: Of any data set: `image_id`, and `lesion_id` and `patient_id` where known.
        learnt: The images table of the data set that was learnt from.
        folds: Its folds table.

    Returns:
        Whole numbers by image id, in the order of `images`: the fold, or -1 where none of them
        stands in a fold; test images are in none.

    Raises:
        TableError: The folds part a lesion or a patient, or are of other images.
    """
    check_folds(folds, learnt)
    ids = learnt[[c for c in ("image_id", "lesion_id", "patient_id") if c in learnt]]
    known = ids.merge(folds.loc[folds["fold"] != TEST, ["image_id", "fold"]], on="image_id")
    known["image_id"] = _plain(known["image_id"])
    found = np.full(len(images), np.nan)
    for column in (c for c in ids if c in images):
        fold_of = known.dropna(subset=[column]).drop_duplicates(column).set_index(column)["fold"]
        own = _plain(images[column]) if column == "image_id" else images[column]
        standing = own.map(fold_of).to_numpy(dtype=float)
        found = np.where(np.isnan(found), standing, found)
    for column in (c for c in ("lesion_id", "patient_id") if c in images):
        siblings = pd.Series(found).groupby(images[column].to_numpy()).transform("min")
        found = np.where(np.isnan(found), siblings, found)
    numbers = np.where(np.isnan(found), TEST, found).astype("int64")
    return pd.Series(numbers, index=images["image_id"].to_numpy(), name="fold")


def _plain(ids: pd.Series) -> pd.Series:
    return ids.astype(str).str.removesuffix(_SMALLER)
