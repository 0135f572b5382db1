"""Many classes: areas, confusion and sensitivities for two classes or nine.

A row is called by its highest value. Where two classes share it the call is wrong, as the official
scorers rule: `TIED`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.rows import (
    DELONG,
    absent_interval,
    auc_estimate,
    binary_rows,
    estimate,
    row_clusters,
)
from melnb.evaluation.statistics import intervals
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.diagnoses import OTHER
from melnb.tables.schema import class_names

TIED = "tied"
ALL = "all"  # classes together
_REST = (OTHER, "rest")


def auc_by_class(
    predictions: pd.DataFrame,
    *,
    classes: tuple[str, ...] = (),
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the one-versus-rest AUC of each class and, last, their mean (`macro`).

    The mean's error comes from what each row adds in every class, so that the classes' dependence
    is in it. Classes whose AUC is not estimable are outside the mean, and named.

    Args:
        predictions: Predictions table.
        classes: The classes wanted; empty: all.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `class` and `rows.ESTIMATE_COLUMNS`.
    """
    names = classes or class_names(predictions)
    by_class = {name: binary_rows(predictions, positive=name) for name in names}
    entries = [
        auc_estimate(rows, positive=name, confidence=confidence, cluster=cluster)
        for name, rows in by_class.items()
    ]
    macro = _macro_auc(by_class, confidence=confidence, cluster=cluster)
    table = pd.concat([*entries, macro], ignore_index=True)
    table.insert(0, "class", [*names, "macro"])
    return table


def class_scores(
    predictions: pd.DataFrame,
    *,
    classes: tuple[str, ...] = (),
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return what all classes get together, then each of them: the answer for all in one table.

    Args:
        predictions: Predictions table.
        classes: Those judged, by the rows of their own and, for areas, of all others; empty: all.
            Where one of two classes is the rest, its area is that of the other, and so is the mean:
            neither is said twice.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `class` (`all` for the means, which come first), `metric` (`mean AUC` and `balanced
        accuracy`, then `AUC` of each class and its `sensitivity …`, by which
        call), `value`, `se` (of areas), `low`, `high`, `n`, `positives` (rows of the class),
        `method`, `note`.
    """
    how: dict[str, Any] = {"confidence": confidence, "cluster": cluster}
    names = classes or class_names(predictions)
    judged = predictions[predictions["truth"].isin(names)] if classes else predictions
    named = _named(class_names(predictions))
    areas = auc_by_class(predictions, classes=(named,) if named else names, **how)
    shares = sensitivity_by_class(judged, **how).rename(columns={"sensitivity": "value"})
    shares = shares[shares["class"].isin(names)].assign(positives=shares["n"])
    # At another threshold than the operating point's: a name of its own.
    shares["metric"] = f"sensitivity {'at 0.5' if named else 'of the most probable class'}"
    shares["method"] = f"Wilson by {cluster}" if cluster else "Wilson"
    mean = areas.tail(0 if named else 1).assign(metric="mean AUC")
    means = pd.concat([mean, balanced_accuracy(judged, **how)]).assign(**{"class": ALL})
    means["positives"] = pd.array([pd.NA] * len(means), dtype="Int64")  # of which class?
    columns = ["class", "metric", "value", "se", "low", "high", "n", "positives", "method", "note"]
    parts = [means, areas.iloc[:-1], shares.assign(se=math.nan)]
    return pd.concat(
        [part[columns].astype({"positives": "Int64"}) for part in parts], ignore_index=True
    )


def confusion_by_class(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return counts of rows: truths down, calls across.

    A last column `tied` stands only where some rows have no single highest value.
    """
    classes = class_names(predictions)
    judged = predictions[predictions["truth"].notna()]
    counts = pd.crosstab(judged["truth"], _calls(judged, classes), dropna=False)
    columns = [*classes, *([TIED] if TIED in counts.columns else [])]
    counts = counts.reindex(index=list(classes), columns=columns, fill_value=0).astype(int)
    return counts.rename_axis(index="truth", columns="called")


def sensitivity_by_class(
    predictions: pd.DataFrame, *, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return the share of each class's rows that are called so, with Wilson's interval.

    Args:
        predictions: Predictions table.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `class`, `sensitivity`, `low`, `high`, `called` (right), `n`, `note`.
    """
    names = class_names(predictions)
    judged = predictions[predictions["truth"].notna()]
    truth, right = judged["truth"].to_numpy(), judged["truth"].to_numpy() == _calls(judged, names)
    clusters = row_clusters(judged, cluster)
    entries = []
    for name in names:
        members = truth == name
        limits = clustered_wilson(right, members, clusters, confidence=confidence)
        note = "" if members.any() else f"not estimable: no row is {name}"
        if members.any() and np.isnan(limits[1]):
            note = f"interval not estimable: all rows are of one {cluster}"
        entries.append((name, *limits, int((right & members).sum()), int(members.sum()), note))
    columns = ["class", "sensitivity", "low", "high", "called", "n", "note"]
    return pd.DataFrame(entries, columns=columns)


def balanced_accuracy(
    predictions: pd.DataFrame, *, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return the mean of the classes' sensitivities: ISIC 2018's and 2019's measure.

    Classes without a row are outside the mean, and named. The limits are recovered from those of
    the classes (Zou and Donner 2008). Of one class against the rest it is another measure than over
    all classes, and is called so.

    Args:
        predictions: Predictions table.
        confidence: Of the interval.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `rows.ESTIMATE_COLUMNS`, one row.
    """
    table = sensitivity_by_class(predictions, confidence=confidence, cluster=cluster)
    kept = table[table["n"] > 0]
    rows = binary_rows(predictions, positive=class_names(predictions)[0])
    values = [kept[c].to_numpy(dtype=float) for c in ("sensitivity", "low", "high")]
    value, *limits = intervals.mean_interval(*values) if len(kept) else (math.nan,) * 3
    reason = next((note for note in kept["note"] if note), "")
    recall = estimate(
        _of_whom("balanced accuracy", class_names(predictions)),
        value,
        rows,
        limits=(limits[0], limits[1]),
        method=f"Wilson by {cluster}, recovered" if cluster else "Wilson, recovered",
        reason=reason if len(kept) else "not estimable: no row has a truth",
        remark=_left_out(list(table["class"][table["n"] == 0])) if len(kept) else "",
    )
    return recall.assign(positives=int(kept["called"].sum()))


def _of_whom(measure: str, classes: tuple[str, ...]) -> str:
    """Return the measure's name; where one of two classes is the rest, what is called it at 0.5."""
    named = _named(classes).replace("_", " ")
    return f"{measure} at 0.5, {named} against the rest" if named else measure


def _named(classes: tuple[str, ...]) -> str:
    """Return which of two classes has a name where the other is the rest; else an empty text."""
    named = [name for name in classes if name not in _REST]
    return named[0] if len(classes) == 2 and len(named) == 1 else ""


def _macro_auc(
    by_class: dict[str, pd.DataFrame], *, confidence: float, cluster: str
) -> pd.DataFrame:
    parted = {
        name: intervals.auc_parts(rows["truth"].to_numpy(), rows["score"].to_numpy())
        for name, rows in by_class.items()
    }
    kept = {name: pair for name, pair in parted.items() if not math.isnan(pair[0])}
    rows = next(iter(by_class.values()))
    if not kept:
        reason = "not estimable: no class has rows in it and outside it"
        nothing = (math.nan, math.nan)
        return estimate("AUC", math.nan, rows, limits=nothing, method=DELONG, reason=reason)
    value = float(np.mean([pair[0] for pair in kept.values()]))
    parts = np.mean([pair[1] for pair in kept.values()], axis=0)
    truths = np.array([table["truth"].to_numpy(dtype=bool) for table in by_class.values()])
    clusters = row_clusters(rows, cluster)
    groups = np.where(truths.any(axis=0), truths.argmax(axis=0), len(truths))  # of no class asked
    variance = intervals.auc_covariance(parts[None], groups, clusters)[0, 0]
    se = math.sqrt(max(float(variance), 0.0)) if variance == variance else math.nan
    few = ((name, absent_interval(by_class[name], math.inf, cluster)) for name in kept)
    reason = next((f"{text}: {name}" for name, text in few if text), "")
    return estimate(
        "AUC",
        value,
        rows,
        se=se,
        limits=intervals.auc_limits(value, se, confidence=confidence),
        method=f"{DELONG} by {cluster}" if cluster else DELONG,
        reason=reason or absent_interval(by_class[next(iter(kept))], se, cluster),
        remark=_left_out([name for name in by_class if name not in kept]),
    )


def _calls(judged: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    values = judged[[f"p_{name}" for name in classes]].to_numpy(dtype=float)
    highest = values.max(axis=1, keepdims=True) if len(values) else values
    single = (values == highest).sum(axis=1) == 1
    return np.where(single, np.array(classes, dtype=object)[values.argmax(axis=1)], TIED)


def _left_out(names: list[str]) -> str:
    return f"outside the mean, for want of rows: {', '.join(names)}" if names else ""


def neighbour_agreement(
    neighbours: pd.DataFrame,
    images: pd.DataFrame,
    *,
    cluster: str = "",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return how often the nearest neighbours of a class's images are of that class.

    Nothing is fitted: it is what an encoder alone puts side by side. The neighbours of one image
    count as one, and so do those of all images of a cluster.

    Args:
        neighbours: Of `data.nearest_neighbours`, best those of other lesions or patients; images
            and neighbours of unknown class are left out.
        images: `image_id`, and the column to cluster by.
        cluster: A column, such as `patient_id`, whose images err together.
        confidence: Of the intervals.

    Returns:
        `class`, `value` (the share), `low`, `high`, `expected` (the share of that class among all
        these neighbours: what chance gives), `images`, `n` (pairs).
    """
    labelled = neighbours.dropna(subset=["target", "neighbour_target"])
    ids = labelled["image_id"]
    stated = images.set_index("image_id")[cluster].reindex(ids) if cluster else ids
    named = np.where(pd.isna(stated), "of " + ids.astype(str), stated)
    rows = []
    for name in sorted(labelled["target"].unique()):
        asked = (labelled["target"] == name).to_numpy()
        alike = (labelled["neighbour_target"] == name).to_numpy()
        codes = pd.factorize(named[asked])[0]
        value, low, high = clustered_wilson(
            alike[asked], np.ones(asked.sum(), bool), codes, confidence=confidence
        )
        rows.append(
            {
                "class": name, "value": value, "low": low, "high": high,
                "expected": float(alike.mean()), "images": ids[asked].nunique(),
                "n": int(asked.sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["class", "value", "low", "high", "expected", "images", "n"])
