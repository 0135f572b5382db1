"""Permutation importance and partial dependence on held-out images."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from melnb.models.tabular.cross_fitting import CrossFit
from melnb.models.tabular.learners import predict_rows
from melnb.models.tabular.table_rows import Rows
from melnb.tables.checks import TEST

# Dependence: how the prediction changes along a column, all else being as it is.


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
        fits: Name to a result of `cross_fitting.cross_fit`.
        rows: The rows that they were fitted on.
        positive: The class looked for.
        features: Columns; empty: all.
        points: The most values of a number that are tried: those that it has, or else quantiles
            from its 1st to its 99th percentile.
        n_rows: The most held-out rows of each fold that are averaged over.
        confidence: Of the intervals, see `feature_importance.fold_interval`.
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
    entries: list[dict[str, Any]] = []
    for name in names:
        values, shares = _grid(inside[name], points)
        for model, fit in fits.items():
            means = [_means(fit.models[k], samples[k], name, values, code) for k in rows.folds]
            for place, (x, share) in enumerate(zip(values, shares, strict=True)):
                along = [curve[place] for curve in means]
                value, *ends, _ = fold_interval(along, sizes, confidence)
                low, high = np.clip(ends, 0, 1)
                row = {"feature": name, "x": x, "model": model, "value": value, "low": low}
                entries.append(row | {"high": high, "share": share})
    return pd.DataFrame(entries).astype({"x": object})


def _sample(rows: Rows, fold: int, most: int, seed: int) -> pd.DataFrame:
    sample = rows.inside(fold)
    if len(sample) > most:
        sample = np.sort(np.random.default_rng((seed, fold)).choice(sample, most, replace=False))
    return rows.features.iloc[sample]


def _grid(column: pd.Series, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column to try, missing last, and the share of rows at each."""
    numbers = column.dropna().to_numpy()
    values = np.unique(numbers)
    if column.dtype == np.float64 and len(values) > points:
        wanted = np.quantile(numbers, np.linspace(0.01, 0.99, points))
        values = np.unique(wanted)
    if column.dtype == np.float64:
        # Halfway between two points rows go to the upper one.
        nearest = np.searchsorted((values[1:] + values[:-1]) / 2, numbers, side="right")
    else:
        nearest = np.searchsorted(values, numbers)
    counts = np.bincount(nearest.astype(int), minlength=len(values))
    if len(numbers) < len(column):
        values = np.append(values, np.nan)
        counts = np.append(counts, len(column) - len(numbers))
    return values, counts / len(column)


def _means(
    models: Sequence[Any], sample: pd.DataFrame, name: str, values: np.ndarray, code: int
) -> np.ndarray:
    """Return the mean probability of a class at each value."""
    stacked = sample.iloc[np.tile(np.arange(len(sample)), len(values))].reset_index(drop=True)
    stacked[name] = np.repeat(values, len(sample))
    probabilities = predict_rows(models, stacked)[:, code]
    return np.asarray(probabilities.reshape(len(values), len(sample)).mean(axis=1))


def permutation_importance(
    fit: CrossFit,
    rows: Rows,
    *,
    positive: str,
    n_repeats: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how much AUC is lost when a column is shuffled among a fold's held-out rows.

    Breiman 2001, Machine Learning 45:5. A whole column of the table is shuffled, whatever cells it
    became. Of two columns that say the same, each may seem worth little.

    Args:
        fit: Of `cross_fitting.cross_fit`.
        rows: The rows that it was fitted on.
        positive: The class looked for.
        n_repeats: Shuffles in each fold.
        confidence: Of the intervals, see `fold_interval`.
        seed: Of the shuffles.

    Returns:
        `feature`; `value`, the mean over folds of the AUC lost, with `low` and `high`; `n`, the
        rows behind it; `note`. The column that is worth most comes first.

    Raises:
        ValueError: The class is unknown, or there is no repeat.
    """
    code = rows.code(positive)
    if n_repeats < 1:
        raise ValueError(f"n_repeats is {n_repeats}; shuffle once or more often")
    lost: dict[str, list[float]] = {str(name): [] for name in rows.features}
    used, skipped = [], []
    for fold, models in fit.models.items():
        held_out = rows.inside(fold)
        truth = rows.codes[held_out] == code
        if truth.all() or not truth.any():
            skipped.append(fold)
            continue
        used.append(fold)
        whole = rows.features.iloc[held_out]
        before = _areas(truth, predict_rows(models, whole)[:, code], 1)[0]
        for name, drops in lost.items():
            orders = _orders(len(held_out), n_repeats, (seed, fold, zlib.crc32(name.encode())))
            shuffled = whole.iloc[np.tile(np.arange(len(held_out)), n_repeats)].reset_index(
                drop=True
            )
            shuffled[name] = whole[name].to_numpy()[orders]
            after = _areas(truth, predict_rows(models, shuffled)[:, code], n_repeats)
            drops.append(before - float(np.mean(after)))
    sizes = [(len(rows.outside(fold)), len(rows.inside(fold))) for fold in used]
    note = f"without fold(s) {skipped}, where an AUC has no meaning" if skipped else ""
    entries = []
    for name, drops in lost.items():
        value, low, high, why = fold_interval(drops, sizes, confidence)
        n = sum(size for _, size in sizes)
        entries.append((name, value, low, high, n, "; ".join(w for w in (why, note) if w)))
    table = pd.DataFrame(entries, columns=["feature", "value", "low", "high", "n", "note"])
    return table.sort_values(["value", "feature"], ascending=[False, True], ignore_index=True)


def fold_interval(
    values: Sequence[float], sizes: Sequence[tuple[int, int]], confidence: float
) -> tuple[float, float, float, str]:
    """Return the mean over folds and its limits.

    Folds share most of their training rows, so that their spread alone is too small; it is widened
    by the ratio of rows asked about to rows learnt from: Nadeau and Bengio 2003, Machine Learning
    52:239 (the corrected resampled t). An approximation: no estimate of this variance is unbiased
    (Bengio and Grandvalet 2004, Journal of Machine Learning Research 5:1089).

    Args:
        values: One for each fold.
        sizes: Rows learnt from and rows asked about, of each fold.
        confidence: Of the interval.

    Returns:
        Mean, lower limit, upper limit, and why there is none of them, if so.

    Raises:
        ValueError: The confidence is not between 0 and 1.
    """
    from scipy.stats import t

    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1: 0.95 is usual")
    number = len(values)
    if number < 2:
        mean = float(values[0]) if number else math.nan
        return mean, math.nan, math.nan, f"not estimable: {number} fold(s)"
    learnt, asked = np.mean(sizes, axis=0)
    error = float(np.std(values, ddof=1)) * math.sqrt(1 / number + asked / learnt)
    half = float(t.ppf((1 + confidence) / 2, number - 1)) * error
    mean = float(np.mean(values))
    return mean, mean - half, mean + half, ""


def _orders(number: int, repeats: int, seeds: tuple[int, ...]) -> np.ndarray:
    """Return shuffles of a column, one after another; they hang on its name, not on its place."""
    random = np.random.default_rng(seeds)
    return np.concatenate([random.permutation(number) for _ in range(repeats)])


def _areas(truth: np.ndarray, scores: np.ndarray, repeats: int) -> list[float]:
    from sklearn.metrics import roc_auc_score

    return [float(roc_auc_score(truth, part)) for part in np.split(scores, repeats)]
