"""Rows with a probability: scores refused, logits that are finite, label smoothing undone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.evaluation.rows import binary_rows
from melnb.tables import TableError, check_predictions, class_names

LEAST = 1e-15  # what is 0 or 1 in a file counts as this far from it, so that logarithms are finite
RIGHT = "right"


def check_probabilities(predictions: pd.DataFrame, purpose: str) -> None:
    """Refuse scores where probabilities are needed.

    Args:
        predictions: Predictions table.
        purpose: What needs them, for the message.

    Raises:
        TableError: `kind` is score.
    """
    if "kind" in predictions and (predictions["kind"] == "score").any():
        raise TableError(
            f"predictions: kind is 'score', and {purpose} needs probabilities: make them with "
            "cross_calibrate and the method platt, beta or isotonic first"
        )


def probability_rows(predictions: pd.DataFrame, *, positive: str, purpose: str) -> pd.DataFrame:
    """Return `rows.binary_rows`, whose scores are probabilities.

    Raises:
        TableError: `kind` is score, a value is not within 0-1, or `positive` is no class.
    """
    check_probabilities(predictions, purpose)
    rows = binary_rows(predictions, positive=positive)
    outside = ~rows["score"].between(0, 1)
    if outside.any():
        row = rows[outside].iloc[0]
        raise TableError(
            f"predictions: p_{positive} of {row['image_id']} is {row['score']}, not within 0-1: "
            "check the table with tables.check_predictions"
        )
    return rows


def class_values(predictions: pd.DataFrame) -> np.ndarray:
    """Return the values as n x classes."""
    columns = [f"p_{name}" for name in class_names(predictions)]
    return predictions[columns].to_numpy(dtype=float)


def truth_codes(predictions: pd.DataFrame) -> np.ndarray:
    """Return the position of each row's class, -1 where the truth is unknown."""
    names = list(class_names(predictions))
    return np.asarray(pd.Categorical(predictions["truth"], categories=names).codes, dtype=int)


def logit(probability: np.ndarray) -> np.ndarray:
    """Return the log-odds; 0 and 1 are taken as `LEAST` and 1 - `LEAST`."""
    inside = np.clip(probability, LEAST, 1 - LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def log_losses(probability: np.ndarray) -> np.ndarray:
    """Return what each probability of the truth costs; 0 costs 34.5, not infinity."""
    return np.asarray(-np.log(np.clip(probability, LEAST, 1)))


def unsmooth(predictions: pd.DataFrame, smoothing: float) -> pd.DataFrame:
    """Return what a network that was trained on smoothed labels says of the true ones.

    Trained on y(1 - e) + e/K, it tends to p(1 - e) + e/K for the probability p: Szegedy et al.
    2016, CVPR, section 7. Values below e/K become 0 and a row is divided by its sum, so low
    values tie.

    Args:
        predictions: Predictions table of probabilities.
        smoothing: e, of the training; 0 changes nothing.

    Raises:
        ValueError: The smoothing is not from 0 up to 1.
        TableError: `kind` is score.
    """
    check_probabilities(predictions, "unsmooth")
    values = unsmoothed(class_values(predictions), smoothing)
    columns = {f"p_{name}": values[:, k] for k, name in enumerate(class_names(predictions))}
    return check_predictions(predictions.assign(**columns))


def unsmoothed(values: np.ndarray, smoothing: float) -> np.ndarray:
    """Return `unsmooth` of n x classes."""
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is {smoothing}: use that of the training, from 0 to below 1")
    if not smoothing:
        return values
    # Rows sum to one but for rounding, so at least one value is above e/K.
    straight = np.clip((values - smoothing / values.shape[1]) / (1 - smoothing), 0, 1)
    return np.asarray(straight / straight.sum(axis=1, keepdims=True))


def open_values(values: np.ndarray, kind: str, smoothing: float, rows: int) -> np.ndarray:
    """Return values whose logits are bounded where 0 and 1 are no accident: (np + 1/2) / (n + 1).

    The best of a rank blend is exactly 1, and smoothing undone leaves exact zeros.
    """
    straight = unsmoothed(values, smoothing)
    if kind == "score" or smoothing:
        return np.asarray((straight * rows + 0.5) / (rows + 1))
    return straight


def with_values(
    predictions: pd.DataFrame, classes: tuple[str, ...], values: np.ndarray, *, run: str
) -> pd.DataFrame:
    """Return the table with these probabilities, n x classes, checked."""
    columns = {f"p_{name}": values[:, k] for k, name in enumerate(classes)}
    named = {"run": run} if run else {}
    return check_predictions(predictions.assign(**columns, **named, kind="probability"))


def top_label(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return, as two-class predictions, how sure each row's call is and whether it is right.

    A row is called by its highest value; where two classes share it the call is wrong.

    Returns:
        A predictions table of the classes `wrong` and `right`; `p_right` is the highest value.
    """
    check_probabilities(predictions, "the top label's confidence")
    values, codes = class_values(predictions), truth_codes(predictions)
    highest = values.max(axis=1)
    single = (values == highest[:, None]).sum(axis=1) == 1
    right = single & (values.argmax(axis=1) == codes)
    kept = [c for c in predictions.columns if not str(c).startswith("p_")]
    words = pd.Series(np.where(right, RIGHT, "wrong"), index=predictions.index)
    return predictions[kept].assign(
        truth=words.where(codes >= 0), p_wrong=1 - highest, p_right=highest
    )
