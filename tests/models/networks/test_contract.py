"""What holds of every backbone and encoder: a new one is a row, and all of this is asked of it."""

from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.networks.backbones import BACKBONES, BUILDERS, make_backbone
from melnb.models.networks.layouts import TOPS, layer_keys
from melnb.models.networks.saved import read_network
from melnb.models.networks.weights import PACKAGED, read_packaged, read_weights
from melnb.models.optimization.freezing import blocks_of, freeze
from melnb.models.segmentation.encoders import ENCODERS, make_encoder

pytestmark = pytest.mark.xdist_group("backbones")  # each made once
# The least of each kind.
QUICK = {
    "tiny", "small", "EfficientNetLite0", "EfficientNetB0", "VGG16", "ResNet50", "DenseNet121",
    "unet-tiny", "unet-small", "own.keras",
}  # fmt: skip
OWN = "own.keras"  # an encoder of one's own, saved at another size
FULL = {"tiny", "EfficientNetLite0", "VGG16", OWN}  # those whose scaling is asked at once
Make = Callable[[str], keras.Model]


def each(names: Iterable[str], quick: Container[str] = QUICK) -> list[Any]:
    """Return names as parameters, all but the quick ones of the nightly tier."""
    return [n if n in quick else pytest.param(n, marks=pytest.mark.nightly) for n in names]


def values(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def parts(network: keras.Model) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return layer, name and shape of each weight; what Keras numbers itself goes by its order."""
    held = [layer for layer in network.layers if layer.weights]
    return [
        (key, weight.name, tuple(weight.shape))
        for key, layer in zip(layer_keys(layer.name for layer in held), held, strict=True)
        for weight in layer.weights
    ]


@pytest.mark.parametrize("name", each([*BACKBONES, OWN], FULL))
def test_pixels_of_0_to_255_become_a_map_and_are_scaled_inside(name: str, published: Make) -> None:
    backbone = published(name)
    side = backbone.input_shape[1]
    pixels = np.stack([np.zeros((side, side, 3)), np.full((side, side, 3), 255)]).astype("float32")
    assert backbone.name == "backbone"
    features = values(backbone(pixels))
    assert features.shape == (2, *backbone.output_shape[1:])
    assert features.ndim == 4
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    scaled = pixels
    # Of ConvNeXt the scaling is a network of its own, the first.
    for layer in (x for each in backbone.layers for x in getattr(each, "layers", [each])):
        if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            scaled = layer(scaled)
    black, white = values(scaled)
    assert black.max() < -0.5
    assert white.min() > 0.5
    assert abs(black + white).max() < 0.45 * (white - black).min()  # grey is about zero


@pytest.mark.parametrize("name", each([*BACKBONES, OWN]))
def test_every_weight_is_in_one_block_and_can_be_frozen(name: str, published: Make) -> None:
    backbone = published(name)
    blocks = blocks_of(backbone)
    held = [id(weight) for block in blocks for layer in block.layers for weight in layer.weights]
    assert sorted(held) == sorted(id(weight) for weight in backbone.weights)
    learning = len(backbone.trainable_weights)
    assert len(blocks) > 3
    assert freeze(backbone, "all") == [block.name for block in blocks]
    assert backbone.trainable_weights == []
    freeze(backbone, 0)
    assert len(backbone.trainable_weights) == learning > 0


@pytest.mark.parametrize("name", each([*BUILDERS, OWN]))
def test_what_is_built_here_is_saved_and_read_by_the_door(
    name: str, published: Make, tmp_path: Path
) -> None:
    backbone = published(name)
    backbone.save(tmp_path / "model.keras")
    again = read_network(tmp_path / "model.keras", stage="03_train")
    side = backbone.input_shape[1]
    pixels = np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype("float32")
    np.testing.assert_array_equal(values(again(pixels)), values(backbone(pixels)))


@pytest.mark.parametrize("name", each(ENCODERS))
def test_maps_lie_at_their_strides_and_weights_are_the_backbones(
    name: str, published: Make
) -> None:
    encoder, row, side = make_encoder(name), ENCODERS[name], 64
    maps = encoder(keras.Input((side, 2 * side, 3)))
    assert [m.shape[1:3] for m in maps] == [(side // s, 2 * side // s) for s in row.strides]
    blocks = blocks_of(encoder)
    held = {id(weight) for block in blocks for layer in block.layers for weight in layer.weights}
    assert held == {id(weight) for weight in encoder.weights}
    if name in BACKBONES:  # a classifier's weights come in by their order
        whole = published(name)
        assert parts(whole) == parts(encoder)
        assert [b.name for b in blocks] == [b.name for b in blocks_of(whole)]


@pytest.mark.parametrize(
    ("name", "weights"),
    [row if row[0] in QUICK else pytest.param(*row, marks=pytest.mark.nightly) for row in PACKAGED],
)
def test_every_tensor_of_a_package_is_used_and_none_is_left_as_it_was(
    name: str, weights: str, published: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    backbone = published(name) if name in QUICK else make_backbone(name, image_size=32)
    backbone.set_weights([np.full(w.shape, np.nan, "float32") for w in backbone.weights])
    read_weights(backbone, backbone=name, weights=weights)
    given = read_packaged(name, PACKAGED[name, weights])
    body = {key: tensors for key, tensors in given.items() if key not in TOPS}
    held = {layer.name: layer.get_weights() for layer in backbone.layers if layer.weights}
    assert held.keys() == body.keys()
    for key, tensors in body.items():
        for ours, theirs in zip(held[key], tensors, strict=True):
            assert np.isfinite(ours).all()
            np.testing.assert_array_equal(ours, theirs.values)
