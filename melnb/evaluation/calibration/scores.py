"""How far off are the probabilities, in numbers with intervals."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd

from melnb.evaluation import bootstrap
from melnb.evaluation.calibration.measures import (
    Measured,
    calibration_errors,
    measured_rows,
    proper_scores,
)
from melnb.evaluation.calibration.probabilities import (
    RIGHT,
    class_values,
    log_losses,
    probability_rows,
    top_label,
    truth_codes,
)
from melnb.evaluation.calibration.recalibration import recalibration
from melnb.evaluation.calibration.reliability import Spacing
from melnb.evaluation.calibration.resamples import resampled_bins
from melnb.evaluation.rows import estimate, row_clusters
from melnb.tables import class_names

_WORDS: dict[Spacing, str] = {"width": "equal width", "mass": "equal mass"}


def calibration_scores(
    predictions: pd.DataFrame,
    *,
    positive: str,
    bins: int = 10,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well the probabilities of one class are calibrated.

    Brier = reliability - resolution + uncertainty + within bins, over bins of equal mass: Murphy
    1973, Journal of Applied Meteorology 12:595; exact by the term of the spread within bins:
    Stephenson et al. 2008, Weather and Forecasting 23:752. `Brier skill` is 1 - Brier/uncertainty.
    For `slope` and `intercept` see `recalibration`; for the upward bias of ECE and MCE, and what is
    done about it, see `measures`.

    Args:
        predictions: Predictions table of probabilities; rows without a truth are left out.
        positive: The class looked for.
        bins: Of ECE, MCE and the parts of Brier.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.
        draws: Resamples for the intervals.
        seed: Of the resamples.

    Returns:
        `rows.ESTIMATE_COLUMNS`: a row for each of `ECE, equal width`, `ECE, equal width, debiased`,
        `MCE, equal width`, the same of equal mass, `Brier score`, `reliability`, `resolution`,
        `uncertainty`, `within bins`, `Brier skill`, `log loss`, `observed / expected`, `slope`,
        `intercept`.

    Raises:
        TableError: `kind` is score, or `positive` is no class.
    """
    rows = probability_rows(predictions, positive=positive, purpose="calibration_scores")
    line = recalibration(rows, positive=positive, confidence=confidence, cluster=cluster)
    if rows.empty:
        return line.drop(index=line.index[1:]).assign(metric="calibration")
    draw = partial(resampled_bins, rows, bins=bins, cluster=cluster, draws=draws, seed=seed)
    found: dict[str, Measured] = {}
    for spacing, words in _WORDS.items():
        both = draw(spacing=spacing)
        found |= {f"{name}, {words}": m for name, m in calibration_errors(*both).items()}
    found |= proper_scores(*both)
    return pd.concat(
        [_table(found, rows, confidence=confidence, cluster=cluster), line], ignore_index=True
    )


def multiclass_calibration_scores(
    predictions: pd.DataFrame,
    *,
    bins: int = 10,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well the probabilities of all classes are calibrated together.

    `top-label ECE` sets the highest probability against the share of right calls (Guo et al. 2017,
    ICML; where two classes share it the call is wrong); `class-wise ECE` is the mean over the
    classes of each one's (Kull et al. 2019, NeurIPS). Bins are of equal mass. `Brier, all
    classes` sums over them, so that it is from 0 to 2, and twice the usual one of two classes.

    Args:
        predictions: Predictions table of probabilities; rows without a truth are left out.
        bins: Of the ECE.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.
        draws: Resamples for the intervals.
        seed: Of the resamples.

    Returns:
        `rows.ESTIMATE_COLUMNS`; no `positives`, of which class?

    Raises:
        TableError: `kind` is score.
    """
    known = predictions[predictions["truth"].notna()]
    calls = probability_rows(top_label(predictions), positive=RIGHT, purpose="")
    if calls.empty:
        reason = "not estimable: no row has a truth"
        nothing = (math.nan, math.nan)
        return estimate("calibration", math.nan, calls, limits=nothing, method="", reason=reason)
    ece = partial(_ece, bins=bins, cluster=cluster, draws=draws, seed=seed)
    by_class = [
        ece(probability_rows(known, positive=name, purpose="")) for name in class_names(known)
    ]
    found = {"top-label ECE": ece(calls), "class-wise ECE": _mean(by_class)}
    values, codes = class_values(known), truth_codes(known)
    true = np.eye(values.shape[1])[codes]
    costs = np.stack([((values - true) ** 2).sum(axis=1), log_losses((values * true).sum(axis=1))])
    clusters = row_clusters(calls, cluster)
    drawn = bootstrap.resampled_means(costs.T, clusters=clusters, draws=draws, seed=seed)
    for k, name in enumerate(("Brier, all classes", "log loss, all classes")):
        found[name] = Measured(float(costs[k].mean()), drawn[:, k])
    made = _table(found, calls, confidence=confidence, cluster=cluster)
    return made.assign(positives=pd.array([pd.NA] * len(made), dtype="Int64"))


def _ece(rows: pd.DataFrame, *, bins: int, cluster: str, draws: int, seed: int) -> Measured:
    both = resampled_bins(rows, bins=bins, spacing="mass", cluster=cluster, draws=draws, seed=seed)
    return calibration_errors(*both)["ECE"]


def _mean(measured: list[Measured]) -> Measured:
    """Return the mean of measures; one seed drew the same rows for each of them."""
    chance = [m.chance for m in measured if m.chance is not None]
    return Measured(
        float(np.mean([m.value for m in measured])),
        np.mean([m.drawn for m in measured], axis=0),
        np.mean(chance, axis=0),
    )


def _table(
    found: dict[str, Measured], rows: pd.DataFrame, *, confidence: float, cluster: str
) -> pd.DataFrame:
    made = [
        measured_rows(name, measured, rows, confidence=confidence, cluster=cluster)
        for name, measured in found.items()
    ]
    return pd.concat([row for pair in made for row in pair], ignore_index=True)
