"""What follows from sums over bins: values, their resamples, and what chance alone makes.

A distance from 0 (ECE, MCE, reliability, resolution) is biased upward: chance parts stated from
observed in every bin, and neither absolute values nor squares cancel. Perfect probabilities have an
ECE above 0, the more so the fewer the rows. Three things are done about it.

- The debiased estimate is twice the value less its mean over the resamples: Kumar et al. 2019,
  NeurIPS, by resampling instead of a normal approximation; see Roelofs et al. 2022, AISTATS.
- The limits are the bootstrap's reflected ones (Efron and Tibshirani 1993, chapter 13), which
  correct for the bias that percentiles would double; they hold the value and end at 1,
  as distances between probabilities do.
- The lower limit is 0 unless the value is beyond what chance alone makes of calibrated
  probabilities: the scatter of the resamples about the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.evaluation import bootstrap
from melnb.evaluation.calibration.probabilities import LEAST
from melnb.evaluation.calibration.resamples import Sums
from melnb.evaluation.rows import absent_interval, estimate, few_remark


@dataclass(frozen=True)
class Measured:
    """A value with its resamples.

    Attributes:
        value: Of the rows.
        drawn: Of each resample.
        chance: Of a distance from 0: what chance alone makes of it in each resample; else None.
    """

    value: float
    drawn: np.ndarray
    chance: np.ndarray | None = None

    def debiased(self) -> Measured:
        """Return the same with the debiased value, 0 or more."""
        mean = float(self.drawn.mean()) if len(self.drawn) else math.nan
        straight = 2 * self.value - mean
        return Measured(straight if math.isnan(straight) else max(straight, 0.0), self.drawn)

    def limits(self, confidence: float) -> tuple[float, float, float]:
        """Return the standard error and the limits (see the module)."""
        spread = bootstrap.percentile_interval(self.drawn, confidence=confidence)
        se, low, high = (float(v) for v in spread)
        if self.chance is None or math.isnan(se):
            return se, low, high
        most = float(bootstrap.percentile_interval(self.chance, confidence=confidence)[2])
        below, above = max(2 * self.value - high, 0.0), 2 * self.value - low
        beyond = self.value > most
        return se, min(below, self.value) if beyond else 0.0, min(max(above, self.value), 1.0)


def measured_rows(
    metric: str, measured: Measured, rows: pd.DataFrame, *, confidence: float, cluster: str
) -> list[pd.DataFrame]:
    """Return a measure as a row of `rows.ESTIMATE_COLUMNS`; of an ECE, a second one debiased."""
    se, *limits = measured.limits(confidence)
    reason = absent_interval(rows, se, cluster)
    if math.isnan(measured.value):
        reason = "not estimable: the rows are of one class, or all probabilities are 0"
    values = {metric: measured.value}
    if "ECE" in metric:
        values[f"{metric}, debiased"] = measured.debiased().value
    return [
        estimate(
            name,
            value,
            rows,
            se=se,
            limits=(limits[0], limits[1]),
            method=f"bootstrap of {cluster or 'rows'}",
            reason=reason,
            remark="" if reason else few_remark(rows, cluster),
        )
        for name, value in values.items()
    ]


def calibration_errors(whole: Sums, drawn: Sums) -> dict[str, Measured]:
    """Return the expected and the maximum calibration error: `ECE`, `MCE`.

    Naeini et al. 2015, AAAI.
    """
    shares = [(s.probability - s.positive) / s.n[:, None] for s in (whole, drawn)]
    gaps = [s.per_bin(s.probability - s.positive) for s in (whole, drawn)]
    return {
        "ECE": Measured(
            float(np.abs(shares[0]).sum()),
            np.abs(shares[1]).sum(axis=1),
            np.abs(shares[1] - shares[0]).sum(axis=1),
        ),
        "MCE": Measured(
            float(np.abs(gaps[0]).max()),
            np.abs(gaps[1]).max(axis=1),
            np.abs(gaps[1] - gaps[0]).max(axis=1),
        ),
    }


def proper_scores(whole: Sums, drawn: Sums) -> dict[str, Measured]:
    """Return the Brier score, its parts and skill, the log loss, and observed / expected."""
    own, theirs = _parts(whole), _parts(drawn)
    weight = drawn.count / drawn.n[:, None]
    chance = {
        "reliability": weight * (_gap(drawn) - _gap(whole)) ** 2,
        "resolution": weight * (_lift(drawn) - _lift(whole)) ** 2,
    }
    return {
        name: Measured(
            float(value[0]), theirs[name], chance[name].sum(axis=1) if name in chance else None
        )
        for name, value in own.items()
    }


def _parts(sums: Sums) -> dict[str, np.ndarray]:
    n, positive, stated = sums.n, sums.positive.sum(axis=1), sums.probability.sum(axis=1)
    brier = (sums.squares - 2 * sums.found + positive) / n
    uncertainty = positive / n * (1 - positive / n)
    mean = sums.per_bin(sums.probability)
    spread = sums.squares - (mean * sums.probability).sum(axis=1)
    shared = sums.found - (mean * sums.positive).sum(axis=1)
    return {
        "Brier score": brier,
        "reliability": (sums.count * _gap(sums) ** 2).sum(axis=1) / n,
        "resolution": (sums.count * _lift(sums) ** 2).sum(axis=1) / n,
        "uncertainty": uncertainty,
        "within bins": (spread - 2 * shared) / n,
        "Brier skill": 1 - _divide(brier, uncertainty),
        "log loss": sums.log_loss / n,
        "observed / expected": _divide(positive, stated),
    }


def _gap(sums: Sums) -> np.ndarray:
    """Return stated less observed, draws x bins."""
    return sums.per_bin(sums.probability - sums.positive)


def _lift(sums: Sums) -> np.ndarray:
    """Return observed in the bin less observed in all, draws x bins."""
    return np.asarray(sums.per_bin(sums.positive) - (sums.positive.sum(axis=1) / sums.n)[:, None])


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    nothing = np.full(above.shape, np.nan)
    return np.asarray(np.divide(above, below, out=nothing, where=below > LEAST))
