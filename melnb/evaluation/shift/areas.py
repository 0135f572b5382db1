"""External validation, areas: does it rank the lesions of another source as well?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.discrimination.classes import ALL, class_scores
from melnb.evaluation.rows import absent_interval, binary_rows, estimate, row_clusters
from melnb.evaluation.statistics import intervals
from melnb.evaluation.statistics.intervals import normal_quantile, with_holm
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.evaluation.summaries import cluster_column, result_name
from melnb.tables.schema import class_names

# Does it tell all classes apart elsewhere, not only the one looked for?

CLASS_COLUMNS = (
    "source", "metric", "class", "value", "low", "high", "difference", "difference_low",
    "difference_high", "n", "positives", "method", "note",
)  # fmt: skip
_OTHER_CLASSES = "not compared: the internal source's classes are others"


def external_classes(
    tables: Mapping[str, pd.DataFrame], *, confidence: float = 0.95
) -> pd.DataFrame:
    """Return `classes.class_scores` of each source, and less the internal one's.

    A source is judged by the classes that it has images of, and compared with the internal one by
    the same: of seven classes with three, the mean of seven less that of three would say nothing.
    Limits of differences are those of `areas.difference`.

    Args:
        tables: `other_sources.all_class_tables`; the first is the internal one.
        confidence: Of the intervals.

    Returns:
        `source`, `metric`, `class` (`all`: their mean), `value`, `low`, `high`, `difference` with
        `…_low` and `…_high`, `n`, `positives`, `method`, `note`.
    """
    entries = []
    home = next(iter(tables.values()), pd.DataFrame())
    for name, table in tables.items():
        scores = class_scores(table, confidence=confidence, cluster=cluster_column(table))
        alike = table is not home and {*class_names(table)} == {*class_names(home)}
        if alike:
            present = tuple(c for c in class_names(home) if (table["truth"] == c).any())
            at_home = class_scores(
                home, classes=present, confidence=confidence, cluster=cluster_column(home)
            )
            scores = _compared(scores, at_home, normal_quantile(confidence))
        elif table is not home:
            scores["note"] = [
                f"{note}; {_OTHER_CLASSES}".removeprefix("; ") for note in scores["note"]
            ]
        entries.append(scores.assign(source=name))
    names = list(CLASS_COLUMNS)
    return (
        pd.concat(entries, ignore_index=True).reindex(columns=names)
        if entries
        else pd.DataFrame(columns=names)
    )


def class_areas_by_source(table: pd.DataFrame) -> dict[str, list[float]]:
    """Return what `run.json` keeps: each mean over all classes, of each external source in turn."""
    together = table[table["class"] == ALL]
    inside = together["source"] == together["source"].head(1).squeeze()
    measures = together["metric"].map(result_name)
    parts = together[~inside].groupby(measures[~inside], sort=False)
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {
        f"external_{name}{end}": rows[column].tolist()
        for name, rows in parts
        for end, column in ends.items()
    }


def _compared(scores: pd.DataFrame, home: pd.DataFrame, z: float) -> pd.DataFrame:
    """Add the differences from the internal source, by metric and class."""
    of_home = {(r["metric"], r["class"]): r for r in _records(home)}
    less: list[dict[str, float]] = []
    for row in _records(scores):
        first = of_home.get((row["metric"], row["class"]))
        area = "AUC" in str(row["metric"])
        less.append({} if first is None else difference(row, first, z, normal=area))
    return scores.join(pd.DataFrame(less, index=scores.index))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(c): cell for c, cell in row.items()} for row in table.to_dict("records")]


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
        tables: `other_sources.source_tables`; the first is the internal one.
        positive: The class looked for.
        confidence: Of the intervals.
        draws: Resamples behind average precision.
        seed: Of the resamples.

    Returns:
        `source`, `metric`, `value`, `low`, `high`, `difference` with `…_low` and `…_high`, `p`
        (that areas are equal; NaN for the others), `p_holm` (for the number of sources), `n`,
        `positives`, `method`, `note`.
    """
    entries: list[dict[str, object]] = []
    reference: dict[str, dict[str, Any]] = {}
    z = intervals.normal_quantile(confidence)
    for name, table in tables.items():
        cluster = cluster_column(table)
        how: dict[str, Any] = {"positive": positive, "confidence": confidence, "cluster": cluster}
        precision = ranking.average_precision(table, draws=draws, seed=seed, **how)
        share = _prevalence(table, positive, confidence, cluster)
        estimates = pd.concat([ranking.auc(table, **how), precision, share])
        for record in estimates.to_dict("records"):
            row = {str(column): cell for column, cell in record.items()}
            metric = str(row["metric"])
            first = reference.setdefault(metric, row)
            compared = {} if first is row else difference(row, first, z, normal=metric == AUC)
            entries.append({"source": name, **row, **compared})
    return with_holm(pd.DataFrame(entries, columns=list(COLUMNS)))


def areas_by_source(table: pd.DataFrame) -> dict[str, Any]:
    """Return what `run.json` keeps of `external_metrics`: the areas, each external one in turn."""
    areas = table[table["metric"] == AUC]
    home, away = areas.iloc[0], areas.iloc[1:]
    facts: dict[str, Any] = {"sources": away["source"].tolist()}
    facts |= {f"external_auc{end}": away[limit].tolist() for end, limit in _ENDS.items()}
    facts |= {c: away[c].tolist() for c in ("difference", "difference_low", "difference_high")}
    return facts | {f"internal_auc{end}": home[limit] for end, limit in _ENDS.items()}


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
