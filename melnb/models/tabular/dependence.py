"""Dependence: how the prediction changes along a column, all else being as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from melnb.models.tabular.crossfits import CrossFit
from melnb.models.tabular.importance import fold_interval
from melnb.models.tabular.learners import predict_rows
from melnb.models.tabular.rows import Rows
from melnb.tables import TEST


def partial_dependence(
    fits: Mapping[str, CrossFit],
    rows: Rows,
    *,
    positive: str,
    features: Sequence[str] = (),
    points: int = 20,
    n_rows: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the mean probability when every held-out row is given the same value of a column.

    Friedman 2001, Annals of Statistics 29:1189. Where columns go together, some of the rows that
    are asked about cannot exist; `share` says where there are images at all. Probabilities of
    learners with balanced weights or rows are not calibrated: read the form, not the height.

    Args:
        fits: Name to a result of `crossfits.cross_fit`.
        rows: The rows that they were fitted on.
        positive: The class looked for.
        features: Columns; empty: all.
        points: The most values of a number that are tried: those that it has, or else quantiles
            from its 1st to its 99th percentile.
        n_rows: The most held-out rows of each fold that are averaged over.
        confidence: Of the intervals, see `importance.fold_interval`.
        seed: Of the choice of these rows.

    Returns:
        `feature`; `x`, a number or a word, NaN for missing; `model`; `value`, the mean over folds,
        with `low` and `high`; `share` of the rows outside test whose value is x or is nearest
        to x. The shares of a feature sum to one.

    Raises:
        ValueError: A class or a column is unknown, or a number has no meaning.
    """
    code = rows.code(positive)
    names = list(features) or [str(name) for name in rows.features]
    if lost := sorted(set(names) - set(rows.features)):
        raise ValueError(f"features names {lost[0]!r}, none of {list(rows.features)}")
    if points < 2 or n_rows < 1:
        raise ValueError(f"points is {points}, n_rows is {n_rows}: use 2 or more, and 1 or more")
    sizes = [(len(rows.outside(fold)), len(rows.inside(fold))) for fold in rows.folds]
    samples = {fold: _sample(rows, fold, n_rows, seed) for fold in rows.folds}
    inside = rows.features[rows.fold != TEST]
    made: list[dict[str, Any]] = []
    for name in names:
        values, shares = _grid(inside[name], points)
        for model, fit in fits.items():
            means = [_means(fit.models[k], samples[k], name, values, code) for k in rows.folds]
            for place, (x, share) in enumerate(zip(values, shares, strict=True)):
                along = [curve[place] for curve in means]
                value, *ends, _ = fold_interval(along, sizes, confidence)
                low, high = np.clip(ends, 0, 1)
                row = {"feature": name, "x": x, "model": model, "value": value, "low": low}
                made.append(row | {"high": high, "share": share})
    return pd.DataFrame(made).astype({"x": object})


def _sample(rows: Rows, fold: int, most: int, seed: int) -> pd.DataFrame:
    own = rows.inside(fold)
    if len(own) > most:
        own = np.sort(np.random.default_rng((seed, fold)).choice(own, most, replace=False))
    return rows.features.iloc[own]


def _grid(column: pd.Series, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column to try, missing last, and the share of rows at each."""
    known = column.dropna().to_numpy()
    values = np.unique(known)
    if column.dtype == np.float64 and len(values) > points:
        wanted = np.quantile(known, np.linspace(0.01, 0.99, points))
        values = np.unique(wanted)
    if column.dtype == np.float64:
        # Halfway between two points rows go to the upper one.
        nearest = np.searchsorted((values[1:] + values[:-1]) / 2, known, side="right")
    else:
        nearest = np.searchsorted(values, known)
    counts = np.bincount(nearest.astype(int), minlength=len(values))
    if len(known) < len(column):
        values = np.append(values, np.nan)
        counts = np.append(counts, len(column) - len(known))
    return values, counts / len(column)


def _means(
    models: Sequence[Any], sample: pd.DataFrame, name: str, values: np.ndarray, code: int
) -> np.ndarray:
    """Return the mean probability of a class at each value."""
    stacked = sample.iloc[np.tile(np.arange(len(sample)), len(values))].reset_index(drop=True)
    stacked[name] = np.repeat(values, len(sample))
    found = predict_rows(models, stacked)[:, code]
    return np.asarray(found.reshape(len(values), len(sample)).mean(axis=1))
