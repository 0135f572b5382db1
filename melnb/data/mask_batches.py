"""Shards to batches of pictures and masks: by plan for training, in file order for prediction.

A mask is 1 where the lesion is and 0 elsewhere, at every size: where it had to be resized, as its
picture was, it is cut at the half again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from melnb.data.epochs.rows import Rows, read_places
from melnb.data.shards.examples import read_examples
from melnb.data.streams import (
    as_written,
    check_shards,
    count_images,
    decode_jpeg,
    filled_batches,
    parse_record,
    planned_batches,
    resize,
)

_LESION = 127.0  # above it a level of 0 to 255 is lesion, as in `pictures.read_mask`


def train_mask_batches(
    rows: Rows,
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int = 0,
) -> Any:
    """Make the batches of epochs first_epoch to epochs - 1, one after another.

    Order, draws and purity are those of `batches.train_batches`; what rows know of labels and
    metadata is left out. Records without a mask are told beforehand by
    `epochs.masked.read_mask_rows`.

    Args:
        rows: To learn from; each record has a mask.
        image_size: Pixels on a side; pictures and masks of another size are resized.
        batch_size: Images in a batch, over all replicas.
        seed: Of every random choice, 0 to 2^31 - 1.
        epochs: Where to end, from the start of the run.
        first_epoch: Where to begin, from 0.

    Returns:
        A tf.data.Dataset, `count_steps(rows, batch_size=...)` batches an epoch, of {"image": batch
        x size x size x 3 float32 0-255, "mask": batch x size x size x 1 float32 0 or 1, "draws":
        batch x DRAWS float32, "row": batch int32, the number in `rows`}.

    Raises:
        ValueError: There are fewer images than a batch, or the seed is out of bounds.
        tf.errors.OpError: (While reading) a record, a picture or a mask is damaged, a record has no
            mask, or a shard is gone.
    """

    def decode(record: dict[str, tf.Tensor], draws: tf.Tensor) -> dict[str, tf.Tensor]:
        row = tf.cast(record["row"], tf.int32)
        return {**_decode_pair(record["message"], image_size, row), "draws": draws, "row": row}

    return planned_batches(
        rows, decode, batch_size=batch_size, seed=seed, epochs=epochs, first_epoch=first_epoch
    )


def predict_mask_batches(
    paths: Sequence[str | Path],
    *,
    image_size: int,
    batch_size: int,
    masks: bool | None = None,
    only: Collection[str] | None = None,
) -> Any:
    """Make the batches of one pass in file order.

    The last batch is filled up with black pictures and empty masks, so that each has its full size
    on every device: cut the result after `count_images(paths)` rows, or those of `only`.

    Args:
        paths: Shards, with masks or without.
        image_size: Pixels on a side; pictures and masks of another size are resized.
        batch_size: Rows in a batch, over all replicas.
        masks: Whether every record has a mask that is wanted; None: as the first record has.
        only: The ids of the images wanted; no other is decoded. None: all.

    Returns:
        A tf.data.Dataset of {"image": batch x size x size x 3 float32 0-255} and, with masks,
        "mask": batch x size x size x 1 float32 0 or 1.

    Raises:
        ValueError: There are no shards, or not every image of `only` is in one.
        tf.errors.OpError: (While reading) a record, a picture or a mask is damaged, or one of the
            records has no mask although masks are wanted.
    """
    names = check_shards(paths)
    wanted = has_masks(paths) if masks is None else masks

    @as_written
    def decode(place: tf.Tensor, record: tf.Tensor) -> dict[str, tf.Tensor]:
        if wanted:
            return _decode_pair(record, image_size, place)
        encoded = parse_record(record, {"image": tf.string})["image"]
        return {"image": decode_jpeg(encoded, image_size)}

    if only is None:
        records, count = tf.data.TFRecordDataset(names).enumerate(), count_images(paths)
    else:
        names, chosen = _choose(names, set(only))
        wanted_places, count = tf.constant(chosen), int(chosen.sum())
        records = tf.data.TFRecordDataset(names).enumerate()
        records = records.filter(as_written(lambda place, _: wanted_places[place]))
    images = records.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    return filled_batches(images, count, batch_size=batch_size)


def list_images(paths: Sequence[str | Path], only: Collection[str] | None = None) -> list[str]:
    """Return the image ids of shards in file order, all or those asked for; nothing is decoded."""
    wanted = None if only is None else set(only)
    every = (name for path in paths for _, _, name, _ in read_places(str(path)))
    return [name for name in every if wanted is None or name in wanted]


def has_masks(paths: Sequence[str | Path]) -> bool:
    """Return whether the first record of shards has a mask; no other is read."""
    first = (example for path in paths for example in read_examples(path, keys=("mask",)))
    return bool(next(first, {}).get("mask"))


def _choose(paths: Sequence[str], only: set[str]) -> tuple[list[str], np.ndarray]:
    """Return the shards that hold wanted images, and of each record of them whether it is one."""
    shards, chosen, lost = [], [np.zeros(0, bool)], set(only)
    for path in paths:
        names = list_images([path])
        if not only.isdisjoint(names):
            shards.append(path)
            chosen.append(np.array([name in only for name in names]))
            lost.difference_update(names)
    if lost:
        raise ValueError(
            f"{len(lost)} of {len(only)} images wanted are in none of {len(paths)} shards, the "
            f"first is {min(lost)}: make the records of all images again"
        )
    return shards, np.concatenate(chosen)


def _decode_pair(record: tf.Tensor, size: int, place: tf.Tensor) -> dict[str, tf.Tensor]:
    kinds = {"image": tf.string, "mask": tf.string}
    encoded = parse_record(record, kinds, {"mask": ""})
    lost = tf.strings.format("image {} (from 0) has no mask: leave it out", place)
    there = tf.debugging.Assert(tf.strings.length(encoded["mask"]) > 0, [lost])
    with tf.control_dependencies([there]):
        levels = resize(tf.io.decode_png(encoded["mask"], channels=1), size)
    mask = tf.cast(levels > _LESION, tf.float32)
    return {"image": decode_jpeg(encoded["image"], size), "mask": mask}
