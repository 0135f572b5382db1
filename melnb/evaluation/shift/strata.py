"""Does it fail in the same people elsewhere? Subgroups inside each source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from melnb.evaluation.subgroups.estimates import COLUMNS, subgroup_metrics
from melnb.evaluation.summaries import cluster_column

SHOWN = ("sex", "age", "site")


def source_subgroups(
    tables: Mapping[str, pd.DataFrame],
    groups: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    threshold: float,
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
        threshold: A row is flagged at or above it.
        columns: Wanted, where they are known.
        confidence: Of the intervals.
        smallest: Fewest positives, others and patients of a shown level.
        draws: Resamples for average precision.
        seed: Of the resamples.

    Returns:
        `source` and the columns of `subgroup_metrics`; a source of unknown images has its pooled
        rows alone.
    """
    made = []
    for name, table in tables.items():
        known = groups.get(name, table[["image_id"]])
        kept = known[["image_id", *(c for c in columns if c in known)]]
        found = subgroup_metrics(
            table, kept, positive=positive, threshold=threshold, confidence=confidence,
            cluster=cluster_column(table), smallest=smallest, draws=draws, seed=seed,
        )  # fmt: skip
        made.append(found.assign(source=name))
    names = ["source", *COLUMNS]
    return pd.concat(made, ignore_index=True)[names] if made else pd.DataFrame(columns=names)
