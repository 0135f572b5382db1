"""Geometric augmentation: rotation to elastic distortion as one resampling; cutout.

What moves a picture moves its mask by the same numbers: nothing here looks at colours, and any
number of channels will do. Keras' layers of these names draw their own numbers, one set for all
images of a batch or from a state that a resumed run would have to bring back.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from melnb.data.augmentation.draws import draw_of, per_image, spread

# Cutout: a square hole in each picture (DeVries and Taylor 2017, arXiv 1708.04552).
#
# `keras.layers.RandomErasing` draws its own places.


def cutout(images: Any, x: Any, y: Any, side: float) -> Any:
    """Fill a square hole with its centre at (x, y), shares of the sides, with the mean colour.

    Args:
        images: batch x height x width x 3, float32, 0-255.
        x: One uniform draw an image.
        y: Another.
        side: Share of the picture's sides; 0: none.
    """
    if not side:
        return images
    height, width = images.shape[1:3]
    across = ops.abs(_places(width)[None, None, :, None] - per_image(x)) < side / 2
    along = ops.abs(_places(height)[None, :, None, None] - per_image(y)) < side / 2
    mean = ops.mean(images, axis=(1, 2), keepdims=True)
    return ops.where(ops.logical_and(across, along), mean, images)


def _places(length: int) -> np.ndarray:
    return ((np.arange(length) + 0.5) / length).astype("float32")


# Distortions: how far a bent grid and an elastic sheet carry each pixel.
#
# Both are displacements of the map of coordinates that `geometry` resamples by, made of products
# with small matrices of weights. `keras.ops.image.elastic_transform` draws its own field, the
# same for all images of a batch.

_CELLS = 5  # of a bent grid, on a side
_KNOTS = 8  # of an elastic sheet, on a side


def bend(x: Any, y: Any, draw: Any, share: float) -> tuple[Any, Any]:
    """Widen and narrow the columns and rows of a grid by up to a share; the edges stay.

    Args:
        x: From the centre, pixels, 1 x 1 x width.
        y: From the centre, pixels, 1 x height x 1.
        draw: One uniform draw an image.
        share: Below 1, so that every cell keeps some width.

    Returns:
        x and y where each pixel comes from, batch x 1 x width and batch x height x 1.
    """
    sizes = 1 + share * (2 * spread(draw, (2, _CELLS)) - 1)
    ends = ops.cumsum(sizes, axis=-1) / ops.sum(sizes, axis=-1, keepdims=True)
    moved = ops.pad(ends, ((0, 0), (0, 0), (1, 0))) - np.linspace(0, 1, _CELLS + 1, dtype="float32")
    across, along = (
        ops.matmul(moved[:, axis], _hats(length).T) * length
        for axis, length in enumerate((x.size, y.size))
    )
    return x + across[:, None, :], y + along[:, :, None]


def _hats(length: int) -> np.ndarray:
    """Return the weights, length x knots, of linear interpolation between the ends of cells."""
    place = (np.arange(length) + 0.5) / length * _CELLS
    weights = np.clip(1 - np.abs(place[:, None] - np.arange(_CELLS + 1)), 0, 1)
    return np.asarray(weights, "float32")


def stretch(x: Any, y: Any, draw: Any, share: float) -> tuple[Any, Any]:
    """Displace pixels by a smooth random field of at most a share of the sides.

    As Simard et al. 2003, but smoothed by cubic B-splines (Rueckert et al. 1999, eq. 1) rather than
    by a wide Gaussian: two small products of matrices. Their weights are no less than 0 and sum to
    1, so the field keeps to its bound; below 0.48 of a cell, here 0.096 of the side, nothing folds
    (Choi and Lee 2000).

    Args:
        x: From the centre, pixels, 1 or batch x 1 x width.
        y: From the centre, pixels, 1 or batch x height x 1.
        draw: One uniform draw an image.
        share: Of the sides.

    Returns:
        x and y where each pixel comes from, batch x height x width.
    """
    height, width = y.shape[1], x.shape[2]
    pulls = share * (2 * spread(draw, (2, _KNOTS, _KNOTS)) - 1)
    field = ops.matmul(ops.matmul(_splines(height), pulls), _splines(width).T)
    return x + field[:, 0] * width, y + field[:, 1] * height


def _splines(length: int) -> np.ndarray:
    """Return the weights, length x knots, of uniform cubic B-splines."""
    place = (np.arange(length) + 0.5) / length * (_KNOTS - 3)
    cell = np.floor(place).astype(int)
    t = place - cell
    pieces = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    weights = np.zeros((length, _KNOTS), "float32")
    for k, piece in enumerate(pieces):
        weights[np.arange(length), cell + k] = piece / 6
    return weights


VIEWS = 8  # flips and quarter turns: the symmetries of a square


class Affine(NamedTuple):
    """Where pixels come from: `linear` x (place - centre) + centre + `shift`, one map an image.

    Attributes:
        linear: xx, xy, yx and yy of the matrix, batch numbers each.
        shift: To the right and down, pixels, batch numbers each.
    """

    linear: tuple[Any, Any, Any, Any]
    shift: tuple[Any, Any]


def move(
    images: Any,
    draws: Any,
    *,
    rotation: float = 0.0,
    shear: float = 0.0,
    zoom: float = 0.0,
    shift: float = 0.0,
    flips: bool = False,
    transpose: bool = False,
    grid_distortion: float = 0.0,
    elastic: float = 0.0,
    then: Affine | None = None,
) -> Any:
    """Move the pixels of a batch of pictures or masks; beyond the edge they are mirrored.

    Takes the strengths of `augment`.

    Args:
        images: batch x height x width x any channels, float32.
        draws: batch x DRAWS.
        then: One more map, of what the others give.

    Raises:
        ValueError: The pictures to be transposed are not square.
    """
    if transpose and images.shape[1] != images.shape[2]:
        raise ValueError(
            f"transpose needs square pictures, but these are {images.shape[1]} x "
            f"{images.shape[2]}: set transpose to False, or crop them"
        )
    if not (rotation or shear or zoom or shift or grid_distortion or elastic or then):
        return _mirror_each(images, draws, flips, transpose)
    height, width = images.shape[1:3]
    signed = {name: 2 * draw_of(draws, name) - 1 for name in _SIGNED}
    flip = (_side(draw_of(draws, "flip_x")), _side(draw_of(draws, "flip_y"))) if flips else (1, 1)
    linear = _linear(
        signed["rotation"] * math.radians(rotation),
        signed["shear"] * math.radians(shear),
        (1 + zoom) ** -signed["zoom"],
        flip,
        draw_of(draws, "transpose") > 0.5 if transpose else None,
    )
    shifted = Affine(
        linear, (signed["shift_x"] * shift * width, signed["shift_y"] * shift * height)
    )
    x, y = _grid(images)
    if grid_distortion:
        x, y = bend(x, y, draw_of(draws, "grid"), grid_distortion)
    if elastic:
        x, y = stretch(x, y, draw_of(draws, "elastic"), elastic)
    return _resample(images, x, y, compose(shifted, then) if then else shifted)


_SIGNED = ("rotation", "shear", "zoom", "shift_x", "shift_y")


def transform(images: Any, affine: Affine | None) -> Any:
    """Resample images by an affine map."""
    return _resample(images, *_grid(images), affine) if affine else images


def compose(first: Affine, then: Affine) -> Affine:
    """Return the map that does the one, and then the other to its result."""
    right, down = _apply(first.linear, *then.shift)
    return Affine(
        multiply(first.linear, then.linear), (right + first.shift[0], down + first.shift[1])
    )


def multiply(
    first: tuple[Any, Any, Any, Any], second: tuple[Any, Any, Any, Any]
) -> tuple[Any, Any, Any, Any]:
    """Multiply 2 x 2 matrices, one an image."""
    (xx, yx), (xy, yy) = _apply(first, *second[::2]), _apply(first, *second[1::2])
    return xx, xy, yx, yy


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
    return ops.where(per_image(wanted), _MIRRORS[bit](images), images)


_MIRRORS = {
    1: lambda images: ops.flip(images, axis=2),
    2: lambda images: ops.flip(images, axis=1),
    4: lambda images: ops.transpose(images, (0, 2, 1, 3)),
}


def _mirror_each(images: Any, draws: Any, flips: bool, transpose: bool) -> Any:
    bits = [*(("flip_x", 1), ("flip_y", 2)) * flips, *(("transpose", 4),) * transpose]
    for name, bit in bits:
        wanted = per_image(draw_of(draws, name)) > 0.5
        images = ops.where(wanted, _MIRRORS[bit](images), images)
    return images


def _side(draw: Any) -> Any:
    return ops.where(draw > 0.5, -1.0, 1.0)


def _linear(
    turn: Any, lean: Any, size: Any, flip: tuple[Any, Any], swapped: Any
) -> tuple[Any, Any, Any, Any]:
    """Compose flip x swap x turn x lean x size: from where in the picture each pixel is taken."""
    cos, sin, tan = ops.cos(turn) * size, ops.sin(turn) * size, ops.tan(lean)
    across, along = (cos, cos * tan - sin), (sin, sin * tan + cos)
    if swapped is not None:
        across, along = (
            tuple(ops.where(swapped, b, a) for a, b in zip(one, other, strict=True))
            for one, other in ((across, along), (along, across))
        )
    return flip[0] * across[0], flip[0] * across[1], flip[1] * along[0], flip[1] * along[1]


def _apply(linear: tuple[Any, Any, Any, Any], x: Any, y: Any) -> tuple[Any, Any]:
    xx, xy, yx, yy = linear
    return xx * x + xy * y, yx * x + yy * y


def _grid(images: Any) -> tuple[Any, Any]:
    """Return x (1 x 1 x width) and y (1 x height x 1) from the centre, pixels."""
    height, width = images.shape[1:3]
    x = np.arange(width, dtype="float32") - (width - 1) / 2
    y = np.arange(height, dtype="float32") - (height - 1) / 2
    return x[None, None, :], y[None, :, None]


def _resample(images: Any, x: Any, y: Any, affine: Affine) -> Any:
    """Take every pixel from where it comes from, bilinearly.

    Elementwise arithmetic and gathers within each image: `keras.ops.image.affine_transform` is no
    faster on TensorFlow, where XLA cannot compile it, ten times slower on JAX, and on a TPU
    computes its coordinates in 16 bits.
    """
    height, width, channels = images.shape[1:]
    xx, xy, yx, yy = (ops.reshape(value, (-1, 1, 1)) for value in affine.linear)
    right, down = (ops.reshape(value, (-1, 1, 1)) for value in affine.shift)
    from_x = xx * x + xy * y + ((width - 1) / 2 + right)
    from_y = yx * x + yy * y + ((height - 1) / 2 + down)
    left, top = ops.floor(from_x), ops.floor(from_y)
    share_x, share_y = (from_x - left)[..., None], (from_y - top)[..., None]
    columns = [_mirrored(left + k, width) for k in (0, 1)]
    rows = [_mirrored(top + k, height) * width for k in (0, 1)]
    flat = ops.reshape(images, (-1, height * width, channels))
    upper, lower = (
        _between(pick(flat, row + columns[0]), pick(flat, row + columns[1]), share_x)
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


def pick(flat: Any, index: Any) -> Any:
    """Gather within each image: flat is batch x places x channels, index batch x height x width."""
    index = ops.cast(index, "int32")
    if keras.backend.backend() == "jax":  # a gather by image stays on the device that holds it
        return ops.vectorized_map(lambda pair: ops.take(pair[0], pair[1], axis=0), (flat, index))
    first = ops.arange(ops.shape(flat)[0], dtype="int32") * flat.shape[1]
    every = ops.reshape(flat, (-1, flat.shape[2]))
    return ops.take(every, index + ops.reshape(first, (-1, 1, 1)), axis=0)
