"""The trainer: what a step makes of a batch, against the same written out by hand."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from melnb.data.augmentation import mixing
from melnb.data.augmentation.augment import augment
from melnb.data.augmentation.draws import DRAWS
from melnb.models.networks.classifier import make_classifier
from melnb.models.networks.heads import training_view
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.training.losses import make_loss
from melnb.models.training.state import to_array
from melnb.models.training.trainer import Trainer

SIDE, ROWS = 16, 8
STRENGTHS = {"rotation": 90.0, "flips": True, "contrast": 0.2}


def make_batch(seed: int = 0, rows: int = ROWS, target: int | None = None) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, rows) if target is None else np.full(rows, target)
    return {
        "image": rng.uniform(0, 255, (rows, SIDE, SIDE, 3)).astype("float32"),
        "draws": rng.random((rows, DRAWS)).astype("float32"),
        "truth": np.eye(2, dtype="float32")[targets],
        "row": np.arange(rows, dtype="int32"),
    }


def make_network(metadata: bool = False) -> keras.Model:
    """A network without batch statistics or dropout: its output hangs on the row alone."""
    keras.utils.set_random_seed(2)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Conv2D(4, 3, 2, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Flatten()(x)
    inputs: Any = image
    if metadata:
        inputs = {"image": image, "metadata": keras.Input((2,), name="metadata")}
        x = keras.layers.Concatenate()([x, inputs["metadata"]])
    head = keras.layers.Dense(2, activation="softmax", dtype="float32", name="probability")
    return keras.Model(inputs, head(x))


def make_trainer(network: keras.Model, optimizer: Any = None, **given: Any) -> Trainer:
    given = {"loss": make_loss("cross_entropy", n_classes=2), **given}
    trainer = Trainer(training_view(network), **given)
    trainer.prepare(optimizer or make_optimizer("sgd", 0.1))
    return trainer


def step(trainer: Trainer, batch: dict[str, Any]) -> float:
    trainer.reset_metrics()  # before 3.15 Keras goes on with the mean of all batches so far
    return float(trainer.train_on_batch(batch, return_dict=True)["loss"])


def weights(network: keras.Model) -> list[np.ndarray]:
    return [to_array(w) for w in network.weights]


def cross_entropy(truth: Any, probabilities: Any) -> np.ndarray:
    return -(np.asarray(truth) * np.log(np.asarray(probabilities))).sum(axis=1)


@pytest.mark.backends
def test_a_step_learns_from_the_augmented_pictures() -> None:
    network, batch = make_network(), make_batch()
    seen = augment(batch["image"], batch["draws"], **STRENGTHS)
    expected = cross_entropy(batch["truth"], network(seen)).mean()
    plain = cross_entropy(batch["truth"], network(batch["image"])).mean()
    trainer = make_trainer(network, augmentation=STRENGTHS)
    assert step(trainer, batch) == pytest.approx(expected, rel=1e-5)
    assert abs(expected - plain) > 1e-3
    said = trainer(batch, training=False)  # at rest it shows the picture as it is
    np.testing.assert_allclose(to_array(said["probability"]), network(batch["image"]), atol=1e-6)


@pytest.mark.backends
def test_class_weights_change_loss_and_step_by_the_factor_they_should() -> None:
    """With augmentation on; a batch of the class that weighs three times."""
    moved = {}
    for factor, classes in ((1.0, [1.0, 1.0]), (3.0, [0.5, 3.0])):
        network = make_network()
        before = weights(network)
        loss = make_loss("cross_entropy", n_classes=2, class_weights=classes)
        found = step(make_trainer(network, loss=loss, augmentation=STRENGTHS), make_batch(target=1))
        moved[factor] = found, [a - b for a, b in zip(weights(network), before, strict=True)]
    assert moved[3.0][0] == pytest.approx(3 * moved[1.0][0], rel=1e-5)
    for once, thrice in zip(moved[1.0][1], moved[3.0][1], strict=True):
        np.testing.assert_allclose(thrice, 3 * once, atol=1e-6)


@pytest.mark.backends
def test_mixing_changes_truth_and_metadata_with_the_picture() -> None:
    network, batch = make_network(metadata=True), make_batch()
    batch["metadata"] = np.random.default_rng(1).normal(size=(ROWS, 2)).astype("float32")
    plan = mixing.plan_mixing(batch["draws"], height=SIDE, width=SIDE, mixup=0.5, cutmix=0.5)
    seen = mixing.mix_images(augment(batch["image"], batch["draws"], **STRENGTHS), plan)
    truth, told = (mixing.blend(batch[name], plan) for name in ("truth", "metadata"))
    expected = cross_entropy(truth, network({"image": seen, "metadata": told})).mean()
    trainer = make_trainer(network, augmentation=STRENGTHS, mix={"mixup": 0.5, "cutmix": 0.5})
    assert np.abs(to_array(truth) - batch["truth"]).max() > 0.1
    np.testing.assert_allclose(to_array(trainer(batch, training=True)["truth"]), truth, atol=1e-6)
    assert step(trainer, batch) == pytest.approx(expected, rel=1e-5)


@pytest.mark.backends
def test_the_hardest_are_learnt_from_by_progress() -> None:
    """Four steps at rate 0: all of 8 losses, then 6, 4 and 2."""
    network, batch = make_network(), make_batch()
    losses = np.sort(cross_entropy(batch["truth"], network(batch["image"])))[::-1]
    mine = {"final_share": 0.25, "start": 0.0, "end": 0.75}
    trainer = make_trainer(network, make_optimizer("sgd", 0.0), mine=mine, steps=4)
    for kept in (8, 6, 4, 2):
        assert step(trainer, batch) == pytest.approx(losses[:kept].mean(), rel=1e-5)
    assert float(trainer.step.numpy()) == 4


def test_what_layers_add_to_the_loss_is_added() -> None:
    network = make_network()
    kernel = network.layers[-1].kernel
    kernel.regularizer = keras.regularizers.L2(0.5)
    batch = make_batch()
    expected = cross_entropy(batch["truth"], network(batch["image"])).mean()
    expected += 0.5 * np.square(to_array(kernel)).sum()
    assert step(make_trainer(network), batch) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_four_gathered_batches_are_one_of_four_times_the_size(name: str) -> None:
    ends = {}
    for accumulate in (1, 4):
        network = make_network()
        optimizer = make_optimizer(name, 0.01, accumulate=accumulate, clip_norm=1.0)
        trainer = make_trainer(network, optimizer, augmentation=STRENGTHS)
        for number in range(2):
            batch = make_batch(number, rows=32)
            for part in np.split(np.arange(32), accumulate):
                step(trainer, {key: value[part] for key, value in batch.items()})
        ends[accumulate] = weights(network)
    for one, four in zip(ends[1], ends[4], strict=True):
        np.testing.assert_allclose(one, four, atol=1e-5)


def test_pixels_and_draws_keep_32_bits_under_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        seen: list[Any] = []

        @keras.saving.register_keras_serializable("tests")
        class Look(keras.layers.Layer):
            def call(self, image: Any) -> Any:
                seen.append(image)
                return image

        image = keras.Input((SIDE, SIDE, 3), name="image")
        x = keras.layers.Flatten()(Look(dtype="float32")(image))
        head = keras.layers.Dense(2, activation="softmax", dtype="float32", name="probability")
        trainer = make_trainer(keras.Model(image, head(x)), augmentation=STRENGTHS)
        batch = make_batch()
        trainer(batch, training=True)
    finally:
        keras.config.set_dtype_policy("float32")
    expected = augment(batch["image"], batch["draws"], **STRENGTHS)
    np.testing.assert_allclose(to_array(seen[-1]), ops.convert_to_numpy(expected), atol=1e-4)


def test_an_arcface_head_is_shown_the_truth_in_training() -> None:
    network = make_classifier(
        classes=("a", "b"), image_size=32, head="arcface", dropout=0.0, arcface_margin=0.5
    )
    rng = np.random.default_rng(0)
    batch = {**make_batch(), "image": rng.uniform(0, 255, (ROWS, 32, 32, 3)).astype("float32")}
    trainer = make_trainer(network)
    told, plain = trainer(batch, training=True), network(batch["image"], training=True)
    true = batch["truth"] > 0
    assert (to_array(told["probability"])[true] < to_array(plain)[true]).all()  # the margin
