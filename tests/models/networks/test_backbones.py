"""The backbones: each one's scaling against its library's own, on random pixels."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.networks.backbones import BACKBONES, find_backbone, make_backbone, scale_pixels
from melnb.models.networks.saved import _measure

pytestmark = pytest.mark.xdist_group("backbones")  # each made once
PUBLISHED = [name for name, row in BACKBONES.items() if row.file]
SIDE = 32


def pixels(seed: int = 0, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (2, side, side, 3)).astype("float32")


def values(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("name", PUBLISHED)
def test_pixels_are_scaled_as_the_library_scales_them(name: str) -> None:
    constructor = getattr(keras.applications, name)
    expected = sys.modules[constructor.__module__].preprocess_input(pixels().copy())
    scaled = values(scale_pixels(pixels(), BACKBONES[name].scaling))
    assert scaled == pytest.approx(expected, rel=1e-5, abs=2e-5)


@pytest.mark.parametrize("name", ["VGG16", pytest.param("DenseNet121", marks=pytest.mark.nightly)])
def test_a_whole_backbone_is_the_librarys_on_its_own_scaled_pixels(
    name: str, published: Callable[[str], keras.Model]
) -> None:
    constructor = getattr(keras.applications, name)
    ours = published(name)
    theirs = constructor(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    theirs.set_weights(ours.get_weights())
    expected = theirs(sys.modules[constructor.__module__].preprocess_input(pixels().copy()))
    assert np.abs(values(expected)).max() > 0
    scale = np.abs(values(expected)).max()
    assert values(ours(pixels())) / scale == pytest.approx(values(expected) / scale, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("EfficientNetB0", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ("EfficientNetLite0", (127,) * 3, (128,) * 3),
        ("MobileNetV3Small", (127.5,) * 3, (127.5,) * 3),
        ("EfficientNetV2B0", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ("EfficientNetV2S", (128,) * 3, (128,) * 3),
        ("ConvNeXtTiny", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ],
)
def test_scaling_inside_is_really_there(
    name: str,
    mean: tuple[float, ...],
    deviation: tuple[float, ...],
    published: Callable[[str], keras.Model],
) -> None:
    def scales(layer: keras.layers.Layer) -> bool:
        return isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)

    backbone = published(name)
    # Of ConvNeXt the scaling is a network of its own, the first.
    found = [x for layer in backbone.layers for x in getattr(layer, "layers", [layer])]
    x = pixels()
    for layer in filter(scales, found):
        x = layer(x)
    expected = (pixels() - np.array(mean)) / np.array(deviation)
    assert values(x) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_scaling_keeps_float32_under_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone = make_backbone("VGG16", image_size=SIDE)
    finally:
        keras.config.set_dtype_policy("float32")
    assert backbone.get_layer("scaling").compute_dtype == "float32"
    assert backbone.get_layer("block1_conv1").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("name", "side", "shape", "weights"),
    [("tiny", 32, (4, 4, 64), 60_000), ("small", 64, (4, 4, 192), 1_600_000),
     ("small", 80, (5, 5, 192), 1_600_000), ("small", 33, (3, 3, 192), 1_600_000)],
)  # fmt: skip
def test_our_own_networks_are_as_small_as_they_say(
    name: str, side: int, shape: tuple[int, ...], weights: int
) -> None:
    backbone = make_backbone(name, image_size=side)
    assert backbone.output_shape == (None, *shape)
    assert backbone.count_params() == pytest.approx(weights, rel=0.05)
    assert np.all(np.isfinite(values(backbone(pixels(side=side)))))


@pytest.mark.parametrize(
    "name",
    ["tiny", *(pytest.param(n, marks=pytest.mark.nightly) for n in BACKBONES if n != "tiny")],
)
def test_a_backbone_is_measured_before_it_is_made(
    name: str, published: Callable[[str], keras.Model]
) -> None:
    config = keras.saving.serialize_keras_object(published(name))
    weights, maps = _measure(config, Path("a.keras"))
    assert weights == sum(math.prod(variable.shape) for variable in published(name).variables)
    assert max(maps)[0] > 0


@pytest.mark.parametrize("name", ["tiny", pytest.param("small", marks=pytest.mark.nightly)])
def test_our_own_networks_learn_which_pictures_have_a_spot(name: str) -> None:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.uniform(150, 250, (64, SIDE, SIDE, 3)).astype("float32")
    y = np.arange(64) % 2
    x[y == 1, 8:20, 8:20] -= 60
    backbone = make_backbone(name, image_size=SIDE)
    vector = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(2, "softmax")(vector))
    compiler = keras.backend.backend() == "jax"  # on TensorFlow it takes longer than it spares
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=compiler)
    losses = []
    for _ in range(12):
        model.reset_metrics()  # before 3.15 Keras goes on with the mean of all batches so far
        losses.append(float(model.train_on_batch(x, y)))
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("efficientnet_b3", "EfficientNetB3"), ("resnet-50", "ResNet50"), ("b3", "EfficientNetB3"),
     ("VGG-19", "VGG19"), ("Tiny", "tiny")],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"no backbone '{name}'; did you mean '{nearest}'"):
        find_backbone(name)


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 75x75"):
        make_backbone("InceptionV3", image_size=64)


def test_efficientnets_have_their_native_sizes() -> None:
    sizes = [BACKBONES[f"EfficientNetB{i}"].native_size for i in range(8)]
    assert sizes == [224, 240, 260, 300, 380, 456, 528, 600]
