"""What a point is worth when its threshold was chosen on the rows that judge it.

Such a threshold is an estimate too. At a sensitivity of 0.90 the specificity errs by the error of
the threshold as well as by its own, and an interval that takes the threshold as given covers a
third to a half of the time where 95 % is meant. So each resample of the patients chooses anew:
Platt, Hanley and Yang 2000, Statistics in Medicine 19:313; Hall, Hyndman and Fan 2004, Biometrika
91:743.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.flagged import measure_values
from melnb.evaluation.decisions.thresholds import ABOVE, NO_STEP, Choice, chosen_steps
from melnb.evaluation.rows import absent_interval, few_remark, row_clusters, threshold_counts
from melnb.evaluation.statistics import bootstrap
from melnb.evaluation.statistics.bootstrap import ranking_steps
from melnb.evaluation.statistics.intervals import NO_ERROR
from melnb.evaluation.statistics.proportions import Estimate

THRESHOLD = "threshold"
# What a choice holds at the wanted value does not vary over resamples; in new patients it does.
HELD: Mapping[Choice, tuple[str, ...]] = {
    "sensitivity": ("sensitivity",),
    "specificity": ("specificity",),
    "ppv": ("ppv", "number_needed_to_biopsy"),
}
_OPTIMA: tuple[Choice, ...] = ("cost", "youden")  # seek the best of the rows
# A choice flatters what joins both classes; these it trades for each other, to either side.
_TRADED = (THRESHOLD, "sensitivity", "specificity", "flagged")
_FEWEST = 6  # of the smallest of the four counts: with fewer, limits cover less than they say
FLATTERED = (
    "rough: {} seeks the optimum of these very rows, so that the limits of Youden's J, balanced "
    "accuracy and Matthews' correlation cover some 90 %"
)
_NOTHING = (math.nan, math.nan)
_RATIOS = ("likelihood_ratio_positive", "likelihood_ratio_negative")
_SIGNED = ("youden", "matthews_correlation")  # from -1 to 1, all others from 0


def rechosen_measures(
    rows: pd.DataFrame,
    fixed: Mapping[str, Estimate],
    *,
    threshold: float,
    choose: Choice,
    at: float,
    cluster: str = "",
    confidence: float = 0.95,
    **options: Any,
) -> tuple[dict[str, Estimate], tuple[float, float], str]:
    """Return measures of a point whose threshold these rows chose, with limits that know it.

    Args:
        rows: `rows.binary_rows` that chose it.
        fixed: `flagged.measure_rows` at it.
        threshold: Itself.
        choose: As in `operating_point.operating_point`; any but `threshold`.
        at: The wanted value.
        cluster: A column, such as `patient_id`, that is resampled whole.
        confidence: Of the intervals.
        options: `prevalence`, `beta`, `draws`, `seed` of `rechosen_limits`.

    Returns:
        The measures; the limits of the threshold; a remark. What the choice holds at its value
        (`HELD`), and what no resample changes, keeps the limits at this fixed threshold.
    """
    held = HELD.get(choose, ())
    why = _not_anew(rows, cluster, int(options.get("draws", 1000)))
    limits: dict[str, tuple[float, float]] = {}
    if not why:
        clusters = row_clusters(rows, cluster)
        limits = rechosen_limits(
            rows, choose=choose, at=at, clusters=clusters, confidence=confidence, **options
        )
    few = few_counts(rows, threshold)
    measures = {}
    for name, (value, *fixed_limits) in fixed.items():
        kept = name in held or (not why and name not in limits)
        low, high = fixed_limits if kept else limits.get(name, _NOTHING)
        # What was moved down may end below the value; and where few rows are behind a count, all
        # resamples may say 1: then the limits at the fixed threshold know better.
        bounds = [end for end in (low, high, value, *(fixed_limits if few else ())) if end == end]
        ends = (min(bounds), max(bounds)) if low == low else _NOTHING
        measures[name] = (value, *ends) if value == value else (value, *_NOTHING)
    words = f"the choice holds {choose} at {at:g} or above: its limits are at this fixed threshold"
    remarks = [words if held else "", why or few_remark(rows, cluster)]
    remarks += [] if why else [few, FLATTERED.format(choose) if choose in _OPTIMA else ""]
    return measures, limits.get(THRESHOLD, _NOTHING), "; ".join(filter(None, remarks))


def rechosen_limits(
    rows: pd.DataFrame,
    *,
    choose: Choice,
    at: float,
    prevalence: float = 0,
    confidence: float = 0.95,
    beta: float = 2,
    clusters: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return percentile limits of the threshold and of every measure, chosen anew in each resample.

    Args:
        rows: `rows.binary_rows` of both classes.
        clusters: n whole numbers from 0: whole clusters are drawn, not rows.

    The rest are those of `operating_point.operating_point`; `choose` is any but `threshold`.

    A choice flatters what joins both classes, in a resample as in the rows. Limits are moved by
    what a resample's own choice is better on the resample than on the rows: the optimism of Efron
    and Tibshirani 1993, chapter 17. So NPV, which plain limits cover in 82 to 91 % of simulations,
    is covered in 94 to 98 %, unless hardly a positive is missed.

    Returns:
        By name, as `flagged.measure_values`, and `threshold`: lower and upper limit, NaN where
        half the resamples or more lack it. What no resample changes is absent.
    """
    thresholds, counts = rechosen_counts(
        rows, choose=choose, at=at, prevalence=prevalence, clusters=clusters, draws=draws, seed=seed
    )
    values = _drawn_values(thresholds, counts, prevalence=prevalence, beta=beta)
    on_rows = counts_at_each(rows, thresholds)
    judged = _drawn_values(thresholds, on_rows, prevalence=prevalence, beta=beta)
    limits = {}
    for name, shown in values.items():
        se, *ends = (float(v) for v in bootstrap.percentile_interval(shown, confidence=confidence))
        if not se <= NO_ERROR:
            if name not in _TRADED:
                optimism, least = _mean(shown - judged[name]), -1.0 if name in _SIGNED else 0.0
                ends = [min(max(end - optimism, least), 1.0) for end in ends]
            low, high = (_ratio(v) for v in ends) if name in _RATIOS else ends
            limits[name] = (low, high)
    if "ppv" in limits:  # the reciprocal has the reciprocal limits
        limits["number_needed_to_biopsy"] = (_over(limits["ppv"][1]), _over(limits["ppv"][0]))
    return limits


def _drawn_values(
    thresholds: np.ndarray, counts: np.ndarray, *, prevalence: float, beta: float
) -> dict[str, np.ndarray]:
    """Return threshold and measures of each draw.

    Ratios may be infinite: of r, 1 - 1 / (1 + r) is not, and has the same percentiles.
    """
    values = measure_values(counts, prevalence=prevalence, beta=beta)
    shown = {name: 1 - 1 / (1 + v) if name in _RATIOS else v for name, v in values.items()}
    del shown["number_needed_to_biopsy"]  # 1 / PPV
    return {THRESHOLD: thresholds} | shown


def counts_at_each(rows: pd.DataFrame, thresholds: np.ndarray) -> np.ndarray:
    """Return true and false positives, true and false negatives of all rows at each threshold.

    Args:
        rows: `rows.binary_rows`.
        thresholds: Numbers; NaN where there is none.

    Returns:
        Thresholds x 4, NaN where there is none.
    """
    scores, hits, false = threshold_counts(rows)
    place = np.searchsorted(-scores, -thresholds, side="right")  # how many lie at or above it
    tp, fp = (np.append(0.0, counts)[place] for counts in (hits, false))
    cells = np.stack([tp, fp, false[-1] - fp, hits[-1] - tp], axis=1)
    cells[np.isnan(thresholds)] = np.nan
    return cells


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else 0.0


def few_counts(rows: pd.DataFrame, threshold: float) -> str:
    """Return that limits may cover less than they say, one of four counts being small, or nothing.

    With 1 to 4 positives missed they cover 86 to 93 % in simulations (`test_coverage`).
    """
    counts = counts_at_each(rows, np.array([threshold]))[0]
    names = (
        "positives are flagged", "others are flagged", "others are left alone",
        "positives are missed",
    )  # fmt: skip
    least = int(counts.argmin())
    few = f"rough: only {counts[least]:.0f} {names[least]}, of {_FEWEST} or more"
    return few if counts[least] < _FEWEST else ""


def rechosen_counts(
    rows: pd.DataFrame,
    *,
    choose: Choice,
    at: float,
    prevalence: float,
    clusters: np.ndarray | None,
    draws: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the threshold that each resample chooses, and its counts in that resample.

    Returns:
        draws thresholds and draws x 4 counts (true and false positives, true and false negatives);
        NaN where a resample lacks a class or no threshold will do.
    """
    truth, score = rows["truth"].to_numpy(), rows["score"].to_numpy()
    # A threshold that keeps a specificity lies between two negatives; any other at a positive.
    scores, place = np.unique(-score, return_inverse=True)
    steps = place if choose == "specificity" else ranking_steps(truth, score)
    highest = np.full(int(steps.max()) + 1, -np.inf)
    np.maximum.at(highest, steps, -scores[place])
    count = partial(_chosen_counts, choose=choose, at=at, prevalence=prevalence)
    resampled = bootstrap.resampled_statistics(
        truth, score, statistics=[count], draws=draws, seed=seed, clusters=clusters, steps=steps
    )[:, 0]
    step = resampled[:, 0]
    estimable = np.isfinite(step)
    thresholds = np.full(len(step), np.nan)
    thresholds[estimable] = np.where(
        step[estimable] == ABOVE,
        np.nextafter(highest[0], np.inf),
        highest[step[estimable].astype(int)],
    )
    return thresholds, resampled[:, 1:]


def _chosen_counts(
    positives: np.ndarray, negatives: np.ndarray, *, choose: Choice, at: float, prevalence: float
) -> np.ndarray:
    """Return the chosen step of each draw and its four counts, draws x 5.

    Args:
        positives: draws x steps, counts from the highest score down.
        negatives: As positives.
    """
    hits, false = np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
    cells = np.full((len(hits), 5), np.nan)
    both = np.flatnonzero((hits[:, -1] > 0) & (false[:, -1] > 0))
    if len(both) < len(hits):
        hits, false = hits[both], false[both]
    if not len(both):
        return cells
    step = chosen_steps(hits, false, choose=choose, at=at, prevalence=prevalence)
    draws = np.arange(len(step))
    tp, fp = (np.where(step < 0, 0, counts[draws, np.maximum(step, 0)]) for counts in (hits, false))
    every = np.stack([step, tp, fp, false[:, -1] - fp, hits[:, -1] - tp], axis=1)
    every[step == NO_STEP] = np.nan
    cells[both] = every
    return cells


def _over(share: float) -> float:
    """Return 1 / share."""
    return 1 / share if share > 0 else math.inf


def _ratio(share: float) -> float:
    """Return r of 1 - 1 / (1 + r)."""
    return math.inf if share >= 1 else share / (1 - share)


def _not_anew(rows: pd.DataFrame, cluster: str, draws: int) -> str:
    """Return why no threshold can be chosen anew, or an empty text."""
    why = absent_interval(rows, math.inf, cluster)
    return why or (f"interval not estimable: draws is {draws}, of two or more" if draws < 2 else "")
