"""Blends: weighted mean, rank averaging, stacking of several runs, joined by image id.

What is fitted is fitted on out-of-fold rows: the weights for a fold's rows come from the other
folds, and those for test rows from all out-of-fold rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Unpack

import numpy as np
import pandas as pd

from melnb.evaluation.ensembles import recipes
from melnb.evaluation.ensembles.alignment import Members, align, rank_unit, teaching_rows
from melnb.evaluation.ensembles.cross_fit import (
    How,
    Keywords,
    Model,
    blending_values,
    fold_models,
    needs_folds,
)
from melnb.evaluation.ensembles.recipes import Method as Method
from melnb.evaluation.ensembles.recipes import Recipe
from melnb.evaluation.rows import auc_estimate, binary_rows, difference_row, joined_rows
from melnb.evaluation.statistics.intervals import normal_quantile, with_holm
from melnb.tables.checks import TEST
from melnb.tables.schema import class_names

# What is each member of an ensemble worth?


def member_correlation(
    members: Members, *, positive: str, confidence: float = 0.95
) -> pd.DataFrame:
    """Return Spearman's correlation of each pair of members' scores: the lower, the more to gain.

    Limits after Fieller, Hartley and Pearson 1957, Biometrika 44:470.

    Returns:
        `first`, `second`, `correlation`, `low`, `high`, `n`, `note`; a row per pair.
    """
    aligned = align(members, same_folds=False)
    ranks = {name: t[f"p_{positive}"].rank().to_numpy() for name, t in aligned.items()}
    entries = []
    for first, second in combinations(ranks, 2):
        value, note = _correlation(ranks[first], ranks[second])
        n = len(ranks[first])
        low = high = math.nan
        if not note and n > 3 and abs(value) < 1:
            half = normal_quantile(confidence) * math.sqrt(1.06 / (n - 3))
            low, high = math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
        elif not note:
            note = "interval not estimable: too few rows, or the very same order"
        entries.append((first, second, value, low, high, n, note))
    columns = ["first", "second", "correlation", "low", "high", "n", "note"]
    return pd.DataFrame(entries, columns=columns)


def member_contribution(
    members: Members,
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
    **how: Unpack[Keywords],
) -> pd.DataFrame:
    """Return what each member does alone, and what the blend loses without it.

    Args:
        members: Name and predictions of each member.
        positive: The class looked for.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.
        how: As `blends.blend` takes them. Given weights stay when a member is left out; what is
            fitted is fitted anew.

    Returns:
        `member`; `auc` alone with `auc_low` and `auc_high`; `auc_blend`, `auc_without`, their
        paired `difference` (above 0: the member helps) with `se`, `low`, `high`, `z`, `p`, and
        `p_holm`, adjusted for the number of members; `n`, `positives`, `note`. A row per member.
    """
    folds = needs_folds(how.get("method", "mean"), how.get("by_fold"))
    tables = align(members, same_folds=folds)
    weights = how.get("weights", ())
    shares = dict(zip(tables, weights, strict=True)) if len(weights) else {}

    def blended(names: list[str]) -> pd.DataFrame:
        kept = {name: tables[name] for name in names}
        keywords = Keywords(**how) | Keywords(weights=[shares[name] for name in names if shares])
        return binary_rows(blend_aligned(kept, positive=positive, **keywords), positive=positive)

    everyone = blended(list(tables))
    entries = []
    for name, table in tables.items():
        rows = binary_rows(table, positive=positive)
        row = {"member": name, **_alone(rows, positive, confidence, cluster)}
        others = [other for other in tables if other != name]
        if others:
            difference = _lost(everyone, blended(others), positive, confidence, cluster)
            row |= difference | {"note": difference["note"] or row["note"]}
        else:
            row |= {"n": len(rows), "note": "not estimable: there is no other member"}
        entries.append(row)
    columns = {"auc_first": "auc_blend", "auc_second": "auc_without"}
    table = pd.DataFrame(entries).rename(columns=columns)
    table = with_holm(table) if "p" in table else table
    return table[[*table.columns.drop("note"), "note"]]


def _alone(rows: pd.DataFrame, positive: str, confidence: float, cluster: str) -> dict[str, Any]:
    alone = auc_estimate(rows, positive=positive, confidence=confidence, cluster=cluster)
    value, low, high, note = alone[["value", "low", "high", "note"]].iloc[0]
    return {"auc": value, "auc_low": low, "auc_high": high, "note": note}


def _lost(
    everyone: pd.DataFrame, others: pd.DataFrame, positive: str, confidence: float, cluster: str
) -> dict[str, Any]:
    """Return what the blend of everyone has more than that of the others, on the same images."""
    without = others[["image_id", "truth", "score"]]
    both = joined_rows(everyone, without)
    return difference_row(both, positive=positive, confidence=confidence, cluster=cluster)


def _correlation(first: np.ndarray, second: np.ndarray) -> tuple[float, str]:
    if len(first) < 2:
        return math.nan, f"not estimable: {len(first)} row(s)"
    a, b = first - first.mean(), second - second.mean()
    scale = math.sqrt((a * a).sum() * (b * b).sum())
    if scale == 0:
        return math.nan, "not estimable: a member's scores are all alike"
    return float(np.clip((a * b).sum() / scale, -1, 1)), ""


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
    recipe: Recipe | None = None,
    run: str = "ensemble",
) -> pd.DataFrame:
    """Return the blended predictions, in the order of their ids.

    Args:
        members: Name and predictions of each member.
        method: `mean`, `weighted`, `fitted` and `power` blend values, `logit` logits, `rank` ranks
            from 1/n to 1, ties sharing their mean, which are scores, not probabilities; `logistic`
            and `boosted` learn a model (see `cross_fit`), where members that are scores count by
            rank, and give probabilities. Weights are equal or as given; those of `fitted` are not
            negative, of sum one, and of least log-loss.
        weights: One for each member, divided by their sum, of method weighted; at will of methods
            rank, logit and power.
        exponent: Method power: see `alignment.power_pool`.
        ridge: Method logistic: how strongly weights are drawn to the equal mean.
        nonnegative: Methods logistic and boosted: let no member count against itself.
        rank_within_fold: Rank each fold by itself, for the scores of different models are on
            different scales. Test rows are ranked by themselves in any case.
        by_fold: Methods mean and rank: the weights of each fold's rows, and of test rows (-1), by
            member, as `candidates.weights_by_fold` returns them.
        positive: Method fitted: the class whose log-loss against the rest counts; empty: all.
        seed: Method boosted.
        recipe: A frozen blend, which says all the above; see `recipes.apply_recipe`.
        run: The name of the result.

    Raises:
        ValueError: Weights are wanting, negative or all 0, or another keyword is out of range.
        TableError: Members do not align, are scores and probabilities both, or nothing can be
            fitted: a patient lies in two folds, there is one fold, or one class. Members of other
            folds are refused where something is fitted or selected; else the first's are kept.
    """
    if recipe is not None:
        return recipes.apply_recipe(recipe, members, run=run)
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
    recipe: Recipe | None = None,
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
    if recipe is not None:
        recipes.check_members(recipe, members)
        folds = sorted({TEST, *map(int, next(iter(tables.values()))["fold"])})
        cells = [(k, *pair) for k in folds for pair in _listed(recipe, list(tables))]
    elif method == "boosted":
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
    blended = np.zeros((len(first), len(class_names(first))))
    unit = rank_unit(tables, within_fold=how.get("rank_within_fold", False))
    for _, members, model in fold_models(tables, values, how, folds={*first["fold"]}):
        seen = {name: of[members] for name, of in values.items()}
        blended[members] = (
            model.apply(seen, unit=unit) if isinstance(model, Recipe) else model.apply(seen)
        )
    return recipes.blended_table(tables, blended, method=how.get("method", "mean"), run=run)


def fit_recipe(
    members: Members, *, recipe: Recipe | None = None, **how: Unpack[How]
) -> Recipe | None:
    """Return the frozen blend for test rows and rows to come, fitted on all out-of-fold rows.

    Args:
        members: Name and predictions of each member.
        recipe: One that is frozen already, returned as it is.
        how: As `blend` takes them.

    Returns:
        None of method boosted, whose trees are no weights to write.

    Raises:
        ValueError: See `blend`.
        TableError: See `blend`.
    """
    if recipe is not None or how.get("method") == "boosted":
        return recipe
    tables = align(members, same_folds=needs_folds(how.get("method", "mean"), how.get("by_fold")))
    ((_, _, frozen),) = fold_models(tables, blending_values(tables, how), how, folds={TEST})
    assert isinstance(frozen, Recipe)  # of any method but boosted
    return frozen


def _listed(model: Model, names: list[str]) -> list[tuple[str, float]]:
    """Return the members' weights in their order, then the biases that are not 0."""
    assert isinstance(model, Recipe)
    biases = [(f"bias of {name}", b) for name, b in model.bias.items() if b]
    return [(name, model.members[name]) for name in names] + biases
