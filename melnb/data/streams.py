"""Streams: records as they come, by plan or in file order, whatever is decoded from them.

All that is random is a function of (seed, epoch, position): a run that was killed and is taken up
at an epoch sees the very pictures that it would have seen. A training record is read when its turn
comes, at its place in its shard, so that nothing holds the data set in memory, and what a plan
leaves out is not read at all.

The batches feed TensorFlow and JAX alike: JAX takes them as NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from melnb.data.augmentation.draws import DRAWS
from melnb.data.epochs.sampling import NATURAL, Sampling, count_steps, plan_epoch
from melnb.data.epochs.training_rows import Rows
from melnb.data.shards.examples import ShardFiles, count_examples
from melnb.data.shards.messages import check_count, told_count

Decode = Callable[[dict[str, tf.Tensor], tf.Tensor], dict[str, tf.Tensor]]
"""From a record (`message`, `row`, all that is known of it) and its draws to what is learnt."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_MOST_SEED = 2**31


def as_written(function: _Function) -> _Function:
    """Let TensorFlow trace a function as it stands.

    No `if` of a stream hangs on a tensor, and to look for one takes a second of each training.
    """
    traced: _Function = tf.autograph.experimental.do_not_convert(function)
    return traced


def count_images(paths: Sequence[str | Path]) -> int:
    """Count the images of shards by their headers; of shards elsewhere (gs://) by their names.

    Raises:
        RecordError: A shard holds other than its name tells (`fold0-00-512.tfrec` tells 512).
    """
    elsewhere = [told_count(str(path)) if "://" in str(path) else None for path in paths]
    counts = zip(paths, elsewhere, strict=True)
    return sum(
        check_count(str(path), count_examples(path)) if count is None else count
        for path, count in counts
    )


def planned_batches(
    rows: Rows,
    decode: Decode,
    *,
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
        decode: Of one record; many are decoded at once.
        batch_size: Images in a batch, over all replicas.
        seed: Of every random choice, 0 to 2^31 - 1.
        epochs: Where to end, from the start of the run.
        first_epoch: Where to begin, from 0.
        sampling: Which rows an epoch is made of.

    Returns:
        A tf.data.Dataset of whole batches, `count_steps(rows, ...)` an epoch.

    Raises:
        ValueError: There are fewer images than a batch, or the seed is out of bounds.
    """
    steps = count_steps(rows, batch_size=batch_size, sampling=sampling)
    check_seed(seed)
    read = _make_reader(rows)

    def plan(epoch: np.ndarray) -> np.ndarray:
        chosen = plan_epoch(rows, sampling=sampling, seed=seed, epoch=int(epoch))
        return chosen[: steps * batch_size].reshape(steps, batch_size)

    @as_written
    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        key = join_key(seed, epoch)
        # Both NumPy functions are pure, and say so: else op determinism would read in one thread.
        numbers = tf.numpy_function(plan, [epoch], tf.int64, stateful=False)
        chunks = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(numbers, [steps, batch_size]))
        records = chunks.map(read, num_parallel_calls=tf.data.AUTOTUNE).unbatch().enumerate()
        images = records.map(
            lambda place, record: decode(record, make_draws(key, place)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        batches = images.batch(batch_size, drop_remainder=True)
        return batches.apply(tf.data.experimental.assert_cardinality(steps))

    every = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_batches)
    return _ordered(every).prefetch(tf.data.AUTOTUNE)


def filled_batches(rows: tf.data.Dataset, count: int, *, batch_size: int) -> Any:
    """Make the batches of one pass, the last one filled up with rows of zeros.

    So each has its full size on every device: cut the result after `count` rows.

    Args:
        rows: Dictionaries of tensors, in order.
        count: How many there are.
        batch_size: Rows in a batch, over all replicas.

    Returns:
        A tf.data.Dataset of batches.
    """
    filled = rows.concatenate(_black(-count % batch_size, rows.element_spec))
    batches = filled.batch(batch_size, drop_remainder=True)
    counted = tf.data.experimental.assert_cardinality(-(-count // batch_size))
    return _ordered(batches).apply(counted).prefetch(tf.data.AUTOTUNE)


def check_shards(paths: Sequence[str | Path], seed: int = 0) -> list[str]:
    """Return the names of shards to be read in file order.

    Raises:
        ValueError: There are none, or the seed is out of bounds.
    """
    if not paths:
        raise ValueError("no shards to read: are there any of this fold and image size?")
    check_seed(seed)
    return [str(path) for path in paths]


def check_seed(seed: int) -> None:
    """Refuse a seed that could not be joined with an epoch into one number."""
    if not 0 <= seed < _MOST_SEED:
        raise ValueError(f"seed is {seed}; use 0 to {_MOST_SEED - 1}")


def parse_record(
    record: tf.Tensor, keys: dict[str, Any], defaults: dict[str, Any] | None = None
) -> dict[str, tf.Tensor]:
    """Parse those keys alone: of the others the type differs between writers.

    Args:
        record: A message.
        keys: Key to the type of its one value.
        defaults: Key to the value where a record has none.

    Raises:
        tf.errors.InvalidArgumentError: (While reading) there is no such key, and no default.
    """
    features = {
        key: tf.io.FixedLenFeature([], kind, (defaults or {}).get(key))
        for key, kind in keys.items()
    }
    return dict(tf.io.parse_single_example(record, features))


def decode_jpeg(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decode a picture: size x size x 3, float32, 0-255; one of another size is resized."""
    # The accurate transform is Pillow's: other readers of the same shard see the same pixels.
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    return resize(image, size)


def resize(image: tf.Tensor, size: int) -> tf.Tensor:
    """Return pixels as float32 with that many on a side, as they are if they have them."""
    resized = tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == size),
        lambda: tf.cast(image, tf.float32),
        lambda: tf.image.resize(image, [size, size], antialias=True),
    )
    return tf.ensure_shape(resized, [size, size, image.shape[2]])


def join_key(seed: int, number: tf.Tensor) -> tf.Tensor:
    """Join the seed and an epoch (or a view) into one, no two of which are the same."""
    return tf.cast(number, tf.int64) * _MOST_SEED + seed


def make_draws(key: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Return the draws of the image at a place: DRAWS numbers, uniform in [0, 1)."""
    return tf.random.stateless_uniform([DRAWS], tf.stack([key, place]), alg="philox")


def _make_reader(rows: Rows) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Return what reads the records of n row numbers, and all that is known of them."""
    files = ShardFiles()
    extras = {"truth": rows.truth, "metadata": rows.metadata}
    extras = {name: column for name, column in extras.items() if column.shape[1]}

    def read(numbers: np.ndarray) -> list[np.ndarray]:
        places = zip(rows.shard[numbers], rows.offset[numbers], rows.length[numbers], strict=True)
        messages = [files.read_message(rows.paths[s], int(o), int(n)) for s, o, n in places]
        return [np.array(messages, object), *(column[numbers] for column in extras.values())]

    def read_tensors(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        kinds = [tf.string, *(tf.float32 for _ in extras)]
        messages, *columns = tf.numpy_function(read, [numbers], kinds, stateful=False)
        features = {
            name: tf.ensure_shape(column, [None, extras[name].shape[1]])
            for name, column in zip(extras, columns, strict=True)
        }
        return {"message": tf.ensure_shape(messages, [None]), "row": numbers, **features}

    return read_tensors


def _black(rows: int, specification: dict[str, tf.TensorSpec]) -> tf.data.Dataset:
    row = {name: tf.zeros(spec.shape, spec.dtype) for name, spec in specification.items()}
    return tf.data.Dataset.from_tensors(row).repeat(rows)


def _ordered(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return dataset.with_options(options)
