"""Batches from tiny shards: order, purity, padding, and what is refused."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from melnb.data import batches
from melnb.data.augmentation.draws import DRAWS
from melnb.data.batches import count_images, count_steps, predict_batches, train_batches
from melnb.data.shards.examples import write_shard

SIZE = 16
PER_SHARD = 7


def jpeg(grey: int, size: int = SIZE) -> bytes:
    """An even grey: JPEG keeps it to the bit, so an image's number can be read off its pixels."""
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (grey, grey, grey)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three shards of seven images, the n-th with all pixels 10 n and target n mod 3."""
    folder = tmp_path_factory.mktemp("shards")
    paths = [folder / f"fold{k}-00-{PER_SHARD}.tfrec" for k in range(3)]
    for k, path in enumerate(paths):
        numbers = range(PER_SHARD * k, PER_SHARD * (k + 1))
        write_shard(
            path,
            [
                {
                    "image": jpeg(10 * n),
                    "target": n % 3,
                    # words here, numbers in Kaggle's shards: neither may matter
                    "sex": b"female" if k else 1,
                }
                for n in numbers
            ],
        )
    return paths


def training(shards: list[Path], **more: Any) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The batches as (image numbers, draws, one-hot)."""
    given = {"image_size": SIZE, "batch_size": 5, "n_classes": 3, "seed": 1, "epochs": 3} | more
    return [
        (x["image"][:, 0, 0, 0] / 10, x["draws"], y)
        for x, y in train_batches(shards, **given).as_numpy_iterator()
    ]


def equal(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b)
        for a, b in zip(itertools.chain(*one), itertools.chain(*other), strict=True)
    )


def test_an_epoch_is_whole_batches_of_different_images_with_their_labels(
    shards: list[Path],
) -> None:
    got = training(shards)
    assert len(got) == 3 * (21 // 5)
    for epoch in range(3):
        numbers = np.concatenate([row[0] for row in got[4 * epoch : 4 * epoch + 4]])
        assert len(set(numbers)) == 20
        assert set(numbers) <= set(range(21))
    for numbers, draws, truth in got:
        np.testing.assert_array_equal(truth, np.eye(3)[numbers.astype(int) % 3])
        assert draws.shape == (5, DRAWS)
        assert draws.min() >= 0
        assert draws.max() < 1


def test_a_later_epoch_begun_afresh_is_the_same_to_the_bit(shards: list[Path]) -> None:
    whole = training(shards)
    tf.random.set_seed(99)  # the global seed must not matter
    assert equal(training(shards, first_epoch=1), whole[4:])
    assert equal(training(shards, first_epoch=2), whole[8:])


def test_epochs_and_seeds_differ_in_order_and_in_draws(shards: list[Path]) -> None:
    runs = [training(shards, seed=seed, epochs=2) for seed in (0, 1)]
    epochs = [run[4 * e : 4 * e + 4] for run in runs for e in (0, 1)]
    for one, other in itertools.combinations(epochs, 2):
        assert not equal([row[:1] for row in one], [row[:1] for row in other])
    draws = np.concatenate([row[1] for run in runs for row in run])
    assert len(np.unique(draws)) > 0.999 * draws.size
    assert draws.mean() == pytest.approx(0.5, abs=0.02)


def test_the_shuffle_window_is_a_size_and_every_place_is_reached(
    shards: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    firsts = {training(shards, seed=seed, epochs=1)[0][0][0] for seed in range(6)}
    assert len(firsts) > 2
    monkeypatch.setattr(batches, "WINDOW", 1)  # shards shuffled and read in turn, nothing more
    numbers = np.concatenate([row[0] for row in training(shards, epochs=1)])
    assert sorted(numbers[:3] // PER_SHARD) == [0, 1, 2]


def test_prediction_keeps_file_order_and_fills_the_last_batch(shards: list[Path]) -> None:
    got = list(predict_batches(shards, image_size=SIZE, batch_size=8).as_numpy_iterator())
    assert [len(batch["image"]) for batch in got] == [8, 8, 8]
    pixels = np.concatenate([batch["image"] for batch in got])
    np.testing.assert_array_equal(pixels[:21, 3, 5, 1], 10 * np.arange(21))
    assert not pixels[21:].any()


def test_views_follow_each_other_and_their_draws_hang_on_nothing_else(shards: list[Path]) -> None:
    def rows(batch_size: int, paths: list[Path], n_views: int) -> dict[str, np.ndarray]:
        got = list(
            predict_batches(
                paths, image_size=SIZE, batch_size=batch_size, n_views=n_views, seed=3
            ).as_numpy_iterator()
        )
        return {key: np.concatenate([batch[key] for batch in got]) for key in got[0]}

    three = rows(5, shards, 3)
    np.testing.assert_array_equal(three["view"][:63], np.tile(np.arange(3), 21))
    np.testing.assert_array_equal(three["image"][:63, 0, 0, 0], np.repeat(10 * np.arange(21), 3))
    two = rows(7, shards[:1], 2)
    np.testing.assert_array_equal(
        three["draws"][:63].reshape(21, 3, -1)[:7, :2], two["draws"].reshape(7, 2, -1)
    )
    assert len(np.unique(three["draws"][:63], axis=0)) == 63


def test_pictures_of_another_size_are_resized(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (4, 4, 3), "uint8")).resize((64, 64))
    stream = io.BytesIO()
    smooth.save(stream, "JPEG", quality=100, subsampling=0)
    path = tmp_path / "train00-1.tfrec"
    write_shard(path, [{"image": stream.getvalue()}])
    batch = next(predict_batches([path], image_size=16, batch_size=1).as_numpy_iterator())
    stream.seek(0)
    expected = Image.open(stream).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(batch["image"][0], np.asarray(expected, float), atol=1.5)


def test_decoding_equals_pillow(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), "uint8"))
    stream = io.BytesIO()
    noise.save(stream, "JPEG", quality=90)
    path = tmp_path / "train00-1.tfrec"
    write_shard(path, [{"image": stream.getvalue()}])
    batch = next(predict_batches([path], image_size=32, batch_size=1).as_numpy_iterator())
    difference = np.abs(batch["image"][0] - np.asarray(Image.open(stream), float))
    assert difference.mean() < 0.1  # two builds of one library may round apart
    assert difference.max() <= 3


def test_names_give_the_counts(shards: list[Path], tmp_path: Path) -> None:
    assert count_images(["gs://bucket/train00-2071.tfrec", "train01-9.tfrec"]) == 2080
    assert count_images(shards) == 21
    unnamed = tmp_path / "images-2020.x.tfrec"
    unnamed.write_bytes(shards[0].read_bytes())
    assert count_images([unnamed]) == PER_SHARD
    assert count_steps(shards, batch_size=5) == 4


def test_what_cannot_train_is_refused(shards: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"batch_size is 22 .* hold 21 images: lower batch_size"):
        training(shards, batch_size=22)
    with pytest.raises(ValueError, match="no shards to read"):
        predict_batches([], image_size=SIZE, batch_size=1)
    with pytest.raises(ValueError, match="seed is -1; use 0 to"):
        training(shards, seed=-1)
    wrong = tmp_path / "fold0-00-9.tfrec"
    wrong.write_bytes(shards[0].read_bytes())
    with pytest.raises(tf.errors.OpError, match="expected to contain 9 elements"):
        training([wrong], batch_size=1)


@pytest.mark.parametrize("target", [-1, 3])
def test_a_target_beyond_the_classes_is_refused(tmp_path: Path, target: int) -> None:
    path = tmp_path / "test-00-1.tfrec"
    write_shard(path, [{"image": jpeg(0), "target": target}])
    with pytest.raises(tf.errors.InvalidArgumentError, match="has no label"):
        training([path], batch_size=1)
