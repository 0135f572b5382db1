"""HAM10000 as its authors published it: one metadata table, pictures in two folders."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from melnb.data.sources.layout import (
    Missing,
    check_ids,
    column,
    list_folder,
    make_images,
    place_pictures,
    read_rows,
)
from melnb.data.sources.vocabulary import read_diagnoses, read_people

HOME = "dataverse.harvard.edu, doi:10.7910/DVN/DBW86T (or the ISIC archive)"
FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2", "images", "ham10000_images_part_*")
MASKS = ("HAM10000_segmentations_lesion_tschandl", "masks")


def read_ham10000(folder: str | Path, *, missing: Missing = "error") -> pd.DataFrame:
    """Read HAM10000: 10,015 images of 7,470 lesions in seven classes.

    Its `dx` codes are mapped by name (alphabetical in the file, ISIC's order in the challenge).

    Args:
        folder: Holds `HAM10000_metadata.csv` (or `HAM10000_metadata.tab`, parted by tabs, or
            `HAM10000_metadata`, as the Dataverse gives it) and the folders of pictures.
        missing: What to do with rows whose picture is not there.

    Raises:
        FileNotFoundError: The folder, the table or a picture is missing.
        TableError: The table breaks its format; line and value are named.
    """
    listing = list_folder(folder, source="ham10000", home=HOME)
    file = listing.need("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
    rows = read_rows(file)
    diagnosis = read_diagnoses(column(rows, file, "dx"), file)
    table = pd.DataFrame(
        {
            "image_id": check_ids(column(rows, file, "image_id"), file),
            "lesion_id": column(rows, file, "lesion_id"),
            "diagnosis": diagnosis,
            "target": diagnosis,
            **read_people(rows, file),
        }
    )
    table["mask_path"] = listing.pictures(*MASKS, tail="_segmentation").of(table["image_id"])
    pictures = listing.pictures(*FOLDERS)
    table = place_pictures(table, pictures, listing, file=file, missing=missing)
    return make_images("ham10000", [table])
