"""Members joined by image id, and which of their rows may teach which.

What is fitted for the rows of a fold is fitted on the other folds, and what is fitted for test rows
on all out-of-fold rows; no patient or lesion may lie on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.prevalence import LEAST
from melnb.evaluation.statistics.intervals import midranks
from melnb.tables.checks import TEST, TableError
from melnb.tables.overlap import match
from melnb.tables.schema import check_folds, check_predictions, class_names

# Several opinions into one: what a member's rows count as, and how they are averaged.
#
# Members are always taken in the order of their names, so that their order never changes a bit.

Values = dict[str, np.ndarray]  # of each member, rows x classes
_LARGEST_UNIT = 10**14  # so that sums of whole ranks are whole numbers of 64 bits
_PARTS_OF_WEIGHT = 10**4  # weights that are fractions of so many parts are exact


def member_values(
    tables: Mapping[str, pd.DataFrame], *, ranks: bool, within_fold: bool, centred: bool = False
) -> Values:
    """Return what each member's rows count as: their values, or their ranks as a share of all.

    Test rows are ranked by themselves, and ties share their mean rank. If all are ranked, ranks are
    whole numbers, of which `rank_unit` is a share of 1: their sums are exact, and what ties on
    paper ties in fact.

    Args:
        tables: Aligned members.
        ranks: Whether all members are ranked; else those alone that hold scores, if `centred`.
        within_fold: Rank each fold by itself, for the scores of different models are on different
            scales.
        centred: Ranks less a half, so that no share is 0 or 1 and their logarithms are finite.
    """
    values, unit = {}, rank_unit(tables, within_fold=within_fold) if ranks else 0
    for name in sorted(tables):
        table = tables[name]
        scores = table[[f"p_{c}" for c in class_names(table)]]
        part = table["fold"] if within_fold else table["fold"] == TEST
        if ranks:
            columns = scores.to_numpy(dtype=float).T
            values[name] = np.stack(
                [whole_ranks(c, part.to_numpy(), unit) for c in columns], axis=1
            )
            continue
        if centred and (table["kind"] == "score").any():
            grouped = scores.groupby(part)
            scores = (grouped.rank() - 0.5) / grouped.transform("count")
        values[name] = scores.to_numpy(dtype=float)
    return values


def rank_unit(tables: Mapping[str, pd.DataFrame], *, within_fold: bool) -> int:
    """Return the whole number that a rank of n of n counts as, in `member_values`."""
    parts = (t["fold"] if within_fold else t["fold"] == TEST for t in tables.values())
    return whole_unit(size for part in parts for size in part.value_counts())


def whole_unit(sizes: Iterable[int], *, largest: int = _LARGEST_UNIT) -> int:
    """Return a number by which midranks over each of these sizes are whole, or else the largest."""
    common = math.lcm(*(2 * int(size) for size in sizes))
    return min(common, largest)


def whole_ranks(values: np.ndarray, part: np.ndarray, unit: int) -> np.ndarray:
    """Return midranks over their part's size, times a unit that makes them whole.

    Args:
        values: n.
        part: n; each is ranked by itself.
        unit: `whole_unit` of the parts' sizes. One that is no multiple of them rounds.

    Returns:
        n whole numbers, from 1 up to the unit.
    """
    _, code, sizes = np.unique(part, return_inverse=True, return_counts=True)
    doubled = np.empty(len(values), dtype=np.int64)
    for k in range(len(sizes)):
        doubled[code == k] = np.rint(2 * midranks(values[code == k]))
    if (unit % (2 * sizes)).any():
        return np.asarray(np.rint(doubled / (2 * sizes)[code] * unit), dtype=np.int64)
    return np.asarray(doubled * (unit // (2 * sizes))[code])


def linear_pool(values: Values, weights: Mapping[str, float], *, unit: int = 1) -> np.ndarray:
    """Return the weighted mean of values (Stone 1961, Annals of Mathematical Statistics 32:1339).

    Args:
        values: Of each member, rows x classes. Of whole numbers the sum is exact where weights are
            fractions of at most 10,000 parts.
        weights: Of each member, of sum one.
        unit: What stands for 1 in whole numbers.

    Returns:
        rows x classes.
    """
    if all(np.issubdtype(of.dtype, np.integer) for of in values.values()):
        return np.asarray(np.clip(_whole_mean(values, weights, unit), 0, 1))
    # One member after the other: a matrix product may round a row by where it stands.
    total = np.zeros_like(next(iter(values.values())))
    for name in sorted(values):
        total += weights[name] * values[name]
    return np.clip(total, 0, 1)  # a sum of shares may pass 1 by a rounding


def _whole_mean(values: Values, weights: Mapping[str, float], unit: int) -> np.ndarray:
    shares = {n: Fraction(weights[n]).limit_denominator(_PARTS_OF_WEIGHT) for n in sorted(values)}
    parts = math.lcm(*(share.denominator for share in shares.values()))
    exact = all(abs(float(share) - weights[name]) < 1e-12 for name, share in shares.items())
    if not exact or parts > _PARTS_OF_WEIGHT or sum(shares.values()) != 1:
        return np.asarray(sum(weights[name] * values[name] for name in sorted(values)) / unit)
    total = sum(int(share * parts) * values[name] for name, share in shares.items())
    return np.asarray(total / (parts * unit))  # one division: the same share is the same float


def logarithmic_pool(
    values: Values, weights: Mapping[str, float], bias: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return the weighted mean of log probabilities, made to sum to one.

    Of two classes it is the mean of logits. Genest and Zidek 1986, Statistical Science 1:114.

    Args:
        values: Of each member, rows x classes; 0 counts as 1e-15.
        weights: Of each member.
        bias: Of each class, added to its logarithm.

    Returns:
        rows x classes.
    """
    odds = np.zeros_like(next(iter(values.values()))) + bias
    for name in sorted(values):
        odds += weights[name] * log_values(values[name])
    return softmax(odds)


def power_pool(values: Values, weights: Mapping[str, float], exponent: float) -> np.ndarray:
    """Return the weighted power mean of probabilities, made to sum to one.

    Exponent 1 is the mean, towards 0 the mean of logits; the higher it is, the more the surest
    member counts. Cooke 1991, Experts in Uncertainty, Oxford.

    Args:
        values: Of each member, rows x classes; 0 counts as 1e-15.
        weights: Of each member, of sum one.
        exponent: Not 0.

    Returns:
        rows x classes.
    """
    total = np.full_like(next(iter(values.values())), -np.inf)
    for name in sorted(values):
        if weights[name] > 0:
            # Sums of logarithms, for a small value to a high power is 0 in floating point.
            total = np.logaddexp(total, np.log(weights[name]) + exponent * log_values(values[name]))
    return softmax(total / exponent)


def log_values(values: np.ndarray) -> np.ndarray:
    """Return the logarithms of values, 0 taken as 1e-15."""
    return np.asarray(np.log(np.clip(values, LEAST, 1)))


def softmax(odds: np.ndarray) -> np.ndarray:
    """Return the probabilities of n x classes log odds, without overflow."""
    parts = np.exp(odds - odds.max(axis=1, keepdims=True))
    return np.asarray(parts / parts.sum(axis=1, keepdims=True))


Members = Mapping[str, pd.DataFrame]


def align(members: Members, *, same_folds: bool = True) -> dict[str, pd.DataFrame]:
    """Return the members with the same images in the same order, joined by id (`overlap.match`).

    Images bear the first member's ids, and classes stand in its order. What one member knows of a
    row (a test row's truth, a `patient_id`) is given to all.

    Args:
        members: Name and predictions of each member, in any order of rows.
        same_folds: Refuse members that were cut into folds otherwise, as whatever is fitted must.
            Else each keeps its own; test rows must be those of all.

    Raises:
        TableError: An image is missing from a member, or classes, folds or truths differ.
    """
    if not members:
        raise TableError("ensemble: there are no members: name one or more runs")
    bare = [name for name, table in members.items() if table.empty]
    if bare and len(bare) < len(members):
        raise TableError(
            f"member {bare[0]} has no row out of fold, and others have: it learnt from all of them "
            "(fold none), or is of test rows alone. Set shared_only true to blend what all have"
        )
    for name, table in members.items():
        try:
            check_predictions(table)
        except TableError as error:
            raise TableError(f"member {name}: {error}") from error
    members = _named_alike(members)
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
        _check_same_folds(name, table, shared, same_folds)
        _check_same(name, table, "truth", shared)
    for column in sorted({str(c) for table in tables.values() for c in table.columns}):
        if column.endswith("_id") and column != "image_id":
            shared[column] = _known(tables, column)
    fixed = [*(f"p_{c}" for c in classes), "run", "views", "kind"]
    return {
        name: pd.concat([shared.assign(fold=table["fold"]), table[fixed]], axis=1)
        for name, table in tables.items()
    }


def shared_images(
    members: Members, *, only: bool = True
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the members with those images alone that all of them hold, and what was left out.

    Args:
        members: Name and predictions of each member.
        only: False: the members as they are, and how many images of each another lacks.

    Returns:
        The members; and `member`, `images`, `left_out` (how many), `example` (one of them).

    Raises:
        TableError: Not one image is held by all.
    """
    pool, members = members, _named_alike(members)
    ids = [{*table["image_id"]} for table in members.values()]
    shared = set.intersection(*ids) if ids else set()
    if only and not shared:
        raise TableError(f"ensemble: not one image is held by all of {list(members)}")
    kept = {n: t[t["image_id"].isin(shared)].reset_index(drop=True) for n, t in members.items()}
    lost = [sorted(ids_of - shared) for ids_of in ids]
    counts = {
        "member": list(members), "images": [len(ids_of) for ids_of in ids],
        "left_out": [len(names) for names in lost], "example": [(n or [""])[0] for n in lost],
    }  # fmt: skip
    return kept if only else dict(pool), pd.DataFrame(counts)


def teaching_rows(rows: pd.DataFrame) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each fold, which rows are its own, and which may be fitted on for them.

    Cross-fitting: Wolpert 1992, Neural Networks 5:241. The truths of test rows are never among
    those fitted on.

    Args:
        rows: A predictions table.

    Yields:
        `fold` (-1, the test rows, always), its own rows and its teachers, as n booleans each.

    Raises:
        TableError: A patient or a lesion lies in two folds, or there is but one to fit on.
    """
    check_folds(rows, rows.reindex(columns=["image_id", "patient_id", "lesion_id"]))
    fold = rows["fold"].to_numpy()
    usable = fold != TEST
    number = len(np.unique(fold[usable]))
    if number < 2:
        raise TableError(
            f"ensemble: rows with a truth lie in {number} fold(s), and weights for one are fitted "
            "on the others: give members with two or more folds, or use method mean"
        )
    for k in sorted({TEST, *map(int, fold)}):
        yield k, fold == k, usable & (fold != k)


def _named_alike(members: Members) -> dict[str, pd.DataFrame]:
    """Give each member's images the ids that the first member has for them."""
    first = next(iter(members.values()), pd.DataFrame(columns=["image_id"]))["image_id"]
    named = {}
    for name, table in members.items():
        there = match(table["image_id"], first)
        ids = table["image_id"].to_numpy(dtype=object)
        theirs = np.where(there < 0, ids, first.to_numpy(dtype=object)[there])
        twice = pd.Series(theirs).duplicated(keep=False).to_numpy()
        named[name] = table.assign(image_id=np.where(twice, ids, theirs))
    return named


def _known(tables: Mapping[str, pd.DataFrame], column: str) -> pd.Series:
    """Return a column of aligned tables, each cell from the first member that knows it."""
    cells = [table[column].astype(object) for table in tables.values() if column in table]
    merged = cells[0].where(cells[0].notna(), np.nan)
    for other in cells[1:]:
        merged = merged.where(merged.notna(), other)
    return merged


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
            "predict the same images with every member first, or leave out what one lacks: "
            "shared_only=true"
        )


def _check_same_folds(
    name: str, table: pd.DataFrame, shared: pd.DataFrame, same_folds: bool
) -> None:
    if same_folds:
        instead = "; methods mean and rank, without select, need no same folds"
        _check_same(name, table, "fold", shared, instead)
    wrong = ((table["fold"] == TEST) != (shared["fold"] == TEST)).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise TableError(
            f"member {name}: {table['image_id'].iloc[row]} is of fold {table['fold'].iloc[row]}, "
            f"but {shared['fold'].iloc[row]} in another member ({int(wrong.sum())} such images): "
            "a test row (-1) is one for all; a file without folds needs a column of truths"
        )


def _check_same(
    name: str, table: pd.DataFrame, column: str, shared: pd.DataFrame, instead: str = ""
) -> None:
    wrong = table[column].notna() & (table[column].astype(object) != shared[column])
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise TableError(
            f"member {name}: {column} of {table['image_id'].iloc[row]} is "
            f"{table[column].iloc[row]}, but {shared[column].iloc[row]} in another member "
            f"({int(wrong.sum())} such images): blend runs of the same folds and labels{instead}"
        )
