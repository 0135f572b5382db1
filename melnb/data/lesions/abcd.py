"""Shape and colours of one picture's lesion.

No pandas here: worker processes import this module.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from melnb.data.lesions.colours import Colours, measure_colours
from melnb.data.lesions.crops import find_box
from melnb.data.lesions.masks import Mask
from melnb.data.lesions.shape import Shape, measure_shape
from melnb.data.pictures import PictureError, decode_mask, read_bytes, read_picture

MEASURES = (*Shape._fields[:-1], *Colours._fields[:-1])

_SIDE = 256  # pixels of the longer side of the box with its skin: colours need no more
_AROUND = 0.3  # skin looked at, in longer sides of the lesion's box


def measure_lesion(path: str, mask_path: str, reason: str = "") -> dict[str, Any]:
    """Measure one picture's lesion; what is missing or unreadable becomes a note.

    Args:
        path: Of the picture.
        mask_path: Of its mask, of the same framing at any size; empty: there is none.
        reason: Why the mask is not to be relied on; then nothing is measured.

    Returns:
        `MEASURES`, NaN where they are unknown, and `note`.
    """
    unknown = dict.fromkeys(MEASURES, float("nan"))
    if reason or not mask_path:
        return {**unknown, "note": reason or "no mask"}
    try:
        mask = np.asarray(np.asarray(decode_mask(read_bytes(mask_path), mask_path)) > 0)
        shape = measure_shape(mask)
        if not mask.any():
            return {**unknown, "note": "the mask is empty"}
        picture = read_picture(path)
        tall = mask.shape[0] * picture.width / (mask.shape[1] * picture.height)
        if abs(tall - 1) > 0.02:  # as `pictures.read_mask` tolerates
            raise PictureError(
                f"{mask_path}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels but its "
                f"picture {path} {picture.width} x {picture.height}"
            )
        colours = measure_colours(*_close(picture, mask))
    except PictureError as error:
        return {**unknown, "note": str(error)}
    notes = "; ".join(note for note in (shape.note, colours.note) if note)
    return {**shape._asdict(), **colours._asdict(), "note": notes}


def _close(picture: Image.Image, mask: Mask) -> tuple[Any, Mask]:
    """Return the lesion and the skin around it, at most `_SIDE` pixels long."""
    box = find_box(mask, margin=_AROUND)
    scale = min(1.0, _SIDE / max(box.width, box.height))
    size = (max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    height, width = mask.shape
    across, down = picture.width / width, picture.height / height
    region = (box.left * across, box.top * down, box.right * across, box.bottom * down)
    region = (*region[:2], min(region[2], picture.width), min(region[3], picture.height))
    pixels = picture.resize(size, Image.Resampling.BILINEAR, box=region)
    levels = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
    small = np.asarray(levels.resize(size, Image.Resampling.BILINEAR, box=box)) > 127
    return np.asarray(pixels), np.asarray(small)
