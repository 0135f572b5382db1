"""Shards to batches of pictures and labels: by plan for training, in file order for prediction.

What is random, what is read and when, is the business of `streams`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from melnb.data.epochs.rows import Rows
from melnb.data.epochs.sampling import NATURAL, Sampling
from melnb.data.streams import (
    as_written,
    check_shards,
    decode_jpeg,
    filled_batches,
    join_key,
    make_draws,
    parse_record,
    planned_batches,
)
from melnb.data.streams import count_images as count_images


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


def predict_batches(
    paths: Sequence[str | Path],
    *,
    image_size: int,
    batch_size: int,
    n_views: int = 1,
    seed: int = 0,
    metadata: np.ndarray | None = None,
) -> Any:
    """Make the batches of one pass in file order, every image n_views times in a row.

    An image is decoded once for all its views. The last batch is filled up with black pictures, so
    that each has its full size on every device: cut the result after `count_images(paths)` x
    n_views rows.

    Args:
        paths: Shards, labelled or not.
        image_size: Pixels on a side; pictures of another size are resized.
        batch_size: Rows in a batch, over all replicas.
        n_views: Rows for each image.
        seed: Of the draws, which are a function of (seed, view, position of the image).
        metadata: n x M numbers of the images, in file order; None: none.

    Returns:
        A tf.data.Dataset of {"image": batch x size x size x 3 float32 0-255, "draws": batch x
        DRAWS float32, "view": batch int32 from 0 to n_views - 1} and, if given, "metadata": batch
        x M float32.

    Raises:
        ValueError: There are no shards, or not as many rows of metadata as images.
    """
    names = check_shards(paths, seed)
    images = count_images(paths)
    known = _known(metadata, images)

    @as_written
    def decode(record: tf.Tensor) -> tf.Tensor:
        return decode_jpeg(parse_record(record, {"image": tf.string})["image"], image_size)

    pictures = tf.data.TFRecordDataset(names).map(decode, num_parallel_calls=tf.data.AUTOTUNE)

    @as_written
    def views_of(place: tf.Tensor, image: dict[str, tf.Tensor]) -> tf.data.Dataset:
        return tf.data.Dataset.range(n_views).map(
            lambda view: {
                **image,
                "draws": make_draws(join_key(seed, view), place),
                "view": tf.cast(view, tf.int32),
            }
        )

    views = tf.data.Dataset.zip({"image": pictures, **known}).enumerate().flat_map(views_of)
    return filled_batches(views, images * n_views, batch_size=batch_size)


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
