"""Any CSV: the user says which of its columns is which of ours."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.sources.layout import (
    GROUPS,
    NOTES,
    Listing,
    Missing,
    check_ids,
    column,
    list_folder,
    make_images,
    optional_column,
    place_pictures,
    read_rows,
    safe_ids,
)
from melnb.data.sources.tasks import check_labels, check_no_labels, read_labels, read_targets
from melnb.data.sources.vocabulary import (
    UNKNOWN,
    find_split,
    read_ages,
    read_diagnoses,
    read_hierarchy,
    read_sexes,
    read_sites,
)
from melnb.tables.checks import TableError
from melnb.tables.files import is_table, picture_id
from melnb.tables.nearest import did_you_mean
from melnb.tables.schema import (
    ID_COLUMNS,
    IMAGE_COLUMNS,
    OPTIONAL_IMAGE_COLUMNS,
    PATIENT_COLUMNS,
)
from melnb.tables.values import blank_missing, count_missing, read_numbers, whole_ids

COLUMNS = tuple(c for c in (*IMAGE_COLUMNS, *OPTIONAL_IMAGE_COLUMNS) if c != "source")
_READERS = {
    "diagnosis": read_diagnoses, "sex": read_sexes, "age": read_ages, "site": read_sites,
}  # fmt: skip
_PUBLISHED = {
    "image_id": ID_COLUMNS,
    "patient_id": PATIENT_COLUMNS,
    "path": ("image_path", "filepath", "file_path"),
    "diagnosis": ("dx",),
    "age": ("age_approx", "age_approximate"),
    "site": ("anatom_site_general_challenge", "anatom_site_general", "localization"),
}  # fmt: skip
_LEVEL = re.compile(r"\s*(diagnosis|iddx)_([1-5]|full)\s*$", re.IGNORECASE)
_BOOKS = (".xlsx", ".xls", ".ods", ".parquet", ".json", ".feather")


def read_any_csv(
    folder: str | Path, *, columns: Mapping[str, str] | None = None, missing: Missing = "error"
) -> pd.DataFrame:
    """Read a CSV of pictures.

    Columns that are not mapped but bear a name of ours, or one that ISIC's files have for it
    (`isic_id`, `age_approx`) or others give it (`patient`, `subject`), are read as such; the rest
    stay under their own names (a given fold, say). The target is its own column; or the class whose
    column is marked among columns of 0 and 1, as in the ground truth of ISIC 2018 and 2019; or the
    diagnosis, of which `unknown` is no class to learn; or, of ISIC's archive, benign or malignant
    (`diagnosis_1`, `benign_malignant`), the diagnosis being the narrowest of `diagnosis_1` to
    `diagnosis_5` that has a class. A target of 0 and 1 means what its column is called
    (`benign`, `malignant`, `bcc`), else other and melanoma; of other texts, each is a class, by the
    ontology's name where it has one. Words for missing are no patient, no
    class and no level, which `attrs["notes"]` says by column. A column `source` says whose an image
    is; else all are `csv`.

    Args:
        folder: The CSV, or a folder that holds no other. Pictures lie anywhere below that folder,
            named by image id, or where the column `path` says, relative to it.
        columns: Our column to theirs: `{"image_id": "name", "diagnosis": "dx"}`; an empty text says
            that they have none.
        missing: What to do with rows whose picture is not there.

    Raises:
        FileNotFoundError: The folder, the CSV or a picture is missing.
        TableError: A column is missing, an id doubled, or a value outside its meaning; file, line
            and value are named.
        ValueError: `columns` names a column that is not one of ours.
    """
    columns = _check_columns(columns or {})
    place = Path(folder)
    is_file = is_table(place) and not place.is_dir()
    listing = list_folder(place.parent if is_file else place, source="csv", home="")
    file = listing.root / place.name if is_file else _only_csv(listing)
    table, rows, named = _read_table(file, columns)
    return _finish(_place(table, named, listing, file, missing), table, rows, named)


def read_unplaced(
    file: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    rows: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Read a CSV of pictures without looking for them: every `path` is missing.

    Takes what `read_any_csv` takes, and refuses what it refuses of a table. `rows` are those of the
    file, where they have been read already.
    """
    table, rows, named = _read_table(Path(file), _check_columns(columns or {}), rows)
    return _finish(table.assign(path=np.nan), table, rows, named)


def _read_table(
    file: Path, columns: Mapping[str, str], rows: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.Series]]:
    """Return what a CSV says of its pictures, its rows as they stand, and ours by their column."""
    if not file.is_file():
        raise FileNotFoundError(f"csv: no file {file}")
    rows = read_rows(file) if rows is None else rows
    named = _name_columns(rows, columns, file)
    unmeant = [optional_column(rows, ours) for ours, theirs in columns.items() if not theirs]
    taken = [*named.values(), *(values for values in unmeant if values is not None)]
    table = rows.drop(columns=list({str(values.name) for values in taken}))
    table = table.apply(blank_missing, names=False)
    table = _read_named(table, named, file)
    if not {"target", "diagnosis"} & named.keys():
        table = read_labels(table, file)
        if not {"target", "diagnosis"} & {*table.columns, *columns}:
            check_no_labels(table, file)
    elif not _is_own(table, named):
        check_labels(table, file)
    return table, rows, named


def _finish(
    placed: pd.DataFrame, table: pd.DataFrame, rows: pd.DataFrame, named: dict[str, pd.Series]
) -> pd.DataFrame:
    placed.attrs["indeterminate"] = table.attrs.get("indeterminate", ())
    placed.attrs[NOTES] = [*table.attrs.get(NOTES, ()), *_notes(rows, named, table)]
    images = make_images("csv", [placed])
    if "source" in placed:  # several sources in one table, such as 02d_segment_apply writes
        sources = placed["source"].set_axis(placed["image_id"].to_numpy())
        images["source"] = (
            images["image_id"].map(sources).fillna("csv").astype(images["source"].dtype)
        )
    return images


def _check_columns(columns: Mapping[str, str]) -> dict[str, str]:
    for ours in columns:
        if ours not in COLUMNS:
            hint = did_you_mean(ours, COLUMNS)
            raise ValueError(
                f"columns: {ours!r} is no column of the images table{hint} "
                f"(write ours: theirs; ours are {list(COLUMNS)})"
            )
    return dict(columns)


def _name_columns(
    rows: pd.DataFrame, columns: Mapping[str, str], file: Path
) -> dict[str, pd.Series]:
    """Return the column of each of ours: as it is mapped, named as ours, or as published."""
    named = {ours: column(rows, file, theirs) for ours, theirs in columns.items() if theirs}
    taken = set(columns.values())
    for ours in COLUMNS:
        values = optional_column(rows, ours)
        if values is not None and ours not in columns and values.name not in taken:
            named[ours] = values
    for ours, theirs in _PUBLISHED.items():
        rest = rows[[c for c in rows if c not in {v.name for v in named.values()}]]
        values = optional_column(rest, *theirs)
        if (
            values is not None
            and ours not in {**named, **columns}
            and not (ours == "image_id" and "path" in named)
        ):
            named[ours] = values
    if not {"image_id", "path"} & named.keys():
        try:
            column(rows, file, "image_id")  # says what is there instead
        except TableError as error:
            settle = "say which it is (columns={image_id: theirs}), or write a header"
            raise TableError(f"{error}: {settle}") from None
    return named


def _only_csv(listing: Listing) -> Path:
    for folder, names in listing.names.items():  # shallow folders first
        for suffixes in (".csv", (".tsv", ".tab")):  # a .txt may be anything
            tables = [n for n in names if n.lower().endswith(suffixes)]
            if len(tables) > 1:
                raise FileNotFoundError(
                    f"csv: {len(tables)} CSV files in {listing.root / folder} ({tables[:5]}): "
                    "give the one that is meant instead of the folder"
                )
            if tables:
                return listing.root / folder / tables[0]
    books = [n for names in listing.names.values() for n in names if n.lower().endswith(_BOOKS)]
    if books:
        raise FileNotFoundError(
            f"csv: no *.csv in {listing.root} or below, but {books[0]}: save it from there as CSV "
            "UTF-8"
        )
    if listing.pictures("**"):
        raise FileNotFoundError(
            f"csv: no *.csv in {listing.root} or below, but pictures: give the table itself, or "
            "read them without one (source: folders)"
        )
    return listing.need("*.csv")


def _read_named(table: pd.DataFrame, named: dict[str, pd.Series], file: Path) -> pd.DataFrame:
    ids = named["image_id"] if "image_id" in named else named["path"]
    bare = check_ids(whole_ids(ids.map(picture_id, na_action="ignore")), file)
    ids, notes = safe_ids(bare, file)
    table = table.assign(image_id=ids)
    table.attrs[NOTES] = notes
    for ours, values in named.items():
        if ours == "diagnosis" and _LEVEL.match(str(values.name)):
            table[ours] = read_hierarchy(values.to_frame())
        elif ours in _READERS:
            table[ours] = _READERS[ours](values, file)
        elif ours in ("width", "height"):
            table[ours] = _whole_numbers(values, file)
        elif ours in GROUPS:  # read by make_images
            table[ours] = values
        elif ours not in ("image_id", "target", "path"):
            table[ours] = blank_missing(values)
    if "split" in table:
        split = table["split"].map(find_split, na_action="ignore")
        wrong = split == ""
        if wrong.any():
            value = table.loc[wrong, "split"].iloc[0]
            raise TableError(f"{file} line {wrong.idxmax()}: split {value!r} is not train or test")
        table["split"] = split
    if "target" in named:
        is_own = _is_own(table, named)
        table["target"] = read_targets(named["target"], file, own=is_own)
    elif "diagnosis" in table:
        table["target"] = table["diagnosis"].where(table["diagnosis"] != UNKNOWN)
    return table


def _is_own(table: pd.DataFrame, named: Mapping[str, pd.Series]) -> bool:
    """Tell whether a table is as 02_prepare writes it."""
    return set(IMAGE_COLUMNS) <= {*named, *table.columns}


def _notes(rows: pd.DataFrame, named: dict[str, pd.Series], table: pd.DataFrame) -> list[str]:
    """Say which words of which columns were read as missing; of groups, make_images says it."""
    read = {str(v.name): table[ours] for ours, v in named.items() if ours in table}
    read = {str(c): table[c] for c in rows if c in table} | read
    groups = {str(named[ours].name) for ours in GROUPS if ours in named}
    notes = [count_missing(rows[c], values) for c, values in read.items() if c not in groups]
    return [note for note in notes if note]


def _whole_numbers(values: pd.Series, file: Path) -> pd.Series:
    numbers = read_numbers(values, file, negative=True)
    wrong = (numbers % 1 > 0) | (numbers < 1)
    if wrong.any():
        value = values[wrong].iloc[0]
        raise TableError(f"{file} line {wrong.idxmax()}: {values.name} is {value!r}, not pixels")
    return numbers.astype("Int64")


def _place(
    table: pd.DataFrame,
    named: dict[str, pd.Series],
    listing: Listing,
    file: Path,
    missing: Missing,
) -> pd.DataFrame:
    neighbour = partial(_beside, file)
    if "mask_path" in table:
        table["mask_path"] = table["mask_path"].map(neighbour, na_action="ignore")
    lying: dict[str, str] = _without_masks(listing, table).pictures("**")
    pictures = lying
    if "path" in named:
        there = set(listing.pictures("**").values())
        places = named["path"].map(neighbour, na_action="ignore")
        _check_paths(table["image_id"], places, file)
        pictures = {
            i: p
            for i, p in zip(table["image_id"], places, strict=True)
            if isinstance(p, str) and (p in there or Path(p).is_file())
        }
    return place_pictures(table, pictures, listing, file=file, missing=missing, others=lying)


def _beside(file: Path, path: str) -> str:
    """Return where a path in a table leads, relative to the table.

    Windows writes it with another slash, and a Mac an umlaut as two characters.
    """
    places = [
        os.path.normpath(file.parent / unicodedata.normalize(form, spelt))
        for spelt in (path, path.replace("\\", "/"))
        for form in ("NFC", "NFD")
    ]
    first = os.path.normpath(file.parent / path)
    return next((place for place in (first, *places) if Path(place).exists()), first)


def _check_paths(ids: pd.Series, paths: pd.Series, file: Path) -> None:
    doubled = paths[paths.duplicated(keep=False) & paths.notna()]
    if len(doubled):
        lines = doubled.index[doubled == doubled.iloc[0]][:2]
        raise TableError(
            f"{file} lines {lines[0]} and {lines[1]}: {ids[lines[0]]} and {ids[lines[1]]} have one "
            f"path, {doubled.iloc[0]}: keep one row per picture"
        )


def _without_masks(listing: Listing, table: pd.DataFrame) -> Listing:
    """Leave out the files that are masks: one may bear the very name of its picture."""
    if "mask_path" not in table:
        return listing
    masks = {os.path.normpath(path) for path in table["mask_path"].dropna()}
    names = {
        folder: [n for n in names if str(listing.root / folder / n) not in masks]
        for folder, names in listing.names.items()
    }
    return replace(listing, names=names)
