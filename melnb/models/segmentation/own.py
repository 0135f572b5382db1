"""Two encoders of our own, to be trained from nothing on a CPU: `unet-tiny` and `unet-small`.

Ordinary 3 x 3 convolutions after an early stride: oneDNN runs them several times faster than the
depthwise ones of EfficientNet at the same number of multiplications. What a lesion is is seen from
afar, so the maps at full resolution, which cost most, are thin or left out.
"""

from __future__ import annotations

from typing import Any

from keras import layers


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
