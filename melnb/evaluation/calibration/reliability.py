"""Stated against observed: of the lesions called 10 %, is one in ten a melanoma?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.probabilities import probability_rows
from melnb.evaluation.proportions import clustered_wilson
from melnb.evaluation.rows import row_clusters
from melnb.patients.groups import without_gaps

Spacing = Literal["width", "mass"]
COLUMNS = (
    "bin", "left", "right", "n", "positives", "mean_probability", "observed", "low", "high", "note",
)  # fmt: skip


def reliability_table(
    predictions: pd.DataFrame,
    *,
    positive: str,
    bins: int = 10,
    spacing: Spacing = "width",
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the mean probability and the observed share of each bin.

    The interval is Wilson's of the observed share. Clusters divide the rows by their design effect
    (Rao and Scott 1992); a bootstrap would give bins without a positive row, which are usual where
    melanoma is rare, an interval of no length.

    Args:
        predictions: Predictions table of probabilities. For the call itself of many classes, pass
            `probabilities.top_label(predictions)` and `positive="right"`.
        positive: The class looked for.
        bins: How many.
        spacing: `width` or `mass`: see `bin_codes`.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `bin`, `left`, `right` (limits of the bin, or of the scores in it), `n`, `positives`,
        `mean_probability`, `observed`, `low`, `high`, `note`. Of equal mass, bins that ties
        leave empty are absent.

    Raises:
        TableError: `kind` is score, or `positive` is no class.
        ValueError: `bins`, `spacing` or `confidence` is outside its range.
    """
    rows = probability_rows(predictions, positive=positive, purpose="reliability_table")
    score, truth = rows["score"].to_numpy(), rows["truth"].to_numpy()
    codes = bin_codes(score, bins=bins, spacing=spacing)
    clusters = row_clusters(rows, cluster)
    if not len(rows):
        nothing = dict.fromkeys(COLUMNS, math.nan)
        empty = {"bin": 0, "n": 0, "positives": 0, "note": "not estimable: no row has a truth"}
        return pd.DataFrame([nothing | empty], columns=list(COLUMNS))
    edges = np.linspace(0, 1, bins + 1)
    made = []
    for k, own in _members(codes, bins if spacing == "width" else 0):
        group = None if clusters is None else clusters[own]
        everything = np.ones(len(own), dtype=bool)
        share, low, high = clustered_wilson(truth[own], everything, group, confidence=confidence)
        note = "" if len(own) else "not estimable: no score falls here"
        if len(own) and math.isnan(low):
            note = f"interval not estimable: all rows are of one {cluster}"
        limits = (edges[k], edges[k + 1])
        if spacing == "mass":
            limits = (score[own].min(), score[own].max())
        mean = float(score[own].mean()) if len(own) else math.nan
        made.append((k, *limits, len(own), int(truth[own].sum()), mean, share, low, high, note))
    return pd.DataFrame(made, columns=list(COLUMNS))


def bin_codes(score: np.ndarray, *, bins: int, spacing: Spacing) -> np.ndarray:
    """Return the bin of each score, from 0.

    Args:
        score: n numbers, 0-1.
        bins: How many, 1 or more.
        spacing: `width`: (0, 0.1], (0.1, 0.2] … for ten, the first with its 0; `mass`: as many
            rows in each, as far as ties allow: a score goes where the middle of its rows falls,
            and a bin that ties leave empty is dropped.

    Raises:
        ValueError: `bins` or `spacing` is unknown.
    """
    if isinstance(bins, bool) or int(bins) != bins or bins < 1:
        raise ValueError(f"bins is {bins}: use a whole number of 1 or more")
    if spacing == "width":
        return np.searchsorted(np.linspace(0, 1, int(bins) + 1)[1:-1], score)
    if spacing != "mass":
        raise ValueError(f"spacing is {spacing!r}: use width or mass")
    _, group, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    place = (middle * bins / max(1, len(score))).astype(int)
    return np.asarray(without_gaps(place)[group])


def _members(codes: np.ndarray, bins: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each bin and its rows; at least so many bins."""
    number = max(bins, int(codes.max()) + 1)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=number))
    for k in range(number):
        yield k, order[ends[k - 1] if k else 0 : ends[k]]
