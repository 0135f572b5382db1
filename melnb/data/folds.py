"""Folds: patient-safe cross-validation: who is learnt from, and who is asked about, together.

What belongs together stays together: images of one patient, of one lesion, and copies of one
picture are linked, and a fold takes whole clusters of linked images.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedGroupKFold

from melnb.tables.checks import TEST
from melnb.tables.delimited import read_delimited
from melnb.tables.overlap import COLUMNS, make_groups, match, met_images
from melnb.tables.schema import ID_COLUMNS, check_folds, check_images, without_folds
from melnb.tables.values import blank_missing

MET_BY_TEST = "met by test rows"  # the name of their ids in the attrs of a table


class FoldError(ValueError):
    """Folds cannot be made, or would not measure anything; the message says what to do."""


def make_folds(
    images: pd.DataFrame,
    *,
    n_folds: int,
    seed: int,
    folds: Literal["patients", "source"] = "patients",
    fold_column: str = "",
    fold_file: str | Path = "",
    identical: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Assign every image to a fold.

    Rows whose `split` is `test` get fold -1. The others are dealt out by scikit-learn's
    `StratifiedGroupKFold` on `target`, grouped by patient, else lesion, else image; groups that
    share a patient, a lesion or a picture are one. The result does not depend on row order.

    Args:
        images: The images table.
        n_folds: Number of folds; of test images alone it does not count.
        seed: Of the shuffle.
        folds: `patients` deals out as above; `source` makes each source a fold, in alphabetical
            order, so that every image is judged by a model that has met no image of its source
            (leave one source out).
        fold_column: A column of `images` that gives the folds as they are; -1 sets an image
            aside. Where it holds more values than `n_folds` (15 published shards, say), the sorted
            values are dealt out by `KFold(n_folds, shuffle=True, random_state=seed)`.
        fold_file: A CSV that gives them instead, in its `fold_column` (empty: `fold`), such as
            someone's out-of-fold predictions that are to be blended with; it may hold more images.
        identical: Table of `duplicates.find_identical`.

    Returns:
        The folds table, in the order of `images`.

    Raises:
        FoldError: An image to learn from has no target, there are fewer groups than folds, a
            fold would lack a class, there is one source alone or another number than `n_folds`,
            the given column is missing, empty, too short, or puts a patient, a lesion or a picture
            into two folds; or one lies both in the test split and outside it.
    """
    check_images(images)
    ordered = images.sort_values("image_id", kind="stable")
    learnt = ordered[~_in_test_split(ordered)]
    if learnt.empty:
        return check_folds(images[["image_id"]].reset_index(drop=True).assign(fold=TEST), images)
    _check_targets(learnt)
    _check_test_apart(learnt, ordered[_in_test_split(ordered)], identical)
    groups = make_groups(learnt, identical)
    if fold_file:
        fold_column = fold_column or "fold"
        learnt = learnt.assign(**{fold_column: _read_folds(fold_file, fold_column, learnt)})
    if folds == "source":
        fold = _source_folds(learnt, n_folds)
        _check_groups_whole(learnt, groups, fold, "source")
    elif fold_column:
        fold = _given_folds(learnt, fold_column, n_folds, seed)
        _check_groups_whole(learnt, groups, fold, fold_column)
    else:
        fold = _dealt_folds(learnt, groups, n_folds, seed)
    numbers = pd.Series(fold, index=learnt["image_id"].to_numpy())
    table = images[["image_id"]].reset_index(drop=True)
    table["fold"] = table["image_id"].map(numbers).fillna(TEST).astype("int64")
    check_folds(table, images)
    check_balance(images, table)
    return table


def leave_out_met(
    images: pd.DataFrame,
    identical: pd.DataFrame | None = None,
    *,
    test_overlap: Literal["error", "leave_out"] = "leave_out",
    fold_column: str = "",
    fold_file: str | Path = "",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave out of the images to learn from those that the test rows would meet again.

    An image is met if itself, another of its lesion or patient, or the same picture under another
    name is a test row; the rest of its lesion and patient goes with it. Test rows stay: what judges
    does not depend on what could be learnt from.

    Args:
        images: The images table; test rows are those whose `split` is `test`, and those that the
            given folds set aside (-1).
        identical: Table of `duplicates.find_identical`, with the pairs settled.
        test_overlap: `error` leaves out nothing: `make_folds` refuses what is met.
        fold_column: As `make_folds` takes it.
        fold_file: As `make_folds` takes it.

    Returns:
        The images that stay (`attrs` names the others), and a row of each other: `image_id`,
        `met_by` (image, lesion, patient, picture), `shared` (the id, as the test rows have it).

    Raises:
        FoldError: No image to learn from would be left, or the given folds cannot be read.
    """
    if test_overlap == "error":
        return images, pd.DataFrame(columns=list(COLUMNS), dtype=object)
    aside = _in_test_split(images).to_numpy() | _set_aside(images, fold_column, fold_file)
    met = met_images(images[~aside], images[aside], identical=identical)
    stay = ~images["image_id"].isin(met["image_id"]) | aside
    if len(met) and stay.sum() == aside.sum():
        raise FoldError(
            f"test_overlap leave_out: all {len(met):,} images to learn from are met by the "
            f"{aside.sum():,} test rows ({met['met_by'].iloc[0]} {met['shared'].iloc[0]!r}, say), "
            "so that none is left: choose test rows of other patients"
        )
    kept = images[stay].reset_index(drop=True)
    kept.attrs = images.attrs | {MET_BY_TEST: met["image_id"].tolist()}
    return kept, met


def fold_balance(
    images: pd.DataFrame, folds: pd.DataFrame, *, classes: Sequence[str] = ()
) -> pd.DataFrame:
    """Count what each fold holds.

    Args:
        images: The images table.
        folds: The folds table.
        classes: Order of the class columns; empty: alphabetical.

    Returns:
        One row per fold, test (-1) last: `fold, images, patients, images_per_patient, lesions`
        (patients and lesions of unknown id are not counted), `source` where images are of several
        (their names), and the images of each class.
    """
    joined = folds[["image_id", "fold"]].merge(without_folds(images), on="image_id")
    names = list(classes) or sorted(joined["target"].dropna().unique())
    grouped = joined.groupby("fold")
    table = pd.DataFrame({"images": grouped.size(), "patients": grouped["patient_id"].nunique()})
    patients = grouped["patient_id"].count()
    table["images_per_patient"] = patients / table["patients"].where(table["patients"] > 0)
    table["lesions"] = grouped["lesion_id"].nunique()
    if joined["source"].nunique() > 1:
        table["source"] = grouped["source"].agg(_listed)
    counts = pd.crosstab(joined["fold"], joined["target"])
    table[names] = counts.reindex(index=table.index, columns=names, fill_value=0)
    last = table.index == TEST
    return pd.concat([table[~last], table[last]]).reset_index(names="fold")


def _listed(names: pd.Series) -> str:
    return ", ".join(sorted(names.dropna().unique()))


def check_balance(images: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the folds unchanged if every fold holds every class that is learnt.

    Raises:
        FoldError: A fold lacks one, so that its validation would measure nothing of it.
    """
    joined = folds[folds["fold"] != TEST].merge(images[["image_id", "target"]], on="image_id")
    counts = pd.crosstab(joined["fold"], joined["target"])
    for name in counts.columns:
        if (counts[name] == 0).any():
            raise FoldError(
                f"fold {counts[name].idxmin()} of {len(counts)} holds no image of class {name!r} "
                f"({counts[name].sum()} images in all folds): use fewer folds (n_folds), "
                "task diagnosis with a greater rarest, which merges rare classes, or task melanoma "
                "if the class itself does not matter"
            )
    return folds


def _check_targets(images: pd.DataFrame) -> None:
    lost = images.loc[images["target"].isna(), "image_id"]
    if len(lost):
        raise FoldError(
            f"target is missing in {len(lost)} images that are not in the test split "
            f"({', '.join(lost[:5])}{' …' if len(lost) > 5 else ''}): give it, leave them out, or "
            "mark them split = test"
        )


def _in_test_split(images: pd.DataFrame) -> pd.Series:
    if "split" not in images:
        return pd.Series(False, index=images.index)
    return images["split"].eq("test")


def _set_aside(images: pd.DataFrame, fold_column: str, fold_file: str | Path) -> np.ndarray:
    """Return which images the given folds set aside, by -1."""
    aside = _in_test_split(images)
    learnt = images[~aside]
    if fold_file:
        given = _read_folds(fold_file, fold_column or "fold", learnt)
    elif fold_column in learnt:
        given = learnt[fold_column]
    else:
        return np.zeros(len(images), dtype=bool)
    numbers = pd.to_numeric(given, errors="coerce").reindex(images.index)
    return numbers.eq(TEST).to_numpy()


_MET = {
    "image": "is the image {shared!r}",
    "lesion": "is of lesion {shared!r}",
    "patient": "is of patient {shared!r}",
    "picture": "is the same picture as {shared!r}",
}


def _check_test_apart(
    learnt: pd.DataFrame, test: pd.DataFrame, identical: pd.DataFrame | None
) -> None:
    """Refuse a patient, a lesion or a picture that is both of test and to learn from."""
    met = met_images(learnt, test, identical=identical)
    if met.empty:
        return
    ids = test[["image_id", "lesion_id", "patient_id"]].stack()  # the rest of its lesion is met too
    first = met[met["shared"].isin(ids)].iloc[0]
    way = _MET[first["met_by"]].format(shared=first["shared"])
    raise FoldError(
        f"{first['image_id']} is to be learnt from and {way} of the test split ({len(met):,} such "
        "images): a model would be tested on what it has learnt; set test_overlap leave_out, which "
        "leaves them out and keeps the test whole, or give both the same split"
    )


def _dealt_folds(images: pd.DataFrame, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    if len(np.unique(groups)) < n_folds:
        raise FoldError(
            f"{len(np.unique(groups))} patients, lesions or single images for {n_folds} folds: "
            "use fewer folds (n_folds)"
        )
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    fold = np.empty(len(images), dtype=np.int64)
    target = images["target"].to_numpy(dtype=object).astype(str)
    rarest = images["target"].value_counts().idxmin()
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # check_balance says more
        try:
            for k, (_, rows) in enumerate(splitter.split(target, target, groups)):
                fold[rows] = k
        except ValueError as error:
            raise FoldError(f"n_folds {n_folds}, rarest class {rarest!r}: {error}") from None
    return fold


def _source_folds(images: pd.DataFrame, n_folds: int) -> np.ndarray:
    """Return the place of each image's source among all, by name."""
    unknown = images.loc[images["source"].isna(), "image_id"]
    if len(unknown):
        raise FoldError(
            f"folds source: the source of {unknown.iloc[0]} is unknown ({len(unknown)} such "
            "images): give it, or use folds patients"
        )
    names, codes = np.unique(
        images["source"].to_numpy(dtype=object).astype(str), return_inverse=True
    )
    if len(names) == 1:
        raise FoldError(
            f"folds source: all images are of {str(names[0])!r}, and to leave one source out "
            "there must be two: read more with source several, or use folds patients"
        )
    if len(names) != n_folds:
        raise FoldError(
            f"folds source: n_folds is {n_folds}, and there are {len(names)} sources "
            f"({', '.join(names[:5])}): set n_folds {len(names)}"
        )
    counts = pd.crosstab(images["source"], images["target"])
    lacking = np.argwhere(counts.to_numpy() == 0)
    if len(lacking):
        source, target = counts.index[lacking[0][0]], counts.columns[lacking[0][1]]
        having = counts.index[counts[target] > 0]
        raise FoldError(
            f"folds source: {source!r} has no image of class {target!r}, which is of "
            f"{', '.join(having)}: what is left out cannot be judged by a class that it lacks, nor "
            "by one that no other source has; use task melanoma, task diagnosis with a greater "
            "rarest, or leave that source out"
        )
    return np.asarray(codes, dtype=np.int64)


def _read_folds(file: str | Path, column: str, images: pd.DataFrame) -> pd.Series:
    """Return a file's folds of the images, in their order."""
    table = read_delimited(file).reset_index(drop=True)
    ids = next((name for name in ID_COLUMNS if name in table), "")
    if not ids or column not in table:
        raise FoldError(
            f"{file}: columns are {list(table.columns)}; an id (one of {list(ID_COLUMNS)}) and "
            f"the fold ({column!r}, see fold_column) are needed"
        )
    doubled = table.loc[table[ids].duplicated(), ids]
    if len(doubled):
        raise FoldError(f"{file}: {doubled.iloc[0]} stands in two rows ({len(doubled)} such)")
    there = match(images["image_id"], table[ids])
    given = blank_missing(table[column]).reindex(there).set_axis(images.index)
    if given.isna().any():
        lost = images.loc[given.isna(), "image_id"]
        raise FoldError(
            f"{file}: no {column} for {lost.iloc[0]} ({len(lost)} of {len(images)} images): give "
            "each one, or -1 to set it aside"
        )
    return given


def _given_folds(images: pd.DataFrame, column: str, n_folds: int, seed: int) -> np.ndarray:
    if column not in images:
        raise FoldError(f"fold_column {column!r} is not among {list(images.columns)}")
    given = images[column]
    if given.isna().any():
        raise FoldError(
            f"fold_column {column!r} is empty for {images.loc[given.isna(), 'image_id'].iloc[0]} "
            f"({given.isna().sum()} such images): give each a value, or -1 to set it aside"
        )
    numbers = pd.to_numeric(given, errors="coerce")
    values = numbers if numbers.notna().all() else given.astype(str)
    aside = (values == TEST).to_numpy()
    names, codes = np.unique(values[~aside].to_numpy(), return_inverse=True)
    if len(names) < n_folds:
        raise FoldError(
            f"fold_column {column!r} holds {len(names)} values ({list(names[:5])}), "
            f"fewer than n_folds {n_folds}"
        )
    fold_of = np.arange(len(names))
    if len(names) > n_folds:
        splitter = KFold(n_folds, shuffle=True, random_state=seed)
        for k, (_, shards) in enumerate(splitter.split(names)):
            fold_of[shards] = k
    fold = np.full(len(images), TEST, dtype=np.int64)
    fold[~aside] = fold_of[codes]
    return fold


def _check_groups_whole(
    images: pd.DataFrame, groups: np.ndarray, fold: np.ndarray, column: str
) -> None:
    counts = pd.Series(fold).groupby(groups).transform("nunique").to_numpy()
    if (counts > 1).any():
        group = groups[np.argmax(counts > 1)]
        members = images[groups == group]
        if column == "source":
            raise FoldError(
                f"folds source: {members['image_id'].iloc[0]} and images of the same patient, "
                f"lesion or picture are of the sources {_listed(members['source'])} "
                f"({len(np.unique(groups[counts > 1]))} such groups): a model would be tested on "
                "what it has learnt; set copies first, or leave those of one source out"
            )
        raise FoldError(
            f"fold_column {column!r} puts {members['image_id'].iloc[0]} (patient "
            f"{members['patient_id'].iloc[0]}, lesion {members['lesion_id'].iloc[0]}) and images "
            f"of the same patient, lesion or picture into {int(counts.max())} folds "
            f"({len(np.unique(groups[counts > 1]))} such groups): a model would be tested on what "
            "it has learnt; leave fold_column empty, or keep each group in one fold"
            + (", or set test_overlap leave_out" if TEST in fold[counts > 1] else "")
        )
