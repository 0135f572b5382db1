"""ISIC 2024 (SLICE-3D): 401,059 crops as JPEG bytes in one HDF5 file, with patients."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from melnb.data.sources.layout import (
    Missing,
    check_ids,
    column,
    list_folder,
    make_images,
    optional_column,
    place_pictures,
    read_rows,
)
from melnb.data.sources.vocabulary import UNKNOWN, read_flags, read_people
from melnb.diagnoses import find_diagnosis

HOME = "Kaggle, isic-2024-challenge (or challenge.isic-archive.com/data, 2024)"
INSIDE = "::"  # `train-image.hdf5::ISIC_0015670` is that picture inside the file
COLUMNS = (  # of 55: the others describe the photographed body
    "isic_id", "patient_id", "lesion_id", "age_approx", "sex", "anatom_site_general", "target",
    "iddx_3",
)  # fmt: skip
# Names of the third level of ISIC's hierarchy (before a comma) that the ontology does not hold.
_LEVEL_3 = {
    "melanoma in situ": "melanoma",
    "melanoma invasive": "melanoma",
    "melanoma metastasis": "melanoma",
    "squamous cell carcinoma in situ": "actinic_keratosis",  # Bowen's disease, as in HAM10000
    "solar or actinic keratosis": "actinic_keratosis",
    "lichen planus like keratosis": "benign_keratosis",
    "hemangioma": "vascular_lesion",
}


def read_isic2024(folder: str | Path, *, missing: Missing = "error") -> pd.DataFrame:
    """Read ISIC 2024: malignant (393) against benign, with 1,042 patients.

    The diagnosis is that of the third level (`iddx_3`), unknown where the ontology has no class
    for it. A picture's path is `<file>.hdf5::<isic_id>`, or that of a JPEG where the HDF5 file is
    not there.

    Args:
        folder: Holds `train-metadata.csv`, and `train-image.hdf5` or a folder of JPEGs.
        missing: What to do with rows whose picture is not there.

    Raises:
        FileNotFoundError: The folder, the table or a picture is missing.
        TableError: A table breaks its format; line and value are named.
    """
    listing = list_folder(folder, source="isic2024", home=HOME)
    listing.need("train-metadata.csv")
    tables = []
    for split in ("train", "test"):
        file = listing.find(f"{split}-metadata.csv")
        if file is not None:
            inside = listing.find(f"{split}-image.hdf5")
            pictures: dict[str, str] = listing.pictures(
                f"{split}-image/image", f"{split}-image", "image"
            )
            if inside is not None:
                pictures = list_hdf5(inside)
            table = _read_table(file).assign(split=split)
            tables.append(place_pictures(table, pictures, listing, file=file, missing=missing))
    return make_images("isic2024", tables)


def list_hdf5(file: Path) -> dict[str, str]:
    """Return id to path (`<file>::<id>`) of the pictures inside an HDF5 file."""
    with h5py.File(file, "r") as pictures:
        return {name: f"{file}{INSIDE}{name}" for name in pictures}


def _read_table(file: Path) -> pd.DataFrame:
    rows = read_rows(file, only=COLUMNS)
    table = pd.DataFrame(
        {
            "image_id": check_ids(column(rows, file, "isic_id"), file),
            "patient_id": column(rows, file, "patient_id"),
            **read_people(rows, file),
        }
    )
    target, diagnosis = optional_column(rows, "target"), optional_column(rows, "iddx_3")
    if target is not None:
        table["target"] = np.where(read_flags(target, file), "malignant", "benign").astype(object)
    if diagnosis is not None:
        names = {text: _third_level(text) for text in diagnosis.dropna().unique()}
        table["diagnosis"] = diagnosis.map(names).astype(object).fillna(UNKNOWN)
    lesions = optional_column(rows, "lesion_id")
    return table if lesions is None else table.assign(lesion_id=lesions)


def _third_level(text: str) -> str:
    name = text.split(",")[0].strip().lower()
    try:
        return _LEVEL_3.get(name) or find_diagnosis(name)
    except ValueError:
        return UNKNOWN  # angiofibroma, scar …: some forty names, a handful of rows each
