"""Means of any scores of images, by group, with intervals that know who belongs together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from melnb.evaluation import bootstrap
from melnb.evaluation.rows import row_clusters


def grouped_means(
    scores: pd.DataFrame,
    columns: Sequence[str],
    *,
    by: Sequence[str] = (),
    cluster: str = "",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the mean of columns in each group, with percentile intervals of a bootstrap.

    Args:
        scores: A row per image, or several that name their image or patient in `cluster`.
        columns: Of numbers; NaN is left out, and counted.
        by: Columns whose values make the groups, in order of appearance; none: one group.
        cluster: A column, such as `patient_id`, that is resampled whole; a row whose cluster is
            unknown stands alone. Empty: rows are.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        A row per group and column: `by`, `metric`, `value`, `se`, `low`, `high`, `n`, `left_out`,
        `note`.

    Raises:
        TableError: There is no column `cluster`.
    """
    groups = scores.groupby(list(by), sort=False) if by else [((), scores)]
    rows = []
    for key, group in groups:
        labels = dict(zip(by, key, strict=True))
        for column in columns:
            values = pd.to_numeric(group[column]).to_numpy(dtype=float)
            known = group[np.isfinite(values)]
            found = _mean(known, column, cluster, confidence, draws, seed)
            left_out = len(group) - len(known)
            rows.append({**labels, "metric": column, **found, "left_out": left_out})
    order = [*by, "metric", "value", "se", "low", "high", "n", "left_out", "note"]
    return pd.DataFrame(rows, columns=order)


def _mean(
    known: pd.DataFrame, column: str, cluster: str, confidence: float, draws: int, seed: int
) -> dict[str, object]:
    values = pd.to_numeric(known[column]).to_numpy(dtype=float)
    clusters = row_clusters(known, cluster)
    number = len(values) if clusters is None else int(clusters.max(initial=-1)) + 1
    mean = float(values.mean()) if len(values) else math.nan
    found = {"value": mean, "se": math.nan, "low": math.nan, "high": math.nan, "n": len(values)}
    if number < 2:
        why = f"of one {cluster or 'row'} alone" if number else "there is no such row"
        return {**found, "note": f"interval not estimable: {why}"}
    made = bootstrap.resampled_means(values[:, None], clusters=clusters, draws=draws, seed=seed)
    interval = bootstrap.percentile_interval(made[:, 0], confidence=confidence)
    return {
        **found,
        **dict(zip(("se", "low", "high"), map(float, interval), strict=True)),
        "note": "",
    }
