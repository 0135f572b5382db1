"""Rows without a truth: all that can be said of them, which is not how good the model is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.selective import certainties
from melnb.evaluation.patient_context import context_scores
from melnb.evaluation.rows import row_clusters
from melnb.evaluation.statistics.proportions import clustered_wilson, grouped_means
from melnb.evaluation.summaries import most_suspicious, of_known_patients

NEAR = 2  # odds within this factor of the threshold's are the first to be shown to an expert
COLUMNS = ("measure", "value", "low", "high", "meaning", "note")
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
_IN_PATIENT = {
    "pictures": "pictures_of_patient", "score_rank": "rank_in_patient", "score_z": "z_in_patient",
}  # fmt: skip
_UNCUT = (
    "no threshold can be chosen without truths: give one that was chosen elsewhere "
    "(chosen: an operating_point.json, or choose: threshold and at)"
)


def without_truth(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose truth is not known."""
    return predictions[predictions["truth"].isna()]


def why_unjudged(predictions: pd.DataFrame) -> str:
    """Return in words what rows without a truth are left out of; empty if all have one."""
    number, every = len(without_truth(predictions)), len(predictions)
    if not number:
        return ""
    if number < every:
        return f"{number:,} of {every:,} rows have no truth: they are in no number but these."
    return (
        f"None of {every:,} rows has a truth. How good the model is cannot be said from them: "
        "areas and curves, sensitivity and specificity, predictive values, calibration, net "
        "benefit, subgroups, comparisons and errors are left out of this page. To have them, give "
        "truths (a column, as columns={truth: theirs}), or report rows of the same model that "
        "have some."
    )


def unjudged_facts(
    predictions: pd.DataFrame,
    *,
    positive: str,
    threshold: float,
    confidence: float = 0.95,
    cluster: str = "",
    seed: int = 0,
) -> pd.DataFrame:
    """Return what the scores of rows without a truth say by themselves.

    Args:
        predictions: Predictions table; rows with a truth are left out.
        positive: The class looked for.
        threshold: Chosen elsewhere; NaN: none is known.
        confidence: Of the intervals: Wilson's of shares, the bootstrap's of the mean.
        cluster: A column, such as `patient_id`, whose images err together: intervals widen.
        seed: Of the resampling.

    Returns:
        `measure`, `value`, `low`, `high`, `meaning`, `note`: how many rows there are, how many are
        flagged, how many lie near the threshold, the mean probability, and the scores below which
        shares of the rows lie. No row if every truth is known.
    """
    unjudged = without_truth(predictions)
    score = unjudged[f"p_{positive}"].to_numpy(dtype=float)
    if unjudged.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    rows: list[Mapping[Any, Any]] = [
        {"measure": "rows", "value": len(unjudged), "meaning": "without a truth"}
    ]
    if cluster:
        words = f"{cluster.removesuffix('_id')}s"
        rows.append(
            {"measure": words, "value": unjudged[cluster].nunique(), "meaning": "of these rows"}
        )
    rows += _cut(unjudged, score, threshold, confidence, cluster)
    if (unjudged["kind"] == "probability").all():
        how: dict[str, Any] = {"cluster": cluster, "confidence": confidence, "seed": seed}
        mean = grouped_means(unjudged, [f"p_{positive}"], **how).iloc[0][["value", "low", "high"]]
        meaning = f"would be the share of {positive}, if the probabilities could be believed here"
        rows.append({"measure": "mean probability", **mean, "meaning": meaning})
    for part, value in zip(_SHARES, np.quantile(score, _SHARES), strict=True):
        meaning = f"{part:.0%} of the rows lie at or below it"
        rows.append({"measure": f"score at {part:.0%}", "value": value, "meaning": meaning})
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _cut(
    rows: pd.DataFrame, score: np.ndarray, threshold: float, confidence: float, cluster: str
) -> list[Mapping[Any, Any]]:
    """Return the threshold, and the shares of rows above and near it."""
    cut = {"measure": "threshold", "value": threshold, "meaning": "flags at or above"}
    if math.isnan(threshold):
        return [cut | {"note": _UNCUT}]
    near = certainties(score, threshold) <= round(math.log(NEAR), 9)
    ask = f"odds within a factor of {NEAR} of the threshold's, the first to show to an expert"
    entries: list[Mapping[Any, Any]] = [cut]
    for name, where, words in (
        ("flagged", score >= threshold, "lie at or above the threshold"),
        ("near the threshold", near, f"have {ask}"),
    ):
        clusters = row_clusters(rows, cluster)
        limits = clustered_wilson(where, where | True, clusters, confidence=confidence)
        share = dict(zip(("value", "low", "high"), limits, strict=True))
        entries.append({"measure": name, **share, "meaning": f"{where.sum():,} rows {words}"})
    return entries


def unjudged_results(facts: pd.DataFrame) -> dict[str, object]:
    """Return what `run.json` keeps of `unjudged_facts`; nothing where every truth is known."""
    row = facts.set_index("measure")
    results: dict[str, object] = {"without_truth": row.at["rows", "value"]} if len(row) else {}
    if "flagged" in row.index:
        ends = {"": "value", "_low": "low", "_high": "high"}
        results |= {f"share_flagged{end}": row.at["flagged", of] for end, of in ends.items()}
    return results


def unjudged_context(predictions: pd.DataFrame, *, positive: str, n: int = 20) -> pd.DataFrame:
    """Return the most suspicious rows without a truth, and how each stands among its patient's.

    Args:
        predictions: Predictions table; rows with a truth are left out.
        positive: The class looked for.
        n: How many.

    Returns:
        The ids and `p_<positive>`, the highest first; where patients are known, of
        `context_scores`: `pictures_of_patient`, `rank_in_patient` (a share, 0.5 in the middle),
        `z_in_patient` (standard deviations from the patient's mean).
    """
    unjudged = without_truth(predictions)
    worst = most_suspicious(unjudged, positive=positive, n=n)
    of_patients = of_known_patients(unjudged)
    if of_patients.empty:
        return worst
    scores = context_scores(of_patients, positive=positive).rename(columns=_IN_PATIENT)
    return worst.merge(scores[["image_id", *_IN_PATIENT.values()]], on="image_id", how="left")
