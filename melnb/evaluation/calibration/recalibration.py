"""Slope and intercept: the logistic regression of the truth on the logit of the probability.

Cox 1958, Biometrika 45:562; Van Calster et al. 2016, Journal of Clinical Epidemiology 74:167.
A slope below 1 says that the probabilities are too extreme; an intercept below 0 that they are too
high on the whole.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from melnb.evaluation.calibration.probabilities import expit, logit
from melnb.evaluation.intervals import normal_quantile
from melnb.evaluation.rows import absent_class, absent_interval, estimate, row_clusters


def recalibration(
    rows: pd.DataFrame, *, positive: str, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return the slope, and the intercept where the slope is held at 1 (in the large).

    Args:
        rows: Binary rows with probabilities.
        positive: The class looked for, for the notes.
        confidence: Of the intervals: Wald's, with the clusters' sandwich if there are any (Liang
            and Zeger 1986, Biometrika 73:13).
        cluster: A column whose images err together.

    Returns:
        `rows.ESTIMATE_COLUMNS`, two rows.
    """
    truth = rows["truth"].to_numpy().astype(float)
    stated, one = logit(rows["score"].to_numpy()), np.ones((len(rows), 1))
    clusters = row_clusters(rows, cluster)
    absent = absent_class(rows, positive)
    made = []
    for metric, design, offset, reason in (
        ("slope", np.column_stack([stated, one]), 0 * stated, absent or _apart(stated, truth > 0)),
        ("intercept", one, stated, absent),
    ):
        value, se = math.nan, math.nan
        if not reason:
            found = fit_logistic(design, truth, offset)
            value = float(found[0])
            se = math.sqrt(logistic_covariance(design, truth, offset, found, clusters)[0, 0])
        half = normal_quantile(confidence) * se
        made.append(
            estimate(
                metric,
                value,
                rows,
                se=se,
                limits=(value - half, value + half),
                method=f"sandwich by {cluster}" if cluster else "Wald",
                reason=reason or absent_interval(rows, se, cluster),
            )
        )
    return pd.concat(made, ignore_index=True)


def fit_logistic(design: np.ndarray, target: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return the coefficients of a logistic regression.

    Args:
        design: n x k; its columns are independent.
        target: n, from 0 to 1.
        offset: n, added to the log-odds.

    Returns:
        k coefficients; the caller sees to it that they are finite.
    """
    scale = np.sqrt((design**2).mean(axis=0))
    scaled = design / scale

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        odds = scaled @ at + offset
        cost = np.logaddexp(0, odds) - target * odds
        return float(cost.mean()), scaled.T @ (expit(odds) - target) / len(target)

    def curvature(at: np.ndarray) -> np.ndarray:
        chance = expit(scaled @ at + offset)
        return np.asarray((scaled.T * (chance * (1 - chance))) @ scaled / len(target))

    start = np.zeros(design.shape[1])
    options = {"gtol": 1e-10, "maxiter": 1000}
    found = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options=options)
    return np.asarray(found.x / scale)


def logistic_covariance(
    design: np.ndarray,
    target: np.ndarray,
    offset: np.ndarray,
    coefficients: np.ndarray,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """Return the covariance of fitted coefficients, k x k (see `recalibration`).

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


def _apart(stated: np.ndarray, truth: np.ndarray) -> str:
    """Return that no slope is finite, if so: Albert and Anderson 1984, Biometrika 71:1."""
    if np.ptp(stated) == 0:
        return "not estimable: all scores are equal"
    high, low = stated[truth], stated[~truth]
    if high.min() >= low.max() or low.min() >= high.max():
        return "not estimable: the scores part the classes wholly"
    return ""
