"""The plateau: a rate that falls where a run no longer gains, read off the run's own history.

No state is kept beside the history, so a run that is taken up again goes on with the same rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from melnb.models.optimization.curves import Constant


@keras.saving.register_keras_serializable("melnb")
class Plateau(Constant):
    """What the rate of a run on a plateau does; within an epoch it is constant.

    The optimizer holds the rate in a variable: assign `rate_after(values)` to it after each epoch.
    """

    def __init__(self, *, final_rate: float, decay: float, patience: int, **shared: Any) -> None:
        super().__init__(**shared)
        _check(decay, patience)
        self.final_rate = float(final_rate)
        self.decay = float(decay)
        self.patience = int(patience)

    def rate_after(self, values: Sequence[float], *, better: str) -> float:
        """Return the rate of the next epoch; see `plateau_rate`."""
        return plateau_rate(
            values, learning_rate=self.learning_rate, factor=self.decay, patience=self.patience,
            min_rate=self.final_rate, better=better,
        )  # fmt: skip


def plateau_rate(
    values: Sequence[float],
    *,
    learning_rate: float,
    factor: float,
    patience: int,
    min_rate: float = 0.0,
    better: str = "higher",
) -> float:
    """Return the rate of the next epoch, as Keras' ReduceLROnPlateau would have set it.

    Args:
        values: The monitored value of each finished epoch, from the first; NaN is no gain.
        learning_rate: Of the first epoch.
        factor: Of each fall.
        patience: Epochs without a gain before a fall, and again before the next one.
        min_rate: Where falling ends.
        better: `higher` or `lower`: which values are a gain.

    Raises:
        ValueError: `better` is another word, or factor or patience make no fall.
    """
    _check(factor, patience)
    if better not in ("higher", "lower"):
        raise ValueError(f"better is {better!r}; use 'higher' or 'lower'")
    rate, best, waited = float(learning_rate), -math.inf, 0
    for value in values:
        gain = value if better == "higher" else -value
        waited += 1
        if gain > best:
            best, waited = gain, 0
        if waited >= patience:
            rate, waited = max(rate * factor, min(min_rate, rate)), 0
    return rate


def _check(factor: float, patience: int) -> None:
    if not 0 < factor < 1:
        raise ValueError(f"the factor on a plateau is {factor}; use one between 0 and 1")
    if patience < 1:
        raise ValueError(f"the patience on a plateau is {patience}; use 1 epoch or more")
