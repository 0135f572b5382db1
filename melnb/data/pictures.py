"""Pictures: from any file to a square of RGB pixels, and back to bytes.

A picture is named by a text: a plain file, `file.hdf5::key` (the bytes of an image file in an HDF5
data set, as ISIC 2024 is published), or `file.tfrec::7` (key `image` of a shard's record 7).
"""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np
from PIL import Image, UnidentifiedImageError

from melnb.data.shards.examples import read_example

Fit = Literal["crop", "squash", "pad"]
HDF5 = (".hdf5", ".h5")
SHARDS = (".tfrec", ".tfrecord", ".tfrecords")

_ORIENTATION = 0x0112  # EXIF tag; its values 2 to 8 are undone by
_TURNS = dict(
    enumerate(
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        start=2,
    )
)
_MASK_THRESHOLD = 127  # published masks have grey edges where they were resized
_SHAPE_TOLERANCE = 0.02  # a mask resized apart from its picture is off by a rounded pixel


class PictureError(ValueError):
    """A picture cannot be had from its file; the message names the file and the reason."""


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        pixels: RGB, upright; a JPEG may have been decoded at 1/2, 1/4 or 1/8 of its size.
        width: Of the file's picture, upright, in pixels.
        height: Likewise.
        jpeg: The file's own bytes if they are an upright RGB JPEG, or none.
    """

    pixels: Image.Image
    width: int
    height: int
    jpeg: bytes


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

    Args:
        path: As for a picture.
        size: Pixels on a side; 0: the picture's own size, which has to be given.
        fit: As for the picture.
        width: The picture's, so that a mask of other proportions is refused; 0: unknown.
        height: Likewise.

    Raises:
        PictureError: It cannot be read, or its proportions are not the picture's.
    """
    mask = decode_picture(read_bytes(path), str(path)).pixels.convert("L")
    if width and abs(mask.width * height / (mask.height * width) - 1) > _SHAPE_TOLERANCE:
        raise PictureError(
            f"{path}: the mask is {mask.width} x {mask.height} pixels but its picture "
            f"{width} x {height}: give the mask of the uncropped picture"
        )
    white = 0 if mask.getextrema() == (0, 1) else _MASK_THRESHOLD  # some masks hold 0 and 1
    binary = mask.point([255 if level > white else 0 for level in range(256)])
    if not size:
        return binary.resize((width, height), Image.Resampling.NEAREST)
    return fit_picture(binary, size, fit, Image.Resampling.NEAREST)


def read_size(path: str | Path) -> tuple[int, int]:
    """Read the width and height of a picture, upright, from its header; no pixel is decoded.

    Raises:
        PictureError: There is no such file, it is empty, or no picture.
    """
    try:
        with Image.open(io.BytesIO(read_bytes(path)) if "::" in str(path) else path) as image:
            width, height = image.size
            return (height, width) if _orientation(image) > 4 else (width, height)
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None
    except Exception as error:  # as of decoding
        raise PictureError(f"{path}: {error}") from None


def read_bytes(path: str | Path) -> bytes:
    """Read the bytes of a picture's file.

    Raises:
        PictureError: The file, or the key or record in it, is missing or empty.
    """
    file, separator, key = str(path).rpartition("::")
    try:
        if separator and file.lower().endswith(HDF5):
            data = _hdf5_bytes(file, key)
        elif separator and file.lower().endswith(SHARDS):
            data = read_example(file, int(key), keys=("image",))["image"]
        else:
            data = Path(path).read_bytes()
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None
    except (OSError, KeyError, ValueError) as error:
        raise PictureError(f"{path}: {error}") from None
    if not data:
        raise PictureError(f"{path}: empty (0 bytes)")
    return data


def decode_picture(data: bytes, name: str, *, size: int = 0, fit: Fit = "crop") -> Picture:
    """Decode the bytes of an image file.

    Args:
        data: JPEG, PNG, TIFF, BMP, WebP … Palettes, CMYK and 16 bits become RGB of 8 bits; what
            is transparent becomes white.
        name: For messages.
        size: The largest side wanted later; a JPEG is then decoded at the smallest of the scales
            that libjpeg has for nothing (1/2, 1/4, 1/8) which is no smaller. 0: full scale.
        fit: How it will be made square.

    Raises:
        PictureError: The bytes are truncated or no picture.
    """
    try:
        # Pillow warns of damaged EXIF without naming the file.
        quiet = warnings.catch_warnings(action="ignore", category=UserWarning)
        with quiet, Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if size:
                image.draft("RGB", _least_size(width, height, size, fit))
            turn = _orientation(image)
            plain = image.format == "JPEG" and image.mode == "RGB" and turn == 1
            pixels = _rgb(image)
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise PictureError(f"{name}: not a picture ({len(data)} bytes)") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error …
        raise PictureError(f"{name}: {error}") from None
    if turn != 1:
        pixels = pixels.transpose(_TURNS[turn])
    if turn > 4:  # a quarter turn
        width, height = height, width
    return Picture(pixels, width, height, data if plain else b"")


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
    image.save(buffer, "JPEG", quality=quality, subsampling="4:4:4")
    return buffer.getvalue()


def encode_png(image: Image.Image) -> bytes:
    """Encode pixels without loss."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _hdf5_bytes(file: str, key: str) -> bytes:
    value = _hdf5_file(file, Path(file).stat().st_mtime_ns)[key][()]
    return value if isinstance(value, bytes) else bytes(np.asarray(value).tobytes())


@lru_cache(maxsize=4)
def _hdf5_file(file: str, _modified: int) -> h5py.File:
    # Left open: opening costs more than reading one of its 400,000 pictures.
    return h5py.File(file, "r")


def _centre(width: int, height: int) -> tuple[int, int, int, int]:
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _least_size(width: int, height: int, size: int, fit: Fit) -> tuple[int, int]:
    """Return the smallest decoded size from which nothing is lost at `size`."""
    if fit != "pad":
        return size, size
    scale = size / max(width, height)
    return max(1, int(width * scale)), max(1, int(height * scale))


def _orientation(image: Image.Image) -> int:
    try:
        turn = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return 1
    return turn if 1 <= turn <= 8 else 1


def _rgb(image: Image.Image) -> Image.Image:
    """Decode to RGB of 8 bits."""
    if image.mode == "F":
        raise PictureError("32-bit floating point pixels: save it with 8 bits")
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion would cut at 255
        levels = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip((levels + 128) // 257, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")
