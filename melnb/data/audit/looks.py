"""One look at a picture for the audit: thumbnail, image hash, file facts, and what surrounds it.

A picture is decoded once, small (a JPEG by its own reduced decoding), so that a set of any size is
looked at in minutes.
"""

from __future__ import annotations

import hashlib
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from melnb.data.decoding import decode_picture
from melnb.data.pictures import PictureError, fit_picture, read_bytes

SIDE, THUMBNAIL = 128, 64  # pixels on a side: as it is decoded, as it is compared
_FRAME = 0.08  # of the side: the border's width
_SIDES = ("top", "bottom", "left", "right")
BORDER = tuple(f"{side}_{part}" for side in (*_SIDES, "outside") for part in
               ("red", "green", "blue", "red_sd", "green_sd", "blue_sd"))  # fmt: skip
FILE = ("width", "height", "aspect", "megapixels", "kilobytes", "bytes_a_pixel", "jpeg_table",
        "is_jpeg")  # fmt: skip


class Look(NamedTuple):
    """What one look at a picture says.

    Attributes:
        file: Numbers in the order of `FILE`; NaN where the picture has none.
        border: Means and deviations in the order of `BORDER`: of four sides, and of all outside the
            largest ellipse.
        digest: Of size and small pixels: of equal pictures equal, and of hardly any others.
        thumbnail: THUMBNAIL x THUMBNAIL x 3, uint8.
        note: Why it could not be read; empty: it could.
    """

    file: tuple[float, ...]
    border: tuple[float, ...]
    digest: str
    thumbnail: np.ndarray
    note: str = ""


def look_at(path: str) -> Look:
    """Look at a picture; one that cannot be read says why and is no error."""
    try:
        data = read_bytes(path)
        picture = decode_picture(data, path, size=SIDE, fit="crop")
    except PictureError as error:
        nothing = np.zeros((THUMBNAIL, THUMBNAIL, 3), np.uint8)
        return Look((np.nan,) * len(FILE), (np.nan,) * len(BORDER), "", nothing, str(error))
    # Squashed: what is at the border stays at the border.
    whole = np.asarray(fit_picture(picture.pixels, SIDE, "squash", Image.Resampling.BOX))
    small = fit_picture(picture.pixels, THUMBNAIL, "crop", Image.Resampling.BOX)
    key = f"{picture.width}x{picture.height}".encode() + whole.tobytes()
    digest = hashlib.blake2b(key, digest_size=16).hexdigest()
    facts = _file_facts(data, picture.width, picture.height)
    return Look(facts, _border_facts(whole), digest, np.asarray(small))


def _file_facts(data: bytes, width: int, height: int) -> tuple[float, ...]:
    with Image.open(io.BytesIO(data)) as image:  # its header alone
        tables = getattr(image, "quantization", None) or {}
    table = float(np.mean([np.mean(list(values)) for values in tables.values()] or [np.nan]))
    pixels = width * height
    return (
        float(width), float(height), width / height, pixels / 1e6, len(data) / 1e3,
        len(data) / pixels, table, float(bool(tables)),
    )  # fmt: skip


def _border_facts(pixels: np.ndarray) -> tuple[float, ...]:
    """Return means and deviations of the sides and of all outside the ellipse; H x W x 3."""
    side = pixels.shape[0]
    edge = max(1, round(_FRAME * side))
    far = (np.arange(side) + 0.5) / side * 2 - 1
    outside = pixels[far[:, None] ** 2 + far[None] ** 2 > 1]
    regions = (pixels[:edge], pixels[-edge:], pixels[:, :edge], pixels[:, -edge:], outside)
    flat = [region.reshape(-1, 3).astype(np.float64) for region in regions]
    return tuple(float(v) for r in flat for v in (*r.mean(axis=0), *r.std(axis=0)))
