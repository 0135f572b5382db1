"""ISIC 2018 Task 1: dermoscopic images and masks of their lesions, and nothing else of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from melnb.data.sources.layout import (
    Listing,
    Missing,
    list_folder,
    make_images,
    place_pictures,
)

HOME = "challenge.isic-archive.com/data, 2018, Task 1"
TAIL = "_segmentation"
SPLITS = {"Training": "train", "Validation": "test", "Test": "test"}


def read_isic2018_task1(folder: str | Path, *, missing: Missing = "error") -> pd.DataFrame:
    """Read ISIC 2018 Task 1: 2,594, 100 and 1,000 images, with masks and without diagnoses.

    No target, patient or lesion is known; learn masks (task `mask`). Images of the parts that were
    held out have split `test`. A mask without its picture is a row whose picture is missing.

    Args:
        folder: The unpacked downloads: `ISIC2018_Task1-2_Training_Input`,
            `ISIC2018_Task1_Training_GroundTruth`, those of Validation and Test; or one part.
        missing: What to do with masks whose picture is not there.

    Raises:
        FileNotFoundError: The folder, every part or a picture is missing.
    """
    listing = list_folder(folder, source="isic2018_task1", home=HOME)
    parts = [_read_part(listing, name, missing) for name in SPLITS]
    if all(part.empty for part in parts):
        raise FileNotFoundError(
            f"isic2018_task1: no pictures in a folder ISIC2018_Task1-2_Training_Input (or of "
            f"Validation or Test) below "
            f"{listing.root} (folders there: {[str(f) for f in listing.names][1:6] or 'none'}): "
            f"get it from {HOME}"
        )
    return make_images("isic2018_task1", parts)


def _read_part(listing: Listing, name: str, missing: Missing) -> pd.DataFrame:
    masks = f"ISIC2018_Task1_{name}_GroundTruth"
    pictures = listing.pictures(f"ISIC2018_Task1-2_{name}_Input")
    found = listing.pictures(masks, tail=TAIL)
    table = pd.DataFrame({"image_id": sorted(pictures.keys() | found.keys())}, dtype=object)
    table["mask_path"] = found.of(table["image_id"])
    table["split"] = SPLITS[name]
    return place_pictures(table, pictures, listing, file=listing.root / masks, missing=missing)
