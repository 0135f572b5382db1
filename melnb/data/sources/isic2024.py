"""ISIC 2024 (SLICE-3D): 401,059 crops with patients, as Kaggle or the challenge gives them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from melnb.data.hdf5 import open_hdf5
from melnb.data.sources.layout import (
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
from melnb.data.sources.vocabulary import read_hierarchy, read_malignancy, read_people
from melnb.tables.overlap import match

HOME = "Kaggle, isic-2024-challenge (or challenge.isic-archive.com/data, 2024)"
INSIDE = "::"  # `train-image.hdf5::ISIC_0015670` is that picture inside the file
COLUMNS = (  # of 55: the others describe the photographed body
    "isic_id", "patient_id", "lesion_id", "age_approx", "sex", "anatom_site_general", "target",
    "malignant", *(f"iddx_{k}" for k in range(1, 6)), "iddx_full",
)  # fmt: skip
PARTS = {"train": "Training", "test": "Test"}


def read_isic2024(folder: str | Path, *, missing: Missing = "error") -> pd.DataFrame:
    """Read ISIC 2024: malignant (393) against benign, with 1,042 patients.

    The diagnosis is that of the narrowest level (`iddx_1` to `iddx_5`) that the ontology has a
    class for, else unknown. A picture's path is `<file>.hdf5::<isic_id>`, or that of a JPEG where
    the HDF5 file is not there.

    Args:
        folder: Kaggle's files (`train-metadata.csv`, and `train-image.hdf5` or a folder of JPEGs),
            or those of the challenge's site: `ISIC_2024_Training_GroundTruth.csv`,
            `ISIC_2024_Training_Input` with its `metadata.csv`, `ISIC_2024_Training_Supplement.csv`;
            `Permissive` may stand in their names. A test part alone will do.
        missing: What to do with rows whose picture is not there.

    Raises:
        FileNotFoundError: The folder, the table or a picture is missing.
        TableError: A table breaks its format; line and value are named.
    """
    listing = list_folder(folder, source="isic2024", home=HOME)
    tables = [_read_part(listing, split, missing) for split in PARTS]
    if all(table.empty for table in tables):
        listing.need("train-metadata.csv", "ISIC_2024*_Training_GroundTruth.csv")
    return make_images("isic2024", tables)


def list_hdf5(file: Path) -> dict[str, str]:
    """Return id to path (`<file>::<id>`) of the pictures inside an HDF5 file.

    Raises:
        ValueError: It is no HDF5 file, or cut.
    """
    with open_hdf5(file) as pictures:
        return {name: f"{file}{INSIDE}{name}" for name in pictures}


def _read_part(listing: Listing, split: str, missing: Missing) -> pd.DataFrame:
    stem = f"ISIC_2024*{PARTS[split]}"
    inside = listing.find(f"{split}-image.hdf5")
    folders = (f"{split}-image/image", f"{split}-image", f"{stem}_Input", "image")
    pictures: dict[str, str] = listing.pictures(*folders) if inside is None else list_hdf5(inside)
    file = listing.find(f"{split}-metadata.csv", f"{stem}_GroundTruth.csv", f"{stem}_Metadata.csv")
    if file is None and split == "test":
        file = next(iter(_beside(listing, stem)), None)
    if file is None:  # pictures without a table are a test part's at most
        bare = pictures if inside else listing.pictures(*folders[:3])
        table = pd.DataFrame({"image_id": sorted(bare) if split == "test" else []}, dtype=object)
        return table.assign(path=table["image_id"].map(bare), split=split)
    rows = read_rows(file, only=COLUMNS)
    if not file.name.startswith(split):
        rows = _join(rows, file, _beside(listing, stem))
    table = _read_table(rows, file).assign(split=split)
    placed = place_pictures(table, pictures, listing, file=file, missing=missing)
    placed.attrs["indeterminate"] = table.attrs["indeterminate"]
    return placed


def _beside(listing: Listing, stem: str) -> list[Path]:
    """Return the tables of patients and of diagnoses that the challenge's site gives beside it."""
    names = (f"{stem}_Supplement.csv", f"{stem}_Metadata.csv")
    files = [file for name in names if (file := listing.find(name)) is not None]
    inner = [
        listing.root / folder / "metadata.csv"
        for folder, names in listing.names.items()
        if folder.match(f"{stem}_Input") and "metadata.csv" in names
    ]
    return [*files, *inner]


def _join(rows: pd.DataFrame, file: Path, files: list[Path]) -> pd.DataFrame:
    """Add the columns of further tables, by image."""
    ids = column(rows, file, "isic_id")
    for other in files:
        further = read_rows(other, only=COLUMNS)
        theirs = check_ids(column(further, other, "isic_id"), other)
        there = match(ids, theirs)
        new = further[[c for c in further if c not in rows]].reset_index(drop=True).reindex(there)
        rows = rows.join(new.set_axis(rows.index))
    return rows


def _read_table(rows: pd.DataFrame, file: Path) -> pd.DataFrame:
    table = pd.DataFrame(
        {"image_id": check_ids(column(rows, file, "isic_id"), file), **read_people(rows, file)}
    )
    for name in ("patient_id", "lesion_id"):
        values = optional_column(rows, name)
        if values is not None:
            table[name] = values
    target = optional_column(rows, "target", "malignant")
    if target is not None:
        table["target"], _ = read_malignancy(target, file)
    diagnosis, widest = read_hierarchy(rows), optional_column(rows, "iddx_1")
    if diagnosis is not None:
        table["diagnosis"] = diagnosis
    doubt = False if widest is None else widest.eq("Indeterminate")
    table.attrs["indeterminate"] = tuple(table["image_id"][doubt & table["image_id"].notna()])
    return table
