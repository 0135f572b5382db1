"""Encoding: columns of words and numbers to cells that an estimator can take.

An encoder is a part of the pipeline that is fitted on training rows, so that means, deviations and
categories come from them alone. Missing is information: a word has a cell for it, and a number that
is filled with the training mean has another that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from melnb.checks import check_columns, check_ids
from melnb.tables import TableError

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

    from melnb.models.tabular.standardiser import Standardiser

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
    known = values.notna().to_numpy()
    words = np.full(len(values), np.nan, dtype=object)
    words[known] = [str(value) for value in values[known]]
    return words
