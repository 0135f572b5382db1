"""Groups of images whose sensitivity and specificity move with the threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.evaluation.subgroups.levels import join_levels
from melnb.tables import TableError

MOST_LEVELS = 12  # of a column: more rows are a table to scroll, not a picture


@dataclass(frozen=True)
class Grouping:
    """A column of groups: its levels, and the level of each row.

    Attributes:
        column: The column's name.
        levels: In the order to show; `unknown` is last.
        codes: n numbers, each a place in `levels`.
    """

    column: str
    levels: tuple[str, ...]
    codes: np.ndarray


def groupings(rows: pd.DataFrame, groups: pd.DataFrame | None) -> list[Grouping]:
    """Return each column's level for each row, joined by `image_id`.

    Args:
        rows: n rows with `image_id`.
        groups: `image_id` and columns of a few levels each: `subgroup_columns`, say; None: none.

    Raises:
        TableError: `join_levels` refuses the groups, or a column has too many levels to show.
    """
    if groups is None:
        return []
    return [_grouping(name, column) for name, column in join_levels(rows, groups).items()]


def _grouping(name: str, column: pd.Categorical) -> Grouping:
    held = column.remove_unused_categories()
    if len(held.categories) > MOST_LEVELS:
        raise TableError(
            f"groups: {name} has {len(held.categories)} levels, {MOST_LEVELS} at most can be "
            "shown: cut numbers into bands (pandas.cut), or join rare levels"
        )
    codes = np.asarray(held.codes, dtype=np.uint8)
    return Grouping(name, tuple(str(level) for level in held.categories), codes)
