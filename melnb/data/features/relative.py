"""Patient-relative features: how an image stands among its patient's, for any number.

The ugly duckling (Grob and Bonerandi 1998, Archives of Dermatology 134:103) as features of a model
of tables, which made most of the gain in the ISIC 2024 challenge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from melnb.checks import check_columns, check_ids
from melnb.patients.groups import first_known, group_codes
from melnb.patients.outliers import outlier_factors
from melnb.patients.standings import FEWEST, standings
from melnb.tables import TableError

OF_EACH = ("difference", "ratio", "z", "rank")  # a column for each number
OF_ALL = ("lof", "pictures")  # one column
STATISTICS = (*OF_EACH, *OF_ALL)
GROUPS = ("patient_id", "lesion_id")


def relative_features(
    rows: pd.DataFrame,
    images: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    columns: Sequence[str],
    statistics: Sequence[str] = STATISTICS,
    group: str = "",
    by_site: bool = False,
) -> pd.DataFrame:
    """Return how each image stands among those of its fold and patient.

    A fold's images are compared with one another alone, so that nothing crosses a fold's border,
    and out-of-fold scores of one model alone are compared. No truth is used.

    Args:
        rows: Feature rows.
        images: The images table.
        folds: The folds table.
        columns: Numbers of `rows`.
        statistics: `difference` from the patient's mean, `ratio` to it, `z` (in the patient's
            standard deviations, n - 1), `rank` (mean rank less a half, as a share), `lof` (local
            outlier factor of all columns together, each in the patient's standard deviations;
            Breunig et al. 2000, SIGMOD 29:93), `pictures` (how many there are).
        group: A column of `images`; empty: the patient, or the lesion where the patient is unknown.
        by_site: Compare the images of one site of the patient; where the site is unknown, the
            image is alone. New columns end in `_site`.

    Returns:
        `image_id`, in the order of `rows`, `<column>_<statistic>` of each, `lof` and `pictures`.
        An image of a group of fewer than three, of no group, or with a missing value is neutral:
        difference 0, ratio 1, z 0, rank 0.5, lof 1. That a value is missing says its own column.

    Raises:
        TableError: A column is not there, is no number, or no group is known; an image has no row
            in `images` or `folds`.
        ValueError: A statistic is unknown or none is asked for.
    """
    _check(rows, columns, statistics)
    # Sums are rounded, and equal distances told apart, in the order of ids: whatever the order of
    # the rows, the same bits.
    order = np.argsort(rows["image_id"].to_numpy(dtype=object).astype(str), kind="stable")
    ordered = rows.iloc[order]
    codes = _groups(ordered["image_id"], images, folds, group, by_site)
    values = {name: ordered[name].to_numpy(dtype=float) for name in columns}
    made = _relative(values, codes, statistics)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    end = "_site" if by_site else ""
    table = {"image_id": rows["image_id"].to_numpy(dtype=object)}
    return pd.DataFrame(table | {f"{name}{end}": of[back] for name, of in made.items()})


def _relative(
    values: dict[str, np.ndarray], groups: np.ndarray, statistics: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return each new column, in the order of columns, then of statistics."""
    made: dict[str, np.ndarray] = {}
    scaled = []
    for name, own in values.items():
        standing = standings(own, groups)
        made |= {f"{name}_{s}": standing[s] for s in statistics if s in OF_EACH}
        scaled.append(np.where(np.isnan(own), np.nan, standing["z"]))
    if "lof" in statistics:
        made["lof"] = outlier_factors(np.column_stack(scaled), groups, fewest=FEWEST)
    if "pictures" in statistics:
        made["pictures"] = np.bincount(groups, minlength=1)[groups].astype(float)
    return made


def _groups(
    ids: pd.Series, images: pd.DataFrame, folds: pd.DataFrame, group: str, by_site: bool
) -> np.ndarray:
    """Return a whole number for each id, equal within a fold's group."""
    own, fold = _rows_of(images, ids, "images"), _rows_of(folds, ids, "folds")["fold"]
    if group:
        check_columns(images, (group,), "images")
    names = own[group] if group else first_known(own, GROUPS)
    if len(ids) and names.isna().all():
        raise TableError(
            f"images: no {group or 'patient_id and no lesion_id'} is known, and an image can be "
            "compared with no others: leave relative features out"
        )
    return group_codes(fold, names, *([own["site"]] if by_site else []))


def _rows_of(table: pd.DataFrame, ids: pd.Series, name: str) -> pd.DataFrame:
    check_ids(table, name)
    place = pd.Index(table["image_id"]).get_indexer(pd.Index(ids))
    if (place < 0).any():
        raise TableError(
            f"{name}: no row for {ids.to_numpy()[place < 0][0]!r} ({int((place < 0).sum())} such "
            "images): give the tables of one run of 02_prepare"
        )
    found: pd.DataFrame = table.iloc[place].reset_index(drop=True)
    return found


def _check(rows: pd.DataFrame, columns: Sequence[str], statistics: Sequence[str]) -> None:
    if not statistics or set(statistics) - set(STATISTICS):
        raise ValueError(f"statistics is {list(statistics)}: use some of {list(STATISTICS)}")
    if not columns or len(set(columns)) < len(columns):
        raise ValueError(f"columns is {list(columns)}: name one or more numbers, each once")
    check_columns(rows, ("image_id", *columns), "features")
    check_ids(rows, "features")
    words = [name for name in columns if not is_numeric_dtype(rows[name])]
    if words:
        raise TableError(f"columns names {words[0]!r}, which is no number: compare numbers alone")
