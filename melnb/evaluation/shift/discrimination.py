"""Does it rank the lesions of another source as well as its own?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from melnb.evaluation import intervals, metrics
from melnb.evaluation.multiplicity import with_holm
from melnb.evaluation.proportions import clustered_wilson
from melnb.evaluation.rows import absent_interval, binary_rows, estimate, row_clusters
from melnb.evaluation.summaries import cluster_column

AUC, PREVALENCE = "AUC", "prevalence"
_ENDS = {"": "value", "_low": "low", "_high": "high"}
COLUMNS = (
    "source", "metric", "value", "low", "high", "difference", "difference_low", "difference_high",
    "p", "n", "positives", "method", "note",
)  # fmt: skip


def external_metrics(
    tables: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return AUC, average precision and prevalence of each source, and less the internal one's.

    Sources are independent samples: of areas the variances add (DeLong et al. 1988, Biometrics
    44:837), of the others limits are recovered from both (`intervals.difference_interval`).
    Patients, else lesions, count as one where a source knows them. Average precision falls with
    prevalence even where the ranking is the same, so its difference says little by itself.

    Args:
        tables: `sources.source_tables`; the first is the internal one.
        positive: The class looked for.
        confidence: Of the intervals.
        draws: Resamples behind average precision.
        seed: Of the resamples.

    Returns:
        `source`, `metric`, `value`, `low`, `high`, `difference` with `…_low` and `…_high`, `p`
        (that areas are equal; NaN for the others), `p_holm` (for the number of sources), `n`,
        `positives`, `method`, `note`.
    """
    made: list[dict[str, object]] = []
    reference: dict[str, dict[str, Any]] = {}
    z = intervals.normal_quantile(confidence)
    for name, table in tables.items():
        cluster = cluster_column(table)
        how: dict[str, Any] = {"positive": positive, "confidence": confidence, "cluster": cluster}
        precision = metrics.average_precision(table, draws=draws, seed=seed, **how)
        share = _prevalence(table, positive, confidence, cluster)
        found = pd.concat([metrics.auc(table, **how), precision, share])
        for record in found.to_dict("records"):
            row = {str(column): cell for column, cell in record.items()}
            metric = str(row["metric"])
            first = reference.setdefault(metric, row)
            compared = {} if first is row else difference(row, first, z, normal=metric == AUC)
            made.append({"source": name, **row, **compared})
    return with_holm(pd.DataFrame(made, columns=list(COLUMNS)))


def by_source(table: pd.DataFrame) -> dict[str, Any]:
    """Return what `run.json` keeps of `external_metrics`: the areas, each external one in turn."""
    areas = table[table["metric"] == AUC]
    home, away = areas.iloc[0], areas.iloc[1:]
    found: dict[str, Any] = {"sources": away["source"].tolist()}
    found |= {f"external_auc{end}": away[limit].tolist() for end, limit in _ENDS.items()}
    found |= {c: away[c].tolist() for c in ("difference", "difference_low", "difference_high")}
    return found | {f"internal_auc{end}": home[limit] for end, limit in _ENDS.items()}


def difference(
    row: Mapping[str, Any], first: Mapping[str, Any], z: float, *, normal: bool
) -> dict[str, float]:
    """Return an estimate less the internal source's, with its limits.

    Args:
        row: `value`, `low`, `high` and, of an area, `se`.
        first: The same, of the internal source.
        z: The normal quantile of the confidence.
        normal: Whether variances add, as of areas; else limits are recovered from both.
    """
    value, low, high = intervals.difference_interval(_limits(row), _limits(first))
    p = math.nan
    if normal:
        se = math.hypot(row["se"], first["se"])
        low, high = value - z * se, value + z * se
        p = intervals.two_sided_p(value / se) if se > 0 else p
    return {"difference": value, "difference_low": low, "difference_high": high, "p": p}


def _limits(row: Mapping[str, Any]) -> tuple[float, float, float]:
    return row["value"], row["low"], row["high"]


def _prevalence(
    table: pd.DataFrame, positive: str, confidence: float, cluster: str
) -> pd.DataFrame:
    rows = binary_rows(table, positive=positive)
    truth = rows["truth"].to_numpy(dtype=bool)
    clusters = row_clusters(rows, cluster)
    value, low, high = clustered_wilson(truth, truth | True, clusters, confidence=confidence)
    return estimate(
        PREVALENCE,
        value,
        rows,
        limits=(low, high),
        method=f"Wilson by {cluster}" if cluster else "Wilson",
        reason="" if low == low else absent_interval(rows, math.nan, cluster),
    )
