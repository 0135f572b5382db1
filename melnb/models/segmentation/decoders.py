"""Decoders: from the coarsest map back towards the pixels, taking up a finer one at each stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from melnb.models.segmentation.resampling import Finer, Spread

DECODERS = ("transposed", "upsampling", "subpixel")


def decode(
    maps: Sequence[Any],
    strides: Sequence[int],
    *,
    finest: int,
    decoder: str,
    widths: Sequence[int],
    convolutions: int,
    batch_norm: bool,
    dropout: float,
) -> Any:
    """Return the features of the finest stage of a U-Net (Ronneberger et al. 2015).

    Args:
        maps: Of an encoder, from the finest to the coarsest.
        strides: Of each map, doubling.
        finest: Stride at which it ends.
        decoder: How a map is made twice as fine: `transposed` convolution, bilinear `upsampling`,
            or `subpixel` convolution (Shi et al. 2016).
        widths: Features of a stage, by the logarithm of its stride to the base 2.
        convolutions: 3 x 3, in each stage.
        batch_norm: Whether each is normalised.
        dropout: Share of the features of the coarsest map set to zero in training.
    """
    skips = dict(zip(strides[:-1], maps[:-1], strict=True))
    stride, x = strides[-1], maps[-1]
    x = _convolve(x, widths[_level(stride)], "bottom", kernel=1, batch_norm=batch_norm)
    if dropout:
        x = layers.SpatialDropout2D(dropout, name="dropout")(x)
    while stride > finest:
        stride //= 2
        name, width = f"decoder{stride}", widths[_level(stride)]
        x = _finer(x, width, decoder, name)
        if stride in skips:
            x = layers.Concatenate(name=f"{name}_skip")([x, skips[stride]])
        for number in range(1, convolutions + 1):
            x = _convolve(x, width, f"{name}_{number}", batch_norm=batch_norm)
    return x


def _finer(x: Any, width: int, decoder: str, name: str) -> Any:
    if decoder == "transposed":
        return layers.Conv2DTranspose(width, 2, 2, name=f"{name}_transposed")(x)
    if decoder == "subpixel":
        x = layers.Conv2D(4 * width, 1, name=f"{name}_subpixel")(x)
        return Spread(name=f"{name}_spread")(x)
    # A 1 x 1 convolution and bilinear upsampling commute, and this order costs a quarter.
    x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_narrow")(x)
    return Finer(name=f"{name}_finer")(x)


def _convolve(x: Any, width: int, name: str, *, kernel: int = 3, batch_norm: bool) -> Any:
    x = layers.Conv2D(
        width, kernel, padding="same", use_bias=not batch_norm, kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)  # fmt: skip
    if batch_norm:
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _level(stride: int) -> int:
    return stride.bit_length() - 1
