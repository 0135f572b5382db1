"""Decoding: the bytes of an image file become upright pixels, whatever wrote them.

Pillow's facts that matter here: it turns a TIFF upright by itself when it loads it, and no other
format; it cuts 16 bits of grey at 255 when it converts, and of colours it keeps the high byte.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from melnb.data.jpeg import CutJpegError, find_only_scan, strip_jpeg
from melnb.tables.files import MOST_PIXELS, PICTURE_FORMATS
from melnb.tables.signatures import HEAD, describe_file

Fit = Literal["crop", "squash", "pad"]

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
_WIDTH, _HEIGHT, _SUBFILE, _PHOTOMETRIC = 256, 257, 254, 262  # tags of TIFF
_MASK_PAGE, _WHITE_IS_ZERO = 4, 0
_LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")
_TWELVE_BITS, _FOURTEEN_BITS = 1 << 12, 1 << 14
_DARK = 64  # of 256: the brightest colour of 14 bits in a file of 16
_MOST_PAGES = 100  # of a TIFF: a pyramid has ten
_ZEROS = bytes(32)  # in a JPEG's scan: a picture of one colour, or lost
_AHEAD = bytes(16)  # libjpeg wants eight bytes behind those that it needs
_ROWS = 256  # that are worked on at a time, so that memory is that of the picture alone

_AGAIN = ": copy or download it again, or remove it"


class PictureError(ValueError):
    """A picture cannot be had from its file; the message names the file and the reason."""


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        pixels: RGB, upright; a JPEG may have been decoded at 1/2, 1/4 or 1/8 of its size.
        width: Of the file's picture, upright, in pixels.
        height: Likewise.
        source: The file's own bytes if they are an upright RGB JPEG, or none.
    """

    pixels: Image.Image
    width: int
    height: int
    source: bytes

    @property
    def jpeg(self) -> bytes:
        """The file's own coded pixels, where they may be kept: without EXIF, owner, comments."""
        try:
            return strip_jpeg(self.source) if self.source else b""
        except ValueError:  # libjpeg forgives more: it is encoded anew
            return b""


def decode_picture(data: bytes, name: str, *, size: int = 0, fit: Fit = "crop") -> Picture:
    """Decode the bytes of an image file.

    Args:
        data: JPEG, PNG, TIFF, BMP, WebP … Palettes, CMYK and 16 bits become RGB of 8 bits; what
            is transparent becomes white. Of the pages of a TIFF the largest is taken. Grey levels
            of a 16-bit file that all lie below 4,096 are 12 bits, and below 256 are 8.
        name: For messages.
        size: The largest side wanted later; a JPEG is then decoded at the smallest of the scales
            that libjpeg has for nothing (1/2, 1/4, 1/8) which is no smaller. 0: full scale.
        fit: How it will be made square.

    Raises:
        PictureError: The bytes are truncated or no picture, several pictures, of levels that can
            be read in two ways, or more pixels than one may have (`MOST_PIXELS`).
    """
    with reading(name, data), open_image(_unended(data)) as image:
        deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))  # before it loads
        turn = orientation(image)
        width, height = upright_size(image)
        if size:
            image.draft("RGB", _least_size(*image.size, size, fit))
        plain = image.format == "JPEG" and image.mode == "RGB" and turn == 1
        pixels = _rgb(image, deep)
    pixels.info.clear()  # Pillow would write its comment and its profile into whatever is saved
    return Picture(_turned(pixels, turn), width, height, data if plain else b"")


def decode_levels(data: bytes, name: str) -> tuple[Image.Image, bool]:
    """Decode the bytes of an image file as they are, upright: its own mode, its own levels.

    Returns:
        The image, and whether its format may have changed its levels (JPEG and its kind).

    Raises:
        PictureError: As of `decode_picture`.
    """
    with reading(name, data), open_image(_unended(data)) as image:
        turn, lossy = orientation(image), image.format in _LOSSY
        image.load()
        return _turned(image, turn), lossy


@contextmanager
def open_image(file: Path | io.BytesIO) -> Iterator[Image.Image]:
    """Open an image file at the page that is its picture; nothing is decoded yet.

    It is one of `PICTURE_FORMATS`, and of `MOST_PIXELS` at most: half a megabyte of PNG may say
    177 million.

    Raises:
        PictureError: It is several pictures, or too large.
    """
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        Image.init()
        formats = [name for name in PICTURE_FORMATS if name in Image.OPEN]
        with Image.open(file, formats=formats) as image:
            _check_size(image.width * image.height)
            _choose_page(image)
            _check_size(image.width * image.height)
            yield image


def _unended(data: bytes) -> io.BytesIO:
    """Return the file to decode; of a JPEG without its end, so that a scan cut short is refused.

    Where libjpeg meets the end it makes up what is missing, in grey, and Pillow does not hear its
    warning; where no byte is left it waits, and Pillow calls the file truncated.

    Raises:
        PictureError: A JPEG's pixels are filled up with zeros, or its last scans are missing.
    """
    try:
        scan = find_only_scan(data)
    except CutJpegError as error:
        raise PictureError(f"cut off: {error}{_AGAIN}") from None
    except (ValueError, IndexError):
        scan = None  # no JPEG, or one of which libjpeg tells the fault, or forgives it
    if scan is None:
        return io.BytesIO(data)
    if data.find(_ZEROS, scan.start, scan.stop) >= 0 and _is_filled(data, scan):
        raise PictureError(f"cut off: zeros stand in the place of its pixels{_AGAIN}")
    return io.BytesIO(data[: scan.stop] + _AHEAD)


def _is_filled(data: bytes, scan: slice) -> bool:
    """Tell whether a scan has more than its pixels need, which zeros read as codes leave over.

    Zeros behind the last pixel are no harm, and a picture of one colour may be zeros by right.
    """
    end = scan.start + len(data[scan].rstrip(b"\0"))
    if not _holds_all(data[:end] + _AHEAD):
        end = scan.stop
    return _holds_all(data[: end - len(_ZEROS)])


def _holds_all(data: bytes) -> bool:
    """Tell whether the bytes of a JPEG without its end suffice for every pixel."""
    try:
        with open_image(io.BytesIO(data)) as image:
            image.draft("L", (1, 1))
            image.load()
    except OSError:
        return False
    return True


def _check_size(pixels: int) -> None:
    if pixels > MOST_PIXELS:
        raise PictureError(_too_large(pixels))


def _too_large(pixels: int) -> str:
    return (
        f"{pixels:,} pixels, and one picture may have {MOST_PIXELS:,} (8,192 x 8,192), so that it "
        "fits into memory: save it smaller"
    )


def _choose_page(image: Image.Image) -> None:
    """Go to the page that is the picture: the largest of a TIFF, whose others are thumbnails.

    Raises:
        PictureError: Two are the largest, or they are the frames of an animation.
    """
    if image.format in ("MPO", "PSD"):  # whose first is the picture
        return
    if image.format != "TIFF":
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise PictureError(f"an animation of {frames} frames: save the one that is meant")
        return
    areas = list(_areas(image))
    pages, largest = len(areas), areas.count(max(areas))
    if pages > 1 and largest > 1:
        raise PictureError(
            f"a TIFF of {pages} pages, {largest} of them of one size: save the one that is meant "
            "as a file of its own"
        )
    image.seek(int(np.argmax(areas)))


def _areas(image: Image.Image) -> Iterator[int]:
    """Yield the number of pixels of each page of a TIFF, 0 for a mask."""
    for page in range(_MOST_PAGES + 1):
        try:
            image.seek(page)  # to count them first, Pillow would go through all
        except EOFError:
            return
        tags = image.tag_v2  # type: ignore[attr-defined]
        mask = int(tags.get(_SUBFILE, 0)) & _MASK_PAGE
        yield 0 if mask else image.width * image.height
    raise PictureError(
        f"a TIFF of more than {_MOST_PAGES} pages: save the one that is meant as a file of its own"
    )


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of an opened image when it is upright."""
    width, height, turn = *image.size, orientation(image)
    if image.format == "TIFF":  # versions of Pillow differ in when they turn it
        tags = image.tag_v2  # type: ignore[attr-defined]
        width, height, turn = tags[_WIDTH], tags[_HEIGHT], tags.get(_ORIENTATION, 1)
    return (height, width) if turn in (5, 6, 7, 8) else (width, height)


@contextmanager
def reading(name: str, data: bytes = b"") -> Iterator[None]:
    """Name the file in whatever goes wrong, and what it is where its bytes are given.

    Raises:
        PictureError: Something does.
    """
    try:
        # Pillow warns of damaged EXIF without naming the file.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            yield
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        size = f" ({len(data)} bytes)" if data else ""
        raise PictureError(f"{name}: not a picture{size}{_foreign(data)}") from None
    except Image.DecompressionBombError as error:
        pixels = re.findall(r"\d+", str(error))[0]
        raise PictureError(f"{name}: {_too_large(int(pixels))}") from None
    except (MemoryError, FileNotFoundError):
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error …
        raise PictureError(f"{name}: {error}: copy or download it again") from None


def _foreign(data: bytes) -> str:
    """Say what bytes are that are no picture, where their beginning tells."""
    if data[128:132] == b"DICM":
        return ": this is a DICOM file: save its picture as PNG"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return ": this is a HEIC picture: save it as JPEG or PNG"
    kind = describe_file(data[:HEAD])
    return f": this is {kind}" if kind and " picture" not in kind else _AGAIN


def _least_size(width: int, height: int, size: int, fit: Fit) -> tuple[int, int]:
    """Return the smallest decoded size from which nothing is lost at `size`."""
    if fit != "pad":
        return size, size
    scale = size / max(width, height)
    return max(1, int(width * scale)), max(1, int(height * scale))


def orientation(image: Image.Image) -> int:
    """Return the turn that is still to be undone after loading."""
    if image.format == "TIFF":
        return 1
    try:
        turn = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return 1
    return turn if 1 <= turn <= 8 else 1


def _turned(image: Image.Image, turn: int) -> Image.Image:
    return image if turn == 1 else image.transpose(_TURNS[turn])


def _rgb(image: Image.Image, deep: bool) -> Image.Image:
    """Decode to RGB of 8 bits; `deep`: its file has 16 a channel."""
    if image.mode == "F":
        raise PictureError("32-bit floating point pixels: save it with 8 bits")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    elif deep and max(high for _, high in _extrema(image)[:3]) < _DARK:
        raise PictureError(
            "colours of 16 bits of which only the lowest are used, so that it would be black: "
            "save it with 8 bits"
        )
    if image.has_transparency_data:
        return _on_white(image)
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    whole = Image.new("RGB", image.size)
    for top in range(0, image.height, _ROWS):
        rows = image.crop((0, top, image.width, min(top + _ROWS, image.height))).convert("RGBA")
        white = Image.new("RGBA", rows.size, "white")
        whole.paste(Image.alpha_composite(white, rows).convert("RGB"), (0, top))
    return whole


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    return image.convert("RGB").getextrema()  # type: ignore[return-value]


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey levels of 16 bits, or of 12 or 8 in a file of 16; Pillow's own would cut at 255.

    From 4,096 to 16,383 they may be 14 bits, or a dark picture of 16.
    """
    levels = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if levels.min() < 0 or levels.max() > 65535:
        raise PictureError(
            f"levels of {levels.min()} to {levels.max()}, more than 16 bits: save it with 8 bits"
        )
    inverted = image.mode != "I" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    most = 65535 - int(levels.min()) if inverted else int(levels.max())
    if _TWELVE_BITS <= most < _FOURTEEN_BITS:
        raise PictureError(
            f"16-bit levels whose highest is {most}: a picture of 14 bits, or a dark one of 16: "
            "save it with 8 bits"
        )
    top = 255 if most < 256 else _TWELVE_BITS - 1 if most < _TWELVE_BITS else 65535
    eight = np.empty(levels.shape, np.uint8)
    for row in range(0, len(levels), _ROWS):
        part = levels[row : row + _ROWS].astype(np.int64)
        part = 65535 - part if inverted else part  # Pillow does so for 8 bits alone
        eight[row : row + _ROWS] = (part * 255 + top // 2) // top
    return Image.fromarray(eight)
