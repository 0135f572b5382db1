"""Shards to batches of tensors, by tf.data: by plan for training, in file order for prediction.

All that is random is a function of (seed, epoch, position): a run that was killed and is taken up
at an epoch sees the very pictures that it would have seen. A training record is read when its turn
comes, at its place in its shard, so that nothing holds the data set in memory, and what a plan
leaves out is not read at all.

The batches feed TensorFlow and JAX alike: JAX takes them as NumPy arrays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from melnb.data.augmentation.draws import DRAWS
from melnb.data.rows import Rows
from melnb.data.sampling import NATURAL, Sampling, plan_epoch
from melnb.data.sampling import count_steps as count_planned
from melnb.data.shards.access import ShardFiles
from melnb.data.shards.examples import count_examples

_COUNT = re.compile(r"-(\d+)\.[^./]+$")
_MOST_SEED = 2**31


def count_images(paths: Sequence[str | Path]) -> int:
    """Count the images of shards by their names (`fold0-00-512.tfrec` holds 512).

    A local shard whose name gives no count is counted by its headers.
    """
    counts = [(path, _COUNT.search(str(path))) for path in paths]
    return sum(int(found[1]) if found else count_examples(path) for path, found in counts)


def count_steps(paths: Sequence[str | Path], *, batch_size: int) -> int:
    """Count the whole batches in one pass over training shards.

    Raises:
        ValueError: There is not even one.
    """
    images = count_images(paths)
    if images < batch_size:
        raise ValueError(
            f"batch_size is {batch_size} over all replicas, but the {len(paths)} training shards "
            f"hold {images} images: lower batch_size, for training batches are whole"
        )
    return images // batch_size


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
    steps = count_planned(rows, batch_size=batch_size, sampling=sampling)
    _check_seed(seed)
    _check_truth(rows)
    files = ShardFiles()
    # TensorFlow crashes on columns of no width.
    kinds = [tf.string, tf.float32, *([tf.float32] if rows.metadata.shape[1] else [])]

    def plan(epoch: np.ndarray) -> np.ndarray:
        chosen = plan_epoch(rows, sampling=sampling, seed=seed, epoch=int(epoch))
        return chosen[: steps * batch_size].reshape(steps, batch_size)

    def read(numbers: np.ndarray) -> tuple[np.ndarray, ...]:
        places = zip(rows.shard[numbers], rows.offset[numbers], rows.length[numbers], strict=True)
        messages = [files.read_message(rows.paths[s], int(o), int(n)) for s, o, n in places]
        told = [rows.truth[numbers], rows.metadata[numbers]][: len(kinds) - 1]
        return np.array(messages, object), *told

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        key = _key(seed, epoch)
        numbers = tf.ensure_shape(tf.numpy_function(plan, [epoch], tf.int64), [steps, batch_size])
        chunks = tf.data.Dataset.from_tensor_slices(numbers).map(
            lambda n: (n, *tf.numpy_function(read, [n], kinds)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        planned = (
            chunks.unbatch()
            .enumerate()
            .map(
                lambda place, row: _training_row(row, _draws(key, place), rows, image_size),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        )
        batches = planned.batch(batch_size, drop_remainder=True)
        return batches.apply(tf.data.experimental.assert_cardinality(steps))

    every = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_batches)
    return _ordered(every).prefetch(tf.data.AUTOTUNE)


def predict_batches(
    paths: Sequence[str | Path],
    *,
    image_size: int,
    batch_size: int,
    n_views: int = 1,
    seed: int = 0,
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

    Returns:
        A tf.data.Dataset of {"image": batch x size x size x 3 float32 0-255, "draws": batch x
        DRAWS float32, "view": batch int32 from 0 to n_views - 1}.
    """
    names = _names(paths, seed)
    images = tf.data.TFRecordDataset(names).map(
        lambda record: _picture(_parse(record, {"image": tf.string})["image"], image_size),
        num_parallel_calls=tf.data.AUTOTUNE,
    )

    def views_of(place: tf.Tensor, image: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.range(n_views).map(
            lambda view: {
                "image": image,
                "draws": _draws(_key(seed, view), place),
                "view": tf.cast(view, tf.int32),
            }
        )

    rows = count_images(paths) * n_views
    filled = (
        images.enumerate().flat_map(views_of).concatenate(_black(-rows % batch_size, image_size))
    )
    batches = filled.batch(batch_size, drop_remainder=True)
    known = tf.data.experimental.assert_cardinality(-(-rows // batch_size))
    return _ordered(batches).apply(known).prefetch(tf.data.AUTOTUNE)


def _names(paths: Sequence[str | Path], seed: int) -> list[str]:
    if not paths:
        raise ValueError("no shards to read: are there any of this fold and image size?")
    _check_seed(seed)
    return [str(path) for path in paths]


def _check_seed(seed: int) -> None:
    if not 0 <= seed < _MOST_SEED:
        raise ValueError(f"seed is {seed}; use 0 to {_MOST_SEED - 1}")


def _check_truth(rows: Rows) -> None:
    unknown = ~np.isfinite(rows.truth).all(axis=1)
    if unknown.any():
        raise ValueError(
            f"{rows.image_id[int(unknown.argmax())]} has no label ({unknown.sum()} of {len(rows)} "
            "training rows): leave such rows out"
        )


def _training_row(
    row: tuple[tf.Tensor, ...], draws: tf.Tensor, rows: Rows, image_size: int
) -> dict[str, tf.Tensor]:
    number, message, truth, *metadata = row
    fields = {
        "image": _picture(_parse(message, {"image": tf.string})["image"], image_size),
        "draws": draws,
        "truth": tf.ensure_shape(truth, [rows.n_classes]),
        "row": tf.cast(number, tf.int32),
    }
    if metadata:
        fields["metadata"] = tf.ensure_shape(metadata[0], [rows.metadata.shape[1]])
    return fields


def _parse(record: tf.Tensor, keys: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Parse those keys alone: of the others the type differs between writers."""
    features = {key: tf.io.FixedLenFeature([], kind) for key, kind in keys.items()}
    return dict(tf.io.parse_single_example(record, features))


def _picture(encoded: tf.Tensor, size: int) -> tf.Tensor:
    # The accurate transform is Pillow's: other readers of the same shard see the same pixels.
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    image = tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == size),
        lambda: tf.cast(image, tf.float32),
        lambda: tf.image.resize(image, [size, size], antialias=True),
    )
    return tf.ensure_shape(image, [size, size, 3])


def _key(seed: int, number: tf.Tensor) -> tf.Tensor:
    """Join the seed and an epoch (or a view) into one, no two of which are the same."""
    return tf.cast(number, tf.int64) * _MOST_SEED + seed


def _draws(key: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform([DRAWS], tf.stack([key, place]), alg="philox")


def _black(rows: int, image_size: int) -> tf.data.Dataset:
    row = {
        "image": tf.zeros([image_size, image_size, 3]),
        "draws": tf.zeros([DRAWS]),
        "view": tf.zeros([], tf.int32),
    }
    return tf.data.Dataset.from_tensors(row).repeat(rows)


def _ordered(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return dataset.with_options(options)
