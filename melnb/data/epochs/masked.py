"""Masked rows: where the records lie that hold a mask beside their picture.

Labels play no part, so that shards made to learn diagnoses serve as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from melnb.data.epochs.rows import OWN, Rows, read_places
from melnb.data.pictures import decode_picture, fit_picture
from melnb.data.shards.examples import read_examples


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
        for at, size, image, example in read_places(name, ("mask",), learnt=True):
            if example.get("mask"):
                found.append((number, at, size, image))
            else:
                lost.append(f"{image} in {name}")
    if lost and (not skip_maskless or not found):
        raise ValueError(
            f"{lost[0]} has no mask ({len(lost)} of {len(found) + len(lost)} records): prepare "
            "the images with their masks (mask_path), or leave such records out (skip_maskless)"
        )
    return Rows.at(names, found, np.zeros((len(found), 0), "float32"), group)


def sample_pairs(
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
        for key, made, how in (
            ("image", pixels, Image.Resampling.LANCZOS),
            ("mask", masks, Image.Resampling.BILINEAR),
        ):
            seen = decode_picture(example[key], f"{key} of {name}").pixels
            made[name] = np.asarray(fit_picture(seen, image_size, "squash", how))
    return pixels, {name: mask[..., 0] > 127 for name, mask in masks.items()}
