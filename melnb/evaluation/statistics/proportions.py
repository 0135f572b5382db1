"""Proportions of rows that come in clusters: a patient's images are right or wrong together.

Of one test (Wilson), and of two tests on the same rows (Tango).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from melnb.evaluation.rows import row_clusters
from melnb.evaluation.statistics import bootstrap
from melnb.evaluation.statistics.intervals import mean_interval, normal_quantile, wilson_interval

# Means of any scores of images, by group, with intervals that know who belongs together.


def grouped_means(
    scores: pd.DataFrame,
    columns: Sequence[str],
    *,
    by: Sequence[str] = (),
    cluster: str = "",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the mean of columns in each group, with percentile intervals of a bootstrap.

    Args:
        scores: A row per image, or several that name their image or patient in `cluster`.
        columns: Of numbers; NaN is left out, and counted.
        by: Columns whose values make the groups, in order of appearance; none: one group.
        cluster: A column, such as `patient_id`, that is resampled whole; a row whose cluster is
            unknown stands alone. Empty: rows are.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        A row per group and column: `by`, `metric`, `value`, `se`, `low`, `high`, `n`, `left_out`,
        `note`.

    Raises:
        TableError: There is no column `cluster`.
    """
    groups = scores.groupby(list(by), sort=False) if by else [((), scores)]
    rows = []
    for key, group in groups:
        labels = dict(zip(by, key, strict=True))
        for column in columns:
            values = pd.to_numeric(group[column]).to_numpy(dtype=float)
            finite = group[np.isfinite(values)]
            estimate = _mean_of_column(finite, column, cluster, confidence, draws, seed)
            left_out = len(group) - len(finite)
            rows.append({**labels, "metric": column, **estimate, "left_out": left_out})
    order = [*by, "metric", "value", "se", "low", "high", "n", "left_out", "note"]
    return pd.DataFrame(rows, columns=order)


def _mean_of_column(
    rows: pd.DataFrame, column: str, cluster: str, confidence: float, draws: int, seed: int
) -> dict[str, object]:
    values = pd.to_numeric(rows[column]).to_numpy(dtype=float)
    clusters = row_clusters(rows, cluster)
    number = len(values) if clusters is None else int(clusters.max(initial=-1)) + 1
    mean = float(values.mean()) if len(values) else math.nan
    estimate = {"value": mean, "se": math.nan, "low": math.nan, "high": math.nan, "n": len(values)}
    if number < 2:
        why = f"of one {cluster or 'row'} alone" if number else "there is no such row"
        return {**estimate, "note": f"interval not estimable: {why}"}
    resampled = bootstrap.resampled_means(
        values[:, None], clusters=clusters, draws=draws, seed=seed
    )
    interval = bootstrap.percentile_interval(resampled[:, 0], confidence=confidence)
    return {
        **estimate,
        **dict(zip(("se", "low", "high"), map(float, interval), strict=True)),
        "note": "",
    }


# What four counts say of a test: proportions, their ratios, and each with its limits.

Estimate = tuple[float, float, float]  # value, lower and upper limit
_PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "flagged", "accuracy", "f1")


def ratio_interval(
    above: tuple[float, int],
    below: tuple[float, int],
    *,
    confidence: float = 0.95,
    effects: tuple[float, float] = (1.0, 1.0),
) -> Estimate:
    """Return the ratio of two independent proportions and its limits.

    The limits are recovered from Wilson's, so that they stand when a count is 0, where the usual
    logarithm fails: Donner and Zou 2012, Statistical Methods in Medical Research 21:347.

    Args:
        above: Successes and number of the upper proportion.
        below: Those of the lower one.
        confidence: Of the interval.
        effects: Design effects of both: each counts for so many times fewer rows.

    Returns:
        Ratio and limits; the ratio and the upper limit are infinite when the lower proportion is
        0 (the ratio NaN when both are), and all are NaN when a number is 0.
    """
    if not above[1] or not below[1]:
        return math.nan, math.nan, math.nan
    p, q = above[0] / above[1], below[0] / below[1]
    _, p_low, p_high = _proportion(*above, confidence=confidence, effect=effects[0])
    _, q_low, q_high = _proportion(*below, confidence=confidence, effect=effects[1])
    ratio = p / q if q else (math.inf if p else math.nan)
    low = _ratio_limit(p, q, p_low, q_high, sign=-1)
    high = _ratio_limit(p, q, p_high, q_low, sign=1) if not q_low <= 0 else math.inf
    return ratio, low, high


def diagnostic_intervals(
    tp: int,
    fp: int,
    tn: int,
    fn: int,
    *,
    prevalence: float = 0,
    confidence: float = 0.95,
    effects: Mapping[str, float] | None = None,
) -> dict[str, Estimate]:
    """Return what four counts say of a test, each as value, lower and upper limit.

    At a prevalence other than the data's, predictive values follow from the likelihood ratios, and
    so do their limits. F1 is 2J / (1 + J), where J = tp / (tp + fp + fn) is a proportion; it is
    the data's at any prevalence.

    Args:
        tp: True positives.
        fp: False positives.
        tn: True negatives.
        fn: False negatives.
        prevalence: Where the test will be used; 0: the data's.
        confidence: Of the intervals.
        effects: Design effects of proportions (sensitivity, specificity, ppv, npv, flagged,
            accuracy, f1): in the limits, rows count for so many times fewer (Rao and Scott 1992,
            Biometrics 48:577). NaN gives no limits; absent: 1.

    Returns:
        By name; all three are NaN where the rows that a measure needs are absent.
    """
    wide = dict.fromkeys(_PROPORTIONS, 1.0) | dict(effects or {})
    limits = _proportions(tp, fp, tn, fn, confidence=confidence, effects=wide)
    sensitivity, specificity = limits["sensitivity"], limits["specificity"]
    ratio = partial(
        ratio_interval, confidence=confidence, effects=(wide["sensitivity"], wide["specificity"])
    )
    positive_ratio = ratio((tp, tp + fn), (fp, fp + tn))
    negative_ratio = ratio((fn, tp + fn), (tn, fp + tn))
    if prevalence:
        limits["ppv"] = _posterior(positive_ratio, prevalence)
        limits["npv"] = _complement(_posterior(negative_ratio, prevalence))
        limits |= _mixed(sensitivity, specificity, prevalence)
    balanced = _mean(sensitivity, specificity, (0.5, 0.5))
    measures = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": limits["ppv"],
        "npv": limits["npv"],
        "number_needed_to_biopsy": _number_needed(limits["ppv"]),
        "likelihood_ratio_positive": positive_ratio,
        "likelihood_ratio_negative": negative_ratio,
        "flagged": limits["flagged"],
        "accuracy": limits["accuracy"],
        "balanced_accuracy": balanced,
        "youden": _each(balanced, lambda v: 2 * v - 1),
        "f1": _each(limits["f1"], lambda v: 2 * v / (1 + v)),
    }
    nothing = (math.nan, math.nan, math.nan)
    return {name: nothing if math.isnan(v[0]) else v for name, v in measures.items()}


def _proportions(
    tp: int, fp: int, tn: int, fn: int, *, confidence: float, effects: Mapping[str, float]
) -> dict[str, Estimate]:
    """Return each of `_PROPORTIONS` in the data; of F1, the J that it is made of."""
    n = tp + fp + tn + fn
    counts = {
        "sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp), "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn), "flagged": (tp + fp, n), "accuracy": (tp + tn, n),
        "f1": (tp, tp + fp + fn),
    }  # fmt: skip
    return {
        name: _proportion(*counts[name], confidence=confidence, effect=effects[name])
        for name in _PROPORTIONS
    }


def _mixed(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> dict[str, Estimate]:
    """Return the shares of all rows that are flagged and judged rightly at that prevalence."""
    shares = (prevalence, 1 - prevalence)
    return {
        "flagged": _mean(sensitivity, _complement(specificity), shares),
        "accuracy": _mean(sensitivity, specificity, shares),
    }


def _proportion(k: float, n: int, *, confidence: float, effect: float = 1.0) -> Estimate:
    low, high = wilson_interval(k / effect, n / effect, confidence=confidence)
    return (k / n if n else math.nan), float(low), float(high)


def _complement(estimate: Estimate) -> Estimate:
    return 1 - estimate[0], 1 - estimate[2], 1 - estimate[1]


def _number_needed(ppv: Estimate) -> Estimate:
    """Return how many are flagged for each that is found; the limits change places."""
    value, low, high = _each(ppv, lambda v: 1 / v if v else math.inf)
    return value, high, low


def _each(estimate: Estimate, rising: Callable[[float], float]) -> Estimate:
    """Return a function of an estimate, and its limits where the function rises."""
    return rising(estimate[0]), rising(estimate[1]), rising(estimate[2])


def _mean(first: Estimate, second: Estimate, shares: tuple[float, float]) -> Estimate:
    values, lows, highs = zip(first, second, strict=True)
    return mean_interval(values, lows, highs, shares)


def _posterior(ratio: Estimate, prevalence: float) -> Estimate:
    """Return the probabilities of disease after a result with this likelihood ratio."""
    odds = [prevalence / (1 - prevalence) * value for value in ratio]
    after = [1.0 if math.isinf(o) else o / (1 + o) for o in odds]
    return after[0], after[1], after[2]


def _ratio_limit(p: float, q: float, p_limit: float, q_limit: float, *, sign: int) -> float:
    square = q_limit * (2 * q - q_limit)
    root = math.sqrt(max((p * q) ** 2 - p_limit * (2 * p - p_limit) * square, 0.0))
    if square == 0:  # the quadratic has become a line
        return p_limit * (2 * p - p_limit) / (2 * p * q)
    return max((p * q + sign * root) / square, 0.0)


Counts = tuple[float, float, float]  # first alone, second alone, both and neither too


def clustered_wilson(
    hits: np.ndarray,
    counted: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """Return a proportion and its limits, counting each cluster for what it tells.

    The number of rows is divided by the design effect (never below 1) and goes into Wilson's
    interval: Rao and Scott 1992, Biometrics 48:577. At 0 and at 1 no effect can be estimated, and
    the rows of a cluster are taken to be wholly alike, which is the widest.

    Args:
        hits: n booleans: what is looked for.
        counted: n booleans: the rows that the proportion is of.
        clusters: n whole numbers from 0; None: every row stands alone.
        confidence: Of the interval.

    Returns:
        Proportion and limits, NaN where no row counts; limits NaN when one cluster holds all.
    """
    total = float(counted.sum())
    successes = float((hits & counted).sum())
    if not total:
        return math.nan, math.nan, math.nan
    effect = 1.0 if clusters is None else design_effect(hits, counted, clusters)
    if math.isnan(effect):
        return successes / total, math.nan, math.nan
    low, high = wilson_interval(successes / effect, total / effect, confidence=confidence)
    return successes / total, float(low), float(high)


def design_effect(hits: np.ndarray, counted: np.ndarray, clusters: np.ndarray) -> float:
    """Return how many rows tell as much of a proportion as one that stands alone, 1 or more.

    Arguments are those of `clustered_wilson`; NaN when fewer than two clusters hold rows.
    """
    sizes = np.bincount(clusters, weights=counted)
    per_cluster = np.bincount(clusters, weights=hits & counted)[sizes > 0]
    sizes = sizes[sizes > 0]
    number, total = len(sizes), sizes.sum()
    if number < 2:
        return math.nan
    share = per_cluster.sum() / total
    if share in (0, 1):
        return float((sizes**2).sum() / total)
    spread = ((per_cluster - share * sizes) ** 2).sum() * number / (number - 1)
    return max(1.0, float(spread / (total * share * (1 - share))))


def paired_counts(
    first: np.ndarray, second: np.ndarray, clusters: np.ndarray | None = None
) -> Counts:
    """Return how often the first alone is right, the second alone, and of how many rows.

    With clusters each count is divided by the design effect of the difference (never below 1), as
    in `clustered_wilson`: Rao and Scott 1992, and Obuchowski 1998, Statistics in Medicine 17:1495,
    for the variance between the clusters.

    Args:
        first: n booleans.
        second: n booleans, of the same rows.
        clusters: n whole numbers from 0; None: every row stands alone.

    Returns:
        Three numbers; NaN when one cluster holds all rows.
    """
    counts = float((first & ~second).sum()), float((second & ~first).sum()), float(len(first))
    if clusters is None or not len(first):
        return counts
    lead = first.astype(float) - second
    sizes = np.bincount(clusters).astype(float)
    leads = np.bincount(clusters, weights=lead)[sizes > 0]
    sizes = sizes[sizes > 0]
    number, n = len(sizes), counts[2]
    if number < 2:
        return math.nan, math.nan, math.nan
    mean = lead.mean()
    alone = (lead**2).sum() - n * mean**2
    if alone <= 0:  # nothing differs, or all does: the rows of a cluster are taken to be alike
        effect = (sizes**2).sum() / n
    else:
        spread = ((leads - mean * sizes) ** 2).sum() * number / (number - 1)
        effect = max(1.0, float(spread / alone))
    return counts[0] / effect, counts[1] / effect, n / effect


def tango_score(counts: Counts, difference: float) -> float:
    """Return how many errors the difference of paired shares lies above a supposed one.

    Tango 1998, Statistics in Medicine 17:891. It is sound where few pairs differ, or none.

    Args:
        counts: `paired_counts`.
        difference: Supposed, from -1 to 1.
    """
    first, second, n = counts
    b = -first - second + (2 * n - first + second) * difference
    c = -second * difference * (1 - difference)
    share = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    above = first - second - n * difference
    if variance <= 0:
        return math.copysign(math.inf, above) if above else 0.0
    return above / math.sqrt(variance)


def tango_interval(counts: Counts, *, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the difference of two paired shares and Tango's limits (see `tango_score`).

    Args:
        counts: `paired_counts`.
        confidence: Of the interval.

    Returns:
        Difference, lower and upper limit; NaN where there are no rows or one cluster.
    """
    first, second, n = counts
    if not n > 0:
        return math.nan, math.nan, math.nan
    value, z = (first - second) / n, normal_quantile(confidence)
    return value, _tango_limit(counts, -1.0, value, z), _tango_limit(counts, value, 1.0, -z)


def _tango_limit(counts: Counts, low: float, high: float, score: float) -> float:
    """Return where the falling score has that value, by halving: to the last digits."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tango_score(counts, middle) > score else (low, middle)
    return (low + high) / 2
