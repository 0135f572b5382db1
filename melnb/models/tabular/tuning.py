"""Tuning: settings chosen inside the training folds.

Nested cross-validation: the rows that a fold's model is fitted on are themselves cut into inner
folds by patient, and the settings that are best there are used. The fold itself takes no part in
the choice, so that what is measured on it stays honest (Varma and Simon 2006, BMC Bioinformatics
7:91; Cawley and Talbot 2010, Journal of Machine Learning Research 11:2079).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from melnb.models.tabular.learners import Learner, fit_learner, predict_rows
from melnb.models.tabular.rows import Rows
from melnb.patients.overlap import make_groups
from melnb.tables import TableError

Grid = Mapping[str, Sequence[Any]]

# Of settings that are equally good the first wins, so the plainest stands first.
GRIDS: dict[str, Grid] = {
    "logistic": {"C": (1.0, 0.1, 0.01, 10.0)},
    "forest": {"max_depth": (2, 4, 8), "min_samples_leaf": (20,)},
    "naive_bayes": {"var_smoothing": (1e-3, 1e-2, 1e-1)},
    "boosting": {"max_depth": (3, 2, 5), "max_iter": (150, 400)},
    "lightgbm": {"num_leaves": (8, 4, 16), "n_estimators": (150, 400)},
    "xgboost": {"max_depth": (3, 2, 5), "n_estimators": (150, 400)},
    "catboost": {"depth": (3, 2, 5), "iterations": (300, 800)},
}
_TREES = 200  # of a forest while it is tuned: more make it steadier, and seldom another the best


def tune_learner(
    rows: Rows,
    images: pd.DataFrame,
    *,
    learner: Learner,
    positive: str,
    grid: Grid | None = None,
    inner_folds: int = 3,
    n_settings: int = 6,
    seed: int = 0,
) -> tuple[dict[int, Learner], pd.DataFrame]:
    """Choose settings for each fold by the AUC of one class in inner folds.

    Args:
        rows: Of `rows.make_rows`.
        images: The images table: inner folds part no patient or lesion.
        learner: Keeps its weights, its balancing and what the grid does not name.
        positive: The class looked for.
        grid: Setting to the values to try; None: the estimator's of `GRIDS`.
        inner_folds: Inner folds.
        n_settings: The most to try; of a larger grid, the first and a drawn part of the rest.
        seed: Of inner folds, drawn settings and fits.

    Returns:
        Fold to its learner, for `crossfits.cross_fit`; and all that was tried: `fold`, `settings`
        in words, `auc` (mean over inner folds), `sd` (between them), `n`, `chosen`.

    Raises:
        ValueError: The grid is empty, a setting or the class is unknown, or a number too small.
        TableError: An inner fold lacks the class, or holds nothing else.
    """
    code = rows.code(positive)
    settings = _settings(GRIDS[learner.estimator] if grid is None else grid, n_settings, seed)
    if inner_folds < 2:
        raise ValueError(f"inner_folds is {inner_folds}; two or more inner folds are needed")
    known = images.set_index("image_id").loc[rows.image_ids].reset_index()
    chosen: dict[int, Learner] = {}
    made: list[dict[str, object]] = []
    for fold in rows.folds:
        own = rows.outside(fold)
        groups = make_groups(known.iloc[own].reset_index(drop=True))
        cuts = _inner_folds(rows.codes[own], groups, inner_folds, seed)
        tried = []
        for values in settings:
            trial = replace(learner, settings={**learner.settings, **values})
            areas = _inner_areas(_thinned(trial, values), rows, own, cuts, code, fold, seed)
            tried.append((float(np.mean(areas)), trial))
            words = ", ".join(f"{name}={value}" for name, value in values.items())
            spread = float(np.std(areas, ddof=1))
            made.append(
                {"fold": fold, "settings": words, "auc": tried[-1][0], "sd": spread, "n": len(own)}
            )
        best = int(np.argmax([area for area, _ in tried]))
        chosen[fold] = tried[best][1]
        for place, row in enumerate(made[-len(settings) :]):
            row["chosen"] = place == best
    return chosen, pd.DataFrame(made)


def _settings(grid: Grid, most: int, seed: int) -> list[dict[str, Any]]:
    if not grid or most < 1 or any(not len(values) for values in grid.values()):
        raise ValueError(
            f"grid is {dict(grid)}, n_settings is {most}: name a setting with values to try, such "
            "as {'max_depth': [2, 4]}, and try one or more"
        )
    every = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if len(every) <= most:
        return every
    drawn = np.random.default_rng(seed).permutation(np.arange(1, len(every)))[: most - 1]
    return [every[0], *(every[place] for place in sorted(drawn))]


def _thinned(trial: Learner, values: Mapping[str, Any]) -> Learner:
    """Return the learner with fewer trees, if it is a forest whose trees are not being chosen."""
    trees = trial.settings.get("n_estimators", _TREES)
    if trial.estimator != "forest" or "n_estimators" in values:
        return trial
    return replace(trial, settings={**trial.settings, "n_estimators": min(_TREES, trees)})


def _inner_folds(
    codes: np.ndarray, groups: np.ndarray, number: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # _inner_areas says more
        try:
            return list(splitter.split(codes, codes, groups))
        except ValueError as error:
            raise TableError(f"inner_folds {number}: {error}") from None


def _inner_areas(
    learner: Learner,
    rows: Rows,
    own: np.ndarray,
    cuts: Sequence[tuple[np.ndarray, np.ndarray]],
    code: int,
    fold: int,
    seed: int,
) -> list[float]:
    from sklearn.metrics import roc_auc_score

    areas = []
    for taught, asked in cuts:
        truth = rows.codes[own[asked]] == code
        absent = set(rows.codes) - set(rows.codes[own[taught]]) - {-1}
        if absent or truth.all() or not truth.any():
            lost = rows.classes[min(absent)] if absent else rows.classes[code]
            raise TableError(
                f"inner_folds {len(cuts)}: inside the training rows of fold {fold}, an inner fold "
                f"cannot tell {lost!r} from the rest, for it lacks one or the other: use fewer "
                "inner folds, or do not tune"
            )
        model = fit_learner(learner, rows, own[taught], seed=seed)
        values = predict_rows([model], rows.features.iloc[own[asked]])
        areas.append(float(roc_auc_score(truth, values[:, code])))
    return areas
