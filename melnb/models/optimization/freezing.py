"""Freezing and unfreezing of blocks, and layer-wise learning rates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from melnb.models.keras_internals import every_layer

# What keras.applications calls its layers, and the block that a layer is in.
_NAMES = (
    (r"(?:convnext_\w+_)?stem", "stem"),  # EfficientNet, ConvNeXt
    (r"block(\d+)", "block{}"),  # EfficientNet, VGG, Xception
    (r"top_(?:conv|bn)", "top"),  # EfficientNet
    (r"conv(\d)_(?:conv|bn|block)", "conv{}"),  # ResNet, DenseNet
    (r"pool(\d)_(?:conv|bn)", "conv{}"),  # DenseNet: the transition after a block
    (r"expanded_conv_(\d+)_", "block{}"),  # MobileNet
    (r"expanded_conv_", "block0"),
    (r"conv(?:_bn)?$", "stem"),
    (r"conv_1(?:_bn)?$", "top"),
    (r"convnext_\w+_downsampling_block_(\d)", "downsampling{}"),  # ConvNeXt
    (r"convnext_\w+_stage_(\d)_", "stage{}"),
)
_ENDS = (keras.layers.Activation, keras.layers.ReLU, keras.layers.Concatenate)


@dataclass(frozen=True)
class Block:
    """A part of a backbone that everything passes through: its name and its layers."""

    name: str
    layers: tuple[keras.layers.Layer, ...]


@dataclass(frozen=True)
class BlockRates:
    """The factor of the learning rate of each variable of a model, by its path."""

    decay: float
    blocks: int
    factors: Mapping[str, float]

    def __call__(self, path: str) -> float:
        """Return the factor of the variable of that path.

        Raises:
            ValueError: The model has no such variable.
        """
        if path not in self.factors:
            raise ValueError(
                f"no rate for {path}: these rates by block are another network's; make them, and "
                "the optimizer, again"
            )
        return self.factors[path]

    def __str__(self) -> str:
        """Say what they are, without names that change from one model to the next."""
        return f"times {self.decay:g} a block, over {self.blocks} blocks"


def blocks_of(model: keras.Model) -> list[Block]:
    """Return the blocks of a model's backbone, from its input to its output.

    They are those that its authors named (EfficientNet: stem, block1 to block7, top; ResNet: conv1
    to conv5; Inception: stem, mixed0 to mixed10; ...). Where layers have no names but numbers, a
    block ends wherever all that was seen passes through one activation.

    Args:
        model: What has a layer named `backbone`; or a backbone, as `make_backbone` gives it.

    Returns:
        Blocks that hold weights; every layer with weights is in one of them.
    """
    layers = [
        x for x in find_backbone_of(model).layers if not isinstance(x, keras.layers.InputLayer)
    ]
    labels = _named(layers)
    if not any(labels):
        labels = _numbered(layers)
    members: dict[str, list[keras.layers.Layer]] = {}
    for layer, label in zip(layers, _filled(labels), strict=True):
        members.setdefault(label, []).append(layer)
    return [
        Block(name, tuple(group))
        for name, group in members.items()
        if any(x.weights for x in group)
    ]


def freeze(model: keras.Model, blocks: int | str, *, norm: bool = False) -> list[str]:
    """Freeze the first blocks of a model's backbone, and let all the others learn.

    A frozen layer's weights do not move, and its BatchNormalization is in inference mode: neither
    do its running statistics. To be called before a trainer is compiled and its optimizer built.

    Args:
        model: A classifier or what holds one, with a layer named `backbone`; or a backbone.
        blocks: How many, from the input on; `all`: the whole backbone.
        norm: Whether BatchNormalization is frozen in the other blocks, too.

    Returns:
        The names of the frozen blocks.

    Raises:
        ValueError: There are not so many.
    """
    every = blocks_of(find_backbone_of(model))
    count = len(every) if blocks == "all" else blocks
    if isinstance(count, str) or not 0 <= count <= len(every):
        names = ", ".join(block.name for block in every)
        raise ValueError(
            f"{blocks!r} blocks to freeze, and the backbone has {len(every)} ({names}): use 0 to "
            f"{len(every)}, or 'all'"
        )
    for number, block in enumerate(every):
        for layer in block.layers:
            still = norm and isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = number >= count and not still
    return [block.name for block in every[:count]]


def block_rates(model: keras.Model, decay: float) -> BlockRates:
    """Return rates that fall from the head towards the pixels (Howard & Ruder 2018, section 3.2).

    The head learns at the full rate, the last block at `decay` times that, the one before at
    `decay` squared, and so on.

    Args:
        model: A classifier or what holds one, with a layer named `backbone`; or a backbone.
        decay: Factor of each block, above 0 and at most 1.

    Raises:
        ValueError: The decay is out of bounds.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"the decay of rates by block is {decay}; use one above 0, at most 1")
    every = blocks_of(find_backbone_of(model))
    factors = {weight.path: 1.0 for weight in model.weights} | {
        weight.path: decay ** (len(every) - number)
        for number, block in enumerate(every)
        for layer in block.layers
        for weight in layer.weights
    }
    return BlockRates(decay=decay, blocks=len(every), factors=factors)


def find_backbone_of(model: keras.Model) -> keras.Model:
    """Return the backbone of a model, however deep it lies; the model itself if it is one.

    Raises:
        ValueError: It has none.
    """
    for layer in every_layer(model):
        if layer.name == "backbone" and isinstance(layer, keras.Model):
            return layer
    raise ValueError(f"the model {model.name!r} has no layer named 'backbone': no blocks to find")


def _named(layers: Sequence[keras.layers.Layer]) -> list[str]:
    labels = []
    for layer in layers:
        hits = ((re.match(pattern, layer.name), label) for pattern, label in _NAMES)
        labels.append(next((label.format(*hit.groups()) for hit, label in hits if hit), ""))
    return labels


def _numbered(layers: Sequence[keras.layers.Layer]) -> list[str]:
    """Label the last layer of each block, and give the same label to all that lead to it."""
    labels, block = [""] * len(layers), 0
    ends = [k for k in _passages(layers) if isinstance(layers[k], _ENDS)]
    mixed = any(layers[k].name.startswith("mixed") for k in ends)
    for begin, end in zip([0, *(e + 1 for e in ends)], ends, strict=False):
        if mixed:  # Inception names its modules, and nothing before them
            name = layers[end].name if layers[end].name.startswith("mixed") else "stem"
        else:
            block += any(layer.weights for layer in layers[begin : end + 1])
            name = f"block{block}"
        labels[begin : end + 1] = [name] * (end + 1 - begin)
    return labels


def _passages(layers: Sequence[keras.layers.Layer]) -> list[int]:
    """Return the layers, by number, that no path from pixels to features goes around."""
    maker = {id(t): k for k, layer in enumerate(layers) for t in _tensors(layer.output)}
    last_use = list(range(len(layers)))
    for k, layer in enumerate(layers):
        for tensor in _tensors(layer.input):
            if id(tensor) in maker:
                last_use[maker[id(tensor)]] = k
    return [k for k in range(len(layers)) if all(use <= k for use in last_use[:k])]


def _filled(labels: Sequence[str]) -> list[str]:
    """Give a layer without a label the one of the layer before; the first ones, the next one's."""
    filled, label = [], next(filter(None, labels), "block1")
    for named in labels:
        label = named or label
        filled.append(label)
    return filled


def _tensors(nest: Any) -> list[Any]:
    return list(keras.tree.flatten(nest))
