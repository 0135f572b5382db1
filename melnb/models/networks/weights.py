"""Pretrained weights: what a backbone knows before it starts, and where its file comes from.

Every tensor is matched by the name of its layer and by its shape: a file that fits only in part
stops with the names of all tensors that do not, for Keras' `load_weights(by_name=True)` takes such
a file without a word.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np

from melnb.data.hdf5 import ForeignError, check_own
from melnb.models.networks.backbones import (
    EFFICIENTNETS,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    find_backbone,
    set_normalization,
)
from melnb.models.networks.saved import ModelFileError, check_kind, read_network

# Layouts: the tensors of a weights file, by layer, and how they come into a network.
#
# Published files are HDF5 as Keras 1 and 2 wrote it: for each layer in order its name and tensors.
# Keras 3 reads them by order alone, or by name and then skips what it does not know. Here a tensor
# comes to its place by the name of its layer, its position there and its shape, or all that do not
# are named.

TOPS = frozenset({"probs", "predictions", "fc1", "fc2", "fc1000", "logits", "conv_2"})
_NUMBERED = re.compile(
    r"(conv2d|separable_conv2d|depthwise_conv2d|batch_normalization|layer_normalization|dense"
    r"|normalization|layer_scale)(_\d+)?"
)


class WeightsError(ValueError):
    """Weights are not published, not there, not whole or not for this backbone."""


class Tensor(NamedTuple):
    """A tensor of a file: its own name in its layer, and its values."""

    name: str
    values: np.ndarray


Layers = dict[str, list[Tensor]]


def read_layers(path: str | Path) -> Layers:
    """Read the tensors of each layer of an HDF5 file as Keras 1 and 2 wrote it, less the top.

    Returns:
        Key of each layer (see `layer_keys`) and its tensors, in the file's order.

    Raises:
        WeightsError: It is no such file.
    """
    try:
        with h5py.File(path) as file:
            check_own(file, Path(path).stat().st_size)
            group = file.get("model_weights", file)
            found = {name: _tensors(group[name]) for name in _names(group, "layer_names")}
    except (OSError, KeyError, ForeignError) as error:
        raise WeightsError(f"{path} does not read as a Keras weights file: {error}") from error
    held = {name: tensors for name, tensors in found.items() if tensors}
    keys = zip(layer_keys(held), held.values(), strict=True)
    return {key: tensors for key, tensors in keys if key not in TOPS}


def layer_keys(names: Iterable[str]) -> list[str]:
    """Return what a layer goes by in files of every age.

    Keras 3 allows no `/` in names, so that DenseNet's `conv1/bn` is `conv1_bn` now, and
    MobileNetV3's `Conv/BatchNorm` is `conv_bn`. Layers without a name of their own were numbered
    from 1, later from 0, and go on counting from one network to the next: they go by their order
    among their kind, `conv2d number 3`.
    """
    counts: dict[str, int] = {}
    keys = []
    for name in names:
        plain = name.lower().replace("/", "_").replace("_batchnorm", "_bn")
        if numbered := _NUMBERED.fullmatch(plain):
            kind = numbered[1]
            counts[kind] = counts.get(kind, 0) + 1
            plain = f"{kind} number {counts[kind]}"
        keys.append(plain)
    return keys


def assign_layers(layers: Sequence[keras.layers.Layer], source: Layers, path: str | Path) -> None:
    """Set the tensors of layers to those of a file: all, or none.

    Args:
        layers: All layers of a network that have weights, in its order.
        source: Of `read_layers`.
        path: Of the file, for errors.

    Raises:
        WeightsError: A tensor is not in the file, only in the file, or of another shape; every one
            is named.
    """
    keyed = dict(zip(layer_keys(layer.name for layer in layers), layers, strict=True))
    problems = []
    for key in [*keyed, *(key for key in source if key not in keyed)]:
        wanted = [(w.name, tuple(w.shape)) for w in keyed[key].weights] if key in keyed else []
        given = [(t.name, t.values.shape) for t in source.get(key, [])]
        problems += compare_tensors(key, wanted, given)
    if problems:
        raise WeightsError(misfit(path, problems))
    for key, layer in keyed.items():
        layer.set_weights([tensor.values for tensor in source[key]])


def compare_tensors(
    layer: str, wanted: Sequence[tuple[str, Any]], given: Sequence[tuple[str, Any]]
) -> list[str]:
    """Name the tensors, by name and shape in order, that a layer and a file do not share."""
    both = min(len(wanted), len(given))
    told = [f"{layer}/{name}: not in the file" for name, _ in wanted[both:]]
    told += [f"{layer}/{name}: only in the file" for name, _ in given[both:]]
    pairs = zip(wanted, given, strict=False)
    return told + [
        f"{layer}/{name}: {found} in the file, {shape} in the network"
        for (name, shape), (_, found) in pairs
        if shape != found
    ]


def misfit(path: str | Path, problems: Iterable[str]) -> str:
    """Return the message of a file that does not fit, a line for each tensor."""
    return f"{path} does not fit this backbone:\n" + "\n".join(sorted(problems))


def _tensors(group: h5py.Group) -> list[Tensor]:
    return [
        Tensor(name.rpartition("/")[2].partition(":")[0], np.asarray(group[name]))
        for name in _names(group, "weight_names")
    ]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return a list of names; Keras cut a list too long for one attribute in numbered ones."""
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        count = sum(bool(re.fullmatch(rf"{attribute}\d+", key)) for key in group.attrs)
        if not count:
            raise KeyError(f"no {attribute} in {group.name}")
        parts = [group.attrs[f"{attribute}{k}"] for k in range(count)]
    return [n.decode() if isinstance(n, bytes) else str(n) for part in parts for n in part]


Shapes = Sequence[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class WeightsFile:
    """A published file: its name, where it is published, and its md5 or sha256."""

    name: str
    address: str
    digest: str


def read_weights(network: keras.Model, *, backbone: str, weights: str) -> None:
    """Read weights into a backbone.

    Args:
        network: As `make_backbone` gives it.
        backbone: Its name.
        weights: `none` leaves it as it is; `imagenet` and `noisy-student` are published files,
            fetched once; else the path of a file: `.keras`, a classifier of 03_train with the same
            backbone; `.weights.h5`, as `network.save_weights` writes it; `.h5`, a published file.

    Raises:
        WeightsError: The file is not published, cannot be had, is damaged or does not fit.
    """
    if weights == "none":
        return
    path = Path(weights).expanduser()
    if weights in ("imagenet", "noisy-student"):
        path = fetch_weights(find_weights(backbone, weights))
    elif not path.is_file():
        raise WeightsError(
            f"weights is {weights!r}, and there is no such file: use none, imagenet, "
            "noisy-student, or the path of a .keras, .weights.h5 or .h5 file"
        )
    try:
        check_kind(path)
    except ModelFileError as error:
        raise WeightsError(f"weights: {error}") from None
    if path.suffix == ".keras":
        _read_classifier(network, path)
    elif path.name.endswith(".weights.h5"):
        _read_saved(network, path)
    else:
        _read_published(network, path, efficientnet=backbone in EFFICIENTNETS)


def find_weights(backbone: str, weights: str) -> WeightsFile:
    """Return the published file of `imagenet` or `noisy-student` weights of a backbone.

    Names, addresses and digests are those of Keras, and of the `efficientnet` package.

    Raises:
        WeightsError: No such weights are published, or the package is not installed.
    """
    row = find_backbone(backbone)
    if weights == "imagenet" and row.file:
        return WeightsFile(Path(row.file).name, row.address, row.digest)
    if weights != "noisy-student" or backbone not in EFFICIENTNETS:
        raise WeightsError(
            f"no {weights} weights are published for {backbone}: use weights none, the path of a "
            "file, or a backbone that has them (noisy-student: EfficientNetB0 to B7)"
        )
    if util.find_spec("efficientnet") is None:
        raise WeightsError(
            "the noisy-student files are named by the package efficientnet, which is not "
            "installed: pip install 'melnb[efficientnet]'"
        )
    table = import_module("efficientnet.weights")
    key = f"efficientnet-b{backbone[-1]}"
    name = f"{key}_noisy-student_notop.h5"
    return WeightsFile(name, table.NS_WEIGHTS_PATH + name, table.NS_WEIGHTS_HASHES[key][1])


def fetch_weights(file: WeightsFile) -> Path:
    """Return where a published file lies on this machine; download it if it is not there.

    Raises:
        WeightsError: It is there but damaged, or it is not there and cannot be fetched.
    """
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    path = home / "models" / file.name
    if not path.exists():
        try:
            fetched = keras.utils.get_file(
                file.name, file.address, cache_dir=home, cache_subdir="models",
                file_hash=file.digest,
            )  # fmt: skip
            path = Path(fetched)  # elsewhere if the folder cannot be written
        except Exception as error:  # Keras raises the bare class when an address does not answer
            raise WeightsError(
                f"no {file.name} on this machine, and it could not be fetched ({error}).\n"
                f"Download {file.address}\nwhere there is a network, and put it at {path}"
            ) from error
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "md5" if len(file.digest) == 32 else "sha256")
    if digest.hexdigest() != file.digest:
        raise WeightsError(
            f"{path} is damaged, or not the published file: its digest is {digest.hexdigest()}, "
            f"not {file.digest}. Delete it, and download {file.address} again"
        )
    return path


def _read_classifier(network: keras.Model, path: Path) -> None:
    try:
        saved = read_network(path, stage="03_train").get_layer("backbone")
    except ValueError as error:
        raise WeightsError(f"{path} does not read as a classifier of 03_train: {error}") from error
    _check_shapes(
        [(w.path, tuple(w.shape)) for w in network.weights],
        [(w.path, tuple(w.shape)) for w in saved.weights],
        path,
    )
    network.set_weights(saved.get_weights())


def _check_shapes(wanted: Shapes, given: Shapes, path: Path) -> None:
    """Compare two backbones tensor by tensor; their numbered layers may count from elsewhere."""
    if [shape for _, shape in wanted] == [shape for _, shape in given]:
        return
    lines = compare_tensors("backbone", wanted, given)
    raise WeightsError(
        f"{misfit(path, lines)}\nIt holds {len(given)} tensors where {len(wanted)} are wanted: "
        "name the backbone that it was trained with"
    )


def _read_saved(network: keras.Model, path: Path) -> None:
    """Read what `network.save_weights` of Keras 3 wrote, or name all that does not fit."""
    try:
        with h5py.File(path) as file:
            check_own(file, path.stat().st_size)
            given = _stored(file)
    except (OSError, ForeignError) as error:
        raise WeightsError(f"{path} does not fit this backbone: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.weights.h5"
        network.save_weights(own)
        with h5py.File(own) as file:
            wanted = _stored(file)
    problems = [f"{name}: not in the file" for name in wanted.keys() - given.keys()]
    problems += [f"{name}: only in the file" for name in given.keys() - wanted.keys()]
    problems += [
        f"{name}: {given[name]} in the file, {wanted[name]} in the network"
        for name in wanted.keys() & given.keys()
        if wanted[name] != given[name]
    ]
    if problems:
        raise WeightsError(misfit(path, problems))
    network.load_weights(path)


def _stored(file: h5py.File) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor that Keras 3 stored."""
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = tuple(item.shape)

    file.visititems(note)
    return found


def _read_published(network: keras.Model, path: Path, *, efficientnet: bool) -> None:
    """Read a file of Keras or of the efficientnet package: the same layers, but two scalings.

    The package scales pixels to (x - mean) / deviation, in front of the network. Keras does so in
    the network, and then divides by the root of the deviation once more, in a layer that it adds
    for `weights="imagenet"` alone (tensorflow issue 49930); here that goes into the variance.
    """
    source = read_layers(path)
    scaling = source.pop("normalization number 1", None) if efficientnet else None
    layers = [
        layer
        for layer in network.layers
        if layer.weights and not (efficientnet and isinstance(layer, keras.layers.Normalization))
    ]
    assign_layers(layers, source, path)
    if efficientnet:
        mean, variance = np.array(IMAGENET_MEAN), np.square(IMAGENET_DEVIATION)
        if scaling:
            mean, variance = (tensor.values for tensor in scaling[:2])
            variance = variance * np.array(IMAGENET_DEVIATION)
        set_normalization(network, mean, variance)
