"""How a value stands among those of its group: difference, ratio, z-score, rank."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, DTypeLike

# Spread: how far numbers lie from their mean, and when that is nothing but rounding.
#
# Whoever divides by a deviation asks here whether there is one: a column that hardly varies is
# constant, its deviation is 0, and in deviations it is 0 everywhere.

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
    finite = np.isfinite(columns)
    filled = np.where(finite, columns, 0.0)
    largest = np.abs(filled).max(axis=-1, initial=0.0)
    # Over a power of two no digit changes, and no square is beyond float64.
    _, exponent = np.frexp(largest)
    scaled, number = np.ldexp(filled, -exponent[..., None]), finite.sum(axis=-1)
    mean = scaled.sum(axis=-1) / np.maximum(number, 1)
    squares = np.where(finite, scaled - mean[..., None], 0.0) ** 2
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
        scaled = (values / 2 - np.asarray(mean) / 2) / np.where(varied, deviation / 2, 1.0)
    scaled = np.where(varied, np.clip(scaled, -LARGEST, LARGEST), 0.0)
    return np.where(np.isnan(values), np.nan, scaled)


def centred(values: np.ndarray) -> np.ndarray:
    """Return how far values lie from their column's mean: 0 in one that hardly varies."""
    mean, deviation = mean_and_deviation(values)
    return np.where(deviation > 0, values - mean, 0.0)


# Groups of rows: the images of one patient, of one patient's site, of one fold.


def group_codes(*columns: pd.Series | np.ndarray) -> np.ndarray:
    """Return a whole number per row from 0 without gaps, equal where every column is.

    A row that is unknown in any column is alone. The numbers are labels: their order says nothing.
    """
    codes, unknown = np.zeros(len(columns[0]), dtype=np.int64), np.zeros(len(columns[0]), bool)
    for column in columns:
        numbers, names = pd.factorize(column)
        unknown |= numbers == -1
        codes, _ = pd.factorize(codes * (len(names) + 1) + numbers + 1)
    largest = int(codes.max(initial=-1)) + 1
    return np.asarray(pd.factorize(np.where(unknown, largest + np.cumsum(unknown), codes))[0])


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


# The local outlier factor of points in many small groups.
#
# scikit-learn's checks and copies take some 10 ms a group, half a minute for 2,000 patients.
# Breunig et al. 2000, Proceedings of SIGMOD 29:93.

ALONE = 1.0  # the factor of one among many
_LARGEST = 100.0  # a point beside equal ones would have one as large as rounding lets it
_ROUNDING = 1e-10  # as in scikit-learn: keeps the density of equal points finite


def outlier_factors(
    points: np.ndarray, groups: np.ndarray, *, neighbours: int = 30, fewest: int = 3
) -> np.ndarray:
    """Return the local outlier factor of each point within its group, 1 for one of many.

    Args:
        points: n x d; a row with NaN is outside its group, and has the factor 1.
        groups: n whole numbers from 0.
        neighbours: At most so many, and at most half the group: were all others neighbours, the one
            apart would be everyone's farthest, and its factor 1.
        fewest: Points of a group, below which all have the factor 1.

    Returns:
        n numbers, 100 at most.
    """
    factors = np.full(len(points), ALONE)
    complete = np.flatnonzero(~np.isnan(points).any(axis=1))
    order = complete[np.argsort(groups[complete], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        if len(rows) >= max(fewest, 2):
            factors[rows] = _factors(points[rows], min(len(rows) // 2, neighbours))
    return np.asarray(np.minimum(factors, _LARGEST))


def _factors(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the factors of one group."""
    from scipy.spatial import cKDTree  # 0.3 s, which nothing else here costs

    distances, nearest = cKDTree(points).query(points, k=neighbours + 1)
    itself = nearest == np.arange(len(points))[:, None]
    itself[~itself.any(axis=1), -1] = True  # among many equal points it may not be listed
    distances, nearest = (a[~itself].reshape(len(points), -1) for a in (distances, nearest))
    reach = np.maximum(distances[nearest, -1], distances)
    density = 1 / (reach.mean(axis=1) + _ROUNDING)
    return np.asarray(density[nearest].mean(axis=1) / density)


FEWEST = 3  # values of a group; with fewer there is no one to be unlike
NEUTRAL = {"z": 0.0, "rank": 0.5, "difference": 0.0, "ratio": 1.0}


def standings(values: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Return how each value stands among those of its group.

    Args:
        values: n numbers; NaN is not compared, and is itself neutral.
        groups: n whole numbers from 0.

    Returns:
        n numbers for each: `z`, the distance from the group's mean in its standard deviations
        (n - 1), `rank`, the mean rank less a half as a share of the group (0-1, 0.5 in the middle),
        `difference` from the mean, `ratio` to the mean. Groups of fewer than `FEWEST` values, and
        those whose values hardly vary (`spread.negligible`), have the `NEUTRAL` ones; so has a
        ratio to a mean of 0.
    """
    present = ~np.isnan(values)
    size = int(groups.max(initial=-1)) + 1
    number = np.bincount(groups, weights=present, minlength=size)
    largest = np.zeros(size)
    np.maximum.at(largest, groups[present], np.abs(values[present]))
    # Over a power of two no digit changes, and no square is beyond float64.
    _, exponent = np.frexp(largest)
    scaled = np.ldexp(np.where(present, values, 0.0), -exponent[groups])
    mean = np.bincount(groups, weights=scaled, minlength=size) / np.maximum(number, 1)
    apart = np.where(present, scaled - mean[groups], 0.0)
    squares = np.bincount(groups, weights=apart**2, minlength=size)
    deviation = np.sqrt(squares / np.maximum(number - 1, 1))
    varied = (number >= FEWEST) & (np.ldexp(deviation, exponent) > negligible(largest))
    # Of values on both sides of 0 rounding may leave a mean that is next to nothing.
    divisible = varied & (np.ldexp(np.abs(mean), exponent) > negligible(largest))
    columns = {name: np.full(len(values), neutral) for name, neutral in NEUTRAL.items()}
    usable = present & varied[groups]
    np.divide(apart, deviation[groups], out=columns["z"], where=usable)
    np.copyto(columns["difference"], np.ldexp(apart, exponent[groups]), where=usable)
    np.divide(scaled, mean[groups], out=columns["ratio"], where=present & divisible[groups])
    np.copyto(columns["rank"], _mid_ranks(values, groups), where=usable)
    return columns


def _mid_ranks(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the mean rank less a half as a share of the group: 0.5 where all are tied."""
    ranked = pd.Series(values).groupby(groups)
    counts = ranked.transform("count")
    return np.asarray((ranked.rank() - 0.5) / counts.where(counts > 0))
