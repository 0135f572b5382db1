"""An audit of masks: what is odd about those of a table, before anything learns from them.

`FINDINGS` in the order of their weight; the first four stop the records from being made whole:

    missing     the image has none, though others have
    misnamed    the same, but a file is there whose name is nearly right
    unreadable  no such file, no picture, or levels that do not tell what is lesion
    aspect      its proportions are not its picture's: refused when records are made
    empty       no lesion
    white       lesion everywhere (two of HAM10000)
    scant       almost no lesion
    vast        almost nothing but lesion
    grey        not binary: grey where no edge is that resizing could have blurred
    size        pixels other than its picture's, in its proportions: resized when records are made
    parts       the lesion is in several pieces
    border      the lesion touches the frame
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from melnb.data.decoding import decode_levels
from melnb.data.lesions.masks import piece_sizes
from melnb.data.mask_levels import LevelError, Levels, find_lesion
from melnb.data.pictures import PictureError, read_bytes, read_size
from melnb.data.sources.layout import find_near_masks
from melnb.tables.processes import count_cores, make_pool

FINDINGS = (
    "missing", "misnamed", "unreadable", "aspect", "empty", "white", "scant", "vast", "grey",
    "size", "parts", "border",
)  # fmt: skip
COLUMNS = (
    "image_id", "findings", "said", "width", "height", "area", "grey", "parts", "largest",
    "frame", "mask_path", "path",
)  # fmt: skip

_ASPECT = 0.02  # the tolerance of `pictures.read_mask`
_SCANT, _VAST = 0.001, 0.99  # shares of the picture; lesions of ISIC 2016-2018 take 0.3 % or more
_GREY = 0.001
_EDGE = 2  # pixels either side of an outline that resizing may have blurred
_FEW, _CHUNK = 200, 32  # masks that one process has done before another has started; and at once

Row = dict[str, Any]


def mask_audit(images: pd.DataFrame, *, workers: int = 0) -> pd.DataFrame:
    """Look at every mask of a table, one after another.

    Args:
        images: The images table, with `mask_path`; a mask of nearly the right name is looked for in
            the folders of the other masks and of the pictures.
        workers: Processes; 0: one for each core where there are many masks; 1: this one.

    Returns:
        One row per image with a finding, in the table's order: `image_id, findings` (of `FINDINGS`,
        a space between), `said` (the first of them in words), `width, height` of the mask, `area`
        (share of the picture that is lesion), `grey` (share that is grey beyond edges), `parts`
        (pieces, joined at corners), `largest` (its share of the lesion), `frame` (share of the
        frame's pixels that is lesion), `mask_path` and `path`. No rows: nothing is odd, or no image
        has a mask.
    """
    if "mask_path" not in images or images["mask_path"].isna().all():
        images = images.head(0).assign(mask_path=None)
    there = images[images["mask_path"].notna()]
    pairs = zip(there["mask_path"], there["path"], strict=True)
    jobs = [(str(mask), "" if pd.isna(path) else str(path)) for mask, path in pairs]
    looked = zip(there["image_id"], _look(jobs, workers), strict=True)
    rows = [{"image_id": name, **row} for name, row in looked if row["findings"]]
    table = pd.DataFrame([*rows, *_missing(images)], columns=list(COLUMNS))
    place = dict(zip(images["image_id"], range(len(images)), strict=True))
    order = table["image_id"].map(place).to_numpy(dtype=int).argsort(kind="stable")
    whole = dict.fromkeys(("width", "height", "parts"), "Int64")
    shares = dict.fromkeys(("area", "grey", "largest", "frame"), "float64")
    return table.iloc[order].reset_index(drop=True).astype({**whole, **shares})


def finding_counts(audit: pd.DataFrame) -> pd.DataFrame:
    """Count the masks of each finding.

    Args:
        audit: Of `mask_audit`.

    Returns:
        `finding, masks, first` (an image id), in the order of `FINDINGS`; those found alone.
    """
    has = audit["findings"].str.split()
    ids_of = {name: audit.loc[[name in one for one in has], "image_id"] for name in FINDINGS}
    rows = [(name, len(ids), ids.iloc[0]) for name, ids in ids_of.items() if len(ids)]
    return pd.DataFrame(rows, columns=["finding", "masks", "first"])


def look_at_mask(mask_path: str, path: str) -> Row:
    """Look at one mask, and at the header of its picture.

    Args:
        mask_path: The mask's file.
        path: The picture's; empty: none, so that sizes are not compared.

    Returns:
        The row of `mask_audit`, less the image id; `findings` is empty if nothing is odd.
    """
    row: Row = {"mask_path": mask_path, "path": path or None}
    try:
        mask, lossy = decode_levels(read_bytes(mask_path), mask_path)
        levels = find_lesion(mask, lossy=lossy)
    except (PictureError, LevelError) as error:
        reason = str(error) if str(error).startswith(mask_path) else f"{mask_path}: {error}"
        return {**row, "findings": "unreadable", "said": f"{reason} (the mask of {path})"}
    row |= {"width": mask.width, "height": mask.height, **_measure(levels)}
    findings = {**_compare_sizes(mask, mask_path, path), **_judge(row)}
    names = [name for name in FINDINGS if name in findings]
    return {**row, "findings": " ".join(names), "said": findings[names[0]] if names else ""}


def _measure(levels: Levels) -> Row:
    from scipy import ndimage

    lesion = levels.lesion
    near = ndimage.binary_dilation(lesion, iterations=_EDGE)
    near &= ~ndimage.binary_erosion(lesion, iterations=_EDGE, border_value=1)
    grey = levels.between & ~near
    labels, parts = ndimage.label(lesion, np.ones((3, 3)))
    pieces = piece_sizes(labels, parts)
    frame = np.concatenate([lesion[0], lesion[-1], lesion[1:-1, 0], lesion[1:-1, -1]])
    return {
        "area": lesion.mean(), "grey": grey.mean(), "parts": parts, "frame": frame.mean(),
        "largest": pieces.max() / pieces.sum() if parts else np.nan,
    }  # fmt: skip


def _judge(row: Row) -> dict[str, str]:
    """Return what is odd about the measures of a mask, and each in words."""
    area, grey, parts, frame = (row[name] for name in ("area", "grey", "parts", "frame"))
    findings = {}
    if area == 0:
        findings["empty"] = "no lesion"
    elif area == 1:
        findings["white"] = "lesion everywhere"
    elif area < _SCANT:
        findings["scant"] = f"lesion is {area:.3%} of the picture"
    elif area > _VAST:
        findings["vast"] = f"lesion is {area:.3%} of the picture"
    if grey > _GREY:
        findings["grey"] = f"{grey:.1%} of the pixels are grey, away from any edge"
    if parts > 1:
        findings["parts"] = f"{parts} pieces, the largest {row['largest']:.1%} of the lesion"
    if frame > 0 and area < 1:
        findings["border"] = f"{frame:.1%} of the frame is lesion"
    return findings


def _compare_sizes(mask: Image.Image, mask_path: str, path: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        width, height = read_size(path)
    except PictureError:  # told when records are made: it is no fault of the mask
        return {}
    if mask.size == (width, height):
        return {}
    off = abs(mask.width * height / (mask.height * width) - 1) > _ASPECT
    reason = f"{mask_path} is {mask.width} x {mask.height}, but {path} {width} x {height} pixels"
    return {"aspect" if off else "size": reason}


def _missing(images: pd.DataFrame) -> Iterator[Row]:
    lost = images[images["mask_path"].isna()]
    if lost.empty:
        return
    paths = {os.path.normpath(str(p)) for c in ("mask_path", "path") for p in images[c].dropna()}
    folders = sorted({Path(name).parent for name in paths if "::" not in name})
    files = (str(file) for at in folders if at.is_dir() for file in sorted(at.iterdir()))
    near = find_near_masks(lost["image_id"], (file for file in files if file not in paths))
    for name, path in zip(lost["image_id"], lost["path"], strict=True):
        row = {"image_id": name, "path": path, "mask_path": near.get(name)}
        if name in near:
            reason = f"{path} has no mask, but {near[name]} is there: rename it"
            yield {**row, "findings": "misnamed", "said": reason}
        else:
            yield {**row, "findings": "missing", "said": f"{path} has no mask"}


def _look(jobs: list[tuple[str, str]], workers: int) -> Iterator[Row]:
    processes = min(workers or count_cores(), len(jobs) if workers else len(jobs) // _FEW + 1)
    if processes <= 1:
        yield from (look_at_mask(*job) for job in jobs)
        return
    with make_pool(processes) as pool:
        try:
            yield from pool.map(look_at_mask, *zip(*jobs, strict=True), chunksize=_CHUNK)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker that looked at masks died: call mask_audit below "
                '`if __name__ == "__main__":` in a script, or with workers=1'
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
