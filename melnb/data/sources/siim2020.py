"""SIIM-ISIC 2020: tables of 33,126 and 10,982 images, published duplicates, folders of JPEGs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

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
    melanoma_or_other,
    read_diagnoses,
    read_flags,
    read_people,
)
from melnb.tables.checks import TableError

HOME = "challenge2020.isic-archive.com (or Kaggle, siim-isic-melanoma-classification)"
TRAIN = ("train.csv", "ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv")
TEST = ("test.csv", "ISIC_2020_Test_Metadata.csv")
DUPLICATES = ("2020_Challenge_duplicates.csv", "ISIC_2020_Training_Duplicates.csv")
SHARDS = ("train_cdeotte*.csv",)
FOLDERS = {
    "train": ("jpeg/train", "ISIC_2020_Training_JPEG/train", "jpeg_full", "jpeg_*", "train"),
    "test": ("jpeg/test", "ISIC_2020_Test_Input", "jpeg_full", "jpeg_*", "test"),
}
# The official list names 425 second pictures. The authors of the TFRecords took out these nine too.
FURTHER_DUPLICATES = (
    "ISIC_5194874", "ISIC_6548307", "ISIC_6705662", "ISIC_7195645", "ISIC_7675261",
    "ISIC_8262759", "ISIC_8689583", "ISIC_8776686", "ISIC_9409255",
)  # fmt: skip


def read_siim2020(
    folder: str | Path, *, missing: Missing = "keep", duplicates: Literal["drop", "mark"] = "drop"
) -> pd.DataFrame:
    """Read SIIM-ISIC 2020: melanoma against other, with patients.

    Every target 0 is `other`, its diagnosis being unknown for 27,124 of them. Rows of `test.csv`,
    if it is there, have split `test` and no target. Where the table of the published TFRecords is
    there (`train_cdeotte*.csv`, or a `tfrecord` column in `train.csv`), `shard` is its number of
    the shard (0-14), and `width` and `height` are those of the original.

    Of several folders of pictures (512 px, full size) the fullest is taken for all rows of a
    split: mixed sizes would be something to learn.

    Args:
        folder: Holds `train.csv`; of a test part alone, `test.csv` or its pictures.
        missing: What to do with rows whose picture is not there; by default their path is empty,
            for folds are cut from the table alone.
        duplicates: Whether to leave out the second pictures of 434 published pairs, or to keep
            them and mark them in the column `duplicate`. `attrs["duplicates"]` lists them. All are
            known where the official list (`2020_Challenge_duplicates.csv`) or the table of the
            TFRecords is there; otherwise nine. Both pictures are always of one patient.

    Raises:
        FileNotFoundError: The folder or the table is missing; a picture, if `missing` is `error`.
        TableError: A table breaks its format; line and value are named.
        ValueError: `duplicates` is neither.
    """
    if duplicates not in ("drop", "mark"):
        raise ValueError(f"duplicates is {duplicates!r}; use drop or mark")
    listing = list_folder(folder, source="siim2020", home=HOME)
    files = _find_tables(listing)
    tables = {split: read_siim_table(file, split) for split, file in files.items()}
    if not tables:
        files["test"], tables["test"] = listing.root, _list_test(listing)
    doubled: tuple[str, ...] = ()
    if "train" in tables:
        tables["train"] = _add_shards(tables["train"], listing)
        doubled = _read_duplicates(listing, tables["train"])
    tables = {s: t.assign(duplicate=t["image_id"].isin(doubled)) for s, t in tables.items()}
    if duplicates == "drop":
        tables = {s: t[~t["duplicate"]].drop(columns="duplicate") for s, t in tables.items()}
    placed = [
        place_pictures(t, _fullest(listing, t, s), listing, file=files[s], missing=missing)
        for s, t in tables.items()
    ]
    images = make_images("siim2020", placed, known=doubled)
    images.attrs["duplicates"] = doubled
    return images


def read_siim_table(file: Path, split: str) -> pd.DataFrame:
    """Read `train.csv` or `test.csv`, by whatever of their published column names.

    Raises:
        TableError: A column is missing, an id doubled, a value outside its meaning, or a
            diagnosis of melanoma has target 0.
    """
    rows = read_rows(file)
    table = pd.DataFrame(
        {
            "image_id": check_ids(column(rows, file, "image_name", "image"), file),
            "patient_id": column(rows, file, "patient_id", "patient"),
            **read_people(rows, file),
        }
    )
    if split == "train":
        diagnosis = read_diagnoses(column(rows, file, "diagnosis"), file)
        malignant = read_flags(column(rows, file, "target"), file)
        wrong = (diagnosis == "melanoma") & ~malignant
        if wrong.any():
            raise TableError(f"{file} line {wrong.idxmax()}: diagnosis melanoma but target 0")
        table = table.assign(diagnosis=diagnosis, target=melanoma_or_other(malignant))
    lesions, shards = optional_column(rows, "lesion_id"), optional_column(rows, "tfrecord")
    if lesions is not None:
        table["lesion_id"] = lesions
    if shards is not None:
        table["shard"] = shards
    return table.assign(split=split)


def _find_tables(listing: Listing) -> dict[str, Path]:
    """Return the table of each part; a test part does without the training part."""
    places = {"train": listing.find(*TRAIN), "test": listing.find(*TEST)}
    files = {split: file for split, file in places.items() if file is not None}
    if "train" not in files and listing.pictures(*FOLDERS["train"][:2]):
        listing.need(*TRAIN)
    return files


def _list_test(listing: Listing) -> pd.DataFrame:
    """Return the images of a test part that has no table."""
    there = listing.pictures(*FOLDERS["test"][:2])
    if not there:
        listing.need(*TRAIN, *TEST[1:])
    return pd.DataFrame({"image_id": sorted(there), "split": "test"})


def _add_shards(table: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    file = listing.find(*SHARDS)
    if "shard" in table or file is None:
        return table
    rows = read_rows(file)
    shards = pd.DataFrame(
        {
            "image_id": check_ids(column(rows, file, "image_name"), file),
            "shard": column(rows, file, "tfrecord"),
            "width": pd.to_numeric(column(rows, file, "width")).astype("Int64"),
            "height": pd.to_numeric(column(rows, file, "height")).astype("Int64"),
        }
    )
    return table.merge(shards, on="image_id", how="left")


def _read_duplicates(listing: Listing, table: pd.DataFrame) -> tuple[str, ...]:
    """Return the training images that are second pictures, in the table's order.

    The official list pairs the picture that stays (`ISIC_id`) with the one that goes.
    """
    doubled = set(FURTHER_DUPLICATES)
    file = listing.find(*DUPLICATES)
    if file is not None:
        rows = read_rows(file)
        train = column(rows, file, "partition") == "train"
        doubled |= set(column(rows, file, "ISIC_id_paired")[train])
    if "shard" in table:  # -1: taken out
        doubled |= set(table.loc[table["shard"] == "-1", "image_id"])
        table["shard"] = table["shard"].where(table["shard"] != "-1")
    return tuple(i for i in table["image_id"] if i in doubled)


def _fullest(listing: Listing, table: pd.DataFrame, split: str) -> dict[str, str]:
    """Return the pictures of the folder that holds most of the table's images."""
    folders = [
        folder.as_posix()
        for pattern in FOLDERS[split]
        for folder in listing.names
        if folder.match(pattern)
    ]
    pictures = [listing.pictures(folder) for folder in dict.fromkeys(folders)]
    return max(pictures, key=lambda p: table["image_id"].isin(p.keys()).sum(), default={})
