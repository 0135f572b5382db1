"""The classifier: one column of probability for each class, whatever head, pooling or precision."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.networks.classifier import make_classifier, read_classifier

SIDE = 32
TWO, THREE = ("other", "melanoma"), ("melanoma", "nevus", "benign_keratosis")


@pytest.fixture
def policy() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


def pixels(n: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (n, SIDE, SIDE, 3)).astype("float32")


def values(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("pooling", ["avg", "max", "gem"])
@pytest.mark.parametrize(
    ("head", "classes"), [("softmax", THREE), ("sigmoid", TWO), ("arcface", THREE)]
)
def test_rows_of_probability_sum_to_one(pooling: str, head: str, classes: tuple[str, ...]) -> None:
    model = make_classifier(classes=classes, image_size=SIDE, head=head, pooling=pooling)
    p = values(model(pixels()))
    assert p.shape == (3, len(classes))
    assert p.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert np.all((p >= 0) & (p <= 1))


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "arcface"])
def test_probabilities_are_float32_under_mixed_precision(
    precision: str, head: str, policy: None
) -> None:
    keras.utils.set_random_seed(0)
    plain = make_classifier(classes=TWO, image_size=SIDE, head=head, pooling="gem")
    keras.config.set_dtype_policy(precision)
    mixed = make_classifier(classes=TWO, image_size=SIDE, head=head, pooling="gem")
    mixed.set_weights(plain.get_weights())
    assert mixed.get_layer("backbone").layers[-1].compute_dtype in ("float16", "bfloat16")
    p = values(mixed(pixels()))
    assert p.dtype == np.float32
    assert p.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert p == pytest.approx(values(plain(pixels())), abs=0.05)


def test_the_backbone_and_its_map_can_be_had_by_name() -> None:
    model = make_classifier(classes=TWO, image_size=SIDE)
    features = model.get_layer("features").output
    assert tuple(features.shape) == (None, 4, 4, 64)
    explained = keras.Model(model.input, [features, model.output])
    maps, p = explained(pixels())
    assert values(p) == pytest.approx(values(model(pixels())))
    assert values(maps) == pytest.approx(values(model.get_layer("backbone")(pixels())), rel=1e-5)


@pytest.mark.parametrize(
    ("backbone", "pooling", "head", "samples"),
    [("VGG16", "avg", "sigmoid", 1), ("tiny", "gem", "sigmoid", 1), ("tiny", "max", "arcface", 5)],
)
def test_a_saved_model_reads_back_to_the_bit(
    backbone: str, pooling: str, head: str, samples: int, tmp_path: Path
) -> None:
    model = make_classifier(
        classes=TWO, image_size=SIDE, backbone=backbone, pooling=pooling, head=head,
        dropout_samples=samples,
    )  # fmt: skip
    model.save(tmp_path / "model.keras")
    again = read_classifier(tmp_path / "model.keras")
    assert np.array_equal(values(again(pixels())), values(model(pixels())))


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model.keras in .*: run 03_train first"):
        read_classifier(tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": THREE, "head": "sigmoid"}, "sigmoid' is for two classes, but there are 3"),
        ({"classes": THREE, "head": "linear"}, "head is 'linear'"),
        ({"classes": THREE, "pooling": "mean"}, "pooling is 'mean'"),
        ({"classes": THREE, "head": "arcface", "priors": [1, 1, 1]}, "has no bias for priors"),
        ({"classes": TWO, "arcface_margin": 1.6}, "arcface_margin 1.6"),
        ({"classes": TWO, "arcface_scale": 0}, "arcface_scale is 0"),
        ({"classes": TWO, "dropout_samples": 0}, "dropout_samples is 0"),
        ({"classes": TWO, "dropout_samples": 5, "dropout": 0}, "5 and dropout 0"),
        ({"classes": ("melanoma",)}, "two or more are needed"),
        ({"classes": THREE, "priors": [0.5, 0.5]}, "give 3 shares above 0"),
        ({"classes": TWO, "priors": [1.0, 0.0]}, "give 2 shares above 0"),
        ({"classes": TWO, "backbone": "smal"}, "did you mean 'small'"),
        ({"classes": TWO, "weights": "imagenet"}, "no imagenet weights are published for tiny"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_classifier(image_size=SIDE, **arguments)
