"""How a value stands among those of its group: difference, ratio, z-score, rank."""

from __future__ import annotations

import numpy as np
import pandas as pd

FEWEST = 3  # values of a group; with fewer there is no one to be unlike
NEUTRAL = {"z": 0.0, "rank": 0.5, "difference": 0.0, "ratio": 1.0}

_ALIKE = 1e-12  # of the mean: what rounding leaves of a spread of 0


def standings(values: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Return how each value stands among those of its group.

    Args:
        values: n numbers; NaN is not compared, and is itself neutral.
        groups: n whole numbers from 0.

    Returns:
        n numbers for each: `z`, the distance from the group's mean in its standard deviations
        (n - 1), `rank`, the mean rank less a half as a share of the group (0-1, 0.5 in the middle),
        `difference` from the mean, `ratio` to the mean. Groups of fewer than `FEWEST` values have
        the `NEUTRAL` ones; so have a z where all values are alike and a ratio to a mean of 0.
    """
    known = ~np.isnan(values)
    size = int(groups.max(initial=-1)) + 1
    filled = np.where(known, values, 0.0)
    number = np.bincount(groups, weights=known, minlength=size)
    mean, scale = (
        np.bincount(groups, weights=own, minlength=size) / np.maximum(number, 1)
        for own in (filled, np.abs(filled))
    )
    apart = np.where(known, values - mean[groups], 0.0)
    squares = np.bincount(groups, weights=apart**2, minlength=size)
    spread = np.sqrt(squares / np.maximum(number - 1, 1))
    usable = known & (number >= FEWEST)[groups]
    varied = usable & (spread > _ALIKE * np.maximum(np.abs(mean), _ALIKE))[groups]
    level = mean[groups]
    # Of values on both sides of 0 rounding may leave a mean that is next to nothing.
    divisible = usable & (np.abs(mean) > _ALIKE * scale)[groups]
    made = {name: np.full(len(values), neutral) for name, neutral in NEUTRAL.items()}
    np.divide(apart, spread[groups], out=made["z"], where=varied)
    np.copyto(made["difference"], apart, where=usable)
    np.divide(values, level, out=made["ratio"], where=divisible)
    np.copyto(made["rank"], _mid_ranks(values, groups), where=usable)
    return made


def _mid_ranks(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the mean rank less a half as a share of the group: 0.5 where all are tied."""
    ranked = pd.Series(values).groupby(groups)
    counts = ranked.transform("count")
    return np.asarray((ranked.rank() - 0.5) / counts.where(counts > 0))
