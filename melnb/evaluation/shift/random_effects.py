"""Random-effects meta-analysis over sources: the mean, the spread, and the next one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.statistics.intervals import NO_ERROR
from melnb.evaluation.summaries import cluster_column

SUMMARY, NEXT = "mean of sources", "another source"
COLUMNS = (
    "source", "value", "low", "high", "weight", "tau", "i2", "q", "p", "n", "positives",
    "method", "note",
)  # fmt: skip
_FEWEST, _FEWEST_NEXT = 2, 3  # sources, for a mean with an interval and for a prediction
_ROUGH = 5  # with fewer, nobody knows how far sources differ
_STEPS = 600  # of the variance between sources, which is drawn along them


def external_summary(
    tables: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the mean AUC over the external sources, and the interval of another source's.

    A random-effects mean on the log odds of the area, which are nearer to normal (Debray et al.
    2017, BMJ 356:i6460; see `random_effects`). The prediction interval is what counts for someone
    with images of their own (IntHout et al. 2016, BMJ Open 6:e010247; see `prediction_interval`).

    Args:
        tables: `other_sources.source_tables`; the first is the internal one, which has no part in
            it.
        positive: The class looked for.
        confidence: Of the intervals.
        draws: Behind the prediction interval.
        seed: Of the draws.

    Returns:
        A row per source with its weight, then `mean of sources` with `tau` (of the log odds), `i2`,
        Cochran's `q` and its `p`, and `another source`, whose limits are the prediction interval.
    """
    entries = [
        _source_row(name, table, positive, confidence) for name, table in list(tables.items())[1:]
    ]
    estimable = [row for row in entries if not math.isnan(row["variance"])]
    odds = np.array([math.log(r["value"] / (1 - r["value"])) for r in estimable])
    variances = np.array([r["variance"] for r in estimable])
    pooled = random_effects(odds, variances, confidence=confidence)
    for row, weight in zip(estimable, pooled["weights"], strict=True):
        row["weight"] = weight
    counts = {c: sum(r[c] for r in estimable) for c in ("n", "positives")}
    few = f"not estimable: {len(estimable)} source(s) with an area and its error, of "
    rough = f"rough: of {len(estimable)} sources, which hardly show how far they differ"
    mean = {c: pooled[c] for c in ("tau", "i2", "q", "p")} | counts
    mean |= _areas(pooled["mean"], pooled["low"], pooled["high"]) | {"source": SUMMARY}
    mean |= {"method": "random effects (REML), Hartung-Knapp"}
    mean["note"] = rough if len(estimable) < _ROUGH else ""
    if len(estimable) < _FEWEST:
        mean["note"] = f"interval {few}{_FEWEST} or more"
    coming = {"source": NEXT, **counts, "method": "prediction interval (Nagashima 2019)"}
    coming["note"] = (
        mean["note"] if len(estimable) >= _FEWEST_NEXT else f"{few}{_FEWEST_NEXT} or more"
    )
    if len(estimable) >= _FEWEST_NEXT:
        limits = prediction_interval(odds, variances, confidence=confidence, draws=draws, seed=seed)
        coming |= _areas(pooled["mean"], *limits)
    return pd.DataFrame([*entries, mean, coming], columns=list(COLUMNS))


def random_effects(
    values: np.ndarray, variances: np.ndarray, *, confidence: float = 0.95
) -> dict[str, Any]:
    """Return the random-effects mean of estimates, their spread, and what another may be.

    The variance between sources is the restricted maximum likelihood's (Viechtbauer 2005, Journal
    of Educational and Behavioral Statistics 30:261); the error of the mean is Hartung's and Knapp's
    (2001, Statistics in Medicine 20:3875), never below the usual one (Roever et al. 2015, BMC
    Medical Research Methodology 15:99). `higgins_low` and `higgins_high` are the usual prediction
    interval: Higgins, Thompson and Spiegelhalter 2009, Journal of the Royal Statistical Society A
    172:137, with this error, as Partlett and Riley 2017, Statistics in Medicine 36:301. It takes
    the variance between sources as known, and covers 85 to 90 % of 95 where they are eight.

    Args:
        values: k normal estimates.
        variances: Their squared standard errors, above 0.
        confidence: Of both intervals.

    Returns:
        `mean`, `se`, `low`, `high`, `higgins_low`, `higgins_high`, `tau` (the deviation between
        sources), `i2`, `q`, `p`, `weights` (k, which sum to 1); NaN where there are too few.
    """
    # Imported here, as it would double what this module costs to import.
    from scipy.special import chdtrc, stdtrit

    k = len(values)
    names = ("mean", "se", "low", "high", "higgins_low", "higgins_high", "tau", "i2", "q", "p")
    estimates: dict[str, Any] = {
        **dict.fromkeys(names, math.nan),
        "weights": np.full(k, 1 / max(k, 1)),
    }
    if k:
        estimates["mean"] = float(values[0])
    if k < _FEWEST:
        return estimates
    between = between_variance(values, variances)
    weight = 1 / (variances + between)
    mean = float((weight * values).sum() / weight.sum())
    alike = float((weight * (values - mean) ** 2).sum()) / (k - 1)
    se = math.sqrt(max(1.0, alike) / weight.sum())
    fixed = 1 / variances
    q = float((fixed * (values - (fixed * values).sum() / fixed.sum()) ** 2).sum())
    typical = (k - 1) * fixed.sum() / (fixed.sum() ** 2 - (fixed**2).sum())
    estimates |= {"mean": mean, "se": se, "tau": math.sqrt(between), "q": q}
    estimates |= {"i2": between / (between + typical), "p": float(chdtrc(k - 1, q))}
    tail = (1 + confidence) / 2
    half = float(stdtrit(k - 1, tail)) * se
    estimates |= {"low": mean - half, "high": mean + half, "weights": weight / weight.sum()}
    if k >= _FEWEST_NEXT:
        half = float(stdtrit(k - 2, tail)) * math.hypot(se, math.sqrt(between))
        estimates |= {"higgins_low": mean - half, "higgins_high": mean + half}
    return estimates


def prediction_interval(
    values: np.ndarray,
    variances: np.ndarray,
    *,
    confidence: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the limits of another source's true value, the spread between sources being unknown.

    Nagashima, Noma and Furukawa 2019, Statistical Methods in Medical Research 28:1689: the variance
    between sources is drawn from its confidence distribution, then the mean, then a source. That
    distribution is read off the generalised Q, which at the true variance is chi-squared whatever
    the weights: Viechtbauer 2007, Statistics in Medicine 26:37.

    Args:
        values: k normal estimates, three or more.
        variances: Their squared standard errors, above 0.
        confidence: Of the interval.
        draws: Of a source.
        seed: Of the draws.
    """
    k, generator = len(values), np.random.default_rng(seed)
    # Up to where Q is so small that no draw of chi-squared is below it.
    most = 1e4 * (float(np.ptp(values)) ** 2 + float(variances.max()))
    between = np.concatenate([[0.0], np.geomspace(most * 1e-9, most, _STEPS)])
    weight = 1 / (variances + between[:, None])
    total = weight.sum(axis=1)
    mean = (weight * values).sum(axis=1) / total
    q = (weight * (values - mean[:, None]) ** 2).sum(axis=1)
    se = np.sqrt(np.maximum(1.0, q / (k - 1)) / total)
    place = np.interp(-generator.chisquare(k - 1, draws), -q, np.arange(len(q)))
    of_mean, of_se, of_between = (
        np.interp(place, np.arange(len(q)), column) for column in (mean, se, between)
    )
    drawn = of_mean + of_se * generator.standard_t(k - 1, draws)
    drawn += np.sqrt(of_between) * generator.normal(size=draws)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def between_variance(values: np.ndarray, variances: np.ndarray) -> float:
    """Return the variance between sources that has the highest restricted likelihood, 0 or more."""
    most = 4 * float(np.ptp(values)) ** 2 + float(variances.max())
    grid = np.concatenate([[0.0], np.geomspace(most * 1e-8, most, 200)])
    for _ in range(8):  # each time between the neighbours of the best, to all digits
        best = int(np.argmax([_restricted_likelihood(v, values, variances) for v in grid]))
        peak = float(grid[best])
        grid = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 41)
    return peak


def _restricted_likelihood(between: float, values: np.ndarray, variances: np.ndarray) -> float:
    weight = 1 / (variances + between)
    mean = (weight * values).sum() / weight.sum()
    fit = np.log(weight).sum() - math.log(weight.sum()) - (weight * (values - mean) ** 2).sum()
    return float(fit) / 2


def _source_row(name: str, table: pd.DataFrame, positive: str, confidence: float) -> dict[str, Any]:
    """Return a source's AUC, and the variance of its log odds (NaN where it has none)."""
    cluster = cluster_column(table)
    area = ranking.auc(table, positive=positive, confidence=confidence, cluster=cluster)
    row: dict[str, Any] = {str(k): v for k, v in area.iloc[0].to_dict().items()}
    slope = row["value"] * (1 - row["value"])  # of the area over its log odds
    variance = (row["se"] / slope) ** 2 if row["se"] > NO_ERROR and slope > 0 else math.nan
    if math.isnan(variance):
        row["note"] = "; ".join(filter(None, [row["note"], "no part in the mean"]))
    return {**row, "source": name, "variance": variance, "weight": math.nan}


def _areas(value: float, low: float, high: float) -> dict[str, float]:
    """Return log odds as areas."""
    ends = {"value": value, "low": low, "high": high}
    return {name: 1 / (1 + math.exp(-odds)) for name, odds in ends.items()}
