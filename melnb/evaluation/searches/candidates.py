"""What can be selected: the members' scores as whole numbers, on the rows with known truths.

Sums of whole numbers are exact in any order: a running sum never drifts, members that would tie on
paper tie in fact, and the order of members changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from melnb.evaluation.ensembles.blends import Members, align
from melnb.evaluation.ensembles.pools import whole_ranks, whole_unit
from melnb.evaluation.rows import absent_class, binary_rows
from melnb.patients.overlap import check_together
from melnb.tables import TEST, TableError

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
