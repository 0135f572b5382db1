"""One shard of records: from rows of the images table to files, in any process.

A shard is made from one list of rows, at every size from one decoding of each picture. Its files
get their names when they are complete; then its certificate is written: the file
`.parts/<shard>.json`, which holds what was made from what. A shard with a valid certificate is
kept when the same records are made again, so that a killed run goes on where it was.

Nothing here needs pandas: what this module imports, every worker process imports.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from melnb.data.cleaning import FINE, Cleaning, check_cleaning, clean_picture
from melnb.data.pictures import (
    Fit,
    InvertedMaskError,
    Picture,
    PictureError,
    decode_mask,
    decode_picture,
    encode_jpeg,
    encode_png,
    fit_mask,
    fit_picture,
    read_bytes,
)
from melnb.data.shards.examples import Shard, ShardWriter, file_crc
from melnb.data.shards.messages import Value
from melnb.tables.documents import read_as
from melnb.tables.files import replacing

PARTS = ".parts"
WORDS = {  # record key: column of the images table
    "image_name": "image_id",
    "patient_id": "patient_id",
    "lesion_id": "lesion_id",
    "sex": "sex",
    "anatom_site_general_challenge": "site",
    "diagnosis": "diagnosis",
}
UNKNOWN = -1  # age or target
_READING = 3  # how files are read: a change of it makes every shard anew

Row = Mapping[str, Any]  # a row of the images table; None where unknown


@dataclass(frozen=True)
class Settings:
    """What all shards have in common.

    Attributes:
        classes: Class names; `target` is an index into them.
        image_sizes: Pixels on a side.
        fit: How a picture gets square.
        quality: Of the JPEGs.
        cleaning: What is done to a picture first.
    """

    classes: tuple[str, ...]
    image_sizes: tuple[int, ...]
    fit: Fit
    quality: int
    cleaning: Cleaning = "none"

    def __post_init__(self) -> None:
        """Refuse what is no cleaning."""
        check_cleaning(self.cleaning)

    def plain(self) -> dict[str, Any]:
        """Return the settings by name; no cleaning is not named, as before there was any."""
        settings = asdict(self)
        if self.cleaning == "none":
            del settings["cleaning"]
        return settings


@dataclass(frozen=True)
class ShardPlan:
    """The rows of a shard to be, and its name, such as `fold0-00`."""

    name: str
    fold: int
    rows: list[Row]


@dataclass(frozen=True)
class ShardReport:
    """What came of a plan.

    Attributes:
        rows: Rows of the plan.
        shards: One for each size; none if pictures were unreadable and not to be skipped, or if
            no picture was left.
        skipped: `image_id`, `path` and `reason` of each unreadable picture.
        kept: Whether it was there already.
        empty: Masks that hold no lesion, and those that are inverted.
    """

    rows: int
    shards: list[Shard]
    skipped: list[dict[str, str]]
    kept: bool
    empty: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Certificate(ShardReport):
    """What a shard's certificate holds: the report, and the digest of what it was made of."""

    made_of: str = ""


def make_shard(
    plan: ShardPlan, folder: Path, settings: Settings, skip_unreadable: bool
) -> ShardReport:
    """Write the files of one shard below `folder`, unless they are there already.

    Raises:
        OSError: The disk is full, or does not let itself be written to. No part of a shard stays.
    """
    certificate = folder / PARTS / f"{plan.name}.json"
    digest = _digest(plan, settings)
    kept = _kept_shards(certificate, digest, folder)
    if kept and (skip_unreadable or not kept.skipped):
        return kept
    certificate.unlink(missing_ok=True)
    report = _write_files(plan, folder, settings, skip_unreadable)
    if report.shards or skip_unreadable:
        entries = [
            {**asdict(s), "path": s.path.relative_to(folder).as_posix()} for s in report.shards
        ]
        content = {**asdict(report), "made_of": digest, "shards": entries}
        with replacing(certificate) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
    return report


def make_examples(row: Row, settings: Settings) -> tuple[dict[int, dict[str, Value]], bool]:
    """Make the example of one image at every size, from one decoding.

    Of a JPEG that already has a size the coded pixels are stored as they are, without EXIF, owner
    and comments (`jpeg.strip_jpeg`), unless it is to be cleaned.

    Returns:
        Size to example, and whether the image has a mask that holds no lesion.

    Raises:
        PictureError: The picture or its mask cannot be read.
    """
    path, fit = row["path"], settings.fit
    if path is None:
        raise PictureError("no path")
    cleaned, largest = settings.cleaning != "none", max(settings.image_sizes)
    size = max(largest, FINE) if cleaned else largest
    picture = decode_picture(read_bytes(path), path, size=size, fit=fit)
    pixels = clean_picture(picture.pixels, settings.cleaning, largest)
    common: dict[str, Value] = {key: _word(row[column]) for key, column in WORDS.items()}
    common["age_approx"] = UNKNOWN if row["age"] is None else round(row["age"])
    target = row["target"]
    common["target"] = UNKNOWN if target is None else settings.classes.index(target)
    common |= {"width": picture.width, "height": picture.height}
    mask = None if row.get("mask_path") is None else _read_mask(row, picture)
    examples = {}
    for size in settings.image_sizes:
        as_it_is = (picture.width, picture.height) == (size, size) and not cleaned
        stored = picture.jpeg if as_it_is else b""
        image = stored or encode_jpeg(fit_picture(pixels, size, fit), settings.quality)
        examples[size] = {**common, "image": image}
        if mask:
            examples[size]["mask"] = encode_png(fit_mask(mask, size, fit))
    return examples, mask is not None and mask.getbbox() is None


def _read_mask(row: Row, picture: Picture) -> Image.Image:
    path = row["mask_path"]
    try:
        return decode_mask(read_bytes(path), path, picture.width, picture.height)
    except PictureError as error:
        raise type(error)(f"{error} (the mask of {row['path']})") from None


def _write_files(
    plan: ShardPlan, folder: Path, settings: Settings, skip_unreadable: bool
) -> ShardReport:
    report = ShardReport(len(plan.rows), [], [], kept=False)
    with ExitStack() as stack:
        writers = {
            size: stack.enter_context(ShardWriter(_size_folder(folder, size) / _temporary(plan)))
            for size in settings.image_sizes
        }
        for row in plan.rows:
            try:
                examples, empty = make_examples(row, settings)
            except PictureError as error:
                lost = {"image_id": row["image_id"], "path": row["path"] or ""}
                report.skipped.append({**lost, "reason": str(error)})
                report.empty.extend(
                    [row["mask_path"]] if isinstance(error, InvertedMaskError) else []
                )
                continue
            report.empty.extend([row["mask_path"]] if empty else [])
            if skip_unreadable or not report.skipped:  # otherwise read on, to list them all
                for size, example in examples.items():
                    writers[size].write(example)
        count = len(plan.rows) - len(report.skipped)
        if count == 0 or (report.skipped and not skip_unreadable):
            return report
        for size, writer in writers.items():
            path = writer.finish(_size_folder(folder, size) / f"{plan.name}-{count}.tfrec")
            report.shards.append(Shard(path, size, plan.fold, count, writer.crc))
    return report


def _kept_shards(certificate: Path, digest: str, folder: Path) -> ShardReport | None:
    """Return what an earlier run made of the same rows, if all of it is there, byte for byte."""
    try:
        record = read_as(certificate, Certificate, "it is made anew")
        shards = [replace(shard, path=folder / shard.path) for shard in record.shards]
        if record.made_of != digest or any(file_crc(s.path) != s.crc for s in shards):
            return None
    except (OSError, ValueError):
        return None  # no certificate, or none of ours: the shard is made anew
    return ShardReport(record.rows, shards, record.skipped, kept=True, empty=record.empty)


def _digest(plan: ShardPlan, settings: Settings) -> str:
    made_of = json.dumps([_READING, plan.fold, settings.plain(), [dict(row) for row in plan.rows]])
    return hashlib.blake2b(made_of.encode(), digest_size=16).hexdigest()


def _size_folder(folder: Path, size: int) -> Path:
    return folder / f"{size}px"


def _temporary(plan: ShardPlan) -> str:
    return f".{plan.name}.{os.getpid()}.tmp"


def _word(text: str | None) -> bytes:
    return b"" if text is None else str(text).encode()
