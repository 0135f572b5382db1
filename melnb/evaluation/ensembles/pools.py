"""Several opinions into one: what a member's rows count as, and how they are averaged.

Members are always taken in the order of their names, so that their order never changes a bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.probabilities import LEAST
from melnb.evaluation.intervals import midranks
from melnb.tables import TEST, class_names

Values = dict[str, np.ndarray]  # of each member, rows x classes
_LARGEST_UNIT = 10**14  # so that sums of whole ranks are whole numbers of 64 bits
_PARTS_OF_WEIGHT = 10**4  # weights that are fractions of so many parts are exact


def member_values(
    tables: Mapping[str, pd.DataFrame], *, ranks: bool, within_fold: bool, centred: bool = False
) -> Values:
    """Return what each member's rows count as: their values, or their ranks as a share of all.

    Test rows are ranked by themselves, and ties share their mean rank. If all are ranked, ranks are
    whole numbers, of which `rank_unit` is a share of 1: their sums are exact, and what ties on
    paper ties in fact.

    Args:
        tables: Aligned members.
        ranks: Whether all members are ranked; else those alone that hold scores, if `centred`.
        within_fold: Rank each fold by itself, for the scores of different models are on different
            scales.
        centred: Ranks less a half, so that no share is 0 or 1 and their logarithms are finite.
    """
    made, unit = {}, rank_unit(tables, within_fold=within_fold) if ranks else 0
    for name in sorted(tables):
        table = tables[name]
        own = table[[f"p_{c}" for c in class_names(table)]]
        part = table["fold"] if within_fold else table["fold"] == TEST
        if ranks:
            columns = own.to_numpy(dtype=float).T
            made[name] = np.stack([whole_ranks(c, part.to_numpy(), unit) for c in columns], axis=1)
            continue
        if centred and (table["kind"] == "score").any():
            grouped = own.groupby(part)
            own = (grouped.rank() - 0.5) / grouped.transform("count")
        made[name] = own.to_numpy(dtype=float)
    return made


def rank_unit(tables: Mapping[str, pd.DataFrame], *, within_fold: bool) -> int:
    """Return the whole number that a rank of n of n counts as, in `member_values`."""
    parts = (t["fold"] if within_fold else t["fold"] == TEST for t in tables.values())
    return whole_unit(size for part in parts for size in part.value_counts())


def whole_unit(sizes: Iterable[int], *, largest: int = _LARGEST_UNIT) -> int:
    """Return a number by which midranks over each of these sizes are whole, or else the largest."""
    common = math.lcm(*(2 * int(size) for size in sizes))
    return min(common, largest)


def whole_ranks(values: np.ndarray, part: np.ndarray, unit: int) -> np.ndarray:
    """Return midranks over their part's size, times a unit that makes them whole.

    Args:
        values: n.
        part: n; each is ranked by itself.
        unit: `whole_unit` of the parts' sizes. One that is no multiple of them rounds.

    Returns:
        n whole numbers, from 1 up to the unit.
    """
    _, code, sizes = np.unique(part, return_inverse=True, return_counts=True)
    doubled = np.empty(len(values), dtype=np.int64)
    for k in range(len(sizes)):
        doubled[code == k] = np.rint(2 * midranks(values[code == k]))
    if (unit % (2 * sizes)).any():
        return np.asarray(np.rint(doubled / (2 * sizes)[code] * unit), dtype=np.int64)
    return np.asarray(doubled * (unit // (2 * sizes))[code])


def linear_pool(values: Values, weights: Mapping[str, float], *, unit: int = 1) -> np.ndarray:
    """Return the weighted mean of values (Stone 1961, Annals of Mathematical Statistics 32:1339).

    Args:
        values: Of each member, rows x classes. Of whole numbers the sum is exact where weights are
            fractions of at most 10,000 parts.
        weights: Of each member, of sum one.
        unit: What stands for 1 in whole numbers.

    Returns:
        rows x classes.
    """
    if all(np.issubdtype(of.dtype, np.integer) for of in values.values()):
        return np.asarray(np.clip(_whole_mean(values, weights, unit), 0, 1))
    # One member after the other: a matrix product may round a row by where it stands.
    total = np.zeros_like(next(iter(values.values())))
    for name in sorted(values):
        total += weights[name] * values[name]
    return np.clip(total, 0, 1)  # a sum of shares may pass 1 by a rounding


def _whole_mean(values: Values, weights: Mapping[str, float], unit: int) -> np.ndarray:
    shares = {n: Fraction(weights[n]).limit_denominator(_PARTS_OF_WEIGHT) for n in sorted(values)}
    parts = math.lcm(*(share.denominator for share in shares.values()))
    exact = all(abs(float(share) - weights[name]) < 1e-12 for name, share in shares.items())
    if not exact or parts > _PARTS_OF_WEIGHT or sum(shares.values()) != 1:
        return np.asarray(sum(weights[name] * values[name] for name in sorted(values)) / unit)
    total = sum(int(share * parts) * values[name] for name, share in shares.items())
    return np.asarray(total / (parts * unit))  # one division: the same share is the same float


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
