"""How a value stands among those of its group: difference, ratio, z-score, rank."""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.tables.spread import negligible

# Groups of rows: the images of one patient, of one patient's site, of one fold.


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
    known = np.flatnonzero(~np.isnan(points).any(axis=1))
    order = known[np.argsort(groups[known], kind="stable")]
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
    known = ~np.isnan(values)
    size = int(groups.max(initial=-1)) + 1
    number = np.bincount(groups, weights=known, minlength=size)
    largest = np.zeros(size)
    np.maximum.at(largest, groups[known], np.abs(values[known]))
    # Over a power of two no digit changes, and no square is beyond float64.
    _, exponent = np.frexp(largest)
    scaled = np.ldexp(np.where(known, values, 0.0), -exponent[groups])
    mean = np.bincount(groups, weights=scaled, minlength=size) / np.maximum(number, 1)
    apart = np.where(known, scaled - mean[groups], 0.0)
    squares = np.bincount(groups, weights=apart**2, minlength=size)
    deviation = np.sqrt(squares / np.maximum(number - 1, 1))
    varied = (number >= FEWEST) & (np.ldexp(deviation, exponent) > negligible(largest))
    # Of values on both sides of 0 rounding may leave a mean that is next to nothing.
    divisible = varied & (np.ldexp(np.abs(mean), exponent) > negligible(largest))
    made = {name: np.full(len(values), neutral) for name, neutral in NEUTRAL.items()}
    usable = known & varied[groups]
    np.divide(apart, deviation[groups], out=made["z"], where=usable)
    np.copyto(made["difference"], np.ldexp(apart, exponent[groups]), where=usable)
    np.divide(scaled, mean[groups], out=made["ratio"], where=known & divisible[groups])
    np.copyto(made["rank"], _mid_ranks(values, groups), where=usable)
    return made


def _mid_ranks(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the mean rank less a half as a share of the group: 0.5 where all are tied."""
    ranked = pd.Series(values).groupby(groups)
    counts = ranked.transform("count")
    return np.asarray((ranked.rank() - 0.5) / counts.where(counts > 0))
