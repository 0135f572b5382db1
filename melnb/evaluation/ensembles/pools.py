"""Several opinions into one: what a member's rows count as, and how they are averaged.

Members are always taken in the order of their names, so that their order never changes a bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.probabilities import LEAST
from melnb.tables import TEST, class_names

Values = dict[str, np.ndarray]  # of each member, rows x classes


def member_values(
    tables: Mapping[str, pd.DataFrame], *, ranks: bool, within_fold: bool, centred: bool = False
) -> Values:
    """Return what each member's rows count as: their values, or their ranks as a share of all.

    Test rows are ranked by themselves, and ties share their mean rank.

    Args:
        tables: Aligned members.
        ranks: Whether all members are ranked; else those alone that hold scores, if `centred`.
        within_fold: Rank each fold by itself, for the scores of different models are on different
            scales.
        centred: Ranks less a half, so that no share is 0 or 1 and their logarithms are finite.
    """
    made = {}
    for name in sorted(tables):
        table = tables[name]
        own = table[[f"p_{c}" for c in class_names(table)]]
        if ranks or (centred and (table["kind"] == "score").any()):
            part = own.groupby(table["fold"] if within_fold else table["fold"] == TEST)
            own = (part.rank() - 0.5) / part.transform("count") if centred else part.rank(pct=True)
        made[name] = own.to_numpy(dtype=float)
    return made


def linear_pool(values: Values, weights: Mapping[str, float]) -> np.ndarray:
    """Return the weighted mean of values (Stone 1961, Annals of Mathematical Statistics 32:1339).

    Args:
        values: Of each member, rows x classes.
        weights: Of each member, of sum one.

    Returns:
        rows x classes.
    """
    # One member after the other: a matrix product may round a row by where it stands.
    total = np.zeros_like(next(iter(values.values())))
    for name in sorted(values):
        total += weights[name] * values[name]
    return np.clip(total, 0, 1)  # a sum of shares may pass 1 by a rounding


def logarithmic_pool(
    values: Values, weights: Mapping[str, float], bias: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return the weighted mean of log probabilities, made to sum to one.

    Of two classes it is the mean of logits. Genest and Zidek 1986, Statistical Science 1:114.

    Args:
        values: Of each member, rows x classes; 0 counts as 1e-15.
        weights: Of each member.
        bias: Of each class, added to its logarithm.

    Returns:
        rows x classes.
    """
    odds = np.zeros_like(next(iter(values.values()))) + bias
    for name in sorted(values):
        odds += weights[name] * log_values(values[name])
    return softmax(odds)


def power_pool(values: Values, weights: Mapping[str, float], exponent: float) -> np.ndarray:
    """Return the weighted power mean of probabilities, made to sum to one.

    Exponent 1 is the mean, towards 0 the mean of logits; the higher it is, the more the surest
    member counts. Cooke 1991, Experts in Uncertainty, Oxford.

    Args:
        values: Of each member, rows x classes; 0 counts as 1e-15.
        weights: Of each member, of sum one.
        exponent: Not 0.

    Returns:
        rows x classes.
    """
    total = np.full_like(next(iter(values.values())), -np.inf)
    for name in sorted(values):
        if weights[name] > 0:
            # Sums of logarithms, for a small value to a high power is 0 in floating point.
            total = np.logaddexp(total, np.log(weights[name]) + exponent * log_values(values[name]))
    return softmax(total / exponent)


def log_values(values: np.ndarray) -> np.ndarray:
    """Return the logarithms of values, 0 taken as 1e-15."""
    return np.asarray(np.log(np.clip(values, LEAST, 1)))


def softmax(odds: np.ndarray) -> np.ndarray:
    """Return the probabilities of n x classes log odds, without overflow."""
    parts = np.exp(odds - odds.max(axis=1, keepdims=True))
    return np.asarray(parts / parts.sum(axis=1, keepdims=True))
