"""Cross-fits: every fold predicted by what the others taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from melnb.data.processes import count_cores
from melnb.models.tabular.learners import Learner, fit_learner, predict_rows
from melnb.models.tabular.rows import Rows
from melnb.tables import TEST, make_predictions


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
        rows: Of `rows.make_rows`.
        learners: Name to a learner, or to one for each fold (as `tuning.tune_learner` chooses).
        seeds: Predictions are averaged over models of several.
        run: Begins the name of each run, which is `<run>-<name>`; empty: the name alone.

    Returns:
        The same names in the same order.

    Raises:
        ValueError: There is no learner or no seed, or a fold has no learner.
        ImportError: See `estimators.make_estimator`.
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
    learner, own = by_fold[fold], rows.outside(fold)
    return tuple(fit_learner(learner, rows, own, seed=seed) for seed in learner.seeds(seeds))


def _predicted(rows: Rows, models: dict[int, tuple[Any, ...]], run: str) -> CrossFit:
    held_out = np.flatnonzero(rows.fold != TEST)
    values = np.zeros((len(rows.fold), len(rows.classes)))
    test = rows.inside(TEST)
    for fold, fitted in models.items():
        own = rows.inside(fold)
        values[own] = predict_rows(fitted, rows.features.iloc[own])
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
