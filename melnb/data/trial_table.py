"""A trial: what somebody's pictures and table of labels are taken for, before anything is run.

Words that are no diagnosis are named, to be translated by who wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.label_columns import (
    KNOWN,
    Labels,
    find_labels,
    our_word,
    picture_key,
    plain_word,
)
from melnb.data.new_pictures import find_pictures
from melnb.data.sources.any_csv import read_unplaced
from melnb.data.sources.class_folders import read_folders
from melnb.data.sources.layout import NOTES
from melnb.data.sources.vocabulary import GROUPS
from melnb.tables.checks import TableError
from melnb.tables.diagnoses import MELANOMA
from melnb.tables.schema import THEIR_FOLDS, table_text

MALIGNANT = "malignant"
FEWEST = 4  # pictures of a class: two folds of two
_MOST_READINGS = 8  # words of labels that are told
_KEPT = ("image_id", "path", "target", "patient_id", "lesion_id", "sex", "age", "site")


@dataclass(frozen=True)
class Trial:
    """What pictures and labels were taken for.

    Attributes:
        table: `image_id, path, target, …`: the labelled pictures, as `source: csv` reads them.
        taken: Lines that say which column was read as what, and what was left out.
        unlabelled: Pictures without a label.
        refused: `file`, `reason` of what is no picture.
    """

    table: pd.DataFrame
    taken: tuple[str, ...]
    unlabelled: tuple[str, ...]
    refused: pd.DataFrame


def read_trial(
    pictures: str | Path,
    labels: str | Path = "",
    *,
    id_column: str = "",
    label_column: str = "",
) -> Trial:
    """Read pictures and their labels, and say what was taken for what.

    Args:
        pictures: A folder; without a table its folders are the classes.
        labels: The table; empty: there is none.
        id_column: That names the pictures; empty: the one that does so most often.
        label_column: Empty: told by its name and words.

    Raises:
        FileNotFoundError: There is no picture.
        TableError: Nothing tells which column is meant, a value is refused, or a row may mean two
            pictures.
        ValueError: Class folders are refused.
    """
    if not labels:
        images = read_folders(pictures, missing="drop")
        album = find_pictures([str(path) for path in images["path"]], labels=None)
        good = images["path"].isin(album.images["path"]) & images["target"].notna()
        lines = ["labels from the names of the folders", *images.attrs.get(NOTES, ())]
        return _trial(images[good], lines, images.loc[~good, "image_id"], album.refused)
    album, file = find_pictures([pictures], labels=None), Path(labels)
    theirs = find_labels(file, album.images["path"], id_column=id_column, label_column=label_column)
    table = read_unplaced(file, columns=theirs.mapping, rows=theirs.rows)
    keys = table["image_id"].str.lower()
    names = album.images["path"].map(picture_key)
    _check_one_each(album.images["path"].set_axis(names), keys, file)
    paths = dict(zip(names, album.images["path"], strict=True))
    placed = table.assign(path=keys.map(paths))
    good = placed["path"].notna() & placed["target"].notna()
    stand = " ".join(map(repr, theirs.columns))
    lines = [f"{file.name}: pictures are named by {theirs.image_id!r}, labels stand in {stand}"]
    lines += _readings(theirs, table["target"])
    if spare := int(placed["path"].isna().sum()):
        first = placed.loc[placed["path"].isna(), "image_id"].iloc[0]
        lines.append(
            f"{spare} of {len(placed)} rows have no picture ({first} is the first): left out"
        )
    without = album.images.loc[~names.isin(keys[placed["target"].notna()]), "image_id"]
    return _trial(placed[good], lines, without, album.refused)


def _readings(theirs: Labels, ours: pd.Series) -> list[str]:
    """Say which words of a column of labels are read as other words than they are."""
    if len(theirs.columns) != 1 or len(theirs.rows) != len(ours):
        return []
    words = theirs.rows[theirs.columns[0]].to_numpy()
    pairs = pd.DataFrame({"word": words, "read": ours.to_numpy()}).dropna().drop_duplicates()
    other = pairs[pairs["word"].map(plain_word) != pairs["read"]].head(_MOST_READINGS)
    readings = [f"{word} is read as {read}" for word, read in other.itertuples(index=False)]
    return [f"labels: {', '.join(readings)}"] if readings else []


def translate(table: pd.DataFrame, words: Mapping[str, str]) -> pd.DataFrame:
    """Return a trial's table with labels of the person's own called as we call them.

    Args:
        table: Of a `Trial`.
        words: Theirs, in any case, to ours: a diagnosis, `other`, `benign` or `malignant`.

    Raises:
        ValueError: A word of theirs stands in no row, or one of ours is no class.
    """
    plain = {plain_word(theirs): ours for theirs, ours in words.items()}
    there = {plain_word(str(word)): word for word in table["target"].unique()}
    for theirs, ours in plain.items():
        if theirs not in there:
            raise ValueError(f"no picture is labelled {theirs!r} (labels: {', '.join(there)})")
        if (called := our_word(ours)) not in KNOWN:
            raise ValueError(f"{ours!r} is no class that we know: use one of {sorted(KNOWN)}")
        plain[theirs] = called
    target = table["target"].map(lambda word: plain.get(plain_word(str(word)), word))
    return table.assign(target=target)


def unknown_words(table: pd.DataFrame) -> dict[str, int]:
    """Count the pictures of each label that is no class that we know."""
    counts = table["target"].value_counts()
    return {str(word): int(n) for word, n in counts.items() if word not in KNOWN}


def choose_task(table: pd.DataFrame) -> tuple[str, str]:
    """Return the task, and the class that is looked for.

    Raises:
        ValueError: There is one class alone, no class is looked for, it is not certain which
            pictures are of it, or one has too few.
    """
    classes = {str(word) for word in table["target"].unique()}
    if MELANOMA not in classes and MALIGNANT not in classes:
        words = " ".join(f"--label {word}=malignant" for word in sorted(classes)[:1])
        raise ValueError(
            f"nothing is called melanoma or malignant (classes: {', '.join(sorted(classes))}): say "
            f"which is looked for, {words}, say"
        )
    if {MELANOMA, MALIGNANT} <= classes:
        malignant = int((table["target"] == MALIGNANT).sum())
        raise ValueError(
            f"{malignant} pictures are called malignant beside others called melanoma, and may be "
            "melanomas or not: say --label malignant=other if none is, or look for both by "
            "--label melanoma=malignant"
        )
    task, positive = (MELANOMA, MELANOMA) if MELANOMA in classes else ("native", MALIGNANT)
    counts = [int((table["target"] == positive).sum()), int((table["target"] != positive).sum())]
    if min(counts) < FEWEST:
        raise ValueError(
            f"{counts[0]} pictures of {positive} and {counts[1]} others: {FEWEST} of each are the "
            "fewest that can be learnt and judged"
        )
    if task == "native" and not classes <= set(GROUPS):
        # Named diagnoses beside benign and malignant: two classes all the same.
        raise ValueError(
            f"classes are {', '.join(sorted(classes))}: call each either benign or malignant "
            "(--label nevus=benign, say), or name melanomas"
        )
    return task, positive


def count_folds(table: pd.DataFrame, positive: str) -> int:
    """Return three folds, or two where a class has fewer patients (else pictures) than six."""
    unit = table["patient_id"].fillna(table["image_id"])
    positives = table["target"] == positive
    return 3 if min(unit[positives].nunique(), unit[~positives].nunique()) >= 6 else 2


def _trial(
    rows: pd.DataFrame, taken: Sequence[str], unlabelled: pd.Series, refused: pd.DataFrame
) -> Trial:
    if rows.empty:
        raise TableError(
            f"not one picture has a label ({'; '.join(taken)}): give a CSV of labels, or put each "
            "picture into a folder that is called by its class"
        )
    table = rows[[name for name in _KEPT if name in rows]].reset_index(drop=True)
    return Trial(table, (*taken, *_said_of(rows)), tuple(unlabelled), refused)


def _said_of(rows: pd.DataFrame) -> list[str]:
    """Say what decides how honest the folds are: patients, and a split that somebody made."""
    people = rows["patient_id"].nunique()
    lines = [f"{people} patients: no one of them in two folds"] if people else [
        "no column names patients: if one has several pictures, add patient_id, or the report is "
        "too good"
    ]  # fmt: skip
    held = int((rows["split"] == "test").sum()) if "split" in rows else 0
    words = "set apart as test or validation: learnt from and judged out of fold like the others"
    lines += [f"{held} pictures are {words}"] if held else []
    folds = [str(name) for name in rows if str(name).lower() in THEIR_FOLDS]
    words = "folds are cut anew, and {!r} is not read (fold_column of 02_prepare keeps it)"
    return [*lines, *map(words.format, folds)]


def _check_one_each(paths: pd.Series, keys: pd.Series, file: Path) -> None:
    """Refuse a table of which a row may mean two pictures of one name."""
    doubled = paths[paths.index.duplicated(keep=False) & paths.index.isin(keys)]
    if len(doubled):
        first, second = doubled.loc[doubled.index[0]].iloc[:2]
        raise TableError(
            f"{file}: {doubled.index[0]!r} may mean {first} or {second} ({len(doubled)} such "
            "pictures): give the folder of one of them, or rename the pictures and their rows"
        )


def write_trial(table: pd.DataFrame) -> str:
    """Return a trial's table as CSV, the same text for the same rows."""
    shown = table.sort_values("image_id", kind="stable").replace({None: np.nan})
    return table_text(shown)
