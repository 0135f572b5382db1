"""What published files hold: tables read as text, each row given its picture."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from melnb.data.sources.listing import MASK_TAIL, Pictures
from melnb.data.sources.listing import PICTURE_SUFFIXES as PICTURE_SUFFIXES
from melnb.data.sources.listing import Listing as Listing
from melnb.data.sources.listing import list_folder as list_folder
from melnb.tables.checks import TableError
from melnb.tables.delimited import read_delimited
from melnb.tables.files import safe_id
from melnb.tables.nearest import did_you_mean
from melnb.tables.schema import IMAGE_COLUMNS, check_images
from melnb.tables.values import NEGATIVE, UNSAID, count_missing, read_group_ids

# Masks that are not there: refused or left out, and looked for under names that are nearly right.
#
# Published masks are named by the image id and a tail that differs from year to year in a letter:
# `_Segmentation` (2016), `_segmentation` (2017, 2018, HAM10000), `_lesion` (PH2).

TAILS = {
    "isic2016": "_Segmentation", "isic2017": "_segmentation", "isic2018": "_segmentation",
    "isic2018_task1": "_segmentation", "ham10000": "_segmentation", "ph2": "_lesion",
}  # fmt: skip


def keep_masked(
    images: pd.DataFrame, *, source: str, folder: str | Path, missing: Missing = "error"
) -> pd.DataFrame:
    """Return the table if each of its images has a mask.

    Args:
        images: The images table.
        source: Its name.
        folder: Its raw files, among which a mask of nearly the right name is looked for.
        missing: What to do with images without a mask: `error`, `drop` (their ids are then in
            `attrs["without_mask"]`) or `keep`.

    Raises:
        FileNotFoundError: Images have no mask and `missing` is `error`; the picture's path, the
            mask's name and, if there is one, the file that is nearly named so are told.
        ValueError: No image has a mask.
    """
    named = images["mask_path"] if "mask_path" in images else pd.Series(index=images.index)
    lost = images[named.isna()]
    if lost.empty or (missing == "keep" and len(lost) < len(images)):
        return images
    if missing == "error" or len(lost) == len(images):
        raise _refusal(images, lost, _near(lost, source, folder), source, folder)
    kept = images[named.notna()].reset_index(drop=True)
    kept.attrs = {**images.attrs, "without_mask": tuple(lost["image_id"])}
    return kept


def find_near_masks(ids: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """Find files that may be meant as masks: the id in any case, and a tail of any kind.

    Args:
        ids: Of images without a mask.
        files: Paths; pictures of suffix .jpg without a tail are none.

    Returns:
        Image id to the first such path.
    """
    wanted = {name.lower(): name for name in ids}
    masks: dict[str, str] = {}
    for file in files:
        stem, suffix = os.path.splitext(os.path.basename(file))  # noqa: PTH119, PTH122 (speed)
        bare = MASK_TAIL.sub("", stem)
        image = wanted.get(bare.lower())
        picture = bare == stem and suffix.lower() in (".jpg", ".jpeg")
        if image is not None and suffix.lower() in PICTURE_SUFFIXES and not picture:
            masks.setdefault(image, file)
    return masks


def _near(lost: pd.DataFrame, source: str, folder: str | Path) -> dict[str, str]:
    place = Path(folder)
    listing = list_folder(
        place.parent if place.is_file() else place, source=source, home="its home"
    )
    pictures = {os.path.normpath(path) for path in lost["path"].dropna()}
    files = (str(listing.root / at / name) for at, names in listing.names.items() for name in names)
    return find_near_masks(lost["image_id"], (file for file in files if file not in pictures))


def _refusal(
    images: pd.DataFrame, lost: pd.DataFrame, near: dict[str, str], source: str, folder: str | Path
) -> Exception:
    if len(lost) == len(images) and not near:
        return ValueError(
            f"task mask: none of {len(images)} images of {source} has a mask below {folder}: get "
            "the masks too, or use another task"
        )
    image = next(iter(near), lost["image_id"].iloc[0])
    path = lost.loc[lost["image_id"] == image, "path"].iloc[0]
    sought = f"no {image}{TAILS[source]}.png below {folder}" if source in TAILS else "no mask_path"
    there = f", but {near[image]} ({len(near)} such): rename it" if near else ""
    return FileNotFoundError(
        f"{source}: {len(lost)} of {len(images)} images have no mask; of {path} there is {sought}"
        f"{there}; complete the download, or leave them out (missing=drop)"
    )


Missing = Literal["error", "drop", "keep"]
NOTES = "notes"  # of a table's attrs: lines on what was read as missing
GROUPS = ("patient_id", "lesion_id")
_OPTIONAL_TEXT = {"mask_path", "split", "shard"}


def read_rows(file: Path, names: Sequence[str] = (), only: Collection[str] = ()) -> pd.DataFrame:
    """Read a table as text, the index its lines: see `delimited.read_delimited`."""
    return read_delimited(file, names=names, only=only)


def column(table: pd.DataFrame, file: Path, *names: str) -> pd.Series:
    """Return the column that bears one of the names, in any case.

    Raises:
        TableError: None does; the nearest is named.
    """
    values = optional_column(table, *names)
    if values is None:
        columns = [str(c) for c in table.columns]
        hint = did_you_mean(names[0], columns)
        raise TableError(f"{file}: no column {names[0]!r} among {columns}{hint}")
    return values


def optional_column(table: pd.DataFrame, *names: str) -> pd.Series | None:
    """Return the column that bears one of the names, in any case, or None."""
    columns = {str(c).strip().lower(): c for c in table.columns}
    for name in names:
        if name.lower() in columns:
            return table[columns[name.lower()]]
    return None


def check_ids(ids: pd.Series, file: Path) -> pd.Series:
    """Return image ids unchanged if none is empty, a word for missing, or doubled.

    Raises:
        TableError: One is; its lines are named.
    """
    if ids.isna().any():
        raise TableError(f"{file} line {ids.index[ids.isna()][0]}: the image id is empty")
    unsaid = ids[ids.astype(str).str.lower().isin(UNSAID | NEGATIVE)]
    if len(unsaid):
        raise TableError(
            f"{file} line {unsaid.index[0]}: the image id is {unsaid.iloc[0]!r}, a word for "
            f"missing ({len(unsaid)} such rows): name the image, or remove the row"
        )
    doubled = ids[ids.duplicated(keep=False)]
    if len(doubled):
        lines = doubled.index[doubled == doubled.iloc[0]]
        raise TableError(
            f"{file}: image {doubled.iloc[0]!r} stands in lines {lines[0]} and {lines[1]} "
            f"({doubled.nunique()} ids are doubled): keep one row per image"
        )
    return ids


def safe_ids(ids: pd.Series, file: Path) -> tuple[pd.Series, list[str]]:
    """Return checked ids as they may be names of files, and a line that says which have changed.

    Raises:
        TableError: Two have become one; their lines are named.
    """
    safe = ids.map(safe_id)
    changed = ids[safe != ids]
    doubled = safe[safe.duplicated(keep=False)]
    if len(doubled):
        lines = doubled.index[doubled == doubled.iloc[0]][:2]
        raise TableError(
            f"{file} lines {lines[0]} and {lines[1]}: {ids[lines[0]]!r} and {ids[lines[1]]!r} are "
            f"both {doubled.iloc[0]} where letters, digits and _ . + - alone are left, as in the "
            "names of files: write one of them otherwise"
        )
    if changed.empty:
        return safe, []
    first = changed.iloc[0]
    note = (
        f"{len(changed)} image ids are no safe names of files: {first!r} is {safe_id(first)} here"
    )
    return safe, [note]


def place_pictures(
    table: pd.DataFrame,
    pictures: Mapping[str, str],
    listing: Listing,
    *,
    file: Path,
    missing: Missing,
    others: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Give each row the `path` of its picture.

    Args:
        table: Rows with `image_id`.
        pictures: Image id to path.
        listing: The source's files.
        file: The table's file, for the message.
        missing: What to do with rows whose picture is not there: refuse, leave them out (their
            ids are then in `attrs["missing"]`), or keep them with an empty path.
        others: Further pictures that lie there; those of all that are in no row are
            `attrs["unlisted"]`, for `make_images`.

    Raises:
        FileNotFoundError: Pictures are missing and `missing` is `error`; it is told how many of
            them lie there under another name, suffix or folder.
        ValueError: `missing` is none of the three, or two files bear one id.
    """
    if missing not in ("error", "drop", "keep"):
        raise ValueError(f"missing is {missing!r}; use error, drop or keep")
    named = pictures if isinstance(pictures, Pictures) else None
    path = named.of(table["image_id"]) if named is not None else table["image_id"].map(pictures)
    lost = table.loc[path.isna(), "image_id"]
    if len(lost) and missing == "error":
        raise FileNotFoundError(
            f"{listing.source}: {len(lost)} of the {len(table)} images in {file.name} have no "
            f"picture below {listing.root}, the first is {lost.iloc[0]}: "
            + _remedy(lost, listing, named.sought if named is not None else ())
        )
    table = table.assign(path=path)
    table.attrs["unlisted"] = _in_no_row(pictures if others is None else others, table, file)
    if missing == "drop":
        table = table[path.notna()]
        table.attrs["missing"] = _Ids(lost)
    return table


class _Ids(tuple[str, ...]):
    """Ids in a table's `attrs`, all of which pandas would copy at each step."""

    __slots__ = ()

    def __deepcopy__(self, memo: object) -> _Ids:
        return self


class _Lying(dict[tuple[str, str], str]):
    """Ids and paths of pictures in a table's `attrs`, likewise, and the table that lacks them."""

    def __deepcopy__(self, memo: object) -> _Lying:
        return self


def _in_no_row(pictures: Mapping[str, str], table: pd.DataFrame, file: Path) -> _Lying:
    """Return ids and paths of the pictures that a part's table lacks, and its name."""
    ids, paths = set(table["image_id"]), set(table["path"].dropna())
    if not file.is_file():
        return _Lying()
    return _Lying(
        {
            (name, path): file.name
            for name, path in pictures.items()
            if name not in ids and path not in paths
        }
    )


def _remedy(lost: pd.Series, listing: Listing, sought: Sequence[str]) -> str:
    near = listing.near(set(lost))
    leave = "or leave them out (missing=drop)"
    if not near:
        return f"{listing.remedy('complete the download from {}')}, {leave}"
    first = next(iter(near.values()))
    if first in listing.broken:
        return f"{first} is a link that leads nowhere: mend it, {leave}"
    folders = " or ".join(name for name in sought if name != "**")
    where = f" and in a folder {folders}" if folders else ""
    return (
        f"{len(near)} of them lie there under another name, suffix or folder, such as {first}: "
        f"have them named as the table does, as one of {' '.join(sorted(PICTURE_SUFFIXES))}"
        f"{where}, {leave}"
    )


def make_images(
    source: str, tables: Sequence[pd.DataFrame], *, known: Collection[str] = ()
) -> pd.DataFrame:
    """Join a source's parts into one checked images table.

    Columns that no part has are empty; further columns follow those of the agreement. The tables'
    `attrs["missing"]` and `attrs["indeterminate"]` are joined, and of `attrs["unlisted"]` the
    pictures that are in no row of any.

    Args:
        source: Its name.
        tables: Its parts.
        known: Ids that a table holds and the parts do not: duplicates, say.

    Raises:
        FileNotFoundError: No row is left.
        melnb.tables.schema.TableError: The joined table is not a valid images table.
    """
    text = pd.Series([""]).dtype  # as this version of pandas reads text: NaN stays NaN
    tables, notes = _read_groups(source, tables)
    filled = [t.dropna(axis="columns", how="all") for t in tables if len(t)]
    if not filled:
        raise FileNotFoundError(f"{source}: no image that the tables list has its picture there")
    images = pd.concat(filled, ignore_index=True)
    images["source"] = source
    for name in (*IMAGE_COLUMNS, *_OPTIONAL_TEXT.intersection(images)):
        if name not in images:
            images[name] = pd.Series(np.nan, images.index, float if name == "age" else object)
        if name != "age":
            images[name] = images[name].astype(text)
    further = [c for c in images.columns if c not in IMAGE_COLUMNS]
    images = images[[*IMAGE_COLUMNS, *further]]
    unlisted, remarks = _find_unlisted(
        tables, {*images["image_id"], *known}, images["path"].count()
    )
    notes += [*_note_links(images["path"].dropna()), *remarks]
    attributes = (
        "missing",
        *(["indeterminate"] if any("indeterminate" in t.attrs for t in tables) else []),
    )
    images.attrs = {
        name: _Ids(i for t in tables for i in t.attrs.get(name, ())) for name in attributes
    }
    images.attrs |= {"unlisted": _Ids(unlisted)} if unlisted else {}
    images.attrs |= {NOTES: tuple(notes)} if notes else {}
    return check_images(images)


def _find_unlisted(
    tables: Sequence[pd.DataFrame], ids: Collection[str], placed: int
) -> tuple[tuple[str, ...], list[str]]:
    """Return the ids of pictures that are in no row of any table, and a line that says so.

    A mask of a picture is none: `a_mask.png`, and the superpixels of ISIC.
    """
    seen = {*ids, *(i for t in tables for i in t.attrs.get("missing", ()))}
    lying = [(*one, table) for t in tables for one, table in t.attrs.get("unlisted", {}).items()]
    every = seen.union(name for name, _, _ in lying)
    loose = {name: path for name, path, _ in lying if name not in seen and _of_none(name, every)}
    if not loose:
        return (), []
    files = " or ".join(dict.fromkeys(table for name, _, table in lying if name in loose))
    line = (
        f"{len(loose):,} of {placed + len(loose):,} pictures are in no row of {files}, for example "
        f"{min(loose.values())}: left out"
    )
    return tuple(sorted(loose)), [line]


def _of_none(name: str, every: Collection[str]) -> bool:
    """Tell whether a picture is no mask of another."""
    bare = MASK_TAIL.sub("", name.removesuffix("_superpixels"))
    return bare == name or bare not in every


def _note_links(paths: pd.Series) -> list[str]:
    """Say how many pictures lie elsewhere than their paths say: others' links may lead anywhere."""
    paths = paths[~paths.str.contains("::", regex=False)]
    folders = {path.rpartition(os.sep)[0] for path in paths}
    linked = {folder for folder in folders if os.path.islink(folder)}  # noqa: PTH114
    through_links = [p for p in paths if p.rpartition(os.sep)[0] in linked or os.path.islink(p)]  # noqa: PTH114
    if not through_links:
        return []
    first = f"{through_links[0]} -> {os.path.realpath(through_links[0])}"
    return [f"{len(through_links)} of {len(paths)} pictures are links, the first is {first}"]


def _read_groups(
    source: str, tables: Sequence[pd.DataFrame]
) -> tuple[list[pd.DataFrame], list[str]]:
    """Read ids of patients and lesions; return the tables, and what is to be said of them."""
    columns, notes = [], []
    for table in tables:
        notes += table.attrs.get(NOTES, ())
        for name in GROUPS:
            if name in table and table[name].notna().any():
                ids = read_group_ids(table[name], source)
                notes += [note for note in [count_missing(table[name], ids)] if note]
                table = table.assign(**{name: ids})
        columns.append(table)
    return columns, notes
