"""Batches: TFRecord shards to pictures with labels, or with masks.

What is random, what is read and when, is the business of `streams`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from melnb.data.epochs.sampling import NATURAL, Sampling, count_steps
from melnb.data.epochs.training_rows import Rows, read_places
from melnb.data.shards.examples import read_examples
from melnb.data.streams import (
    as_written,
    check_shards,
    count_images,
    decode_jpeg,
    filled_batches,
    join_key,
    make_draws,
    parse_record,
    planned_batches,
    resize,
)

# Shards to batches of pictures and masks: by plan for training, in file order for prediction.
#
# A mask is 1 where the lesion is and 0 elsewhere, at every size: where it had to be resized, as its
# picture was, it is cut at the half again.

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

    Order, draws and purity are those of `image_batches.train_batches`; what rows know of labels and
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
    held = {path: only.intersection(list_images([path])) for path in paths}
    shards = [path for path, names in held.items() if names]
    return shards, _wanted(paths, only, shards)


def _wanted(
    paths: Sequence[str], only: set[str], shards: Sequence[str] | None = None
) -> np.ndarray:
    """Return of each record of shards (all, or some of them) whether its image is wanted.

    Raises:
        ValueError: An image wanted is in none of them.
    """
    names = list_images(paths if shards is None else shards)
    if lost := only.difference(names):
        raise ValueError(
            f"{len(lost)} of {len(only)} images wanted are in none of {len(paths)} shards, the "
            f"first is {min(lost)}: make the records of all images again"
        )
    return np.array([name in only for name in names], bool)


def _decode_pair(record: tf.Tensor, size: int, place: tf.Tensor) -> dict[str, tf.Tensor]:
    kinds = {"image": tf.string, "mask": tf.string}
    encoded = parse_record(record, kinds, {"mask": ""})
    lost = tf.strings.format("image {} (from 0) has no mask: leave it out", place)
    there = tf.debugging.Assert(tf.strings.length(encoded["mask"]) > 0, [lost])
    with tf.control_dependencies([there]):
        levels = resize(tf.io.decode_png(encoded["mask"], channels=1), size)
    mask = tf.cast(levels > _LESION, tf.float32)
    return {"image": decode_jpeg(encoded["image"], size), "mask": mask}


def train_batches(
    rows: Rows,
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int = 0,
    sampling: Sampling = NATURAL,
) -> Any:
    """Make the batches of epochs first_epoch to epochs - 1, one after another.

    Each epoch follows its plan (`sampling.plan_epoch`), and no record is read that is not in it.
    The images that do not fill a last batch are other ones each time.

    Args:
        rows: To learn from.
        image_size: Pixels on a side; pictures of another size are resized.
        batch_size: Images in a batch, over all replicas.
        seed: Of every random choice, 0 to 2^31 - 1.
        epochs: Where to end, from the start of the run.
        first_epoch: Where to begin, from 0.
        sampling: Which rows an epoch is made of.

    Returns:
        A tf.data.Dataset, `count_steps(rows, ...)` batches an epoch, of {"image": batch x size x
        size x 3 float32 0-255, "draws": batch x DRAWS float32, "truth": batch x classes float32,
        "row": batch int32, the number in `rows`} and, if rows have metadata, "metadata": batch x M
        float32.

    Raises:
        ValueError: There are fewer images than a batch, truth is unknown, or the seed is out of
            bounds.
        tf.errors.OpError: (While reading) a record or a picture is damaged, or a shard is gone.
    """

    def decode(record: dict[str, tf.Tensor], draws: tf.Tensor) -> dict[str, tf.Tensor]:
        encoded = parse_record(record.pop("message"), {"image": tf.string})["image"]
        row = tf.cast(record.pop("row"), tf.int32)
        return {"image": decode_jpeg(encoded, image_size), "draws": draws, "row": row, **record}

    batches = planned_batches(
        rows, decode, batch_size=batch_size, seed=seed, epochs=epochs, first_epoch=first_epoch,
        sampling=sampling,
    )  # fmt: skip
    _check_truth(rows)
    return batches


def first_batches(
    rows: Rows,
    *,
    steps: int,
    image_size: int,
    batch_size: int,
    seed: int,
    sampling: Sampling = NATURAL,
) -> Any:
    """Make the batches of as many whole epochs as so many steps need; else as `train_batches`."""
    epochs = 1 + steps // count_steps(rows, batch_size=batch_size, sampling=sampling)
    return train_batches(
        rows, image_size=image_size, batch_size=batch_size, seed=seed, epochs=epochs,
        sampling=sampling,
    )  # fmt: skip


def predict_batches(
    paths: Sequence[str | Path],
    *,
    image_size: int,
    batch_size: int,
    n_views: int = 1,
    seed: int = 0,
    metadata: np.ndarray | None = None,
    only: Collection[str] | None = None,
) -> Any:
    """Make the batches of one pass in file order, every image n_views times in a row.

    An image is decoded once for all its views. The last batch is filled up with black pictures, so
    that each has its full size on every device: cut the result after `count_images(paths)` x
    n_views rows, or those of `only`.

    Args:
        paths: Shards, labelled or not.
        image_size: Pixels on a side; pictures of another size are resized.
        batch_size: Rows in a batch, over all replicas.
        n_views: Rows for each image.
        seed: Of the draws, which are a function of (seed, view, position of the image).
        metadata: n x M numbers of all images, in file order; None: none.
        only: The ids of the images wanted; no other is decoded, and their draws are those that they
            have among all. None: all.

    Returns:
        A tf.data.Dataset of {"image": batch x size x size x 3 float32 0-255, "draws": batch x
        DRAWS float32, "view": batch int32 from 0 to n_views - 1} and, if given, "metadata": batch
        x M float32.

    Raises:
        ValueError: There are no shards, or not as many rows of metadata as images, or not every
            image of `only` is in one.
    """
    names = check_shards(paths, seed)
    images = count_images(paths)
    columns = _known(metadata, images)

    @as_written
    def decode(place: tf.Tensor, row: dict[str, tf.Tensor]) -> tuple[tf.Tensor, Any]:
        encoded = parse_record(row["image"], {"image": tf.string})["image"]
        return place, {**row, "image": decode_jpeg(encoded, image_size)}

    records = tf.data.Dataset.zip({"image": tf.data.TFRecordDataset(names), **columns}).enumerate()
    if only is not None:
        chosen = _wanted(names, set(only))
        wanted_places, images = tf.constant(chosen), int(chosen.sum())
        records = records.filter(as_written(lambda place, _: wanted_places[place]))
    pictures = records.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    rows = _view_rows(pictures, n_views, seed)
    return filled_batches(rows, images * n_views, batch_size=batch_size)


def encoded_batches(
    encoded: Sequence[bytes], *, image_size: int, batch_size: int, n_views: int = 1
) -> Any:
    """Make the batches of one pass over pictures in memory, every one n_views times in a row.

    Args:
        encoded: JPEGs, one or more.
        image_size: Pixels on a side; pictures of another size are resized.
        batch_size: Rows in a batch, over all replicas; the last is filled up.
        n_views: Rows for each picture.

    Returns:
        A tf.data.Dataset as that of `predict_batches`.
    """

    @as_written
    def decode(picture: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image": decode_jpeg(picture, image_size)}

    pictures = tf.data.Dataset.from_tensor_slices(list(encoded))
    pictures = pictures.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    rows = _view_rows(pictures.enumerate(), n_views, seed=0)
    return filled_batches(rows, len(encoded) * n_views, batch_size=batch_size)


def _view_rows(images: tf.data.Dataset, n_views: int, seed: int) -> tf.data.Dataset:
    """Make a row of each view of each image, which comes with its place: number and draws."""

    @as_written
    def views_of(place: tf.Tensor, image: dict[str, tf.Tensor]) -> tf.data.Dataset:
        return tf.data.Dataset.range(n_views).map(
            lambda view: {
                **image,
                "draws": make_draws(join_key(seed, view), place),
                "view": tf.cast(view, tf.int32),
            }
        )

    return images.flat_map(views_of)


def _check_truth(rows: Rows) -> None:
    unknown = ~np.isfinite(rows.truth).all(axis=1)
    if unknown.any():
        raise ValueError(
            f"{rows.image_id[int(unknown.argmax())]} has no label ({unknown.sum()} of {len(rows)} "
            "training rows): leave such rows out"
        )


def _known(metadata: np.ndarray | None, images: int) -> dict[str, tf.data.Dataset]:
    if metadata is None:
        return {}
    if len(metadata) != images:
        raise ValueError(
            f"metadata has {len(metadata)} rows for {images} images: give one for each, in file "
            "order"
        )
    return {"metadata": tf.data.Dataset.from_tensor_slices(metadata.astype("float32"))}
