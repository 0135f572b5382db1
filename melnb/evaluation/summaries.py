"""Short tables for a reader: members at a glance, an operating point in words, a run's results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.statistics.intervals import percent
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import check_predictions, class_names, read_predictions

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
    "youden": "sensitivity + specificity - 1",
    "f1": "harmonic mean of sensitivity and PPV in these rows",
    "f_beta": "the same, with sensitivity weighed {beta:g} times as much",
    "matthews_correlation": "of flags and truths in these rows: 0 by chance, 1 at best",
}
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

OF_LEADS = (
    "Of a leaderboard's entry only the AUC and the number of images are known. A lead over it that "
    "is smaller than the least lead is within the noise, the more so the less alike the two err "
    "(correlation)."
)


def read_members(
    files: Mapping[str, Iterable[str | Path]],
    *,
    positive: str,
    columns: Mapping[str, str] | None = None,
) -> dict[str, pd.DataFrame]:
    """Read the predictions of each member: its out-of-fold rows and its test rows in one table.

    Args:
        files: A label and its files, ours or anyone's.
        positive: The class that a single probability is of.
        columns: Of files that are not ours, ours to theirs: see `foreign.read_foreign`.

    Returns:
        The tables, whose `attrs["read_as"]` say which column was read as what.

    Raises:
        TableError: A file is refused, two files of one member hold the same image, or no file has
            a column that `columns` names.
    """
    read, lost = {}, {c for c in (columns or {}).values() if c}
    for name, paths in files.items():
        parts = [
            read_foreign(path, positive=positive, name=name, columns=columns) for path in paths
        ]
        said = [part.attrs.pop("read_as") for part in parts]
        lost -= {column for one in said for column in one.pop("settled").split("\n")}
        try:
            table = check_predictions(pd.concat(parts, ignore_index=True))
        except TableError as error:
            raise TableError(f"member {name}: {error}") from error
        words = {key: dict.fromkeys(one[key] for one in said if one[key]) for key in said[0]}
        table.attrs["read_as"] = {key: "; ".join(texts) for key, texts in words.items()}
        read[name] = table
    if lost:
        raise TableError(
            f"columns names {sorted(lost)}, and no file that is not ours has such a column: "
            "write ours: theirs, as the file's first line spells it"
        )
    return read


def read_networks(paths: Mapping[int, Path]) -> dict[int, pd.DataFrame]:
    """Read what each fold's network alone said of test rows, from `lookup.find_networks`."""
    return {fold: read_predictions(path) for fold, path in paths.items()}


def members_table(members: Mapping[str, pd.DataFrame], *, positive: str) -> pd.DataFrame:
    """Return what each member holds, and which column of its files was read as what.

    Returns:
        `member`, `rows`, `out_of_fold`, `test`, `folds`, `patients`, `positive_patients`,
        `positives` (missing where none or no truth is known), `without_truth`; `file`,
        `id_column`, `truth_column`, `prediction_column`, `fold_column`, as the files spell them;
        `classes`, `views`, `kind`, `note`.

    Raises:
        TableError: A member has no such class.
    """
    rows = []
    for name, table in members.items():
        if positive not in class_names(table):
            raise TableError(
                f"member {name} has no class {positive!r} (classes: {list(class_names(table))}): "
                "set positive to one of them"
            )
        test = table["fold"] == TEST
        row = {"member": name, "rows": len(table)}
        row |= {"out_of_fold": int((~test).sum()), "test": int(test.sum())}
        row |= {"folds": table.loc[~test, "fold"].nunique()}
        row |= _patients(table, positive)
        known = table["truth"].notna().any()
        row |= {"positives": int((table["truth"] == positive).sum()) if known else pd.NA}
        row |= {"without_truth": int(table["truth"].isna().sum())}
        row |= {"note": "", **table.attrs.get("read_as", {})}
        row |= {"classes": ", ".join(class_names(table))}
        row |= {c: table[c].iloc[0] for c in ("views", "kind")}
        rows.append(row | {"note": row.pop("note")})
    whole = ("positives", "patients", "positive_patients")
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64") if rows else {})


def _patients(table: pd.DataFrame, positive: str) -> dict[str, object]:
    """Return how many patients rows are of, and how many of these have a positive one."""
    if "patient_id" not in table or table["patient_id"].isna().all():
        return {"patients": pd.NA, "positive_patients": pd.NA}
    positives = table.loc[table["truth"] == positive, "patient_id"].nunique()
    known = table["truth"].notna().any()
    return {
        "patients": table["patient_id"].nunique(),
        "positive_patients": positives if known else pd.NA,
    }


def out_of_fold(members: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the members' out-of-fold rows; all their rows if none has any."""
    parts = {name: table[table["fold"] != TEST] for name, table in members.items()}
    return parts if any(len(part) for part in parts.values()) else dict(members)


def called_counts(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count what images are called, by their most probable class: all there is without a truth.

    Returns:
        `class`, `called`, `share`, and where a truth is known `truly`: how many are of the class.
    """
    names = class_names(predictions)
    values = predictions[[f"p_{name}" for name in names]].to_numpy(dtype=float)
    called = pd.Series([names[k] for k in values.argmax(axis=1)], dtype=object)
    images = called.value_counts().reindex(list(names), fill_value=0)
    table = pd.DataFrame({"class": list(names), "called": images.to_numpy()})
    table["share"] = table["called"] / max(len(predictions), 1)
    if predictions["truth"].isna().all():
        return table
    known = predictions["truth"].value_counts().reindex(list(names), fill_value=0)
    return table.assign(truly=known.to_numpy())


def most_suspicious(predictions: pd.DataFrame, *, positive: str, n: int = 20) -> pd.DataFrame:
    """Return the images of the highest probabilities of a class, the highest first."""
    kept = [c for c in predictions if str(c).endswith("_id") or c == f"p_{positive}"]
    order = predictions.sort_values([f"p_{positive}", "image_id"], ascending=[False, True])
    return order[[*kept, "truth"]].dropna(axis="columns", how="all").head(n).reset_index(drop=True)


def class_results(scores: pd.DataFrame) -> dict[str, object]:
    """Return what `run.json` keeps of `classes.class_scores`: the means over all classes."""
    together = scores[scores["class"] == "all"]
    results: dict[str, object] = {}
    for row in together.to_dict("records"):
        name = result_name(str(row["metric"]))
        results |= {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"]}
    return results


def result_name(metric: str) -> str:
    """Return the name by which `run.json` knows a mean of `classes.class_scores`."""
    measure, _, of_whom = metric.partition(", ")
    return measure.replace(" ", "_").lower() + ("_one_against_the_rest" if of_whom else "")


def rival(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """Return the first other table of the same images as the first, its run named as the member."""
    (_, first), *others = members.items()
    ids = {*first["image_id"]}
    alike = (table.assign(run=name) for name, table in others if {*table["image_id"]} == ids)
    return next(alike, None)


def cluster_column(predictions: pd.DataFrame) -> str:
    """Return the column whose images err together: patients, else lesions, else none (empty)."""
    for column in ("patient_id", "lesion_id"):
        if column in predictions and predictions[column].notna().any():
            return column
    return ""


def of_intervals(cluster: str, confidence: float) -> str:
    """Return in words how wide every interval is, and what counts as independent in it."""
    if not cluster:
        counted = "images count as independent: no patient and no lesion is known"
    else:
        counted = f"the images of one {cluster.removesuffix('_id')} count as one: they err together"
    return f"{percent(confidence)} intervals; {counted}"


def of_known_patients(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose patient is known: what compares a patient's lesions needs them."""
    if "patient_id" not in predictions:
        return predictions.head(0).assign(patient_id="")
    return predictions[predictions["patient_id"].notna()]


def curves_by_fold(
    predictions: pd.DataFrame,
    curve: Callable[..., pd.DataFrame],
    *,
    positive: str,
    **options: float,
) -> dict[str, pd.DataFrame]:
    """Return a curve of all out-of-fold rows, then of each fold, by a label for each.

    Without out-of-fold rows, that of the test rows. Options are the curve's: its prevalence, say.
    """
    rows = predictions[predictions["fold"] != TEST]
    rows = rows if len(rows) else predictions
    folds = sorted(rows["fold"].unique())
    name = "out of fold" if TEST not in folds else "test"
    curves = {name: curve(rows, positive=positive, **options)}
    if len(folds) > 1:
        parts = {f"fold {k}": rows[rows["fold"] == k] for k in folds}
        curves |= {name: curve(part, positive=positive, **options) for name, part in parts.items()}
    return curves


def point_facts(point: pd.DataFrame) -> pd.DataFrame:
    """Return an operating point as a table to read: a row for each measure, in words.

    Args:
        point: `operating_point.operating_point` or `locked_threshold.locked_point`.

    Returns:
        `measure`, `value`, `low`, `high`, `meaning`, `note` (the point's); before
        `meaning`, where the rows chose the threshold that they judge, `fixed_low` and `fixed_high`:
        at this fixed threshold.
    """
    row = point.iloc[0]
    counts = " ".join(f"{name}={int(row[name])}" for name in ("tp", "fp", "tn", "fn"))
    meaning = f"flags at or above; {counts}"
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


def gap_facts(gaps: pd.DataFrame) -> pd.DataFrame:
    """Return `subgroups.gaps.gap_tests` to read: what could be tested, without the fine print."""
    tested = gaps[gaps["gap"].notna()]
    columns = ["column", "metric", "lowest", "highest", "gap", "low", "high", "p", "p_holm"]
    return tested[[*columns, "detectable"]].reset_index(drop=True)


def run_results(scores: pd.DataFrame, point: pd.DataFrame) -> dict[str, object]:
    """Return what `run.json` keeps of a report.

    Args:
        scores: `ranking.metrics_by_fold`; its pooled row counts, or its only one.
        point: `operating_point.operating_point`.
    """
    pooled = scores[scores["rows"] == "out of fold"]
    pooled = pooled if len(pooled) else scores
    results: dict[str, object] = {}
    for metric, name in (("AUC", "auc"), ("average precision", "average_precision")):
        row = pooled[pooled["metric"] == metric].iloc[0]
        results |= {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"]}
        results |= {"images": int(row["n"]), "positives": int(row["positives"])}
    ends = ("", "_low", "_high")
    measures = ("sensitivity", "specificity", "ppv", "npv")
    chosen = ("threshold", *(f"{m}{end}" for m in measures for end in ends), "prevalence")
    return results | {name: point[name].iloc[0] for name in chosen}
