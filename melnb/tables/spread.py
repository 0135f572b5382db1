"""Spread: how far numbers lie from their mean, and when that is nothing but rounding.

Whoever divides by a deviation asks here whether there is one: a column that hardly varies is
constant, its deviation is 0, and in deviations it is 0 everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

LARGEST = float(np.finfo(np.float32).max)  # what a network can be fed
LEAST = float(np.sqrt(np.finfo(np.float32).tiny))  # 1e-19, whose square float32 holds in full


def negligible(largest: ArrayLike, dtype: DTypeLike = np.float64) -> np.ndarray:
    """Return the greatest deviation that counts as none.

    Numbers hardly vary where their deviation lies in the last quarter of the digits of the largest
    of them (1.8e-12 of it in float64, 6.4e-6 in float32): rounding reaches so far, of the numbers
    and of sums of many of them. None either is a deviation of `LEAST` or less: numbers that are
    divided by it leave the range of float32, in which networks reckon.

    Args:
        largest: The greatest size among the numbers.
        dtype: In which they were computed.
    """
    rounding = float(np.finfo(dtype).eps) ** 0.75
    return np.asarray(np.maximum(rounding * np.asarray(largest, dtype=float), LEAST))


def mean_and_deviation(values: np.ndarray, *, ddof: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of each column, 0 where it hardly varies.

    Args:
        values: n, or n x k; NaN and infinite ones are left out. Without any, the mean is 0.
        ddof: 1: as of a sample, with n - 1.

    Returns:
        Two numbers, or two of each column, float64.
    """
    values = np.asarray(values)
    dtype = values.dtype if np.issubdtype(values.dtype, np.floating) else np.float64
    # One column after the other in memory: sums along it are rounded least.
    columns = np.ascontiguousarray(values.T, dtype=float)
    known = np.isfinite(columns)
    filled = np.where(known, columns, 0.0)
    largest = np.abs(filled).max(axis=-1, initial=0.0)
    # Over a power of two no digit changes, and no square is beyond float64.
    _, exponent = np.frexp(largest)
    scaled, number = np.ldexp(filled, -exponent[..., None]), known.sum(axis=-1)
    mean = scaled.sum(axis=-1) / np.maximum(number, 1)
    squares = np.where(known, scaled - mean[..., None], 0.0) ** 2
    deviation = np.ldexp(np.sqrt(squares.sum(axis=-1) / np.maximum(number - ddof, 1)), exponent)
    varied = deviation > negligible(largest, dtype)
    return np.ldexp(mean, exponent), np.where(varied, deviation, 0.0)


def standardised(values: np.ndarray, mean: ArrayLike, deviation: ArrayLike) -> np.ndarray:
    """Return how many deviations values lie from a mean, within the range of float32.

    Args:
        values: n, or n x k; NaN stays.
        mean: Of each column, see `mean_and_deviation`.
        deviation: Of each column; where it is 0, so is the result, of new values too.
    """
    values, deviation = np.asarray(values, dtype=float), np.asarray(deviation, dtype=float)
    varied = deviation > 0
    with np.errstate(over="ignore"):  # the clip is for it
        # Halved, as the difference of the two greatest numbers is none.
        made = (values / 2 - np.asarray(mean) / 2) / np.where(varied, deviation / 2, 1.0)
    made = np.where(varied, np.clip(made, -LARGEST, LARGEST), 0.0)
    return np.where(np.isnan(values), np.nan, made)


def centred(values: np.ndarray) -> np.ndarray:
    """Return how far values lie from their column's mean: 0 in one that hardly varies."""
    mean, deviation = mean_and_deviation(values)
    return np.where(deviation > 0, values - mean, 0.0)
