"""Sample size: how many images and positives must a validation have?

Each measure is planned by the width that its interval is wished to have. The scores are taken as
normal in each class with one spread, so that AUC and prevalence say all about calibrated
probabilities. Checked by simulation in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.special import ndtri

from melnb.evaluation.statistics.intervals import normal_quantile, wilson_interval
from melnb.evaluation.statistics.logistic import expit

COLUMNS = ("measure", "anticipated", "width", "images", "positives", "patients", "method")
ALL = "all of these"
_MOST = 2**40  # images; what needs more cannot be planned
_NODES = 80  # of the quadrature over normal log odds: exact to seven digits


def sample_plan(
    *,
    prevalence: float,
    auc: float,
    sensitivity: float = 0.9,
    specificity: float = 0.8,
    auc_width: float = 0.1,
    sensitivity_width: float = 0.1,
    specificity_width: float = 0.1,
    slope_width: float = 0.2,
    ratio_width: float = 0.2,
    images_per_patient: float = 1,
    positives_per_patient: float = 0,
    correlation: float | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the images that an external validation needs for intervals of the wished widths.

    Riley et al. 2021, Statistics in Medicine 40:4230, for AUC (Newcombe 2006, Statistics in
    Medicine 25:559), calibration slope and observed / expected; Obuchowski 1998, Statistical
    Methods in Medical Research 7:371, for the AUC again, which asks for more where it is high;
    Wilson's interval for sensitivity and specificity at a threshold that was fixed before.
    Images of one patient count for less by the design effect 1 + (m - 1) x correlation (Kish 1965,
    Survey Sampling), of positives with the positive images of a patient who has one.

    Args:
        prevalence: Of the positive class, between 0 and 1.
        auc: Anticipated, above 0.5 and below 1.
        sensitivity: Anticipated, between 0 and 1.
        specificity: Anticipated, between 0 and 1.
        auc_width: Wished from limit to limit; 0, here and below: not planned for.
        sensitivity_width: Of the sensitivity.
        specificity_width: Of the specificity.
        slope_width: Of the calibration slope, anticipated to be 1.
        ratio_width: Of observed / expected positives, anticipated to be 1.
        images_per_patient: m, in the mean; where patients differ much, their mean weighted by
            their images (Eldridge et al. 2006, International Journal of Epidemiology 35:1292).
        positives_per_patient: Positive images of a patient who has one; 0: as chance has it.
        correlation: Between what is found in two images of a patient, 0 to 1.
        confidence: Of the intervals.

    Returns:
        `COLUMNS`, a row per measure and one for all of them.

    Raises:
        ValueError: An argument is outside its range, nothing is planned, or patients have several
            images whose correlation is not given.
    """
    _check_shares(prevalence=prevalence, sensitivity=sensitivity, specificity=specificity, auc=auc)
    if not 0.5 < auc < 1:
        raise ValueError(f"auc is {auc}: anticipate one above 0.5 and below 1")
    wide, wide_positives = _design_effects(
        prevalence, images_per_patient, positives_per_patient, correlation
    )
    share, z = prevalence, normal_quantile(confidence)
    odds, weights = binormal_log_odds(auc, share)
    planned: list[tuple[str, float, float, Callable[[float], float], str]] = [
        ("AUC", auc, auc_width,
         lambda w: wide * _newcombe_images(auc, share, w / 2 / z), "Riley 2021"),
        ("AUC", auc, auc_width,
         lambda w: obuchowski_positives(auc, (1 - share) / share, w, (wide_positives, wide), z)
         / share, "Obuchowski 1998"),
        ("sensitivity", sensitivity, sensitivity_width,
         lambda w: wide_positives * _wilson_rows(sensitivity, w, confidence) / share, "Wilson"),
        ("specificity", specificity, specificity_width,
         lambda w: wide * _wilson_rows(specificity, w, confidence) / (1 - share), "Wilson"),
        ("calibration slope", 1.0, slope_width,
         lambda w: wide * slope_images(odds, weights, w / 2 / z), "Riley 2021"),
        ("observed / expected", 1.0, ratio_width,
         lambda w: wide * _ratio_images(share, w, z), "Riley 2021"),
    ]  # fmt: skip
    entries = [
        (name, value, width, images(width), method)
        for name, value, width, images, method in planned
        if _check_width(name, width)
    ]
    if not entries:
        raise ValueError("every width is 0: wish for one, such as auc_width 0.1")
    most = max(images for _, _, _, images, _ in entries)
    entries.append((ALL, math.nan, math.nan, most, "the most of them"))
    return pd.DataFrame(_counted(entries, share, images_per_patient), columns=list(COLUMNS))


def binormal_log_odds(auc: float, prevalence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return log odds of calibrated probabilities that have an AUC at a prevalence, with weights.

    If the log odds are normal in both classes with the variance s^2, calibration asks that their
    means lie s^2 apart, about the prevalence's log odds; the AUC is then that of s / sqrt(2).
    """
    variance = 2 * float(ndtri(auc)) ** 2
    node, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    weight = weight / weight.sum()
    base = math.log(prevalence / (1 - prevalence))
    parts = [base + side * variance / 2 + math.sqrt(variance) * node for side in (-1, 1)]
    return np.concatenate(parts), np.concatenate([(1 - prevalence) * weight, prevalence * weight])


def slope_images(log_odds: np.ndarray, weights: np.ndarray, se: float) -> float:
    """Return the images that give the calibration slope of right probabilities a standard error.

    Riley et al. 2021, equation 9: from the information of one row on intercept and slope.

    Args:
        log_odds: k values that the predictions may have; their own, where predictions are at hand.
        weights: k shares of them, which sum to 1.
        se: Wished.
    """
    chance = expit(log_odds)
    spread = weights * chance * (1 - chance)
    none, one, two = (float((spread * log_odds**k).sum()) for k in range(3))
    return none / (se**2 * (none * two - one**2))


def obuchowski_positives(
    auc: float, ratio: float, width: float, effects: tuple[float, float] = (1, 1), z: float = 1.96
) -> float:
    """Return the positives that give an AUC an interval of that width.

    Obuchowski 1998: 0.0099 exp(-a^2 / 2) ((5 a^2 + 8) + (a^2 + 8) / ratio) is the variance of the
    AUC times the positives, for binormal scores of one spread.

    Args:
        auc: Anticipated.
        ratio: Others for each positive.
        width: Wished from limit to limit.
        effects: Design effects of the positives and of the others.
        z: Normal quantile of the interval.
    """
    square = 2 * float(ndtri(auc)) ** 2
    parts = effects[0] * (5 * square + 8) + effects[1] * (square + 8) / ratio
    return 0.0099 * math.exp(-square / 2) * parts * (2 * z / width) ** 2


def _newcombe_images(auc: float, prevalence: float, se: float) -> float:
    def error(n: float) -> float:
        half = n / 2 - 1
        more = 1 + half * (1 - auc) / (2 - auc) + half * auc / (1 + auc)
        return math.sqrt(auc * (1 - auc) * more / (n**2 * prevalence * (1 - prevalence)))

    return _smallest(error, se)


def _wilson_rows(share: float, width: float, confidence: float) -> float:
    def size(n: float) -> float:
        low, high = wilson_interval(share * n, n, confidence=confidence)
        return float(high - low)

    return _smallest(size, width)


def _ratio_images(prevalence: float, width: float, z: float) -> float:
    """Return the images for observed / expected: exp(z se) - exp(-z se) is the width."""
    se = math.asinh(width / 2) / z
    return (1 - prevalence) / (prevalence * se**2)


def _smallest(size: Callable[[float], float], wished: float) -> int:
    """Return the least whole number from 2 whose falling size is at most what is wished."""
    high = 2
    while size(high) > wished:
        high *= 2
        if high > _MOST:
            raise ValueError(f"a width of {wished:g} needs more than {_MOST:,} images: widen it")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if size(middle) <= wished else (middle, high)
    return high


def _design_effects(
    prevalence: float, images: float, positives: float, correlation: float | None
) -> tuple[float, float]:
    """Return by how much more images are needed, and by how much more positive ones."""
    if not 1 <= images < math.inf:
        raise ValueError(f"images_per_patient is {images}: use 1 or more")
    if positives and not 1 <= positives <= images:
        raise ValueError(
            f"positives_per_patient is {positives}: of a patient who has one, from 1 to "
            f"images_per_patient, {images:g}"
        )
    if correlation is None:
        if images > 1:
            raise ValueError(
                f"a patient has {images:g} images: say by correlation how alike they are, from 0 "
                "(not at all) to 1; 0.1 to 0.5 is usual, and more is more careful"
            )
        correlation = 0.0
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation is {correlation}: use a share, 0 to 1")
    # Of a patient's other images as many are positive as of all.
    effect = positives or 1 + (images - 1) * prevalence
    return 1 + (images - 1) * correlation, 1 + (effect - 1) * correlation


def _counted(
    entries: list[tuple[str, float, float, float, str]], prevalence: float, per_patient: float
) -> Iterator[tuple[str, float, float, int, int, int, str]]:
    for name, value, width, images, method in entries:
        number = math.ceil(images - 1e-6)
        counts = (number, math.ceil(number * prevalence - 1e-9), math.ceil(number / per_patient))
        yield (name, value, width, *counts, method)


def _check_width(name: str, width: float) -> bool:
    if not 0 <= width < math.inf:
        raise ValueError(f"the width of {name} is {width}: use one above 0, or 0 to leave it out")
    return width > 0


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ValueError(f"{name} is {share}: use a share between 0 and 1")
