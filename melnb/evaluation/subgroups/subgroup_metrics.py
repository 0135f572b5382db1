"""Subgroup metrics: discrimination, calls at a threshold, calibration in each level."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from melnb.evaluation import rows
from melnb.evaluation.rows import same_images
from melnb.evaluation.statistics import bootstrap
from melnb.evaluation.statistics.intervals import auc_delong, auc_limits, count_clusters
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.checks import TableError
from melnb.tables.within_patient import without_gaps

# Columns that part the images into levels.

UNKNOWN = "unknown"  # the level of what is missing

_AS_THEY_ARE = ("sex", "site", "source", "diagnosis")
_AGES = (30, 40, 50, 60, 70, 80)  # years: lower edges of all bands but the first
_SIZES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # megapixels: likewise


def subgroup_columns(
    images: pd.DataFrame | None,
    measures: pd.DataFrame | None = None,
    *,
    named: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the levels of each image: sex, age, site, source, diagnosis, picture size, skin tone.

    Args:
        images: The images table; `width` and `height` where picture sizes are known. None when
            nothing is known of the images: there are no levels then.
        measures: The measures table, for `skin_tone`; levels then run by their median `ita`.
        named: The columns wanted, in this order, of those that are there; None: all.

    Returns:
        `image_id` and a categorical per column, its levels in the order in which they are shown,
        `unknown` last. Columns of one level part nothing: they are left out, and named in
        `attrs["left_out"]`.
    """
    if images is None:
        return pd.DataFrame({"image_id": pd.Series([], dtype=object)})
    columns = {c: _texts(images[c]) for c in _AS_THEY_ARE if c in images}
    if "age" in images:
        columns["age"] = _bands(images["age"], _AGES, unit="")
    if {"width", "height"} <= set(images.columns):
        pixels = images["width"].astype(float) * images["height"].astype(float)
        columns["picture_size"] = _bands(pixels / 1e6, _SIZES, unit=" MP")
    if measures is not None:
        columns["skin_tone"] = _tones(images, measures)
    order = ("sex", "age", "site", "skin_tone", "diagnosis", "source", "picture_size")
    parting = [c for c in order if c in columns and len(columns[c].categories) > 1]
    table = pd.DataFrame({c: columns[c] for c in parting}, index=images.index)
    table = table if named is None else table[[c for c in named if c in table]]
    table.insert(0, "image_id", images["image_id"])
    table.attrs["left_out"] = [c for c in order if c in columns and c not in parting]
    return table.reset_index(drop=True)


def join_levels(
    rows: pd.DataFrame, groups: pd.DataFrame, *, columns: Sequence[str] = ()
) -> dict[str, pd.Categorical]:
    """Return the level of each row in each column, joined by `image_id`.

    Args:
        rows: With `image_id`.
        groups: `image_id` and columns of levels: `subgroup_columns`, or any of your own.
        columns: Those wanted; empty: all.

    Raises:
        TableError: `groups` has no such column, a doubled id, or none of the rows' images.
    """
    if "image_id" not in groups or groups["image_id"].duplicated().any():
        raise TableError(
            f"groups: columns {[str(c) for c in groups]} need an image_id that stands once a row: "
            "make them with subgroup_columns(images)"
        )
    wanted = list(columns) or [str(c) for c in groups.columns if c != "image_id"]
    absent = [c for c in wanted if c not in groups]
    if absent:
        raise TableError(f"groups: no column {absent} among {[str(c) for c in groups]}")
    if not wanted:
        return {}
    if same_images(rows, groups):
        place = np.arange(len(rows))
    else:
        place = pd.Index(groups["image_id"]).get_indexer(pd.Index(rows["image_id"]))
    if len(rows) and (place < 0).all():
        raise TableError(
            f"groups: holds none of the {len(rows)} images predicted "
            f"({rows['image_id'].iloc[0]} …): give the images table of the same data set"
        )
    return {c: _taken(groups[c], place) for c in wanted}


def _taken(column: pd.Series, place: np.ndarray) -> pd.Categorical:
    """Return a column's levels at places; what is missing or has no place is unknown."""
    cells = column.array if isinstance(column.dtype, pd.CategoricalDtype) else _texts(column)
    assert isinstance(cells, pd.Categorical)
    taken = cells.take(place, allow_fill=True)
    if taken.isna().any():
        names = [str(c) for c in taken.categories if c != UNKNOWN]
        taken = taken.rename_categories(str).set_categories([*names, UNKNOWN]).fillna(UNKNOWN)
    return cast(pd.Categorical, taken)


def _texts(column: pd.Series) -> pd.Categorical:
    names = sorted({str(v) for v in column.dropna().unique()} - {UNKNOWN})
    texts = column.astype(object).where(column.notna(), UNKNOWN).map(str)
    levels = [*names, UNKNOWN] if (texts == UNKNOWN).any() else names
    return cast(pd.Categorical, pd.Categorical(texts, categories=levels, ordered=True))


def _bands(values: pd.Series, edges: Sequence[float], *, unit: str) -> pd.Categorical:
    """Return the band of each number; bands that hold nothing are not levels."""
    whole = not unit  # years are whole: a band ends a year before the next begins
    names = [
        f"< {edges[0]:g}{unit}",
        *(f"{low:g}–{high - 1 if whole else high:g}{unit}" for low, high in pairwise(edges)),
        f"{edges[-1]:g}+{unit}",
    ]
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    codes = np.searchsorted(np.array(edges), numbers, side="right")
    codes[np.isnan(numbers)] = len(names)
    held = [k for k in range(len(names) + 1) if (codes == k).any()]
    every = [*names, UNKNOWN]
    return pd.Categorical(
        [every[k] for k in codes], categories=[every[k] for k in held], ordered=True
    )


def _tones(images: pd.DataFrame, measures: pd.DataFrame) -> pd.Categorical:
    lacking = {"image_id", "ita", "skin_tone"} - set(measures.columns)
    if lacking:
        raise TableError(f"measures: no column {sorted(lacking)}: make it with measure_images")
    angles = measures.groupby("skin_tone", observed=True)["ita"].median()
    by_tone = [str(tone) for tone in angles.sort_values(ascending=False).index]
    tones = measures.set_index("image_id")["skin_tone"].astype(object)
    cells = _texts(tones.reindex(images["image_id"]))
    unknown = [UNKNOWN] if UNKNOWN in cells.categories else []
    seen = [tone for tone in by_tone if tone in cells.categories]
    return cells.set_categories([*seen, *unknown], ordered=True)


ALL = "all"  # the column and the level of the pooled rows
METRICS = (
    "prevalence", "AUC", "average precision", "sensitivity", "specificity", "Brier score",
    "observed − expected",
)  # fmt: skip
CUT = ("sensitivity", "specificity")  # what needs a threshold
COLUMNS = (
    "column", "level", "metric", "value", "low", "high", "n", "patients", "positives", "method",
    "note",
)  # fmt: skip

Estimate = tuple[float, float, float]
NOTHING: Estimate = (math.nan, math.nan, math.nan)


class Arrays(NamedTuple):
    """Rows as arrays.

    Attributes:
        truth: n booleans.
        score: n numbers, 0-1.
        flagged: n booleans: at or above the threshold.
        clusters: n whole numbers from 0; None: every row stands alone.
    """

    truth: np.ndarray
    score: np.ndarray
    flagged: np.ndarray
    clusters: np.ndarray | None

    def take(self, where: np.ndarray) -> Arrays:
        """Return some of the rows, their clusters numbered anew."""
        codes = self.clusters
        clusters_of = None if codes is None else without_gaps(codes[where])
        return Arrays(self.truth[where], self.score[where], self.flagged[where], clusters_of)

    def count_clusters(self, where: np.ndarray | None = None) -> int:
        """Return how many clusters hold rows (those of a mask)."""
        truth = self.truth if where is None else self.truth[where]
        if self.clusters is None:
            return len(truth)
        return count_clusters(self.clusters if where is None else self.clusters[where])


def subgroup_metrics(
    predictions: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    positive: str,
    threshold: float,
    confidence: float = 0.95,
    cluster: str = "",
    smallest: int = 20,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what the model does in each level of each column, and in all rows together.

    Intervals: Wilson's over clusters for proportions (Rao and Scott 1992), DeLong's for the AUC
    (Obuchowski 1997), the bootstrap for average precision and means. The AUC of a level compares
    its rows with each other alone. Within one diagnosis there is no AUC: its rows
    are all positive or all negative, and `sensitivity` or `specificity` alone is left.

    Args:
        predictions: Predictions table; out-of-fold or test rows, not both.
        groups: `subgroup_levels.subgroup_columns`, or `image_id` and columns of your own.
        positive: The class looked for.
        threshold: A row is flagged at or above it. Choose it elsewhere, on all rows: each level
            gets the same. NaN: none could be chosen, and what needs one says so.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.
        smallest: Fewest positives, negatives and clusters (whichever a number needs) for which
            it is shown; 0: show all.
        draws: Number of resamples, for average precision and means; 0: no interval.
        seed: Of the resampling.

    Returns:
        `column`, `level`, `metric` (`METRICS`), `value`, `low`, `high`, `n`, `patients` (clusters,
        else rows), `positives`, `method`, `note`: the pooled rows first, then a row per column,
        level and metric. `observed − expected` is calibration in the large: prevalence less mean
        probability.

    Raises:
        TableError: See `join_levels`.
        ValueError: A parameter is out of range.
    """
    check_limits(smallest)
    binary = rows.binary_rows(predictions, positive=positive)
    arrays = row_arrays(binary, threshold=threshold, cluster=cluster)
    probable = bool((predictions["kind"] == "probability").all())
    measured = partial(
        _level_rows,
        positive=positive,
        probable=probable,
        cut=not math.isnan(threshold),
        confidence=confidence,
        cluster=cluster,
        smallest=smallest,
        draws=draws,
        seed=seed,
    )
    entries = measured(arrays, column=ALL, level=ALL)
    for column, levels in join_levels(binary, groups).items():
        for code, level in enumerate(levels.categories):
            where = levels.codes == code
            if where.any():
                entries += measured(arrays.take(where), column=column, level=str(level))
    return pd.DataFrame(entries, columns=list(COLUMNS))


def row_arrays(binary: pd.DataFrame, *, threshold: float, cluster: str) -> Arrays:
    """Return binary rows as arrays."""
    score = binary["score"].to_numpy()
    clusters = rows.row_clusters(binary, cluster)
    return Arrays(binary["truth"].to_numpy(), score, score >= threshold, clusters)


def check_limits(smallest: int) -> None:
    """Refuse a smallest number that makes no sense.

    Raises:
        ValueError: It does not.
    """
    if smallest < 0:
        raise ValueError(f"smallest is {smallest}: use a number of rows, or 0 to show all")


def too_few(arrays: Arrays, needs: str, *, positive: str, smallest: int, cluster: str) -> str:
    """Return why rows are too few to show a number of, or an empty text.

    Args:
        arrays: The rows.
        needs: What the number is of: `both` classes, `positive`, `negative`, or `any` rows.
        positive: The class looked for.
        smallest: Fewest of each that are shown.
        cluster: What clusters are, for the message.
    """
    truth = arrays.truth
    of_positive = (truth, f"{positive} row(s)", f"no row is {positive}")
    of_negative = (~truth, "other row(s)", f"every row is {positive}")
    of_any = (np.ones_like(truth), "row(s)", "no row has a truth")
    classes = {"positive": [of_positive], "negative": [of_negative], "any": [of_any]}
    classes["both"] = [of_positive, of_negative]
    for where, name, absent in classes[needs]:
        number, held = int(where.sum()), arrays.count_clusters(where)
        if not number:
            return f"not estimable: {absent}"
        if number < smallest:
            return f"suppressed: {number} {name}, fewer than {smallest}"
        if held < smallest:
            return f"suppressed: {number} {name} of {held} {cluster}, fewer than {smallest}"
    return ""


def _level_rows(
    arrays: Arrays,
    *,
    column: str,
    level: str,
    positive: str,
    probable: bool,
    cut: bool,
    confidence: float,
    cluster: str,
    smallest: int,
    draws: int,
    seed: int,
) -> list[tuple[object, ...]]:
    counts = (len(arrays.truth), arrays.count_clusters(), int(arrays.truth.sum()))
    entries: list[tuple[object, ...]] = []
    for metric, (needs, measure) in _measures(arrays, confidence, draws, seed).items():
        note = too_few(arrays, needs, positive=positive, smallest=smallest, cluster=cluster)
        if metric in CUT and not cut:
            note = rows.UNCUT
        if metric in METRICS[-2:] and not probable:
            note = "not estimable: scores are no probabilities; calibrate them first"
        if metric in ("AUC", METRICS[-1]) and column == "diagnosis" and counts[2] in (0, counts[0]):
            note = "not defined: rows of one diagnosis are all positive or all negative"
        estimate = NOTHING if note else measure()
        if not note and not estimate[1] < estimate[2]:
            note = _no_interval(arrays, needs, cluster)
            estimate = (estimate[0], math.nan, math.nan)
        entries.append((column, level, metric, *estimate, *counts, _method(metric, cluster), note))
    return entries


def _measures(
    arrays: Arrays, confidence: float, draws: int, seed: int
) -> dict[str, tuple[str, Callable[[], Estimate]]]:
    """Return of each metric the rows that it needs (see `too_few`), and how it is measured."""
    truth, flagged = arrays.truth, arrays.flagged
    share = partial(clustered_wilson, clusters=arrays.clusters, confidence=confidence)
    means = cache(partial(_means, arrays, confidence, draws, seed))
    return {
        "prevalence": ("any", partial(share, truth, np.ones_like(truth))),
        "AUC": ("both", partial(_auc, arrays, confidence)),
        "average precision": ("both", partial(_precision, arrays, confidence, draws, seed)),
        "sensitivity": ("positive", partial(share, flagged, truth)),
        "specificity": ("negative", partial(share, ~flagged, ~truth)),
        "Brier score": ("any", lambda: means()[0]),
        "observed − expected": ("any", lambda: means()[1]),
    }


def _auc(arrays: Arrays, confidence: float) -> Estimate:
    value, se = auc_delong(arrays.truth, arrays.score, arrays.clusters)
    return (value, *auc_limits(value, se, confidence=confidence))


def _precision(arrays: Arrays, confidence: float, draws: int, seed: int) -> Estimate:
    truth, score = arrays.truth, arrays.score
    counts = bootstrap.step_counts(truth, score)
    _, low, high = bootstrap.bootstrap_interval(
        truth,
        score,
        statistic=bootstrap.average_precisions,
        draws=draws,
        seed=seed,
        confidence=confidence,
        clusters=arrays.clusters,
    )
    return float(bootstrap.average_precisions(*counts)[0]), low, high


def _means(arrays: Arrays, confidence: float, draws: int, seed: int) -> list[Estimate]:
    """Return the Brier score and observed - expected, limits as `calibration_scores` has them."""
    truth, score = arrays.truth, arrays.score
    values = np.column_stack([(score - truth) ** 2, truth - score])
    drawn = bootstrap.resampled_means(values, clusters=arrays.clusters, draws=draws, seed=seed)
    _, low, high = bootstrap.percentile_interval(drawn, confidence=confidence)
    return list(zip(*(v.tolist() for v in (values.mean(axis=0), low, high)), strict=True))


def _no_interval(arrays: Arrays, needs: str, cluster: str) -> str:
    where = {"positive": arrays.truth, "negative": ~arrays.truth}.get(needs)
    if arrays.count_clusters(where) < 2:
        return f"interval not estimable: one {cluster or 'row'} alone"
    return "interval not estimable: a class has one row, or the rows show no spread"


def _method(metric: str, cluster: str) -> str:
    names = {"AUC": rows.DELONG}
    resampled = ("average precision", "Brier score", "observed − expected")
    names |= dict.fromkeys(resampled, "bootstrap")
    return names.get(metric, "Wilson") + (f" by {cluster}" if cluster else "")
