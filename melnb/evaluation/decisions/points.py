"""The operating point: a threshold that was chosen, and what follows from it.

A threshold is chosen on out-of-fold rows alone, and then frozen.
"""

from __future__ import annotations

import math

import pandas as pd

from melnb.evaluation.decisions.thresholds import (
    Choice,
    check_prevalence,
    choose_threshold,
    counts_at,
)
from melnb.evaluation.intervals import diagnostic_intervals, wilson_interval
from melnb.evaluation.rows import binary_rows
from melnb.tables import TEST, TableError


def operating_point(
    predictions: pd.DataFrame,
    *,
    positive: str,
    choose: Choice = "sensitivity",
    at: float = 0.9,
    prevalence: float = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return one threshold and what it does, with intervals, as one row.

    It is chosen and measured on out-of-fold rows where there are any; `operating_point_by_fold`
    says by how much the choice flatters itself. On test rows a threshold can only be given.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        choose: `sensitivity`: the highest threshold that reaches it; `specificity`: the lowest that
            keeps it; `threshold`: `at` itself; `youden`: the largest sensitivity + specificity.
        at: The wanted value; of no use to `youden`.
        prevalence: Of the positive class where it will be used; 0: the data's. `ppv`, `npv`,
            `number_needed_to_biopsy`, `flagged` and `accuracy` are stated for it.
        confidence: Of every interval.

    Returns:
        `threshold`; each of `sensitivity`, `specificity`, `ppv`, `npv`, `number_needed_to_biopsy`,
        `likelihood_ratio_positive`, `likelihood_ratio_negative`, `flagged`, `accuracy`,
        `balanced_accuracy`, `f1` with `…_low` and `…_high`; `tp`, `fp`, `tn`, `fn`, `n`,
        `positives`, `left_out`, `prevalence`, `choose`, `at`, `confidence`, `note`.

    Raises:
        ValueError: A parameter is outside its range.
        TableError: A threshold would be chosen on test rows.
    """
    check_prevalence(prevalence)
    rows = _deciding_rows(predictions, positive, choose)
    threshold, reason = choose_threshold(rows, positive=positive, choose=choose, at=at)
    tp, fp, tn, fn = counts_at(rows, threshold)
    point: dict[str, object] = {"threshold": threshold}
    measured = diagnostic_intervals(tp, fp, tn, fn, prevalence=prevalence, confidence=confidence)
    for name, (value, low, high) in measured.items():
        point |= {name: value, f"{name}_low": low, f"{name}_high": high}
    absent = [name for name, (value, *_) in measured.items() if math.isnan(value)]
    if absent and not reason:
        reason = f"not estimable, for want of such rows: {', '.join(absent)}"
    n, positives = len(rows), int(rows["truth"].sum())
    point |= {"tp": tp, "fp": fp, "tn": tn, "fn": fn, "n": n, "positives": positives}
    point |= {"left_out": rows.attrs["left_out"], "choose": choose, "at": at}
    point |= {"prevalence": prevalence or (positives / n if n else math.nan)}
    return pd.DataFrame([point | {"confidence": confidence, "note": reason}])


def operating_point_by_fold(
    predictions: pd.DataFrame,
    *,
    positive: str,
    choose: Choice = "sensitivity",
    at: float = 0.9,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return what thresholds chosen on the other folds do in each fold, and in all together.

    The last row is the honest estimate: no row helped to choose the threshold that judges it.

    Returns:
        `rows` (`fold 0` …, `out of fold`), `threshold`, `sensitivity` and `specificity` with
        `…_low` and `…_high`, `tp`, `fp`, `tn`, `fn`, `note`.
    """
    rows = binary_rows(predictions, positive=positive)
    rows = rows[rows["fold"] != TEST]
    made = []
    for fold in sorted(rows["fold"].unique()):
        others, own = rows[rows["fold"] != fold], rows[rows["fold"] == fold]
        threshold, note = choose_threshold(others, positive=positive, choose=choose, at=at)
        made.append((f"fold {fold}", threshold, *counts_at(own, threshold), note))
    table = pd.DataFrame(made, columns=["rows", "threshold", "tp", "fp", "tn", "fn", "note"])
    total = {"rows": "out of fold", "threshold": math.nan, "note": "thresholds of the folds"}
    sums = table[["tp", "fp", "tn", "fn"]].sum().to_dict()
    table = pd.concat([table, pd.DataFrame([total | sums])], ignore_index=True)
    for name, right, wrong in (("sensitivity", "tp", "fn"), ("specificity", "tn", "fp")):
        n = table[right] + table[wrong]
        low, high = wilson_interval(table[right], n, confidence=confidence)
        table[name] = table[right] / n.where(n > 0)
        table[f"{name}_low"], table[f"{name}_high"] = low, high
        table.loc[n == 0, "note"] += f" {name} not estimable: no such row"
    return table


def _deciding_rows(predictions: pd.DataFrame, positive: str, choose: Choice) -> pd.DataFrame:
    rows = binary_rows(predictions, positive=positive)
    out_of_fold = rows[rows["fold"] != TEST]
    if len(out_of_fold) or rows.empty:
        return out_of_fold
    if choose != "threshold":
        raise TableError(
            f"predictions: only test rows have a truth, and {choose} would choose the threshold "
            "on them: choose it on out-of-fold rows, then pass choose='threshold' and at=…"
        )
    return rows
