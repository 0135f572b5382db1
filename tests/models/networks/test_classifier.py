"""The classifier: one column of probability for each class, whatever head, pooling or precision."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.networks.classifier import GeM, make_classifier, read_classifier

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
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
@pytest.mark.parametrize(("head", "classes"), [("softmax", THREE), ("sigmoid", TWO)])
def test_rows_of_probability_sum_to_one(pooling: str, head: str, classes: tuple[str, ...]) -> None:
    model = make_classifier(classes=classes, image_size=SIDE, head=head, pooling=pooling)
    p = values(model(pixels()))
    assert p.shape == (3, len(classes))
    assert p.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert np.all((p >= 0) & (p <= 1))


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
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


@pytest.mark.parametrize(
    ("head", "priors"),
    [("softmax", [0.7, 0.2, 0.1]), ("softmax", [0.98, 0.02]), ("sigmoid", [980, 20])],
)
def test_a_head_that_sees_nothing_gives_the_priors(head: str, priors: list[float]) -> None:
    classes = THREE[: len(priors)]
    model = make_classifier(classes=classes, image_size=SIDE, head=head, priors=priors)
    dense = model.get_layer("probability")
    dense.kernel.assign(np.zeros(dense.kernel.shape))
    expected = np.tile(np.array(priors) / np.sum(priors), (3, 1))
    assert values(model(pixels())) == pytest.approx(expected, abs=1e-6)


def test_a_sigmoid_is_the_softmax_of_its_difference() -> None:
    sigmoid = make_classifier(classes=TWO, image_size=SIDE, head="sigmoid")
    softmax = make_classifier(classes=TWO, image_size=SIDE, head="softmax")
    *body, kernel, bias = sigmoid.get_weights()
    both = np.concatenate([np.zeros_like(kernel), kernel], axis=1)
    softmax.set_weights([*body, both, np.concatenate([[0], bias])])
    assert values(softmax(pixels())) == pytest.approx(values(sigmoid(pixels())), abs=1e-6)


def test_gem_is_the_formula_between_the_mean_and_the_maximum() -> None:
    x = np.random.default_rng(0).uniform(0, 4, (2, 5, 3, 7)).astype("float32")
    x[0, 0, 0] = -1  # below nothing counts as nothing
    positive = np.maximum(x, 1e-6)
    expected = (positive**3).mean(axis=(1, 2)) ** (1 / 3)
    assert values(GeM()(x)) == pytest.approx(expected, rel=1e-5)
    assert values(GeM(p=1)(x)) == pytest.approx(positive.mean(axis=(1, 2)), rel=1e-5)
    assert values(GeM(p=60)(x)) == pytest.approx(x.max(axis=(1, 2)), rel=0.06)


def test_gem_learns_its_power() -> None:
    model = keras.Sequential([keras.Input((3, 3, 1)), GeM()])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.random.default_rng(0).uniform(0, 1, (4, 3, 3, 1)).astype("float32")
    model.train_on_batch(x, x.max(axis=(1, 2)))  # asks for the maximum: a greater power
    assert 3 < float(values(model.layers[0].p)) < 4


def test_dropout_is_for_training_alone() -> None:
    model = make_classifier(classes=TWO, image_size=SIDE, dropout=0.5)
    assert np.array_equal(values(model(pixels())), values(model(pixels())))
    # The features of one picture, twice: batch normalisation cannot tell them apart.
    same = np.repeat(pixels(1), 2, axis=0)
    first, second = values(model(same, training=True))
    assert not np.array_equal(first, second)
    assert "dropout" not in [
        layer.name for layer in make_classifier(classes=TWO, image_size=SIDE, dropout=0).layers
    ]


def test_the_backbone_and_its_map_can_be_had_by_name() -> None:
    model = make_classifier(classes=TWO, image_size=SIDE)
    features = model.get_layer("features").output
    assert tuple(features.shape) == (None, 4, 4, 64)
    explained = keras.Model(model.input, [features, model.output])
    maps, p = explained(pixels())
    assert values(p) == pytest.approx(values(model(pixels())))
    assert values(maps) == pytest.approx(values(model.get_layer("backbone")(pixels())), rel=1e-5)


@pytest.mark.parametrize(("backbone", "pooling"), [("VGG16", "avg"), ("tiny", "gem")])
def test_a_saved_model_reads_back_to_the_bit(backbone: str, pooling: str, tmp_path: Path) -> None:
    model = make_classifier(
        classes=TWO, image_size=SIDE, backbone=backbone, pooling=pooling, head="sigmoid"
    )
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
