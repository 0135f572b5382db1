"""Who may be fitted on for whom: the folds, or the parts that a single fold is cut into.

What is fitted for a row is fitted on the other parts. A file of anyone's that has no folds is one
fold, and would otherwise have nothing to be fitted on.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.evaluation.rows import row_clusters
from melnb.evaluation.summaries import cluster_column
from melnb.tables import TEST

_PARTS = 5  # that a single fold is cut into


def crossfit_parts(rows: pd.DataFrame, *, cluster: str = "") -> tuple[np.ndarray, str]:
    """Return the part of each row, and how parts were made, in words.

    Parts are the folds; a single fold is cut into five by whole clusters (scikit-learn's
    `GroupKFold`), or into fewer where there are fewer of them.

    Args:
        rows: Predictions, or any other table with a column `fold`.
        cluster: What is not to be cut through; empty: patients, else lesions, else rows, whichever
            are known.

    Returns:
        n whole numbers, -1 for test rows, and a text that is empty where parts are the folds.
    """
    fold = rows["fold"].to_numpy(dtype=int)
    inside = fold != TEST
    if len(np.unique(fold[inside])) != 1:
        return fold, ""
    cluster = cluster or cluster_column(rows)
    groups = row_clusters(rows[inside], cluster)
    groups = np.arange(int(inside.sum())) if groups is None else groups
    number = min(_PARTS, len(np.unique(groups)))
    if number < 2:
        return fold, f"one fold, and all its rows are of one {cluster or 'image'}"
    # Imported here, as scikit-learn costs a second.
    from sklearn.model_selection import GroupKFold

    part = np.full(len(fold), TEST)
    places = np.flatnonzero(inside)
    for k, (_, own) in enumerate(GroupKFold(number).split(places, groups=groups)):
        part[places[own]] = k
    unit = cluster.removesuffix("_id") if cluster else "image"
    return part, f"one fold, cut into {number} parts by {unit}"
