"""What can be selected: the members' scores as whole numbers, on the rows with known truths.

Sums of whole numbers are exact in any order: a running sum never drifts, members that would tie on
paper tie in fact, and the order of members changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from melnb.evaluation.ensembles.alignment import Members, align, whole_ranks, whole_unit
from melnb.evaluation.rows import absent_class, binary_rows
from melnb.evaluation.statistics.bootstrap import quotient
from melnb.tables.checks import TEST, TableError
from melnb.tables.overlap import check_together

# Who beats whom? Pairs of a positive and a negative row, counted by the folds of both.
#
# An AUC is the share of pairs that the positive wins. Counted by fold, one look at a blend gives
# the AUC of all rows and of the rows without each fold, so that a search and its cross-fitting
# cost one pass. The larger class is sorted, fold by fold; the smaller is looked up in it.


class Duels:
    """Counts won pairs of any sum of the members' scores.

    Attributes:
        scores: m x n, in an order of rows of its own: add and subtract them to and from `start`.
        start: n, the sum of no member.
        folds: The K folds, rising.
    """

    def __init__(
        self, scores: np.ndarray, truth: np.ndarray, fold: np.ndarray, *, most: int
    ) -> None:
        """Lay out the rows.

        Args:
            scores: m x n whole numbers of 0 or more.
            truth: n booleans, of both kinds.
            fold: n whole numbers.
            most: The largest number of scores in a sum.

        Raises:
            TableError: Sums by fold would pass the largest whole number.
        """
        few = truth
        if 2 * truth.sum() > len(truth):  # a positive above is a negative below
            few, scores = ~truth, scores.max() - scores
        self.folds, code = np.unique(fold, return_inverse=True)
        number = len(self.folds)
        # A fold's rows of the sorted class lie above those of all folds before it.
        apart = int(scores.max()) * most + 2
        if apart * (number + 1) > np.iinfo(np.int64).max:
            raise TableError(f"ensemble: {number} folds are too many to select with: use fewer")
        kind = np.int32 if apart * (number + 1) <= np.iinfo(np.int32).max else np.int64
        order = np.lexsort((code, few))
        self.scores = np.ascontiguousarray(scores[:, order], dtype=kind)
        self.start = np.where(few, 0, code * apart)[order].astype(kind)
        self._lifts = (np.arange(number) * apart).astype(kind)[:, None]
        self._of_many = np.bincount(code[~few], minlength=number)
        self._of_few = np.bincount(code[few], minlength=number)
        self._many_edges = np.append(0, np.cumsum(self._of_many))
        self._few_edges = np.append(0, np.cumsum(self._of_few))
        self._pairs = _with_and_without(np.outer(self._of_many, self._of_few).astype(float))

    def aucs(self, sums: np.ndarray) -> np.ndarray:
        """Return the AUC of a sum, ties half won: of all rows, then without each of the K folds.

        Args:
            sums: n, `start` plus any of `scores`, `most` at most.

        Returns:
            1 + K values; NaN where a class is absent.
        """
        return quotient(_with_and_without(self.wins(sums)), 2 * self._pairs)

    def wins(self, sums: np.ndarray) -> np.ndarray:
        """Return twice the pairs won, K x K: by the fold of the larger class, then the other's."""
        end = self._many_edges[-1]
        many = np.empty(end + 1, dtype=sums.dtype)
        many[:end] = sums[:end]
        many[end] = np.iinfo(sums.dtype).max  # what is looked up past the end ties with nothing
        for first, last in zip(self._many_edges[:-1], self._many_edges[1:], strict=True):
            many[first:last].sort()
        few = sums[end:].copy()
        for first, last in zip(self._few_edges[:-1], self._few_edges[1:], strict=True):
            few[first:last].sort()  # neighbours are looked up faster
        wanted = (few + self._lifts).ravel()
        below = many.searchsorted(wanted)
        upto = below.copy()
        tied = many[below] == wanted
        if tied.any():
            upto[tied] = many.searchsorted(wanted[tied], side="right")
        beaten = (below + upto).reshape(len(self.folds), -1)
        beaten -= 2 * self._many_edges[:-1, None]
        so_far = np.zeros((len(beaten), beaten.shape[1] + 1), dtype=np.int64)
        np.cumsum(beaten, axis=1, out=so_far[:, 1:])
        return np.diff(so_far[:, self._few_edges], axis=1)


def _with_and_without(by_fold: np.ndarray) -> np.ndarray:
    """Return the sum of a K x K table, and those without the row and column of each fold."""
    total = by_fold.sum()
    without = total - by_fold.sum(axis=0) - by_fold.sum(axis=1) + np.diag(by_fold)
    return np.append(total, without).astype(float)


# Which members were selected: for the rows of each fold by the others, and for test rows by all.
#
# `search.exhaustive_search` and `search.greedy_search` both return a `Selection`; the tables here
# and of optimism are read off it, and nothing is searched twice.


SEARCH_COLUMNS = ("place", "members", "size", "auc", "behind", "n", "positives")


@dataclass(frozen=True)
class Selection:
    """What a search found. A count is how often a member is taken; a blend is their mean.

    Attributes:
        candidates: What was searched.
        counts: For each fold, by the other folds' rows, and for -1, by all: sizes x m, the best
            blend of each size, from 1 up.
        aucs: Their AUCs on the rows that they were found by, sizes values for each key of counts.
        leading: The best blends by all rows, at most as many as were asked for, x m.
        leading_aucs: Their AUCs, falling.
    """

    candidates: Candidates
    counts: Mapping[int, np.ndarray]
    aucs: Mapping[int, np.ndarray]
    leading: np.ndarray
    leading_aucs: np.ndarray

    def chosen(self, fold: int = TEST) -> np.ndarray:
        """Return the counts of the best blend for a fold; of two as good, the smaller."""
        return np.asarray(self.counts[fold][int(np.argmax(self.aucs[fold]))])


def search_table(selection: Selection | None) -> pd.DataFrame:
    """Return the best blends by all out-of-fold rows: their AUCs are apparent, not honest.

    Args:
        selection: `search.select_members`; None, where nothing was searched: no row.

    Returns:
        `place`, `members`, `size`, `auc`, `behind` (the best less this one), `n`, `positives`.
    """
    if selection is None:
        return pd.DataFrame(columns=list(SEARCH_COLUMNS))
    truth = selection.candidates.rows["truth"]
    return pd.DataFrame(
        {
            "place": np.arange(1, len(selection.leading) + 1),
            "members": [name_blend(selection.candidates.names, c) for c in selection.leading],
            "size": selection.leading.sum(axis=1),
            "auc": selection.leading_aucs,
            "behind": selection.leading_aucs.max() - selection.leading_aucs,
            "n": len(truth),
            "positives": int(truth.sum()),
        }
    )


def search_weights(selection: Selection) -> pd.DataFrame:
    """Return what each member counts for in the rows of each fold, as `blends.weights_table`.

    Returns:
        `fold` (-1: the weights for test rows, by all out-of-fold rows), `member`, `weight`.
    """
    entries = [
        (fold, name, float(count / selection.chosen(fold).sum()))
        for fold in sorted(selection.counts)
        for name, count in zip(selection.candidates.names, selection.chosen(fold), strict=True)
    ]
    return pd.DataFrame(entries, columns=["fold", "member", "weight"])


def weights_by_fold(selection: Selection | None) -> dict[int, dict[str, float]] | None:
    """Return `search_weights` as `blends.blend` takes them: for each fold, by member; or None."""
    if selection is None:
        return None
    table = search_weights(selection)
    return {
        int(str(fold)): dict(zip(part["member"], part["weight"].astype(float), strict=True))
        for fold, part in table.groupby("fold")
    }


def selected_members(members: Members, selection: Selection | None) -> dict[str, pd.DataFrame]:
    """Return the members that the search takes by all rows, for test rows; all without a search."""
    if selection is None:
        return dict(members)
    counts = dict(zip(selection.candidates.names, selection.chosen(), strict=True))
    return {name: table for name, table in members.items() if counts[name]}


def member_frequency(selection: Selection | None) -> pd.DataFrame:
    """Return how often each member is among the best: one that always is, is not there by chance.

    Args:
        selection: `search.select_members`; None: no row.

    Returns:
        `member`; `share` of the best blends that hold it; `folds`, the share of folds whose choice
        holds it; `weight` in the blend chosen by all rows; `n`, the number of best blends. The
        most frequent stand first.
    """
    if selection is None:
        return pd.DataFrame(columns=["member", "share", "folds", "weight", "n"])
    folds = np.stack([selection.chosen(fold) for fold in selection.candidates.folds])
    best = selection.chosen()
    table = pd.DataFrame(
        {
            "member": list(selection.candidates.names),
            "share": (selection.leading > 0).mean(axis=0),
            "folds": (folds > 0).mean(axis=0),
            "weight": best / best.sum(),
            "n": len(selection.leading),
        }
    )
    by = {"share": False, "folds": False, "weight": False, "member": True}
    return table.sort_values(list(by), ascending=list(by.values()), ignore_index=True)


def name_blend(names: tuple[str, ...], counts: np.ndarray) -> str:
    """Return a blend in words: `a + 2 b`."""
    taken = [(n, int(c)) for n, c in zip(names, counts, strict=True) if c]
    return " + ".join(name if count == 1 else f"{count} {name}" for name, count in taken)


def cross_fitted_scores(selection: Selection, counts: Mapping[int, np.ndarray]) -> np.ndarray:
    """Return each row's score by the blend of its own fold, n values.

    Args:
        selection: Its candidates are blended.
        counts: For each fold, m counts.
    """
    fold = selection.candidates.rows["fold"].to_numpy()
    scores = np.empty(len(fold))
    for k in selection.candidates.folds:
        members = fold == k
        scores[members] = blended_scores(selection.candidates, counts[k])[members]
    return scores


def blended_scores(candidates: Candidates, counts: np.ndarray) -> np.ndarray:
    """Return the mean of the members that are counted, n values."""
    return np.asarray((counts @ candidates.scores) / counts.sum())


Blended = Literal["mean", "rank"]
_ONE = 10**15  # a value of 1; decimals of up to 15 places are exact, as no binary fraction is
_INSTEAD = "use method mean, which selects nothing"


@dataclass(frozen=True)
class Candidates:
    """Members as a search sees them.

    Attributes:
        names: Of the m members, sorted.
        scores: m x n whole numbers of 0 or more; the order of their sums is that of the blend.
        rows: The n out-of-fold rows, as `rows.binary_rows`.
        positive: The class looked for.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    rows: pd.DataFrame
    positive: str

    @property
    def folds(self) -> list[int]:
        """Return the folds, rising."""
        return sorted(int(f) for f in self.rows["fold"].unique())


def make_candidates(
    members: Members,
    *,
    positive: str,
    method: Blended = "mean",
    rank_within_fold: bool = False,
) -> Candidates:
    """Return the members as candidates of a selection that judges by out-of-fold rows.

    Args:
        members: Name and predictions of each member.
        positive: The class looked for, of two or more.
        method: What is blended: `mean` of values (equal to 15 decimals) or of ranks, `rank`.
        rank_within_fold: Method rank: rank each fold by itself. See `blends.blend`.

    Raises:
        ValueError: The method is neither of the two.
        TableError: Members do not align or have no common scale, there are fewer than two folds, a
            class is absent without one of them, or a patient or lesion lies in two.
    """
    if method not in ("mean", "rank"):
        raise ValueError(f"method is {method!r}: select members whose mean or rank is blended")
    tables = align(members)
    kinds = {str(table["kind"].iloc[0]) for table in tables.values() if len(table)}
    if method == "mean" and len(kinds) > 1:
        raise TableError(
            f"ensemble: members are of kinds {sorted(kinds)}, which have no common scale: "
            "use method rank, or calibrate the scores first"
        )
    names = tuple(sorted(tables))
    judged = {n: binary_rows(t[t["fold"] != TEST], positive=positive) for n, t in tables.items()}
    rows = judged[names[0]].drop(columns="score")
    _check_rows(rows, positive)
    fold = rows["fold"].to_numpy()
    part = fold if rank_within_fold else np.zeros_like(fold)
    unit = whole_unit(np.unique(part, return_counts=True)[1], largest=_ONE)
    whole = [
        _whole_values(s) if method == "mean" else whole_ranks(s, part, unit)
        for s in (judged[name]["score"].to_numpy(dtype=float) for name in names)
    ]
    return Candidates(names, np.stack(whole), rows, positive)


def _whole_values(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(values * _ONE), dtype=np.int64)


def _check_rows(rows: pd.DataFrame, positive: str) -> None:
    """Refuse rows that cannot judge a selection, or not honestly."""
    absent = absent_class(rows, positive)
    if absent:
        raise TableError(f"ensemble: selection {absent} (out of fold): {_INSTEAD}")
    folds = rows["fold"].unique()
    if len(folds) < 2:
        raise TableError(
            "ensemble: rows with a truth lie in 1 fold, and the members for one are selected on "
            f"the others: give members with two or more folds, or {_INSTEAD}"
        )
    for fold in sorted(folds):
        absent = absent_class(rows[rows["fold"] != fold], positive)
        if absent:
            raise TableError(f"ensemble: selection {absent} without fold {fold}: {_INSTEAD}")
    check_together(rows, rows)
