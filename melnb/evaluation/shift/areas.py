"""External validation and meta-analysis: does it rank the lesions of other sources as well?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.discrimination.classes import ALL, class_scores
from melnb.evaluation.rows import absent_interval, binary_rows, estimate, row_clusters
from melnb.evaluation.statistics import intervals
from melnb.evaluation.statistics.intervals import NO_ERROR, normal_quantile, with_holm
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.evaluation.summaries import cluster_column, result_name
from melnb.tables.schema import class_names

# Does it tell all classes apart elsewhere, not only the one looked for?

CLASS_COLUMNS = (
    "source", "metric", "class", "value", "low", "high", "difference", "difference_low",
    "difference_high", "n", "positives", "method", "note",
)  # fmt: skip
_OTHER_CLASSES = "not compared: the internal source's classes are others"


def external_classes(
    tables: Mapping[str, pd.DataFrame], *, confidence: float = 0.95
) -> pd.DataFrame:
    """Return `classes.class_scores` of each source, and less the internal one's.

    A source is judged by the classes that it has images of, and compared with the internal one by
    the same: of seven classes with three, the mean of seven less that of three would say nothing.
    Limits of differences are those of `areas.difference`.

    Args:
        tables: `other_sources.all_class_tables`; the first is the internal one.
        confidence: Of the intervals.

    Returns:
        `source`, `metric`, `class` (`all`: their mean), `value`, `low`, `high`, `difference` with
        `…_low` and `…_high`, `n`, `positives`, `method`, `note`.
    """
    entries = []
    home = next(iter(tables.values()), pd.DataFrame())
    for name, table in tables.items():
        scores = class_scores(table, confidence=confidence, cluster=cluster_column(table))
        alike = table is not home and {*class_names(table)} == {*class_names(home)}
        if alike:
            present = tuple(c for c in class_names(home) if (table["truth"] == c).any())
            at_home = class_scores(
                home, classes=present, confidence=confidence, cluster=cluster_column(home)
            )
            scores = _compared(scores, at_home, normal_quantile(confidence))
        elif table is not home:
            scores["note"] = [
                f"{note}; {_OTHER_CLASSES}".removeprefix("; ") for note in scores["note"]
            ]
        entries.append(scores.assign(source=name))
    names = list(CLASS_COLUMNS)
    return (
        pd.concat(entries, ignore_index=True).reindex(columns=names)
        if entries
        else pd.DataFrame(columns=names)
    )


def class_areas_by_source(table: pd.DataFrame) -> dict[str, list[float]]:
    """Return what `run.json` keeps: each mean over all classes, of each external source in turn."""
    together = table[table["class"] == ALL]
    inside = together["source"] == together["source"].head(1).squeeze()
    measures = together["metric"].map(result_name)
    parts = together[~inside].groupby(measures[~inside], sort=False)
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {
        f"external_{name}{end}": rows[column].tolist()
        for name, rows in parts
        for end, column in ends.items()
    }


def _compared(scores: pd.DataFrame, home: pd.DataFrame, z: float) -> pd.DataFrame:
    """Add the differences from the internal source, by metric and class."""
    of_home = {(r["metric"], r["class"]): r for r in _records(home)}
    less: list[dict[str, float]] = []
    for row in _records(scores):
        first = of_home.get((row["metric"], row["class"]))
        area = "AUC" in str(row["metric"])
        less.append({} if first is None else difference(row, first, z, normal=area))
    return scores.join(pd.DataFrame(less, index=scores.index))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(c): cell for c, cell in row.items()} for row in table.to_dict("records")]


AUC, PREVALENCE = "AUC", "prevalence"
_ENDS = {"": "value", "_low": "low", "_high": "high"}
COLUMNS = (
    "source", "metric", "value", "low", "high", "difference", "difference_low", "difference_high",
    "p", "n", "positives", "method", "note",
)  # fmt: skip


def external_metrics(
    tables: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return AUC, average precision and prevalence of each source, and less the internal one's.

    Sources are independent samples: of areas the variances add (DeLong et al. 1988, Biometrics
    44:837), of the others limits are recovered from both (`intervals.difference_interval`).
    Patients, else lesions, count as one where a source knows them. Average precision falls with
    prevalence even where the ranking is the same, so its difference says little by itself.

    Args:
        tables: `other_sources.source_tables`; the first is the internal one.
        positive: The class looked for.
        confidence: Of the intervals.
        draws: Resamples behind average precision.
        seed: Of the resamples.

    Returns:
        `source`, `metric`, `value`, `low`, `high`, `difference` with `…_low` and `…_high`, `p`
        (that areas are equal; NaN for the others), `p_holm` (for the number of sources), `n`,
        `positives`, `method`, `note`.
    """
    entries: list[dict[str, object]] = []
    reference: dict[str, dict[str, Any]] = {}
    z = intervals.normal_quantile(confidence)
    for name, table in tables.items():
        cluster = cluster_column(table)
        how: dict[str, Any] = {"positive": positive, "confidence": confidence, "cluster": cluster}
        precision = ranking.average_precision(table, draws=draws, seed=seed, **how)
        share = _prevalence(table, positive, confidence, cluster)
        estimates = pd.concat([ranking.auc(table, **how), precision, share])
        for record in estimates.to_dict("records"):
            row = {str(column): cell for column, cell in record.items()}
            metric = str(row["metric"])
            first = reference.setdefault(metric, row)
            compared = {} if first is row else difference(row, first, z, normal=metric == AUC)
            entries.append({"source": name, **row, **compared})
    return with_holm(pd.DataFrame(entries, columns=list(COLUMNS)))


def areas_by_source(table: pd.DataFrame) -> dict[str, Any]:
    """Return what `run.json` keeps of `external_metrics`: the areas, each external one in turn."""
    areas = table[table["metric"] == AUC]
    home, away = areas.iloc[0], areas.iloc[1:]
    facts: dict[str, Any] = {"sources": away["source"].tolist()}
    facts |= {f"external_auc{end}": away[limit].tolist() for end, limit in _ENDS.items()}
    facts |= {c: away[c].tolist() for c in ("difference", "difference_low", "difference_high")}
    return facts | {f"internal_auc{end}": home[limit] for end, limit in _ENDS.items()}


def difference(
    row: Mapping[str, Any], first: Mapping[str, Any], z: float, *, normal: bool
) -> dict[str, float]:
    """Return an estimate less the internal source's, with its limits.

    Args:
        row: `value`, `low`, `high` and, of an area, `se`.
        first: The same, of the internal source.
        z: The normal quantile of the confidence.
        normal: Whether variances add, as of areas; else limits are recovered from both.
    """
    value, low, high = intervals.difference_interval(_limits(row), _limits(first))
    p = math.nan
    if normal:
        se = math.hypot(row["se"], first["se"])
        low, high = value - z * se, value + z * se
        p = intervals.two_sided_p(value / se) if se > 0 else p
    return {"difference": value, "difference_low": low, "difference_high": high, "p": p}


def _limits(row: Mapping[str, Any]) -> tuple[float, float, float]:
    return row["value"], row["low"], row["high"]


def _prevalence(
    table: pd.DataFrame, positive: str, confidence: float, cluster: str
) -> pd.DataFrame:
    rows = binary_rows(table, positive=positive)
    truth = rows["truth"].to_numpy(dtype=bool)
    clusters = row_clusters(rows, cluster)
    value, low, high = clustered_wilson(truth, truth | True, clusters, confidence=confidence)
    return estimate(
        PREVALENCE,
        value,
        rows,
        limits=(low, high),
        method=f"Wilson by {cluster}" if cluster else "Wilson",
        reason="" if low == low else absent_interval(rows, math.nan, cluster),
    )


# Random-effects meta-analysis over sources: the mean, the spread, and the next one.

SUMMARY, NEXT = "mean of sources", "another source"
SUMMARY_COLUMNS = (
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
    return pd.DataFrame([*entries, mean, coming], columns=list(SUMMARY_COLUMNS))


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
