"""What a leak is worth: rows for an honest and for a leaky cross-validation of one probe.

The leaks are the two of most published "99 %": folds of images, and up-sampling before the split.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from melnb.data.embeddings import Embeddings
from melnb.tables.checks import TEST

REPEAT = "_os"  # in the id of a repeated row, before its number
_KNOWN = ("sex", "age", "site", "width", "height", "images_per_patient")


class Split(NamedTuple):
    """Rows for one cross-validation: of the same ids, in the same order.

    Attributes:
        images: `image_id`, `patient_id`, `lesion_id`, `target`.
        folds: `image_id`, `fold`.
        features: `image_id` and columns of numbers.
    """

    images: pd.DataFrame
    folds: pd.DataFrame
    features: pd.DataFrame


def principal_features(embeddings: Embeddings, *, width: int = 64) -> pd.DataFrame:
    """Return `image_id` and the scores of vectors along the directions in which they vary most.

    The directions are those of all images, without their labels.

    Args:
        embeddings: Of `read_embeddings`.
        width: Directions kept, at most.
    """
    if not len(embeddings):
        return pd.DataFrame({"image_id": pd.Series(dtype=object)})
    vectors = embeddings.vectors()
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    scores = centred @ directions[:, ::-1][:, :width]
    table = pd.DataFrame(scores.astype(float), columns=[f"c{k}" for k in range(scores.shape[1])])
    table.insert(0, "image_id", embeddings.image_id)
    return table


def known_features(images: pd.DataFrame) -> pd.DataFrame:
    """Return `image_id`, its sex, age, site, width and height, and its patient's images.

    Args:
        images: The images table; a column in which nothing varies is left out.
    """
    counts = images["patient_id"].map(images["patient_id"].value_counts())
    images = images.assign(images_per_patient=counts.astype("float64"))
    columns = [c for c in _KNOWN if c in images and images[c].nunique() > 1]
    table = images[["image_id", *columns]].reset_index(drop=True)
    numbers = [c for c in columns if c in ("width", "height")]
    return table.astype(dict.fromkeys(numbers, "float64"))


def leaky_splits(
    images: pd.DataFrame,
    folds: pd.DataFrame,
    features: pd.DataFrame | Embeddings | None = None,
    *,
    seed: int = 0,
) -> dict[str, Split]:
    """Return rows for one honest and two leaky cross-validations of the same images.

    Args:
        images: The images table; those without a target and test images are left out.
        folds: Honest folds.
        features: `image_id` and columns to learn from; of vectors their `principal_features`; None:
            the images' `known_features`.
        seed: Of the leaky folds.

    Returns:
        `honest`: the folds given. `folds of images`: as many, dealt out to images. `up-sampled
        before`: every class repeated to the size of the largest, then folds dealt out to rows.
        Nothing where no image has features, or there is none, or there are not two classes and
        two folds.
    """
    if features is None:
        features = known_features(images)
    elif isinstance(features, Embeddings):
        features = principal_features(features)
    fold = images["image_id"].map(folds.set_index("image_id")["fold"])
    kept = images["target"].notna() & fold.notna() & fold.ne(TEST)
    kept &= images["image_id"].isin(features["image_id"])
    table = images.loc[kept, ["image_id", "patient_id", "lesion_id", "target"]]
    columns = features.set_index("image_id").loc[table["image_id"]].reset_index()
    number = int(fold[kept].nunique())
    if table["target"].nunique() < 2 or number < 2 or len(features.columns) < 2:
        return {}
    table, honest = table.reset_index(drop=True), fold[kept].astype("int64").to_numpy()
    rows = _repeated(table["target"].to_numpy(), np.random.default_rng(seed))
    names = pd.Series(table["image_id"].to_numpy()[rows], dtype=object)
    count = names.groupby(names).cumcount()
    names = names.where(count == 0, names + REPEAT + count.astype(str))
    more, again = table.iloc[rows].reset_index(drop=True), columns.iloc[rows].reset_index(drop=True)
    more["image_id"] = again["image_id"] = names
    return {
        "honest": _split(table, honest, columns),
        "folds of images": _split(table, _dealt(table["target"], number, seed), columns),
        "up-sampled before": _split(more, _dealt(more["target"], number, seed), again),
    }


def _split(images: pd.DataFrame, fold: np.ndarray, features: pd.DataFrame) -> Split:
    return Split(images, images[["image_id"]].assign(fold=fold), features)


def _dealt(target: pd.Series, number: int, seed: int) -> np.ndarray:
    """Deal rows out to folds, each class alike."""
    order = np.random.default_rng(seed).permutation(len(target))
    fold = np.empty(len(target), dtype=np.int64)
    place = target.iloc[order].groupby(target.iloc[order].to_numpy()).cumcount().to_numpy()
    fold[order] = place % number
    return fold


def _repeated(target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return row numbers in which each class stands as often as the largest."""
    codes = pd.factorize(target)[0]
    most = int(np.bincount(codes).max())
    parts = [np.arange(len(codes))]
    for k in range(codes.max() + 1):
        members = np.flatnonzero(codes == k)
        parts.append(rng.choice(members, most - len(members), replace=True))
    return np.concatenate(parts)
