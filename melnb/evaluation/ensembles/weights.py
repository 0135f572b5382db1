"""What each member counts for: equal, as given, or of least log-loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.probabilities import LEAST, class_values, truth_codes
from melnb.tables import TableError, class_names


def given_weights(
    names: Sequence[str], weights: Sequence[float], *, method: str
) -> dict[str, float]:
    """Return weights of sum one, in the order of the members.

    Args:
        names: Of the members.
        weights: One for each, in their order; none: all equal.
        method: Of blending: mean takes no weights, weighted needs them.

    Raises:
        ValueError: Weights are wanting, not wanted, negative or all 0.
    """
    if method != "weighted" and not len(weights):
        return dict.fromkeys(names, 1 / len(names))
    if method == "mean":
        raise ValueError(f"weights are {list(weights)} but method is 'mean': use weighted")
    given = np.asarray(weights, dtype=float)
    if len(given) != len(names):
        raise ValueError(
            f"weights has {len(given)} values for the {len(names)} members {list(names)}"
        )
    if not (np.isfinite(given) & (given >= 0)).all() or given.sum() == 0:
        raise ValueError(f"weights are {list(weights)}: use numbers of 0 or more, not all 0")
    return {name: float(w) for name, w in zip(names, given / given.sum(), strict=True)}


def likelihoods(tables: Mapping[str, pd.DataFrame], positive: str) -> np.ndarray:
    """Return the probability that each member gave to what was true, rows x members.

    NaN where the truth is unknown; members stand in the order of their names.

    Args:
        tables: Aligned members.
        positive: The class that is set against the rest; empty: each class counts.

    Raises:
        TableError: A member holds scores.
    """
    return np.column_stack([_likelihood(tables[name], positive) for name in sorted(tables)])


def least_log_loss(likelihood: np.ndarray) -> np.ndarray:
    """Return the weights, 0 or more and of sum one, of the linear pool with the least log-loss.

    Args:
        likelihood: rows x members, the probability that each gave to what was true.
    """
    # Imported here, as scipy's optimizers cost half a second.
    from scipy.optimize import minimize

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        # A probability of 0 for what is true costs 34.5, not infinity.
        mixed = np.maximum(likelihood @ weights, LEAST)
        return float(-np.log(mixed).mean()), -(likelihood / mixed[:, None]).mean(axis=0)

    number = likelihood.shape[1]
    found = minimize(
        loss,
        np.full(number, 1 / number),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * number,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    weights = np.clip(found.x, 0, 1)
    return np.asarray(weights / weights.sum())


def _likelihood(table: pd.DataFrame, positive: str) -> np.ndarray:
    if (table["kind"] == "score").any():
        raise TableError(
            f"ensemble: {table['run'].iloc[0]} holds scores, and log-loss needs probabilities: "
            "use method rank or logistic, or calibrate the scores first"
        )
    classes, values, code = class_names(table), class_values(table), truth_codes(table)
    if positive:
        chosen = values[:, classes.index(positive)]
        true = np.where(code == classes.index(positive), chosen, 1 - chosen)
    else:
        true = values[np.arange(len(values)), code]
    return np.where(code >= 0, true, np.nan)
