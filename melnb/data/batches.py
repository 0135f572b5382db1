"""Shards to batches of tensors, by tf.data: shuffled for training, in file order for prediction.

All that is random is a function of (seed, epoch, position): a run that was killed and is taken up
at an epoch sees the very pictures that it would have seen. Nothing holds the data set in memory,
only a window of encoded pictures while shuffling.

The batches feed TensorFlow and JAX alike: JAX takes them as NumPy arrays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from melnb.data.augmentation.draws import DRAWS
from melnb.data.shards.examples import count_examples

WINDOW = 2048  # encoded pictures in the shuffle buffer: a size, never the seed
SHARDS_AT_ONCE = 16  # read in turn, one picture of each
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
    paths: Sequence[str | Path],
    *,
    image_size: int,
    batch_size: int,
    n_classes: int,
    seed: int,
    epochs: int,
    first_epoch: int = 0,
) -> Any:
    """Make the batches of epochs first_epoch to epochs - 1, one after another.

    Each epoch shuffles the shards, reads several in turn, and shuffles a window of pictures; the
    images that do not fill a last batch are other ones each time.

    Args:
        paths: Training shards; their targets are indices of classes.
        image_size: Pixels on a side; pictures of another size are resized.
        batch_size: Images in a batch, over all replicas.
        n_classes: Columns of the truth.
        seed: Of every random choice, 0 to 2^31 - 1.
        epochs: Where to end, from the start of the run.
        first_epoch: Where to begin, from 0.

    Returns:
        A tf.data.Dataset of ({"image": batch x size x size x 3 float32 0-255, "draws": batch x
        DRAWS float32}, batch x n_classes float32 one-hot), `count_steps` batches an epoch.

    Raises:
        ValueError: There are fewer images than a batch, or the seed is out of bounds.
        tf.errors.OpError: (While reading) a name tells a wrong count, a picture is damaged or has
            no label.
    """
    steps = count_steps(paths, batch_size=batch_size)
    names = _names(paths, seed)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        tf.random.set_seed(1)  # of this traced function: the order must not hang on the global seed
        key = _key(seed, epoch)
        order = tf.random.stateless_uniform([], [key, -2], maxval=_MOST_SEED, dtype=tf.int64)
        shards = tf.random.experimental.stateless_shuffle(names, seed=[key, -1])
        records = tf.data.Dataset.from_tensor_slices(shards).interleave(
            tf.data.TFRecordDataset,
            cycle_length=min(SHARDS_AT_ONCE, len(names)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        records = records.shuffle(WINDOW, seed=order, reshuffle_each_iteration=False)
        rows = records.enumerate().map(
            lambda place, record: _training_row(record, key, place, image_size, n_classes),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        batches = rows.batch(batch_size, drop_remainder=True)
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
    if not 0 <= seed < _MOST_SEED:
        raise ValueError(f"seed is {seed}; use 0 to {_MOST_SEED - 1}")
    return [str(path) for path in paths]


def _training_row(
    record: tf.Tensor, key: tf.Tensor, place: tf.Tensor, image_size: int, n_classes: int
) -> Any:
    example = _parse(record, {"image": tf.string, "target": tf.int64})
    target = example["target"]
    known = tf.debugging.Assert(
        (target >= 0) & (target < n_classes),
        ["a training record has no label, or one beyond the classes: target is", target],
    )
    with tf.control_dependencies([known]):
        truth = tf.one_hot(target, n_classes)
    image = _picture(example["image"], image_size)
    return {"image": image, "draws": _draws(key, place)}, truth


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
