"""A score moved by how its lesion stands among its patient's, without a look at its own truth.

The ugly duckling (Grob and Bonerandi 1998, Archives of Dermatology 134:103) as a last step: what
`context.gain` measures, applied.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import pandas as pd

from melnb.evaluation.ensembles.alignment import teaching_rows
from melnb.evaluation.patient_context import context_scores
from melnb.evaluation.statistics.logistic import expit, fit_logistic
from melnb.tables.schema import check_predictions, class_names
from melnb.tables.within_patient import centred

Standing = Literal["", "z", "rank"]

_MIDDLE = {"z": 0.0, "rank": 0.5}
_LEAST = 1e-7  # float32's step below 1: log odds beyond it are rounding
_RIDGE = (0.0, 1.0, 1.0)  # keeps weights finite where classes are wholly apart
_BEYOND_CHANCE = 2.0  # standard errors of the correlation of score and truth
# Where the standing says all that the score does, its weight is without bounds; beyond this one,
# ten on the log odds at the far ends, scores would tie at 1.
_MOST = {"z": 5.0, "rank": 20.0}


def standing_weights(
    predictions: pd.DataFrame,
    *,
    positive: str,
    standing: Standing = "rank",
    patient: str = "patient_id",
) -> pd.DataFrame:
    """Return how far a lesion's standing among its patient's moves the log odds, by fold.

    The weight of a fold's rows is fitted on the other folds by logistic regression of the truth on
    the log odds of the score and its standing, as a share of the former's coefficient.

    Args:
        predictions: Predictions table.
        positive: The class whose score is moved.
        standing: `z`, in standard deviations of the patient's scores, or `rank`, from 0 to 1;
            empty: nothing is moved, and there is no row.
        patient: The column of patients.

    Returns:
        `fold` (-1: for test rows), `weight` (0 where none can be fitted), `note`.

    Raises:
        ValueError: The standing is unknown.
        TableError: There is no such class or column, a patient lies in two folds, or there is but
            one to fit on.
    """
    if not standing:
        return pd.DataFrame(columns=["fold", "weight", "note"])
    rows = _check(predictions, standing)
    apart = _apart(rows, positive, standing, patient)
    truth, odds = (rows["truth"] == positive).to_numpy(), _log_odds(rows[f"p_{positive}"])
    entries = [
        (k, *_fitted(odds[teachers], apart[teachers], truth[teachers], _MOST[standing]))
        for k, _, teachers in teaching_rows(_named(rows, patient))
    ]
    return pd.DataFrame(entries, columns=["fold", "weight", "note"])


def shift_scores(
    predictions: pd.DataFrame,
    *,
    positive: str,
    standing: Standing = "rank",
    patient: str = "patient_id",
    weight: float | None = None,
    run: str = "",
) -> pd.DataFrame:
    """Return predictions whose log odds are moved by their standing among the patient's.

    The other classes share what is left as before. Rows without a patient, and those of patients
    of fewer than three, stay as they were.

    Args:
        predictions: Predictions table.
        positive: The class whose score is moved.
        standing: See `standing_weights`; so is the next.
        patient: The column of patients.
        weight: A frozen one, for all rows; None: that of each fold.
        run: The name of the result; empty: as it was.

    Returns:
        A predictions table of kind score, for how far log odds move is fitted to rank rows and
        not to be believed as a probability; in the order of its ids. Without a standing the
        predictions as they are.

    Raises:
        ValueError: The weight is not finite, or see `standing_weights`.
        TableError: See `standing_weights`.
    """
    if not standing:
        return predictions
    rows = _check(predictions, standing)
    shift = _apart(rows, positive, standing, patient)
    if weight is None:
        weights = standing_weights(rows, positive=positive, standing=standing, patient=patient)
        shift = shift * weights.set_index("fold")["weight"].loc[rows["fold"]].to_numpy()
    elif math.isfinite(weight):
        shift = shift * weight
    else:
        raise ValueError(f"weight is {weight}: use a number, or None to fit it")
    values = rows[f"p_{positive}"].to_numpy(dtype=float)
    # Only what is moved is computed anew, so that the rest stays bit for bit.
    moved = np.where(shift == 0, values, expit(_log_odds(values) + shift))
    others = [f"p_{name}" for name in class_names(rows) if name != positive]
    rest = rows[others].to_numpy(dtype=float)
    whole = rest.sum(axis=1)
    # Rows of scores need not sum to one: they keep the sum that they have.
    left = np.clip(whole + values - moved, 0, None)
    share = np.full_like(rest, 1 / len(others))
    np.divide(rest, whole[:, None], out=share, where=whole[:, None] > 0)
    shared = np.where((shift == 0)[:, None], rest, np.clip(share * left[:, None], 0, 1))
    columns = {name: shared[:, k] for k, name in enumerate(others)} | {f"p_{positive}": moved}
    named = {"run": run} if run else {}
    return check_predictions(rows.assign(**columns, **named, kind="score"))


def _check(predictions: pd.DataFrame, standing: str) -> pd.DataFrame:
    if standing not in get_args(Standing):
        raise ValueError(f"standing is {standing!r}: use one of {list(get_args(Standing))}")
    return check_predictions(predictions).sort_values("image_id", ignore_index=True)


def _apart(rows: pd.DataFrame, positive: str, standing: str, patient: str) -> np.ndarray:
    """Return each row's standing, 0 for one in the middle and for one that has no neighbours."""
    context = context_scores(rows, positive=positive, patient=patient).set_index("image_id")
    standings = context.loc[rows["image_id"], f"score_{standing}"].to_numpy(dtype=float)
    return np.asarray(standings - _MIDDLE[standing])


def _named(rows: pd.DataFrame, patient: str) -> pd.DataFrame:
    """Return the rows with the patients in their usual column, where folds are checked by it."""
    return rows.assign(patient_id=rows[patient])


def _log_odds(values: np.ndarray | pd.Series) -> np.ndarray:
    inside = np.clip(np.asarray(values, dtype=float), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _fitted(
    odds: np.ndarray, apart: np.ndarray, truth: np.ndarray, most: float
) -> tuple[float, str]:
    """Return a weight and why it is 0, if it could not be fitted."""
    if truth.all() or not truth.any():
        return 0.0, "not estimable: the other folds lack a class"
    score, standing = centred(odds), centred(apart)
    design = np.column_stack([np.ones(len(odds)), score, standing])
    spread = np.sqrt((score**2).sum() * ((truth - truth.mean()) ** 2).sum())
    # Of a score that is noise the weight would be a quotient of two noises, and any size.
    if score @ truth <= _BEYOND_CHANCE * spread / np.sqrt(len(odds)):
        return 0.0, "not estimable: the score does not rise with the truth beyond chance"
    _, of_odds, of_standing = fit_logistic(design, truth, ridge=_RIDGE)
    # Of a score that rises with the truth both cannot be below 0.
    weight = of_standing / of_odds if of_odds > 0 else math.inf
    return float(np.clip(weight, -most, most)), ""
