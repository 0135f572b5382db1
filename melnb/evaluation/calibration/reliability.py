"""The reliability diagram: of the lesions called 10 %, is one in ten a melanoma?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.prevalence import LEAST, log_losses, probability_rows
from melnb.evaluation.rows import absent_interval, estimate, few_remark, row_clusters
from melnb.evaluation.statistics import bootstrap
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.within_patient import without_gaps

# Sums over bins, of the rows and of each resample; every score of a calibration follows from them.
#
# The bins are those of the rows, held fixed over the resamples.

if TYPE_CHECKING:
    from scipy import sparse

_DENSE = 0.2  # of the cells of a table


@dataclass(frozen=True)
class Sums:
    """Sums over rows: a line for each draw.

    Attributes:
        count: draws x bins, rows.
        probability: draws x bins, of the probabilities.
        positive: draws x bins, of the truths.
        squares: draws, of the squared probabilities.
        found: draws, of the probabilities of the positive rows.
        log_loss: draws, of what the probability of the truth costs.
    """

    count: np.ndarray
    probability: np.ndarray
    positive: np.ndarray
    squares: np.ndarray
    found: np.ndarray
    log_loss: np.ndarray

    @property
    def n(self) -> np.ndarray:
        """Rows of each draw."""
        return np.asarray(self.count.sum(axis=1))

    def per_bin(self, values: np.ndarray) -> np.ndarray:
        """Return values divided by the rows of their bin, 0 where there are none."""
        shares: np.ndarray = np.divide(
            values, self.count, out=np.zeros_like(values), where=self.count > 0
        )
        return shares


def resampled_bins(
    rows: pd.DataFrame, *, bins: int, spacing: Spacing, cluster: str, draws: int, seed: int
) -> tuple[Sums, Sums]:
    """Return the sums of the rows (one line), and those of each resample.

    Args:
        rows: Binary rows, one or more, with probabilities.
        bins: How many.
        spacing: `width` or `mass`.
        cluster: A column whose values are drawn whole; empty: rows are drawn.
        draws: Number of resamples.
        seed: Of the generator: the same seed draws the same rows or clusters.
    """
    # Imported here, as it would double what this module costs to import. Sparse, since a row is in
    # one bin alone: 401,059 rows in 10 bins would else be 100 MB to read for each resample.
    from scipy import sparse

    score, truth = rows["score"].to_numpy(), rows["truth"].to_numpy().astype(float)
    codes = bin_codes(score, bins=bins, spacing=spacing)
    number, n = int(codes.max()) + 1, len(rows)
    cost = log_losses(np.where(truth > 0, score, 1 - score))
    data = np.concatenate([np.ones(n), score, truth, score**2, score * truth, cost])
    line = [
        codes,
        codes + number,
        codes + 2 * number,
        *(np.full(n, 3 * number + k) for k in (0, 1, 2)),
    ]
    column = np.tile(np.arange(n), 6)
    parts = sparse.csr_array((data, (np.concatenate(line), column)), shape=(3 * number + 3, n))
    whole, drawn = resampled_parts(parts, row_clusters(rows, cluster), draws=draws, seed=seed)
    return _sums(whole, number), _sums(drawn, number)


def resampled_parts(
    parts: sparse.csr_array, clusters: np.ndarray | None, *, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of what each row adds: of the rows (1 x k), and of each resample (draws x k).

    Args:
        parts: k x rows.
        clusters: Of the rows, whole numbers from 0, drawn whole; None: rows are drawn.
        draws: Number of resamples.
        seed: Of the generator: the same seed draws the same rows or clusters.
    """
    from scipy import sparse

    if clusters is not None:
        n = len(clusters)
        shape = (n, int(clusters.max()) + 1)
        parts = parts @ sparse.csr_array((np.ones(n), (np.arange(n), clusters)), shape=shape)
        # Where clusters lie in most bins, zeros cost less than the places of what is not zero. Else
        # by cluster: the sums that it adds to stay in a core's cache.
        dense = parts.nnz > _DENSE * parts.shape[0] * parts.shape[1]
        parts = parts.toarray() if dense else parts.tocsc()
    whole = (parts @ np.ones((parts.shape[1], 1))).T
    means = [
        (parts @ np.ascontiguousarray(counts.T, dtype=float)).T
        for counts in bootstrap.resample_counts(parts.shape[1], draws=draws, seed=seed)
    ]
    return whole, np.concatenate(means) if means else np.empty((0, parts.shape[0]))


def _sums(table: np.ndarray, number: int) -> Sums:
    parts = np.split(table[:, : 3 * number], 3, axis=1)
    return Sums(*parts, *table[:, 3 * number :].T)


# What follows from sums over bins: values, their resamples, and what chance alone makes.
#
# A distance from 0 (ECE, MCE, reliability, resolution) is biased upward: chance parts stated from
# observed in every bin, and neither absolute values nor squares cancel. Perfect probabilities
# have an ECE above 0, the more so the fewer the rows. Three things are done about it.
#
# - The debiased estimate is twice the value less its mean over the resamples: Kumar et al. 2019,
#   NeurIPS, by resampling instead of a normal approximation; see Roelofs et al. 2022, AISTATS.
# - The limits are the bootstrap's reflected ones (Efron and Tibshirani 1993, chapter 13), which
#   correct for the bias that percentiles would double; they hold the value and end at 1,
#   as distances between probabilities do.
# - The lower limit is 0 unless the value is beyond what chance alone makes of calibrated
#   probabilities: the scatter of the resamples about the rows.


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
    ours, theirs = _parts(whole), _parts(drawn)
    weight = drawn.count / drawn.n[:, None]
    chance = {
        "reliability": weight * (_gap(drawn) - _gap(whole)) ** 2,
        "resolution": weight * (_lift(drawn) - _lift(whole)) ** 2,
    }
    return {
        name: Measured(
            float(value[0]), theirs[name], chance[name].sum(axis=1) if name in chance else None
        )
        for name, value in ours.items()
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


Spacing = Literal["width", "mass"]
COLUMNS = (
    "bin", "left", "right", "n", "positives", "mean_probability", "observed", "low", "high", "note",
)  # fmt: skip


def reliability_table(
    predictions: pd.DataFrame,
    *,
    positive: str,
    bins: int = 10,
    spacing: Spacing = "width",
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the mean probability and the observed share of each bin.

    The interval is Wilson's of the observed share. Clusters divide the rows by their design effect
    (Rao and Scott 1992); a bootstrap would give bins without a positive row, which are usual where
    melanoma is rare, an interval of no length.

    Args:
        predictions: Predictions table of probabilities. For the call itself of many classes, pass
            `prevalence.top_label(predictions)` and `positive="right"`.
        positive: The class looked for.
        bins: How many.
        spacing: `width` or `mass`: see `bin_codes`.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `bin`, `left`, `right` (limits of the bin, or of the scores in it), `n`, `positives`,
        `mean_probability`, `observed`, `low`, `high`, `note`. Of equal mass, bins that ties
        leave empty are absent.

    Raises:
        TableError: `kind` is score, or `positive` is no class.
        ValueError: `bins`, `spacing` or `confidence` is outside its range.
    """
    rows = probability_rows(predictions, positive=positive, purpose="reliability_table")
    score, truth = rows["score"].to_numpy(), rows["truth"].to_numpy()
    codes = bin_codes(score, bins=bins, spacing=spacing)
    clusters = row_clusters(rows, cluster)
    if not len(rows):
        nothing = dict.fromkeys(COLUMNS, math.nan)
        empty = {"bin": 0, "n": 0, "positives": 0, "note": "not estimable: no row has a truth"}
        return pd.DataFrame([nothing | empty], columns=list(COLUMNS))
    edges = np.linspace(0, 1, bins + 1)
    entries = []
    for k, members in _members(codes, bins if spacing == "width" else 0):
        group = None if clusters is None else clusters[members]
        everything = np.ones(len(members), dtype=bool)
        share, low, high = clustered_wilson(
            truth[members], everything, group, confidence=confidence
        )
        note = "" if len(members) else "not estimable: no score falls here"
        if len(members) and math.isnan(low):
            note = f"interval not estimable: all rows are of one {cluster}"
        limits = (edges[k], edges[k + 1])
        if spacing == "mass":
            limits = (score[members].min(), score[members].max())
        mean = float(score[members].mean()) if len(members) else math.nan
        entries.append(
            (k, *limits, len(members), int(truth[members].sum()), mean, share, low, high, note)
        )
    return pd.DataFrame(entries, columns=list(COLUMNS))


def bin_codes(score: np.ndarray, *, bins: int, spacing: Spacing) -> np.ndarray:
    """Return the bin of each score, from 0.

    Args:
        score: n numbers, 0-1.
        bins: How many, 1 or more.
        spacing: `width`: (0, 0.1], (0.1, 0.2] … for ten, the first with its 0; `mass`: as many
            rows in each, as far as ties allow: a score goes where the middle of its rows falls,
            and a bin that ties leave empty is dropped.

    Raises:
        ValueError: `bins` or `spacing` is unknown.
    """
    if isinstance(bins, bool) or int(bins) != bins or bins < 1:
        raise ValueError(f"bins is {bins}: use a whole number of 1 or more")
    if spacing == "width":
        return np.searchsorted(np.linspace(0, 1, int(bins) + 1)[1:-1], score)
    if spacing != "mass":
        raise ValueError(f"spacing is {spacing!r}: use width or mass")
    _, group, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    place = (middle * bins / max(1, len(score))).astype(int)
    return np.asarray(without_gaps(place)[group])


def _members(codes: np.ndarray, bins: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each bin and its rows; at least so many bins."""
    number = max(bins, int(codes.max()) + 1)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=number))
    for k in range(number):
        yield k, order[ends[k - 1] if k else 0 : ends[k]]
