"""Facts: tables as a reader wants them, in words and without the fine print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from melnb.display import cells
from melnb.display.plots.subgroups import in_brief, saying_truth
from melnb.tables.checks import TEST

_MEASURES = {
    "sensitivity": "share of positives that are flagged",
    "specificity": "share of others that are left alone",
    "ppv": "share of the flagged that are positive",
    "npv": "share of the others among those left alone",
    "number_needed_to_biopsy": "flagged for each positive among them",
    "flagged": "share of all that are flagged",
    "likelihood_ratio_positive": "how much a flag raises the odds",
    "likelihood_ratio_negative": "how much its absence lowers them",
    "accuracy": "share of all that are called rightly",
    "balanced_accuracy": "mean of sensitivity and specificity at this threshold",
    "youden": "sensitivity + specificity − 1",
    "f1": "harmonic mean of sensitivity and PPV in these rows",
    "f_beta": "the same, with sensitivity weighed {beta:g} times as much",
    "matthews_correlation": "of flags and truths in these rows: 0 by chance, 1 at best",
}
_OF_A_LEVEL = {"AUC": "auc", "sensitivity": "sensitivity", "specificity": "specificity"}
_COUNTS = {"tp": "found", "fn": "missed", "fp": "flagged in vain", "tn": "left alone"}
_WORDS = {
    "ppv": "PPV",
    "npv": "NPV",
    "likelihood_ratio_positive": "positive likelihood ratio",
    "likelihood_ratio_negative": "negative likelihood ratio",
    "youden": "Youden's J",
    "f1": "F1",
    "f_beta": "F{beta:g}",
    "matthews_correlation": "Matthews correlation",
}


def point_facts(point: pd.DataFrame) -> pd.DataFrame:
    """Return an operating point as a table to read: a row for each measure, in words.

    Args:
        point: `evaluation.operating_point` or `locked_point`: its first row.

    Returns:
        `measure`, `value`, `low`, `high`, `meaning`, `note` (the point's); before
        `meaning`, where the rows chose the threshold that they judge, `fixed_low` and `fixed_high`:
        at this fixed threshold.
    """
    row = point.iloc[0]
    counts = ", ".join(f"{int(row[name]):,} {words}" for name, words in _COUNTS.items())
    meaning = f"flags at or above: {counts}"
    rows = [{"measure": "threshold", "value": row["threshold"], "meaning": meaning}]
    rows[0] |= {"low": row["threshold_low"], "high": row["threshold_high"]}
    if row["choose"] == "cost":
        meaning = f"where calibrated probabilities would be cut at a cost ratio of {row['at']:g}"
        theory = {"measure": "theoretical threshold", "value": row["theoretical_threshold"]}
        rows.append(theory | {"meaning": meaning})
    stated = "of positives, for which PPV, NPV, number needed, flagged and accuracy are stated"
    rows.append({"measure": "prevalence", "value": row["prevalence"], "meaning": stated})
    fixed = () if row["choose"] in ("threshold", "locked") else ("fixed_low", "fixed_high")
    for name, meaning in _MEASURES.items():
        fact = {"measure": _WORDS.get(name, name.replace("_", " ")).format(beta=row["beta"])}
        fact |= {"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
        fact |= {end: row[f"{name}_{end}"] for end in fixed}
        rows.append(fact | {"meaning": meaning.format(beta=row["beta"])})
    columns = ["measure", "value", "low", "high", *fixed, "meaning", "note"]
    return pd.DataFrame(rows, columns=columns).assign(note=row["note"])


def locked_facts(points: pd.DataFrame) -> list[pd.DataFrame | cells.Folded]:
    """Return `evaluation.locked_test_points` to read, of the first way what a clinic asks for.

    Its other measures and the other ways are folded.
    """
    tables = [point_facts(points.iloc[[k]]) for k in range(len(points))]
    if not tables:
        return []
    ways = [way.capitalize() for way in points["judged"]]
    asked = 1 + list(tables[0]["measure"]).index("flagged")
    more = cells.Folded(f"{ways[0]}, other measures", tables[0][asked:])
    others = zip(ways[1:], tables[1:], strict=True)
    folds = [cells.Folded(f"{way}, at the same threshold", table) for way, table in others]
    return [tables[0][:asked], more, *folds]


def subgroup_facts(table: pd.DataFrame) -> pd.DataFrame:
    """Return `evaluation.subgroup_metrics` to read: a row for each level, without the fine print.

    Columns whose levels say the truth, as the diagnosis does, are left out: they tell of no group.

    Returns:
        `column`, `level`, `n`, `patients`, `positives`; `auc`, `sensitivity` and `specificity`,
        each with `_low` and `_high`; `note`, why the first of these that is not known is not.
    """
    levels = table[~table["column"].isin(saying_truth(table))]
    rows = []
    for _, level in levels.groupby(["column", "level"], sort=False, dropna=False):
        measured = level.set_index("metric").reindex([*_OF_A_LEVEL])
        row = level.iloc[0][["column", "level", "n", "patients", "positives"]].to_dict()
        for metric, name in _OF_A_LEVEL.items():
            row |= {name: measured.at[metric, "value"]}
            row |= {f"{name}_{end}": measured.at[metric, end] for end in ("low", "high")}
        lacking = measured[measured["value"].isna()]["note"].dropna()
        rows.append(row | {"note": in_brief(next(iter(lacking), ""))})
    return pd.DataFrame(rows)


def gap_facts(gaps: pd.DataFrame) -> pd.DataFrame:
    """Return `evaluation.gap_tests` to read: what could be tested, without the fine print."""
    tested = gaps[gaps["gap"].notna()]
    columns = ["column", "metric", "lowest", "highest", "gap", "low", "high", "p", "p_holm"]
    return tested[[*columns, "detectable"]].reset_index(drop=True)


def rival(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """Return the first other table of the same images as the first, its run named as the member."""
    (_, first), *others = members.items()
    ids = {*first["image_id"]}
    alike = (table.assign(run=name) for name, table in others if {*table["image_id"]} == ids)
    return next(alike, None)


def by_fold(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return all out-of-fold rows, then those of each fold, by a label for each.

    Without out-of-fold rows, the test rows.
    """
    rows = predictions[predictions["fold"] != TEST]
    rows = rows if len(rows) else predictions
    folds = sorted(rows["fold"].unique())
    parts = {"out of fold" if TEST not in folds else "test": rows}
    if len(folds) > 1:
        parts |= {f"fold {k}": rows[rows["fold"] == k] for k in folds}
    return parts


def of_shared_images(members: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the rows of each of several runs, of the images that all have; of one run, nothing."""
    ids = set.intersection(*(set(rows["image_id"]) for rows in members.values()))
    if len(members) < 2 or not ids:
        return {}
    return {name: rows[rows["image_id"].isin(ids)] for name, rows in members.items()}


_READ: dict[str, Callable[[pd.DataFrame], Sequence[pd.DataFrame | cells.Folded]]] = {
    "gap_tests": lambda gaps: [gap_facts(gaps)],
    "subgroup_metrics": lambda table: [subgroup_facts(table)],
    "context_scores": lambda scores: [scores.nlargest(10, "score_z")],
    "over_best_shortcut": lambda over: [over.drop(columns="first")],
    "locked_test_points": locked_facts,
}


def as_read(name: str, table: pd.DataFrame) -> list[pd.DataFrame | cells.Folded]:
    """Return the table of a function of `evaluation` as it is read: of some, all is too much."""
    return [*_READ[name](table)] if name in _READ else [table]
