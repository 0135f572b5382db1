"""Batches of pictures and masks from tiny shards: pairs stay pairs, order, purity, padding."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from melnb.data.augmentation.draws import DRAWS
from melnb.data.batches import (
    has_masks,
    list_images,
    predict_mask_batches,
    train_batches,
    train_mask_batches,
)
from melnb.data.epochs.sampling import plan_epoch
from melnb.data.epochs.training_rows import Rows, read_mask_rows
from melnb.data.shards.examples import write_shard

SIZE = 16
PER_SHARD = 5


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def disc(n: int, size: int = SIZE) -> np.ndarray:
    """A disc of radius n + 1: another mask for each image."""
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    return (np.hypot(x, y) <= n + 1).astype("uint8") * 255


def example(n: int, size: int = SIZE) -> dict[str, Any]:
    """Image n: all pixels 20 n, and the n-th disc."""
    grey = np.full((size, size, 3), 20 * n, "uint8")
    pair = {"image": encode(grey, "JPEG"), "mask": encode(disc(n, size))}
    return {**pair, "target": n % 2, "image_name": f"i{n}".encode()}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    paths = [folder / f"fold{k}-00-{PER_SHARD}.tfrec" for k in range(2)]
    for k, path in enumerate(paths):
        write_shard(path, [example(n) for n in range(PER_SHARD * k, PER_SHARD * (k + 1))])
    return paths


@pytest.fixture(scope="module")
def rows(shards: list[Path]) -> Rows:
    return read_mask_rows(shards)


def training(rows: Rows, **more: Any) -> list[dict[str, np.ndarray]]:
    given = {"image_size": SIZE, "batch_size": 4, "seed": 1, "epochs": 3} | more
    return list(train_mask_batches(rows, **given).as_numpy_iterator())


def whole(batches: list[dict[str, np.ndarray]], key: str) -> np.ndarray:
    return np.concatenate([batch[key] for batch in batches])


def test_pairs_follow_the_plan_and_a_later_epoch_begun_afresh_is_the_same(rows: Rows) -> None:
    got = training(rows)
    assert len(got) == 3 * 2
    for epoch in range(3):
        batches = got[2 * epoch : 2 * epoch + 2]
        plan = plan_epoch(rows, seed=1, epoch=epoch)[:8]
        np.testing.assert_array_equal(whole(batches, "row"), plan)
        np.testing.assert_array_equal(whole(batches, "image")[:, 3, 5, 1], 20 * plan)
        expected = np.stack([disc(n) for n in plan])[..., None] / 255
        np.testing.assert_array_equal(whole(batches, "mask"), expected)
    assert {key: (batch.shape, batch.dtype.name) for key, batch in got[0].items()} == {
        "image": ((4, SIZE, SIZE, 3), "float32"), "mask": ((4, SIZE, SIZE, 1), "float32"),
        "draws": ((4, DRAWS), "float32"), "row": ((4,), "int32"),
    }  # fmt: skip
    tf.random.set_seed(99)  # the global seed must not matter
    for one, other in zip(training(rows, first_epoch=1), got[2:], strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_pictures_and_draws_are_those_of_the_batches_with_labels(rows: Rows) -> None:
    masked = training(rows, epochs=1)
    plain = train_batches(rows, image_size=SIZE, batch_size=4, seed=1, epochs=1)
    for one, other in zip(masked, plain.as_numpy_iterator(), strict=True):
        assert set(one) - set(other) == {"mask"}
        for key in ("image", "draws", "row"):
            np.testing.assert_array_equal(one[key], other[key])


def test_shapes_are_static(rows: Rows, shards: list[Path]) -> None:
    spec = train_mask_batches(rows, image_size=8, batch_size=4, seed=0, epochs=1).element_spec
    assert tuple(spec["mask"].shape) == (4, 8, 8, 1)
    assert tuple(spec["image"].shape) == (4, 8, 8, 3)
    spec = predict_mask_batches(shards, image_size=8, batch_size=3).element_spec
    assert {name: tuple(one.shape) for name, one in spec.items()} == {
        "image": (3, 8, 8, 3), "mask": (3, 8, 8, 1),
    }  # fmt: skip


def test_prediction_keeps_file_order_and_fills_the_last_batch(shards: list[Path]) -> None:
    got = list(predict_mask_batches(shards, image_size=SIZE, batch_size=4).as_numpy_iterator())
    assert [len(batch["image"]) for batch in got] == [4, 4, 4]
    np.testing.assert_array_equal(whole(got, "image")[:10, 0, 0, 0], 20 * np.arange(10))
    expected = np.stack([disc(n) for n in range(10)])[..., None] / 255
    np.testing.assert_array_equal(whole(got, "mask")[:10], expected)
    assert not whole(got, "image")[10:].any()
    assert not whole(got, "mask")[10:].any()


@pytest.mark.parametrize("numbers", [[7, 2, 3], [9], [], list(range(10))])
def test_only_the_images_wanted_are_read(shards: list[Path], numbers: list[int]) -> None:
    only = [f"i{n}" for n in numbers]
    given = {"image_size": SIZE, "batch_size": 2, "only": only}
    got = list(predict_mask_batches(shards, **given).as_numpy_iterator())
    assert len(got) == -(-len(numbers) // 2)
    if numbers:
        seen = whole(got, "image")[: len(numbers), 0, 0, 0]
        np.testing.assert_array_equal(seen, 20 * np.sort(numbers))
    assert list_images(shards, only) == [f"i{n}" for n in sorted(numbers)]


def test_an_image_that_no_shard_holds_is_named(shards: list[Path]) -> None:
    assert list_images(shards) == [f"i{n}" for n in range(10)]
    with pytest.raises(ValueError, match=r"1 of 2 images wanted are in none of 2 .* first is i99"):
        predict_mask_batches(shards, image_size=SIZE, batch_size=2, only=["i99", "i3"])


def test_of_damaged_records_those_that_are_not_wanted_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "fold0-00-2.tfrec"
    write_shard(path, [example(1) | {"image": b"no JPEG"}, example(2)])
    (batch,) = predict_mask_batches([path], image_size=SIZE, batch_size=1, only={"i2"})
    assert batch["image"][0, 0, 0, 0] == 40


def test_a_mask_of_another_size_is_resized_as_its_picture_and_cut_at_the_half(
    tmp_path: Path,
) -> None:
    path = tmp_path / "fold0-00-1.tfrec"
    write_shard(path, [example(9, size=32)])
    batch = next(predict_mask_batches([path], image_size=16, batch_size=1).as_numpy_iterator())
    filtered = Image.fromarray(disc(9, 32)).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(batch["mask"][0, :, :, 0], np.asarray(filtered) > 127)
    assert 0 < batch["mask"].mean() < 1


def test_without_masks_there_are_none_and_some_without_are_refused(tmp_path: Path) -> None:
    bare = {key: value for key, value in example(7).items() if key != "mask"}
    first, second = tmp_path / "a-1.tfrec", tmp_path / "b-2.tfrec"
    write_shard(first, [bare])
    write_shard(second, [example(1), bare])
    assert [has_masks([first]), has_masks([second])] == [False, True]
    given = {"image_size": SIZE, "batch_size": 1}
    for paths, masks in (([first], None), ([second], False)):
        batches = list(predict_mask_batches(paths, masks=masks, **given).as_numpy_iterator())
        assert [set(batch) for batch in batches] == [{"image"}] * len(batches)
    for paths, masks, place in (([second], None, 1), ([first], True, 0)):
        with pytest.raises(tf.errors.OpError, match=rf"image {place} \(from 0\) has no mask"):
            list(predict_mask_batches(paths, masks=masks, **given).as_numpy_iterator())


def test_what_cannot_train_is_refused(rows: Rows) -> None:
    with pytest.raises(ValueError, match=r"batch_size is 11 .* holds 10 images"):
        training(rows, batch_size=11)
    with pytest.raises(ValueError, match="seed is -1; use 0 to"):
        training(rows, seed=-1)
    with pytest.raises(ValueError, match="no shards to read"):
        predict_mask_batches([], image_size=SIZE, batch_size=1)
