"""The locked threshold, elsewhere: what does it still find, and at what price?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.chosen import locked_point
from melnb.evaluation.intervals import difference_interval
from melnb.evaluation.proportions import clustered_wilson
from melnb.evaluation.rows import row_clusters
from melnb.evaluation.summaries import cluster_column

COMPARED = ("sensitivity", "specificity")
_STATED = ("ppv", "npv", "flagged")
_ENDS = ("", "_low", "_high")
_COLUMNS = [
    "source", "threshold",
    *(f"{m}{end}" for m in COMPARED for end in (*_ENDS, *(f"_difference{e}" for e in _ENDS))),
    *(f"{m}{end}" for m in _STATED for end in _ENDS),
    "tp", "fp", "tn", "fn", "n", "positives", "prevalence", "method", "note",
]  # fmt: skip


def external_points(
    tables: Mapping[str, pd.DataFrame],
    *,
    locked: Mapping[str, Any],
    prevalence: float = 0,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what one threshold, locked on internal out-of-fold rows, does in each source.

    Differences from the internal source are of independent proportions: Newcombe's interval of
    Wilson's limits, patients counted as such (`intervals.difference_interval`).

    Args:
        tables: `sources.source_tables`; the first is the internal one.
        locked: `chosen.lock_threshold` or `chosen.read_threshold`.
        prevalence: At which `ppv`, `npv` and `flagged` are stated; 0: each source's own.
        confidence: Of the intervals.
        draws: Resamples behind measures without a closed form.
        seed: Of the resamples.

    Returns:
        A row per source: `threshold`; `sensitivity` and `specificity` with `…_low`, `…_high` and
        `…_difference` (with limits); `ppv`, `npv`, `flagged` with limits; counts, `prevalence`,
        `method`, `note`.
    """
    made: list[dict[str, object]] = []
    first: Mapping[str, Any] = {}
    for name, table in tables.items():
        point = locked_point(
            table, locked=locked, prevalence=prevalence, confidence=confidence,
            cluster=cluster_column(table), draws=draws, seed=seed,
        )  # fmt: skip
        row: dict[str, Any] = {str(k): v for k, v in point.iloc[0].to_dict().items()}
        for measure in COMPARED if first else ():
            limits = difference_interval(_limits(row, measure), _limits(first, measure))
            ends = zip(_ENDS, limits, strict=True)
            row |= {f"{measure}_difference{end}": value for end, value in ends}
        first = first or row
        made.append(row | {"source": name})
    return pd.DataFrame(made, columns=_COLUMNS)


def by_source(points: pd.DataFrame) -> dict[str, list[float]]:
    """Return what `run.json` keeps of `external_points`: each external source in turn."""
    names = [f"{measure}{end}" for measure in COMPARED for end in _ENDS]
    return {f"external_{name}": points[name].tolist()[1:] for name in names}


def flagged_shares(
    tables: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    threshold: float,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return what can be said of images without a truth: how many the locked threshold flags.

    Args:
        tables: Predictions by source (`sources.strangers`); rows with a truth are left out.
        positive: The class looked for.
        threshold: The locked one.
        confidence: Of the intervals, Wilson's, by patient where known.

    Returns:
        A row per source that has such images: `source`, `images`, `flagged` (how many), `share`,
        `low`, `high`, `median` (of the probability), `note`.
    """
    rows = []
    for name, table in tables.items():
        own = table[table["truth"].isna()]
        if own.empty:
            continue
        value = own[f"p_{positive}"].to_numpy(dtype=float)
        flagged, cluster = value >= threshold, cluster_column(own)
        share, low, high = clustered_wilson(
            flagged, flagged | True, row_clusters(own, cluster), confidence=confidence
        )
        row = {"source": name, "images": len(own), "flagged": int(flagged.sum())}
        row |= {"share": share, "low": low, "high": high, "median": float(np.median(value))}
        rows.append(row | {"note": "no truth is known: predicted, not judged"})
    columns = ["source", "images", "flagged", "share", "low", "high", "median", "note"]
    return pd.DataFrame(rows, columns=columns)


def _limits(row: Mapping[str, Any], measure: str) -> tuple[float, float, float]:
    value, low, high = (float(row[f"{measure}{end}"]) for end in _ENDS)
    return value, low, high
