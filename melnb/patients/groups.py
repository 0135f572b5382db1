"""Groups of rows: the images of one patient, of one patient's site, of one fold."""

from __future__ import annotations

import numpy as np
import pandas as pd


def group_codes(*columns: pd.Series | np.ndarray) -> np.ndarray:
    """Return a whole number per row from 0 without gaps, equal where every column is.

    A row that is unknown in any column is alone. The numbers are labels: their order says nothing.
    """
    codes, unknown = np.zeros(len(columns[0]), dtype=np.int64), np.zeros(len(columns[0]), bool)
    for column in columns:
        own, names = pd.factorize(column)
        unknown |= own == -1
        codes, _ = pd.factorize(codes * (len(names) + 1) + own + 1)
    known = int(codes.max(initial=-1)) + 1
    return np.asarray(pd.factorize(np.where(unknown, known + np.cumsum(unknown), codes))[0])


def without_gaps(codes: np.ndarray) -> np.ndarray:
    """Return whole numbers from 0 numbered anew, in their order, so that each is there.

    `numpy.unique` would sort them: at a million rows it takes 20 times as long.
    """
    held = np.bincount(codes) > 0
    return np.asarray((np.cumsum(held) - 1)[codes])


def first_known(images: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    """Return the first known of several ids of each row, told apart by the column's name.

    Args:
        images: A table.
        columns: Of ids, such as patient_id and lesion_id; one that is not there is unknown.

    Returns:
        n words, such as `patient_id IP_1`; NaN where every column is.
    """
    named: pd.Series = pd.Series(np.nan, index=images.index, dtype=object)
    for column in (c for c in columns if c in images):
        ids = images[column].astype(object)
        named = named.where(named.notna() | ids.isna(), [f"{column} {name}" for name in ids])
    return named
