"""Whom to biopsy? Thresholds, what each would do, and the worst errors.

A row is flagged when its score is at or above the threshold. A threshold is chosen on out-of-fold
rows alone, and then frozen.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd

from melnb.evaluation.intervals import diagnostic_intervals, wilson_interval
from melnb.evaluation.metrics import thin_curve
from melnb.evaluation.rows import absent_class, binary_rows, threshold_counts
from melnb.tables import TEST, TableError, class_names

Choice = Literal["sensitivity", "specificity", "threshold", "youden"]
REST = "rest"  # every class but the positive one
_ROUNDING = 1e-9  # of a share of a count
_THRESHOLD_COLUMNS = (
    "threshold", "sensitivity", "specificity", "ppv", "npv", "flagged", "tp", "fp", "tn", "fn",
)  # fmt: skip


def threshold_table(
    predictions: pd.DataFrame, *, positive: str, prevalence: float = 0, points: int = 0
) -> pd.DataFrame:
    """Return what each threshold would do, from the highest score down.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        prevalence: Of the positive class where the threshold will be used; 0: the data's.
        points: At most so many rows, the most telling, for drawing alone; 0: every distinct score.

    Returns:
        `threshold`, `sensitivity`, `specificity`, `ppv`, `npv`, `flagged` (share of all), `tp`,
        `fp`, `tn`, `fn`, `note`; one row with the reason when a class is absent.
    """
    check_prevalence(prevalence)
    rows = binary_rows(predictions, positive=positive)
    reason = absent_class(rows, positive)
    if reason:
        return pd.DataFrame([dict.fromkeys(_THRESHOLD_COLUMNS, math.nan) | {"note": reason}])
    threshold, found, false = threshold_counts(rows)
    lost, cleared = found[-1] - found, false[-1] - false
    table = pd.DataFrame(
        {"threshold": threshold, **_shares(found, false, cleared, lost, prevalence)}
    )
    table["note"] = np.where(table["npv"].isna(), "npv not estimable: every row is flagged", "")
    return thin_curve(table, points=points, x="specificity", y="sensitivity") if points else table


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
    tp, fp, tn, fn = _counts(rows, threshold)
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
        made.append((f"fold {fold}", threshold, *_counts(own, threshold), note))
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


def choose_threshold(
    rows: pd.DataFrame, *, positive: str, choose: Choice, at: float
) -> tuple[float, str]:
    """Return a threshold for binary rows, and why there is none (then NaN).

    Raises:
        ValueError: `choose` is unknown or `at` is outside 0-1.
    """
    if choose not in ("sensitivity", "specificity", "threshold", "youden"):
        raise ValueError(f"choose is {choose!r}: use sensitivity, specificity, threshold or youden")
    if choose != "youden" and not 0 <= at <= 1:
        raise ValueError(f"at is {at}, not between 0 and 1 (choose: {choose})")
    reason = absent_class(rows, positive)
    if choose == "threshold":
        return at, reason
    if reason:
        return math.nan, reason
    threshold, found, false = threshold_counts(rows)
    if choose == "sensitivity":
        # Counts are compared, with room for the rounding of 0.9 x 10.
        return float(threshold[np.argmax(found >= at * found[-1] - _ROUNDING)]), ""
    if choose == "youden":
        return float(threshold[np.argmax(found / found[-1] - false / false[-1])]), ""
    keeping = int((false[-1] - false >= at * false[-1] - _ROUNDING).sum())
    if keeping == 0:
        return float(np.nextafter(threshold[0], np.inf)), "no score keeps it: nothing is flagged"
    return float(threshold[keeping - 1]), ""


def confusion(predictions: pd.DataFrame, *, positive: str, threshold: float) -> pd.DataFrame:
    """Return counts at a threshold: truths down, calls across, the positive class first."""
    others = [name for name in class_names(predictions) if name != positive]
    tp, fp, tn, fn = _counts(binary_rows(predictions, positive=positive), threshold)
    names = [positive, others[0] if len(others) == 1 else REST]
    table = pd.DataFrame([[tp, fn], [fp, tn]], index=names, columns=names)
    return table.rename_axis(index="truth", columns="called")


def worst_errors(
    predictions: pd.DataFrame, *, positive: str, threshold: float, n: int = 12
) -> pd.DataFrame:
    """Return the n most confident false negatives and the n most confident false positives.

    Returns:
        `error` (`false negative`, `false positive`), `image_id`, `fold`, `truth` (the class),
        `score`; worst first within each kind.
    """
    rows = binary_rows(predictions, positive=positive)
    rows = rows.rename(columns={"truth": "is_positive"})
    rows = rows.merge(predictions[["image_id", "truth"]], on="image_id")
    flagged = rows["score"] >= threshold
    made = []
    for error, wrong, rising in (
        ("false negative", rows["is_positive"] & ~flagged, True),
        ("false positive", ~rows["is_positive"] & flagged, False),
    ):
        worst = rows[wrong].sort_values(["score", "image_id"], ascending=[rising, True]).head(n)
        made.append(worst.assign(error=error))
    columns = ["error", "image_id", "fold", "truth", "score"]
    return pd.concat(made, ignore_index=True)[columns]


def check_prevalence(prevalence: float) -> float:
    """Return the prevalence if it is 0 (the data's) or a share below 1.

    Raises:
        ValueError: It is not.
    """
    if not 0 <= prevalence < 1:
        raise ValueError(f"prevalence is {prevalence}: use a share below 1, or 0 for the data's")
    return prevalence


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


def _counts(rows: pd.DataFrame, threshold: float) -> tuple[int, int, int, int]:
    """Return true and false positives, true and false negatives; 0 where there is no threshold."""
    if math.isnan(threshold):
        return 0, 0, 0, 0
    truth, flagged = rows["truth"].to_numpy(), rows["score"].to_numpy() >= threshold
    tp, fp = int((truth & flagged).sum()), int((~truth & flagged).sum())
    return tp, fp, int((~truth).sum()) - fp, int(truth.sum()) - tp


def _shares(
    tp: np.ndarray, fp: np.ndarray, tn: np.ndarray, fn: np.ndarray, prevalence: float
) -> dict[str, np.ndarray]:
    sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
    share = prevalence or (tp + fn) / (tp + fp + tn + fn)
    true, false = sensitivity * share, (1 - specificity) * (1 - share)
    cleared = specificity * (1 - share)
    rest = cleared + (1 - sensitivity) * share
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": true / (true + false),
        "npv": np.divide(cleared, rest, out=np.full(len(rest), np.nan), where=rest > 0),
        "flagged": true + false,
        "tp": tp,
        "fp": fp,
        "tn": tn,
        "fn": fn,
    }
