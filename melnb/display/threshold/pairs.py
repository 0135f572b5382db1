"""A second run beside the first, on the images that both have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.evaluation.rows import binary_rows, joined_rows, threshold_counts
from melnb.tables import TableError

Counts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Distinct scores, falling; the positive and the other images at or above each."""


@dataclass(frozen=True)
class Pair:
    """What a page needs to compare two runs at any threshold of the first.

    Attributes:
        name: Of the second run.
        n: Images that both have.
        own: Counts of the first run on them.
        other: Counts of the second.
        alone: For each distinct score of the first run, the positive and the other images that it
            flags from there up, and that the second, at a specificity no lower, does not.
    """

    name: str
    n: int
    own: Counts
    other: Counts
    alone: tuple[np.ndarray, np.ndarray]


def paired(rows: pd.DataFrame, other: pd.DataFrame, *, positive: str) -> Pair:
    """Join a second run to the rows of the first, by image id.

    Args:
        rows: `rows.binary_rows` of the first run.
        other: Predictions table of the second.
        positive: The class looked for.

    Raises:
        TableError: The two have too few images in common, or disagree about a truth.
    """
    theirs = binary_rows(other, positive=positive)[["image_id", "truth", "score"]]
    both = joined_rows(rows, theirs, suffix="_other")
    truth = both["truth"].to_numpy()
    if not truth.any() or truth.all():
        raise TableError(
            f"other: {len(both)} of its {len(theirs)} images are among the {len(rows)} of the "
            f"first run, {int(truth.sum())} of them {positive!r}: name a run of the same images"
        )
    wrong = truth != both["truth_other"].to_numpy()
    if wrong.any():
        raise TableError(
            f"other: truth of {both.loc[wrong, 'image_id'].iloc[0]} differs between the two "
            f"tables ({int(wrong.sum())} such images): they must be of the same labels"
        )
    second = both.assign(score=both["score_other"])
    own, counts = threshold_counts(both), threshold_counts(second)
    name = str(other["run"].iloc[0])
    return Pair(name, len(both), own, counts, _alone(both, second, own, counts))


def _alone(
    first: pd.DataFrame, second: pd.DataFrame, own: Counts, other: Counts
) -> tuple[np.ndarray, np.ndarray]:
    """Count images that the first run flags alone, as its threshold falls.

    An image is flagged by the first run from its own rank on; by the second from the rank at which
    the first has let as many others through as the second does at the image's score.
    """
    flagged = np.searchsorted(-own[0], -first["score"].to_numpy())
    rank = np.searchsorted(-other[0], -second["score"].to_numpy())
    follows = np.searchsorted(own[2], other[2][rank])
    truth, n = first["truth"].to_numpy(), len(own[0])
    made = []
    for part in (truth, ~truth):
        begins = np.bincount(flagged[part], minlength=n + 1)
        ends = np.bincount(np.maximum(flagged, follows)[part], minlength=n + 1)
        made.append(np.cumsum(begins - ends)[:n])
    return made[0], made[1]
