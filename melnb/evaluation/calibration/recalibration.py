"""Slope and intercept: the logistic regression of the truth on the logit of the probability.

Cox 1958, Biometrika 45:562; Van Calster et al. 2016, Journal of Clinical Epidemiology 74:167.
A slope below 1 says that the probabilities are too extreme; an intercept below 0 that they are too
high on the whole.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.probabilities import logit
from melnb.evaluation.intervals import normal_quantile
from melnb.evaluation.logistic import fit_logistic, logistic_covariance
from melnb.evaluation.rows import absent_class, absent_interval, estimate, few_remark, row_clusters
from melnb.spread import centred, mean_and_deviation


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
    made = []
    # Centred, so that scores which vary little do not look like the intercept.
    line = np.column_stack([centred(stated), one])
    for metric, design, offset, reason in (
        ("slope", line, 0 * stated, absent or no_line(stated, truth > 0)),
        ("intercept", one, stated, absent),
    ):
        value, se = math.nan, math.nan
        if not reason:
            found = fit_logistic(design, truth, offset=offset)
            value = float(found[0])
            se = math.sqrt(logistic_covariance(design, truth, offset, found, clusters)[0, 0])
        half = normal_quantile(confidence) * se
        why = reason or absent_interval(rows, se, cluster)
        made.append(
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
    return pd.concat(made, ignore_index=True)


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
