"""The official measures of the ISIC challenges.

After https://github.com/ImageMarkup/isic-challenge-scoring (2016 to 2019) and
https://github.com/ISIC-Research/Challenge-2024-Metrics.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from melnb.diagnoses import MELANOMA
from melnb.evaluation import metrics
from melnb.evaluation.classes import auc_by_class, balanced_accuracy
from melnb.evaluation.intervals import wilson_interval
from melnb.evaluation.rows import ESTIMATE_COLUMNS, binary_rows, bootstrap_estimate, estimate
from melnb.tables import TableError

CHALLENGES = ("isic2016", "isic2017", "isic2018", "isic2019", "siim2020", "isic2024")


def official_scores(
    predictions: pd.DataFrame,
    *,
    challenge: str,
    positive: str = "",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return a challenge's measures, the one that ranked its entries first.

    2016: average precision. 2017: mean AUC of melanoma and of seborrheic keratosis against the
    rest. 2018 and 2019: balanced accuracy, a tie being wrong. 2020: AUC. 2024: partial AUC above
    80 % sensitivity.

    Args:
        predictions: Predictions table with truths.
        challenge: One of `CHALLENGES`.
        positive: The class looked for; empty: melanoma, in 2024 malignant.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `primary` (whether it ranked entries) and `rows.ESTIMATE_COLUMNS`.
    """
    if challenge not in CHALLENGES:
        raise ValueError(f"challenge is {challenge!r}: use one of {list(CHALLENGES)}")
    positive = positive or ("malignant" if challenge == "isic2024" else MELANOMA)
    area = metrics.auc(predictions, positive=positive, confidence=confidence)
    resampled: dict[str, Any] = {
        "positive": positive,
        "confidence": confidence,
        "draws": draws,
        "seed": seed,
    }
    if challenge == "isic2016":
        tables = [metrics.average_precision(predictions, **resampled), area]
    elif challenge == "isic2017":
        pair = (positive, "benign_keratosis")
        both = auc_by_class(predictions, classes=pair, confidence=confidence)
        both["metric"] = ["AUC, melanoma", "AUC, seborrheic keratosis", "mean AUC"]
        tables = [both.iloc[[2]], both.iloc[:2]]
    elif challenge in ("isic2018", "isic2019"):
        macro = auc_by_class(predictions, confidence=confidence).iloc[[-1]]
        tables = [
            balanced_accuracy(predictions, confidence=confidence),
            macro.assign(metric="mean AUC"),
        ]
    elif challenge == "siim2020":
        tables = [area]
    else:
        tables = [partial_auc(predictions, **resampled), area]
    if challenge.startswith("isic201"):
        tables.append(auc_above_sensitivity(predictions, **resampled))
    table = pd.concat(tables, ignore_index=True)[list(ESTIMATE_COLUMNS)]
    table.insert(0, "primary", table.index == 0)
    return table


def auc_above_sensitivity(
    predictions: pd.DataFrame,
    *,
    positive: str,
    min_sensitivity: float = 0.8,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the area below the ROC curve's part of that sensitivity or more, as one row.

    It reaches down to the axis: 1 is perfect (scorer of ISIC 2016 to 2019).
    """
    return bootstrap_estimate(
        binary_rows(predictions, positive=positive),
        metric=f"AUC above sensitivity {min_sensitivity:g}",
        statistic=partial(areas_above, min_sensitivity=_share(min_sensitivity)),
        positive=positive,
        confidence=confidence,
        cluster="",
        draws=draws,
        seed=seed,
    )


def partial_auc(
    predictions: pd.DataFrame,
    *,
    positive: str,
    min_sensitivity: float = 0.8,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the area between the ROC curve and the line of that sensitivity, as one row.

    From 0 to 1 - `min_sensitivity`, which is perfect (ISIC 2024: 0.8, so at most 0.2).
    """
    return bootstrap_estimate(
        binary_rows(predictions, positive=positive),
        metric=f"partial AUC above sensitivity {min_sensitivity:g}",
        statistic=partial(partial_areas, min_sensitivity=_share(min_sensitivity)),
        positive=positive,
        confidence=confidence,
        cluster="",
        draws=draws,
        seed=seed,
    )


def top_k_sensitivity(
    predictions: pd.DataFrame,
    *,
    positive: str,
    k: int = 15,
    patient: str = "patient_id",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the share of positives among the k highest scores of their patient (ISIC 2024).

    Patients without a positive do not count. Equal scores stand in the order of their ids.

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
    ordered = rows.sort_values(["score", "image_id"], ascending=[False, True])
    found = int((ordered["truth"] & (ordered.groupby(patient).cumcount() < k)).sum())
    total = int((ordered["truth"] & ordered[patient].notna()).sum())
    low, high = wilson_interval(found, total, confidence=confidence)
    return estimate(
        f"top-{k} sensitivity",
        found / total if total else math.nan,
        rows,
        limits=(float(low), float(high)),
        method="Wilson",
        reason="" if total else f"not estimable: no row is {positive} and of a known patient",
    )


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
