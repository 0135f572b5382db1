"""Decision curves: net benefit against a biopsy for all, or for none.

At a threshold probability a needless biopsy is held to cost threshold / (1 - threshold) of what a
found positive is worth. Vickers and Elkin 2006, Medical Decision Making 26:565.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.operating_point import OUT_OF_FOLD, TEST_ROWS
from melnb.evaluation.decisions.thresholds import check_prevalence
from melnb.evaluation.rows import absent_class, binary_rows, row_clusters
from melnb.evaluation.statistics.bootstrap import percentile_interval, quotient, resampled_sums
from melnb.tables.checks import TEST, TableError

THRESHOLDS = tuple(k / 100 for k in range(1, 51))  # what anyone might ask of a biopsy
_ESTIMATES = ("net_benefit", "standardised", "difference", "interventions_avoided")
_COLUMNS = (
    "threshold", "net_benefit", "net_benefit_low", "net_benefit_high", "standardised",
    "standardised_low", "standardised_high", "biopsy_all", "biopsy_none",
    "difference", "difference_low", "difference_high", "interventions_avoided",
    "interventions_avoided_low", "interventions_avoided_high", "tp", "fp", "n", "positives",
    "prevalence", "rows", "method", "note",
)  # fmt: skip


def net_benefit_table(
    predictions: pd.DataFrame,
    *,
    positive: str,
    thresholds: Sequence[float] = (),
    prevalence: float = 0,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the net benefit of flagging from each threshold probability, and of two defaults.

    Net benefit = TP / n - FP / n x threshold / (1 - threshold), in found positives for each row.
    Nothing is chosen, so that out-of-fold rows are used where there are any, else test rows.

    Args:
        predictions: Predictions table, of probabilities.
        positive: The class looked for.
        thresholds: Threshold probabilities, between 0 and 1; empty: 1 % to 50 %.
        prevalence: Where the model will be used: positives and others are weighed by it. Scores
            are taken as they are, so give those of `prevalence.shift_prevalence` at the same
            prevalence, or a useful model looks worse than biopsying nobody. 0: the data's.
        confidence: Of every interval.
        cluster: A column, such as `patient_id`, that is resampled whole.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `threshold`; `net_benefit`; `standardised` (divided by the prevalence, of each resample too:
        1 is what perfect predictions are worth; Kerr et al. 2016, Journal of Clinical Oncology
        34:2534); `biopsy_all`, `biopsy_none` (0), `difference` (of the model to
        the better of both), `interventions_avoided` (biopsies fewer than in all, per 100 rows, for
        no positive more that is missed); the estimates with `…_low` and `…_high`; `tp`, `fp`, `n`,
        `positives`, `prevalence`, `rows` (out of fold or test), `method`, `note`. One row with the
        reason when a class is absent.

    Raises:
        TableError: The table holds scores that are not probabilities.
        ValueError: A parameter is outside its range.
    """
    check_prevalence(prevalence)
    cuts = _check_thresholds(thresholds)
    check_probabilities(predictions)
    rows = binary_rows(predictions, positive=positive)
    judged = rows[rows["fold"] != TEST]
    rows, name = (judged, OUT_OF_FOLD) if len(judged) else (rows, TEST_ROWS)
    reason = absent_class(rows, positive)
    if reason:
        return pd.DataFrame([{"note": reason}], columns=list(_COLUMNS))
    clusters = row_clusters(rows, cluster)
    cells = np.searchsorted(cuts, rows["score"].to_numpy(), side="right") * 2 + rows["truth"]
    counts = np.bincount(cells, minlength=2 * len(cuts) + 2)[None]
    benefits = {k: v[0] for k, v in _benefits(counts.astype(float), cuts, prevalence).items()}
    table = pd.DataFrame({"threshold": cuts, **benefits, "biopsy_none": 0.0, "note": ""})
    drawn = _benefits(_draw(cells, counts[0], clusters, draws, seed), cuts, prevalence)
    why = _absent_interval(rows, clusters, cluster)
    for estimate in _ESTIMATES:
        _, low, high = percentile_interval(drawn[estimate], confidence=confidence)
        table[f"{estimate}_low"] = np.nan if why else low
        table[f"{estimate}_high"] = np.nan if why else high
    positives = int(rows["truth"].sum())
    table = table.assign(n=len(rows), positives=positives, rows=name)
    table["prevalence"] = prevalence or positives / len(rows)
    table["method"] = f"bootstrap of {cluster or 'rows'}"
    table["note"] = np.where(table["tp"] + table["fp"] == 0, "no row is flagged", why)
    return table[list(_COLUMNS)].astype({"tp": int, "fp": int})


def check_probabilities(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions if they are probabilities.

    Raises:
        TableError: They are scores, of a rank blend say.
    """
    if (predictions["kind"] == "score").any():
        raise TableError(
            "predictions: kind is 'score', and a threshold probability means nothing to it: "
            "calibrate these predictions first, or blend by mean instead of rank"
        )
    return predictions


def _check_thresholds(thresholds: Sequence[float]) -> np.ndarray:
    cuts = np.unique(np.asarray(list(thresholds) or THRESHOLDS, dtype=float))
    wrong = cuts[~((cuts > 0) & (cuts < 1))]
    if len(wrong):
        raise ValueError(f"thresholds holds {wrong[0]:g}: use probabilities between 0 and 1")
    return cuts


def _benefits(counts: np.ndarray, cuts: np.ndarray, prevalence: float) -> dict[str, np.ndarray]:
    """Return net benefits from counts of negatives and positives between thresholds.

    Args:
        counts: draws x 2 (thresholds + 1): negatives, positives below the first threshold, from it
            to the second, and so on.
        cuts: Thresholds, rising.
        prevalence: 0: that of each draw.

    Returns:
        By name, each draws x thresholds; NaN where a draw lacks a class.
    """
    flagged = counts.reshape(len(counts), -1, 2)[:, ::-1].cumsum(axis=1)[:, ::-1]
    false, hits = flagged[:, 1:, 0], flagged[:, 1:, 1]
    negatives, positives = flagged[:, :1, 0], flagged[:, :1, 1]
    share = prevalence or quotient(positives, positives + negatives)
    odds = cuts / (1 - cuts)
    sensitivity = quotient(hits, np.broadcast_to(positives, hits.shape))
    false_rate = quotient(false, np.broadcast_to(negatives, false.shape))
    benefit = sensitivity * share - false_rate * (1 - share) * odds
    everyone = share - (1 - share) * odds + 0 * benefit
    return {
        "net_benefit": benefit,
        "standardised": benefit / share,
        "biopsy_all": everyone,
        "difference": benefit - np.maximum(everyone, 0),
        "interventions_avoided": (benefit - everyone) / odds * 100,
        "tp": hits,
        "fp": false,
    }


def _draw(
    cells: np.ndarray, counts: np.ndarray, clusters: np.ndarray | None, draws: int, seed: int
) -> np.ndarray:
    """Return draws x cells counts; rows that stand alone are drawn as cells, not one by one."""
    if clusters is None:
        generator = np.random.default_rng(seed)
        return generator.multinomial(len(cells), counts / len(cells), size=draws).astype(float)
    number, width = int(clusters.max()) + 1, len(counts)
    table = np.bincount(clusters * width + cells, minlength=number * width)
    return resampled_sums(table.reshape(number, width), draws=draws, seed=seed)


def _absent_interval(rows: pd.DataFrame, clusters: np.ndarray | None, cluster: str) -> str:
    fewest = min(int(rows["truth"].sum()), int((~rows["truth"]).sum()))
    if fewest < 2:
        return f"interval not estimable: a class has {fewest} row(s)"
    if clusters is not None and clusters.max() == 0:
        return f"interval not estimable: all rows are of one {cluster}"
    return ""
