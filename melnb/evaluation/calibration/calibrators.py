"""A fitted calibrator: frozen, applied to any table of its classes, written as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.documents import DamagedError, read_as
from melnb.evaluation.calibration import maps
from melnb.evaluation.calibration.maps import METHODS, Method, Parameters
from melnb.evaluation.calibration.probabilities import (
    class_values,
    open_values,
    truth_codes,
    with_values,
)
from melnb.files import replacing
from melnb.tables import TEST, TableError, check_predictions, class_names

WHOLE = "all classes"  # what a temperature is of


@dataclass(frozen=True)
class Calibrator:
    """A method with what it learnt.

    Attributes:
        method: One of `maps.METHODS`.
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
            return maps.at_temperature(opened, self.parameters[WHOLE]["temperature"][0])
        made = np.empty_like(opened)
        for name, parameters in self.parameters.items():
            k = self.classes.index(name)
            made[:, k] = maps.apply_map(self.method, parameters, opened[:, k])
            if len(self.classes) == 2:
                made[:, 1 - k] = 1 - made[:, k]
        return np.asarray(made / made.sum(axis=1, keepdims=True))


def fit_calibrator(
    predictions: pd.DataFrame, *, method: Method, positive: str = "", smoothing: float = 0.0
) -> Calibrator:
    """Fit a calibrator on the out-of-fold rows; freeze it for test rows.

    Args:
        predictions: Predictions table; of `kind` score for `platt`, `beta` and `isotonic` alone.
        method: `none`; `temperature`, one number for whole rows; `platt`, `beta` or `isotonic` (see
            `maps.fit_map`), each class against the rest and then divided by the row's sum.
        positive: Of two classes, the one whose values are taken; empty: the second.
        smoothing: Of the labels that the network was trained on, undone first (see
            `probabilities.unsmooth`); values that become 0 are kept off it by half a row.

    Raises:
        ValueError: The method is unknown, or the smoothing is not from 0 up to 1.
        TableError: No row is out of fold, or none of a class, or `method` takes no scores.
    """
    known = predictions[predictions["fold"] != TEST]
    check_predictions(known if len(known) else predictions)
    return fit_values(
        class_values(known),
        truth_codes(known),
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
        parameters[WHOLE] = {"temperature": (maps.fit_temperature(opened, codes),)}
    elif method != "none":
        for name in classes if len(classes) > 2 else (positive or classes[1],):
            k = classes.index(name)
            parameters[name] = maps.fit_map(method, opened[:, k], codes == k)
    return Calibrator(method, classes, parameters, kind, smoothing, len(values), run)


def calibrate(predictions: pd.DataFrame, calibrator: Calibrator, *, run: str = "") -> pd.DataFrame:
    """Return the table with calibrated probabilities; all else stays, its rows in their order.

    Args:
        predictions: Predictions table of the calibrator's classes and kind.
        calibrator: Fitted on other rows than these: for out-of-fold rows see
            `crossfits.cross_calibrate`.
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
        made = read_as(path, Calibrator, "fit and write it anew")
    except DamagedError as error:
        raise ValueError(
            f"{path} holds no calibrator ({error.problem}): fit and write it anew"
        ) from None
    if made.method not in METHODS:
        raise ValueError(f"{path}: method is {made.method!r}: use one of {list(METHODS)}")
    return made


def _check_fitted(codes: np.ndarray, classes: tuple[str, ...]) -> None:
    counts = np.bincount(codes, minlength=len(classes))
    if not counts.sum():
        raise TableError(
            "predictions: no out-of-fold row to fit a calibrator on: give those of the folds too"
        )
    if len(classes) == 2 and not counts.all():
        absent = classes[int(counts.argmin())]
        raise TableError(f"predictions: no row is {absent} among the {counts.sum()} to fit on")
