"""Does it tell all classes apart elsewhere, not only the one looked for?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from melnb.evaluation.classes import ALL, class_scores
from melnb.evaluation.intervals import difference_interval
from melnb.evaluation.summaries import cluster_column
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
    Limits of differences are recovered from both (`intervals.difference_interval`): sources are
    independent samples.

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
            own = _compared(own, at_home)
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
    measures = together["metric"].str.partition(", ")[0].str.replace(" ", "_").str.lower()
    parts = together[~inside].groupby(measures[~inside], sort=False)["value"]
    return {f"external_{name}": values.tolist() for name, values in parts}


def _compared(own: pd.DataFrame, home: pd.DataFrame) -> pd.DataFrame:
    """Add the differences from the internal source, by metric and class."""
    of_home = home.set_index(["metric", "class"])[["value", "low", "high"]]
    rows = []
    for row in own.to_dict("records"):
        key = (row["metric"], row["class"])
        if key in of_home.index:
            limits = (float(row["value"]), float(row["low"]), float(row["high"]))
            value, low, high = difference_interval(limits, tuple(of_home.loc[key].astype(float)))
            row |= {"difference": value, "difference_low": low, "difference_high": high}
        rows.append(row)
    return pd.DataFrame(rows)
