"""Several runs into one: joined by image id, weighed, and blended.

What is fitted is fitted on out-of-fold rows: the weights for a fold's rows come from the other
folds, and those for test rows from all out-of-fold rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np
import pandas as pd

from melnb.evaluation.ensembles import recipes
from melnb.evaluation.ensembles.alignment import Members as Members
from melnb.evaluation.ensembles.alignment import align as align
from melnb.evaluation.ensembles.alignment import teaching_rows
from melnb.evaluation.ensembles.crossfits import (
    How,
    Model,
    blending_values,
    fold_models,
    needs_folds,
)
from melnb.evaluation.ensembles.pools import rank_unit
from melnb.evaluation.ensembles.recipes import Method as Method
from melnb.evaluation.ensembles.recipes import Recipe
from melnb.tables import TEST, class_names


def blend(
    members: Members,
    *,
    method: Method = "mean",
    weights: Sequence[float] = (),
    exponent: float = 2.0,
    ridge: float = 1.0,
    nonnegative: bool = False,
    rank_within_fold: bool = False,
    by_fold: Mapping[int, Mapping[str, float]] | None = None,
    positive: str = "",
    seed: int = 0,
    run: str = "ensemble",
) -> pd.DataFrame:
    """Return the blended predictions, in the order of their ids.

    Args:
        members: Name and predictions of each member.
        method: `mean`, `weighted`, `fitted` and `power` blend values, `logit` logits, `rank` ranks
            from 1/n to 1, ties sharing their mean, which are scores, not probabilities; `logistic`
            and `boosted` learn a model (see `stackers`), where members that are scores count by
            rank, and give probabilities. Weights are equal or as given; those of `fitted` are not
            negative, of sum one, and of least log-loss.
        weights: One for each member, divided by their sum, of method weighted; at will of methods
            rank, logit and power.
        exponent: Method power: see `pools.power_pool`.
        ridge: Method logistic: how strongly weights are drawn to the equal mean.
        nonnegative: Methods logistic and boosted: let no member count against itself.
        rank_within_fold: Rank each fold by itself, for the scores of different models are on
            different scales. Test rows are ranked by themselves in any case.
        by_fold: Methods mean and rank: the weights of each fold's rows, and of test rows (-1), by
            member, as `selection.weights_by_fold` returns them.
        positive: Method fitted: the class whose log-loss against the rest counts; empty: all.
        seed: Method boosted.
        run: The name of the result.

    Raises:
        ValueError: Weights are wanting, negative or all 0, or another keyword is out of range.
        TableError: Members do not align, are scores and probabilities both, or nothing can be
            fitted: a patient lies in two folds, there is one fold, or one class. Members of other
            folds are refused where something is fitted or selected; else the first's are kept.
    """
    return blend_aligned(
        align(members, same_folds=needs_folds(method, by_fold)),
        method=method,
        weights=weights,
        exponent=exponent,
        ridge=ridge,
        nonnegative=nonnegative,
        rank_within_fold=rank_within_fold,
        by_fold=by_fold,
        positive=positive,
        seed=seed,
        run=run,
    )


def weights_table(
    members: Members,
    *,
    method: Method = "mean",
    weights: Sequence[float] = (),
    exponent: float = 2.0,
    ridge: float = 1.0,
    nonnegative: bool = False,
    rank_within_fold: bool = False,
    by_fold: Mapping[int, Mapping[str, float]] | None = None,
    positive: str = "",
    seed: int = 0,
) -> pd.DataFrame:
    """Return what each member counts for in the rows of each fold.

    Takes and raises what `blend` does.

    Returns:
        `fold` (-1: the weights for test rows), `member`, `weight`. Of method logistic, weights are
        of log odds and need not sum to one, and a row `bias of <class>` follows the members; of
        method boosted they are NaN, for trees have none.
    """
    how = How(
        method=method,
        weights=weights,
        exponent=exponent,
        ridge=ridge,
        nonnegative=nonnegative,
        rank_within_fold=rank_within_fold,
        by_fold=by_fold,
        positive=positive,
        seed=seed,
    )
    tables = align(members, same_folds=needs_folds(method, by_fold))
    if method == "boosted":
        folds = [k for k, _, _ in teaching_rows(next(iter(tables.values())))]
        cells = [(k, name, np.nan) for k in folds for name in tables]
    else:
        cells = [
            (k, name, weight)
            for k, _, model in fold_models(tables, blending_values(tables, how), how)
            for name, weight in _listed(model, list(tables))
        ]
    return pd.DataFrame(cells, columns=["fold", "member", "weight"])


def blend_aligned(
    tables: Mapping[str, pd.DataFrame], *, run: str = "ensemble", **how: Unpack[How]
) -> pd.DataFrame:
    """Return `blend` of tables that `align` has returned."""
    values = blending_values(tables, how)
    first = next(iter(tables.values()))
    made = np.zeros((len(first), len(class_names(first))))
    unit = rank_unit(tables, within_fold=how.get("rank_within_fold", False))
    for _, own, model in fold_models(tables, values, how, folds={*first["fold"]}):
        seen = {name: of[own] for name, of in values.items()}
        made[own] = model.apply(seen, unit=unit) if isinstance(model, Recipe) else model.apply(seen)
    return recipes.blended_table(tables, made, method=how.get("method", "mean"), run=run)


def fit_recipe(members: Members, **how: Unpack[How]) -> Recipe:
    """Return the frozen blend for test rows and rows to come, fitted on all out-of-fold rows.

    Args:
        members: Name and predictions of each member.
        how: As `blend` takes them.

    Raises:
        ValueError: The method is boosted, or see `blend`.
        TableError: See `blend`.
    """
    if how.get("method") == "boosted":
        raise ValueError(
            "method is 'boosted', whose trees are no weights to write: use logistic for a blend "
            "that is to be applied again"
        )
    tables = align(members, same_folds=needs_folds(how.get("method", "mean"), how.get("by_fold")))
    ((_, _, made),) = fold_models(tables, blending_values(tables, how), how, folds={TEST})
    assert isinstance(made, Recipe)  # of any method but boosted
    return made


def _listed(model: Model, names: list[str]) -> list[tuple[str, float]]:
    """Return the members' weights in their order, then the biases that are not 0."""
    assert isinstance(model, Recipe)
    biases = [(f"bias of {name}", b) for name, b in model.bias.items() if b]
    return [(name, model.members[name]) for name in names] + biases
