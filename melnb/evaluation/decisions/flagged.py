"""What flagged rows say of a test, every measure with its interval; the worst errors.

Rows of one patient err together, so that they say less than as many patients would. Proportions
take Wilson's interval with the rows divided by the design effect (Rao and Scott 1992, Biometrics
48:577); measures without a proportion behind them are resampled by patient.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from melnb.evaluation.rows import binary_rows, first_by_score, joined_rows
from melnb.evaluation.statistics.bootstrap import percentile_interval, quotient, resampled_sums
from melnb.evaluation.statistics.intervals import NO_ERROR, wilson_interval
from melnb.evaluation.statistics.proportions import Estimate, design_effect, diagnostic_intervals

# The errors worth looking at, and what was called rightly beside them.


def worst_errors(
    predictions: pd.DataFrame, *, positive: str, threshold: float, n: int = 12
) -> pd.DataFrame:
    """Return the n most confident false negatives and the n most confident false positives.

    Returns:
        `error` (`false negative`, `false positive`), `image_id`, `fold`, `truth` (the class),
        `score`; worst first within each kind. No row where the threshold is NaN: none was chosen.
    """
    rows = binary_rows(predictions, positive=positive)
    rows = rows.head(0) if math.isnan(threshold) else rows
    rows = rows.rename(columns={"truth": "is_positive"})
    rows = joined_rows(rows, predictions[["image_id", "truth"]])
    flagged = rows["score"] >= threshold
    entries = []
    for error, wrong, rising in (
        ("false negative", rows["is_positive"] & ~flagged, True),
        ("false positive", ~rows["is_positive"] & flagged, False),
    ):
        worst = first_by_score(rows[wrong], n, rising=rising)
        entries.append(worst.assign(error=error))
    columns = ["error", "image_id", "fold", "truth", "score"]
    return pd.concat(entries, ignore_index=True)[columns]


def image_errors(predictions: pd.DataFrame, *, positive: str) -> pd.DataFrame:
    """Return how wrong the prediction of each image is; NaN where its truth is not known.

    Returns:
        `image_id`; `score`, that of the positive class; `error`, its distance from 1 or 0, the
        truth; `surprise`, -ln of the probability of the true class (Shannon's information, nats;
        1e-12 at least), which tells wrong calls among all classes. Rows as in the predictions.
    """
    score = predictions[f"p_{positive}"].astype(float)
    truth = predictions["truth"]
    error = ((truth == positive).astype(float) - score).abs().where(truth.notna())
    likelihood = pd.Series(np.nan, index=predictions.index)
    for name in truth.dropna().unique():
        if f"p_{name}" in predictions:
            members = truth == name
            likelihood[members] = predictions.loc[members, f"p_{name}"].astype(float)
    table = predictions[["image_id"]].assign(score=score, error=error)
    return table.assign(surprise=-np.log(likelihood.clip(lower=1e-12)) + 0.0)


def surest_calls(
    predictions: pd.DataFrame, *, positive: str, threshold: float, n: int = 6
) -> pd.DataFrame:
    """Return the n most confident hits, misses and false alarms.

    Returns:
        `call` (`hit`, `miss`, `false alarm`), `image_id`, `fold`, `truth` (the class), `score`;
        the surest first within each.
    """
    wrong = worst_errors(predictions, positive=positive, threshold=threshold, n=n)
    names = {"false negative": "miss", "false positive": "false alarm"}
    rows = predictions.assign(score=predictions[f"p_{positive}"], call="hit")
    positives = rows[(rows["truth"] == positive) & (rows["score"] >= threshold)]
    hits = first_by_score(positives, n, rising=False)
    errors = wrong.assign(call=wrong["error"].map(names))
    columns = ["call", "image_id", "fold", "truth", "score"]
    return pd.concat([hits[columns], errors[columns]], ignore_index=True)


def drawn_calls(
    predictions: pd.DataFrame, *, positive: str, n: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Draw n images with a truth, half of them positive as far as there are.

    Returns:
        Columns ending in `_id`, `fold`, `truth` and `group` (the positive class, or `rest`), in
        the order of the predictions.
    """
    judged = predictions[predictions["truth"].notna()]
    group = judged["truth"].where(judged["truth"] == positive, "rest")
    rare = int((group == positive).sum())
    take = {positive: min(rare, max(n // 2, n - (len(judged) - rare)))}
    take["rest"] = min(len(judged) - rare, n - take[positive])
    drawn = [judged[group == name].sample(count, random_state=seed) for name, count in take.items()]
    rows = pd.concat(drawn).sort_index()
    ids = [column for column in rows.columns if str(column).endswith("_id")]
    return rows[[*ids, "fold", "truth"]].assign(group=group).reset_index(drop=True)


def measure_rows(
    truth: np.ndarray,
    flagged: np.ndarray,
    *,
    prevalence: float = 0,
    confidence: float = 0.95,
    beta: float = 2,
    clusters: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return every measure of flagged rows as value, lower and upper limit.

    F-beta weighs sensitivity beta times as much as PPV (van Rijsbergen 1979, Information
    Retrieval); the correlation is Matthews' (1975, Biochimica et Biophysica Acta 405:442). Both,
    like F1, are of the data's own mix whatever the prevalence, and have percentile limits.
    Sensitivity and specificity are taken as independent where a measure joins them.

    Args:
        truth: n booleans, true for a positive row.
        flagged: n booleans.
        prevalence: Where the test will be used; 0: the data's.
        confidence: Of the intervals.
        beta: Of F-beta, above 0: 2 minds what is missed, 0.5 what is flagged in error.
        clusters: n whole numbers from 0; None when every row stands alone.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        By name, as `proportions.diagnostic_intervals`, then `f_beta` and `matthews_correlation`.

    Raises:
        ValueError: `beta` is not above 0.
    """
    if not 0 < beta < math.inf:
        raise ValueError(f"beta is {beta}: use a number above 0, such as 2 or 0.5")
    cells = np.stack([truth & flagged, ~truth & flagged, ~truth & ~flagged, truth & ~flagged])
    tp, fp, tn, fn = (int(cell.sum()) for cell in cells)
    measures = diagnostic_intervals(
        tp, fp, tn, fn,
        prevalence=prevalence,
        confidence=confidence,
        effects=_effects(truth, flagged, clusters),
    )  # fmt: skip
    counts = cells.sum(axis=1, dtype=float)[None]
    drawn = _resampled_counts(cells, clusters, draws, seed)
    for name, values, resampled in (
        ("f_beta", _f_betas(counts, beta), _f_betas(drawn, beta)),
        ("matthews_correlation", _correlations(counts), _correlations(drawn)),
    ):
        se, low, high = (float(v) for v in percentile_interval(resampled, confidence=confidence))
        limits = (low, high) if se > NO_ERROR and values[0] == values[0] else (math.nan,) * 2
        measures[name] = (float(values[0]), limits[0], limits[1])
    return {name: _both_limits(measure) for name, measure in measures.items()}


def limits_by_count(clusters: np.ndarray | None, n: int, *, confidence: float = 0.95) -> np.ndarray:
    """Return the limits of the share k / n, when the first k of n rows are flagged, for every k.

    They are those of `proportions.clustered_wilson`, which asks for one k, for all thresholds of a
    class at once: as a row is flagged, the sums behind the design effect move by what its cluster
    had flagged before.

    Args:
        clusters: n whole numbers, of rows from the highest score down; None: each stands alone.
        n: Number of rows.
        confidence: Of the intervals.

    Returns:
        2 x (n + 1), lower and upper limits; NaN when fewer than two clusters hold rows.
    """
    k = np.arange(n + 1.0)
    if clusters is None or not n:
        return np.stack(wilson_interval(k, n, confidence=confidence))
    codes = np.unique(clusters, return_inverse=True)[1]
    sizes = np.bincount(codes).astype(float)
    order = np.argsort(codes, kind="stable")
    before = np.empty(n)  # of the row's cluster, flagged before it
    before[order] = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes.astype(int))
    squares, products = (
        np.concatenate([[0.0], np.cumsum(steps)]) for steps in (2 * before + 1, sizes[codes])
    )
    share, alike, number = k / n, (sizes**2).sum() / n, len(sizes)
    if number < 2:
        return np.full((2, n + 1), np.nan)
    spread = squares - 2 * share * products + share**2 * alike * n
    with np.errstate(divide="ignore", invalid="ignore"):  # at 0 and n rows are taken to be alike
        effect = np.maximum(1.0, spread * (number / (number - 1)) / (n * share * (1 - share)))
    effect[[0, n]] = alike
    return np.stack(wilson_interval(k / effect, n / effect, confidence=confidence))


def measure_values(
    counts: np.ndarray, *, prevalence: float = 0, beta: float = 2
) -> dict[str, np.ndarray]:
    """Return every measure of many counts at once, without intervals.

    Args:
        counts: draws x 4: true and false positives, true and false negatives.
        prevalence: Where the test will be used; 0: that of each draw.
        beta: Of F-beta.

    Returns:
        By name, as `measure_rows`, draws values each; NaN where the rows that one needs are absent.
    """
    tp, fp, tn, fn = counts.T
    sensitivity, specificity = quotient(tp, tp + fn), quotient(tn, tn + fp)
    share = prevalence or quotient(tp + fn, tp + fp + tn + fn)
    hits, cleared = sensitivity * share, specificity * (1 - share)
    flagged = hits + (1 - specificity) * (1 - share)
    ppv = quotient(hits, flagged)
    false_rate, miss_rate = 1 - specificity, 1 - sensitivity
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": ppv,
        "npv": quotient(cleared, 1 - flagged),
        "number_needed_to_biopsy": _over(np.ones_like(ppv), ppv),
        "likelihood_ratio_positive": _over(sensitivity, false_rate),
        "likelihood_ratio_negative": _over(miss_rate, specificity),
        "flagged": flagged,
        "accuracy": hits + cleared,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "youden": sensitivity + specificity - 1,
        "f1": _f_betas(counts, 1),
        "f_beta": _f_betas(counts, beta),
        "matthews_correlation": _correlations(counts),
    }


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return a ratio, infinite where only what is below is 0."""
    endless = np.where((below == 0) & (above > 0), np.inf, np.nan)
    return np.where(below > 0, quotient(above, below), endless)


def _effects(
    truth: np.ndarray, flagged: np.ndarray, clusters: np.ndarray | None
) -> dict[str, float]:
    every = np.ones_like(truth)
    shares = {
        "sensitivity": (flagged, truth),
        "specificity": (~flagged, ~truth),
        "ppv": (truth, flagged),
        "npv": (~truth, ~flagged),
        "flagged": (flagged, every),
        "accuracy": (truth == flagged, every),
        "f1": (truth & flagged, truth | flagged),
    }
    if clusters is None:
        return {}
    return {name: design_effect(*share, clusters) for name, share in shares.items()}


def _both_limits(measure: Estimate) -> Estimate:
    """Return a measure without limits where one of them is not estimable."""
    value, low, high = measure
    return (value, math.nan, math.nan) if math.isnan(low) or math.isnan(high) else measure


def _resampled_counts(
    cells: np.ndarray, clusters: np.ndarray | None, draws: int, seed: int
) -> np.ndarray:
    """Return draws x 4 counts. Rows that stand alone are drawn as four numbers, not one by one."""
    if clusters is not None and cells.size:
        return resampled_sums(cells.T, clusters=clusters, draws=draws, seed=seed)
    n = cells.shape[1]
    shares = cells.sum(axis=1) / max(n, 1)
    if not n:
        return np.zeros((draws, 4))
    return np.random.default_rng(seed).multinomial(n, shares, size=draws).astype(float)


def _f_betas(counts: np.ndarray, beta: float) -> np.ndarray:
    tp, fp, _, fn = counts.T
    above = (1 + beta**2) * tp
    return quotient(above, above + beta**2 * fn + fp)


def _correlations(counts: np.ndarray) -> np.ndarray:
    tp, fp, tn, fn = counts.T
    below = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return quotient(tp * tn - fp * fn, below)
