"""Several runs into one: joined by image id, weighed, and blended.

What is fitted is fitted on out-of-fold rows: the weights for a fold's rows come from the other
folds, and those for test rows from all out-of-fold rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from melnb.tables import TEST, TableError, check_predictions, class_names, make_predictions

Method = Literal["mean", "rank", "weighted", "fitted"]
Members = Mapping[str, pd.DataFrame]
_LEAST = 1e-15  # a probability of 0 for what is true costs this much, not infinity


def align(members: Members) -> dict[str, pd.DataFrame]:
    """Return the members with the same images in the same order, joined by id.

    Classes stand in the first member's order. What one member knows of a row (a test row's truth,
    a `patient_id`) is given to all.

    Args:
        members: Name and predictions of each member, in any order of rows.

    Raises:
        TableError: An image is missing from a member, or classes, folds or truths differ.
    """
    if not members:
        raise TableError("ensemble: there are no members: name one or more runs")
    for name, table in members.items():
        try:
            check_predictions(table)
        except TableError as error:
            raise TableError(f"member {name}: {error}") from error
    _check_same_images(members)
    tables = {n: t.sort_values("image_id", ignore_index=True) for n, t in members.items()}
    first = next(iter(tables.values()))
    classes = class_names(first)
    shared = first[["image_id", "fold"]].assign(truth=_known(tables, "truth"))
    for name, table in tables.items():
        if set(class_names(table)) != set(classes):
            raise TableError(
                f"member {name} has the classes {list(class_names(table))}, not {list(classes)}: "
                "blend runs of one task"
            )
        _check_same(name, table, "fold", shared)
        _check_same(name, table, "truth", shared)
    for column in sorted({str(c) for table in tables.values() for c in table.columns}):
        if column.endswith("_id") and column != "image_id":
            shared[column] = _known(tables, column)
    own = [*(f"p_{c}" for c in classes), "run", "views", "kind"]
    return {name: pd.concat([shared, table[own]], axis=1) for name, table in tables.items()}


def weights_table(
    members: Members,
    *,
    method: Method = "mean",
    weights: Sequence[float] = (),
    positive: str = "",
) -> pd.DataFrame:
    """Return what each member counts for in the rows of each fold.

    Args:
        members: Name and predictions of each member.
        method: `mean` and `rank`: equal; `weighted`: as given, divided by their sum; `fitted`:
            not negative, of sum one, and of least log-loss on the rows of the other folds.
        weights: One for each member, of method weighted.
        positive: Method fitted: the class whose log-loss against the rest counts; empty: all.

    Returns:
        `fold` (-1: the weights for test rows), `member`, `weight`.

    Raises:
        ValueError: Weights are wanting, negative or all 0, or the method is unknown.
        TableError: Members do not align, or nothing can be fitted.
    """
    return _weights(align(members), method, weights, positive)


def blend(
    members: Members,
    *,
    method: Method = "mean",
    weights: Sequence[float] = (),
    rank_within_fold: bool = False,
    positive: str = "",
    run: str = "ensemble",
) -> pd.DataFrame:
    """Return the blended predictions, in the order of their ids.

    Args:
        members: Name and predictions of each member.
        method: `mean`, `weighted` and `fitted` blend values (see `weights_table`); `rank` blends
            ranks from 1/n to 1, ties sharing their mean, and gives scores, not probabilities.
        weights: One for each member, of method weighted.
        rank_within_fold: Method rank: rank each fold by itself, for the scores of different models
            are on different scales. Test rows are ranked by themselves in any case.
        positive: Method fitted: see `weights_table`.
        run: The name of the result.

    Raises:
        ValueError: See `weights_table`.
        TableError: Members do not align, or some are scores and others probabilities.
    """
    return blend_aligned(
        align(members),
        method=method,
        weights=weights,
        rank_within_fold=rank_within_fold,
        positive=positive,
        run=run,
    )


def blend_aligned(
    tables: Mapping[str, pd.DataFrame],
    *,
    method: Method,
    weights: Sequence[float],
    rank_within_fold: bool,
    positive: str,
    run: str = "ensemble",
) -> pd.DataFrame:
    """Return `blend` of tables that `align` has returned."""
    kinds = {str(kind) for table in tables.values() for kind in table["kind"].unique()}
    if method != "rank" and len(kinds) > 1:
        raise TableError(
            f"ensemble: members are of kinds {sorted(kinds)}, which have no common scale: "
            "use method rank, or calibrate the scores first"
        )
    first = next(iter(tables.values()))
    classes = class_names(first)
    by_fold = _weights(tables, method, weights, positive).pivot(
        index="fold", columns="member", values="weight"
    )
    values = np.zeros((len(first), len(classes)))
    for name, table in tables.items():
        own = table[[f"p_{c}" for c in classes]]
        if method == "rank":
            part = first["fold"] if rank_within_fold else first["fold"] == TEST
            own = own.groupby(part).rank(pct=True)
        share = by_fold[name].reindex(first["fold"]).to_numpy()
        values += share[:, None] * own.to_numpy(dtype=float)
    views = {str(view) for table in tables.values() for view in table["views"].unique()}
    made = make_predictions(
        first["image_id"],
        first["fold"],
        first["truth"],
        np.clip(values, 0, 1),  # a sum of shares may pass 1 by a rounding
        classes=classes,
        run=run,
        views=views.pop() if len(views) == 1 else "mixed",
        kind="score" if method == "rank" or "score" in kinds else "probability",
    )
    ids = [c for c in first.columns if str(c).endswith("_id") and c not in made.columns]
    return made.assign(**{str(c): first[c] for c in ids})


def _weights(
    tables: Mapping[str, pd.DataFrame], method: Method, weights: Sequence[float], positive: str
) -> pd.DataFrame:
    first = next(iter(tables.values()))
    folds = sorted({TEST, *first["fold"]})
    if method == "fitted":
        likelihood = np.column_stack([_likelihood(t, positive) for t in tables.values()])
        by_fold = dict(_fitted_weights(likelihood, first["fold"].to_numpy(), folds))
    else:
        by_fold = dict.fromkeys(folds, _given_weights(list(tables), method, weights))
    cells = [(f, n, float(w)) for f in folds for n, w in zip(tables, by_fold[f], strict=True)]
    return pd.DataFrame(cells, columns=["fold", "member", "weight"])


def _given_weights(names: list[str], method: str, weights: Sequence[float]) -> np.ndarray:
    if method in ("mean", "rank"):
        return np.full(len(names), 1 / len(names))
    if method != "weighted":
        raise ValueError(f"method is {method!r}: use mean, rank, weighted or fitted")
    given = np.asarray(weights, dtype=float)
    if len(given) != len(names):
        raise ValueError(f"weights has {len(given)} values for the {len(names)} members {names}")
    if not (np.isfinite(given) & (given >= 0)).all() or given.sum() == 0:
        raise ValueError(f"weights are {list(weights)}: use numbers of 0 or more, not all 0")
    return np.asarray(given / given.sum())


def _likelihood(table: pd.DataFrame, positive: str) -> np.ndarray:
    """Return the probability of what is true in each row, NaN where that is unknown."""
    if (table["kind"] == "score").any():
        raise TableError(
            f"ensemble: {table['run'].iloc[0]} holds scores, and log-loss needs probabilities: "
            "use method rank, or calibrate the scores first"
        )
    classes = class_names(table)
    if positive and positive not in classes:
        raise TableError(f"ensemble: positive is {positive!r}, not one of {list(classes)}")
    values = table[[f"p_{c}" for c in classes]].to_numpy(dtype=float)
    code = pd.Categorical(table["truth"], categories=list(classes)).codes
    if positive:
        chosen = values[:, classes.index(positive)]
        true = np.where(code == classes.index(positive), chosen, 1 - chosen)
    else:
        true = values[np.arange(len(values)), code]
    return np.where(code >= 0, true, np.nan)


def _fitted_weights(
    likelihood: np.ndarray, fold: np.ndarray, folds: list[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each fold's weights, fitted on the other out-of-fold rows."""
    usable = (fold != TEST) & np.isfinite(likelihood).all(axis=1)
    number = len(np.unique(fold[usable]))
    if number < 2:
        raise TableError(
            f"ensemble: rows with a truth lie in {number} fold(s), and weights for one are fitted "
            "on the others: give members with two or more folds, or use method mean"
        )
    for k in folds:
        yield k, _least_log_loss(likelihood[usable & (fold != k)])


def _least_log_loss(likelihood: np.ndarray) -> np.ndarray:
    """Return the weights, 0 or more and of sum one, of the blend with the least log-loss.

    Args:
        likelihood: rows x members, the probability that each gave to what was true.
    """

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(likelihood @ weights, _LEAST)
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


def _known(tables: Mapping[str, pd.DataFrame], column: str) -> pd.Series:
    """Return a column of aligned tables, each cell from the first member that knows it."""
    cells = [table[column].astype(object) for table in tables.values() if column in table]
    known = cells[0].where(cells[0].notna(), np.nan)
    for other in cells[1:]:
        known = known.where(known.notna(), other)
    return known


def _check_same_images(members: Members) -> None:
    everything = set().union(*(table["image_id"] for table in members.values()))
    lacks = []
    for name, table in members.items():
        lost = sorted(everything - set(table["image_id"]))
        if lost:
            shown = ", ".join(lost[:5]) + (" …" if len(lost) > 5 else "")
            lacks.append(f"{name} lacks {len(lost)} ({shown})")
    if lacks:
        raise TableError(
            f"ensemble: members hold different images: {'; '.join(lacks)}: "
            "predict the same images with every member first"
        )


def _check_same(name: str, table: pd.DataFrame, column: str, shared: pd.DataFrame) -> None:
    wrong = table[column].notna() & (table[column].astype(object) != shared[column])
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise TableError(
            f"member {name}: {column} of {table['image_id'].iloc[row]} is "
            f"{table[column].iloc[row]}, but {shared[column].iloc[row]} in another member "
            f"({int(wrong.sum())} such images): blend runs of the same folds and labels"
        )
