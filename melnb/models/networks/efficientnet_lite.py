"""EfficientNet-Lite: the networks 0, 1 and 2, and the layout of their state dicts.

EfficientNet without squeeze-and-excitation, with ReLU6 for swish, and with a stem and a head that
do not grow (Tan & Le 2019; the Lite series is of Google, 2020): ordinary operations alone, which
a CPU runs fast. Layers are named as in the EfficientNets of `keras.applications`, so that blocks
are frozen and maps are taken up by the same names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from melnb.models.networks.layouts import Layers, Tensor, WeightsError, misfit


class _Stage(NamedTuple):
    """A row of blocks that differ in their first stride alone."""

    kernel: int
    stride: int
    filters: int
    expansion: int


_STAGES = (
    _Stage(3, 1, 16, 1), _Stage(3, 2, 24, 6), _Stage(5, 2, 40, 6), _Stage(3, 2, 80, 6),
    _Stage(5, 1, 112, 6), _Stage(5, 2, 192, 6), _Stage(3, 1, 320, 6),
)  # fmt: skip
_STEM, _TOP = 32, 1280
REPEATS = {
    "EfficientNetLite0": (1, 2, 2, 3, 3, 4, 1),
    "EfficientNetLite1": (1, 3, 3, 4, 4, 5, 1),
    "EfficientNetLite2": (1, 3, 3, 4, 4, 5, 1),
}
WIDTHS = {"EfficientNetLite0": 1.0, "EfficientNetLite1": 1.0, "EfficientNetLite2": 1.1}
_MOMENTUM = 0.9  # 0.99 as published: running means that do not keep up with a short fine-tuning
_DROP = 0.2  # share of the last residual branches left out in training: stochastic depth
_START = keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")


def efficientnet_lite(name: str, pixels: Any) -> Any:
    """Return 1,280 features a 32nd of the side apart: 3.4, 4.2 and 4.9 million weights.

    Args:
        name: `EfficientNetLite0`, `1` or `2`.
        pixels: n x height x width x 3, (0-255 less 127) / 128.
    """
    x = _activated(_convolved(pixels, _STEM, "stem_conv", kernel=3, stride=2), "stem")
    for number, (key, stage, turn) in enumerate(_blocks(name)):
        filters = _rounded(stage.filters * WIDTHS[name])
        stride = 1 if turn else stage.stride
        drop = _DROP * number / sum(REPEATS[name])
        x = _block(x, key, stage, filters=filters, stride=stride, drop=drop)
    return _activated(_convolved(x, _TOP, "top_conv"), "top")


def _blocks(name: str) -> Iterator[tuple[str, _Stage, int]]:
    """Yield of each block its name, its stage and which of the stage's blocks it is."""
    for number, (stage, repeats) in enumerate(zip(_STAGES, REPEATS[name], strict=True), start=1):
        for turn in range(repeats):
            yield f"block{number}{chr(ord('a') + turn)}", stage, turn


def _block(x: Any, key: str, stage: _Stage, *, filters: int, stride: int, drop: float) -> Any:
    """An inverted residual block (Sandler et al. 2018)."""
    y = x
    if stage.expansion > 1:
        y = _convolved(y, x.shape[-1] * stage.expansion, f"{key}_expand_conv")
        y = _activated(y, f"{key}_expand")
    y = layers.DepthwiseConv2D(
        stage.kernel, stride, "same", use_bias=False, depthwise_initializer=_START,
        name=f"{key}_dwconv",
    )(y)  # fmt: skip
    y = _activated(y, key)
    y = _convolved(y, filters, f"{key}_project_conv")
    y = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{key}_project_bn")(y)
    if stride > 1 or x.shape[-1] != filters:
        return y
    if drop:
        y = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{key}_drop")(y)
    return layers.Add(name=f"{key}_add")([y, x])


def _convolved(x: Any, filters: int, name: str, *, kernel: int = 1, stride: int = 1) -> Any:
    return layers.Conv2D(
        filters, kernel, stride, "same", use_bias=False, kernel_initializer=_START, name=name
    )(x)


def _activated(x: Any, name: str) -> Any:
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_activation")(x)


def _rounded(filters: float) -> int:
    """Return the multiple of 8 that is nearest, and not below nine tenths."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * filters else nearest


# The two layouts of state dicts: that of `efficientnet_lite_pytorch`, whose files the packages
# hold, and that of timm.

_CONVOLUTION, _DEPTHWISE, _DENSE = (2, 3, 1, 0), (2, 3, 0, 1), (1, 0)  # axes, as Keras has them
_NORM = ("weight", "bias", "running_mean", "running_var")
_NORM_NAMES = ("gamma", "beta", "moving_mean", "moving_variance")
_IN_BLOCK = (
    ("expand_conv", "expand_bn", _CONVOLUTION),
    ("dwconv", "bn", _DEPTHWISE),
    ("project_conv", "project_bn", _CONVOLUTION),
)
_PACKAGE = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
_TIMM = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))
_TIMM_FIRST = (("", ""), ("conv_dw", "bn1"), ("conv_pw", "bn2"))  # where nothing is expanded


def lite_layers(name: str, state: Mapping[str, np.ndarray], path: Any) -> Layers:
    """Return the tensors of a state dict by our layers, with the 1,000 classes where it has them.

    Args:
        name: Of the network.
        state: As `efficientnet_lite_pytorch` or timm names its tensors.
        path: Of the file, for errors.

    Raises:
        WeightsError: A tensor is missing, of another kind, not finite, or in the file alone; every
            one is named.
    """
    rest = {key: values for key, values in state.items() if not key.endswith("num_batches_tracked")}
    tensors, problems = Layers(), []
    for layer, key, axes in _places(name, timm="conv_stem.weight" in rest):
        if layer == "predictions" and f"{key}.weight" not in rest:
            continue  # of a network without its top
        for part, letters in _parts(axes):
            values = rest.pop(f"{key}.{part}", None)
            order = axes if part == "weight" and axes else (0,)
            if values is None:
                problems.append(f"{key}.{part}: not in the file")
            elif values.ndim != len(order) or not np.isfinite(values).all():
                problems.append(f"{key}.{part}: {values.shape}, of other axes or not finite")
            else:
                tensor = Tensor(letters, values.transpose(order).astype("float32"))
                tensors.setdefault(layer, []).append(tensor)
    problems += [f"{key}: only in the file" for key in rest]
    if problems:
        raise WeightsError(misfit(path, problems))
    return tensors


def _parts(axes: tuple[int, ...] | None) -> tuple[tuple[str, str], ...]:
    """Return the tensors of a layer: their names in a state dict, and with us."""
    if axes is None:
        return tuple(zip(_NORM, _NORM_NAMES, strict=True))
    return (("weight", "kernel"), ("bias", "bias"))[: 2 if axes == _DENSE else 1]


def _places(name: str, *, timm: bool) -> Iterator[tuple[str, str, tuple[int, ...] | None]]:
    """Yield of each layer its name, its name in a state dict, and its axes; None: normalisation."""
    yield "stem_conv", "conv_stem" if timm else "_conv_stem", _CONVOLUTION
    yield "stem_bn", "bn1" if timm else "_bn0", None
    for number, (key, stage, turn) in enumerate(_blocks(name)):
        theirs = f"blocks.{_STAGES.index(stage)}.{turn}" if timm else f"_blocks.{number}"
        words = _PACKAGE if not timm else _TIMM if stage.expansion > 1 else _TIMM_FIRST
        pairs = list(zip(_IN_BLOCK, words, strict=True))[0 if stage.expansion > 1 else 1 :]
        for (layer, norm, axes), (word, norm_word) in pairs:
            yield f"{key}_{layer}", f"{theirs}.{word}", axes
            yield f"{key}_{norm}", f"{theirs}.{norm_word}", None
    yield "top_conv", "conv_head" if timm else "_conv_head", _CONVOLUTION
    yield "top_bn", "bn2" if timm else "_bn1", None
    yield "predictions", "classifier" if timm else "_fc", _DENSE
