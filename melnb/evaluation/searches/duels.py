"""Who beats whom? Pairs of a positive and a negative row, counted by the folds of both.

An AUC is the share of pairs that the positive wins. Counted by fold, one look at a blend gives the
AUC of all rows and of the rows without each fold, so that a search and its cross-fitting cost one
pass. The larger class is sorted, fold by fold; the smaller is looked up in it.
"""

from __future__ import annotations

import numpy as np

from melnb.evaluation.rankings import quotient
from melnb.tables import TableError


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
