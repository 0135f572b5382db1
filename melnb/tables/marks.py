"""Marks: what a person has said of single images: label wrong, bad picture, keep.

A CSV `image_id, mark, who, when, why`, a row for each time that somebody marked: the last row of an
image holds, and a row without a mark takes back what was said before. So nothing is lost, and
everything can be undone.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from filelock import FileLock

from melnb.tables.checks import TableError, check_columns
from melnb.tables.delimited import read_delimited
from melnb.tables.files import naming, remove_left
from melnb.tables.schema import write_table

COLUMNS = ("image_id", "mark", "who", "when", "why")
TITLES = {"label_wrong": "label wrong", "bad_picture": "bad picture", "keep": "keep"}
_PATIENCE = 10  # seconds for another who writes a mark
LEFT_OUT = ("label_wrong", "bad_picture")  # neither learnt from nor judged


def read_marks(path: str | Path, *, trail: bool = False) -> pd.DataFrame:
    """Read a file of marks.

    Args:
        path: The CSV; one that is not there has no rows.
        trail: Whether every row is wanted, in the order of writing; else the last of each image,
            less those that were taken back.

    Returns:
        `image_id, mark, who, when, why`: texts, empty where nothing was said.

    Raises:
        TableError: A column is missing, or a mark is none of `TITLES`.
    """
    rows = _read(path, COLUMNS)
    if len(unknown := rows.loc[~rows["mark"].isin(["", *TITLES]), ["image_id", "mark"]]):
        image_id, mark = unknown.iloc[0]
        raise TableError(
            f"{path}: {image_id} is marked {mark!r}: use one of {list(TITLES)}, or nothing to take "
            "a mark back"
        )
    if trail:
        return rows
    last = rows.drop_duplicates("image_id", keep="last")
    return last[last["mark"] != ""].reset_index(drop=True)


def add_mark(path: str | Path, image_id: str, mark: str, *, why: str = "", who: str = "") -> None:
    """Write what somebody says of an image below what was said before; whole or not at all.

    Args:
        path: The CSV; made if need be.
        image_id: Of the image.
        mark: `label_wrong`, `bad_picture` or `keep`; empty: take the last one back.
        why: In words.
        who: Empty: the user's name on this machine.

    Raises:
        ValueError: There is no such mark.
        TableError: The file is no table of marks.
        TimeoutError: Another program holds it.
    """
    _check("mark", mark, TITLES)
    _append(Path(path), {"image_id": image_id, "mark": mark}, read_marks, who=who, why=why)


def _read(path: str | Path, columns: Collection[str]) -> pd.DataFrame:
    """Return every row of a file, as texts; none if it is not there."""
    if not Path(path).exists():
        return pd.DataFrame(columns=[*columns], dtype=object)
    rows = read_delimited(path, empty=True)
    check_columns(rows, columns, str(path))
    return rows[[*columns]].fillna("").astype(str).reset_index(drop=True)


def _check(column: str, value: str, choices: Collection[str]) -> None:
    if value and value not in choices:
        raise ValueError(
            f"{column} is {value!r}: use one of {list(choices)}, or '' to take one back"
        )


def _append(
    path: Path,
    values: dict[str, str],
    read: Callable[..., pd.DataFrame],
    *,
    who: str,
    why: str,
) -> None:
    """Write what is said, who says so, when and why, below the rows that are there, alone."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    row = pd.DataFrame([{**values, "who": who or _user(), "when": when, "why": why}])
    # Of two browsers that read the same file, the later would write over what the other has said.
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=_PATIENCE):
            remove_left(path)
            before = read(path, trail=True)
            write_table(pd.concat([before, row], ignore_index=True), path)


def apply_marks(images: pd.DataFrame, path: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave out the images whose label or picture somebody has called wrong.

    Args:
        images: Images table.
        path: A file of marks; empty: nothing is marked.

    Returns:
        The other images; and the marks that hold: `here`, whether the image is one of this table (a
        spreadsheet may have made `7` of `007`), and `left_out`, whether it was left out.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: It marks images, and none of them is in the table; or every image is left out.
    """
    if path and not Path(path).exists():
        raise FileNotFoundError(
            f"marks: no file {path}: the image browser of 01_explore writes one"
        )
    marks = read_marks(path) if path else pd.DataFrame(columns=[*COLUMNS], dtype=object)
    marks = marks.assign(here=marks["image_id"].isin(images["image_id"]))
    if len(marks) and not marks["here"].any():
        raise TableError(
            f"marks: {path} marks {len(marks)} images ({marks['image_id'].iloc[0]} first), and "
            f"none is among the {len(images)} of this dataset: name the file of its own marks"
        )
    marks["left_out"] = marks["here"] & marks["mark"].isin(LEFT_OUT)
    gone = images["image_id"].isin(marks.loc[marks["left_out"], "image_id"])
    if len(images) and gone.all():
        raise TableError(f"marks: {path} leaves out all {len(images)} images")
    return images[~gone].reset_index(drop=True), marks


# Pairs of pictures: the same, of one lesion, or not; a row for each time that one was settled.

PICTURE, LESION, ALIKE = "same picture", "same lesion", "look-alike"
KINDS = {PICTURE: PICTURE, LESION: LESION, ALIKE: "no, a look-alike"}
PAIR_COLUMNS = ("image_id", "same_as", "kind", "who", "when", "why")


def read_pairs(path: str | Path, *, trail: bool = False) -> pd.DataFrame:
    """Read a file of settled pairs.

    Args:
        path: The CSV; one that is not there has no rows.
        trail: As of `read_marks`.

    Returns:
        `image_id, same_as, kind, who, when, why`: texts, empty where nothing was said.

    Raises:
        TableError: A column is missing, or a kind is none of `KINDS`.
    """
    rows = _read(path, PAIR_COLUMNS)
    if len(unknown := rows.loc[~rows["kind"].isin(["", *KINDS]), "kind"]):
        raise TableError(f"{path}: kind is {unknown.iloc[0]!r}: use one of {list(KINDS)}, or none")
    return rows if trail else lasting_pairs(rows)


def lasting_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the last row of each pair, whichever image stands first, less what was taken back."""
    pair = [frozenset(ids) for ids in zip(rows["image_id"], rows["same_as"], strict=True)]
    last = rows[~pd.Series(pair, index=rows.index, dtype=object).duplicated(keep="last")]
    return last[last["kind"].fillna("") != ""].reset_index(drop=True)


def add_pair(
    path: str | Path, image_id: str, same_as: str, kind: str, *, why: str = "", who: str = ""
) -> None:
    """Write what somebody says of a pair below what was said before; whole or not at all.

    Args:
        path: The CSV, which `same_as` of 02_prepare takes; made if need be.
        image_id: One image.
        same_as: The other.
        kind: One of `KINDS`; empty: take the last one back.
        why: In words.
        who: Empty: the user's name on this machine.

    Raises:
        ValueError: There is no such kind.
        TableError: The file is no table of pairs.
        TimeoutError: Another program holds it.
    """
    _check("kind", kind, KINDS)
    values = {"image_id": image_id, "same_as": same_as, "kind": kind}
    _append(Path(path), values, read_pairs, who=who, why=why)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
