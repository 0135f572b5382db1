"""Training rows: what is learnt from, one number an image, and no picture held.

A row knows where its record lies, so that a picture is read when its turn comes and only then.
Nothing here needs TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from melnb.data.pictures import decode_picture, fit_picture
from melnb.data.shards.examples import read_examples, read_frames
from melnb.data.shards.messages import (
    KEYS,
    RecordError,
    check_count,
    check_pictures,
    decode_example,
    read_target,
)

OWN, EXTERNAL, PSEUDO = 0, 1, 2  # groups of rows; other numbers are free


@dataclass(frozen=True)
class Rows:
    """Images to learn from: where their records lie, and what is to be learnt of each.

    Attributes:
        paths: Shards.
        shard: n numbers into `paths`, int32.
        offset: n bytes at which a record's frame begins, int64.
        length: n bytes of a record's message, int32.
        image_id: n names.
        truth: n x classes, float32: one-hot, or shares that sum to one; NaN where unknown.
        metadata: n x M, float32; M = 0: none.
        group: n numbers, int32: `OWN`, `EXTERNAL`, `PSEUDO` …
    """

    paths: tuple[str, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    image_id: np.ndarray
    truth: np.ndarray
    metadata: np.ndarray
    group: np.ndarray

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        columns = {k: v for k, v in vars(self).items() if k != "paths"}
        counts = {name: len(column) for name, column in columns.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"the columns of rows have different lengths: {counts}")
        if self.truth.ndim != 2 or self.metadata.ndim != 2:
            raise ValueError(
                f"truth is {self.truth.shape} and metadata {self.metadata.shape}: give n x classes "
                "and n x M (M = 0 for none)"
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.shard)

    @classmethod
    def at(
        cls, paths: tuple[str, ...], places: Sequence[Sequence[Any]], truth: np.ndarray, group: int
    ) -> Rows:
        """Make rows, without metadata, of places: shard, offset, length, image id."""
        shard, offset, length, image_id = zip(*places, strict=True) if places else [()] * 4
        return cls(
            paths=paths,
            shard=np.array(shard, "int32"),
            offset=np.array(offset, "int64"),
            length=np.array(length, "int32"),
            image_id=np.array(image_id, object),
            truth=truth,
            metadata=np.zeros((len(places), 0), "float32"),
            group=np.full(len(places), group, "int32"),
        )

    @property
    def n_classes(self) -> int:
        """Return the number of classes."""
        return int(self.truth.shape[1])

    @property
    def labels(self) -> np.ndarray:
        """Return n class numbers: of soft truth the greatest share's."""
        return np.asarray(self.truth.argmax(axis=1))

    def with_metadata(self, metadata: np.ndarray) -> Rows:
        """Return the rows with n x M numbers of what is known of them besides their pictures."""
        return replace(self, metadata=np.asarray(metadata, dtype="float32"))

    def take(self, numbers: np.ndarray) -> Rows:
        """Return some rows, by number or by n booleans."""
        columns = {k: v[numbers] for k, v in vars(self).items() if k != "paths"}
        return Rows(self.paths, **columns)


def read_rows(
    paths: Iterable[str | Path], *, n_classes: int, group: int = OWN, labelled: bool = True
) -> Rows:
    """Read where the records of shards lie and what their labels are; no picture stays in memory.

    Args:
        paths: Shards, ours or Kaggle's.
        n_classes: Columns of the truth.
        group: Of all these rows.
        labelled: Whether every record must have a label. If not, truth is NaN where none is.

    Returns:
        Rows in file order, without metadata.

    Raises:
        RecordError: A shard is damaged.
        ValueError: There are no shards, or a record has no label or one beyond the classes.
    """
    names = tuple(str(path) for path in paths)
    if not names:
        raise ValueError("no shards to read: are there any of this fold and image size?")
    records = [(k, *row) for k, name in enumerate(names) for row in _read_shard(name)]
    targets = np.array([target for *_, target in records], "int64")
    _check_targets(targets, [image_id for *_, image_id, _ in records], n_classes, labelled)
    truth = np.full((len(targets), n_classes), np.nan, "float32")
    truth[targets >= 0] = np.eye(n_classes, dtype="float32")[targets[targets >= 0]]
    return Rows.at(names, [place for *place, _ in records], truth, group)


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Put rows one after another.

    Raises:
        ValueError: They differ in classes or metadata, or an image stands in two of them.
    """
    shapes = {(part.n_classes, part.metadata.shape[1]) for part in parts}
    if len(shapes) != 1:
        raise ValueError(
            f"rows of {sorted(shapes)} (classes, metadata columns) cannot be joined: "
            "give one or more rows of the same classes and metadata"
        )
    paths = tuple(dict.fromkeys(path for part in parts for path in part.paths))
    number = {path: k for k, path in enumerate(paths)}
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("offset", "length", "image_id", "truth", "metadata", "group")
    }
    renumbered = [np.array([number[p] for p in part.paths], "int32")[part.shard] for part in parts]
    ids, counts = np.unique(columns["image_id"].astype(str), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"image_id {str(ids[counts > 1][0])!r} stands in {counts.max()} rows "
            f"({(counts > 1).sum()} such ids): leave it out of one of the parts"
        )
    return Rows(paths, shard=np.concatenate(renumbered), **columns)


def read_places(
    path: str, keys: Sequence[str] = (), *, learnt: bool = False
) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    """Yield offset and length of each record of a shard, its image id and what else is asked for.

    Args:
        path: The shard.
        keys: What else is asked for.
        learnt: Whether its records will be learnt from, so that their pictures are looked at.

    Raises:
        RecordError: The shard is damaged, or a record holds what training cannot read.
    """
    for frame in read_frames(path, check=learnt):
        try:
            if not frame.intact:
                raise RecordError("CRC error: damaged data")
            example = decode_example(frame.data, KEYS if learnt else ("image_name", *keys))
            if learnt:
                check_pictures(example)
            if "target" in keys:
                example["target"] = read_target(example)
        except RecordError as error:
            where = f"{path}: record {frame.record} at byte {frame.offset}"
            raise RecordError(f"{where}: {error}") from None
        name = example.pop("image_name", b"")
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        yield frame.offset, len(frame.data), text or f"{path}::{frame.record}", example


def _read_shard(path: str) -> list[tuple[int, int, str, int]]:
    """Return offset, length, image id and target of each record."""
    rows = [
        (offset, length, name, example["target"])
        for offset, length, name, example in read_places(path, ("target",), learnt=True)
    ]
    check_count(path, len(rows))
    return rows


def _check_targets(
    targets: np.ndarray, image_id: Sequence[str], n_classes: int, labelled: bool
) -> None:
    wrong = (targets >= n_classes) | (labelled & (targets < 0))
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{image_id[first]} has no label, or one beyond the {n_classes} classes: target is "
            f"{targets[first]} ({wrong.sum()} of {len(targets)} records)"
        )


# Masked rows: where the records lie that hold a mask beside their picture.
#
# Labels play no part, so that shards made to learn diagnoses serve as well.


def read_mask_rows(
    paths: Iterable[str | Path], *, skip_maskless: bool = False, group: int = OWN
) -> Rows:
    """Read where the records of shards lie that have a mask; no picture stays in memory.

    Args:
        paths: Shards.
        skip_maskless: Whether to leave out records without a mask; compare the ids to list them.
        group: Of all these rows.

    Returns:
        Rows in file order, without truth (n x 0) and metadata.

    Raises:
        RecordError: A shard is damaged.
        ValueError: There are no shards, or a record has no mask (or, with `skip_maskless`, all).
    """
    names = tuple(str(path) for path in paths)
    if not names:
        raise ValueError("no shards to read: are there any of this fold and image size?")
    records, lost = [], []
    for number, name in enumerate(names):
        for at, size, image, example in read_places(name, ("mask",), learnt=True):
            if example.get("mask"):
                records.append((number, at, size, image))
            else:
                lost.append(f"{image} in {name}")
    if lost and (not skip_maskless or not records):
        raise ValueError(
            f"{lost[0]} has no mask ({len(lost)} of {len(records) + len(lost)} records): prepare "
            "the images with their masks (mask_path), or leave such records out (skip_maskless)"
        )
    return Rows.at(names, records, np.zeros((len(records), 0), "float32"), group)


def sample_mask_pairs(
    paths: Iterable[str | Path], *, image_size: int, n: int = 12
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Read the first pictures of shards that have a mask, to be looked at.

    Args:
        paths: Shards.
        image_size: Pixels on a side.
        n: Pairs at most.

    Returns:
        Image id to pixels (side x side x 3, uint8), and to mask (side x side, bool).

    Raises:
        PictureError: A picture or a mask is damaged.
        RecordError: A shard is damaged.
    """
    pixels: dict[str, np.ndarray] = {}
    masks: dict[str, np.ndarray] = {}
    pairs = (e for path in paths for e in read_examples(path, ("image_name", "image", "mask")))
    for example in islice((e for e in pairs if e.get("mask")), n):
        name = example["image_name"].decode(errors="replace")
        for key, pictures, how in (
            ("image", pixels, Image.Resampling.LANCZOS),
            ("mask", masks, Image.Resampling.BILINEAR),
        ):
            seen = decode_picture(example[key], f"{key} of {name}").pixels
            pictures[name] = np.asarray(fit_picture(seen, image_size, "squash", how))
    return pixels, {name: mask[..., 0] > 127 for name, mask in masks.items()}
