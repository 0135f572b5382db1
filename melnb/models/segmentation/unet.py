"""The segmenter: an encoder, a decoder and one logit for each pixel."""

from __future__ import annotations

import math
from pathlib import Path

import keras

from melnb.models.networks.saved import read_network
from melnb.models.segmentation.decoders import DECODERS, decode
from melnb.models.segmentation.encoders import find_encoder, make_encoder
from melnb.models.segmentation.resampling import CutBorder, Finer, PadToStride


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
