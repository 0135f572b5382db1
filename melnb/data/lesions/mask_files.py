"""Mask files: masks and pictures of many images, each read when it is asked for.

A score of 10,000 masks thus holds two of them at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from melnb.data.lesions.masks import Mask
from melnb.data.pictures import Fit, PictureError, read_mask, read_picture
from melnb.tables.checks import check_columns


class MaskFile(NamedTuple):
    """Where a mask lies, and the picture that it is of.

    Attributes:
        path: Of the mask.
        picture: Of the picture.
        width: Of the picture, upright, in pixels.
        height: Likewise.
    """

    path: str
    picture: str
    width: int
    height: int


class MaskFiles(Mapping[str, Mask]):
    """Image id to mask, height x width of its picture, read anew each time.

    A mask of another size than its picture is resized.

    Args:
        files: By image id.

    Raises:
        PictureError: (When a mask is asked for) it cannot be read, or is of other proportions than
            its picture; both files are named.
    """

    def __init__(self, files: Mapping[str, MaskFile]) -> None:
        self._files = dict(files)

    def __getitem__(self, image_id: str) -> Mask:
        file = self._files[image_id]
        try:
            mask = read_mask(file.path, 0, width=file.width, height=file.height)
        except PictureError as error:
            raise PictureError(f"{image_id} ({file.picture}): {error}") from None
        return np.asarray(np.asarray(mask) > 0)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._files  # the inherited one would read the mask

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class PictureFiles(Mapping[str, NDArray[np.uint8]]):
    """Image id to pixels, height x width x 3, upright, read anew each time.

    Args:
        images: The images table.
    """

    def __init__(self, images: pd.DataFrame) -> None:
        pictured = images.dropna(subset=["path"])
        self._paths = dict(zip(pictured["image_id"], pictured["path"], strict=True))

    def __getitem__(self, image_id: str) -> NDArray[np.uint8]:
        return np.asarray(read_picture(self._paths[image_id]))

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def square_pairs(
    images: pd.DataFrame, *, fit: Fit, side: int, mask_side: int
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, Mask]]:
    """Read a few pictures, made square, and those of their true masks that are known.

    Args:
        images: The rows of the images table.
        fit: How they get square.
        side: Of the pictures, pixels.
        mask_side: Of the masks.

    Returns:
        Image id to pixels (side x side x 3), and to mask.

    Raises:
        PictureError: A picture or a mask cannot be read.
    """
    pixels = {
        image: np.asarray(read_picture(path, side, fit))
        for image, path in zip(images["image_id"], images["path"], strict=True)
    }
    masked = images[images["mask_path"].notna()] if "mask_path" in images else images.head(0)
    masks = {
        image: np.asarray(np.asarray(read_mask(path, mask_side, fit)) > 0)
        for image, path in zip(masked["image_id"], masked.get("mask_path", []), strict=True)
    }
    return pixels, masks


def true_masks(images: pd.DataFrame, lesions: pd.DataFrame) -> MaskFiles:
    """Return the true masks of an images table, where it knows any.

    Args:
        images: The images table, with `mask_path` where masks are known.
        lesions: `lesion_tables.read_lesions` of the same images: the sizes of their pictures.
    """
    check_columns(images, ("image_id", "path"), "images")
    if "mask_path" not in images:
        return MaskFiles({})
    masked = images[images["mask_path"].notna()]
    sizes = lesions.set_index("image_id")[["width", "height"]].loc[masked["image_id"]]
    columns = (masked["mask_path"], masked["path"], sizes["width"], sizes["height"])
    return _mask_files(masked["image_id"], columns)


def found_masks(lesions: pd.DataFrame, images: pd.DataFrame) -> MaskFiles:
    """Return the masks that were found.

    Args:
        lesions: `lesion_tables.read_lesions`.
        images: The images table, or the rows of it that are wanted.
    """
    rows = lesions.set_index("image_id").loc[images["image_id"]]
    columns = (rows["mask_path"], images["path"], rows["width"], rows["height"])
    return _mask_files(images["image_id"], columns)


def _mask_files(ids: pd.Series, columns: tuple[pd.Series, ...]) -> MaskFiles:
    rows = zip(ids, *columns, strict=True)
    return MaskFiles({i: MaskFile(str(m), str(p), int(w), int(h)) for i, m, p, w, h in rows})
