"""Stacking: members joined by logistic regression or trees, learnt from out-of-fold rows.

Stacking: Wolpert 1992, Neural Networks 5:241. The logistic stacker weighs each member once for all
classes, for what a member says of one class is of little use for another, and learning it costs
classes squared coefficients a member (Seewald 2002, ICML, 554). Its ridge draws the weights towards
the equal mean and not towards 0: where rows say little it is the mean of logits, which is hard to
beat, where weights of 0 would give every image the prevalence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from melnb.evaluation.ensembles.alignment import Values, log_values, softmax
from melnb.tables.checks import TableError
from melnb.tables.processes import one_thread
from melnb.tables.within_patient import negligible


def fit_logistic_stacker(
    values: Values,
    codes: np.ndarray,
    *,
    positive: int = -1,
    ridge: float = 1.0,
    nonnegative: bool = False,
) -> tuple[dict[str, float], np.ndarray]:
    """Return weights and biases of the logarithmic pool with the least penalised log-loss.

    log p(class) = bias(class) + sum of weight(member) x log p(class, member) + constant: McFadden's
    conditional logit (1974, Frontiers in Econometrics, 105). Of two classes it is the logistic
    regression on the members' logits.

    Args:
        values: Of each member, rows x classes.
        codes: The position of each row's class.
        positive: The position of a class that is to have a bias: the first of the others that rows
            have is the reference, whose bias is 0, as is that of a class that no row has.
        ridge: On half the square of a weight's distance from the equal mean, times the root mean
            square of the member's log odds of two classes (see `logistic.fit_logistic`).
        nonnegative: Let no weight be below 0 (Breiman 1996, Machine Learning 24:49).

    Returns:
        The weight of each member, and a bias of each class.

    Raises:
        TableError: All rows are of one class.
        ValueError: `ridge` is not above 0.
    """
    if not 0 < ridge < np.inf:
        raise ValueError(f"ridge is {ridge}: use a number above 0, such as 1")
    names = sorted(values)
    logs = np.stack([log_values(values[name]) for name in names])
    biased = _biased_classes(codes, positive)
    design, scale = _design(logs, biased)
    penalty = np.r_[np.zeros(len(biased)), np.full(len(names), ridge)]
    least = np.r_[np.full(len(biased), -np.inf), -scale / len(names)]
    fit = _least_loss(
        design, codes, logs.mean(axis=0), penalty, least if nonnegative else least - np.inf
    )
    bias = np.zeros(logs.shape[2])
    bias[biased] = fit[: len(biased)]
    weights = 1 / len(names) + fit[len(biased) :] / scale
    if nonnegative:
        weights = np.maximum(weights, 0.0)
    return dict(zip(names, weights.tolist(), strict=True)), bias


@dataclass(frozen=True)
class Trees:
    """A fitted stacker of boosted trees.

    Attributes:
        model: Of scikit-learn.
        classes: How many.
    """

    model: Any
    classes: int

    def apply(self, values: Values) -> np.ndarray:
        """Return probabilities of members' values, rows x classes."""
        total = np.zeros((len(next(iter(values.values()))), self.classes))
        with one_thread():
            total[:, self.model.classes_] = self.model.predict_proba(_features(values))
        return total


def fit_boosted_stacker(
    values: Values, codes: np.ndarray, *, nonnegative: bool = False, seed: int = 0
) -> Trees:
    """Fit a hundred small trees on the members' logits (of two classes) or log probabilities.

    Friedman 2001, Annals of Statistics 29:1189. Four leaves of twenty rows or more, a small step
    and no early stopping, for a few hundred melanomas are soon learnt by heart.

    Args:
        values: Of each member, rows x classes.
        codes: The position of each row's class.
        nonnegative: Of two classes: let the result never fall where a member's value rises.
        seed: Of the bins, which are drawn where rows are many.

    Raises:
        TableError: All rows are of one class.
        ValueError: `nonnegative` with three classes or more.
    """
    # Imported here, as scikit-learn costs a second.
    from sklearn.ensemble import HistGradientBoostingClassifier

    features, classes = _features(values), next(iter(values.values())).shape[1]
    _biased_classes(codes, -1)
    if nonnegative and classes > 2:
        raise ValueError(
            f"nonnegative is set and there are {classes} classes: method boosted knows it of two"
        )
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=100,
        max_leaf_nodes=4,
        min_samples_leaf=20,
        l2_regularization=1.0,
        early_stopping=False,
        monotonic_cst=[1] * features.shape[1] if nonnegative else None,
        random_state=seed,
    )
    with one_thread():
        return Trees(model.fit(features, codes), classes)


def _features(values: Values) -> np.ndarray:
    """Return the members' logits (of two classes) or log probabilities, rows x features."""
    logs = [log_values(values[name]) for name in sorted(values)]
    if logs[0].shape[1] == 2:
        return np.column_stack([pair[:, 1] - pair[:, 0] for pair in logs])
    return np.hstack(logs)


def _biased_classes(codes: np.ndarray, positive: int) -> np.ndarray:
    """Return the classes that get a bias: those that rows have, without the reference."""
    present = np.unique(codes)
    if len(present) < 2:
        raise TableError(
            f"ensemble: the rows to fit a stacker on hold {len(present)} class(es), and two or "
            "more are needed: use method mean"
        )
    reference = present[present != positive][0]
    return np.asarray(present[present != reference])


def _design(logs: np.ndarray, biased: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows x classes x parameters (biases, then scaled members), and each member's scale."""
    classes = logs.shape[2]
    centred = logs - logs.mean(axis=2, keepdims=True)
    # The mean square over all pairs of classes of the difference of their logarithms.
    scale = np.sqrt(2 * (centred**2).sum(axis=2).mean(axis=1) / (classes - 1))
    scale = np.where(scale > negligible(np.abs(logs).max(axis=(1, 2), initial=0.0)), scale, 1.0)
    biases = np.broadcast_to(np.eye(classes)[:, biased], (logs.shape[1], classes, len(biased)))
    return np.concatenate(
        [biases, np.moveaxis(centred / scale[:, None, None], 0, 2)], axis=2
    ), scale


def _least_loss(
    design: np.ndarray,
    codes: np.ndarray,
    offset: np.ndarray,
    penalty: np.ndarray,
    least: np.ndarray,
) -> np.ndarray:
    """Return the parameters, none below its least, of the smallest penalised mean log-loss."""
    # Imported here, as scipy's optimizers cost half a second.
    from scipy.optimize import minimize

    rows = np.arange(len(codes))
    flat, penalty = design.reshape(-1, design.shape[2]), penalty / len(rows)
    true = design[rows, codes].mean(axis=0)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        odds = design @ at + offset
        odds -= odds.max(axis=1, keepdims=True)
        cost = np.log(np.exp(odds).sum(axis=1)) - odds[rows, codes]
        slope = softmax(odds).ravel() @ flat / len(rows) - true + penalty * at
        return float(cost.mean() + (penalty * at**2).sum() / 2), slope

    def curvature(at: np.ndarray) -> np.ndarray:
        chance = softmax(design @ at + offset)
        mean = (design * chance[:, :, None]).sum(axis=1)
        spread = (flat * chance.reshape(-1, 1)).T @ flat - mean.T @ mean
        return np.asarray(spread / len(rows) + np.diag(penalty))

    start = np.zeros(design.shape[2])
    if np.isfinite(least).any():
        tight = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000}
        bounds = [(low, None) for low in least]
        fit = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=tight)
    else:
        tight = {"gtol": 1e-10, "maxiter": 1000}
        fit = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options=tight)
    return np.asarray(fit.x)
