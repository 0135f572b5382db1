"""Means of the scores of masks: by fold, over all, and of one segmenter less another's."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.evaluation import bootstrap
from melnb.evaluation.challenges.masks import MEASURES
from melnb.evaluation.intervals import NO_ERROR
from melnb.evaluation.means import grouped_means
from melnb.evaluation.metrics import parts_by_fold
from melnb.evaluation.rows import row_clusters
from melnb.tables import TableError

SUMMARY_COLUMNS = (
    "rows", "metric", "value", "se", "low", "high", "n", "left_out", "method", "note",
)  # fmt: skip
COMPARISON_COLUMNS = (
    "first", "second", "metric", "value_first", "value_second", "difference",
    "se", "low", "high", "n", "method", "note",
)  # fmt: skip
_MEANT = (*MEASURES, "failed", "hd95", "hd95_share")
_ALIKE = "interval not estimable: all images score alike"


def segmentation_summary(
    scores: pd.DataFrame,
    *,
    cluster: str = "",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the mean of every measure, of each fold and over all out-of-fold images.

    The official challenges rank by the mean over images; `failed` is the share of images whose
    Jaccard index is too low to count. Intervals are percentiles of a bootstrap.

    Args:
        scores: `scores.segmentation_scores`; without a column `fold` all images are one part.
        cluster: A column, such as `patient_id`, that is resampled whole.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `SUMMARY_COLUMNS`, a row per part (`fold 0` …, `out of fold`, `test`, or `all images`) and
        measure, named with spaces.

    Raises:
        TableError: There is no column `cluster`.
    """
    parts = parts_by_fold(scores) if "fold" in scores else {"all images": scores}
    shared = {"cluster": cluster, "confidence": confidence, "draws": draws, "seed": seed}
    columns = [name for name in _MEANT if name in scores]
    made = [
        grouped_means(part, columns, **shared).assign(rows=name)  # type: ignore[arg-type]
        for name, part in parts.items()
    ]
    if not made:
        return pd.DataFrame(columns=list(SUMMARY_COLUMNS))
    table = pd.concat(made, ignore_index=True)
    table["metric"] = table["metric"].str.replace("_", " ")
    table = table.assign(method=f"bootstrap of {cluster or 'images'}")
    return _without_flat(table)[list(SUMMARY_COLUMNS)]


def segmenter_comparison(
    tables: Mapping[str, pd.DataFrame],
    *,
    cluster: str = "",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the means of the first segmenter less those of each other, on the same images.

    The difference is paired: each image's scores are subtracted, and the differences resampled.

    Args:
        tables: Name of each segmenter and its `scores.segmentation_scores`, two or more; the first
            is compared with the others on the images that both have.
        cluster: A column of the first, such as `patient_id`, that is resampled whole.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `COMPARISON_COLUMNS`, a row per other segmenter and measure. Of `failed` and the distances
        less is better.

    Raises:
        TableError: Two tables share no image, their truths differ in size, or there is no column
            `cluster`.
        ValueError: There are fewer than two tables.
    """
    if len(tables) < 2:
        raise ValueError(f"tables holds {len(tables)} segmenter(s): give two or more by name")
    (name, first), *others = tables.items()
    made = []
    for other, second in others:
        columns = [c for c in _MEANT if c in first and c in second]
        one, two = _paired(name, first, other, second)
        pairs = [t[columns].to_numpy(dtype=float) for t in (one, two)]
        row = _difference(pairs[0] - pairs[1], one, cluster, confidence, draws, seed)
        means = {"value_first": pairs[0].mean(axis=0), "value_second": pairs[1].mean(axis=0)}
        table = pd.DataFrame(row | means)
        labels = [column.replace("_", " ") for column in columns]
        made.append(table.assign(first=name, second=other, metric=labels, n=len(one)))
    method = f"bootstrap of {cluster or 'images'}"
    return _without_flat(pd.concat(made, ignore_index=True).assign(method=method))[
        list(COMPARISON_COLUMNS)
    ]


def _paired(
    name: str, first: pd.DataFrame, other: str, second: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the images that both tables have, in the first one's order."""
    one = first[first["image_id"].isin(second["image_id"])].reset_index(drop=True)
    if one.empty:
        raise TableError(f"scores: {name} and {other} have no image in common")
    two = second.set_index("image_id").loc[one["image_id"]].reset_index()
    pixels = [t["tp"] + t["fn"] for t in (one, two)]
    wrong = pixels[0] != pixels[1]
    if wrong.any():
        raise TableError(
            f"scores: the true mask of {one.loc[wrong, 'image_id'].iloc[0]} has "
            f"{pixels[0][wrong].iloc[0]} pixels in {name} and {pixels[1][wrong].iloc[0]} in {other}"
            f" ({int(wrong.sum())} such images): score both at one size, on the same truths"
        )
    return one, two


def _difference(
    values: np.ndarray,
    rows: pd.DataFrame,
    cluster: str,
    confidence: float,
    draws: int,
    seed: int,
) -> dict[str, object]:
    clusters = row_clusters(rows, cluster)
    number = len(values) if clusters is None else int(clusters.max(initial=-1)) + 1
    found: dict[str, object] = {"difference": values.mean(axis=0), "note": ""}
    if number < 2:
        note = f"interval not estimable: of one {cluster or 'row'} alone"
        return found | dict.fromkeys(("se", "low", "high"), math.nan) | {"note": note}
    made = bootstrap.resampled_means(values, clusters=clusters, draws=draws, seed=seed)
    limits = bootstrap.percentile_interval(made, confidence=confidence)
    return found | dict(zip(("se", "low", "high"), limits, strict=True))


def _without_flat(table: pd.DataFrame) -> pd.DataFrame:
    """Blank the intervals of what does not vary: resampling tells nothing of it."""
    flat = table["se"] <= NO_ERROR
    table.loc[flat, ["se", "low", "high"]] = math.nan
    table.loc[flat, "note"] = _ALIKE
    return table
