"""Rows of tables: features, folds and truths of the same images, encoded on training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from melnb.tables.checks import TEST, TableError, check_columns, check_ids
from melnb.tables.schema import check_folds
from melnb.tables.within_patient import mean_and_deviation, standardised

# Encoding: columns of words and numbers to cells that an estimator can take.
#
# An encoder is a part of the pipeline that is fitted on training rows, so that means, deviations
# and categories come from them alone. Missing is information: a word has a cell for it, and a
# number that is filled with the training mean has another that says so.

# A step of a pipeline that fills and standardises numbers.


class Standardiser(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Numbers to their distance from the training mean in deviations, 0 where missing.

    Missing numbers count as the mean in the deviation too. Unlike scikit-learn's scaler it takes
    numbers of any size, and a column that hardly varied in training is 0 everywhere.
    """

    def fit(self, values: Any, target: Any = None) -> Standardiser:
        """Fix means and deviations by the training rows, n x columns."""
        numbers = np.asarray(values, dtype=float)
        self.mean_, _ = mean_and_deviation(numbers)
        filled = np.where(np.isnan(numbers), self.mean_, numbers)
        _, self.deviation_ = mean_and_deviation(filled)
        return self

    def transform(self, values: Any) -> np.ndarray:
        """Return n x columns without NaN."""
        scaled = standardised(np.asarray(values, dtype=float), self.mean_, self.deviation_)
        return np.where(np.isnan(scaled), 0.0, scaled)


Missing = Literal["fill", "keep"]


def read_features(features: pd.DataFrame) -> pd.DataFrame:
    """Return checked feature rows: numbers as float64, words as object, missing as NaN.

    Numbers and truth values are numbers, all else is words.

    Args:
        features: `image_id` and one or more columns.

    Returns:
        The columns, indexed by image id.

    Raises:
        TableError: Ids are empty or doubled, a column's name is, a number is infinite, there is no
            column, or none in which images differ.
    """
    check_columns(features, ["image_id"], "features")
    check_ids(features, "features")
    if features.columns.duplicated().any():
        doubled = features.columns[features.columns.duplicated()][0]
        raise TableError(f"features: column {doubled!r} stands twice: rename one of them")
    read = {
        str(name): _read_column(features[name], str(name))
        for name in features.columns.drop("image_id")
    }
    if not read:
        raise TableError("features: no column besides image_id: give one or more to learn from")
    if all(pd.Series(values).nunique(dropna=False) < 2 for values in read.values()):
        raise TableError(f"features: images differ in none of {list(read)}: give another column")
    return pd.DataFrame(read, index=pd.Index(features["image_id"].to_numpy(dtype=object)))


def column_kinds(features: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the names of the columns of numbers and of words."""
    numbers = [str(c) for c in features if features[c].dtype == np.float64]
    return numbers, [str(c) for c in features if c not in numbers]


def make_encoder(numbers: Sequence[str], words: Sequence[str], *, missing: Missing = "fill") -> Any:
    """Make an encoder that is not yet fitted.

    A word becomes one cell for each category and one for missing, where training rows have it; a
    category that they do not have is no cell: all are 0. A number that is kept stays as it is, NaN
    for missing; one that is filled becomes its distance from the training mean in deviations, 0
    where missing, and a cell that says missing, if it is in some training row.

    Args:
        numbers: Columns of numbers.
        words: Columns of words.
        missing: What becomes of a missing number: `keep` is for estimators that split on it.

    Returns:
        A scikit-learn `ColumnTransformer`.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator
    from sklearn.preprocessing import OneHotEncoder

    parts: list[tuple[str, Any, list[str]]] = []
    if missing == "keep":
        parts.append(("numbers", "passthrough", list(numbers)))
    else:
        parts.append(("numbers", Standardiser(), list(numbers)))
        # Not scaled: a rare cell of 22 deviations would escape the penalty of its coefficient.
        parts.append(("missing", MissingIndicator(error_on_new=False), list(numbers)))
    cells = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([*parts, ("words", cells, list(words))], sparse_threshold=0)


def _read_column(values: pd.Series, name: str) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(values) and not isinstance(values.dtype, pd.CategoricalDtype):
        read = values.to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(read).any():
            raise TableError(
                f"features: {name} is infinite in {int(np.isinf(read).sum())} rows: "
                "leave a number that cannot be computed empty (NaN)"
            )
        return read
    present = values.notna().to_numpy()
    words = np.full(len(values), np.nan, dtype=object)
    words[present] = [str(value) for value in values[present]]
    return words


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
        TableError: See `encoding.read_features` and `schema.check_folds`; an image of the folds
            has no features or no truth; a truth is none of the classes; there are fewer than two
            classes or folds; or a fold's training rows lack a class.
    """
    check_folds(folds)
    columns = read_features(features)
    ordered = folds.sort_values("image_id", kind="stable")
    ids = ordered["image_id"].to_numpy(dtype=object)
    lost = ~ordered["image_id"].isin(columns.index).to_numpy()
    if lost.any():
        raise TableError(
            f"features: no row for image_id {ids[lost][0]!r} ({int(lost.sum())} of {len(ids)} "
            "images of the folds): make the features from the same images.csv"
        )
    fold = ordered["fold"].to_numpy(dtype=np.int64)
    target = _targets(images, ids)
    names = tuple(classes) or tuple(sorted(set(target[~pd.isna(target)])))
    rows = Rows(ids, fold, _codes(target, names, ids, fold), columns.loc[ids], names)
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
