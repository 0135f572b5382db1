"""Feature rows: what is known of each image, and what others know of it, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from melnb.data.metadata import read_column
from melnb.tables.checks import TEST, TableError, check_columns, check_ids, constant
from melnb.tables.diagnoses import find_diagnosis
from melnb.tables.overlap import match
from melnb.tables.schema import check_folds, check_predictions, class_names
from melnb.tables.values import blank_missing, is_numeric, plain_numbers, read_numbers
from melnb.tables.within_patient import mean_and_deviation

# What may be a feature: numbers and words; no truths, no names, no places of images.

_FLAGS = {"true": 1.0, "false": 0.0}
MOST_LEVELS = 50  # words of a column; with more it names images, and becomes as many columns
FEW = 10  # images of a class: with fewer, a column may part them by chance

_TRUTHS = {
    "target", "truth", "label", "labels", "benign_malignant", "benign", "malignant", "other",
    "melanocytic",
}  # fmt: skip
# ISIC 2024 gives diagnoses and the pathologist's report; HAM10000 how the truth was found.
_TRUTHS_BEGIN = ("diagnosis", "dx", "iddx", "mel_")
_PLACES = {
    "image", "image_name", "path", "mask_path", "fold", "split", "shard", "tfrecord", "patient",
    "patient_code", "lesion", "duplicate", "run", "views", "kind", "note", "attribution",
    "copyright_license",
}  # fmt: skip


def reason_against(name: str) -> str:
    """Say why a column of that name is no feature; empty if it may be one."""
    key = name.strip().lower()
    if key in _TRUTHS or key.startswith(_TRUTHS_BEGIN) or _is_diagnosis(key):
        return "tells the truth, or how it was found"
    if key in _PLACES or key.endswith("_id") or key.startswith("unnamed:"):
        return "names an image or a group, or says where it lies"
    return ""


def feature_column(
    values: pd.Series, file: str | Path = "images", *, row: str = "line"
) -> pd.Series:
    """Return a column as float64 if it is meant as numbers or as truths, else as words.

    Words for missing are NaN. A column of which half or more are numbers is one of numbers: a cell
    that is none would make it words, of as many kinds as there are numbers.

    Args:
        values: The column; the index holds what `row` says.
        file: For the message.
        row: What the index holds.

    Raises:
        TableError: A cell of a column of numbers is none, or is infinite.
    """
    if is_numeric_dtype(values):
        column = values.astype("float64")
    elif (plain := plain_numbers(values)) is not None:
        column = plain
    else:
        cells = blank_missing(values.astype(object), names=False)
        truths = cells.dropna().astype(str).str.lower().isin(_FLAGS)
        if truths.all():
            return cells.astype(str).str.lower().map(_FLAGS).astype("float64")
        if not is_numeric(cells):
            return cells
        column = read_numbers(cells, file, row=row)
    if np.isinf(column).any():
        raise TableError(
            f"feature {values.name!r} is infinite in {int(np.isinf(column).sum())} rows: "
            "leave such cells empty"
        )
    return column


def reason_against_values(values: pd.Series, truth: pd.Series) -> str:
    """Say why a column with such values is no feature; empty if it may be one.

    A column of few values, each of which goes with one class alone, is a truth under another name
    (a diagnosis, say); missing counts as a value. What only nearly tells the truth is not found.

    Args:
        values: As of `feature_column`.
        truth: The classes of the same rows; NaN where unknown.
    """
    if values.isna().all():
        return "is empty"
    levels = values.nunique()
    if levels == 1 and values.notna().all():
        return "is the same in every image"
    if not is_numeric_dtype(values) and levels > MOST_LEVELS:
        return f"has {levels} different words, more than {MOST_LEVELS}: a name or a free text"
    labelled = truth.notna().to_numpy()
    codes, names = pd.factorize(values[labelled], use_na_sentinel=False)
    classes, _ = pd.factorize(truth[labelled])
    sizes = np.sort(np.bincount(classes))
    if len(sizes) > 1 and sizes[-2] >= FEW and len(names) <= len(codes) / FEW:
        pairs = np.unique(codes.astype(np.int64) * len(sizes) + classes)
        if len(pairs) == len(names):
            return "tells the truth: each of its values goes with one class alone"
    return ""


def _is_diagnosis(key: str) -> bool:
    try:
        find_diagnosis(key)
    except ValueError:
        return False
    return True


# Scores of other models as features: out of fold, and on this dataset's own folds.
#
# A score of a model that has learnt from the image tells the image's truth; a model of tables that
# is given it learns to trust it as it never may. So each image's score is by a model that held out
# the very fold that the image lies in here.
#
# Wolpert 1992, Neural Networks 5:241, on stacking.


def score_features(
    predictions: pd.DataFrame, folds: pd.DataFrame, *, positive: str, name: str = ""
) -> pd.DataFrame:
    """Return the score of each image as a feature.

    Args:
        predictions: A predictions table, out-of-fold rows and, if there are any, test rows too
            (`pd.concat` of both files).
        folds: The folds table of the dataset.
        positive: The class that the score is of.
        name: Of the column; empty: `score_<run>`.

    Returns:
        `image_id` and the score, a row for each image of the dataset that was predicted.

    Raises:
        TableError: No such class, none of the dataset's images, or an image lies in another fold
            of the run than of the dataset, so that its score may be by a model that saw it.
    """
    check_folds(folds)
    check_predictions(predictions)
    run = constant(predictions, "run")
    if positive not in class_names(predictions):
        raise TableError(
            f"predictions of {run}: positive is {positive!r}, not one of "
            f"{list(class_names(predictions))}"
        )
    there = match(folds["image_id"], predictions["image_id"])
    columns = predictions[["fold", f"p_{positive}"]].rename(columns={"fold": "fold_run"})
    members = folds.loc[there >= 0, ["image_id", "fold"]].reset_index(drop=True)
    both = members.join(columns.iloc[there[there >= 0]].reset_index(drop=True))
    if both.empty:
        raise TableError(f"predictions of {run} know none of the dataset's {len(folds)} images")
    _check_held_out(both, run)
    scores = both[["image_id"]].assign(
        **{name or f"score_{run}": both[f"p_{positive}"].to_numpy(dtype=float)}
    )
    scores.attrs[LEFT_OUT] = {}
    return scores


def _check_held_out(both: pd.DataFrame, run: str) -> None:
    wrong = both["fold"] != both["fold_run"]
    if wrong.any():
        row = both[wrong].iloc[0]
        here, there = (
            "the test images" if k == TEST else f"fold {k}" for k in (row["fold"], row["fold_run"])
        )
        raise TableError(
            f"predictions of {run}: {row['image_id']} lies in {there} of the run, but in {here} of "
            f"the dataset ({int(wrong.sum())} of {len(both)} such images): their scores may be by "
            "a model that learnt from them; give a run of 04_predict on this dataset, or prepare "
            "the dataset with the folds of the run (fold_column)"
        )


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
    columns = {"image_id": images["image_id"].astype(object).reset_index(drop=True)}
    for name in features:
        column = _image_column(images, name)
        reason = reason_against(name) or reason_against_values(column, images["target"])
        if reason:
            raise TableError(f"features names {name!r}, but this column {reason}: leave it out")
        columns[name] = column.reset_index(drop=True)
    rows = pd.DataFrame(columns)
    rows.attrs[LEFT_OUT] = {}
    return rows


def join_features(rows: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables of features to feature rows, by `image_id`.

    Args:
        rows: Feature rows.
        tables: As `feature_files.read_features`, `feature_rows.score_features` and
            `feature_files.relative_features` return them; rows of other images are not used, and
            an image without a row has NaN.

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
        names = [c for c in table.columns if c != "image_id"]
        if clash := [c for c in names if c in taken]:
            raise TableError(
                f"feature {clash[0]!r} stands in two tables ({len(clash)} such columns): rename "
                "it in one, or leave it out of one"
            )
        taken |= set(names)
        left |= table.attrs.get(LEFT_OUT, {})
        notes |= table.attrs.get(NOTES, {})
        joined = table.set_index("image_id")[names].reindex(rows["image_id"].to_numpy())
        kinds = {c: "float64" if is_numeric_dtype(joined[c]) else object for c in names}
        parts.append(joined.astype(kinds).reset_index(drop=True))
    features = pd.concat(parts, axis=1)
    features.attrs[LEFT_OUT] = left
    if notes:
        features.attrs[NOTES] = notes
    return features


def feature_overview(rows: pd.DataFrame) -> pd.DataFrame:
    """Tell what there is of each feature, and which columns were left out, and why.

    Returns:
        A row per feature: `feature`, `kind` (number, word), `missing` (share of the images),
        `levels` (different values), `mean` and `sd` (n - 1) of numbers, `note`: of words the
        commonest, and words that were read as missing. Then a row per column left out, of kind
        `left out`, its `note` saying why.
    """
    entries = [_describe(rows[name]) for name in rows.columns if name != "image_id"]
    for row in entries:
        notes = (row["note"], rows.attrs.get(NOTES, {}).get(row["feature"], ""))
        row["note"] = "; ".join(filter(None, map(str, notes)))
    lost = rows.attrs.get(LEFT_OUT, {})
    entries += [{"feature": name, "kind": "left out", "note": why} for name, why in lost.items()]
    table = pd.DataFrame(entries, columns=list(OVERVIEW_COLUMNS))
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
    cells = column.dropna()
    word = not is_numeric_dtype(column)
    row = {"feature": column.name, "kind": "word" if word else "number"}
    row |= {"missing": float(column.isna().mean()) if len(column) else np.nan}
    row |= {"levels": cells.nunique(), "note": ""}
    if cells.nunique() == 1 and len(cells) == len(column):
        row["note"] = "the same in every image"
    elif word and len(cells):
        counts = cells.value_counts()
        commonest = min(counts.index[counts == counts.iloc[0]])
        row["note"] = f"{commonest}: {counts.iloc[0] / len(cells):.0%}"
    if not word:
        mean, deviation = mean_and_deviation(cells.to_numpy(dtype=float), ddof=1)
        row |= {"mean": float(mean)} if len(cells) else {"mean": np.nan}
        row |= {"sd": float(deviation)} if len(cells) > 1 else {"sd": np.nan}
    return row
