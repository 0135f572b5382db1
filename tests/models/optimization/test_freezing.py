"""The blocks of every backbone, and what does not move when they are frozen."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from melnb.models.networks.backbones import BACKBONES, make_backbone
from melnb.models.networks.classifier import make_classifier
from melnb.models.optimization.freezing import block_rates, blocks_of, freeze
from melnb.models.optimization.optimizers import make_optimizer

pytestmark = pytest.mark.xdist_group("backbones")  # each made once

STAGES = ["stem", *(f"block{k}" for k in range(1, 8)), "top"]
EXPECTED = {
    "tiny": [f"block{k}" for k in range(1, 5)],
    "small": [f"block{k}" for k in range(1, 8)],
    "EfficientNet": STAGES,
    "EfficientNetV2B": [name for name in STAGES if name != "block7"],
    "EfficientNetV2S": [name for name in STAGES if name != "block7"],
    "ResNet": [f"conv{k}" for k in range(1, 6)],
    "VGG": [f"block{k}" for k in range(1, 6)],
    "DenseNet": [f"conv{k}" for k in range(1, 6)],
    "Inception": ["stem", *(f"mixed{k}" for k in range(11))],
    "Xception": [f"block{k}" for k in range(1, 15)],
    "MobileNetV3Small": ["stem", *(f"block{k}" for k in range(11)), "top"],
    "MobileNetV3Large": ["stem", *(f"block{k}" for k in range(15)), "top"],
    "ConvNeXt": ["stem", "stage0", *(f"{n}{k + d}" for k in range(3) for d, n in
                 ((0, "downsampling"), (1, "stage")))],
}  # fmt: skip
# The least of each kind.
QUICK = [
    "tiny", "small", "EfficientNetB0", "EfficientNetV2B0", "EfficientNetV2S", "ResNet50", "VGG16",
    "DenseNet121", "InceptionV3", "Xception", "MobileNetV3Small", "MobileNetV3Large",
    "ConvNeXtTiny",
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.nightly) for n in BACKBONES],
)
def test_every_layer_with_weights_is_in_one_block_in_order(
    name: str, published: Callable[[str], keras.Model]
) -> None:
    backbone = published(name)
    blocks = blocks_of(backbone)
    key = max((k for k in EXPECTED if name.startswith(k)), key=len)
    assert [block.name for block in blocks] == EXPECTED[key]
    held = [layer for block in blocks for layer in block.layers]
    assert len({id(layer) for layer in held}) == len(held)
    weighted = [layer for layer in backbone.layers if layer.weights]
    assert [id(x) for x in weighted if all(x is not y for y in held)] == []
    # Nothing flows back: a block is fed by blocks before it, and by the pixels.
    number = {id(x): k for k, block in enumerate(blocks) for x in block.layers}
    made = {id(t): number[id(x)] for x in held for t in keras.tree.flatten(x.output)}
    for layer in held:
        feeds = [made.get(id(t), 0) for t in keras.tree.flatten(layer.input)]
        assert max(feeds, default=0) <= number[id(layer)]


def test_small_is_cut_after_its_stem_and_each_residual_block() -> None:
    blocks = blocks_of(make_backbone("small", image_size=32))
    convolutions = [
        sum(isinstance(layer, keras.layers.Conv2D) for layer in block.layers) for block in blocks
    ]
    assert convolutions == [1, 3, 2, 3, 2, 3, 2]  # a wider block has a shortcut to convolve


def train_one(model: keras.Model, size: int, optimizer: keras.optimizers.Optimizer) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 255, (4, size, size, 3)).astype("float32")
    model.compile(optimizer, "categorical_crossentropy", jit_compile=False)
    for _ in range(2):
        model.train_on_batch(pixels, np.eye(2, dtype="float32")[[0, 1, 0, 1]])


def values(layers: tuple[keras.layers.Layer, ...]) -> list[np.ndarray]:
    weights = [w for layer in layers for w in layer.weights]
    return [np.array(keras.ops.convert_to_numpy(w)) for w in weights]


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [
        ("tiny", 32, 2), ("tiny", 32, "all"),
        *(pytest.param(n, 64, 3, marks=pytest.mark.nightly)
          for n in ("small", "EfficientNetB0", "EfficientNetLite0", "ResNet50", "DenseNet121",
                    "MobileNetV3Small")),
    ],
)  # fmt: skip
def test_frozen_blocks_do_not_move_by_a_bit_and_the_rest_does(
    name: str, size: int, count: int | str
) -> None:
    model = make_classifier(classes=("a", "b"), image_size=size, backbone=name, dropout=0.2)
    blocks = blocks_of(model.get_layer("backbone"))
    names = freeze(model, count)
    assert names == [block.name for block in blocks][: None if count == "all" else count]
    before = [values(block.layers) for block in blocks]
    train_one(model, size, make_optimizer("adamw", 0.01, weight_decay=0.1, ema=0.9))
    for block, old in zip(blocks, before, strict=True):
        new = values(block.layers)
        still = [np.array_equal(a, b) for a, b in zip(old, new, strict=True)]
        if block.name in names:
            assert all(still), block.name
        else:  # kernels, scales and running statistics alike; not an EfficientNet's constants
            assert not any(still), block.name
    assert model.get_layer("probability").trainable_variables


def test_frozen_normalisation_does_not_move_by_a_bit_and_the_rest_does() -> None:
    model = make_classifier(classes=("a", "b"), image_size=32, backbone="tiny", dropout=0.2)
    layers = [layer for block in blocks_of(model) for layer in block.layers if layer.weights]
    assert freeze(model, 1, norm=True) == [blocks_of(model)[0].name]
    before = [values([layer]) for layer in layers]
    train_one(model, 32, make_optimizer("adamw", 0.01, weight_decay=0.1, ema=0.9))
    moved = [
        not np.array_equal(old, new)
        for layer, kept in zip(layers, before, strict=True)
        for old, new in zip(kept, values([layer]), strict=True)
    ]
    kinds = [isinstance(x, keras.layers.BatchNormalization) for x in layers for _ in x.weights]
    first = sum(len(x.weights) for x in blocks_of(model)[0].layers)
    assert moved == [k >= first and not norm for k, norm in enumerate(kinds)]
    assert True in moved


def test_what_was_frozen_learns_again() -> None:
    model = make_classifier(classes=("a", "b"), image_size=32, backbone="tiny")
    every = len(model.trainable_variables)
    freeze(model, "all")
    assert len(model.trainable_variables) == 2
    freeze(model, 0, norm=True)
    assert len(model.trainable_variables) == every - 8  # two of each of four normalisations
    assert freeze(model, 0) == []
    assert len(model.trainable_variables) == every


def test_rates_fall_from_the_head_to_the_pixels() -> None:
    model = make_classifier(classes=("a", "b"), image_size=32, backbone="tiny")
    rates = block_rates(model, 0.5)
    backbone = model.get_layer("backbone")
    found = [{rates(w.path) for x in b.layers for w in x.weights} for b in blocks_of(backbone)]
    assert found == [{0.0625}, {0.125}, {0.25}, {0.5}]
    assert {rates(w.path) for w in model.get_layer("probability").weights} == {1.0}
    assert str(rates) == "times 0.5 a block, over 4 blocks"
    again = make_classifier(classes=("a", "b"), image_size=32, backbone="tiny")
    with pytest.raises(ValueError, match=r"no rate for conv2d\w+/kernel: .* another network's"):
        rates(again.trainable_weights[0].path)


def test_a_block_moves_as_far_as_its_rate_says() -> None:
    def moved(rate: float, decay: float) -> list[float]:
        keras.utils.set_random_seed(3)
        model = make_classifier(classes=("a", "b"), image_size=32, backbone="tiny")
        kernels = [w for w in model.trainable_variables if w.path.endswith("kernel")]
        before = [np.array(keras.ops.convert_to_numpy(w)) for w in kernels]
        rng = np.random.default_rng(0)
        model.compile(
            make_optimizer("sgd", rate, momentum=0.5, rate_of=block_rates(model, decay)),
            "categorical_crossentropy",
        )
        pixels = rng.uniform(0, 255, (4, 32, 32, 3)).astype("float32")
        model.train_on_batch(pixels, np.eye(2, dtype="float32")[[0, 1, 0, 1]])
        after = [np.array(keras.ops.convert_to_numpy(w)) for w in kernels]
        return [float(np.abs(a - b).sum()) for a, b in zip(after, before, strict=True)]

    shares = np.array(moved(0.01, 0.5)) / np.array(moved(0.01, 1.0))
    assert shares == pytest.approx([1 / 16, 1 / 8, 1 / 4, 1 / 2, 1], rel=1e-2)


def test_refusals() -> None:
    model = make_classifier(classes=("a", "b"), image_size=32, backbone="tiny")
    for wrong in (5, -1, "some"):
        with pytest.raises(ValueError, match="use 0 to 4, or 'all'"):
            freeze(model, wrong)
    for wrong_decay in (0, 1.5):
        with pytest.raises(ValueError, match="above 0, at most 1"):
            block_rates(model, wrong_decay)
    with pytest.raises(ValueError, match="no layer named 'backbone'"):
        freeze(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="plain"), 1)
