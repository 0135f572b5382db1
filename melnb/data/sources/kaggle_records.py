"""Melanoma TFRecords as they lie on Kaggle, used as they are: no picture is written anew.

Their words are numbers: `pandas.factorize` numbered the values of `train.csv` in order of first
appearance, -1 being empty, and the age was filled with the mean. The numbers of SIIM-ISIC 2020
are decoded here; those of other collections (2019 and before) count otherwise, so they stay
unknown. Where `train.csv` and `test.csv` lie beside the shards, their rows win, joined by id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.data.shards.examples import read_examples
from melnb.data.shards.messages import KEYS as CONTENTS
from melnb.data.shards.messages import (
    RecordError,
    check_count,
    check_pictures,
    is_shard,
    read_target,
)
from melnb.data.sources.layout import Listing, check_ids, list_folder, make_images
from melnb.data.sources.siim2020 import TEST, TRAIN, read_siim_table
from melnb.data.sources.vocabulary import (
    melanoma_or_other,
    read_ages,
    read_diagnoses,
    read_sexes,
    read_sites,
)
from melnb.tables.checks import TableError
from melnb.tables.diagnoses import MELANOMA

HOME = "Kaggle (cdeotte/melanoma-512x512, for one)"
INSIDE = "::"  # `train00-2071.tfrec::12` is the record of that number (from 0) in the shard
KEYS = (
    "image_name", "patient_id", "lesion_id", "sex", "age_approx", "anatom_site_general_challenge",
    "diagnosis", "target", "width", "height",
)  # fmt: skip
# Order of first appearance in train.csv of SIIM-ISIC 2020.
CODES = {
    "sex": ("male", "female"),
    "anatom_site_general_challenge": (
        "head/neck", "upper extremity", "lower extremity", "torso", "palms/soles", "oral/genital",
    ),
    "diagnosis": (
        "unknown", "nevus", "melanoma", "seborrheic keratosis", "lentigo NOS",
        "lichenoid keratosis", "solar lentigo", "cafe-au-lait macule",
        "atypical melanocytic proliferation",
    ),
}  # fmt: skip


def read_kaggle_records(folder: str | Path) -> pd.DataFrame:
    """Read the images table from the records themselves, no pixel decoded.

    `path` is `<shard>::<record>`, `shard` the number in the shard's name; records without a
    target, and those of shards named `test…`, have split `test`. A patient known by a number alone
    is `patient_<number>`.

    Args:
        folder: Holds `*.tfrec` files.

    Raises:
        FileNotFoundError: The folder or the shards are missing.
        TableError: A record has no image name, or an image stands in two shards.
        melnb.data.shards.examples.RecordError: A shard is damaged.
    """
    listing, shards = find_shards(folder)
    records = pd.DataFrame([_read_record(p, n, r) for p in shards for n, r in _records(p)])
    records.index = pd.Index(records["path"])
    check_ids(records["image_name"], listing.root)
    table = _make_table(records, listing.root)
    return make_images("kaggle_tfrecords", [_join_tables(table, listing)])


def find_shards(folder: str | Path) -> tuple[Listing, list[str]]:
    """Return a folder's files, and those that are shards.

    Raises:
        FileNotFoundError: The folder or the shards are missing.
    """
    listing = list_folder(folder, source="kaggle_tfrecords", home=HOME)
    shards = [
        str(listing.root / place / name)
        for place, names in listing.names.items()
        for name in names
        if is_shard(name)
    ]
    if not shards:
        listing.need("*.tfrec", "*.tfrecord")
    return listing, shards


def _records(shard: str) -> Iterator[tuple[int, dict[str, Any]]]:
    count = 0
    for number, record in enumerate(read_examples(shard, keys=(*KEYS, *CONTENTS))):
        count += 1
        yield number, record
    check_count(shard, count)


def _read_record(shard: str, number: int, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record's values: texts decoded, numbers as they are, an empty list as None."""
    row: dict[str, Any] = {"path": f"{shard}{INSIDE}{number}"}
    if "image_name" in record:
        _check_record(record, f"{shard}: record {number}")
    for key in KEYS:
        value = record.get(key)
        row[key] = value.decode() or None if isinstance(value, bytes) else value
        if isinstance(value, list):
            row[key] = None
    if row["image_name"] is None:
        raise TableError(f"{shard}: record {number} has no image_name (keys: {sorted(record)})")
    name = re.match(r"\D*?(\d+)", Path(shard).name)
    row["shard"] = str(int(name[1])) if name else None
    row["split"] = "test" if Path(shard).name.startswith("test") else None
    return row


def _check_record(record: dict[str, Any], place: str) -> None:
    """Refuse what training would stumble over; make the target a number."""
    try:
        check_pictures(record)
        record["target"] = read_target(record)
    except RecordError as error:
        raise RecordError(f"{place}: {error}") from None


def _make_table(records: pd.DataFrame, root: Path) -> pd.DataFrame:
    target = pd.to_numeric(records["target"]).replace(-1, np.nan)
    wrong = target.notna() & ~target.isin([0, 1])
    if wrong.any():
        raise TableError(
            f"{wrong.idxmax()}: target is {target[wrong].iloc[0]:.0f}, neither 0 nor 1: shards of "
            "several classes are read by their dataset.json"
        )
    agrees = _counts_as_2020(records["diagnosis"], target)
    sex, site, diagnosis = (_words(records[key], CODES[key] if agrees else ()) for key in CODES)
    age = records["age_approx"].map(lambda a: str(a) if pd.notna(a) else None)
    return pd.DataFrame(
        {
            "image_id": records["image_name"],
            "patient_id": records["patient_id"].map(_patient),
            "lesion_id": records["lesion_id"],
            "path": records["path"],
            "diagnosis": read_diagnoses(diagnosis, root),
            "target": melanoma_or_other(target == 1).where(target.notna()),
            "sex": read_sexes(sex, root),
            "age": read_ages(age, root),
            "site": read_sites(site, root),
            "width": records["width"].astype("Int64"),
            "height": records["height"].astype("Int64"),
            "split": records["split"].fillna(target.isna().map({True: "test", False: "train"})),
            "shard": records["shard"],
        }
    )


def _counts_as_2020(diagnosis: pd.Series, target: pd.Series) -> bool:
    """Tell whether the records count diagnoses as SIIM-ISIC 2020 does.

    There the code of melanoma goes with target 1 and no other does; in other collections, which
    have several malignant diagnoses and another order of appearance, that fails.
    """
    codes = pd.to_numeric(diagnosis, errors="coerce")[target.notna()]
    melanoma = codes == CODES["diagnosis"].index(MELANOMA)
    within = codes.between(-1, len(CODES["diagnosis"]) - 1)
    return bool(
        len(codes)
        and within.all()
        and melanoma.any()
        and (melanoma == (target == 1)[codes.index]).all()
    )


def _words(values: pd.Series, codes: tuple[str, ...]) -> pd.Series:
    """Return texts as they are and numbers by the codes; None where there is no code."""

    def word(value: Any) -> str | None:
        if isinstance(value, str):
            return value
        return codes[int(value)] if pd.notna(value) and 0 <= value < len(codes) else None

    return pd.Series([word(v) for v in values], index=values.index, dtype=object, name=values.name)


def _patient(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"patient_{int(value)}" if pd.notna(value) and value >= 0 else None


def _join_tables(table: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    """Let the rows of the published tables, where they lie beside the shards, win."""
    for split, names in (("train", TRAIN), ("test", TEST)):
        file = listing.find(*names)
        if file is not None:
            listed = read_siim_table(file, split).drop(columns=["split", "shard"], errors="ignore")
            listed = listed.set_index("image_id").drop(columns="target", errors="ignore")
            there = table["image_id"].isin(listed.index)
            rows = listed.loc[table.loc[there, "image_id"]]
            for name in listed.columns:
                table.loc[there, name] = rows[name].to_numpy()
    return table.reset_index(drop=True)
