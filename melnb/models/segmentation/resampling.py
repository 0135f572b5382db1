"""Resampling: pictures of any side made whole for an encoder, and maps made twice as fine.

Written as plain arithmetic on slices: the same bits each time on every device, where the gradients
of libraries' resizing are not deterministic on a GPU.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


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
