"""Many tests at once: p values adjusted for their number.

Holm 1979, Scandinavian Journal of Statistics 6:65: the chance that any test of a family is wrong.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def holm_adjusted(p: np.ndarray) -> np.ndarray:
    """Return p values adjusted for their number by Holm's step-down method.

    Holm 1979, Scandinavian Journal of Statistics 6:65. NaN stays so, and counts as no test.
    """
    adjusted = np.full(len(p), np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def with_holm(table: pd.DataFrame, p: str = "p", *, by: str = "") -> pd.DataFrame:
    """Return a table with `<p>_holm` behind its column of p values, adjusted for their number.

    Args:
        table: A row per test.
        p: The column.
        by: Each value of this column is a family of tests by itself; empty: all are one.
    """
    adjusted = pd.Series(math.nan, index=table.index)
    for own in table.groupby(by).groups.values() if by else [table.index]:
        adjusted[own] = holm_adjusted(table.loc[own, p].to_numpy(dtype=float))
    made = table.copy()
    made.insert(list(table.columns).index(p) + 1, f"{p}_holm", adjusted)
    return made
