"""Shards to batches of tensors, by tf.data: by plan for training, in file order for prediction.

All that is random is a function of (seed, epoch, position): a run that was killed and is taken up
at an epoch sees the very pictures that it would have seen. A training record is read when its turn
comes, at its place in its shard, so that nothing holds the data set in memory, and what a plan
leaves out is not read at all.

The batches feed TensorFlow and JAX alike: JAX takes them as NumPy arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from melnb.data.augmentation.draws import DRAWS
from melnb.data.epochs.rows import Rows
from melnb.data.epochs.sampling import NATURAL, Sampling, count_steps, plan_epoch
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
    steps = count_steps(rows, batch_size=batch_size, sampling=sampling)
    _check_seed(seed)
    _check_truth(rows)
    read = _make_reader(rows)

    def plan(epoch: np.ndarray) -> np.ndarray:
        chosen = plan_epoch(rows, sampling=sampling, seed=seed, epoch=int(epoch))
        return chosen[: steps * batch_size].reshape(steps, batch_size)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        key = _key(seed, epoch)
        # Both NumPy functions are pure, and say so: else op determinism would read in one thread.
        numbers = tf.numpy_function(plan, [epoch], tf.int64, stateful=False)
        chunks = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(numbers, [steps, batch_size]))
        records = chunks.map(read, num_parallel_calls=tf.data.AUTOTUNE).unbatch().enumerate()
        images = records.map(
            lambda place, record: _training_row(record, _draws(key, place), image_size),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        batches = images.batch(batch_size, drop_remainder=True)
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
    names = _names(paths, seed)
    known = _known(metadata, count_images(paths))
    pictures = tf.data.TFRecordDataset(names).map(
        lambda record: _picture(_parse(record, {"image": tf.string})["image"], image_size),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    images = tf.data.Dataset.zip({"image": pictures, **known})

    def views_of(place: tf.Tensor, image: dict[str, tf.Tensor]) -> tf.data.Dataset:
        return tf.data.Dataset.range(n_views).map(
            lambda view: {
                **image,
                "draws": _draws(_key(seed, view), place),
                "view": tf.cast(view, tf.int32),
            }
        )

    rows = count_images(paths) * n_views
    views = images.enumerate().flat_map(views_of)
    filled = views.concatenate(_black(-rows % batch_size, views.element_spec))
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


def _make_reader(rows: Rows) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Return what reads the records of n row numbers, and all that is known of them."""
    files = ShardFiles()
    known = {"truth": rows.truth, "metadata": rows.metadata}
    known = {name: column for name, column in known.items() if column.shape[1]}

    def read(numbers: np.ndarray) -> list[np.ndarray]:
        places = zip(rows.shard[numbers], rows.offset[numbers], rows.length[numbers], strict=True)
        messages = [files.read_message(rows.paths[s], int(o), int(n)) for s, o, n in places]
        return [np.array(messages, object), *(column[numbers] for column in known.values())]

    def read_tensors(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        kinds = [tf.string, *(tf.float32 for _ in known)]
        messages, *columns = tf.numpy_function(read, [numbers], kinds, stateful=False)
        told = {
            name: tf.ensure_shape(column, [None, known[name].shape[1]])
            for name, column in zip(known, columns, strict=True)
        }
        return {"message": tf.ensure_shape(messages, [None]), "row": numbers, **told}

    return read_tensors


def _training_row(
    record: dict[str, tf.Tensor], draws: tf.Tensor, image_size: int
) -> dict[str, tf.Tensor]:
    image = _parse(record.pop("message"), {"image": tf.string})["image"]
    row = tf.cast(record.pop("row"), tf.int32)
    return {"image": _picture(image, image_size), "draws": draws, "row": row, **record}


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


def _known(metadata: np.ndarray | None, images: int) -> dict[str, tf.data.Dataset]:
    if metadata is None:
        return {}
    if len(metadata) != images:
        raise ValueError(
            f"metadata has {len(metadata)} rows for {images} images: give one for each, in file "
            "order"
        )
    return {"metadata": tf.data.Dataset.from_tensor_slices(metadata.astype("float32"))}


def _black(rows: int, specification: dict[str, tf.TensorSpec]) -> tf.data.Dataset:
    row = {name: tf.zeros(spec.shape, spec.dtype) for name, spec in specification.items()}
    return tf.data.Dataset.from_tensors(row).repeat(rows)


def _ordered(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return dataset.with_options(options)
