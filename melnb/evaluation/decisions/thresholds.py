"""Thresholds: by sensitivity, specificity, Youden or cost, and what each would do."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.prevalence import shifted_probability
from melnb.evaluation.discrimination.ranking import thin_curve
from melnb.evaluation.rows import absent_class, binary_rows, threshold_counts
from melnb.evaluation.statistics.bootstrap import quotient
from melnb.tables.schema import class_names

Choice = Literal["sensitivity", "specificity", "ppv", "cost", "youden", "threshold"]
REST = "rest"  # every class but the positive one
ABOVE, NO_STEP = -1, -2  # places of a threshold that flags nothing, and of one that is not there
_ROUNDING = 1e-9  # of a share of a count
_NOTHING_FLAGGED: dict[Choice, str] = {
    "specificity": "no score keeps it: nothing is flagged",
    "cost": "no biopsy is worth its cost: nothing is flagged",
}
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
    threshold, hits, false = threshold_counts(rows)
    lost, cleared = hits[-1] - hits, false[-1] - false
    table = pd.DataFrame(
        {"threshold": threshold, **_shares(hits, false, cleared, lost, prevalence)}
    )
    table["note"] = np.where(table["npv"].isna(), "npv not estimable: every row is flagged", "")
    return thin_curve(table, points=points, x="specificity", y="sensitivity") if points else table


def choose_threshold(
    rows: pd.DataFrame, *, positive: str, choose: Choice, at: float, prevalence: float = 0
) -> tuple[float, str]:
    """Return a threshold for binary rows, and why there is none (then NaN) or a remark.

    Args:
        rows: `rows.binary_rows`.
        positive: The class looked for.
        choose: See `operating_point.operating_point`.
        at: The wanted value.
        prevalence: At which `ppv` must hold and `cost` is counted; 0: the data's.

    Raises:
        ValueError: `choose` is unknown or `at` is outside its range.
    """
    _check_choice(choose, at)
    reason = absent_class(rows, positive)
    if choose == "threshold":
        return at, reason
    if reason:
        return math.nan, reason
    threshold, hits, false = threshold_counts(rows)
    share = check_prevalence(prevalence) or hits[-1] / len(rows)
    step = int(chosen_steps(hits[None], false[None], choose=choose, at=at, prevalence=share)[0])
    if step == NO_STEP:
        return math.nan, _unreached_ppv(threshold, hits, false, at, share)
    if step == ABOVE:
        return float(np.nextafter(threshold[0], np.inf)), _NOTHING_FLAGGED[choose]
    return float(threshold[step]), ""


def chosen_steps(
    found: np.ndarray, false: np.ndarray, *, choose: Choice, at: float, prevalence: float = 0
) -> np.ndarray:
    """Return the place of the chosen threshold in each draw of the rows.

    Args:
        found: draws x thresholds, true positives at each, the highest threshold first; the last
            flags every row, and each draw holds both classes.
        false: As found, false positives.
        choose: See `operating_point.operating_point`; any but `threshold`.
        at: The wanted value.
        prevalence: At which `ppv` must hold and `cost` is counted; 0: each draw's own.

    Returns:
        draws whole numbers: `ABOVE` where nothing is flagged, `NO_STEP` where none will do.
    """
    positives, negatives = found[:, -1:], false[:, -1:]
    share = prevalence or positives / (positives + negatives)
    if choose == "sensitivity":
        # Counts are compared, with room for the rounding of 0.9 x 10.
        return np.asarray(np.argmax(found >= at * positives - _ROUNDING, axis=1))
    if choose == "specificity":
        kept = negatives - false >= at * negatives - _ROUNDING
        return np.asarray(kept.sum(axis=1) - 1)
    sensitivity, false_rate = found / positives, false / negatives
    if choose == "youden":
        return np.asarray(np.argmax(sensitivity - false_rate, axis=1))
    if choose == "cost":
        missed = np.pad(1 - sensitivity, ((0, 0), (1, 0)), constant_values=1)
        alarms = np.pad(false_rate, ((0, 0), (1, 0)))
        costs = at * share * missed + (1 - share) * alarms
        least = costs.min(axis=1, keepdims=True) + _ROUNDING * share
        return np.asarray(np.argmax(costs <= least, axis=1) - 1)
    # PPV does not fall steadily as the threshold does, so that every threshold is looked at.
    reached = _ppv(sensitivity, false_rate, share) >= at - _ROUNDING
    step = np.argmax(np.where(reached, found, -1), axis=1)
    return np.where(reached.any(axis=1), step, NO_STEP)


def theoretical_threshold(ratio: float, *, prevalence: float = 0, own: float = 0) -> float:
    """Return the threshold that a cost ratio asks of calibrated probabilities: 1 / (1 + ratio).

    Pauker and Kassirer 1975, New England Journal of Medicine 293:229. Probabilities that are
    calibrated at their own prevalence are cut elsewhere at another, since Bayes' rule moves them.

    Args:
        ratio: How many needless biopsies one missed positive is worth.
        prevalence: Where the threshold will be used; 0: the probabilities' own.
        own: The prevalence that the probabilities are calibrated at; of no use without another.
    """
    asked = 1 / (1 + ratio)
    if not prevalence or not 0 < own < 1:
        return asked
    return float(shifted_probability(asked, prevalence=own, training_prevalence=prevalence))


def confusion(predictions: pd.DataFrame, *, positive: str, threshold: float) -> pd.DataFrame:
    """Return counts at a threshold: truths down, calls across, the positive class first."""
    others = [name for name in class_names(predictions) if name != positive]
    tp, fp, tn, fn = counts_at(binary_rows(predictions, positive=positive), threshold)
    names = [positive, others[0] if len(others) == 1 else REST]
    table = pd.DataFrame([[tp, fn], [fp, tn]], index=names, columns=names)
    return table.rename_axis(index="truth", columns="called")


def counts_at(rows: pd.DataFrame, threshold: float) -> tuple[int, int, int, int]:
    """Return true and false positives, true and false negatives; 0 where there is no threshold."""
    if math.isnan(threshold):
        return 0, 0, 0, 0
    truth, flagged = rows["truth"].to_numpy(), rows["score"].to_numpy() >= threshold
    tp, fp = int((truth & flagged).sum()), int((~truth & flagged).sum())
    return tp, fp, int((~truth).sum()) - fp, int(truth.sum()) - tp


def check_prevalence(prevalence: float) -> float:
    """Return the prevalence if it is 0 (the data's) or a share below 1.

    Raises:
        ValueError: It is not.
    """
    if not 0 <= prevalence < 1:
        raise ValueError(f"prevalence is {prevalence}: use a share below 1, or 0 for the data's")
    return prevalence


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


def _check_choice(choose: Choice, at: float) -> None:
    choices = get_args(Choice)
    if choose not in choices:
        raise ValueError(f"choose is {choose!r}: use {', '.join(choices[:-1])} or {choices[-1]}")
    if choose == "cost" and not 0 < at < math.inf:
        raise ValueError(
            f"at is {at}, not above 0 (choose: cost): say how many needless biopsies one missed "
            "positive is worth, such as 20"
        )
    if choose not in ("cost", "youden") and not 0 <= at <= 1:
        raise ValueError(f"at is {at}, not between 0 and 1 (choose: {choose})")


def _ppv(sensitivity: np.ndarray, false_rate: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    right = sensitivity * share
    return quotient(right, right + false_rate * (1 - share))


def _unreached_ppv(
    threshold: np.ndarray, hits: np.ndarray, false: np.ndarray, at: float, share: float
) -> str:
    ppv = _ppv(hits / hits[-1], false / false[-1], share)
    best = int(ppv.argmax())
    return (
        f"not estimable: no threshold reaches a PPV of {at:g} at a prevalence of {share:.3g}; "
        f"the highest is {ppv[best]:.3g}, at {threshold[best]:.4g}"
    )
