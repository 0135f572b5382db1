"""Pictures: from any file to a square of RGB pixels, and back to bytes.

A picture is named by a text: a plain file, `file.hdf5::key` (the bytes of an image file in an HDF5
data set, as ISIC 2024 is published), or `file.tfrec::7` (key `image` of a shard's record 7).
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from melnb.data.decoding import Fit as Fit
from melnb.data.decoding import Picture as Picture
from melnb.data.decoding import PictureError as PictureError
from melnb.data.decoding import decode_levels, open_image, reading, upright_size
from melnb.data.decoding import decode_picture as decode_picture
from melnb.data.hdf5 import open_hdf5, read_own
from melnb.data.mask_levels import InvertedError, LevelError, find_lesion
from melnb.data.shards.examples import read_example
from melnb.data.shards.messages import is_shard

HDF5 = (".hdf5", ".h5")

_SHAPE_TOLERANCE = 0.02  # a mask resized apart from its picture is off by a rounded pixel


class InvertedMaskError(PictureError):
    """A mask is lesion all around a background."""


def read_picture(path: str | Path, size: int = 0, fit: Fit = "crop") -> Image.Image:
    """Read a picture as RGB, upright.

    Args:
        path: File, `file.hdf5::key` or `file.tfrec::index`.
        size: Pixels on a side; 0 leaves the picture as it is.
        fit: How it gets square: `crop` keeps the centre, `squash` the whole without its
            proportions, `pad` the whole with black bars.

    Raises:
        PictureError: There is no such file, it is empty, truncated, or no picture.
    """
    picture = decode_picture(read_bytes(path), str(path), size=size, fit=fit)
    return fit_picture(picture.pixels, size, fit) if size else picture.pixels


def read_mask(
    path: str | Path, size: int, fit: Fit = "crop", *, width: int = 0, height: int = 0
) -> Image.Image:
    """Read a mask as 0 and 255 (mode L), in the geometry its picture gets with the same `fit`.

    Which of its levels is lesion is told by `mask_levels.find_lesion`.

    Args:
        path: As for a picture.
        size: Pixels on a side; 0: the picture's own size, which has to be given.
        fit: As for the picture.
        width: The picture's, so that a mask of other proportions is refused; 0: unknown.
        height: Likewise.

    Raises:
        PictureError: It cannot be read, its levels do not tell what is lesion, or its proportions
            are not the picture's.
    """
    return fit_mask(decode_mask(read_bytes(path), path, width, height), size, fit, (width, height))


def decode_mask(data: bytes, path: str | Path, width: int = 0, height: int = 0) -> Image.Image:
    """Decode a mask at its own size, as 0 and 255 (mode L); arguments and errors as `read_mask`."""
    image, lossy = decode_levels(data, str(path))
    if width and abs(image.width * height / (image.height * width) - 1) > _SHAPE_TOLERANCE:
        raise PictureError(
            f"{path}: the mask is {image.width} x {image.height} pixels but its picture "
            f"{width} x {height}: give the mask of the uncropped picture"
        )
    try:
        lesion = find_lesion(image, lossy=lossy).lesion
    except InvertedError as error:
        raise InvertedMaskError(f"{path}: {error}") from None
    except LevelError as error:
        raise PictureError(f"{path}: {error}") from None
    return Image.fromarray(np.where(lesion, np.uint8(255), np.uint8(0)))


def fit_mask(
    mask: Image.Image, size: int, fit: Fit = "crop", whole: tuple[int, int] = (0, 0)
) -> Image.Image:
    """Make a mask square as its picture is, or with `size` 0 as large as its `whole` picture."""
    if not size:
        return mask.resize(whole, Image.Resampling.NEAREST)
    return fit_picture(mask, size, fit, Image.Resampling.NEAREST)


def read_size(path: str | Path) -> tuple[int, int]:
    """Read the width and height of a picture, upright, from its header; no pixel is decoded.

    Raises:
        PictureError: There is no such file, it is empty, or no picture.
    """
    file = io.BytesIO(read_bytes(path)) if "::" in str(path) else Path(path)
    try:
        with reading(str(path)), open_image(file) as image:
            return upright_size(image)
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None


def read_bytes(path: str | Path) -> bytes:
    """Read the bytes of a picture's file.

    Raises:
        PictureError: The file, or the key or record in it, is missing or empty.
    """
    file, separator, key = str(path).rpartition("::")
    try:
        if separator and file.lower().endswith(HDF5):
            data = _hdf5_bytes(file, key)
        elif separator and is_shard(file):
            data = read_example(file, int(key), keys=("image",))["image"]
        else:
            data = Path(path).read_bytes()
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None
    except (OSError, KeyError, ValueError) as error:
        words = error.args[0] if isinstance(error, KeyError) else error
        raise PictureError(f"{path}: {words}") from None
    if not data:
        raise PictureError(f"{path}: empty (0 bytes)")
    return data


def fit_picture(
    image: Image.Image,
    size: int,
    fit: Fit = "crop",
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Image:
    """Make a picture square.

    Args:
        image: Any size.
        size: Pixels on a side.
        fit: `crop`, `squash` or `pad`.
        resampling: Pillow widens its filters by the scale, so that a smaller picture has no alias.

    Raises:
        ValueError: `fit` is none of the three.
    """
    if fit == "squash":
        return image.resize((size, size), resampling)
    if fit == "crop":
        return image.resize((size, size), resampling, box=_centre(*image.size))
    if fit == "pad":
        scale = size / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        square = Image.new(image.mode, (size, size))
        place = ((size - width) // 2, (size - height) // 2)
        square.paste(image.resize((width, height), resampling), place)
        return square
    raise ValueError(f"fit is {fit!r}: use crop, squash or pad")


def encode_jpeg(image: Image.Image, quality: int = 95) -> bytes:
    """Encode RGB pixels as a JPEG.

    Colour keeps its full resolution (4:4:4): at these sizes halving it would cost more fidelity
    than 5 points of quality, for a quarter of the bytes.
    """
    buffer = io.BytesIO()
    # Without being asked, Pillow writes the comment and the profile of the file it was read from.
    image.save(buffer, "JPEG", quality=quality, subsampling="4:4:4", comment=b"")
    return buffer.getvalue()


def encode_png(image: Image.Image) -> bytes:
    """Encode pixels without loss."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", icc_profile=b"")
    return buffer.getvalue()


def _hdf5_bytes(file: str, key: str) -> bytes:
    return read_own(_hdf5_file(file, Path(file).stat().st_mtime_ns), key)


@lru_cache(maxsize=4)
def _hdf5_file(file: str, _modified: int) -> h5py.File:
    # Left open: opening costs more than reading one of its 400,000 pictures.
    return open_hdf5(file)


def _centre(width: int, height: int) -> tuple[int, int, int, int]:
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
