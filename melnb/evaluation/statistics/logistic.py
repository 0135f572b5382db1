"""Logistic regression: coefficients, and their covariance by row or by cluster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from melnb.tables.within_patient import LEAST

_ROWS_AT_ONCE = 16_384  # what a step makes of them stays in a core's cache: a third of the time


def expit(log_odds: np.ndarray) -> np.ndarray:
    """Return the probabilities of log-odds, without overflow."""
    small = np.exp(-np.abs(log_odds))
    return np.asarray(np.where(log_odds >= 0, 1 / (1 + small), small / (1 + small)))


def fit_logistic(
    design: np.ndarray,
    target: np.ndarray,
    *,
    offset: np.ndarray | float = 0.0,
    ridge: Sequence[float] | float = 0.0,
) -> np.ndarray:
    """Return the coefficients of a logistic regression.

    Args:
        design: n x k; its columns are independent, unless the ridge holds them.
        target: n, from 0 to 1.
        offset: n, added to the log-odds.
        ridge: k penalties, each on half the square of its coefficient times the column's root mean
            square (Hoerl and Kennard 1970, Technometrics 12:55). They keep coefficients finite
            where the classes are wholly apart.

    Returns:
        k coefficients; without a ridge the caller sees to it that they are finite.
    """
    scale = np.sqrt((design**2).mean(axis=0))
    scale = np.where(scale > LEAST, scale, 1.0)
    scaled = design / scale
    penalty = np.broadcast_to(np.asarray(ridge, dtype=float), scale.shape) / len(target)
    offsets = np.broadcast_to(np.asarray(offset, dtype=float), target.shape)
    starts = range(0, len(target), _ROWS_AT_ONCE)
    blocks = [[v[k : k + _ROWS_AT_ONCE] for v in (scaled, target, offsets)] for k in starts]

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        costs, slopes = zip(*(_loss(at, *rows) for rows in blocks), strict=True)
        cost, slope = sum(costs) / len(target), sum(slopes) / len(target)
        return float(cost + (penalty * at**2).sum() / 2), slope + penalty * at

    def curvature(at: np.ndarray) -> np.ndarray:
        spread = sum(_curvature(at, *rows) for rows in blocks) / len(target)
        return np.asarray(spread + np.diag(penalty))

    start = np.zeros(design.shape[1])
    # Imported here, as scipy's optimizers cost half a second.
    from scipy.optimize import minimize

    options = {"gtol": 1e-10, "maxiter": 1000}
    fit = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options=options)
    return np.asarray(fit.x / scale)


def logistic_covariance(
    design: np.ndarray,
    target: np.ndarray,
    offset: np.ndarray,
    coefficients: np.ndarray,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """Return the covariance of coefficients that were fitted without a ridge, k x k.

    Args:
        design: n x k, as fitted.
        target: n, as fitted.
        offset: n, as fitted.
        coefficients: k, as found.
        clusters: n whole numbers from 0: rows that err together, for the sandwich of Liang and
            Zeger 1986, Biometrika 73:13; None: each row stands alone.

    Returns:
        NaN when there are fewer than two clusters.
    """
    chance = expit(design @ coefficients + offset)
    inverse = np.linalg.inv((design.T * (chance * (1 - chance))) @ design)
    if clusters is None:
        return np.asarray(inverse)
    number = int(clusters.max(initial=-1)) + 1
    if number < 2:
        return np.full(inverse.shape, np.nan)
    parts = (design * (target - chance)[:, None]).T
    sums = np.stack([np.bincount(clusters, weights=p, minlength=number) for p in parts])
    return np.asarray(inverse @ (sums @ sums.T) @ inverse * (number / (number - 1)))


def _loss(
    at: np.ndarray, design: np.ndarray, target: np.ndarray, offset: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the sum of the losses of some rows, and its slope."""
    odds = design @ at + offset
    small = np.exp(-np.abs(odds))
    cost = np.maximum(odds, 0) + np.log1p(small) - target * odds
    return float(cost.sum()), design.T @ (expit(odds) - target)


def _curvature(
    at: np.ndarray, design: np.ndarray, target: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Return the sum of the curvatures of some rows."""
    chance = expit(design @ at + offset)
    return np.asarray((design.T * (chance * (1 - chance))) @ design)
