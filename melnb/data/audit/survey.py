"""A survey of the pictures themselves: their sizes, from the headers of a sample."""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.data.pictures import PictureError, read_size


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
    sizes = [_size(path) for path in rows["path"]]
    width, height = zip(*sizes, strict=True) if sizes else ((), ())
    return rows.assign(width=pd.array(width, dtype="Int64"), height=pd.array(height, dtype="Int64"))


def _size(path: str) -> tuple[int | None, int | None]:
    try:
        return read_size(path)
    except PictureError:
        return None, None
