"""Shortcuts (spurious features) and leaks: how far one gets without the lesion, or by a leak.

Areas are those of baselines that see the file, the patient or the border alone, out of fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from melnb.evaluation.confident_learning import label_error_finding
from melnb.evaluation.discrimination.ranking import auc, auc_by_run
from melnb.evaluation.rows import (
    ESTIMATE_COLUMNS,
    NO_SPREAD,
    auc_estimate,
    binary_rows,
    difference_row,
    joined_rows,
    row_clusters,
)
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.evaluation.summaries import unit_of
from melnb.evaluation.units import Average, Unit, by_unit
from melnb.tables.findings import FAIL, NOT_CHECKED, PASS, REVIEW, Finding
from melnb.tables.schema import class_names

SHORTCUT_CODES = {"file": "MEL011", "patient": "MEL012", "border": "MEL013"}
_REVIEW, _FAIL = 0.6, 0.75  # lower limits of an area
OVER_COLUMNS = ("first", "second", "auc_first", "auc_first_low", "auc_first_high", "auc_second",
                "auc_second_low", "auc_second_high", "difference", "low", "high", "p", "n",
                "note")  # fmt: skip


def shortcut_areas(
    shortcuts: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the area of each shortcut, the best first, as `auc_by_run`; no row where none is."""
    if not shortcuts:
        return pd.DataFrame(columns=["run", *(c for c in ESTIMATE_COLUMNS if c != "metric")])
    table = auc_by_run(shortcuts, positive=positive, confidence=confidence, cluster=cluster)
    return table.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def shortcut_findings(
    areas: pd.DataFrame, over: pd.DataFrame, errors: pd.DataFrame
) -> list[Finding]:
    """Say which shortcuts tell the class, and whether the model is above them (MEL011 to MEL015).

    Args:
        areas: Of `shortcut_areas`, of shortcuts called `file`, `patient` and `border`; one that is
            not there never varies, or is unknown.
        over: Of `over_best_shortcut`.
        errors: Of `label_errors`: `label_error_finding` is the last.
    """
    rows = areas.set_index("run")
    findings = []
    for name, code in SHORTCUT_CODES.items():
        row: Any = rows.loc[name] if name in rows.index else None
        apart = row is not None and str(row["note"]) == NO_SPREAD and row["value"] > _FAIL
        if row is None or not (apart or np.isfinite(row["low"])):
            why = "nothing of it varies, or it is unknown" if row is None else str(row["note"])
            findings.append(
                Finding(code, NOT_CHECKED, 0, why, "give more images, and their columns")
            )
            continue
        ends = "wholly apart" if apart else f"{row['low']:.3f} to {row['high']:.3f}"
        words = f"out of fold, AUC {row['value']:.3f} ({ends})"
        severity = FAIL if apart or row["low"] > _FAIL else REVIEW if row["low"] > _REVIEW else PASS
        count = 0 if severity == PASS else int(areas.loc[areas["run"].eq(name), "n"].iloc[0])
        findings.append(Finding(code, severity, count, words))
    return [*findings, over_finding(over), label_error_finding(errors)]


def over_best_shortcut(
    members: Mapping[str, pd.DataFrame],
    shortcuts: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
    average: Average = "probability",
) -> pd.DataFrame:
    """Return the AUC of predictions less that of each shortcut, the best shortcut first.

    Paired on the images of both; where they share none, as test rows and what was learnt out of
    fold, both areas stand with their intervals and no difference.

    Args:
        members: Names and predictions of models; the first is compared. Empty, or without a truth:
            no rows.
        shortcuts: Names and predictions of shortcuts, of images: judged by the models' unit.
        positive: The class looked for.
        confidence: Of the intervals.
        cluster: A column whose images err together.
        average: Of a unit's images.

    Returns:
        `first`, `second`, their areas `auc_first` and `auc_second` with limits, each on its own
        rows; `difference`, `low`, `high`, `p` and `n` on those of both; `note`.
    """
    name, first = next(iter(members.items()), ("", pd.DataFrame({"truth": []})))
    usable = {
        k: t for k, t in shortcuts.items() if f"p_{positive}" in t and t["truth"].notna().any()
    }
    if first["truth"].isna().all():
        usable = {}
    usable = by_unit(usable, unit=cast(Unit, unit_of(first)), positive=positive, average=average)
    how: dict[str, Any] = {"positive": positive, "confidence": confidence, "cluster": cluster}
    rows = [
        {"first": name, "second": other, **_over(first, usable[other], how)} for other in usable
    ]
    table = pd.DataFrame(rows, columns=list(OVER_COLUMNS))
    return table.sort_values("auc_second", ascending=False, kind="stable", ignore_index=True)


def _over(first: pd.DataFrame, second: pd.DataFrame, how: Mapping[str, Any]) -> dict[str, object]:
    """Return both areas with their limits, and their difference on the images of both."""
    ours, theirs = (binary_rows(rows, positive=how["positive"]) for rows in (first, second))
    both = joined_rows(ours, theirs[["image_id", "truth", "score"]])
    alike = len(both) > 0 and both["truth"].equals(both["truth_second"])
    why = "their truths differ" if len(both) else "no image is of both"
    row = difference_row(both, **how) if alike else {"n": 0, "note": f"not paired: {why}"}
    for side, rows in (("first", ours), ("second", theirs)):
        options = how if how["cluster"] in rows else {**how, "cluster": ""}
        area = auc_estimate(rows, **options).iloc[0]
        row |= {f"auc_{side}": area["value"]}
        row |= {f"auc_{side}_{end}": area[end] for end in ("low", "high")}
    return row


def over_finding(over: pd.DataFrame) -> Finding:
    """Say whether the model is above the best shortcut (MEL014).

    Args:
        over: Of `over_best_shortcut`.
    """
    if over.empty or not np.isfinite(over["low"].iloc[0]):
        words = "no predictions were given" if over.empty else str(over["note"].iloc[0])
        return Finding("MEL014", NOT_CHECKED, 0, words, "run 02b_audit with predictions")
    row = over.iloc[0]
    words = (
        f"{row['first']} {row['auc_first']:.3f}, {row['second']} {row['auc_second']:.3f}: "
        f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
    )
    if row["low"] > 0:
        return Finding("MEL014", PASS, 0, words)
    severity = REVIEW if row["difference"] > 0 else FAIL  # of few images it is not certain
    return Finding("MEL014", severity, int(row["n"]), words)


# What a leak is worth: AUC and accuracy of one probe on leaky splits, against honest ones.

HONEST = "honest"
WORTH_COLUMNS = ("split", "probe", "n", "auc", "low", "high", "accuracy", "accuracy_low",
                 "accuracy_high", "gain", "gain_low", "gain_high", "note")  # fmt: skip


def leak_worth(
    fits: Mapping[tuple[str, str], pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return what each probe gets on each split, and what it gains over the honest one.

    Args:
        fits: Out-of-fold predictions by the names of a split and of a probe; one split is called
            `honest`. A repeated row counts as its author would count it: as one more.
        positive: The class looked for.
        confidence: Of the intervals.
        cluster: A column whose images err together.

    Returns:
        `split`, `probe`, `n`, `auc` with its limits, `accuracy` of the most probable class with
        Wilson's, `gain`: the AUC less that of the same probe on honest folds, paired on the images
        of both (DeLong), and `note`. No rows without fits.
    """
    entries = []
    for (split, probe), table in fits.items():
        area = auc(table, positive=positive, confidence=confidence, cluster=cluster).iloc[0]
        row: dict[str, object] = {"split": split, "probe": probe, "n": int(area["n"])}
        row |= {"auc": area["value"], "low": area["low"], "high": area["high"]}
        row |= _accuracy(table, confidence, cluster)
        honest = fits.get((HONEST, probe))
        if split != HONEST and honest is not None:
            row |= _gain(table, honest, positive, confidence, cluster)
        entries.append({**row, "note": area["note"]})
    return pd.DataFrame(entries, columns=list(WORTH_COLUMNS))


def _accuracy(table: pd.DataFrame, confidence: float, cluster: str) -> dict[str, float]:
    classes = class_names(table)
    called = table[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    right = np.array(classes, dtype=object)[called] == table["truth"].to_numpy()
    every, groups = np.ones(len(right), bool), row_clusters(table, cluster)
    share, low, high = clustered_wilson(right, every, groups, confidence=confidence)
    return {"accuracy": share, "accuracy_low": low, "accuracy_high": high}


def _gain(
    table: pd.DataFrame, honest: pd.DataFrame, positive: str, confidence: float, cluster: str
) -> dict[str, object]:
    """Return the difference of areas on the images of both, the leaky less the honest."""
    score = binary_rows(honest, positive=positive)[["image_id", "truth", "score"]]
    both = joined_rows(binary_rows(table, positive=positive), score)
    row = difference_row(both, positive=positive, confidence=confidence, cluster=cluster)
    return {"gain": row["difference"], "gain_low": row["low"], "gain_high": row["high"]}
