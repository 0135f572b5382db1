"""Duplicates: the same picture under two names, found byte for byte; sizes of pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from melnb.data.pictures import PictureError, read_bytes, read_size
from melnb.tables.overlap import met_images
from melnb.tables.schema import join_images, read_images

# A survey of the pictures themselves: their sizes, from the headers of a sample.


def picture_sizes(images: pd.DataFrame, *, n: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Read the width and height of pictures drawn at random; no pixel is decoded.

    Args:
        images: The images table; rows without a path are left out.
        n: At most so many pictures.
        seed: Of the draw.

    Returns:
        The drawn rows with `width` and `height` in pixels, upright, missing where a picture
        cannot be read.
    """
    rows = images.dropna(subset=["path"])
    if len(rows) > n:
        rows = rows.iloc[np.sort(np.random.default_rng(seed).choice(len(rows), n, replace=False))]
    sizes = [_sampled_size(path) for path in rows["path"]]
    width, height = zip(*sizes, strict=True) if sizes else ((), ())
    return rows.assign(width=pd.array(width, dtype="Int64"), height=pd.array(height, dtype="Int64"))


def _sampled_size(path: str) -> tuple[int | None, int | None]:
    try:
        return read_size(path)
    except PictureError:
        return None, None


COLUMNS = ("identical", "image_id", "patient_id", "lesion_id", "target", "path")


def met_pictures(folder: Path, homes: Sequence[Path]) -> pd.DataFrame:
    """Name the images of a prepared dataset that a model has met (`met_images`), pictures too.

    Args:
        folder: Of the dataset.
        homes: Folders of what was learnt from; none: nothing was met, and no picture is compared.

    Returns:
        As `met_images`.
    """
    images = read_images(folder / "images.csv")
    both = join_images([*homes, folder]) if homes else images.head(0)
    return met_images(images, join_images(homes), identical=find_identical(both))


def find_identical(images: pd.DataFrame) -> pd.DataFrame:
    """Find pictures whose files are equal byte for byte.

    HAM10000 has two such pairs. Files of one size alone are read, so that most are not; what
    cannot be read is passed over here and refused when records are made.

    Args:
        images: The images table; a row without a path has no picture to compare.

    Returns:
        One row per picture that is there more than once: the number of its set in `identical`,
        from 0, and its ids, target and path, so that one sees whether they agree. Give it to
        `make_folds`, so that no set lies in two folds.
    """
    images = images[images["path"].fillna("").astype(str).ne("")]
    sizes = images["path"].map(_size)
    alike = images[sizes.notna() & sizes.duplicated(keep=False)]
    digests = alike["path"].map(_digest)
    alike = alike[digests.notna() & digests.duplicated(keep=False)]
    table = alike.assign(identical=digests.reindex(alike.index))  # also where none is left
    table = table.sort_values("image_id", kind="stable")
    table["identical"] = pd.factorize(table["identical"])[0]
    return table.sort_values("identical", kind="stable")[list(COLUMNS)].reset_index(drop=True)


def _size(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except OSError:
        data = _bytes(path)  # a picture within a file, or none
        return None if data is None else len(data)


def _digest(path: str) -> str | None:
    data = _bytes(path)
    return None if data is None else hashlib.blake2b(data, digest_size=16).hexdigest()


def _bytes(path: str) -> bytes | None:
    try:
        return read_bytes(path)
    except PictureError:
        return None
