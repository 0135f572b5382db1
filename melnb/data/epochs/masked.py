"""Masked rows: where the records lie that hold a mask beside their picture.

Labels play no part, so that shards made to learn diagnoses serve as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from melnb.data.epochs.rows import OWN, Rows, read_places


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
    found, lost = [], []
    for number, name in enumerate(names):
        for at, size, image, example in read_places(name, ("mask",)):
            if example.get("mask"):
                found.append((number, at, size, image))
            else:
                lost.append(f"{image} in {name}")
    if lost and (not skip_maskless or not found):
        raise ValueError(
            f"{lost[0]} has no mask ({len(lost)} of {len(found) + len(lost)} records): prepare "
            "the images with their masks (mask_path), or leave such records out (skip_maskless)"
        )
    shard, offset, length, image_id = zip(*found, strict=True) if found else [()] * 4
    return Rows(
        paths=names,
        shard=np.array(shard, "int32"),
        offset=np.array(offset, "int64"),
        length=np.array(length, "int32"),
        image_id=np.array(image_id, object),
        truth=np.zeros((len(found), 0), "float32"),
        metadata=np.zeros((len(found), 0), "float32"),
        group=np.full(len(found), group, "int32"),
    )
