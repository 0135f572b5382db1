"""The U-Net: an encoder, a decoder and one logit for each pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from melnb.models.networks.saved import read_network
from melnb.models.segmentation.encoders import find_encoder, make_encoder

# Resampling: pictures of any side made whole for an encoder, and maps made twice as fine.
#
# Written as plain arithmetic on slices: the same bits each time on every device, where the
# gradients of libraries' resizing are not deterministic on a GPU.


@keras.saving.register_keras_serializable("melnb")
class PadToStride(keras.layers.Layer):  # type: ignore[misc]
    """Pixels with a mirrored border, so that both sides are multiples of a stride.

    The border is shared between both ends, so that a mirrored picture gets a mirrored border
    wherever an even number of pixels is missing.

    Args:
        stride: Of the coarsest map of an encoder.
    """

    def __init__(self, stride: int, **keywords: Any) -> None:
        super().__init__(**{"dtype": "float32", **keywords})  # 16 bits would blur pixels
        self.stride = int(stride)

    def call(self, pixels: Any) -> Any:
        """Return n x height x width x channels with the border."""
        for axis in (1, 2):
            side = ops.shape(pixels)[axis]
            if isinstance(side, int) and side % self.stride == 0:
                continue
            pixels = ops.take(pixels, _mirrored_places(side, self.stride), axis=axis)
        return pixels

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape with the border."""
        wide = (None if s is None else s + -s % self.stride for s in shape[1:3])
        return (shape[0], *wide, shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {**super().get_config(), "stride": self.stride}


@keras.saving.register_keras_serializable("melnb")
class CutBorder(keras.layers.Layer):  # type: ignore[misc]
    """A map without the border that `PadToStride` gave its pixels, on the grid of the pixels."""

    def call(self, wide: Any, pixels: Any) -> Any:
        """Return n x height x width x channels, height and width those of the pixels."""
        (height, width), (tall, long) = ops.shape(pixels)[1:3], ops.shape(wide)[1:3]
        top, left = (tall - height) // 2, (long - width) // 2
        return wide[:, top : top + height, left : left + width]

    def compute_output_shape(
        self, wide_shape: tuple[int | None, ...], pixels_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape without the border."""
        return (*pixels_shape[:3], wide_shape[3])


@keras.saving.register_keras_serializable("melnb")
class Finer(keras.layers.Layer):  # type: ignore[misc]
    """A map twice as fine, bilinearly; beyond the edge it goes on as at the edge."""

    def call(self, x: Any) -> Any:
        """Return n x 2 height x 2 width x channels."""
        for axis in (1, 2):
            x = _twice(x, axis)
        return x

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape, twice as fine."""
        return (shape[0], *(None if s is None else 2 * s for s in shape[1:3]), shape[3])


@keras.saving.register_keras_serializable("melnb")
class Spread(keras.layers.Layer):  # type: ignore[misc]
    """Four channels laid out as 2 x 2 places: sub-pixel convolution (Shi et al. 2016)."""

    def call(self, x: Any) -> Any:
        """Return n x 2 height x 2 width x channels / 4."""
        _, height, width, channels = ops.shape(x)
        x = ops.reshape(x, (-1, height, width, 2, 2, channels // 4))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, 2 * height, 2 * width, channels // 4))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape, twice as fine."""
        finer = (None if s is None else 2 * s for s in shape[1:3])
        return (shape[0], *finer, None if shape[3] is None else shape[3] // 4)


def _mirrored_places(side: Any, stride: int) -> Any:
    """Return from where along a side each place of the wider one is taken: b a | a b c | c b."""
    if isinstance(side, int):
        wide = side + -side % stride
        places = np.arange(wide) - (wide - side) // 2
        places = places % (2 * side)
        return np.minimum(places, 2 * side - 1 - places).astype("int32")
    wide = -(-side // stride) * stride
    places = ops.mod(ops.arange(wide, dtype="int32") - (wide - side) // 2, 2 * side)
    return ops.minimum(places, 2 * side - 1 - places)


def _twice(x: Any, axis: int) -> Any:
    """Return a map twice as fine along one axis.

    New places lie a quarter off the old ones, so each is three parts of the nearest and one part
    of the next.
    """
    parts: list[Any] = [slice(None)] * 4

    def part(begin: int | None, end: int | None) -> Any:
        parts[axis] = slice(begin, end)
        return x[tuple(parts)]

    before = ops.concatenate([part(None, 1), part(None, -1)], axis=axis)
    after = ops.concatenate([part(1, None), part(-1, None)], axis=axis)
    pair = ops.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
    shape = list(ops.shape(x))
    shape[0], shape[axis] = -1, 2 * shape[axis]
    return ops.reshape(pair, shape)


# Decoders: from the coarsest map back towards the pixels, taking up a finer one at each stage.

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


def make_segmenter(
    backbone: str = "unet-small",
    *,
    weights: str = "none",
    decoder: str = "upsampling",
    filters: int = 32,
    growth: float = 2.0,
    convolutions: int = 2,
    most_filters: int = 512,
    finest: int = 1,
    batch_norm: bool = True,
    dropout: float = 0.0,
    lesion_share: float = 0.2,
    name: str = "segmenter",
) -> keras.Model:
    """Make a U-Net on the maps of a backbone (Ronneberger et al. 2015).

    The model takes n x height x width x 3 float32 pixels, 0-255, of any height and width: they are
    padded by mirroring to the encoder's stride, and the border is cut off again. It gives n x
    height x width x 1 float32 logits of lesion, under mixed precision too, from a layer `mask`.
    The encoder is its layer `backbone`, as `optimization.blocks` freezes it.

    Args:
        backbone: A key of `encoders.ENCODERS`.
        weights: Of the encoder; see `make_encoder`.
        decoder: `transposed`, `upsampling` or `subpixel`; see `decode`.
        filters: Features of a stage as fine as the pixels.
        growth: Factor of the features from one stage to the next coarser one.
        convolutions: 3 x 3, in each stage.
        most_filters: Of any stage.
        finest: Stride of the decoder's last stage, 1, 2 or 4; above 1 the logits are scaled up
            bilinearly, which spares the stages that cost most.
        batch_norm: Whether the decoder's convolutions are normalised.
        dropout: Share of the features of the coarsest map set to zero in training.
        lesion_share: Share of the pixels that are lesion: what the untrained model gives, about
            (Lin et al. 2017, section 3.3).
        name: Of the model.

    Raises:
        ValueError: A name is unknown, or a number is out of bounds.
        WeightsError: The weights are not published, cannot be had or do not fit.
    """
    row = find_encoder(backbone)
    _check(decoder, filters, growth, convolutions, most_filters, dropout, lesion_share)
    if finest not in (1, 2, 4) or finest >= row.strides[-1]:
        raise ValueError(f"finest is {finest}; use a stride of 1, 2 or 4")
    levels = range(row.strides[-1].bit_length())
    widths = [min(round(filters * growth**k), most_filters) for k in levels]
    pixels = keras.Input((None, None, 3), name="image")
    body = make_encoder(backbone, weights=weights)
    maps = body(PadToStride(row.strides[-1], name="pad")(pixels))
    features = decode(
        maps, row.strides, finest=finest, decoder=decoder, widths=widths,
        convolutions=convolutions, batch_norm=batch_norm, dropout=dropout,
    )  # fmt: skip
    x = keras.layers.Conv2D(
        1, 1, dtype="float32", name="logit",
        bias_initializer=keras.initializers.Constant(math.log(lesion_share / (1 - lesion_share))),
    )(features)  # fmt: skip
    for stride in range(finest.bit_length() - 1, 0, -1):
        x = Finer(dtype="float32", name=f"logit{2 ** (stride - 1)}")(x)
    return keras.Model(pixels, CutBorder(dtype="float32", name="mask")(x, pixels), name=name)


def read_segmenter(path: str | Path) -> keras.Model:
    """Read a segmenter that was saved as `.keras`, ready to predict, on either backend.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: It is not what it should be.
    """
    return read_network(path, stage="02c_segment_train")


def _check(
    decoder: str, filters: int, growth: float, convolutions: int, most_filters: int,
    dropout: float, lesion_share: float,
) -> None:  # fmt: skip
    if decoder not in DECODERS:
        raise ValueError(f"decoder is {decoder!r}; use one of {list(DECODERS)}")
    if filters < 1 or growth < 1 or convolutions < 1 or most_filters < 1:
        raise ValueError(
            f"filters is {filters}, growth {growth}, convolutions {convolutions} and most_filters "
            f"{most_filters}; use 1 or more of each"
        )
    if not 0 <= dropout < 1 or not 0 < lesion_share < 1:
        raise ValueError(
            f"dropout is {dropout} and lesion_share {lesion_share}; use 0 or more and less than 1, "
            "and for lesion_share more than 0"
        )
