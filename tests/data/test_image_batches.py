"""Batches from tiny shards: order, purity, padding, and what is refused."""

import io
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from melnb.data.augmentation.draws import DRAWS
from melnb.data.batches import count_images, first_batches, predict_batches, train_batches
from melnb.data.epochs.sampling import Sampling, make_sampling, plan_epoch
from melnb.data.epochs.training_rows import Rows, read_rows
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


@pytest.fixture(scope="module")
def rows(shards: list[Path]) -> Rows:
    return read_rows(shards, n_classes=3)


def training(rows: Rows, **more: Any) -> list[dict[str, np.ndarray]]:
    """The batches, with the number of each image as its pixels tell it."""
    given = {"image_size": SIZE, "batch_size": 5, "seed": 1, "epochs": 3} | more
    return [
        {**batch, "number": (batch["image"][:, 0, 0, 0] / 10).astype(int)}
        for batch in train_batches(rows, **given).as_numpy_iterator()
    ]


def whole(batches: list[dict[str, np.ndarray]], key: str) -> np.ndarray:
    return np.concatenate([batch[key] for batch in batches])


def equal(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in a
    )


def test_an_epoch_is_whole_batches_of_different_images_with_their_labels(rows: Rows) -> None:
    got = training(rows)
    assert len(got) == 3 * (21 // 5)
    for epoch in range(3):
        numbers = whole(got[4 * epoch : 4 * epoch + 4], "number")
        assert len(set(numbers)) == 20
        assert set(numbers) <= set(range(21))
    for batch in got:
        assert set(batch) - {"number"} == {"image", "draws", "truth", "row"}
        assert batch["image"].shape == (5, SIZE, SIZE, 3)
        np.testing.assert_array_equal(batch["row"], batch["number"])
        np.testing.assert_array_equal(batch["truth"], np.eye(3)[batch["number"] % 3])
        assert batch["draws"].shape == (5, DRAWS)
        assert batch["draws"].min() >= 0
        assert batch["draws"].max() < 1
    kinds = {key: batch[key].dtype.name for key in ("image", "draws", "truth", "row")}
    assert kinds == {"image": "float32", "draws": "float32", "truth": "float32", "row": "int32"}


@pytest.mark.parametrize(("steps", "epochs"), [(3, 1), (4, 2), (9, 3)])
def test_the_first_batches_are_those_of_a_training(rows: Rows, steps: int, epochs: int) -> None:
    given = {"image_size": SIZE, "batch_size": 5, "seed": 1}
    first = first_batches(rows, steps=steps, **given).as_numpy_iterator()
    whole_run = train_batches(rows, epochs=epochs, **given).as_numpy_iterator()
    assert equal(list(first), list(whole_run))


def test_shapes_are_static(rows: Rows) -> None:
    rows = replace(rows, metadata=np.zeros((21, 2), "float32"))
    spec = train_batches(rows, image_size=SIZE, batch_size=5, seed=0, epochs=1).element_spec
    assert {name: tuple(one.shape) for name, one in spec.items()} == {
        "image": (5, SIZE, SIZE, 3), "draws": (5, DRAWS), "truth": (5, 3), "row": (5,),
        "metadata": (5, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling("balanced", balance=0.7),
        make_sampling("oversample", classes="abc", oversample={"b": 3}),
    ],
    ids=lambda s: s.kind,
)
def test_batches_follow_the_plan_and_a_later_epoch_begun_afresh_is_the_same(
    rows: Rows, sampling: Sampling
) -> None:
    got = training(rows, sampling=sampling)
    steps = len(got) // 3
    for epoch in range(3):
        plan = plan_epoch(rows, sampling=sampling, seed=1, epoch=epoch)
        seen = whole(got[steps * epoch : steps * (epoch + 1)], "number")
        np.testing.assert_array_equal(seen, plan[: 5 * steps])
    tf.random.set_seed(99)  # the global seed must not matter
    assert equal(training(rows, sampling=sampling, first_epoch=1), got[steps:])
    assert equal(training(rows, sampling=sampling, first_epoch=2), got[2 * steps :])


def test_epochs_and_seeds_differ_in_order_and_in_draws(rows: Rows) -> None:
    runs = [training(rows, seed=seed, epochs=2) for seed in (0, 1)]
    epochs = [run[4 * e : 4 * e + 4] for run in runs for e in (0, 1)]
    for one, other in itertools.combinations(epochs, 2):
        assert not np.array_equal(whole(one, "number"), whole(other, "number"))
    draws = np.concatenate([whole(run, "draws") for run in runs])
    assert len(np.unique(draws)) > 0.999 * draws.size
    assert draws.mean() == pytest.approx(0.5, abs=0.02)


def test_an_image_that_comes_twice_has_other_draws(rows: Rows) -> None:
    sampling = make_sampling("oversample", classes="abc", oversample={"a": 9})
    got = training(rows, sampling=sampling, epochs=1)
    assert len(set(whole(got, "number"))) <= 21 < len(whole(got, "number"))
    assert len(np.unique(whole(got, "draws"), axis=0)) == len(whole(got, "draws"))


def test_soft_truth_and_metadata_come_with_their_image(rows: Rows) -> None:
    rng = np.random.default_rng(0)
    soft = rng.dirichlet([1, 1, 1], 21).astype("float32")
    metadata = rng.normal(size=(21, 4)).astype("float32")
    got = training(replace(rows, truth=soft, metadata=metadata), epochs=1)
    np.testing.assert_array_equal(whole(got, "truth"), soft[whole(got, "number")])
    np.testing.assert_array_equal(whole(got, "metadata"), metadata[whole(got, "number")])


def test_nothing_but_the_planned_records_is_read(shards: list[Path], tmp_path: Path) -> None:
    """A damaged record does no harm until its turn comes, and then says where it lies."""
    path = tmp_path / "fold0-00-7.tfrec"
    path.write_bytes(shards[1].read_bytes())
    rows = read_rows([path], n_classes=3)
    data = bytearray(path.read_bytes())
    data[int(rows.offset[3]) + 40] ^= 1
    path.write_bytes(data)
    others = rows.take(np.arange(7) != 3)
    assert sorted(whole(training(others, batch_size=6, epochs=1), "number")) == [
        7, 8, 9, 11, 12, 13,
    ]  # fmt: skip
    message = rf"{path.name}: record at byte {rows.offset[3]}: CRC error: damaged data"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        training(rows, batch_size=7, epochs=1)


def test_a_shard_that_is_gone_is_named(shards: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "fold0-00-7.tfrec"
    path.write_bytes(shards[1].read_bytes())
    rows = read_rows([path], n_classes=3)
    path.unlink()
    with pytest.raises(tf.errors.OpError, match=path.name):
        training(rows, epochs=1)


def test_prediction_keeps_file_order_and_fills_the_last_batch(shards: list[Path]) -> None:
    got = list(predict_batches(shards, image_size=SIZE, batch_size=8).as_numpy_iterator())
    assert [len(batch["image"]) for batch in got] == [8, 8, 8]
    pixels = np.concatenate([batch["image"] for batch in got])
    np.testing.assert_array_equal(pixels[:21, 3, 5, 1], 10 * np.arange(21))
    assert not pixels[21:].any()


def test_metadata_is_predicted_with_its_image(shards: list[Path]) -> None:
    metadata = np.arange(42.0).reshape(21, 2)
    batches = predict_batches(
        shards, image_size=SIZE, batch_size=8, n_views=2, metadata=metadata
    ).as_numpy_iterator()
    got = np.concatenate([batch["metadata"] for batch in batches])
    assert got.shape == (48, 2)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[:42], np.repeat(metadata, 2, axis=0))
    assert not got[42:].any()
    with pytest.raises(ValueError, match="metadata has 20 rows for 21 images"):
        predict_batches(shards, image_size=SIZE, batch_size=8, metadata=metadata[1:])


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
    assert count_images(["gs://bucket/train00-2071.tfrec", "gs://b/fold0-01-9.tfrec"]) == 2080
    assert count_images(shards) == 21
    unnamed = tmp_path / "images-2020.x.tfrec"
    unnamed.write_bytes(shards[0].read_bytes())
    assert count_images([unnamed]) == PER_SHARD


def test_what_cannot_train_is_refused(shards: list[Path], rows: Rows) -> None:
    with pytest.raises(ValueError, match=r"batch_size is 22 .* holds 21 images: lower batch_size"):
        training(rows, batch_size=22)
    with pytest.raises(ValueError, match="no shards to read"):
        predict_batches([], image_size=SIZE, batch_size=1)
    with pytest.raises(ValueError, match="seed is -1; use 0 to"):
        training(rows, seed=-1)
    unknown = np.where(np.arange(21)[:, None] == 4, np.nan, rows.truth)
    with pytest.raises(ValueError, match=r"fold0-00-7.tfrec::4 has no label \(1 of 21"):
        training(replace(rows, truth=unknown))
