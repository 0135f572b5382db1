"""The flexible calibration curve: observed against stated, without bins and without a line.

A logistic regression of the truth on restricted cubic splines of the stated log odds: Harrell 2015,
Regression Modeling Strategies, section 2.4; Van Calster et al. 2016, Journal of Clinical
Epidemiology 74:167. How far the curve lies from the diagonal, over the rows: the integrated
calibration index ICI (the mean), E50 and E90 (the median and the 90th percentile): Austin and
Steyerberg 2019, Statistics in Medicine 38:4051.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.calibration_scores import no_line
from melnb.evaluation.calibration.prevalence import logit, probability_rows
from melnb.evaluation.calibration.reliability import resampled_parts
from melnb.evaluation.rows import (
    absent_class,
    absent_clusters,
    absent_interval,
    estimate,
    row_clusters,
)
from melnb.evaluation.statistics import bootstrap
from melnb.evaluation.statistics.intervals import normal_quantile
from melnb.evaluation.statistics.logistic import expit, fit_logistic, logistic_covariance
from melnb.tables.within_patient import mean_and_deviation

CURVE_COLUMNS = ("probability", "observed", "low", "high", "n", "positives", "note")
INDICES = ("ICI", "E50", "E90")
_QUANTILES = {
    3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95),
}  # fmt: skip
_WANTED = 200  # of each class, for a flexible curve: Van Calster et al. 2016
_PLACES = 400  # of equally many rows, where the curve of each resample is looked at
_ROUNDING = 1e-12
_RIDGE = 1e-6  # holds what nothing in the rows would


def calibration_curve(
    predictions: pd.DataFrame,
    *,
    positive: str,
    knots: int = 0,
    points: int = 200,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the observed share along the stated probability, with a pointwise band.

    Args:
        predictions: Predictions table of probabilities.
        positive: The class looked for.
        knots: Of the splines, 3 to 5, at Harrell's quantiles; 0: 5 where each class has 200 rows,
            4 where 100, else 3.
        points: Of the curve, evenly over the log odds that occur.
        confidence: Of the band.
        cluster: A column whose images err together: the band is the sandwich's (Liang and Zeger
            1986, Biometrika 73:13).

    Returns:
        `CURVE_COLUMNS`; one row with the reason where there is no curve.

    Raises:
        TableError: `kind` is score, or `positive` is no class.
        ValueError: `knots` is outside its range.
    """
    rows = probability_rows(predictions, positive=positive, purpose="calibration_curve")
    fit, reason = _fit(rows, positive, knots, cluster)
    counts = {"n": len(rows), "positives": int(rows["truth"].sum())}
    if fit is None:
        return pd.DataFrame([{**counts, "note": reason}], columns=list(CURVE_COLUMNS))
    place = np.linspace(fit.stated.min(), fit.stated.max(), points)
    design = fit.basis(place)
    odds = design @ fit.coefficients
    half = normal_quantile(confidence) * np.sqrt(
        np.einsum("ij,jk,ik->i", design, fit.covariance, design)
    )
    cells = {"probability": expit(place), "observed": expit(odds)}
    cells |= {"low": expit(odds - half), "high": expit(odds + half)}
    return pd.DataFrame({**cells, **counts, "note": reason}, columns=list(CURVE_COLUMNS))


def calibration_indices(
    predictions: pd.DataFrame,
    *,
    positive: str,
    knots: int = 0,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return ICI, E50 and E90: how far the flexible curve lies from the diagonal.

    All are above 0 of perfect probabilities too, the more so the fewer the rows. So the lower limit
    is 0 unless the value is beyond what chance alone makes of the curve; else it is the lower of
    the percentile and the reflected one, which holds where either fails (92 to 99 % of 95 in
    simulation); the upper limit is the percentile. Each resample moves the coefficients by one step
    of Newton's from the fit: Moulton and Zeger 1991, Computational Statistics and Data Analysis
    11:53.

    Args:
        predictions: Predictions table of probabilities.
        positive: The class looked for.
        knots: See `calibration_curve`.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, that is resampled whole.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `rows.ESTIMATE_COLUMNS`, a row for each of `INDICES`.
    """
    rows = probability_rows(predictions, positive=positive, purpose="calibration_indices")
    fit, note = _fit(rows, positive, knots, cluster)
    if fit is None:
        nothing = (math.nan, math.nan)
        return pd.concat([
            estimate(name, math.nan, rows, limits=nothing, method="", reason=note)
            for name in INDICES
        ], ignore_index=True)  # fmt: skip
    away = np.abs(expit(fit.basis(fit.stated) @ fit.coefficients) - expit(fit.stated))
    values = _indices(away[None], np.ones((1, len(rows))))[:, 0]
    moved, weights, place = _resamples(fit, row_clusters(rows, cluster), draws, seed)
    design = fit.basis(place)
    curve = expit(design @ fit.coefficients)
    drawn = expit((fit.coefficients + moved @ fit.inverse) @ design.T)
    resampled = _indices(np.abs(drawn - expit(place)), weights)
    chance = _indices(np.abs(drawn - curve), weights)
    entries = []
    for name, value, column, by_chance in zip(INDICES, values, resampled, chance, strict=True):
        se, *limits = _limits(float(value), column, by_chance, confidence)
        entries.append(
            estimate(
                name,
                float(value),
                rows,
                se=se,
                limits=(limits[0], limits[1]),
                method=f"bootstrap of {cluster or 'rows'}, one step",
                reason=absent_interval(rows, se, cluster),
                remark=note,
            )
        )
    return pd.concat(entries, ignore_index=True)


@dataclass(frozen=True)
class _Fit:
    """A curve that was fitted.

    Attributes:
        stated: n, log odds of the rows.
        knots: In deviations of the stated log odds from their mean.
        mean: Of the stated log odds.
        deviation: Theirs.
        coefficients: k.
        covariance: k x k, of the coefficients, by cluster where there are clusters.
        inverse: k x k, of the information.
        scores: n x k, what each row adds to the slope of the likelihood.
    """

    stated: np.ndarray
    knots: np.ndarray
    mean: float
    deviation: float
    coefficients: np.ndarray
    covariance: np.ndarray
    inverse: np.ndarray
    scores: np.ndarray

    def basis(self, stated: np.ndarray) -> np.ndarray:
        """Return the columns of the regression at log odds."""
        return spline_basis((stated - self.mean) / self.deviation, self.knots)


def spline_basis(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return 1, the values, and their restricted cubic splines: n x number of knots.

    Linear beyond the outer knots: Stone and Koo 1985, Proceedings of the Statistical Computing
    Section of the ASA, 45. Fewer than three knots are a line.
    """
    columns = [np.ones(len(values)), values]
    *inner, before, last = knots if len(knots) > 2 else (0.0, 1.0)
    for knot in inner:
        share = (last - knot) / (last - before)
        bent = _cube(values - knot) - share * _cube(values - before)
        columns.append((bent + (share - 1) * _cube(values - last)) / (last - inner[0]) ** 2)
    return np.stack(columns, axis=1)


def _cube(values: np.ndarray) -> np.ndarray:
    above = np.maximum(values, 0)
    return np.asarray(above * above * above)  # a power costs six times as much


def _fit(rows: pd.DataFrame, positive: str, knots: int, cluster: str) -> tuple[_Fit | None, str]:
    """Return the fitted curve and a remark, or None and the reason."""
    if knots and knots not in _QUANTILES:
        raise ValueError(f"knots is {knots}: use 3, 4 or 5, or 0 to choose by the rows")
    truth = rows["truth"].to_numpy(dtype=bool)
    stated = logit(rows["score"].to_numpy())
    reason = absent_class(rows, positive) or no_line(stated, truth)
    reason = reason or absent_clusters(rows, cluster)
    if reason:
        return None, reason
    fewest = min(int(truth.sum()), int((~truth).sum()))
    number = knots or (5 if fewest >= _WANTED else 4 if fewest >= _WANTED / 2 else 3)
    mean, deviation = (float(v) for v in mean_and_deviation(stated))
    scaled = (stated - mean) / deviation
    # Ties may leave fewer places: a knot that stands twice would part the columns from nothing.
    places = np.unique(np.quantile(scaled, _QUANTILES[number]))
    design, target = spline_basis(scaled, places), truth.astype(float)
    fit = fit_logistic(design, target, ridge=_RIDGE)
    chance = expit(design @ fit)
    information = (design.T * (chance * (1 - chance))) @ design + _RIDGE * np.eye(len(fit))
    clusters = row_clusters(rows, cluster)
    covariance = logistic_covariance(design, target, np.zeros(len(target)), fit, clusters)
    few = f"rough: a class has {fewest} rows, and a flexible curve wants {_WANTED}"
    return _Fit(
        stated, places, mean, deviation, fit, covariance, np.linalg.inv(information),
        design * (target - chance)[:, None],
    ), few if fewest < _WANTED else ""  # fmt: skip


def _resamples(
    fit: _Fit, clusters: np.ndarray | None, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the slopes of each resample, and how its rows lie over places of stated log odds.

    Returns:
        draws x k; draws x places; the mean log odds of each place, of equally many rows.
    """
    # Imported here, as it would double what this module costs to import.
    from scipy import sparse

    n = len(fit.stated)
    number = min(n, _PLACES)
    cell = np.empty(n, dtype=int)
    cell[np.argsort(fit.stated, kind="stable")] = np.arange(n) * number // n
    indicator = sparse.csr_array((np.ones(n), (cell, np.arange(n))), shape=(number, n))
    parts = sparse.vstack([indicator, sparse.csr_array(fit.scores.T)], format="csr")
    _, drawn = resampled_parts(parts, clusters, draws=draws, seed=seed)
    place = np.bincount(cell, weights=fit.stated) / np.bincount(cell)
    return drawn[:, number:], drawn[:, :number], place


def _limits(
    value: float, drawn: np.ndarray, chance: np.ndarray, confidence: float
) -> tuple[float, float, float]:
    """Return the standard error and the limits of an index (see `calibration_indices`)."""
    se, low, high = (float(v) for v in bootstrap.percentile_interval(drawn, confidence=confidence))
    most = float(bootstrap.percentile_interval(chance, confidence=confidence)[2])
    lower = max(min(low, 2 * value - high), 0.0) if value > most else 0.0
    return se, min(lower, value), max(high, value)


def _indices(distance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean, median and 90th percentile of each line: 3 x lines."""
    order = np.argsort(distance, axis=1)
    far, weight = (np.take_along_axis(v, order, axis=1) for v in (distance, weights))
    share = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    indices = [(far * weight).sum(axis=1) / weight.sum(axis=1)]
    for part in (0.5, 0.9):
        first = (share >= part - _ROUNDING).argmax(axis=1)
        indices.append(np.take_along_axis(far, first[:, None], axis=1)[:, 0])
    return np.stack(indices)
