"""Backbones: one table of networks, EfficientNet to our own, pixels to a map of features.

Every one takes float32 pixels, 0-255; the scaling that its published weights were learnt with is
inside, in layers of Keras. Feeding 0-1 ruins a published network without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from melnb.models.networks.efficientnet_lite import REPEATS as LITES
from melnb.models.networks.efficientnet_lite import efficientnet_lite
from melnb.models.networks.saved import read_network
from melnb.tables.nearest import did_you_mean

# Two networks of our own, to be trained from nothing on a CPU: `tiny` and `small`.
#
# Ordinary 3 x 3 convolutions and an early stride: on a CPU they are several times faster than the
# depthwise convolutions of EfficientNet at the same number of multiplications.


def tiny(pixels: Any) -> Any:
    """Return 64 features an eighth of the side apart: 60 thousand weights, for tests and demos."""
    x = pixels
    for number, filters in enumerate((16, 32, 64), start=1):
        x = layers.ReLU(name=f"map{number}")(_convolution(x, filters, stride=2))
    return layers.ReLU(name="map4")(_convolution(x, 64))


def small(pixels: Any) -> Any:
    """Return 192 features a sixteenth of the side apart: 1.6 million weights, for 64-96 pixels.

    A residual network (He et al. 2016) with the averaging shortcut of ResNet-D (He et al. 2019);
    57 million multiplications at 64 pixels. Squeeze and excitation was tried: it cost 9 % of the
    time and gained nothing.
    """
    x = layers.ReLU(name="map1")(_convolution(pixels, 24, stride=2))
    for number, filters in enumerate((48, 96, 192), start=2):
        x = _residual(x, filters, f"map{number}a", stride=2)
        x = _residual(x, filters, f"map{number}b")
    return x


def _residual(x: Any, filters: int, name: str, *, stride: int = 1) -> Any:
    y = layers.ReLU()(_convolution(x, filters, stride=stride))
    y = _convolution(y, filters, gamma="zeros")
    if stride > 1:
        x = layers.AveragePooling2D(stride, padding="same")(x)
    if x.shape[-1] != filters:
        x = _convolution(x, filters, kernel=1)
    return layers.ReLU(name=name)(layers.Add()([x, y]))


def _convolution(
    x: Any, filters: int, *, kernel: int = 3, stride: int = 1, gamma: str = "ones"
) -> Any:
    """A convolution and its normalisation, whose running means keep up with a short training."""
    x = layers.Conv2D(
        filters, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    return layers.BatchNormalization(momentum=0.9, gamma_initializer=gamma)(x)


IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of red, green and blue, 0-1
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # of blue, green and red, 0-255
OWN = ".keras"  # how the name of an encoder of one's own ends
SCALINGS = ("inside", "unit", "signed", "torch", "caffe", "lite")
"""What a network wants of pixels of 0-255: them as they are, 0-1, -1 to 1, or see `Backbone`."""
_HOST = "https://storage.googleapis.com/"


@dataclass(frozen=True)
class Backbone:
    """One network.

    Attributes:
        name: Of its constructor in `keras.applications`, an EfficientNet-Lite, or one of ours.
        native_size: Pixels on a side that it was made for.
        scaling: `inside` (its own layers do it), `caffe` (BGR less the mean), `torch` (normalised
            by mean and deviation), `signed` (-1 to 1) or `lite` (less 127, over 128).
        file: Of its ImageNet weights without top, below the host of Keras; empty if there is none
            (those of an EfficientNet-Lite lie in a package: `weights.PACKAGED`).
        digest: The md5 or sha256 of that file, as Keras names it.
    """

    name: str
    native_size: int
    scaling: str
    file: str = ""
    digest: str = ""

    @property
    def address(self) -> str:
        """Return where its ImageNet weights are published, or an empty string."""
        return _HOST + self.file if self.file else ""


_B = "keras-applications/efficientnetb"
_V2 = "tensorflow/keras-applications/efficientnet_v2/efficientnetv2-"
_APPS = "tensorflow/keras-applications/"
_TF = "_weights_tf_dim_ordering_tf_kernels_notop.h5"
_MOBILE = _APPS + "mobilenet_v3/weights_mobilenet_v3_"

# fmt: off
_ROWS: tuple[tuple[Any, ...], ...] = (
    ("tiny", 64, "signed"),
    ("small", 64, "signed"),
    ("EfficientNetB0", 224, "inside", _B + "0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d"),
    ("EfficientNetB1", 240, "inside", _B + "1_notop.h5", "74c4e6b3e1f6a1eea24c589628592432"),
    ("EfficientNetB2", 260, "inside", _B + "2_notop.h5", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    ("EfficientNetB3", 300, "inside", _B + "3_notop.h5", "af6d107764bb5b1abb91932881670226"),
    ("EfficientNetB4", 380, "inside", _B + "4_notop.h5", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    ("EfficientNetB5", 456, "inside", _B + "5_notop.h5", "38879255a25d3c92d5e44e04ae6cec6f"),
    ("EfficientNetB6", 528, "inside", _B + "6_notop.h5", "9ecce42647a20130c1f39a5d4cb75743"),
    ("EfficientNetB7", 600, "inside", _B + "7_notop.h5", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    ("EfficientNetLite0", 224, "lite"),
    ("EfficientNetLite1", 240, "lite"),
    ("EfficientNetLite2", 260, "lite"),
    ("EfficientNetV2B0", 224, "inside", _V2 + "b0_notop.h5", "893217f2bb855e2983157299931e43ff"),
    ("EfficientNetV2B1", 240, "inside", _V2 + "b1_notop.h5", "0e80663031ca32d657f9caa404b6ec37"),
    ("EfficientNetV2B2", 260, "inside", _V2 + "b2_notop.h5", "1dfe2e7a5d45b6632553a8961ea609eb"),
    ("EfficientNetV2B3", 300, "inside", _V2 + "b3_notop.h5", "f6abf7b5849ac99a89b50dd3fd532856"),
    ("EfficientNetV2S", 384, "inside", _V2 + "s_notop.h5", "af0682fb74e8c54910f2d4393339c070"),
    ("EfficientNetV2M", 480, "inside", _V2 + "m_notop.h5", "1b8dc055df72dde80d614482840fe342"),
    ("EfficientNetV2L", 480, "inside", _V2 + "l_notop.h5", "b0b66b5c863aef5b46e8608fe1711615"),
    ("ResNet50", 224, "caffe", _APPS + "resnet/resnet50" + _TF, "4d473c1dd8becc155b73f8504c6f6626"),
    ("ResNet101", 224, "caffe", _APPS + "resnet/resnet101" + _TF,
     "88cf7a10940856eca736dc7b7e228a21"),
    ("ResNet152", 224, "caffe", _APPS + "resnet/resnet152" + _TF,
     "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    ("VGG16", 224, "caffe", _APPS + "vgg16/vgg16" + _TF, "6d6bbae143d832006294945121d1f1fc"),
    ("VGG19", 224, "caffe", _APPS + "vgg19/vgg19" + _TF, "253f8cb515780f3b799900260a226db6"),
    ("DenseNet121", 224, "torch", _APPS + "densenet/densenet121" + _TF,
     "30ee3e1110167f948a6b9946edeeb738"),
    ("DenseNet169", 224, "torch", _APPS + "densenet/densenet169" + _TF,
     "b8c4d4c20dd625c148057b9ff1c1176b"),
    ("DenseNet201", 224, "torch", _APPS + "densenet/densenet201" + _TF,
     "c13680b51ded0fb44dff2d8f86ac8bb1"),
    ("InceptionV3", 299, "signed", _APPS + "inception_v3/inception_v3" + _TF,
     "bcbd6486424b2319ff4ef7d526e38f63"),
    ("Xception", 299, "signed", _APPS + "xception/xception" + _TF,
     "b0042744bf5b25fce3cb969f33bebb97"),
    ("MobileNetV3Small", 224, "inside", _MOBILE + "small_224_1.0_float_no_top_v2.h5",
     "d3e8ec802a04aa4fc771ee12a9a9b836"),
    ("MobileNetV3Large", 224, "inside", _MOBILE + "large_224_1.0_float_no_top_v2.h5",
     "07fb09a5933dd0c8eaafa16978110389"),
    ("ConvNeXtTiny", 224, "inside", _APPS + "convnext/convnext_tiny_notop.h5",
     "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
    ("ConvNeXtSmall", 224, "inside", _APPS + "convnext/convnext_small_notop.h5",
     "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
    ("ConvNeXtBase", 224, "inside", _APPS + "convnext/convnext_base_notop.h5",
     "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
)
# fmt: on
BACKBONES: dict[str, Backbone] = {row[0]: Backbone(*row) for row in _ROWS}
# What is built here: scaled pixels to features. The rest are networks of Keras.
BUILDERS: dict[str, Callable[[Any], Any]] = {
    "tiny": tiny,
    "small": small,
    **{name: partial(efficientnet_lite, name) for name in LITES},
}
EFFICIENTNETS = tuple(f"EfficientNetB{i}" for i in range(8))


def find_backbone(name: str) -> Backbone:
    """Return the row of a backbone.

    Raises:
        ValueError: There is none of that name; the nearest is given.
    """
    if name not in BACKBONES:
        hint = did_you_mean(name, BACKBONES)
        raise ValueError(f"no backbone {name!r}{hint} (backbones: {', '.join(BACKBONES)})")
    return BACKBONES[name]


def is_own(name: str) -> bool:
    """Return whether a backbone is named by the file of an encoder of one's own."""
    return name.endswith(OWN)


def make_backbone(name: str, *, image_size: int, scaling: str = "inside") -> keras.Model:
    """Make a backbone with random weights.

    Args:
        name: A key of `BACKBONES`; or the path of a `.keras` file, an encoder without a head, of
            which the layers are taken (`weights.read_weights` knows its weights as `kept`).
        image_size: Pixels on a side.
        scaling: Of an encoder of one's own: what it wants of pixels of 0-255, see `SCALINGS`.

    Returns:
        A model named `backbone`: n x image_size x image_size x 3 float32 pixels, 0-255, to
        n x height x width x channels features.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There is no such backbone, or the pictures are too small for it; or the file is
            no encoder, or is not to be trusted (`saved.ModelFileError`).
    """
    if name.endswith(".onnx"):
        raise ValueError(
            f"backbone is {name!r}: an ONNX file is frozen, and serves 03d_embed; to train on, "
            f"give a {OWN} file"
        )
    if is_own(name):
        return _make_own(name, image_size, scaling)
    row = find_backbone(name)
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    scaled = scale_pixels(pixels, row.scaling)
    if name in BUILDERS:
        return keras.Model(pixels, BUILDERS[name](scaled), name="backbone")
    network = getattr(keras.applications, name)(
        weights=None,
        include_top=False,
        input_tensor=scaled,
        input_shape=(image_size, image_size, 3),
    )
    if name in EFFICIENTNETS:
        set_normalization(network, IMAGENET_MEAN, np.square(IMAGENET_DEVIATION))
    return keras.Model(pixels, network.output, name="backbone")


def read_own(path: str | Path) -> keras.Model:
    """Read an encoder of one's own, looked at as every model file is.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not from a picture to a map of features; or see `saved.read_network`.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"backbone is {str(path)!r}, and there is no such file")
    encoder = read_network(path, stage="03_train")
    shapes = [tuple(t.shape) for t in (*encoder.inputs, *encoder.outputs)]
    if len(shapes) != 2 or len(shapes[0]) != 4 or shapes[0][-1] != 3 or len(shapes[1]) != 4:
        raise ValueError(
            f"{path} is from {shapes[: len(encoder.inputs)]} to {shapes[len(encoder.inputs) :]}, "
            "and an encoder is from one picture (None, height, width, 3) to one map of features "
            "(None, h, w, channels): cut its head off and save that "
            "(keras.Model(net.input, net.get_layer(…).output).save)"
        )
    return encoder


def _make_own(name: str, image_size: int, scaling: str) -> keras.Model:
    """Return an encoder of one's own for pictures of a size, its layers made anew."""
    if scaling not in SCALINGS:
        hint = did_you_mean(scaling, SCALINGS)
        raise ValueError(f"scaling is {scaling!r}{hint}; use one of {list(SCALINGS)}")
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    read = read_own(name)
    try:
        clone = keras.models.clone_model(read, input_tensors=pixels)
    except ValueError as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{name} takes pictures of {read.input_shape[1:3]} pixels, and not of {image_size} "
            f"({reason}): set image_size to its own"
        ) from None
    if scaling == "inside":
        return keras.Model(clone.input, clone.output, name="backbone")
    return keras.Model(pixels, clone(scale_pixels(pixels, scaling)), name="backbone")


def scale_pixels(pixels: Any, scaling: str) -> Any:
    """Return pixels of 0-255 as a published network wants them; see `Backbone.scaling`.

    The arithmetic stays in float32 under mixed precision: bfloat16 has 8 bits, and so has a pixel.
    """
    scale: Any = 1 / 127.5
    offset: Any = -1.0
    match scaling:
        case "inside":
            return pixels
        case "caffe":
            scale, offset = 1.0, [-mean for mean in _CAFFE_MEAN]
            pixels = ops.flip(pixels, axis=-1)
        case "lite":
            scale, offset = 1 / 128, -127 / 128
        case "unit":
            scale, offset = 1 / 255, 0.0
        case "torch":
            scale = [1 / (255 * d) for d in IMAGENET_DEVIATION]
            offset = [-m / d for m, d in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)]
    return layers.Rescaling(scale, offset, dtype="float32", name="scaling")(pixels)


def set_normalization(network: keras.Model, mean: Any, variance: Any) -> None:
    """Set the mean and variance (3 each, pixels 0-1) of an EfficientNet's own normalisation.

    Keras leaves it at 0 and 1 unless its weights file sets it.
    """
    layer = next(x for x in network.layers if isinstance(x, layers.Normalization))
    layer.adapt_mean.assign(np.reshape(mean, layer.adapt_mean.shape))
    layer.adapt_variance.assign(np.reshape(variance, layer.adapt_variance.shape))
    layer.finalize_state()
