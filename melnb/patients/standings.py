"""How a value stands among those of its group: difference, ratio, z-score, rank."""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.spread import negligible

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
