"""U-Net encoders: a backbone, and the maps on its way that a decoder takes up again.

The maps are had by the names of their layers. Each is the last one of its resolution that has been
normalised and rectified, and lies half as fine as the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from melnb.models.networks.backbones import (
    BACKBONES,
    BUILDERS,
    EFFICIENTNETS,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    scale_pixels,
    set_normalization,
)
from melnb.models.networks.efficientnet_lite import REPEATS as LITES
from melnb.models.networks.layouts import WeightsError
from melnb.models.networks.weights import NAMES, read_weights
from melnb.tables.nearest import did_you_mean

# Two encoders of our own, to be trained from nothing on a CPU: `unet-tiny` and `unet-small`.
#
# Ordinary 3 x 3 convolutions after an early stride: oneDNN runs them several times faster than
# the depthwise ones of EfficientNet at the same number of multiplications. What a lesion is is
# seen from afar, so the maps at full resolution, which cost most, are thin or left out.


def unet_tiny(pixels: Any) -> list[Any]:
    """Return 8, 16 and 32 features, 2, 4 and 8 pixels apart: for tests and demos."""
    maps, x = [], pixels
    for number, filters in enumerate((8, 16, 32), start=1):
        x = _convolution(x, filters, f"block{number}", stride=2)
        x = layers.ReLU(name=f"block{number}_out")(x)
        maps.append(x)
    return maps


def unet_small(pixels: Any) -> list[Any]:
    """Return 24, 48, 96, 128 and 128 features, 2 to 32 pixels apart: 1.5 million weights.

    A residual network (He et al. 2016) with the averaging shortcut of ResNet-D (He et al. 2019).
    """
    x = _convolution(pixels, 24, "block1", stride=2)
    x = layers.ReLU(name="block1_out")(x)
    maps = [x]
    for number, filters in enumerate((48, 96, 128, 128), start=2):
        x = _residual(x, filters, f"block{number}a", stride=2)
        x = _residual(x, filters, f"block{number}b")
        maps.append(x)
    return maps


def _residual(x: Any, filters: int, name: str, *, stride: int = 1) -> Any:
    y = layers.ReLU(name=f"{name}_1_relu")(_convolution(x, filters, f"{name}_1", stride=stride))
    y = _convolution(y, filters, f"{name}_2", gamma="zeros")
    if stride > 1:
        x = layers.AveragePooling2D(stride, name=f"{name}_pool")(x)
    if x.shape[-1] != filters:
        x = _convolution(x, filters, f"{name}_0", kernel=1)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))


def _convolution(
    x: Any, filters: int, name: str, *, kernel: int = 3, stride: int = 1, gamma: str = "ones"
) -> Any:
    """A convolution and its normalisation, whose running means keep up with a short training."""
    x = layers.Conv2D(
        filters, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)  # fmt: skip
    return layers.BatchNormalization(momentum=0.9, gamma_initializer=gamma, name=f"{name}_bn")(x)


@dataclass(frozen=True)
class Encoder:
    """Where the maps of a backbone lie.

    Attributes:
        maps: Names of layers, from the finest map to the coarsest.
        first_stride: Pixels from one place of the finest map to the next; it doubles with each.
        make: Of our own networks: scaled pixels to the maps; None: it is cut out of a backbone.
    """

    maps: tuple[str, ...]
    first_stride: int = 2
    make: Callable[[Any], list[Any]] | None = None

    @property
    def strides(self) -> tuple[int, ...]:
        """Return the pixels from one place to the next, for each map."""
        return tuple(self.first_stride * 2**k for k in range(len(self.maps)))


_DENSE = Encoder(("conv1_relu", "pool2_relu", "pool3_relu", "pool4_relu", "relu"))
_EFFICIENT = Encoder((*(f"block{k}a_expand_activation" for k in (2, 3, 4, 6)), "top_activation"))
_RESIDUAL = Encoder(
    ("conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")
)


def _vgg(last: int) -> Encoder:
    deep = (f"block{k}_conv{last}" for k in (3, 4, 5))
    return Encoder(("block1_conv2", "block2_conv2", *deep, "block5_pool"), first_stride=1)


ENCODERS: dict[str, Encoder] = {
    "unet-tiny": Encoder(tuple(f"block{k}_out" for k in (1, 2, 3)), make=unet_tiny),
    "unet-small": Encoder(
        ("block1_out", *(f"block{k}b_out" for k in (2, 3, 4, 5))), make=unet_small
    ),
    "VGG16": _vgg(3),
    "VGG19": _vgg(4),
    "ResNet50": _RESIDUAL,
    **{f"DenseNet{depth}": _DENSE for depth in (121, 169, 201)},
    **dict.fromkeys((*EFFICIENTNETS, *LITES), _EFFICIENT),
}


def find_encoder(name: str) -> Encoder:
    """Return where the maps of a backbone lie.

    Raises:
        ValueError: There is no encoder of that name; the nearest is given.
    """
    if name not in ENCODERS:
        hint = did_you_mean(name, ENCODERS)
        raise ValueError(f"no encoder {name!r}{hint} (encoders: {', '.join(ENCODERS)})")
    return ENCODERS[name]


def make_encoder(name: str, *, weights: str = "none") -> keras.Model:
    """Make an encoder.

    Args:
        name: A key of `ENCODERS`.
        weights: As `networks.weights.read_weights` takes them, such as `none`, `imagenet` or the
            path of a classifier of the same backbone.

    Returns:
        A model named `backbone`: n x height x width x 3 float32 pixels, 0-255, of sides that are
        multiples of its last stride, to its maps, from the finest to the coarsest.

    Raises:
        ValueError: There is no such encoder.
        WeightsError: The weights are not published, cannot be had or do not fit.
    """
    row = find_encoder(name)
    if row.make is not None and weights in NAMES:
        raise WeightsError(
            f"no {weights} weights are published for {name}, which is ours: use weights none, the "
            "path of a file, or the backbone of a library"
        )
    pixels = keras.Input((None, None, 3), name="pixels")
    if row.make is not None:
        body = keras.Model(pixels, row.make(scale_pixels(pixels, "signed")), name="backbone")
    else:
        body = _cut(name, row, pixels)
    read_weights(body, backbone=name, weights=weights)
    return body


def _cut(name: str, row: Encoder, pixels: Any) -> keras.Model:
    """Make a backbone that gives its maps instead of its last features alone."""
    scaled = scale_pixels(pixels, BACKBONES[name].scaling)
    if name in BUILDERS:
        network = keras.Model(pixels, BUILDERS[name](scaled))
    else:
        network = getattr(keras.applications, name)(
            weights=None, include_top=False, input_tensor=scaled, input_shape=(None, None, 3)
        )
    if name in EFFICIENTNETS:
        set_normalization(network, IMAGENET_MEAN, np.square(IMAGENET_DEVIATION))
    return keras.Model(pixels, [network.get_layer(k).output for k in row.maps], name="backbone")
