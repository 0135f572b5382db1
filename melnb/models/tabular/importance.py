"""Importance: what a column is worth on images that were held out."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from melnb.models.tabular.crossfits import CrossFit
from melnb.models.tabular.learners import predict_rows
from melnb.models.tabular.rows import Rows


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
        fit: Of `crossfits.cross_fit`.
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
        own = rows.inside(fold)
        truth = rows.codes[own] == code
        if truth.all() or not truth.any():
            skipped.append(fold)
            continue
        used.append(fold)
        whole = rows.features.iloc[own]
        before = _areas(truth, predict_rows(models, whole)[:, code], 1)[0]
        for name, drops in lost.items():
            orders = _orders(len(own), n_repeats, (seed, fold, zlib.crc32(name.encode())))
            shuffled = whole.iloc[np.tile(np.arange(len(own)), n_repeats)].reset_index(drop=True)
            shuffled[name] = whole[name].to_numpy()[orders]
            after = _areas(truth, predict_rows(models, shuffled)[:, code], n_repeats)
            drops.append(before - float(np.mean(after)))
    sizes = [(len(rows.outside(fold)), len(rows.inside(fold))) for fold in used]
    note = f"without fold(s) {skipped}, where an AUC has no meaning" if skipped else ""
    made = []
    for name, drops in lost.items():
        value, low, high, why = fold_interval(drops, sizes, confidence)
        n = sum(size for _, size in sizes)
        made.append((name, value, low, high, n, "; ".join(w for w in (why, note) if w)))
    table = pd.DataFrame(made, columns=["feature", "value", "low", "high", "n", "note"])
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
