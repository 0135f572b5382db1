"""Feature rows: what is known of each image, and what others know of it, in one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from melnb.checks import check_columns, check_ids
from melnb.data.features.columns import feature_column, reason_against, reason_against_values
from melnb.data.metadata import read_column
from melnb.spread import mean_and_deviation
from melnb.tables import TableError

NOTES = "notes"  # of a table's attrs: words of a column that were read as missing
LEFT_OUT = "left_out"  # of a table's attrs: columns that are no features, and why
OVERVIEW_COLUMNS = ("feature", "kind", "missing", "levels", "mean", "sd", "note")

_METADATA = ("sex", "age", "site")
_COUNT = "images_per_patient"


def image_features(images: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Make feature rows of the images table.

    Args:
        images: The whole images table of the dataset: images of a patient are counted in it.
        features: `sex`, `age`, `site`, `images_per_patient` (how many images of the patient there
            are; NaN where the patient is unknown), and any further column of the table, such as
            `width` and `height`. None: rows without features, for tables to be joined to.

    Returns:
        `image_id` and the features, in the order of both arguments.

    Raises:
        TableError: A feature is doubled or no column of the table, tells the truth, names images,
            or tells nothing because it is empty or the same everywhere.
        ValueError: Of sex, age and site: the table lacks it.
    """
    check_columns(images, ("image_id", "target"), "images")
    check_ids(images, "images")
    if len(set(features)) < len(features):
        raise TableError(f"features is {list(features)}: name each once")
    made = {"image_id": images["image_id"].astype(object).reset_index(drop=True)}
    for name in features:
        column = _image_column(images, name)
        reason = reason_against(name) or reason_against_values(column, images["target"])
        if reason:
            raise TableError(f"features names {name!r}, but this column {reason}: leave it out")
        made[name] = column.reset_index(drop=True)
    rows = pd.DataFrame(made)
    rows.attrs[LEFT_OUT] = {}
    return rows


def join_features(rows: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables of features to feature rows, by `image_id`.

    Args:
        rows: Feature rows.
        tables: As `files.read_features`, `scores.score_features` and `relative.relative_features`
            return them; rows of other images are not used, and an image without a row has NaN.

    Returns:
        Feature rows in the order of `rows`, the new columns last; `attrs["left_out"]` of all.

    Raises:
        TableError: An id is doubled, or a column stands in two tables.
    """
    parts, left = [rows.reset_index(drop=True)], dict(rows.attrs.get(LEFT_OUT, {}))
    notes = dict(rows.attrs.get(NOTES, {}))
    taken = set(rows.columns)
    for table in tables:
        check_columns(table, ("image_id",), "features")
        check_ids(table, "features")
        own = [c for c in table.columns if c != "image_id"]
        if clash := [c for c in own if c in taken]:
            raise TableError(
                f"feature {clash[0]!r} stands in two tables ({len(clash)} such columns): rename "
                "it in one, or leave it out of one"
            )
        taken |= set(own)
        left |= table.attrs.get(LEFT_OUT, {})
        notes |= table.attrs.get(NOTES, {})
        found = table.set_index("image_id")[own].reindex(rows["image_id"].to_numpy())
        kinds = {c: "float64" if is_numeric_dtype(found[c]) else object for c in own}
        parts.append(found.astype(kinds).reset_index(drop=True))
    made = pd.concat(parts, axis=1)
    made.attrs[LEFT_OUT] = left
    if notes:
        made.attrs[NOTES] = notes
    return made


def feature_overview(rows: pd.DataFrame) -> pd.DataFrame:
    """Tell what there is of each feature, and which columns were left out, and why.

    Returns:
        A row per feature: `feature`, `kind` (number, word), `missing` (share of the images),
        `levels` (different values), `mean` and `sd` (n - 1) of numbers, `note`: of words the
        commonest, and words that were read as missing. Then a row per column left out, of kind
        `left out`, its `note` saying why.
    """
    made = [_describe(rows[name]) for name in rows.columns if name != "image_id"]
    for row in made:
        said = (row["note"], rows.attrs.get(NOTES, {}).get(row["feature"], ""))
        row["note"] = "; ".join(filter(None, map(str, said)))
    lost = rows.attrs.get(LEFT_OUT, {})
    made += [{"feature": name, "kind": "left out", "note": why} for name, why in lost.items()]
    table = pd.DataFrame(made, columns=list(OVERVIEW_COLUMNS))
    return table.astype({"levels": "Int64", "missing": "float64"})


def _image_column(images: pd.DataFrame, name: str) -> pd.Series:
    if name in _METADATA:
        return feature_column(read_column(images, name))
    if name == _COUNT:
        check_columns(images, ("patient_id",), "images")
        counts = images["patient_id"].map(images["patient_id"].value_counts())
        return counts.astype("float64").rename(name)
    check_columns(images, (name,), "images")
    return feature_column(images[name].set_axis(images["image_id"]), row="image")


def _describe(column: pd.Series) -> dict[str, object]:
    known = column.dropna()
    word = not is_numeric_dtype(column)
    row = {"feature": column.name, "kind": "word" if word else "number"}
    row |= {"missing": float(column.isna().mean()) if len(column) else np.nan}
    row |= {"levels": known.nunique(), "note": ""}
    if known.nunique() == 1 and len(known) == len(column):
        row["note"] = "the same in every image"
    elif word and len(known):
        counts = known.value_counts()
        commonest = min(counts.index[counts == counts.iloc[0]])
        row["note"] = f"{commonest}: {counts.iloc[0] / len(known):.0%}"
    if not word:
        mean, deviation = mean_and_deviation(known.to_numpy(dtype=float), ddof=1)
        row |= {"mean": float(mean)} if len(known) else {"mean": np.nan}
        row |= {"sd": float(deviation)} if len(known) > 1 else {"sd": np.nan}
    return row
