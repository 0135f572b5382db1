"""Cross-fitting of models of tables, and tuning inside the training folds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from melnb.models.tabular.learners import Learner, fit_learner, predict_rows
from melnb.models.tabular.table_rows import Rows
from melnb.tables.checks import TEST, TableError
from melnb.tables.overlap import make_groups
from melnb.tables.processes import count_cores
from melnb.tables.schema import make_predictions

# Tuning: settings chosen inside the training folds.
#
# Nested cross-validation: the rows that a fold's model is fitted on are themselves cut into inner
# folds by patient, and the settings that are best there are used. The fold itself takes no part in
# the choice, so that what is measured on it stays honest (Varma and Simon 2006, BMC Bioinformatics
# 7:91; Cawley and Talbot 2010, Journal of Machine Learning Research 11:2079).

Grid = Mapping[str, Sequence[Any]]

# Of settings that are equally good the first wins, so the plainest stands first.
GRIDS: dict[str, Grid] = {
    "logistic": {"C": (1.0, 0.1, 0.01, 10.0)},
    "forest": {"max_depth": (2, 4, 8), "min_samples_leaf": (20,)},
    "naive_bayes": {"var_smoothing": (1e-3, 1e-2, 1e-1)},
    "discriminant": {"shrinkage": ("auto", 0.1, 0.5, 0.9)},
    "neighbours": {"n_neighbors": (25, 10, 50, 100)},
    "boosting": {"max_depth": (3, 2, 5), "max_iter": (150, 400)},
    "lightgbm": {"num_leaves": (8, 4, 16), "n_estimators": (150, 400)},
    "xgboost": {"max_depth": (3, 2, 5), "n_estimators": (150, 400)},
    "catboost": {"depth": (3, 2, 5), "iterations": (300, 800)},
}
_TREES = 200  # of a forest while it is tuned: more make it steadier, and seldom another the best


def tune_learners(
    rows: Rows,
    images: pd.DataFrame,
    *,
    learners: Mapping[str, Learner],
    wanted: bool = True,
    **how: Any,
) -> tuple[dict[str, Learner | dict[int, Learner]], dict[str, pd.DataFrame]]:
    """Choose settings of each learner as `tune_learner` does, by its name.

    Args:
        rows: Of `table_rows.make_rows`.
        images: The images table: inner folds part no patient or lesion.
        learners: Each with its name.
        wanted: Whether settings are chosen; if not, learners are as they are, and nothing is tried.
        how: As of `tune_learner`.

    Returns:
        What `cross_fit` takes, and what was tried, both by name.
    """
    if not wanted:
        return dict(learners), {}
    tuned = {name: tune_learner(rows, images, learner=one, **how) for name, one in learners.items()}
    return {n: chosen for n, (chosen, _) in tuned.items()}, {n: t for n, (_, t) in tuned.items()}


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
        rows: Of `table_rows.make_rows`.
        images: The images table: inner folds part no patient or lesion.
        learner: Keeps its weights, its balancing and what the grid does not name.
        positive: The class looked for.
        grid: Setting to the values to try; None: the estimator's of `GRIDS`.
        inner_folds: Inner folds.
        n_settings: The most to try; of a larger grid, the first and a drawn part of the rest.
        seed: Of inner folds, drawn settings and fits.

    Returns:
        Fold to its learner, for `cross_fitting.cross_fit`; and all that was tried: `fold`,
        `settings` in words, `auc` (mean over inner folds), `sd` (between them), `n`, `chosen`.

    Raises:
        ValueError: The grid is empty, a setting or the class is unknown, or a number too small.
        TableError: An inner fold lacks the class, or holds nothing else.
    """
    code = rows.code(positive)
    settings = _settings(GRIDS[learner.estimator] if grid is None else grid, n_settings, seed)
    if inner_folds < 2:
        raise ValueError(f"inner_folds is {inner_folds}; two or more inner folds are needed")
    table = images.set_index("image_id").loc[rows.image_ids].reset_index()
    chosen: dict[int, Learner] = {}
    trials: list[dict[str, object]] = []
    for fold in rows.folds:
        training = rows.outside(fold)
        groups = make_groups(table.iloc[training].reset_index(drop=True))
        cuts = _inner_folds(rows.codes[training], groups, inner_folds, seed)
        tried = []
        for values in settings:
            trial = replace(learner, settings={**learner.settings, **values})
            areas = _inner_areas(_thinned(trial, values), rows, training, cuts, code, fold, seed)
            tried.append((float(np.mean(areas)), trial))
            words = ", ".join(f"{name}={value}" for name, value in values.items())
            spread = float(np.std(areas, ddof=1))
            trials.append(
                {
                    "fold": fold,
                    "settings": words,
                    "auc": tried[-1][0],
                    "sd": spread,
                    "n": len(training),
                }
            )
        best = int(np.argmax([area for area, _ in tried]))
        chosen[fold] = tried[best][1]
        for place, row in enumerate(trials[-len(settings) :]):
            row["chosen"] = place == best
    return chosen, pd.DataFrame(trials)


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
    training: np.ndarray,
    cuts: Sequence[tuple[np.ndarray, np.ndarray]],
    code: int,
    fold: int,
    seed: int,
) -> list[float]:
    from sklearn.metrics import roc_auc_score

    areas = []
    for taught, asked in cuts:
        truth = rows.codes[training[asked]] == code
        absent = set(rows.codes) - set(rows.codes[training[taught]]) - {-1}
        if absent or truth.all() or not truth.any():
            lost = rows.classes[min(absent)] if absent else rows.classes[code]
            raise TableError(
                f"inner_folds {len(cuts)}: inside the training rows of fold {fold}, an inner fold "
                f"cannot tell {lost!r} from the rest, for it lacks one or the other: use fewer "
                "inner folds, or do not tune"
            )
        model = fit_learner(learner, rows, training[taught], seed=seed)
        values = predict_rows([model], rows.features.iloc[training[asked]])
        areas.append(float(roc_auc_score(truth, values[:, code])))
    return areas


# Cross-fits: every fold predicted by what the others taught.


@dataclass(frozen=True)
class CrossFit:
    """One learner, fitted once for each fold and seed.

    Attributes:
        predictions: Predictions table of the out-of-fold rows.
        test: That of the test rows, by the mean of all folds' models; empty if there are none.
        models: Fold to its fitted pipelines, one for each seed.
    """

    predictions: pd.DataFrame
    test: pd.DataFrame
    models: dict[int, tuple[Any, ...]]

    def every_row(self) -> pd.DataFrame:
        """Return the predictions of all rows, out of fold and of test, in one table."""
        parts = [part for part in (self.predictions, self.test) if len(part)]
        return pd.concat(parts, ignore_index=True)


def cross_fit(
    rows: Rows,
    *,
    learners: Mapping[str, Learner | Mapping[int, Learner]],
    seeds: Sequence[int] = (0,),
    run: str = "",
) -> dict[str, CrossFit]:
    """Predict each fold by a model that was fitted on the others, and test by the mean of them.

    Nothing is fitted again on all rows: what is applied to test rows is what was measured. Folds
    are fitted side by side, a thread for each core; each fit is in one thread and has its own seed,
    so that the result does not know of the others.

    Args:
        rows: Of `table_rows.make_rows`.
        learners: Name to a learner, or to one for each fold (as `tuning.tune_learner` chooses).
        seeds: Predictions are averaged over models of several.
        run: Begins the name of each run, which is `<run>-<name>`; empty: the name alone.

    Returns:
        The same names in the same order.

    Raises:
        ValueError: There is no learner or no seed, or a fold has no learner.
        ImportError: See `learners.make_estimator`.
    """
    if not learners or not seeds:
        raise ValueError(f"learners is {list(learners)}, seeds is {list(seeds)}: give one or more")
    fits = {}
    for name, given in learners.items():
        by_fold = dict.fromkeys(rows.folds, given) if isinstance(given, Learner) else dict(given)
        if lost := sorted(set(rows.folds) - set(by_fold)):
            raise ValueError(f"learners: {name!r} has none for fold {lost[0]}: tune it on all")
        with ThreadPoolExecutor(count_cores()) as pool:
            fitted = pool.map(partial(_fit_fold, by_fold, rows, seeds), rows.folds)
            models = dict(zip(rows.folds, fitted, strict=True))
        fits[name] = _predicted(rows, models, f"{run}-{name}" if run else name)
    return fits


def _fit_fold(
    by_fold: Mapping[int, Learner], rows: Rows, seeds: Sequence[int], fold: int
) -> tuple[Any, ...]:
    learner, training = by_fold[fold], rows.outside(fold)
    return tuple(fit_learner(learner, rows, training, seed=seed) for seed in learner.seeds(seeds))


def _predicted(rows: Rows, models: dict[int, tuple[Any, ...]], run: str) -> CrossFit:
    held_out = np.flatnonzero(rows.fold != TEST)
    values = np.zeros((len(rows.fold), len(rows.classes)))
    test = rows.inside(TEST)
    for fold, fitted in models.items():
        places = rows.inside(fold)
        values[places] = predict_rows(fitted, rows.features.iloc[places])
        if len(test):
            values[test] += predict_rows(fitted, rows.features.iloc[test]) / len(models)
    tables = [
        make_predictions(
            pd.Series(rows.image_ids[numbers]),
            pd.Series(rows.fold[numbers]),
            pd.Series(rows.truths(numbers)),
            values[numbers],
            classes=rows.classes,
            run=run,
        )
        if len(numbers)
        else pd.DataFrame()
        for numbers in (held_out, test)
    ]
    return CrossFit(tables[0], tables[1], models)
