"""Duplicates: the same picture under two names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from melnb.data.pictures import PictureError, read_bytes

COLUMNS = ("identical", "image_id", "patient_id", "lesion_id", "target", "path")


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
