"""The official measures of the ISIC challenges.

After https://github.com/ImageMarkup/isic-challenge-scoring (2016 to 2019) and
https://github.com/ISIC-Research/Challenge-2024-Metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.challenges.submissions import FORMATS, asked_class
from melnb.evaluation.decisions.class_decision import ClassDecision, apply_class_decision
from melnb.evaluation.discrimination import ranking
from melnb.evaluation.discrimination.classes import auc_by_class, balanced_accuracy
from melnb.evaluation.rows import (
    ESTIMATE_COLUMNS,
    binary_rows,
    bootstrap_estimate,
    estimate,
    row_clusters,
)
from melnb.evaluation.statistics import bootstrap
from melnb.evaluation.statistics.bootstrap import Statistic
from melnb.evaluation.statistics.intervals import NO_ERROR
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.checks import TableError
from melnb.tables.schema import class_names

ALIKE = "interval not estimable: the patients are alike, so that no resample differs"
CHALLENGES = ("isic2016", "isic2017", "isic2018", "isic2019", "siim2020", "isic2024")


def official_scores(
    predictions: pd.DataFrame,
    *,
    challenge: str,
    positive: str = "",
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
    decision: ClassDecision | None = None,
) -> pd.DataFrame:
    """Return a challenge's measures, the one that ranked its entries first.

    2016: average precision. 2017: mean AUC of melanoma and of seborrheic keratosis against the
    rest. 2018 (Task 3; Task 1 is `jaccard.mask_scores`) and 2019: balanced accuracy, a tie being
    wrong. 2020: AUC. 2024: partial AUC above 80 % sensitivity, and where there is a `patient_id`
    what the secondary prize was given for (`top_k_by_patient`) and the share of all positives.

    Args:
        predictions: Predictions table with truths.
        challenge: One of `CHALLENGES`.
        positive: Taken where the challenge's own class, melanoma, or malignant in 2024, is absent:
            see `submissions.asked_class`.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.
        draws: Number of resamples.
        seed: Of the resampling.
        decision: How classes are called (`fit_class_decision`): balanced accuracy is of that, too,
            nested; None: of the most probable class alone.

    Returns:
        `primary` (whether it ranked entries) and `rows.ESTIMATE_COLUMNS`; no row for challenge
        `none`, and one with a note where a class that it judges is absent.
    """
    if challenge == "none":
        return pd.DataFrame(columns=["primary", *ESTIMATE_COLUMNS])
    if challenge not in CHALLENGES:
        raise ValueError(f"challenge is {challenge!r}: use one of {list(CHALLENGES)}")
    classes = class_names(predictions)
    positive = asked_class(challenge, classes, positive=positive)
    absent = _absent_class(challenge, classes, positive)
    if absent:
        row = pd.DataFrame([{"primary": True, "metric": challenge, "note": absent}])
        return row.reindex(columns=["primary", *ESTIMATE_COLUMNS])
    by_delong: dict[str, Any] = {"confidence": confidence, "cluster": cluster}
    resampling: dict[str, Any] = {"draws": draws, "seed": seed}
    tables = _measures(predictions, challenge, positive, decision, by_delong, resampling)
    table = pd.concat(tables, ignore_index=True)[list(ESTIMATE_COLUMNS)]
    if challenge in ("isic2018", "isic2019") and len(classes) < len(FORMATS[challenge].columns):
        few = f"of {len(classes)} of the challenge's {len(FORMATS[challenge].columns)} classes"
        table["note"] = [f"{note}; {few}".removeprefix("; ") for note in table["note"]]
    table.insert(0, "primary", table.index == 0)
    return table


def _measures(
    predictions: pd.DataFrame,
    challenge: str,
    positive: str,
    decision: ClassDecision | None,
    by_delong: Mapping[str, Any],
    resampling: Mapping[str, Any],
) -> list[pd.DataFrame]:
    """Return the estimates of a challenge's measures, in its order."""
    resampled = {"positive": positive, **by_delong, **resampling}
    confidence = by_delong["confidence"]
    area = ranking.auc(predictions, positive=positive, **by_delong)
    if challenge == "isic2016":
        tables = [ranking.average_precision(predictions, **resampled), area]
    elif challenge == "isic2017":
        pair = (positive, "benign_keratosis")
        both = auc_by_class(predictions, classes=pair, **by_delong)
        both["metric"] = ["AUC, melanoma", "AUC, seborrheic keratosis", "mean AUC"]
        tables = [both.iloc[[2]], both.iloc[:2]]
    elif challenge in ("isic2018", "isic2019"):
        macro = auc_by_class(predictions, **by_delong).iloc[[-1]]
        tables = [balanced_accuracy(predictions, **by_delong), macro.assign(metric="mean AUC")]
        tables[1:1] = _decided(predictions, decision, by_delong)
    elif challenge == "siim2020":
        tables = [area]
    else:
        tables = [partial_auc(predictions, **resampled), area]
        if "patient_id" in predictions:
            retrieved = top_k_sensitivity(predictions, positive=positive, confidence=confidence)
            by_patient = top_k_by_patient(
                predictions, positive=positive, confidence=confidence, **resampling
            )
            tables += [by_patient, retrieved]
    if challenge.startswith("isic201"):
        tables.append(auc_above_sensitivity(predictions, **resampled))
    return tables


def _absent_class(challenge: str, classes: tuple[str, ...], positive: str) -> str:
    """Return why a challenge's measures cannot be had of these classes, or an empty text."""
    judged = [*FORMATS[challenge].columns.values()]
    if challenge == "isic2017":
        lacking = [name for name in judged if name not in classes]
    elif len(judged) == 1:
        lacking = [] if positive else judged
    else:  # some of its classes are enough, others than these are another task
        lacking = [] if {*classes} <= {*judged} else judged
    if not lacking:
        return ""
    return f"not estimable: {challenge} judges {', '.join(lacking)}, and these are {list(classes)}"


def _decided(
    predictions: pd.DataFrame, decision: ClassDecision | None, how: Mapping[str, Any]
) -> list[pd.DataFrame]:
    """Return the balanced accuracy of a decision that was fitted, nested; else nothing."""
    if decision is None or decision.decide == "argmax":
        return []
    metric = f"balanced accuracy, decided by {decision.decide.replace('_', ' ')}"
    try:
        decided = apply_class_decision(predictions, decision)
    except TableError as error:
        row = pd.DataFrame([{"metric": metric, "note": decision.note or str(error)}])
        return [row.reindex(columns=list(ESTIMATE_COLUMNS))]
    return [balanced_accuracy(decided, **how).assign(metric=metric)]


def auc_above_sensitivity(
    predictions: pd.DataFrame, *, positive: str, min_sensitivity: float = 0.8, **options: Any
) -> pd.DataFrame:
    """Return the area below the ROC curve's part of that sensitivity or more, as one row.

    It reaches down to the axis: 1 is perfect (scorer of ISIC 2016 to 2019).

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        min_sensitivity: Where the part begins.
        options: `confidence`, `cluster`, `draws` and `seed`, as in `ranking.average_precision`.
    """
    areas = partial(areas_above, min_sensitivity=_share(min_sensitivity))
    name = f"AUC above sensitivity {min_sensitivity:g}"
    return _resampled_area(predictions, name, areas, positive=positive, **options)


def partial_auc(
    predictions: pd.DataFrame, *, positive: str, min_sensitivity: float = 0.8, **options: Any
) -> pd.DataFrame:
    """Return the area between the ROC curve and the line of that sensitivity, as one row.

    From 0 to 1 - `min_sensitivity`, which is perfect (ISIC 2024: 0.8, so at most 0.2). Arguments
    are those of `auc_above_sensitivity`.
    """
    areas = partial(partial_areas, min_sensitivity=_share(min_sensitivity))
    name = f"partial AUC above sensitivity {min_sensitivity:g}"
    return _resampled_area(predictions, name, areas, positive=positive, **options)


def top_k_sensitivity(
    predictions: pd.DataFrame,
    *,
    positive: str,
    k: int = 15,
    patient: str = "patient_id",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the share of positives among the k highest scores of their patient (ISIC 2024).

    Patients without a positive do not count. Equal scores stand in the order of their ids. The
    limits count patients, whose positives are found or missed together.

    Returns:
        `rows.ESTIMATE_COLUMNS`, one row.

    Raises:
        TableError: There is no column `patient`.
    """
    rows = binary_rows(predictions, positive=positive)
    if patient not in rows.columns:
        raise TableError(
            f"predictions: no column {patient!r}: merge it from the images table by image_id"
        )
    rows = rows.sort_values(["score", "image_id"], ascending=[False, True], ignore_index=True)
    counted = rows["truth"] & rows[patient].notna()
    share, low, high = clustered_wilson(
        (rows.groupby(patient).cumcount() < k).to_numpy(),
        counted.to_numpy(),
        row_clusters(rows, patient),
        confidence=confidence,
    )
    reason = "" if counted.any() else f"not estimable: no row is {positive} and of a known patient"
    if counted.any() and math.isnan(low):
        reason = f"interval not estimable: all rows counted are of one {patient}"
    return estimate(
        f"top-{k} sensitivity",
        share,
        rows,
        limits=(low, high),
        method=f"Wilson by {patient}",
        reason=reason,
    )


def top_k_by_patient(
    predictions: pd.DataFrame,
    *,
    positive: str,
    k: int = 15,
    patient: str = "patient_id",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what ranked the entries for the secondary prize of ISIC 2024, as two rows.

    The share of a patient's positives among the k highest scores, in the mean over the patients who
    have any; entries that tie are ordered by the same with each found positive weighed by its rank
    among the k, from 1/k for the lowest up (`SecondaryMetric-TopNSensitivity.py` of the official
    scorer). Equal scores stand in the order of their ids. Limits are of resampled patients.

    Returns:
        `rows.ESTIMATE_COLUMNS`.

    Raises:
        TableError: There is no column `patient`.
    """
    rows = binary_rows(predictions, positive=positive)
    codes = row_clusters(rows, patient)
    rows = rows.assign(code=codes).sort_values(
        ["score", "image_id"], ascending=[False, True], ignore_index=True
    )
    rows = rows[rows[patient].notna() & rows.groupby("code")["truth"].transform("any")]
    groups = rows.groupby("code")
    seen = groups.cumcount() < k
    rank = rows[seen].groupby("code")["score"].rank(method="dense").reindex(rows.index) / k
    share = rows["truth"] / groups["truth"].transform("sum")
    parts = pd.DataFrame({"plain": share.where(seen, 0.0), "ranked": (share * rank).fillna(0.0)})
    of_patients = parts.groupby(rows["code"]).sum().to_numpy(dtype=float).reshape(-1, 2)
    number = len(of_patients)
    reason = "" if number else f"not estimable: no row is {positive} and of a known patient"
    if number == 1:
        reason = f"interval not estimable: all rows counted are of one {patient}"
    drawn = bootstrap.resampled_sums(of_patients, draws=draws, seed=seed) / max(number, 1)
    se, low, high = bootstrap.percentile_interval(drawn, confidence=confidence)
    names = (f"top-{k} sensitivity, mean of patients", f"top-{k} sensitivity, weighed by rank")
    return pd.concat([
        estimate(
            name,
            float(of_patients[:, column].mean()) if number else math.nan,
            rows,
            se=float(se[column]),
            limits=(float(low[column]), float(high[column])),
            method=f"bootstrap of {patient}",
            reason=reason or ("" if se[column] > NO_ERROR else ALIKE),
        )
        for column, name in enumerate(names)
    ], ignore_index=True)  # fmt: skip


def areas_above(
    positives: np.ndarray, negatives: np.ndarray, *, min_sensitivity: float
) -> np.ndarray:
    """Return the areas of `auc_above_sensitivity` from counts, draws x steps."""
    start, end, from_rate, to_rate = _segments(positives, negatives, min_sensitivity)
    area = (to_rate - from_rate) * (start + end) / 2
    # At the wanted sensitivity itself a level part of the curve counts.
    return np.asarray(np.where(end >= min_sensitivity, area, 0 * area).sum(axis=1))


def partial_areas(
    positives: np.ndarray, negatives: np.ndarray, *, min_sensitivity: float
) -> np.ndarray:
    """Return the areas of `partial_auc` from counts, draws x steps."""
    start, end, from_rate, to_rate = _segments(positives, negatives, min_sensitivity)
    return np.asarray(((end - start) * (1 - (from_rate + to_rate) / 2)).sum(axis=1))


def _resampled_area(
    predictions: pd.DataFrame,
    name: str,
    areas: Statistic,
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    return bootstrap_estimate(
        binary_rows(predictions, positive=positive),
        metric=name,
        statistic=areas,
        positive=positive,
        confidence=confidence,
        cluster=cluster,
        draws=draws,
        seed=seed,
    )


def _segments(
    positives: np.ndarray, negatives: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the curve's segments, each cut where it rises through the least sensitivity.

    Returns:
        Sensitivity at their start and end, false positive rate at their start and end, each
        draws x steps; NaN in draws that lack a class.
    """
    with np.errstate(invalid="ignore"):
        end = np.cumsum(positives, axis=1) / positives.sum(axis=1, keepdims=True)
        to_rate = np.cumsum(negatives, axis=1) / negatives.sum(axis=1, keepdims=True)
    before, from_rate = (np.pad(a, ((0, 0), (1, 0)))[:, :-1] for a in (end, to_rate))
    start = np.minimum(np.maximum(before, least), end)
    rise = end - before
    cut = np.divide(start - before, rise, out=np.zeros_like(rise), where=rise > 0)
    return start, end, from_rate + cut * (to_rate - from_rate), to_rate


def _share(min_sensitivity: float) -> float:
    if not 0 <= min_sensitivity < 1:
        raise ValueError(f"min_sensitivity is {min_sensitivity}: use a share below 1, such as 0.8")
    return min_sensitivity
