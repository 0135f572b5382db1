"""The locked threshold, elsewhere: what does it still find, and at what price?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.locked_threshold import locked_point
from melnb.evaluation.discrimination.within_folds import image_ids
from melnb.evaluation.rows import row_clusters
from melnb.evaluation.statistics.intervals import difference_interval
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.evaluation.subgroups.subgroup_metrics import COLUMNS, subgroup_metrics
from melnb.evaluation.summaries import cluster_column

# Does it fail in the same people elsewhere? Subgroups inside each source.

SHOWN = ("sex", "age", "site")
_RANKED = ("prevalence", "AUC", "average precision")  # the rest is of calls and probabilities


def source_subgroups(
    tables: Mapping[str, pd.DataFrame],
    groups: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    threshold: float,
    cut: Mapping[str, pd.DataFrame] | None = None,
    columns: Sequence[str] = SHOWN,
    confidence: float = 0.95,
    smallest: int = 20,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return `subgroup_metrics.subgroup_metrics` of each source, its rows among themselves.

    A level that is rarer elsewhere, or that a source does not know, explains part of a loss only
    if the loss is less inside the levels than in all rows.

    Args:
        tables: `other_sources.source_tables`.
        groups: `subgroup_levels.subgroup_columns` of the sources whose images are known, by label.
        positive: The class looked for.
        threshold: A row of `cut` is flagged at or above it.
        cut: The tables that the locked threshold judges (`at_threshold.external_points`), of the
            same
            images: sensitivity, specificity and what is said of probabilities are of them, so that
            a page has one number for all images. None: `tables`.
        columns: Wanted, where they are known.
        confidence: Of the intervals.
        smallest: Fewest positives, others and patients of a shown level.
        draws: Resamples for average precision and means.
        seed: Of the resamples.

    Returns:
        `source` and the columns of `subgroup_metrics`; a source of unknown images has its pooled
        rows alone.
    """
    made = []
    how: dict[str, Any] = {"positive": positive, "threshold": threshold, "confidence": confidence}
    how |= {"smallest": smallest, "draws": draws, "seed": seed}
    for name, table in tables.items():
        known = groups.get(name, table[["image_id"]])
        kept = known[["image_id", *(c for c in columns if c in known)]]
        ranked = subgroup_metrics(table, kept, cluster=cluster_column(table), **how)
        called = _called((cut or tables)[name], kept, **how)
        of_ranks = ranked["metric"].isin(_RANKED)
        # Counts are of images, however many networks judged each of them.
        counts = ranked[["n", "patients", "positives"]]
        both = [ranked[of_ranks], called.assign(**counts)[~of_ranks]]
        made.append(pd.concat(both).sort_index().assign(source=name))
    names = ["source", *COLUMNS]
    return pd.concat(made, ignore_index=True)[names] if made else pd.DataFrame(columns=names)


def _called(table: pd.DataFrame, known: pd.DataFrame, **how: Any) -> pd.DataFrame:
    """Return `subgroup_metrics` of rows that may be several networks' of one image."""
    own = table[["image_id"]].assign(image=image_ids(table))
    groups = own.merge(known.rename(columns={"image_id": "image"}), on="image").drop(
        columns="image"
    )
    return subgroup_metrics(table, groups, cluster=cluster_column(table), **how)


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
        tables: `other_sources.source_tables`; the first is the internal one.
        locked: `locked_threshold.lock_threshold` or `locked_threshold.read_threshold`.
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


def points_by_source(points: pd.DataFrame) -> dict[str, list[float]]:
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
        tables: Predictions by source (`other_sources.strangers`); rows with a truth are left out.
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
