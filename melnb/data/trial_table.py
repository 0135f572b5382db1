"""A trial: what somebody's pictures and table of labels are taken for, before anything is run.

Which column names the pictures is told by what it holds, and which holds labels by its name and
its words; words that are no diagnosis are named, to be translated by who wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.new_pictures import NewPictures, find_pictures
from melnb.data.sources.any_csv import read_unplaced
from melnb.data.sources.folders import read_folders
from melnb.data.sources.layout import read_rows
from melnb.data.sources.vocabulary import GROUPS, UNKNOWN
from melnb.tables.checks import TableError
from melnb.tables.diagnoses import MELANOMA, NAMES, OTHER, find_diagnosis
from melnb.tables.files import picture_id, safe_id
from melnb.tables.schema import table_text
from melnb.tables.values import is_missing

KNOWN = frozenset({*NAMES, OTHER, *GROUPS}) - {UNKNOWN}
MALIGNANT = "malignant"
FEWEST = 4  # pictures of a class: two folds of two
_TELLING = (
    "target", "label", "labels", "class", "diagnosis", "dx", "benign_malignant", "malignancy",
    "truth", "ground_truth", "gt", "y", "verdict", "result", "malignant", "melanoma",
)  # fmt: skip
_BINARY = frozenset({"0", "1", "0.0", "1.0", "true", "false", "yes", "no"})
_MOST_WORDS = 30  # distinct ones of a column of labels
_KEPT = ("image_id", "path", "target", "diagnosis", "patient_id", "lesion_id", "sex", "age", "site")


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
        TableError: Nothing tells which column is meant, or a value is refused.
        ValueError: Class folders are refused.
    """
    if not labels:
        images = read_folders(pictures, missing="drop")
        found = find_pictures([str(path) for path in images["path"]])
        good = images["path"].isin(found.images["path"]) & images["target"].notna()
        lines = ["labels from the names of the folders", *images.attrs.get("notes", ())]
        return _trial(images[good], lines, images.loc[~good, "image_id"], found.refused)
    found, file = find_pictures([pictures], labels=""), Path(labels)
    rows = read_rows(file)
    name = id_column or _id_column(rows, found, file)
    label = label_column or _label_column(rows.drop(columns=name), file)
    for asked in (name, label):
        if asked not in rows:
            raise TableError(f"{file}: no column {asked!r} among {list(rows.columns)}")
    said = read_unplaced(file, columns={"image_id": name, "target": label})
    keys = said["image_id"].str.lower()
    own = found.images["path"].map(_key)
    paths = dict(zip(own, found.images["path"], strict=True))
    told = said.assign(path=keys.map(paths))
    good = told["path"].notna() & told["target"].notna()
    lines = [f"{file.name}: pictures are named by {name!r}, labels stand in {label!r}"]
    if spare := int(told["path"].isna().sum()):
        first = told.loc[told["path"].isna(), "image_id"].iloc[0]
        lines.append(
            f"{spare} of {len(told)} rows have no picture ({first} is the first): left out"
        )
    without = found.images.loc[~own.isin(keys[told["target"].notna()]), "image_id"]
    return _trial(told[good], lines, without, found.refused)


def translate(table: pd.DataFrame, words: Mapping[str, str]) -> pd.DataFrame:
    """Return a trial's table with labels of the person's own called as we call them.

    Args:
        table: Of a `Trial`.
        words: Theirs, in any case, to ours: a diagnosis, `other`, `benign` or `malignant`.

    Raises:
        ValueError: A word of theirs stands in no row, or one of ours is no class.
    """
    plain = {_plain(theirs): ours for theirs, ours in words.items()}
    there = {_plain(str(word)): word for word in table["target"].unique()}
    for theirs, ours in plain.items():
        if theirs not in there:
            raise ValueError(f"no picture is labelled {theirs!r} (labels: {', '.join(there)})")
        if (called := our_word(ours)) not in KNOWN:
            raise ValueError(f"{ours!r} is no class that we know: use one of {sorted(KNOWN)}")
        plain[theirs] = called
    target = table["target"].map(lambda word: plain.get(_plain(str(word)), word))
    return table.assign(target=target)


def unknown_words(table: pd.DataFrame) -> dict[str, int]:
    """Count the pictures of each label that is no class that we know."""
    counts = table["target"].value_counts()
    return {str(word): int(n) for word, n in counts.items() if word not in KNOWN}


def our_word(text: str) -> str:
    """Return how we call a class; an unknown word comes back as it was."""
    if _plain(text) in KNOWN:
        return _plain(text)
    try:
        return find_diagnosis(text)
    except ValueError:
        return text


def choose_task(table: pd.DataFrame) -> tuple[str, str]:
    """Return the task, and the class that is looked for.

    Raises:
        ValueError: There is one class alone, no class is looked for, or one has too few pictures.
    """
    classes = {str(word) for word in table["target"].unique()}
    if MELANOMA not in classes and MALIGNANT not in classes:
        words = " ".join(f"--label {word}=melanoma" for word in sorted(classes)[:1])
        raise ValueError(
            f"nothing is called melanoma or malignant (classes: {', '.join(sorted(classes))}): say "
            f"which is looked for, {words}, say"
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
    own = table["target"] == positive
    return 3 if min(unit[own].nunique(), unit[~own].nunique()) >= 6 else 2


def _trial(
    rows: pd.DataFrame, taken: Sequence[str], unlabelled: pd.Series, refused: pd.DataFrame
) -> Trial:
    if rows.empty:
        raise TableError(f"not one picture has a label ({'; '.join(taken)})")
    columns = [name for name in _KEPT if name in rows]
    table = rows[columns].reset_index(drop=True)
    table = table.drop(columns=[c for c in ("diagnosis",) if c in table])
    return Trial(table, tuple(taken), tuple(unlabelled), refused)


def _id_column(rows: pd.DataFrame, found: NewPictures, file: Path) -> str:
    """Return the column whose cells name the pictures most often."""
    own = set(found.images["path"].map(_key))
    hits = {
        str(name): int(rows[name].dropna().astype(str).map(_key).isin(own).sum()) for name in rows
    }
    best = max(hits, key=lambda name: hits[name])
    if not hits[best]:
        first = found.images["path"].iloc[0]
        raise TableError(
            f"{file}: no cell names a picture (columns: {', '.join(hits)}; a picture is "
            f"{Path(first).name}): give the folder and the table that belong together"
        )
    return best


def _label_column(rows: pd.DataFrame, file: Path) -> str:
    """Return the column of labels: that of a telling name, else the one whose words all are."""
    words = {str(c): {str(v) for v in rows[c].dropna().unique() if not is_missing(v)} for c in rows}
    words = {c: own for c, own in words.items() if 1 < len(own) <= _MOST_WORDS}
    telling = [c for name in _TELLING for c in words if c.strip().lower() == name]
    known = [c for c, own in words.items() if all(our_word(word) in KNOWN for word in own)]
    both = [c for c in telling if c in known or {w.lower() for w in words[c]} <= _BINARY]
    for choice in (both, known, telling, list(words)):
        if len(choice) == 1 or (choice and choice is not known and choice in (both, telling)):
            return choice[0]
        if choice:
            break
    raise TableError(
        f"{file}: which column holds the labels? Say --label-column "
        f"{next(iter(known or words), 'NAME')} (columns: {', '.join(map(str, rows))})"
    )


def _key(path: object) -> str:
    return safe_id(picture_id(str(path).replace("\\", "/").rsplit("/", 1)[-1])).lower()


def _plain(text: str) -> str:
    return "_".join(text.strip().lower().split())


def write_trial(table: pd.DataFrame) -> str:
    """Return a trial's table as CSV, the same text for the same rows."""
    shown = table.sort_values("image_id", kind="stable").replace({None: np.nan})
    return table_text(shown)
