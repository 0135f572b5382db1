"""Which members were selected: for the rows of each fold by the others, and for test rows by all.

`search.exhaustive_search` and `search.greedy_search` both return a `Selection`; the tables here and
in `optimism` are read off it, and nothing is searched twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.evaluation.searches.candidates import Candidates
from melnb.tables import TEST


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


def search_table(selection: Selection) -> pd.DataFrame:
    """Return the best blends by all out-of-fold rows: their AUCs are apparent, not honest.

    Returns:
        `place`, `members`, `size`, `auc`, `behind` (the best less this one), `n`, `positives`.
    """
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
    made = [
        (fold, name, float(count / selection.chosen(fold).sum()))
        for fold in sorted(selection.counts)
        for name, count in zip(selection.candidates.names, selection.chosen(fold), strict=True)
    ]
    return pd.DataFrame(made, columns=["fold", "member", "weight"])


def weights_by_fold(selection: Selection) -> dict[int, dict[str, float]]:
    """Return `search_weights` as `blends.blend` takes them: for each fold, by member."""
    table = search_weights(selection)
    return {
        int(str(fold)): dict(zip(part["member"], part["weight"].astype(float), strict=True))
        for fold, part in table.groupby("fold")
    }


def member_frequency(selection: Selection) -> pd.DataFrame:
    """Return how often each member is among the best: one that always is, is not there by chance.

    Returns:
        `member`; `share` of the best blends that hold it; `folds`, the share of folds whose choice
        holds it; `weight` in the blend chosen by all rows; `n`, the number of best blends. The
        most frequent stand first.
    """
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
    made = np.empty(len(fold))
    for k in selection.candidates.folds:
        own = fold == k
        made[own] = blended_scores(selection.candidates, counts[k])[own]
    return made


def blended_scores(candidates: Candidates, counts: np.ndarray) -> np.ndarray:
    """Return the mean of the members that are counted, n values."""
    return np.asarray((counts @ candidates.scores) / counts.sum())
