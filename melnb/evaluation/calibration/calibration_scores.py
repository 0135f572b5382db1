"""Calibration errors (ECE, MCE), Brier score, log loss, slope and intercept."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.prevalence import (
    RIGHT,
    class_values,
    log_losses,
    logit,
    probability_rows,
    top_label,
    truth_codes,
)
from melnb.evaluation.calibration.reliability import (
    Measured,
    Spacing,
    calibration_errors,
    measured_rows,
    proper_scores,
    resampled_bins,
)
from melnb.evaluation.rows import absent_class, absent_interval, estimate, few_remark, row_clusters
from melnb.evaluation.statistics import bootstrap
from melnb.evaluation.statistics.intervals import normal_quantile
from melnb.evaluation.statistics.logistic import fit_logistic, logistic_covariance
from melnb.tables.schema import class_names
from melnb.tables.within_patient import centred, mean_and_deviation

# Slope and intercept: the logistic regression of the truth on the logit of the probability.
#
# Cox 1958, Biometrika 45:562; Van Calster et al. 2016, Journal of Clinical Epidemiology 74:167. A
# slope below 1 says that the probabilities are too extreme; an intercept below 0 that they are
# too high on the whole.


def recalibration(
    rows: pd.DataFrame, *, positive: str, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return the slope, and the intercept where the slope is held at 1 (in the large).

    Args:
        rows: Binary rows with probabilities.
        positive: The class looked for, for the notes.
        confidence: Of the intervals: Wald's, with the clusters' sandwich if there are any (Liang
            and Zeger 1986, Biometrika 73:13).
        cluster: A column whose images err together.

    Returns:
        `rows.ESTIMATE_COLUMNS`, two rows.
    """
    truth = rows["truth"].to_numpy().astype(float)
    stated, one = logit(rows["score"].to_numpy()), np.ones((len(rows), 1))
    clusters = row_clusters(rows, cluster)
    absent = absent_class(rows, positive)
    entries = []
    # Centred, so that scores which vary little do not look like the intercept.
    line = np.column_stack([centred(stated), one])
    for metric, design, offset, reason in (
        ("slope", line, 0 * stated, absent or no_line(stated, truth > 0)),
        ("intercept", one, stated, absent),
    ):
        value, se = math.nan, math.nan
        if not reason:
            fit = fit_logistic(design, truth, offset=offset)
            value = float(fit[0])
            se = math.sqrt(logistic_covariance(design, truth, offset, fit, clusters)[0, 0])
        half = normal_quantile(confidence) * se
        why = reason or absent_interval(rows, se, cluster)
        entries.append(
            estimate(
                metric,
                value,
                rows,
                se=se,
                limits=(value - half, value + half),
                method=f"sandwich by {cluster}" if cluster else "Wald",
                reason=why,
                remark="" if why else few_remark(rows, cluster),
            )
        )
    return pd.concat(entries, ignore_index=True)


def no_line(stated: np.ndarray, truth: np.ndarray) -> str:
    """Return that no slope is finite, if so: Albert and Anderson 1984, Biometrika 71:1.

    Args:
        stated: n log odds, of both classes.
        truth: n booleans.
    """
    if not mean_and_deviation(stated)[1]:
        return "not estimable: all scores are equal"
    high, low = stated[truth], stated[~truth]
    if high.min() >= low.max() or low.min() >= high.max():
        return "not estimable: the scores part the classes wholly"
    return ""


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
    measures: dict[str, Measured] = {}
    for spacing, words in _WORDS.items():
        both = draw(spacing=spacing)
        measures |= {f"{name}, {words}": m for name, m in calibration_errors(*both).items()}
    measures |= proper_scores(*both)
    return pd.concat(
        [_table(measures, rows, confidence=confidence, cluster=cluster), line], ignore_index=True
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
    judged = predictions[predictions["truth"].notna()]
    calls = probability_rows(top_label(predictions), positive=RIGHT, purpose="")
    if calls.empty:
        reason = "not estimable: no row has a truth"
        nothing = (math.nan, math.nan)
        return estimate("calibration", math.nan, calls, limits=nothing, method="", reason=reason)
    ece = partial(_ece, bins=bins, cluster=cluster, draws=draws, seed=seed)
    by_class = [
        ece(probability_rows(judged, positive=name, purpose="")) for name in class_names(judged)
    ]
    measures = {"top-label ECE": ece(calls), "class-wise ECE": _mean(by_class)}
    values, codes = class_values(judged), truth_codes(judged)
    true = np.eye(values.shape[1])[codes]
    costs = np.stack([((values - true) ** 2).sum(axis=1), log_losses((values * true).sum(axis=1))])
    clusters = row_clusters(calls, cluster)
    drawn = bootstrap.resampled_means(costs.T, clusters=clusters, draws=draws, seed=seed)
    for k, name in enumerate(("Brier, all classes", "log loss, all classes")):
        measures[name] = Measured(float(costs[k].mean()), drawn[:, k])
    table = _table(measures, calls, confidence=confidence, cluster=cluster)
    return table.assign(positives=pd.array([pd.NA] * len(table), dtype="Int64"))


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
    measures: dict[str, Measured], rows: pd.DataFrame, *, confidence: float, cluster: str
) -> pd.DataFrame:
    entries = [
        measured_rows(name, measured, rows, confidence=confidence, cluster=cluster)
        for name, measured in measures.items()
    ]
    return pd.concat([row for pair in entries for row in pair], ignore_index=True)
