"""Cross-calibration: each fold by what the others taught; no patient its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.calibration_scores import recalibration
from melnb.evaluation.calibration.calibrators import (
    METHODS,
    Calibrator,
    Method,
    calibrate,
    fit_calibrator,
    fit_values,
    write_calibrator,
)
from melnb.evaluation.calibration.prevalence import (
    class_values,
    probability_rows,
    truth_codes,
    with_values,
)
from melnb.evaluation.calibration.reliability import (
    Measured,
    Sums,
    calibration_errors,
    proper_scores,
    resampled_bins,
)
from melnb.evaluation.discrimination.within_folds import Networks, with_mean
from melnb.evaluation.rows import absent_interval, crossfit_parts
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import write_predictions


def cross_calibrate(
    predictions: pd.DataFrame,
    *,
    method: Method,
    positive: str = "",
    smoothing: float = 0.0,
    cluster: str = "",
    run: str = "",
) -> tuple[pd.DataFrame, Calibrator]:
    """Return honestly calibrated predictions, and the calibrator for rows to come.

    Out-of-fold rows are calibrated by what was fitted on the other folds; a single fold is cut into
    five parts by patient (scikit-learn's `GroupKFold`) first. Test rows are calibrated by what was
    fitted on all out-of-fold rows, which is the calibrator returned. Folds get different
    calibrators, so ranks hold within a fold and may change between folds.

    Args:
        predictions: Predictions table.
        method: See `calibrators.fit_calibrator`.
        positive: Of two classes, the one whose values are taken; empty: the second.
        smoothing: Of the labels that the network was trained on.
        cluster: What a single fold is not to be cut through; empty: patients, else lesions, else
            rows, whichever are known.
        run: The name of the result; empty: as it was.

    Raises:
        ValueError: See `fit_calibrator`.
        TableError: See `fit_calibrator`; or too little is left when a part is set aside.
    """
    values = class_values(predictions)
    part = _parts(predictions, cluster)
    fitted = _part_calibrators(predictions, part, method, positive, smoothing)
    calibrated = np.empty_like(values)
    for block in _each(part):
        calibrated[block] = fitted[int(part[block][0])].apply(values[block])
    frozen = fitted[TEST]
    return with_values(predictions, frozen.classes, calibrated, run=run), frozen


def calibrate_networks(
    predictions: pd.DataFrame,
    networks: Networks,
    *,
    method: Method,
    positive: str = "",
    smoothing: float = 0.0,
    cluster: str = "",
) -> dict[int, pd.DataFrame]:
    """Return each network's predictions, calibrated as the out-of-fold rows of its fold are.

    So a test row that one network judges is treated as an out-of-fold row was, and a threshold
    that was chosen on these means the same. Arguments are those of `cross_calibrate`, and:

    Args:
        networks: Fold and predictions of the network that was trained without it.

    Returns:
        The same, calibrated by what was fitted on the other folds; by what was fitted on all where
        the predictions hold no such fold.
    """
    if not networks:
        return {}
    part = _parts(predictions, cluster)
    fitted = _part_calibrators(predictions, part, method, positive, smoothing)
    whole = len(np.unique(part[part != TEST])) == predictions.loc[part != TEST, "fold"].nunique()
    return {
        fold: calibrate(table, fitted[fold if whole and fold in fitted else TEST])
        for fold, table in networks.items()
    }


def calibrate_run(
    predictions: pd.DataFrame,
    networks: Networks,
    *,
    method: Method,
    smoothing: float,
    positive: str,
    folder: str | Path,
) -> tuple[dict[str, pd.DataFrame], Networks]:
    """Return predictions as they came and, if that was asked for, calibrated; and their networks.

    Test rows become the mean of the calibrated networks, where these are known. What was calibrated
    is written as `predictions.csv`, and the calibrator of test rows as `calibrator.json`.

    Args:
        predictions: Predictions table.
        networks: Fold and predictions of the network that was trained without it.
        method: See `cross_calibrate`; `none` without a smoothing: nothing is done, or written.
        smoothing: Of the labels that the network was trained on.
        positive: The class looked for.
        folder: Of both files.

    Returns:
        The versions by name, the last to be reported; each network's predictions, as that one is.
    """
    versions = {"as they came": predictions}
    if method == "none" and not smoothing:
        return versions, networks
    calibrated, frozen = cross_calibrate(
        predictions, method=method, positive=positive, smoothing=smoothing
    )
    each = calibrate_networks(
        predictions, networks, method=method, positive=positive, smoothing=smoothing
    )
    calibrated = with_mean(calibrated, each)
    write_predictions(calibrated, Path(folder) / "predictions.csv")
    write_calibrator(frozen, Path(folder) / "calibrator.json")
    return versions | {"calibrated": calibrated}, each


def calibrator_comparison(
    predictions: pd.DataFrame,
    *,
    positive: str,
    methods: Sequence[Method] = METHODS,
    smoothing: float = 0.0,
    bins: int = 10,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well each method calibrates the out-of-fold rows, cross-fitted.

    Choose by log loss or Brier, which reward calibration and sharpness both; an ECE alone is least
    for one probability given to all.

    Args:
        predictions: Predictions table.
        positive: The class that is measured against the rest.
        methods: To compare.
        smoothing: Of the labels that the network was trained on.
        bins: Of the ECE, of equal mass.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.
        draws: Resamples for the intervals; the same for every method.
        seed: Of the resamples.

    Returns:
        `method`; each of `log_loss`, `brier`, `ece` (debiased), `slope`, `intercept` with
        `…_low` and `…_high`; `n`, `positives`, `note` (why a method cannot be fitted, too).

    Raises:
        ValueError: A method is unknown.
    """
    judged = predictions[predictions["fold"] != TEST]
    counts = {"n": len(judged), "positives": int((judged["truth"] == positive).sum())}
    entries: list[dict[str, object]] = []
    for method in methods:
        note = _refused(judged, method)
        if note:
            entries.append({"method": method, **counts, "note": note})
            continue
        try:
            table, _ = cross_calibrate(
                judged, method=method, positive=positive, smoothing=smoothing, cluster=cluster
            )
        except TableError as error:  # nothing to fit on: the others go on
            entries.append({"method": method, **counts, "note": f"not estimable: {error}"})
            continue
        rows = probability_rows(table, positive=positive, purpose="")
        both = resampled_bins(
            rows, bins=bins, spacing="mass", cluster=cluster, draws=draws, seed=seed
        )
        line = recalibration(rows, positive=positive, confidence=confidence, cluster=cluster)
        row = _scored(both, line, confidence, absent_interval(rows, 1.0, cluster))
        entries.append({"method": method, **counts, "n": len(rows), **row})
    names = ("log_loss", "brier", "ece", "slope", "intercept")
    columns = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    return pd.DataFrame(entries, columns=["method", *columns, "n", "positives", "note"])


def _part_calibrators(
    predictions: pd.DataFrame, part: np.ndarray, method: Method, positive: str, smoothing: float
) -> dict[int, Calibrator]:
    """Return what was fitted without each part, and for test rows on all.

    Raises:
        TableError: Too little is left when a part is set aside.
    """
    frozen = fit_calibrator(predictions, method=method, positive=positive, smoothing=smoothing)
    values, codes = class_values(predictions), truth_codes(predictions)
    fit = partial(
        fit_values,
        classes=frozen.classes,
        method=method,
        positive=positive,
        kind=frozen.kind,
        smoothing=smoothing,
        run=frozen.run,
    )
    fitted = {TEST: frozen}
    for name in (int(k) for k in np.unique(part) if k != TEST):
        others = (part != name) & (part != TEST)
        try:
            fitted[name] = fit(values[others], codes[others])
        except TableError as error:
            raise TableError(f"{error} (part {name} was set aside)") from error
    return fitted


def _scored(
    both: tuple[Sums, Sums], line: pd.DataFrame, confidence: float, reason: str
) -> dict[str, object]:
    """Return the numbers of one method, as a row without its name."""
    scores, ece = proper_scores(*both), calibration_errors(*both)["ECE"]
    row: dict[str, object] = {}
    named = {"log_loss": scores["log loss"], "brier": scores["Brier score"], "ece": ece}
    for name, measured in named.items():
        row |= _limited(name, measured, confidence, reason)
    row["ece"] = ece.debiased().value
    ends = {"": "value", "_low": "low", "_high": "high"}
    for measure in line.to_dict("records"):
        row |= {f"{measure['metric']}{end}": measure[column] for end, column in ends.items()}
    notes = dict.fromkeys(n for n in (reason, *line["note"]) if n)
    return row | {"note": "; ".join(notes)}


def _limited(name: str, measured: Measured, confidence: float, reason: str) -> dict[str, object]:
    _, low, high = measured.limits(confidence)
    if reason:
        low = high = float("nan")
    return {name: measured.value, f"{name}_low": low, f"{name}_high": high}


def _parts(predictions: pd.DataFrame, cluster: str) -> np.ndarray:
    """Return the folds; a single one is cut into parts of whole clusters."""
    part, words = crossfit_parts(predictions, cluster=cluster)
    if len(np.unique(part[part != TEST])) == 1:
        raise TableError(
            f"predictions: {words}: nothing is left to fit a calibrator on when it is set aside"
        )
    return part


def _each(part: np.ndarray) -> Iterator[np.ndarray]:
    for name in np.unique(part):
        yield np.flatnonzero(part == name)


def _refused(judged: pd.DataFrame, method: Method) -> str:
    """Return why a method cannot be tried, or an empty text."""
    if judged.empty:
        return "not estimable: no row is out of fold"
    if method in ("none", "temperature") and (judged["kind"] == "score").any():
        return f"not estimable: kind is 'score', and {method} needs probabilities"
    return ""
