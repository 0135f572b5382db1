"""Stacking and cross-fitted weights: how each fold is blended, as the other folds taught."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.prevalence import LEAST, class_values, truth_codes
from melnb.evaluation.ensembles import recipes
from melnb.evaluation.ensembles.alignment import Values, log_values, softmax, teaching_rows
from melnb.evaluation.ensembles.recipes import Method, Recipe
from melnb.tables.checks import TEST, TableError
from melnb.tables.processes import one_thread
from melnb.tables.schema import class_names
from melnb.tables.within_patient import negligible

# Stacking: members joined by logistic regression or trees, learnt from out-of-fold rows.
#
# Stacking: Wolpert 1992, Neural Networks 5:241. The logistic stacker weighs each member once for
# all classes, for what a member says of one class is of little use for another, and learning it
# costs classes squared coefficients a member (Seewald 2002, ICML, 554). Its ridge draws the
# weights towards the equal mean and not towards 0: where rows say little it is the mean of
# logits, which is hard to beat, where weights of 0 would give every image the prevalence.


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


# What each member counts for: equal, as given, or of least log-loss.


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
    fit = minimize(
        loss,
        np.full(number, 1 / number),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * number,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    weights = np.clip(fit.x, 0, 1)
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


Model = Recipe | Trees
LEARNT = ("fitted", *recipes.STACKERS)  # methods that are fitted


class Keywords(TypedDict, total=False):
    """The keywords of blending, as `blend` explains them."""

    method: Method
    weights: Sequence[float]
    exponent: float
    ridge: float
    nonnegative: bool
    rank_within_fold: bool
    by_fold: Mapping[int, Mapping[str, float]] | None
    seed: int


class How(Keywords, total=False):
    """The same, with the class that is looked for."""

    positive: str


def needs_folds(method: str, by_fold: object = None) -> bool:
    """Return whether a blend was or is fitted on folds, which all members must then share."""
    return method in LEARNT or by_fold is not None


def blending_values(tables: Mapping[str, pd.DataFrame], how: How) -> Values:
    """Return what aligned members' rows count as.

    Args:
        tables: Aligned members.
        how: See `blends.blend`.

    Raises:
        ValueError: The method is unknown.
        TableError: Members are of kinds that the method cannot blend, or `positive` is no class.
    """
    method, positive = how.get("method", "mean"), how.get("positive", "")
    classes = class_names(next(iter(tables.values())))
    if positive and positive not in classes:
        raise TableError(f"ensemble: positive is {positive!r}, not one of {list(classes)}")
    if method not in recipes.METHODS:
        raise ValueError(f"method is {method!r}: use one of {list(recipes.METHODS)}")
    kinds = {str(kind) for table in tables.values() for kind in table["kind"].unique()}
    if len(kinds) > 1 and method not in ("rank", *recipes.STACKERS):
        raise TableError(
            f"ensemble: members are of kinds {sorted(kinds)}, which have no common scale: "
            "use method rank, or calibrate the scores first"
        )
    if "score" in kinds and method in ("logit", "power"):
        raise TableError(
            f"ensemble: members are scores, and method {method} needs probabilities: "
            "use method rank or logistic, or calibrate the scores first"
        )
    return recipes.blend_values(tables, method, how.get("rank_within_fold", False))


def fold_models(
    tables: Mapping[str, pd.DataFrame],
    values: Values,
    how: How,
    *,
    folds: Collection[int] | None = None,
) -> Iterator[tuple[int, np.ndarray, Model]]:
    """Yield each fold, which rows are its own, and how they are blended.

    Args:
        tables: Aligned members.
        values: `blending_values` of them.
        how: See `blends.blend`.
        folds: Those that are wanted; None: all, and that of test rows.

    Raises:
        ValueError: See `blends.blend`.
        TableError: See `blends.blend`.
    """
    first = next(iter(tables.values()))
    method = how.get("method", "mean")
    if method in LEARNT:
        if len(how.get("weights", ())):
            raise ValueError(f"weights are given but method is {method!r}: use weighted")
        parts = list(teaching_rows(first))
    else:
        fold = first["fold"].to_numpy()
        parts = [(k, fold == k, fold != TEST) for k in sorted({TEST, *map(int, fold)})]
    for k, members, teachers in parts:
        if folds is not None and k not in folds:
            continue
        if method in LEARNT:
            yield k, members, _fit(tables, values, how, teachers)
        else:
            yield k, members, _recipe(tables, how, _weights(list(tables), how, k))


def _weights(names: list[str], how: How, fold: int) -> dict[str, float]:
    """Return the weights of a fold's rows that are not fitted: selected, given or equal."""
    by_fold, given = how.get("by_fold"), how.get("weights", ())
    if by_fold is None:
        return given_weights(names, given, method=how.get("method", "mean"))
    if how.get("method", "mean") not in ("mean", "rank") or len(given):
        raise ValueError(
            f"by_fold is given, but method is {how.get('method')!r} and weights {list(given)}: "
            "what was selected is blended by mean or rank, without other weights"
        )
    weights = by_fold.get(fold, {})
    if {*weights} != {*names}:
        raise ValueError(
            f"by_fold names {sorted(weights)} for fold {fold}, but the members are "
            f"{sorted(names)}: select among these members"
        )
    return {name: weights[name] for name in sorted(names)}


def _fit(
    tables: Mapping[str, pd.DataFrame], values: Values, how: How, teachers: np.ndarray
) -> Model:
    """Return how rows are blended, as the teachers have it."""
    method, positive = how.get("method"), how.get("positive", "")
    if method == "fitted":
        shares = least_log_loss(likelihoods(tables, positive)[teachers])
        return _recipe(tables, how, dict(zip(sorted(tables), shares.tolist(), strict=True)))
    first = next(iter(tables.values()))
    classes, codes = class_names(first), truth_codes(first)[teachers]
    teaching = {name: of[teachers] for name, of in values.items()}
    nonnegative = how.get("nonnegative", False)
    if method == "boosted":
        seed = how.get("seed", 0)
        return fit_boosted_stacker(teaching, codes, nonnegative=nonnegative, seed=seed)
    weights, bias = fit_logistic_stacker(
        teaching,
        codes,
        positive=classes.index(positive) if positive else -1,
        ridge=how.get("ridge", 1.0),
        nonnegative=nonnegative,
    )
    return _recipe(tables, how, weights, dict(zip(classes, bias.tolist(), strict=True)))


def _recipe(
    tables: Mapping[str, pd.DataFrame],
    how: How,
    weights: Mapping[str, float],
    bias: Mapping[str, float] | None = None,
) -> Recipe:
    exponent = how.get("exponent", 2.0)
    if how.get("method") == "power" and not (math.isfinite(exponent) and exponent):
        raise ValueError(f"exponent is {exponent}: use a number other than 0, or method logit")
    return Recipe(
        method=how.get("method", "mean"),
        members=weights,
        kinds={name: str(table["kind"].iloc[0]) for name, table in tables.items()},
        classes=class_names(next(iter(tables.values()))),
        bias=bias or {},
        exponent=exponent,
        rank_within_fold=how.get("rank_within_fold", False),
        positive=how.get("positive", ""),
    )
