"""Rows: features, folds and truths of the same images in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.models.tabular.encoding import read_features
from melnb.tables import TEST, TableError, check_folds


@dataclass(frozen=True)
class Rows:
    """n images, sorted by their id.

    Attributes:
        image_ids: n texts.
        fold: n whole numbers, -1 for test.
        codes: n whole numbers: the place of the truth among the classes, -1 where unknown.
        features: n x columns: numbers (float64) and words (object), missing as NaN.
        classes: Names, in the order of the codes.
    """

    image_ids: np.ndarray
    fold: np.ndarray
    codes: np.ndarray
    features: pd.DataFrame
    classes: tuple[str, ...]

    @property
    def folds(self) -> tuple[int, ...]:
        """Return the numbers of the folds, without test."""
        return tuple(int(k) for k in np.unique(self.fold) if k != TEST)

    def inside(self, fold: int) -> np.ndarray:
        """Return the row numbers of a fold."""
        return np.flatnonzero(self.fold == fold)

    def outside(self, fold: int) -> np.ndarray:
        """Return the row numbers that a fold's model is fitted on: all other folds, never test."""
        return np.flatnonzero((self.fold != fold) & (self.fold != TEST))

    def code(self, positive: str) -> int:
        """Return the place of a class.

        Raises:
            ValueError: It is none of the classes.
        """
        if positive not in self.classes:
            raise ValueError(f"positive is {positive!r}, none of the classes {list(self.classes)}")
        return self.classes.index(positive)

    def truths(self, numbers: np.ndarray) -> np.ndarray:
        """Return the class names of rows, NaN where unknown."""
        names = np.array([*self.classes, np.nan], dtype=object)
        return np.asarray(names[self.codes[numbers]])


def make_rows(
    features: pd.DataFrame,
    folds: pd.DataFrame,
    images: pd.DataFrame,
    *,
    classes: Sequence[str] = (),
) -> Rows:
    """Join features, folds and truths by image id.

    Args:
        features: `image_id` and the columns to learn from; rows of other images are left out.
        folds: The folds table; its images are the ones used.
        images: `image_id` and `target`, which only test rows may lack.
        classes: Order of the classes; empty: alphabetical.

    Raises:
        TableError: See `encoding.read_features` and `tables.check_folds`; an image of the folds
            has no features or no truth; a truth is none of the classes; there are fewer than two
            classes or folds; or a fold's training rows lack a class.
    """
    check_folds(folds)
    known = read_features(features)
    ordered = folds.sort_values("image_id", kind="stable")
    ids = ordered["image_id"].to_numpy(dtype=object)
    lost = ~ordered["image_id"].isin(known.index).to_numpy()
    if lost.any():
        raise TableError(
            f"features: no row for image_id {ids[lost][0]!r} ({int(lost.sum())} of {len(ids)} "
            "images of the folds): make the features from the same images.csv"
        )
    fold = ordered["fold"].to_numpy(dtype=np.int64)
    target = _targets(images, ids)
    names = tuple(classes) or tuple(sorted(set(target[~pd.isna(target)])))
    rows = Rows(ids, fold, _codes(target, names, ids, fold), known.loc[ids], names)
    _check_folds_learn(rows)
    return rows


def _targets(images: pd.DataFrame, ids: np.ndarray) -> np.ndarray:
    for column in ("image_id", "target"):
        if column not in images:
            raise TableError(f"images: no column {column!r} among {list(images.columns)}")
    if images["image_id"].duplicated().any():
        doubled = images.loc[images["image_id"].duplicated(), "image_id"].iloc[0]
        raise TableError(f"images: image_id {doubled!r} stands in more than one row")
    return images.set_index("image_id")["target"].reindex(ids).to_numpy(dtype=object)


def _codes(
    target: np.ndarray, classes: tuple[str, ...], ids: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    if len(classes) < 2:
        raise TableError(f"images: target holds {list(classes)}; two classes or more are needed")
    unknown = pd.isna(target)
    lost = unknown & (fold != TEST)
    if lost.any():
        raise TableError(
            f"images: target of {ids[lost][0]} is empty ({int(lost.sum())} such images): "
            "only test rows (fold -1) may lack it"
        )
    codes = pd.Index(classes).get_indexer(pd.Index(target))
    strange = (codes < 0) & ~unknown
    if strange.any():
        raise TableError(
            f"images: target of {ids[strange][0]} is {target[strange][0]!r}, "
            f"none of the classes {list(classes)}"
        )
    return codes.astype(np.int64)


def _check_folds_learn(rows: Rows) -> None:
    if len(rows.folds) < 2:
        raise TableError(
            f"folds: {len(rows.folds)} fold(s) besides test; two or more are needed, for each is "
            "predicted by what the others taught"
        )
    for fold in rows.folds:
        counts = np.bincount(rows.codes[rows.outside(fold)], minlength=len(rows.classes))
        if (counts == 0).any():
            raise TableError(
                f"folds: the rows outside fold {fold} hold no image of class "
                f"{rows.classes[int(np.argmin(counts))]!r}, so that its model cannot learn it: "
                "use other folds, or task diagnosis with a greater rarest, which merges classes"
            )
