"""Does it tell all classes apart elsewhere, not only the one looked for?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from melnb.evaluation.classes import ALL, class_scores
from melnb.evaluation.intervals import normal_quantile
from melnb.evaluation.shift.discrimination import difference
from melnb.evaluation.summaries import cluster_column, result_name
from melnb.tables import class_names

COLUMNS = (
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
    Limits of differences are those of `discrimination.difference`.

    Args:
        tables: `sources.all_class_tables`; the first is the internal one.
        confidence: Of the intervals.

    Returns:
        `source`, `metric`, `class` (`all`: their mean), `value`, `low`, `high`, `difference` with
        `…_low` and `…_high`, `n`, `positives`, `method`, `note`.
    """
    made = []
    home = next(iter(tables.values()), pd.DataFrame())
    for name, table in tables.items():
        own = class_scores(table, confidence=confidence, cluster=cluster_column(table))
        alike = table is not home and {*class_names(table)} == {*class_names(home)}
        if alike:
            present = tuple(c for c in class_names(home) if (table["truth"] == c).any())
            at_home = class_scores(
                home, classes=present, confidence=confidence, cluster=cluster_column(home)
            )
            own = _compared(own, at_home, normal_quantile(confidence))
        elif table is not home:
            own["note"] = [f"{note}; {_OTHER_CLASSES}".removeprefix("; ") for note in own["note"]]
        made.append(own.assign(source=name))
    names = list(COLUMNS)
    return (
        pd.concat(made, ignore_index=True).reindex(columns=names)
        if made
        else pd.DataFrame(columns=names)
    )


def by_source(table: pd.DataFrame) -> dict[str, list[float]]:
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


def _compared(own: pd.DataFrame, home: pd.DataFrame, z: float) -> pd.DataFrame:
    """Add the differences from the internal source, by metric and class."""
    of_home = {(r["metric"], r["class"]): r for r in _records(home)}
    less: list[dict[str, float]] = []
    for row in _records(own):
        first = of_home.get((row["metric"], row["class"]))
        area = "AUC" in str(row["metric"])
        less.append({} if first is None else difference(row, first, z, normal=area))
    return own.join(pd.DataFrame(less, index=own.index))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(c): cell for c, cell in row.items()} for row in table.to_dict("records")]
