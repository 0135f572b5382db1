"""Columns that part the images into levels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import pandas as pd

from melnb.evaluation.rows import same_images
from melnb.tables.checks import TableError

UNKNOWN = "unknown"  # the level of what is missing

_AS_THEY_ARE = ("sex", "site", "source", "diagnosis")
_AGES = (30, 40, 50, 60, 70, 80)  # years: lower edges of all bands but the first
_SIZES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # megapixels: likewise


def subgroup_columns(
    images: pd.DataFrame | None, measures: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the levels of each image: sex, age, site, source, diagnosis, picture size, skin tone.

    Args:
        images: The images table; `width` and `height` where picture sizes are known. None when
            nothing is known of the images: there are no levels then.
        measures: The measures table, for `skin_tone`; levels then run by their median `ita`.

    Returns:
        `image_id` and a categorical per column, its levels in the order in which they are shown,
        `unknown` last. Columns of one level part nothing: they are left out, and named in
        `attrs["left_out"]`.
    """
    if images is None:
        return pd.DataFrame({"image_id": pd.Series([], dtype=object)})
    columns = {c: _texts(images[c]) for c in _AS_THEY_ARE if c in images}
    if "age" in images:
        columns["age"] = _bands(images["age"], _AGES, unit="")
    if {"width", "height"} <= set(images.columns):
        pixels = images["width"].astype(float) * images["height"].astype(float)
        columns["picture_size"] = _bands(pixels / 1e6, _SIZES, unit=" MP")
    if measures is not None:
        columns["skin_tone"] = _tones(images, measures)
    order = ("sex", "age", "site", "skin_tone", "diagnosis", "source", "picture_size")
    parting = [c for c in order if c in columns and len(columns[c].categories) > 1]
    table = pd.DataFrame({c: columns[c] for c in parting}, index=images.index)
    table.insert(0, "image_id", images["image_id"])
    table.attrs["left_out"] = [c for c in order if c in columns and c not in parting]
    return table.reset_index(drop=True)


def join_levels(
    rows: pd.DataFrame, groups: pd.DataFrame, *, columns: Sequence[str] = ()
) -> dict[str, pd.Categorical]:
    """Return the level of each row in each column, joined by `image_id`.

    Args:
        rows: With `image_id`.
        groups: `image_id` and columns of levels: `subgroup_columns`, or any of your own.
        columns: Those wanted; empty: all.

    Raises:
        TableError: `groups` has no such column, a doubled id, or none of the rows' images.
    """
    if "image_id" not in groups or groups["image_id"].duplicated().any():
        raise TableError(
            f"groups: columns {[str(c) for c in groups]} need an image_id that stands once a row: "
            "make them with subgroup_columns(images)"
        )
    wanted = list(columns) or [str(c) for c in groups.columns if c != "image_id"]
    absent = [c for c in wanted if c not in groups]
    if absent:
        raise TableError(f"groups: no column {absent} among {[str(c) for c in groups]}")
    if not wanted:
        return {}
    if same_images(rows, groups):
        place = np.arange(len(rows))
    else:
        place = pd.Index(groups["image_id"]).get_indexer(pd.Index(rows["image_id"]))
    if len(rows) and (place < 0).all():
        raise TableError(
            f"groups: holds none of the {len(rows)} images predicted "
            f"({rows['image_id'].iloc[0]} …): give the images table of the same data set"
        )
    return {c: _taken(groups[c], place) for c in wanted}


def _taken(column: pd.Series, place: np.ndarray) -> pd.Categorical:
    """Return a column's levels at places; what is missing or has no place is unknown."""
    cells = column.array if isinstance(column.dtype, pd.CategoricalDtype) else _texts(column)
    assert isinstance(cells, pd.Categorical)
    taken = cells.take(place, allow_fill=True)
    if taken.isna().any():
        names = [str(c) for c in taken.categories if c != UNKNOWN]
        taken = taken.rename_categories(str).set_categories([*names, UNKNOWN]).fillna(UNKNOWN)
    return cast(pd.Categorical, taken)


def _texts(column: pd.Series) -> pd.Categorical:
    names = sorted({str(v) for v in column.dropna().unique()} - {UNKNOWN})
    texts = column.astype(object).where(column.notna(), UNKNOWN).map(str)
    known = [*names, UNKNOWN] if (texts == UNKNOWN).any() else names
    return cast(pd.Categorical, pd.Categorical(texts, categories=known, ordered=True))


def _bands(values: pd.Series, edges: Sequence[float], *, unit: str) -> pd.Categorical:
    """Return the band of each number; bands that hold nothing are not levels."""
    whole = not unit  # years are whole: a band ends a year before the next begins
    names = [
        f"< {edges[0]:g}{unit}",
        *(f"{low:g}–{high - 1 if whole else high:g}{unit}" for low, high in pairwise(edges)),
        f"{edges[-1]:g}+{unit}",
    ]
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    codes = np.searchsorted(np.array(edges), numbers, side="right")
    codes[np.isnan(numbers)] = len(names)
    held = [k for k in range(len(names) + 1) if (codes == k).any()]
    every = [*names, UNKNOWN]
    return pd.Categorical(
        [every[k] for k in codes], categories=[every[k] for k in held], ordered=True
    )


def _tones(images: pd.DataFrame, measures: pd.DataFrame) -> pd.Categorical:
    lacking = {"image_id", "ita", "skin_tone"} - set(measures.columns)
    if lacking:
        raise TableError(f"measures: no column {sorted(lacking)}: make it with measure_images")
    angles = measures.groupby("skin_tone", observed=True)["ita"].median()
    by_tone = [str(tone) for tone in angles.sort_values(ascending=False).index]
    found = measures.set_index("image_id")["skin_tone"].astype(object)
    cells = _texts(found.reindex(images["image_id"]))
    unknown = [UNKNOWN] if UNKNOWN in cells.categories else []
    seen = [tone for tone in by_tone if tone in cells.categories]
    return cells.set_categories([*seen, *unknown], ordered=True)
