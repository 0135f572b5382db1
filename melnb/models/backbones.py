"""The backbones: one table of networks, from pixels to a map of features."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def make_backbone(name: str, *, image_size: int) -> keras.Model:
    """Make a backbone: n x image_size x image_size x 3 pixels, 0-255, to a map of features."""
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, -1.0, dtype="float32")(pixels)
    return keras.Model(pixels, _tiny(x), name="backbone")


def _convolution(x: Any, filters: int, *, stride: int = 1) -> Any:
    x = layers.Conv2D(filters, 3, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x)


def _tiny(x: Any) -> Any:
    for filters in (16, 32, 64):
        x = _convolution(x, filters, stride=2)
    return _convolution(x, 64)
