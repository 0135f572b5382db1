"""The ISIC challenges of 2016 to 2019: parts of one layout, each year with labels of its own.

Test parts, and validation parts, which were held out too, have split `test`; they do without the
training part. One that came without labels (2018 and 2019 before their release) is read with an
empty target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

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
from melnb.data.sources.vocabulary import (
    UNKNOWN,
    melanoma_or_other,
    read_flags,
    read_one_hot,
    read_people,
)
from melnb.tables.checks import TableError
from melnb.tables.overlap import match

# ISIC 2018 Task 1: dermoscopic images and masks of their lesions, and nothing else of them.

TASK1_HOME = "challenge.isic-archive.com/data, 2018, Task 1"
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
    listing = list_folder(folder, source="isic2018_task1", home=TASK1_HOME)
    parts = [_read_task1_part(listing, name, missing) for name in SPLITS]
    if all(part.empty for part in parts):
        raise FileNotFoundError(
            f"isic2018_task1: no pictures in a folder ISIC2018_Task1-2_Training_Input (or of "
            f"Validation or Test) below "
            f"{listing.root} (folders there: {[str(f) for f in listing.names][1:6] or 'none'}): "
            f"get it from {TASK1_HOME}"
        )
    return make_images("isic2018_task1", parts)


def _read_task1_part(listing: Listing, name: str, missing: Missing) -> pd.DataFrame:
    masks = f"ISIC2018_Task1_{name}_GroundTruth"
    pictures = listing.pictures(f"ISIC2018_Task1-2_{name}_Input")
    outlines = listing.pictures(masks, tail=TAIL)
    table = pd.DataFrame({"image_id": sorted(pictures.keys() | outlines.keys())}, dtype=object)
    table["mask_path"] = outlines.of(table["image_id"])
    table["split"] = SPLITS[name]
    return place_pictures(table, pictures, listing, file=listing.root / masks, missing=missing)


HOME = "challenge.isic-archive.com/data, {year}, {task}"
HAM_CLASSES = (
    "melanoma", "nevus", "basal_cell_carcinoma", "actinic_keratosis", "benign_keratosis",
    "dermatofibroma", "vascular_lesion",
)  # fmt: skip
_BENIGN, _MALIGNANT = {"benign", "0", "0.0"}, {"malignant", "1", "1.0"}
CLASSES_2019 = (*HAM_CLASSES, "squamous_cell_carcinoma", UNKNOWN)


@dataclass(frozen=True)
class Part:
    """The files of one part of a challenge.

    Attributes:
        split: `train` or `test`.
        labels: Name of the ground truth.
        pictures: Names of folders of pictures, the official one first.
        masks: Names of folders of masks.
        metadata: Name of the table of ages, sexes, sites and lesions.
        unlabelled: Names of folders whose pictures are the part where its labels are not there;
            empty: the first of `pictures`.
    """

    split: str
    labels: str
    pictures: tuple[str, ...]
    masks: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()


def read_isic2016(
    folder: str | Path, *, missing: Missing = "error", labelled: bool = True
) -> pd.DataFrame:
    """Read ISIC 2016 Task 3: melanoma against other; 900 and 379 images, with the masks of Part 1.

    The ground truth has no header, and says `benign` or `malignant` in the training part, 0 or 1
    in the test part. A benign lesion's diagnosis is unknown.

    Args:
        folder: The unpacked downloads.
        missing: What to do with labelled images whose picture is not there.
        labelled: Whether the training labels must be there; Part 1 alone is pictures and masks.

    Raises:
        FileNotFoundError: The folder, every part, the training labels or a picture is missing.
        TableError: A file breaks its format; file, line and value are named.
    """
    stem = "ISBI2016_ISIC_Part"
    parts = [
        Part(
            "train" if name == "Training" else "test",
            f"{stem}3*_{name}_GroundTruth.csv",  # Part 3B says the same
            (f"{stem}3_{name}_Data", f"{stem}3B_{name}_Data", f"{stem}1_{name}_Data"),
            (f"{stem}1_{name}_GroundTruth", f"{stem}3B_{name}_Data"),
            unlabelled=(f"{stem}3_{name}_Data", f"{stem}1_{name}_Data"),
        )
        for name in ("Training", "Test")
    ]
    return _read_challenge(
        "isic2016", folder, parts, _read_labels_2016, missing, "_Segmentation", labelled
    )


def read_isic2017(
    folder: str | Path, *, missing: Missing = "error", labelled: bool = True
) -> pd.DataFrame:
    """Read ISIC 2017 Task 3: melanoma, benign keratosis, nevus; 2,000, 150 and 600 images.

    The masks are those of Part 1, whose pictures are the same. The two columns of the ground truth
    name melanoma and seborrhoeic keratosis; a row with neither is a nevus. Arguments and errors are
    those of `read_isic2016`.
    """
    parts = [
        Part(
            "train" if name == "Training" else "test",
            f"ISIC-2017_{name}_Part3_GroundTruth.csv",
            (f"ISIC-2017_{name}_Data",),
            (f"ISIC-2017_{name}_Part1_GroundTruth",),
            (f"ISIC-2017_{name}_Data_metadata.csv",),
        )
        for name in ("Training", "Validation", "Test_v2")
    ]
    return _read_challenge(
        "isic2017", folder, parts, _read_labels_2017, missing, "_segmentation", labelled
    )


def read_isic2018(folder: str | Path, *, missing: Missing = "error") -> pd.DataFrame:
    """Read ISIC 2018 Task 3: seven classes; 10,015, 193 and 1,512 images, with lesion ids.

    Arguments and errors are those of `read_isic2016`; a row of the ground truth with no label or
    two is an error.
    """
    parts = [
        Part(
            "train" if name == "Training" else "test",
            f"ISIC2018_Task3_{name}_GroundTruth.csv",
            (f"ISIC2018_Task3_{name}_Input", "images"),
            ("masks", "HAM10000_segmentations_lesion_tschandl"),
            (f"ISIC2018_Task3_{name}_LesionGroupings.csv",),
        )
        for name in ("Training", "Validation", "Test")
    ]
    return _read_challenge("isic2018", folder, parts, _read_labels_2018, missing, "_segmentation")


def read_isic2019(folder: str | Path, *, missing: Missing = "error") -> pd.DataFrame:
    """Read ISIC 2019: eight classes and unknown; 25,331 and 8,238 images.

    Ids that end in `_downsampled` are kept as they were published. Lesion ids are there for 23,247
    of the training images. Arguments and errors are those of `read_isic2018`.
    """
    parts = [
        Part(
            "train" if name == "Training" else "test",
            f"ISIC_2019_{name}_GroundTruth.csv",
            (f"ISIC_2019_{name}_Input",),
            metadata=(f"ISIC_2019_{name}_Metadata.csv",),
        )
        for name in ("Training", "Test")
    ]
    return _read_challenge("isic2019", folder, parts, _read_labels_2019, missing, "")


def _read_challenge(
    source: str,
    folder: str | Path,
    parts: Sequence[Part],
    read_labels: Callable[[Path], pd.DataFrame],
    missing: Missing,
    mask_tail: str,
    labelled: bool = True,
) -> pd.DataFrame:
    task = "Part 3 and Part 1" if source in ("isic2016", "isic2017") else "Task 3"
    home = HOME.format(year=source[-4:], task="all files" if source == "isic2019" else task)
    listing = list_folder(folder, source=source, home=home)
    tables = [_read_part(listing, part, read_labels, missing, mask_tail) for part in parts]
    if labelled and (len(tables[0]) or all(table.empty for table in tables)):
        listing.need(parts[0].labels)  # a part that was held out does without the training part
    return make_images(source, tables)


def _read_part(
    listing: Listing,
    part: Part,
    read_labels: Callable[[Path], pd.DataFrame],
    missing: Missing,
    mask_tail: str,
) -> pd.DataFrame:
    file = listing.find(part.labels)
    if file is None:  # pictures without labels, or nothing
        there = listing.pictures(*(part.unlabelled or part.pictures[:1]))
        ids = sorted(name for name in there if "superpixels" not in name)
        file, table = listing.root / part.pictures[0], pd.DataFrame({"image_id": ids})
    else:
        table = read_labels(file)
        check_ids(table["image_id"], file)
    metadata = listing.find(*part.metadata)
    if metadata is not None:
        table = _join_metadata(table, _read_metadata(metadata))
    if mask_tail and part.masks:
        table["mask_path"] = listing.pictures(*part.masks, tail=mask_tail).of(table["image_id"])
    table["split"] = part.split
    pictures = listing.pictures(*part.pictures)
    return place_pictures(table, pictures, listing, file=file, missing=missing)


def _read_labels_2016(file: Path) -> pd.DataFrame:
    table = read_rows(file, names=("image_id", "label"))
    label = table["label"].str.strip().str.lower()
    wrong = ~label.isin(_BENIGN | _MALIGNANT)
    if wrong.any():
        line = label.index[wrong][0]
        label = table["label"][line]
        raise TableError(f"{file} line {line}: label {label!r} is not benign, malignant, 0 or 1")
    malignant = label.isin(_MALIGNANT)
    return pd.DataFrame(
        {
            "image_id": table["image_id"],
            "diagnosis": malignant.map({True: "melanoma", False: UNKNOWN}),
            "target": melanoma_or_other(malignant),
        }
    )


def _read_labels_2017(file: Path) -> pd.DataFrame:
    table = read_rows(file)
    flags = {
        "melanoma": read_flags(column(table, file, "melanoma"), file),
        "benign_keratosis": read_flags(column(table, file, "seborrheic_keratosis"), file),
    }
    both = flags["melanoma"] & flags["benign_keratosis"]
    if both.any():
        raise TableError(
            f"{file} line {both.idxmax()}: two labels in one row, one at most is meant"
        )
    name = np.select([f.to_numpy() for f in flags.values()], list(flags), "nevus").astype(object)
    return pd.DataFrame(
        {"image_id": column(table, file, "image_id"), "diagnosis": name, "target": name}
    )


def _read_labels_2018(file: Path) -> pd.DataFrame:
    return _read_labels_one_hot(file, HAM_CLASSES)


def _read_labels_2019(file: Path) -> pd.DataFrame:
    return _read_labels_one_hot(file, CLASSES_2019)


def _read_labels_one_hot(file: Path, classes: Sequence[str]) -> pd.DataFrame:
    table = read_rows(file)
    name = read_one_hot(table, file, classes)
    return pd.DataFrame(
        {"image_id": column(table, file, "image"), "diagnosis": name, "target": name}
    )


def _join_metadata(table: pd.DataFrame, metadata: pd.DataFrame) -> pd.DataFrame:
    """Join by image: ISIC 2019's tables need not both say `_downsampled`."""
    there = match(table["image_id"], metadata["image_id"])
    rows = metadata.drop(columns="image_id").reset_index(drop=True).reindex(there)
    return table.join(rows.set_axis(table.index))


def _read_metadata(file: Path) -> pd.DataFrame:
    table = read_rows(file)
    ids = check_ids(column(table, file, "image_id", "image"), file)
    lesions = optional_column(table, "lesion_id")
    columns = read_people(table, file) | ({} if lesions is None else {"lesion_id": lesions})
    return pd.DataFrame({"image_id": ids, **columns})
