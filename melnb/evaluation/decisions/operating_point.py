"""The operating point: a threshold that was chosen, and what follows from it.

A threshold is chosen on out-of-fold rows alone, and then frozen (`chosen`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.flagged import measure_rows
from melnb.evaluation.decisions.rechosen import rechosen_measures
from melnb.evaluation.decisions.thresholds import (
    Choice,
    check_prevalence,
    choose_threshold,
    counts_at,
    theoretical_threshold,
)
from melnb.evaluation.rows import binary_rows, crossfit_parts, row_clusters
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.checks import TEST, TableError

OUT_OF_FOLD, TEST_ROWS = "out of fold", "test"


def operating_point(
    predictions: pd.DataFrame,
    *,
    positive: str,
    choose: Choice = "sensitivity",
    at: float = 0.9,
    prevalence: float = 0,
    confidence: float = 0.95,
    cluster: str = "",
    beta: float = 2,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one threshold and what it does, with intervals, as one row.

    It is chosen and measured on out-of-fold rows where there are any; `operating_point_by_fold`
    says by how much the choice flatters itself. On test rows a threshold can only be given.

    A threshold that these rows chose errs with them: intervals are of resamples that choose anew
    (`rechosen`). What the choice holds at its value, and what a given threshold does, has the
    interval at this fixed threshold, which stands beside all others too.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        choose: `sensitivity`: the highest threshold that reaches it; `specificity`: the lowest that
            keeps it; `ppv`: of those with this PPV or more, the one of the largest sensitivity;
            `cost`: the least expected cost, where one missed positive is worth `at` needless
            biopsies; `youden`: the largest sensitivity + specificity; `threshold`: `at` itself.
        at: The wanted value; of no use to `youden`.
        prevalence: Of the positive class where it will be used; 0: the data's. `ppv`, `npv`,
            `number_needed_to_biopsy`, `flagged` and `accuracy` are stated for it, and `ppv` and
            `cost` choose by it.
        confidence: Of every interval.
        cluster: A column, such as `patient_id`, whose images err together: intervals widen.
        beta: Of `f_beta`: 2 weighs what is missed, 0.5 what is flagged in error.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `threshold`; each of `sensitivity`, `specificity`, `ppv`, `npv`, `number_needed_to_biopsy`,
        `likelihood_ratio_positive`, `likelihood_ratio_negative`, `flagged`, `accuracy`,
        `balanced_accuracy`, `youden`, `f1`, `f_beta`, `matthews_correlation` with `…_low` and
        `…_high`, and `…_fixed_low` and `…_fixed_high`, at this fixed threshold; `threshold_low` and
        `threshold_high` (NaN where it was given); `tp`, `fp`, `tn`, `fn`, `n`, `positives`,
        `left_out`, `prevalence`, `choose`, `at`, `beta`, `theoretical_threshold` (where `cost`
        would cut calibrated probabilities; NaN for other choices), `confidence`, `positive`, `run`,
        `rows` (out of fold or test), `method` (of the intervals), `note`.

    Raises:
        ValueError: A parameter is outside its range.
        TableError: A threshold would be chosen on test rows.
    """
    check_prevalence(prevalence)
    rows = _deciding_rows(predictions, positive, choose)
    threshold, reason = choose_threshold(
        rows, positive=positive, choose=choose, at=at, prevalence=prevalence
    )
    point = measured_point(
        rows,
        threshold,
        choose=choose,
        at=at,
        reason=reason,
        prevalence=prevalence,
        confidence=confidence,
        cluster=cluster,
        beta=beta,
        draws=draws,
        seed=seed,
    )
    share = float(rows["truth"].mean()) if len(rows) else 0.0
    theory = (
        theoretical_threshold(at, prevalence=prevalence, own=share) if choose == "cost" else None
    )
    point |= {"choose": choose, "at": at, "theoretical_threshold": theory, "positive": positive}
    point |= {"run": run_name(predictions)}
    return pd.DataFrame([point]).astype({"theoretical_threshold": float})


def operating_point_by_fold(
    predictions: pd.DataFrame,
    *,
    positive: str,
    choose: Choice = "sensitivity",
    at: float = 0.9,
    prevalence: float = 0,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return what thresholds chosen on the other folds do in each fold, and in all together.

    The last row is the honest estimate: no row helped to choose the threshold that judges it. A
    single fold is cut into parts by patient first (`rows.crossfit_parts`).
    Arguments are those of `operating_point`.

    Returns:
        `rows` (`fold 0` … `all folds`, or `part 0` … `all parts`), `threshold`, `sensitivity` and
        `specificity` with `…_low` and `…_high`, `tp`, `fp`, `tn`, `fn`, `method`, `note`.
    """
    check_prevalence(prevalence)
    rows = binary_rows(predictions, positive=positive)
    rows = rows[rows["fold"] != TEST]
    judged = rows.assign(flagged=False).head(0)
    entries, (part, words) = [], crossfit_parts(rows, cluster=cluster)
    for fold in np.unique(part):
        others, held_out = rows[part != fold], rows[part == fold]
        threshold, note = choose_threshold(
            others, positive=positive, choose=choose, at=at, prevalence=prevalence
        )
        held_out = (
            held_out if threshold == threshold else held_out.head(0)
        )  # nothing can be said of its rows
        held_out = held_out.assign(flagged=held_out["score"] >= threshold)
        judged = pd.concat([judged, held_out]) if len(judged) else held_out
        name = f"{'part' if words else 'fold'} {fold}"
        entries.append(_fold_row(name, threshold, held_out, confidence, cluster, note))
    every = "all parts" if words else "all folds"
    words = "; ".join(filter(None, ("each by the threshold of the others", words)))
    entries.append(_fold_row(every, math.nan, judged, confidence, cluster, words))
    return pd.DataFrame(entries)


def measured_point(
    rows: pd.DataFrame,
    threshold: float,
    *,
    choose: Choice = "threshold",
    at: float = 0.5,
    reason: str = "",
    prevalence: float = 0,
    confidence: float = 0.95,
    cluster: str = "",
    beta: float = 2,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, object]:
    """Return what a threshold does to binary rows: the measures and counts of `operating_point`.

    Args:
        rows: `rows.binary_rows`, of out-of-fold rows or of test rows alone.
        threshold: NaN where there is none.
        choose: How these rows chose it; `threshold`: it was given.
        at: The value that was wanted.
        reason: Why there is none, or a remark.

    The rest are those of `operating_point`.
    """
    called = rows if threshold == threshold else rows.head(0)
    truth, flagged = called["truth"].to_numpy(), called["score"].to_numpy() >= threshold
    n, positives = len(rows), int(rows["truth"].sum())
    # The data's own, said by its value: what is counted in the rows is not inferred from ratios.
    prevalence = 0 if n and math.isclose(prevalence, positives / n, rel_tol=1e-9) else prevalence
    how: dict[str, Any] = {"prevalence": prevalence, "confidence": confidence, "beta": beta}
    how |= {"draws": draws, "seed": seed}
    fixed = measure_rows(truth, flagged, clusters=row_clusters(called, cluster), **how)
    point: dict[str, object] = {"threshold": threshold}
    measured, limits, remark = fixed, (math.nan, math.nan), ""
    if choose != "threshold" and len(called):
        measured, limits, remark = rechosen_measures(
            called, fixed, threshold=threshold, choose=choose, at=at, cluster=cluster, **how
        )
    point |= {"threshold_low": limits[0], "threshold_high": limits[1]}
    for name, (value, low, high) in measured.items():
        point |= {name: value, f"{name}_low": low, f"{name}_high": high}
        point |= {f"{name}_fixed_low": fixed[name][1], f"{name}_fixed_high": fixed[name][2]}
    tp, fp, tn, fn = counts_at(called, threshold)
    point |= {"tp": tp, "fp": fp, "tn": tn, "fn": fn, "n": n, "positives": positives}
    point |= {"left_out": rows.attrs.get("left_out", 0), "beta": beta}
    point |= {"prevalence": prevalence or (positives / n if n else math.nan)}
    point |= {"confidence": confidence, "method": method_name(cluster, anew=choose != "threshold")}
    point |= {"rows": OUT_OF_FOLD if (rows["fold"] != TEST).any() else TEST_ROWS}
    notes = (reason, *_absent(measured, reason, cluster, among=remark), remark)
    return point | {"note": "; ".join(filter(None, notes))}


def method_name(cluster: str, *, anew: bool = False) -> str:
    """Return how the intervals of proportions, and of what has no closed form, were made.

    Args:
        cluster: What is resampled whole; empty: rows are.
        anew: Whether the rows chose the threshold that they judge.
    """
    unit = cluster or "rows"
    wilson = f"Wilson, design effect of {cluster} (Rao and Scott 1992)" if cluster else "Wilson"
    fixed = f"at this fixed threshold: {wilson}; bootstrap of {unit}"
    return f"bootstrap of {unit}, threshold chosen anew in each; {fixed}" if anew else fixed


def run_name(predictions: pd.DataFrame) -> str:
    """Return the run that a predictions table is of; empty for an empty table."""
    return str(predictions["run"].iloc[0]) if len(predictions) else ""


def _absent(
    measured: dict[str, tuple[float, float, float]], reason: str, cluster: str, *, among: str
) -> list[str]:
    """Return which measures, and which intervals, are not estimable, if none of that was said."""
    if reason.startswith("not estimable"):
        return []
    values = [name for name, (value, *_) in measured.items() if math.isnan(value)]
    limits = [
        name for name, (value, low, _) in measured.items() if value == value and math.isnan(low)
    ]
    entries = []
    if values:
        entries.append(f"not estimable, for want of such rows: {', '.join(values)}")
    if limits and "interval not estimable" not in among:
        why = f"no spread between the {cluster or 'row'}s behind them"
        entries.append(f"interval not estimable, {why}: {', '.join(limits)}")
    return entries


def _fold_row(
    name: str, threshold: float, rows: pd.DataFrame, confidence: float, cluster: str, note: str
) -> dict[str, object]:
    truth, flagged = (rows[c].to_numpy(dtype=bool) for c in ("truth", "flagged"))
    row: dict[str, object] = {"rows": name, "threshold": threshold}
    notes = [note]
    for measure, hit, among in (
        ("sensitivity", flagged, truth),
        ("specificity", ~flagged, ~truth),
    ):
        value, low, high = clustered_wilson(
            hit, among, row_clusters(rows, cluster), confidence=confidence
        )
        row |= {measure: value, f"{measure}_low": low, f"{measure}_high": high}
        if math.isnan(value):
            notes.append(f"{measure} not estimable: no such row")
        elif math.isnan(low):
            notes.append(f"interval of {measure} not estimable: rows of one {cluster} alone")
    cells = (truth & flagged, ~truth & flagged, ~truth & ~flagged, truth & ~flagged)
    row |= {n: int(c.sum()) for n, c in zip(("tp", "fp", "tn", "fn"), cells, strict=True)}
    return row | {
        "method": method_name(cluster).split("; ")[0],
        "note": "; ".join(filter(None, notes)),
    }


def _deciding_rows(predictions: pd.DataFrame, positive: str, choose: Choice) -> pd.DataFrame:
    rows = binary_rows(predictions, positive=positive)
    out_of_fold = rows[rows["fold"] != TEST]
    if len(out_of_fold) or rows.empty:
        return out_of_fold
    if choose != "threshold":
        raise TableError(
            f"predictions: only test rows have a truth, and {choose} would choose the threshold "
            "on them: choose it on out-of-fold rows, then set chosen to the "
            "operating_point.json of their report, or choose=threshold and at=…"
        )
    return rows
