"""Any CSV: the user says which of its columns is which of ours."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

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
)
from melnb.data.sources.vocabulary import (
    UNKNOWN,
    find_classes,
    read_ages,
    read_diagnoses,
    read_hierarchy,
    read_malignancy,
    read_one_hot,
    read_sexes,
    read_sites,
)
from melnb.diagnoses import MELANOMA, NAMES, OTHER, find_diagnosis
from melnb.files import is_table, picture_id
from melnb.missing import NAMES as UNKNOWN_NAMES
from melnb.missing import blank_missing, count_missing, whole_ids
from melnb.numerals import read_numbers
from melnb.tables import ID_COLUMNS, IMAGE_COLUMNS, OPTIONAL_IMAGE_COLUMNS, TableError

HOME = "wherever your pictures are"
COLUMNS = tuple(c for c in (*IMAGE_COLUMNS, *OPTIONAL_IMAGE_COLUMNS) if c != "source")
_READERS = {
    "diagnosis": read_diagnoses, "sex": read_sexes, "age": read_ages, "site": read_sites,
}  # fmt: skip
_PUBLISHED = {
    "image_id": ID_COLUMNS,
    "age": ("age_approx", "age_approximate"),
    "site": ("anatom_site_general_challenge", "anatom_site_general", "localization"),
}  # fmt: skip
_LEVEL = re.compile(r"\s*(diagnosis|iddx)_([1-5]|full)\s*$", re.IGNORECASE)
_BINARY = {"0": OTHER, "1": MELANOMA, "0.0": OTHER, "1.0": MELANOMA}


def read_any_csv(
    folder: str | Path, *, columns: Mapping[str, str] | None = None, missing: Missing = "error"
) -> pd.DataFrame:
    """Read a CSV of pictures.

    Columns that are not mapped but bear a name of ours, or one that ISIC's files have for it
    (`isic_id`, `age_approx`), are read as such; the others stay under their own names (a given
    fold, say). The target is its own column; or the class whose column is marked among columns of 0
    and 1, as in the ground truth of ISIC 2018 and 2019; or the diagnosis, of which `unknown` is no
    class to learn; or, of ISIC's archive, benign or malignant (`diagnosis_1`, `benign_malignant`),
    the diagnosis being the narrowest of `diagnosis_1` to `diagnosis_5` that has a class. A target
    of 0 and 1 means other and melanoma; of other texts, each is a class, by the ontology's name
    where it has one. Words for missing are no patient, no class and no level, which
    `attrs["notes"]` says by column.

    Args:
        folder: The CSV, or a folder that holds no other. Pictures lie anywhere below that folder,
            named by image id, or where the column `path` says, relative to it.
        columns: Our column to theirs: `{"image_id": "name", "diagnosis": "dx"}`.
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
    listing = list_folder(place.parent if is_file else place, source="csv", home=HOME)
    file = listing.root / place.name if is_file else _only_csv(listing)
    if not file.is_file():
        raise FileNotFoundError(f"csv: no file {file}")
    rows = read_rows(file)
    named = {ours: column(rows, file, theirs) for ours, theirs in columns.items()}
    taken = set(columns.values())
    for ours in COLUMNS:
        values = optional_column(rows, ours)
        if values is not None and ours not in named and values.name not in taken:
            named[ours] = values
    for ours, theirs in _PUBLISHED.items():
        rest = rows[[c for c in rows if c not in {v.name for v in named.values()}]]
        values = optional_column(rest, *theirs)
        if (
            values is not None
            and ours not in named
            and not (ours == "image_id" and "path" in named)
        ):
            named[ours] = values
    if not {"image_id", "path"} & named.keys():
        column(rows, file, "image_id")  # says what is there instead
    table = rows.drop(columns=list({str(values.name) for values in named.values()}))
    table = table.apply(blank_missing, names=False)
    table = _read_named(table, named, file)
    if not {"target", "diagnosis"} & named.keys():
        table = _read_labels(table, file)
    placed = _place(table, named, listing, file, missing)
    placed.attrs["indeterminate"] = table.attrs.get("indeterminate", ())
    placed.attrs[NOTES] = _notes(rows, named, table)
    return make_images("csv", [placed])


def _check_columns(columns: Mapping[str, str]) -> dict[str, str]:
    for ours in columns:
        if ours not in COLUMNS:
            near = difflib.get_close_matches(ours, COLUMNS, n=1)
            hint = f"; is {near[0]!r} meant?" if near else ""
            raise ValueError(
                f"columns: {ours!r} is no column of the images table{hint} "
                f"(write ours: theirs; ours are {list(COLUMNS)})"
            )
    return dict(columns)


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
    if listing.pictures("**"):
        raise FileNotFoundError(
            f"csv: no *.csv in {listing.root} or below, but pictures: give the table itself, or "
            "read them without one (source: folders)"
        )
    return listing.need("*.csv")


def _read_named(table: pd.DataFrame, named: dict[str, pd.Series], file: Path) -> pd.DataFrame:
    ids = named["image_id"] if "image_id" in named else named["path"]
    ids = check_ids(whole_ids(ids.map(picture_id, na_action="ignore")), file)
    table = table.assign(image_id=ids)
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
        wrong = ~table["split"].isin(["train", "test"]) & table["split"].notna()
        if wrong.any():
            value = table.loc[wrong, "split"].iloc[0]
            raise TableError(f"{file} line {wrong.idxmax()}: split {value!r} is not train or test")
    if "target" in named:
        own = set(IMAGE_COLUMNS) <= {*named, *table.columns}  # a table as 02_prepare writes it
        table["target"] = _read_targets(named["target"], file, own=own)
    elif "diagnosis" in table:
        table["target"] = table["diagnosis"].where(table["diagnosis"] != UNKNOWN)
    return table


def _read_labels(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Read labels that stand in several columns, or say no more than benign or malignant."""
    classes = find_classes(table, file)
    told = table[list(classes.values())].notna().any(axis=1)
    if len(classes) > 1 and told.any():
        name = read_one_hot(table[told], file, list(classes))
        named = name.where(name.isin(NAMES), UNKNOWN)
        return table.drop(columns=list(classes.values())).assign(target=name, diagnosis=named)
    diagnosis = read_hierarchy(table)
    widest = optional_column(table, "benign_malignant", "diagnosis_1", "iddx_1")
    if widest is not None:
        target, doubt = read_malignancy(widest, file)
        table = table.assign(target=target)
        table.attrs["indeterminate"] = tuple(table["image_id"][doubt])
    return table if diagnosis is None else table.assign(diagnosis=diagnosis)


def _read_targets(values: pd.Series, file: Path, *, own: bool) -> pd.Series:
    """Read classes; a word for missing is none, and one that may name a class is refused."""
    said = whole_ids(blank_missing(values, names=False))
    texts = {str(text) for text in said.dropna().unique()}
    numbers = {text for text in texts if text.lstrip("-").isdigit()}
    if "-1" in texts and texts == numbers:
        if "0" not in texts:
            raise TableError(
                f"{file}: {values.name} says -1 beside {sorted(texts - {'-1'})}: is -1 a class, "
                "or is it unknown? Write 0 and 1, or leave the cells empty"
            )
        said = said.mask(said == "-1")
    unsaid = said[said.astype(str).str.lower().isin(UNKNOWN_NAMES)]
    if len(unsaid) and not own:
        raise TableError(
            f"{file} line {unsaid.index[0]}: {values.name} is {unsaid.iloc[0]!r} ({len(unsaid)} of "
            f"{len(values)} such): is that a class, or is it not known? Leave the cell empty where "
            f"it is not known; name a class otherwise (no_lesion, say); or map the column as the "
            f"diagnosis (columns: diagnosis={values.name}), which may be unknown"
        )
    texts -= {"-1"}
    if texts and texts <= _BINARY.keys():
        return said.map(_BINARY)
    names = {}
    for text in texts:
        try:
            names[text] = find_diagnosis(text)
        except ValueError:  # a class of the user's own
            names[text] = "_".join(text.lower().split())
    return said.map(names)


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
    beside = partial(_beside, file)
    if "mask_path" in table:
        table["mask_path"] = table["mask_path"].map(beside, na_action="ignore")
    if "path" not in named:
        pictures: dict[str, str] = _without_masks(listing, table).pictures("**")
    else:
        there = set(listing.pictures("**").values())
        said = named["path"].map(beside, na_action="ignore")
        pictures = {
            i: p
            for i, p in zip(table["image_id"], said, strict=True)
            if isinstance(p, str) and (p in there or Path(p).is_file())
        }
    return place_pictures(table, pictures, listing, file=file, missing=missing)


def _beside(file: Path, path: str) -> str:
    """Return where a path in a table leads, relative to the table; Windows writes it otherwise."""
    place = os.path.normpath(file.parent / path)
    if "\\" in path and not Path(place).exists():
        return os.path.normpath(file.parent / path.replace("\\", "/"))
    return place


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
