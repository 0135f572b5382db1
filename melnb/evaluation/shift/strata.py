"""Does it fail in the same people elsewhere? Subgroups inside each source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from melnb.evaluation.networks import image_ids
from melnb.evaluation.subgroups.estimates import COLUMNS, subgroup_metrics
from melnb.evaluation.summaries import cluster_column

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
    """Return `estimates.subgroup_metrics` of each source, its own rows compared with each other.

    A level that is rarer elsewhere, or that a source does not know, explains part of a loss only
    if the loss is less inside the levels than in all rows.

    Args:
        tables: `sources.source_tables`.
        groups: `levels.subgroup_columns` of the sources whose images are known, by label.
        positive: The class looked for.
        threshold: A row of `cut` is flagged at or above it.
        cut: The tables that the locked threshold judges (`points.external_points`), of the same
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
