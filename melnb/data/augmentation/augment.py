"""Augmentation: a pure function of the images and of uniform draws, one row of draws per image.

Nothing here draws a random number: whoever calls decides where the draws come from, so a picture
can be made again from (seed, epoch, position). Written in `keras.ops`, it runs batched on the
accelerator, inside the compiled step, and gives the same picture eagerly, in a graph, jitted, on
TensorFlow and on JAX.

All that moves pixels is composed into one map of coordinates and one bilinear resampling; all that
changes colours into one 3 x 3 matrix and one offset. What has strength 0 costs nothing.

Pixels are float32, batch x height x width x 3, 0-255.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.data.augmentation.draws import DRAWS, NAMES

VIEWS = 8  # flips and quarter turns: the symmetries of a square

_LUMA = np.array([0.299, 0.587, 0.114], "float32")  # Rec. 601
_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
# A quarter turn of the hue: I to Q and Q to -I, grey staying what it is.
_TURN = (np.linalg.inv(_YIQ) @ [[0, 0, 0], [0, 0, -1], [0, 1, 0]] @ _YIQ).astype("float32")


def augment(
    images: Any,
    draws: Any,
    *,
    rotation: float = 0.0,
    shear: float = 0.0,
    zoom: float = 0.0,
    shift: float = 0.0,
    flips: bool = False,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    cutout: float = 0.0,
) -> Any:
    """Augment a batch of images.

    A draw of 0.5 is neutral (cutout alone has no neutral draw), 0 and 1 are the strength either
    way, and strength 0 leaves the operation out: with all strengths 0 the images come back as they
    are. Beyond the edge the picture is mirrored.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        draws: batch x DRAWS, uniform in [0, 1).
        rotation: Degrees either way.
        shear: Degrees either way.
        zoom: Share either way: sizes from 1 / (1 + zoom) to 1 + zoom.
        shift: Share of the side either way.
        flips: Whether to mirror left-right and up-down, each for a draw above 0.5.
        brightness: Share of the range either way.
        contrast: Share either way, about the mean luminance of the image.
        saturation: Share either way.
        hue: Share of the circle either way, in the YIQ plane.
        cutout: Side of one hole as a share of the picture's side; it gets the mean colour.

    Returns:
        Images as given, 0-255.
    """
    draw = {name: draws[:, k] for k, name in enumerate(NAMES)}
    signed = {name: 2 * value - 1 for name, value in draw.items()}
    if rotation or shear or zoom or shift:
        flip = (_side(draw["flip_x"]), _side(draw["flip_y"])) if flips else (1.0, 1.0)
        linear = _linear(
            signed["rotation"] * math.radians(rotation),
            signed["shear"] * math.radians(shear),
            (1 + zoom) ** -signed["zoom"],
            flip,
        )
        images = _resample(images, linear, (signed["shift_x"] * shift, signed["shift_y"] * shift))
    elif flips:
        images = ops.where(_rows(draw["flip_x"]) > 0.5, ops.flip(images, axis=2), images)
        images = ops.where(_rows(draw["flip_y"]) > 0.5, ops.flip(images, axis=1), images)
    if brightness or contrast or saturation or hue:
        images = _recolour(
            images,
            255 * brightness * signed["brightness"],
            1 + contrast * signed["contrast"],
            1 + saturation * signed["saturation"],
            2 * math.pi * hue * signed["hue"],
        )
    return _cut(images, draw["cut_x"], draw["cut_y"], cutout) if cutout else images


def sample_views(
    picture: Any, strengths: dict[str, Any], *, n: int = 6, seed: int = 0
) -> dict[str, list[np.ndarray]]:
    """Show what each operation alone makes of a picture, and all of them together.

    Args:
        picture: Square, height x width x 3, 0-255.
        strengths: Of `augment`; those of 0 are left out.
        n: Views of each operation.
        seed: Of the draws.

    Returns:
        Name of the operation to n pictures, uint8.
    """
    pixels = np.asarray(picture, "float32")
    images = ops.convert_to_tensor(np.repeat(pixels[None], n, axis=0))
    draws = np.random.default_rng(seed).random((n, DRAWS)).astype("float32")
    rows = {name: {name: value} for name, value in strengths.items() if value}
    made = {
        name: ops.convert_to_numpy(augment(images, ops.convert_to_tensor(draws), **alone))
        for name, alone in {**rows, "all together": strengths}.items()
    }
    return {name: list(np.clip(np.rint(v), 0, 255).astype("uint8")) for name, v in made.items()}


@keras.saving.register_keras_serializable("melnb")
class Augmentation(keras.layers.Layer):  # type: ignore[misc]
    """`augment` as a layer of (images, draws), at work in training alone.

    Args:
        strengths: Of `augment`.
    """

    def __init__(self, strengths: dict[str, Any] | None = None, **keywords: Any) -> None:
        super().__init__(**{"dtype": "float32", **keywords})  # 16 bits would blur coordinates
        self.strengths = dict(strengths or {})

    def call(self, images: Any, draws: Any, training: bool = False) -> Any:
        """Return the images, augmented if training."""
        return augment(images, draws, **self.strengths) if training else images

    def compute_output_shape(self, images_shape: Any, draws_shape: Any) -> Any:
        """Return the shape of the images."""
        return images_shape

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {**super().get_config(), "strengths": self.strengths}


def dihedral(images: Any, view: Any) -> Any:
    """Show square images in one of eight ways, moving pixels only.

    Args:
        images: batch x side x side x channels: pictures or masks.
        view: 0 (as it is) to 7, for all or one for each row: 1 mirrors left-right, 2 up-down,
            4 swaps rows and columns, in this order.
    """
    for bit in (1, 2, 4):
        images = _mirror(images, view, bit)
    return images


def undo_dihedral(images: Any, view: Any) -> Any:
    """Turn what `dihedral` gave (or a mask found in it) back: its exact inverse."""
    for bit in (4, 2, 1):
        images = _mirror(images, view, bit)
    return images


def _mirror(images: Any, view: Any, bit: int) -> Any:
    if isinstance(view, int | np.integer):
        return _MIRRORS[bit](images) if int(view) & bit else images
    wanted = ops.equal(ops.mod(ops.floor_divide(ops.convert_to_tensor(view), bit), 2), 1)
    return ops.where(_rows(wanted), _MIRRORS[bit](images), images)


_MIRRORS = {
    1: lambda images: ops.flip(images, axis=2),
    2: lambda images: ops.flip(images, axis=1),
    4: lambda images: ops.transpose(images, (0, 2, 1, 3)),
}


def _rows(values: Any) -> Any:
    return ops.reshape(values, (-1, 1, 1, 1))


def _side(draw: Any) -> Any:
    return ops.where(draw > 0.5, -1.0, 1.0)


def _linear(turn: Any, lean: Any, size: Any, flip: tuple[Any, Any]) -> tuple[Any, Any, Any, Any]:
    """Compose flip x turn x lean x size: from where in the picture each pixel is taken."""
    cos, sin, tan = ops.cos(turn) * size, ops.sin(turn) * size, ops.tan(lean)
    return (
        flip[0] * cos, flip[0] * (cos * tan - sin),
        flip[1] * sin, flip[1] * (sin * tan + cos),
    )  # fmt: skip


def _resample(images: Any, linear: tuple[Any, Any, Any, Any], shift: tuple[Any, Any]) -> Any:
    """Take every pixel from linear x (its place - centre) + centre + shift, bilinearly.

    Elementwise arithmetic and gathers within each image: `keras.ops.image.affine_transform` is no
    faster on TensorFlow, where XLA cannot compile it, ten times slower on JAX, and on a TPU
    computes its coordinates in 16 bits.
    """
    height, width, channels = images.shape[1:]
    xx, xy, yx, yy = (ops.reshape(value, (-1, 1, 1)) for value in linear)
    right, down = (ops.reshape(value, (-1, 1, 1)) for value in shift)
    x = (np.arange(width, dtype="float32") - (width - 1) / 2)[None, None, :]
    y = (np.arange(height, dtype="float32") - (height - 1) / 2)[None, :, None]
    from_x = xx * x + xy * y + ((width - 1) / 2 + right * width)
    from_y = yx * x + yy * y + ((height - 1) / 2 + down * height)
    left, top = ops.floor(from_x), ops.floor(from_y)
    share_x, share_y = (from_x - left)[..., None], (from_y - top)[..., None]
    columns = [_mirrored(left + k, width) for k in (0, 1)]
    rows = [_mirrored(top + k, height) * width for k in (0, 1)]
    flat = ops.reshape(images, (-1, height * width, channels))
    upper, lower = (
        _between(_pick(flat, row + columns[0]), _pick(flat, row + columns[1]), share_x)
        for row in rows
    )
    return _between(upper, lower, share_y)


def _between(first: Any, second: Any, share: Any) -> Any:
    return first + (second - first) * share


def _mirrored(index: Any, length: int) -> Any:
    """Fold an index beyond the edge back: d c b a | a b c d | d c b a.

    In whole float32 numbers, exact up to 2^24: TensorFlow divides integers slowly.
    """
    index = index - 2 * length * ops.floor((index + 0.5) * (1 / (2 * length)))
    return ops.minimum(index, 2 * length - 1 - index)


def _pick(flat: Any, index: Any) -> Any:
    """Gather within each image: flat is batch x pixels x channels, index batch x height x width."""
    index = ops.cast(index, "int32")
    if keras.backend.backend() == "jax":  # a gather by image stays on the device that holds it
        return ops.vectorized_map(lambda pair: ops.take(pair[0], pair[1], axis=0), (flat, index))
    first = ops.arange(ops.shape(flat)[0], dtype="int32") * flat.shape[1]
    every = ops.reshape(flat, (-1, flat.shape[2]))
    return ops.take(every, index + ops.reshape(first, (-1, 1, 1)), axis=0)


def _recolour(images: Any, light: Any, contrast: Any, saturation: Any, hue: Any) -> Any:
    """Change light, contrast, saturation and hue by one matrix, then clip.

    With Y the luminance and c = x - Y the colour, x becomes
    contrast (Y + saturation (cos hue c + sin hue turned c)) + light + (1 - contrast) mean Y.
    """
    keep = ops.reshape(saturation * ops.cos(hue), (-1, 1, 1))
    turn = ops.reshape(saturation * ops.sin(hue), (-1, 1, 1))
    grey = np.ones((3, 1), "float32") * _LUMA
    matrix = keep * np.eye(3, dtype="float32") + (1 - keep) * grey + turn * _TURN
    matrix = ops.transpose(matrix * ops.reshape(contrast, (-1, 1, 1)), (0, 2, 1))
    mean = ops.sum(ops.mean(images, axis=(1, 2)) * _LUMA, axis=-1)
    height, width = images.shape[1:3]
    flat = ops.matmul(ops.reshape(images, (-1, height * width, 3)), matrix)
    images = ops.reshape(flat, (-1, height, width, 3))
    return ops.clip(images + _rows(light + (1 - contrast) * mean), 0.0, 255.0)


def _cut(images: Any, x: Any, y: Any, side: float) -> Any:
    """Fill a square hole with its centre at (x, y), shares of the sides, with the mean colour."""
    height, width = images.shape[1:3]
    across = ops.abs(_places(width)[None, None, :, None] - _rows(x)) < side / 2
    along = ops.abs(_places(height)[None, :, None, None] - _rows(y)) < side / 2
    mean = ops.mean(images, axis=(1, 2), keepdims=True)
    return ops.where(ops.logical_and(across, along), mean, images)


def _places(length: int) -> Any:
    return ((np.arange(length) + 0.5) / length).astype("float32")
