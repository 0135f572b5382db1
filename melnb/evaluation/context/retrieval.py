"""What is found when the k most suspicious lesions of each patient are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from melnb.evaluation.context.neighbours import check_patients
from melnb.evaluation.proportions import clustered_wilson
from melnb.evaluation.rows import absent_class, binary_rows

WITHIN, THRESHOLD, RANDOM = "k of each patient", "one threshold for all", "k at random"
MOST = 20
STRATEGIES = (WITHIN, THRESHOLD, RANDOM)
COLUMNS = (
    "k", "strategy", "unit", "value", "low", "high", "n", "found", "seen", "left_out", "method",
    "note",
)  # fmt: skip


def top_k_sensitivity_curve(
    predictions: pd.DataFrame,
    *,
    positive: str,
    ks: Sequence[int] | None = None,
    patient: str = "patient_id",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the share of positives found by looking at the k highest scores of each patient.

    Beside it stand two ways to spend the same number of looks: on the highest scores of all
    patients together, and on pictures drawn at random from each patient (its expected value, by
    the hypergeometric distribution). `image` counts positive pictures, as the official measure
    does (see `scoring.top_k_sensitivity`); `patient` counts patients of whom at least one was
    found. Equal scores stand in the order of their ids.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        ks: How many pictures of each patient are seen; all of those who have fewer. None: 1 to
            `MOST`, or as many as a patient has.
        patient: The column of patients; rows of unknown patients are left out, and counted.
        confidence: Of the intervals: Wilson's, pictures clustered by patient.

    Returns:
        A row per k, `strategy` and `unit` (`image`, `patient`): `k`, `strategy`, `unit`, `value`,
        `low`, `high`, `n` (positives), `found`, `seen` (pictures looked at), `left_out`,
        `method`, `note`.

    Raises:
        TableError: There is no column `patient`.
        ValueError: A k is below 1.
    """
    ks = range(1, 1 + _most_pictures(predictions, patient)) if ks is None else ks
    wrong = [k for k in ks if k < 1 or k != int(k)]
    if wrong or not len(ks):
        raise ValueError(f"ks is {list(ks)}: use whole numbers of 1 or more")
    rows = binary_rows(predictions, positive=positive)
    check_patients(rows, patient)
    known = rows[rows[patient].notna()]
    left_out = len(rows) - len(known)
    reason = absent_class(known, positive) if not known["truth"].any() else ""
    if reason:
        reason = reason.replace("has a truth", "has a truth and a known patient")
        cells = [(int(k), s, u, *[math.nan] * 3, 0, 0, 0) for k, s, u in _kinds(ks)]
        nothing = [(*cell, left_out, "", reason) for cell in cells]
        return pd.DataFrame(nothing, columns=list(COLUMNS))
    ordered = known.sort_values(["score", "image_id"], ascending=[False, True], kind="stable")
    made = _curve(
        ordered["truth"].to_numpy(),
        pd.factorize(ordered[patient])[0],
        [int(k) for k in ks],
        confidence=confidence,
    )
    made["left_out"] = left_out
    made["note"] = [_note(*cells) for cells in zip(made["strategy"], made["low"], strict=True)]
    return made[list(COLUMNS)]


def _most_pictures(predictions: pd.DataFrame, patient: str) -> int:
    """Return how many pictures the patient of most has, from 1 to `MOST`."""
    known = predictions[predictions["truth"].notna()]
    counts = known[patient].value_counts() if patient in known else pd.Series(dtype=int)
    return int(min(MOST, max(1, counts.max() if len(counts) else 1)))


def _curve(
    truth: np.ndarray, patients: np.ndarray, ks: Sequence[int], *, confidence: float
) -> pd.DataFrame:
    """Return the curve of rows in falling order of their scores."""
    place = pd.Series(patients).groupby(patients).cumcount().to_numpy()
    pictures, positives = np.bincount(patients), np.bincount(patients, weights=truth)
    holds = positives > 0
    measured = partial(_measured, truth=truth, patients=patients, confidence=confidence)
    made = []
    for k in ks:
        seen = int(np.minimum(pictures, k).sum())
        for strategy, looked in ((WITHIN, place < k), (THRESHOLD, np.arange(len(truth)) < seen)):
            for unit, cells in measured(looked).items():
                made.append((k, strategy, unit, *cells, seen))
        images = float((positives * np.minimum(pictures, k) / pictures).sum())
        chances = 1 - _all_missed(pictures[holds], positives[holds], k)
        for unit, found, n in (
            ("image", images, int(truth.sum())),
            ("patient", float(chances.sum()), int(holds.sum())),
        ):
            made.append((k, RANDOM, unit, found / n, math.nan, math.nan, n, found, "", seen))
    names = ["k", "strategy", "unit", "value", "low", "high", "n", "found", "method", "seen"]
    return pd.DataFrame(made, columns=names)


def _measured(
    looked: np.ndarray, *, truth: np.ndarray, patients: np.ndarray, confidence: float
) -> dict[str, tuple[float, float, float, int, float, str]]:
    """Return value, limits, number, found and method of a set of pictures that are looked at."""
    found = np.bincount(patients, weights=truth & looked) > 0
    holds = np.bincount(patients, weights=truth) > 0
    of_images = clustered_wilson(looked, truth, patients, confidence=confidence)
    of_patients = clustered_wilson(found, holds, confidence=confidence)
    hits = float((truth & looked).sum())
    return {
        "image": (*of_images, int(truth.sum()), hits, "Wilson by patient"),
        "patient": (*of_patients, int(holds.sum()), float(found.sum()), "Wilson"),
    }


def _all_missed(pictures: np.ndarray, positives: np.ndarray, k: int) -> np.ndarray:
    """Return the chance that k pictures drawn without replacement hold no positive."""
    missed = np.ones(len(pictures))
    for draw in range(k):
        left = np.maximum(pictures - draw, 1)
        missed *= np.clip(pictures - positives - draw, 0, None) / left
    return missed


def _kinds(ks: Sequence[int]) -> list[tuple[int, str, str]]:
    return [(k, s, u) for k in ks for s in STRATEGIES for u in ("image", "patient")]


def _note(strategy: str, low: float) -> str:
    if strategy == RANDOM:
        return "an expected value, which has no interval"
    return "" if low == low else "interval not estimable: all positives are of one patient"
