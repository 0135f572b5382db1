"""Masks that are not there: refused or left out, and looked for under names that are nearly right.

Published masks are named by the image id and a tail that differs from year to year in a letter:
`_Segmentation` (2016), `_segmentation` (2017, 2018, HAM10000), `_lesion` (PH2).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from melnb.data.sources.layout import PICTURE_SUFFIXES, Missing, list_folder
from melnb.data.sources.listing import MASK_TAIL

TAILS = {
    "isic2016": "_Segmentation", "isic2017": "_segmentation", "isic2018": "_segmentation",
    "isic2018_task1": "_segmentation", "ham10000": "_segmentation", "ph2": "_lesion",
}  # fmt: skip


def keep_masked(
    images: pd.DataFrame, *, source: str, folder: str | Path, missing: Missing = "error"
) -> pd.DataFrame:
    """Return the table if each of its images has a mask.

    Args:
        images: The images table.
        source: Its name.
        folder: Its raw files, among which a mask of nearly the right name is looked for.
        missing: What to do with images without a mask: `error`, `drop` (their ids are then in
            `attrs["without_mask"]`) or `keep`.

    Raises:
        FileNotFoundError: Images have no mask and `missing` is `error`; the picture's path, the
            mask's name and, if there is one, the file that is nearly named so are told.
        ValueError: No image has a mask.
    """
    named = images["mask_path"] if "mask_path" in images else pd.Series(index=images.index)
    lost = images[named.isna()]
    if lost.empty or (missing == "keep" and len(lost) < len(images)):
        return images
    if missing == "error" or len(lost) == len(images):
        raise _refusal(images, lost, _near(lost, source, folder), source, folder)
    kept = images[named.notna()].reset_index(drop=True)
    kept.attrs = {**images.attrs, "without_mask": tuple(lost["image_id"])}
    return kept


def find_near_masks(ids: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """Find files that may be meant as masks: the id in any case, and a tail of any kind.

    Args:
        ids: Of images without a mask.
        files: Paths; pictures of suffix .jpg without a tail are none.

    Returns:
        Image id to the first such path.
    """
    wanted = {name.lower(): name for name in ids}
    found: dict[str, str] = {}
    for file in files:
        stem, suffix = os.path.splitext(os.path.basename(file))  # noqa: PTH119, PTH122 (speed)
        bare = MASK_TAIL.sub("", stem)
        image = wanted.get(bare.lower())
        picture = bare == stem and suffix.lower() in (".jpg", ".jpeg")
        if image is not None and suffix.lower() in PICTURE_SUFFIXES and not picture:
            found.setdefault(image, file)
    return found


def _near(lost: pd.DataFrame, source: str, folder: str | Path) -> dict[str, str]:
    place = Path(folder)
    listing = list_folder(
        place.parent if place.is_file() else place, source=source, home="its home"
    )
    pictures = {os.path.normpath(path) for path in lost["path"].dropna()}
    files = (str(listing.root / at / name) for at, names in listing.names.items() for name in names)
    return find_near_masks(lost["image_id"], (file for file in files if file not in pictures))


def _refusal(
    images: pd.DataFrame, lost: pd.DataFrame, near: dict[str, str], source: str, folder: str | Path
) -> Exception:
    if len(lost) == len(images) and not near:
        return ValueError(
            f"task mask: none of {len(images)} images of {source} has a mask below {folder}: get "
            "the masks too, or use another task"
        )
    image = next(iter(near), lost["image_id"].iloc[0])
    path = lost.loc[lost["image_id"] == image, "path"].iloc[0]
    sought = f"no {image}{TAILS[source]}.png below {folder}" if source in TAILS else "no mask_path"
    there = f", but {near[image]} ({len(near)} such): rename it" if near else ""
    return FileNotFoundError(
        f"{source}: {len(lost)} of {len(images)} images have no mask; of {path} there is {sought}"
        f"{there}; complete the download, or leave them out (missing=drop)"
    )
