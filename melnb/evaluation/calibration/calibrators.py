"""Calibrators: temperature scaling, Platt, isotonic, beta …: frozen, applied, written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from melnb.evaluation.calibration.prevalence import (
    LEAST,
    class_values,
    logit,
    open_values,
    truth_codes,
    with_values,
)
from melnb.evaluation.statistics.logistic import expit, fit_logistic
from melnb.tables.checks import TEST, TableError
from melnb.tables.documents import DamagedError, read_as
from melnb.tables.files import replacing
from melnb.tables.schema import check_predictions, class_names
from melnb.tables.within_patient import mean_and_deviation

# What each method makes of values: a rising function of each class's, or one of whole rows.
#
# No method turns a ranking round: where the data ask for a falling line, it is flat instead.

Method = Literal["none", "temperature", "platt", "beta", "isotonic"]
METHODS: tuple[Method, ...] = ("none", "temperature", "platt", "beta", "isotonic")
Parameters = Mapping[str, tuple[float, ...]]
_ROWS_AT_ONCE = 16_384  # what is made of them stays in a core's cache
_COLDEST, _HOTTEST = 1e-2, 1e2  # of a temperature: classes that are wholly apart would ask for 0


def fit_map(method: Method, values: np.ndarray, truth: np.ndarray) -> Parameters:
    """Return the parameters of a method that maps one class's values to its probabilities.

    `platt`: a line on the logit; Platt 1999, Advances in Large Margin Classifiers, 61, with his
    targets (N + 1)/(N + 2) and 1/(N + 2), which keep the line finite where the classes are apart.
    `beta`: lines on ln p and -ln(1 - p), Kull et al. 2017, AISTATS, with the same targets.
    `isotonic`: the best rising steps (Zadrozny and Elkan 2002, KDD), joined by lines and kept
    between Platt's targets, since a 0 for a melanoma that it never saw would be beyond repair.

    Args:
        method: `platt`, `beta` or `isotonic`.
        values: n, 0-1.
        truth: n booleans.
    """
    positives = int(truth.sum())
    ends = (1 / (len(truth) - positives + 2), (positives + 1) / (positives + 2))
    if method == "isotonic":
        # Imported here, as scikit-learn costs a second.
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=ends[0], y_max=ends[1]).fit(values, truth)
        scores, shares = steps.X_thresholds_, steps.y_thresholds_
        return {"scores": _floats(scores), "probabilities": _floats(shares)}
    features = _features(method, values)
    slopes, intercept = _rising_line(features, np.where(truth, ends[1], ends[0]))
    return {"slopes": _floats(slopes), "intercept": (intercept,)}


def apply_map(method: Method, parameters: Parameters, values: np.ndarray) -> np.ndarray:
    """Return the probabilities of one class's values (see `fit_map`)."""
    if method == "isotonic":
        return np.asarray(np.interp(values, parameters["scores"], parameters["probabilities"]))
    odds = _features(method, values) @ np.array(parameters["slopes"])
    return expit(odds + parameters["intercept"][0])


def fit_temperature(values: np.ndarray, codes: np.ndarray) -> float:
    """Return the temperature whose softmax has the least log loss: Guo et al. 2017, ICML.

    Args:
        values: n x classes, probabilities.
        codes: n, the position of the true class.

    Returns:
        From 0.01 to 100; above 1 where the probabilities are too sure; 1 where each row has the
        same of all classes, which no temperature changes.
    """
    logs = np.log(np.maximum(values, LEAST))
    if not np.ptp(logs, axis=1).any():
        return 1.0  # all classes alike in each row, and so at any temperature
    wanted = float(logs[np.arange(len(logs)), codes].mean())
    # A line for each class: the highest of a row is then found in many rows at once.
    by_class = np.ascontiguousarray(logs.T)
    starts = range(0, len(logs), _ROWS_AT_ONCE)
    blocks = [by_class[:, k : k + _ROWS_AT_ONCE] for k in starts]

    def lacking(log_temperature: float) -> float:
        """Return how far the true class's mean logarithm is above that stated: it rises."""
        cold = np.exp(-log_temperature)
        return wanted - sum(_stated(block, cold) for block in blocks) / len(logs)

    ends = (np.log(_COLDEST), np.log(_HOTTEST))
    if lacking(ends[0]) >= 0:
        return _COLDEST
    if lacking(ends[1]) <= 0:
        return _HOTTEST
    return float(np.exp(brentq(lacking, *ends, xtol=1e-14)))


def _stated(logs: np.ndarray, cold: float) -> float:
    """Return the sum of the mean logarithms that rows at this 1 / temperature state themselves."""
    odds = logs * cold
    weights = np.exp(odds - odds.max(axis=0))
    return float(((weights * logs).sum(axis=0) / weights.sum(axis=0)).sum())


def at_temperature(values: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of the logarithms divided by the temperature, n x classes."""
    logs = np.log(np.maximum(values, LEAST)) / temperature
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _features(method: Method, values: np.ndarray) -> np.ndarray:
    if method == "platt":
        return logit(values)[:, None]
    inside = np.clip(values, LEAST, 1 - LEAST)
    return np.column_stack([np.log(inside), -np.log1p(-inside)])


def _rising_line(features: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Return slopes of 0 or more, and an intercept.

    A feature whose slope comes out negative is left out and the rest fitted again: Kull et al.
    2017, section 4.
    """
    slopes = np.zeros(features.shape[1])
    mean, deviation = mean_and_deviation(features)
    kept = np.flatnonzero(deviation)
    while True:
        # Centred, so that features which vary little do not look like the intercept.
        design = np.column_stack([features[:, kept] - mean[kept], np.ones(len(target))])
        fit = fit_logistic(design, target)
        if not len(kept) or fit[:-1].min() >= 0:
            slopes[kept] = fit[:-1]
            return slopes, float(fit[-1] - slopes @ mean)
        kept = np.delete(kept, fit[:-1].argmin())


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


WHOLE = "all classes"  # what a temperature is of


@dataclass(frozen=True)
class Calibrator:
    """A method with what it learnt.

    Attributes:
        method: One of `calibrators.METHODS`.
        classes: Of the tables that it is for.
        parameters: By class; of two classes one is fitted and the other is its complement; of a
            temperature, `all classes`.
        kind: Of the values that it takes: `probability` or `score`.
        smoothing: Of the labels that the network was trained on; undone first.
        rows: How many it was fitted on.
        run: Whose predictions they were.
    """

    method: Method
    classes: tuple[str, ...]
    parameters: Mapping[str, Parameters]
    kind: str
    smoothing: float
    rows: int
    run: str

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return probabilities of values, n x classes."""
        opened = open_values(values, self.kind, self.smoothing, self.rows)
        if self.method == "none":
            return np.asarray(opened / opened.sum(axis=1, keepdims=True))
        if self.method == "temperature":
            return at_temperature(opened, self.parameters[WHOLE]["temperature"][0])
        calibrated = np.empty_like(opened)
        for name, parameters in self.parameters.items():
            k = self.classes.index(name)
            calibrated[:, k] = apply_map(self.method, parameters, opened[:, k])
            if len(self.classes) == 2:
                calibrated[:, 1 - k] = 1 - calibrated[:, k]
        return np.asarray(calibrated / calibrated.sum(axis=1, keepdims=True))


def fit_calibrator(
    predictions: pd.DataFrame, *, method: Method, positive: str = "", smoothing: float = 0.0
) -> Calibrator:
    """Fit a calibrator on the out-of-fold rows; freeze it for test rows.

    Args:
        predictions: Predictions table; of `kind` score for `platt`, `beta` and `isotonic` alone.
        method: `none`; `temperature`, one number for whole rows; `platt`, `beta` or `isotonic` (see
            `calibrators.fit_map`), each class against the rest and then divided by the row's sum.
        positive: Of two classes, the one whose values are taken; empty: the second.
        smoothing: Of the labels that the network was trained on, undone first (see
            `prevalence.unsmooth`); values that become 0 are kept off it by half a row.

    Raises:
        ValueError: The method is unknown, or the smoothing is not from 0 up to 1.
        TableError: No row is out of fold, or none of a class, or `method` takes no scores.
    """
    teachers = predictions[predictions["fold"] != TEST]
    check_predictions(teachers if len(teachers) else predictions)
    return fit_values(
        class_values(teachers),
        truth_codes(teachers),
        classes=class_names(predictions),
        method=method,
        positive=positive,
        kind=str(predictions["kind"].iloc[0]),
        smoothing=smoothing,
        run=str(predictions["run"].iloc[0]),
    )


def fit_values(
    values: np.ndarray,
    codes: np.ndarray,
    *,
    classes: tuple[str, ...],
    method: Method,
    positive: str,
    kind: str,
    smoothing: float,
    run: str,
) -> Calibrator:
    """Return `fit_calibrator` of n x classes values and the positions of their true classes."""
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: use one of {list(METHODS)}")
    if positive and positive not in classes:
        raise TableError(f"predictions: positive is {positive!r}, not one of {list(classes)}")
    if kind == "score" and method in ("none", "temperature"):
        raise TableError(
            f"predictions: kind is 'score', and {method} needs probabilities: "
            "use platt, beta or isotonic"
        )
    _check_fitted(codes, classes)
    opened = open_values(values, kind, smoothing, len(values))
    parameters: dict[str, Parameters] = {}
    if method == "temperature":
        parameters[WHOLE] = {"temperature": (fit_temperature(opened, codes),)}
    elif method != "none":
        for name in classes if len(classes) > 2 else (positive or classes[1],):
            k = classes.index(name)
            parameters[name] = fit_map(method, opened[:, k], codes == k)
    return Calibrator(method, classes, parameters, kind, smoothing, len(values), run)


def calibrate(predictions: pd.DataFrame, calibrator: Calibrator, *, run: str = "") -> pd.DataFrame:
    """Return the table with calibrated probabilities; all else stays, its rows in their order.

    Args:
        predictions: Predictions table of the calibrator's classes and kind.
        calibrator: Fitted on other rows than these: for out-of-fold rows see
            `cross_calibration.cross_calibrate`.
        run: The name of the result; empty: as it was.

    Raises:
        TableError: The classes or the kind are not the calibrator's.
    """
    check_predictions(predictions)
    kind, classes = predictions["kind"].iloc[0], class_names(predictions)
    if set(classes) != set(calibrator.classes):
        raise TableError(
            f"predictions: the classes are {list(classes)}, and the calibrator's "
            f"{list(calibrator.classes)}: fit one on predictions of this task"
        )
    if kind != calibrator.kind:
        raise TableError(
            f"predictions: kind is {kind!r}, and the calibrator was fitted on {calibrator.kind!r} "
            "values: fit one on such predictions"
        )
    columns = [f"p_{name}" for name in calibrator.classes]
    values = calibrator.apply(predictions[columns].to_numpy(dtype=float))
    return with_values(predictions, calibrator.classes, values, run=run)


def write_calibrator(calibrator: Calibrator, path: str | Path) -> Path:
    """Write a calibrator as JSON, whole or not at all; numbers read back bit for bit."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(calibrator), indent=1) + "\n", encoding="utf-8")
    return Path(path)


def read_calibrator(path: str | Path) -> Calibrator:
    """Read a calibrator.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a calibrator's.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: write_calibrator makes it")
    try:
        calibrator = read_as(path, Calibrator, "fit and write it anew")
    except DamagedError as error:
        raise ValueError(
            f"{path} holds no calibrator ({error.problem}): fit and write it anew"
        ) from None
    if calibrator.method not in METHODS:
        raise ValueError(f"{path}: method is {calibrator.method!r}: use one of {list(METHODS)}")
    return calibrator


def _check_fitted(codes: np.ndarray, classes: tuple[str, ...]) -> None:
    counts = np.bincount(codes, minlength=len(classes))
    if not counts.sum():
        raise TableError(
            "predictions: no out-of-fold row to fit a calibrator on: give those of the folds too"
        )
    if len(classes) == 2 and not counts.all():
        absent = classes[int(counts.argmin())]
        raise TableError(f"predictions: no row is {absent} among the {counts.sum()} to fit on")
