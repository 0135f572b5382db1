"""Members of a comparison: read, told at a glance, their rows out of fold; and a run's results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.statistics.intervals import percent
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import check_predictions, class_names, read_predictions


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
        readings = [part.attrs.pop("read_as") for part in parts]
        lost -= {column for one in readings for column in one.pop("settled").split("\n")}
        try:
            table = check_predictions(pd.concat(parts, ignore_index=True))
        except TableError as error:
            raise TableError(f"member {name}: {error}") from error
        words = {
            key: dict.fromkeys(one[key] for one in readings if one[key]) for key in readings[0]
        }
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
        judged = table["truth"].notna().any()
        row |= {"positives": int((table["truth"] == positive).sum()) if judged else pd.NA}
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
    judged = table["truth"].notna().any()
    return {
        "patients": table["patient_id"].nunique(),
        "positive_patients": positives if judged else pd.NA,
    }


def out_of_fold(
    members: Mapping[str, pd.DataFrame], *, mean: pd.DataFrame | None = None
) -> dict[str, pd.DataFrame]:
    """Return the members' out-of-fold rows; all their rows if none has any.

    Args:
        members: Name and predictions table of each.
        mean: Of all of them, which comes first where there are several; None: it is not there.
    """
    whole = {"mean of all": mean} if mean is not None and len(members) > 1 else {}
    every = {**whole, **members}
    parts = {name: table[table["fold"] != TEST] for name, table in every.items()}
    return parts if any(len(part) for part in parts.values()) else every


def rival(predictions: pd.DataFrame, others: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """Return the first of other tables that is of the very same images, its `run` its name."""
    ids = {*predictions["image_id"]}
    alike = (t.assign(run=name) for name, t in others.items() if {*t["image_id"]} == ids)
    return next(alike, None)


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
    counts = predictions["truth"].value_counts().reindex(list(names), fill_value=0)
    return table.assign(truly=counts.to_numpy())


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


def cluster_column(predictions: pd.DataFrame) -> str:
    """Return the column whose images err together: patients, else lesions, else none (empty)."""
    for column in ("patient_id", "lesion_id"):
        if column in predictions and predictions[column].notna().any():
            return column
    return ""


UNIT, IMAGES = "unit", "n_images"  # columns of `units.unit_table`


def unit_of(predictions: pd.DataFrame) -> str:
    """Return what a row of predictions is: an image, or a lesion or patient of several."""
    return str(predictions[UNIT].iloc[0]) if UNIT in predictions and len(predictions) else "image"


def of_intervals(cluster: str, confidence: float, unit: str = "image") -> str:
    """Return in words how wide every interval is, and what counts as independent in it."""
    of_one = cluster.removesuffix("_id")
    if not cluster:
        counted = "images count as independent: no patient and no lesion is known"
    elif of_one == unit:
        counted = f"{unit}s count as independent"
    else:
        counted = f"the {unit}s of one {of_one} count as one: they err together"
    judged = "" if unit == "image" else f"; a row is a {unit}, judged by the mean of its images"
    return f"{percent(confidence)} intervals; {counted}{judged}"


def of_known_patients(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose patient is known: what compares a patient's lesions needs them."""
    if "patient_id" not in predictions:
        return predictions.head(0).assign(patient_id="")
    return predictions[predictions["patient_id"].notna()]


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
