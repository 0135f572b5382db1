"""The files of one image: its mask, and what is left of its picture.

masks/<id>.png          0 and 255, of the picture's size; what was found stands in its text
cropped_masks/<id>.png  the part of the mask that goes with the written picture
pictures/<id>.jpg       the written picture

Each is written under a temporary name and renamed, in this order, and never twice: the mask settles
what the segmenter said, and the other two follow from it, so that a killed run needs no prediction
for an image that has its mask.

No pandas here: worker processes import this module.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from melnb.data.lesions.crops import Box, Output, crop_picture, cut, find_box
from melnb.data.lesions.masks import Mask, Resampling, judge_mask, make_mask
from melnb.data.pictures import (
    Fit,
    Picture,
    PictureError,
    decode_picture,
    encode_jpeg,
    encode_png,
    read_bytes,
)
from melnb.tables.documents import shaped
from melnb.tables.files import replacing

MASKS, CROPPED_MASKS, PICTURES = "masks", "cropped_masks", "pictures"
DISAGREEMENT = "disagreement"  # of the numbers, the one by which a mask is trusted

Numbers = Mapping[str, float]
"""What is known of a prediction, by name: `disagreement`, and whatever is to be kept with it."""

_TEXT = "melnb"  # the key of the PNG's text


@dataclass(frozen=True)
class Settings:
    """What all images have in common; see `applying.apply_masks`."""

    output: Output
    sigma: float
    threshold: float
    smoothing: float
    fit: Fit
    resampling: Resampling
    least_share: float
    most_disagreement: float
    margin: float
    square: bool
    quality: int


@dataclass(frozen=True)
class Found:
    """What a mask's text says of its image."""

    width: int
    height: int
    area_share: float
    box: tuple[int, int, int, int] | None
    verdict: str
    reason: str
    numbers: dict[str, float | None]


def write_image(
    image_id: str,
    path: str,
    plane: NDArray[np.floating] | None,
    numbers: Numbers,
    folder: Path,
    settings: Settings,
) -> None:
    """Write the files of one image that are not there yet.

    Args:
        image_id: A safe file name.
        path: Of the picture.
        plane: Its probabilities, side x side; None: its mask is there already.
        numbers: What is known of the prediction; they are kept in the mask's text.
        folder: Where the three folders are.
        settings: Of all images.

    Raises:
        PictureError: The picture or the mask cannot be read.
        ValueError: The plane is no plane of probabilities; the image is named.
    """
    file = folder / MASKS / f"{image_id}.png"
    there = file.is_file()
    if there and not _unwritten(folder, image_id, path, settings):
        return
    # Of a mask alone, the picture's size is all that is needed: an eighth of it is decoded.
    least = 0 if settings.output != "mask" or "::" in path else 1
    picture = decode_picture(read_bytes(path), path, size=least)
    if not there:
        if plane is None:
            raise ValueError(f"{image_id}: neither a mask in {file} nor a prediction")
        _write_mask(file, image_id, picture, plane, numbers, settings)
    if wanted := _unwritten(folder, image_id, path, settings):
        _write_rest(wanted, file, picture, settings)


def read_found(folder: Path, image_id: str) -> dict[str, Any]:
    """Read what was found of an image from the text of its mask.

    Returns:
        `width`, `height`, `area_share`, `box` (four numbers, or none), `verdict`, `reason`, and
        `numbers`, those of the prediction, `disagreement` first.

    Raises:
        PictureError: The mask is missing, damaged, or was not written here.
    """
    file = folder / MASKS / f"{image_id}.png"
    try:
        with Image.open(file) as mask:
            text = json.loads(mask.info[_TEXT])
        record = asdict(shaped(dict(text), Found, file, "remove it and run again"))
        numbers = {k: math.nan if v is None else v for k, v in record["numbers"].items()}
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
        UnidentifiedImageError,
    ) as error:
        raise PictureError(
            f"{file}: no mask written here ({error}): remove it and run again"
        ) from None
    return {**record, "numbers": numbers}


def written_files(image_id: str, path: str, record: dict[str, Any], output: Output) -> list[str]:
    """Return the files that an image has beside its mask, relative to the folder.

    An image that keeps its whole picture has none, unless the picture lies in another file
    (`file::key`), where a table of paths could not find it.
    """
    if record["verdict"] == "ok" and output != "mask":
        return [f"{CROPPED_MASKS}/{image_id}.png", f"{PICTURES}/{image_id}.jpg"]
    return [f"{PICTURES}/{image_id}.jpg"] if "::" in path else []


def _unwritten(folder: Path, image_id: str, path: str, settings: Settings) -> list[Path]:
    record = read_found(folder, image_id)
    files = [folder / f for f in written_files(image_id, path, record, settings.output)]
    return [file for file in files if not file.is_file()]


def _write_mask(
    file: Path,
    image_id: str,
    picture: Picture,
    plane: NDArray[np.floating],
    numbers: Numbers,
    settings: Settings,
) -> None:
    try:
        mask = make_mask(
            plane,
            picture.width,
            picture.height,
            sigma=settings.sigma,
            threshold=settings.threshold,
            smoothing=settings.smoothing,
            fit=settings.fit,
            resampling=settings.resampling,
        )
    except ValueError as error:
        raise ValueError(f"{image_id}: {error}") from error
    text = PngInfo()
    text.add_text(_TEXT, json.dumps(_describe(mask, numbers, settings)))
    with replacing(file) as temporary:
        _levels(mask).save(temporary, "PNG", pnginfo=text)


def _describe(mask: Mask, numbers: Numbers, settings: Settings) -> dict[str, Any]:
    kept = {DISAGREEMENT: math.nan, **numbers}
    verdict, reason = judge_mask(
        mask,
        disagreement=kept[DISAGREEMENT],
        least_share=settings.least_share,
        most_disagreement=settings.most_disagreement,
    )
    box = find_box(mask, margin=settings.margin, square=settings.square) if mask.any() else None
    return {
        "width": mask.shape[1],
        "height": mask.shape[0],
        "area_share": float(mask.mean()),
        "box": box,
        "verdict": verdict,
        "reason": reason,
        "numbers": {name: None if math.isnan(n) else n for name, n in kept.items()},
    }


def _write_rest(wanted: list[Path], file: Path, picture: Picture, settings: Settings) -> None:
    record = read_found(file.parent.parent, file.stem)
    with Image.open(file) as image:
        mask = np.asarray(image) > 0
    box = Box(*record["box"]) if record["box"] else Box(0, 0, record["width"], record["height"])
    for target in wanted:
        if target.parent.name == CROPPED_MASKS:
            data = encode_png(_levels(cut(mask, box)))
        elif record["verdict"] == "ok" and settings.output != "mask":
            kinds: dict[str, Any] = {"output": settings.output, "margin": settings.margin}
            cropped = crop_picture(picture.pixels, mask, box, **kinds)
            data = encode_jpeg(cropped, settings.quality)
        else:
            data = picture.jpeg or encode_jpeg(picture.pixels, settings.quality)
        with replacing(target) as temporary:
            temporary.write_bytes(data)


def _levels(mask: Mask) -> Image.Image:
    return Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
