"""Masks, boxes and pictures of all images of a table: streamed, in processes, resumed when killed.

masks/ cropped_masks/ pictures/  see `writing`
settings.json                    how they were made
lesions.csv images.csv           see `tables`
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from melnb.data.lesions.crops import Output
from melnb.data.lesions.lesion_tables import LESION_COLUMNS, SETTINGS, masked_ids, picture_paths
from melnb.data.lesions.masks import Resampling
from melnb.data.lesions.writing import (
    MASKS,
    Numbers,
    Settings,
    write_image,
)
from melnb.data.pictures import Fit
from melnb.tables.documents import read_json
from melnb.tables.files import replacing
from melnb.tables.processes import count_cores, do_each

_AHEAD = 4  # images handed out for each worker: their planes are all the memory that is needed
_FEW = 64  # images that one process writes before another has started

_OF_PICTURES = {"output", "quality"}  # settings of what is written beside the masks

Prediction = tuple[str, NDArray[np.floating], Numbers]
_Task = tuple[str, str, NDArray[np.floating] | None, Numbers]


def apply_masks(
    images: pd.DataFrame,
    predictions: Iterable[Prediction],
    folder: str | Path,
    *,
    output: Output = "crop",
    sigma: float = 2.0,
    threshold: float = 0.5,
    smoothing: float = 1.0,
    fit: Fit = "squash",
    resampling: Resampling = "threshold",
    least_share: float = 0.005,
    most_disagreement: float = 0.5,
    margin: float = 0.1,
    square: bool = False,
    quality: int = 95,
    masks_of: str | Path = "",
    workers: int = 0,
    progress: bool = True,
) -> int:
    """Write masks, boxes and pictures; what an earlier call wrote stays, and is not written again.

    It may be called for some images at a time (fold by fold, say); `lesion_tables.write_tables`
    ends the work. A script (not a notebook) has to make this call under
    `if __name__ == "__main__"`, unless `workers` is 1.

    Args:
        images: The images table: where the pictures are.
        predictions: Image id, probabilities (side x side, 0-1) and numbers by name, of images in
            any order, taken one by one; those that have a mask already are passed over. Of the
            numbers, `disagreement` decides whether a mask is trusted (NaN or not there: unknown);
            all are kept with the mask and become columns of the lesions table.
        folder: Where to write; no other process may write there.
        output: `mask`, `crop`, `crop_times_mask` or `soft_margin` (see `crops`).
        sigma: See `masks.make_mask`, and so threshold, smoothing, fit, resampling.
        threshold: See `sigma`.
        smoothing: See `sigma`.
        fit: See `sigma`.
        resampling: See `sigma`.
        least_share: See `masks.judge_mask`: where the verdict is not `ok`, the picture stays whole.
        most_disagreement: See `least_share`.
        margin: See `crops.find_box`; the founding system had none.
        square: See `crops.find_box`.
        quality: Of the JPEGs.
        masks_of: A folder that this function wrote of the same images, whose masks are taken, as
            links where the disk allows it, before any prediction.
        workers: Processes; 0: one for each core, this one alone for few images; 1: this one.
        progress: Whether to show a bar, unless the environment sets TQDM_DISABLE.

    Returns:
        How many masks this call wrote or took.

    Raises:
        FileExistsError: The folder was written with other settings.
        melnb.data.pictures.PictureError: A picture cannot be read.
        TableError: An image has no path.
        ValueError: A prediction is doubled, of an image that is not in the table, or no plane of
            probabilities; the masks to be taken are of other images, or were made otherwise. What
            was written before any of these errors stays.
    """
    settings = Settings(
        output, sigma, threshold, smoothing, fit, resampling,
        least_share, most_disagreement, margin, square, quality,
    )  # fmt: skip
    folder, paths = Path(folder), picture_paths(images)
    if masks_of:
        _check_source(Path(masks_of), set(paths), settings)
    _settle(folder, settings)
    before = masked_ids(folder) & paths.keys()
    if masks_of:
        _take_masks(Path(masks_of) / MASKS, folder / MASKS, paths.keys() - before)
    done = masked_ids(folder) & paths.keys()
    tasks = ((*task, folder, settings) for task in _tasks(paths, predictions, done))
    few = len(paths) - (0 if masks_of else len(done)) <= _FEW
    processes = workers or (1 if few else count_cores())
    hidden = None if progress and not os.environ.get("TQDM_DISABLE") else True
    with tqdm(total=len(paths), unit="image", disable=hidden) as bar:
        for _ in do_each(write_image, tasks, workers=processes, ahead=_AHEAD):
            bar.update()
    return len(masked_ids(folder) & paths.keys()) - len(before)


def _settle(folder: Path, settings: Settings) -> None:
    """Refuse a folder of other settings; remove what a killed process left half-written."""
    file = folder / SETTINGS
    wanted = json.dumps(asdict(settings), indent=1) + "\n"
    if file.is_file() and file.read_text(encoding="utf-8") != wanted:
        raise FileExistsError(
            f"{folder} was written with other settings ({file}): name another folder, or remove it"
        )
    if not file.is_file():
        if masked_ids(folder):
            raise FileExistsError(f"{folder} holds masks that were not made here: name another")
        with replacing(file) as temporary:
            temporary.write_text(wanted, encoding="utf-8")
    for temporary in folder.rglob(".*.tmp"):
        temporary.unlink(missing_ok=True)


def _check_source(source: Path, wanted: set[str], settings: Settings) -> None:
    """Refuse masks of other images, or that were made otherwise than is asked for."""
    file = source / SETTINGS
    if not file.is_file():
        raise FileNotFoundError(f"no {SETTINGS} in {source}: name a run of 02d_segment_apply")
    needs = sorted(asdict(settings).keys() - _OF_PICTURES)
    theirs = read_json(file, "run 02d_segment_apply again", needs=needs)
    for name, value in asdict(settings).items():
        if name not in _OF_PICTURES and theirs[name] != value:
            raise ValueError(
                f"{name} is {value!r}, but the masks of {source} were made with {theirs[name]!r}: "
                "set it so, or predict anew"
            )
    there = masked_ids(source)
    if there != wanted:
        one = min(there ^ wanted)
        raise ValueError(
            f"{source} has masks of {len(there)} images and the table has {len(wanted)}; {one} is "
            f"{'not in the table' if one in there else 'without a mask'}: take the masks of a run "
            "on the same data set"
        )


def _take_masks(source: Path, target: Path, ids: Iterable[str]) -> None:
    """Link masks into another folder; copy them where the disk cannot link."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (f"{image_id}.png" for image_id in ids):
        try:
            os.link(source / name, target / name)
        except OSError:  # another disk, or one without links
            with replacing(target / name) as temporary:
                shutil.copyfile(source / name, temporary)


def _tasks(
    paths: dict[str, str], predictions: Iterable[Prediction], done: set[str]
) -> Iterator[_Task]:
    """Yield what is to be written: first the rest of images whose mask is there."""
    for image_id in paths:
        if image_id in done:
            yield image_id, paths[image_id], None, {}
    seen: set[str] = set()
    for image_id, plane, numbers in predictions:
        if image_id not in paths:
            raise ValueError(f"a prediction is of {image_id!r}, which the images table lacks")
        if image_id in seen:
            raise ValueError(f"{image_id} is predicted twice: average its planes first")
        seen.add(image_id)
        if image_id not in done:
            yield image_id, paths[image_id], np.asarray(plane), _plain(image_id, numbers)


def _plain(image_id: str, numbers: Mapping[str, float]) -> dict[str, float]:
    """Return numbers as JSON can hold them; refuse a name that is a column of what is found."""
    if taken := sorted(set(numbers) & set(LESION_COLUMNS)):
        raise ValueError(f"a number of {image_id} is named {taken[0]!r}, as a column: rename it")
    return {name: n if isinstance(n, int) else float(n) for name, n in numbers.items()}
