"""Validation: exact numbers, against formulas written out here."""

from pathlib import Path

import keras
import numpy as np
import pytest

from melnb.data.batches import predict_batches
from melnb.data.shards.examples import read_examples, write_shard
from melnb.models.training.callback import Validation, macro_auc
from melnb.models.training.losses import make_loss


def pairs(positive: np.ndarray, negative: np.ndarray) -> float:
    """The share of pairs in the right order, ties for half (Hanley & McNeil 1982)."""
    difference = positive[:, None] - negative
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


@pytest.mark.backends
def test_two_classes_give_the_area_of_the_last() -> None:
    rng = np.random.default_rng(0)
    targets, score = rng.integers(0, 2, 60), rng.random(60).round(1)
    expected = pairs(score[targets == 1], score[targets == 0])
    assert macro_auc(targets, np.stack([1 - score, score], 1)) == pytest.approx(expected)


def test_more_classes_give_the_mean_over_those_that_are_there() -> None:
    rng = np.random.default_rng(1)
    targets = rng.choice([0, 2, 3], 80)  # class 1 of four is not there
    p = rng.dirichlet(np.ones(4), 80)
    expected = [pairs(p[targets == k, k], p[targets != k, k]) for k in (0, 2, 3)]
    assert macro_auc(targets, p) == pytest.approx(np.mean(expected))


def test_one_class_has_no_area() -> None:
    assert np.isnan(macro_auc(np.ones(5, int), np.full((5, 2), 0.5)))


def test_rows_without_a_label_are_left_out_and_the_loss_is_the_one_trained_with(
    blobs: list[Path], tmp_path: Path
) -> None:
    examples = [dict(example) for example in read_examples(blobs[0])][:10]
    for example in examples[:3]:
        example["target"] = -1
    path = tmp_path / "fold0-00-10.tfrec"
    write_shard(path, examples)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(keras.layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(x))
    validation = Validation(model, [path], image_size=32, n_classes=2, batch_size=4)
    assert validation.estimable
    loss = make_loss("cross_entropy", n_classes=2, label_smoothing=0.1, class_weights=[1, 3])
    found = validation.measure(loss)
    batch = next(predict_batches([path], image_size=32, batch_size=10).as_numpy_iterator())
    p = keras.ops.convert_to_numpy(model(batch["image"]))[3:]
    truth = np.array([example["target"] for example in examples[3:]])
    smooth = 0.9 * np.eye(2)[truth] + 0.05
    losses = np.where(truth == 1, 3, 1) * -(smooth * np.log(p)).sum(1)
    assert found["val_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert found["val_auc"] == pytest.approx(pairs(p[truth == 1, 1], p[truth == 0, 1]))


@pytest.mark.backends
def test_a_loss_of_whole_batches_is_measured_in_batches(blobs: list[Path]) -> None:
    """24 rows in batches of 10: the last batch is of 14, for one of 4 would be too small."""
    image = keras.Input((32, 32, 3), name="image")
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    validation = Validation(model, blobs[:1], image_size=32, n_classes=2, batch_size=10)
    p = np.random.default_rng(0).dirichlet([1, 1], 24)
    truth = np.eye(2)[np.arange(24) % 2]
    loss = make_loss("auc_pairs", n_classes=2)
    expected = []
    for part in (slice(0, 10), slice(10, 24)):
        y, score = truth[part], p[part]
        gaps = score[y[:, 1] == 1, 1][:, None] - score[y[:, 1] == 0, 1]
        expected.append(np.mean(np.maximum(1 - gaps, 0) ** 2) * len(y))
    found = validation.score(p, loss)
    assert found["val_loss"] == pytest.approx(sum(expected) / 24, rel=1e-5)


def test_rows_that_cannot_be_measured_are_refused(blobs: list[Path], tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3), name="image")
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    unlabelled = tmp_path / "test-00-2.tfrec"
    examples = [dict(example) for example in read_examples(blobs[0])][:2]
    write_shard(unlabelled, [{k: v for k, v in e.items() if k != "target"} for e in examples])
    for paths, n_classes in (([unlabelled], 2), (blobs[:1], 1)):
        with pytest.raises(ValueError, match=r"labels 0 to . are needed"):
            Validation(model, paths, image_size=32, n_classes=n_classes, batch_size=2)
