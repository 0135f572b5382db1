"""Masks, boxes and pictures of all images of a table: streamed, in processes, resumed when killed.

masks/ cropped_masks/ pictures/  see `writing`
settings.json                    how they were made
lesions.csv images.csv           see `tables`
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from melnb.data.lesions.crops import Output
from melnb.data.lesions.masks import Resampling
from melnb.data.lesions.tables import SETTINGS, masked_ids, picture_paths
from melnb.data.lesions.writing import CROPPED_MASKS, MASKS, PICTURES, Settings, write_image
from melnb.data.pictures import Fit
from melnb.data.processes import count_cores, make_pool
from melnb.files import replacing

_AHEAD = 4  # images handed out for each worker: their planes are all the memory that is needed
_FEW = 64  # images that one process writes before another has started

Prediction = tuple[str, NDArray[np.floating], float]
_Task = tuple[str, str, NDArray[np.floating] | None, float]


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
    workers: int = 0,
    progress: bool = True,
) -> int:
    """Write masks, boxes and pictures; what an earlier call wrote stays, and is not written again.

    It may be called for some images at a time (fold by fold, say); `tables.write_tables` ends the
    work. A script (not a notebook) has to make this call under `if __name__ == "__main__"`, unless
    `workers` is 1.

    Args:
        images: The images table: where the pictures are.
        predictions: Image id, probabilities (side x side, 0-1) and disagreement (NaN: unknown) of
            images in any order, taken one by one. Those that have a mask already are passed over.
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
        workers: Processes; 0: one for each core, this one alone for few images; 1: this one.
        progress: Whether to show a bar, unless the environment sets TQDM_DISABLE.

    Returns:
        How many masks this call wrote.

    Raises:
        FileExistsError: The folder was written with other settings.
        melnb.data.pictures.PictureError: A picture cannot be read.
        TableError: An image has no path.
        ValueError: A prediction is doubled, of an image that is not in the table, or no plane of
            probabilities. What was written before any of these errors stays.
    """
    settings = Settings(
        output, sigma, threshold, smoothing, fit, resampling,
        least_share, most_disagreement, margin, square, quality,
    )  # fmt: skip
    folder, paths = Path(folder), picture_paths(images)
    _settle(folder, settings)
    done = masked_ids(folder) & paths.keys()
    tasks = _tasks(paths, predictions, done)
    few = len(paths) - len(done) <= _FEW
    processes = workers or (1 if few else count_cores())
    hidden = None if progress and not os.environ.get("TQDM_DISABLE") else True
    with tqdm(total=len(paths), unit="image", disable=hidden) as bar:
        for _ in _write(tasks, folder, settings, processes):
            bar.update()
    return len(masked_ids(folder) & paths.keys()) - len(done)


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
    for name in (MASKS, CROPPED_MASKS, PICTURES):
        for temporary in (folder / name).glob(".*.tmp"):
            temporary.unlink(missing_ok=True)


def _tasks(
    paths: dict[str, str], predictions: Iterable[Prediction], done: set[str]
) -> Iterator[_Task]:
    """Yield what is to be written: first the rest of images whose mask is there."""
    for image_id in paths:
        if image_id in done:
            yield image_id, paths[image_id], None, np.nan
    seen: set[str] = set()
    for image_id, plane, disagreement in predictions:
        if image_id not in paths:
            raise ValueError(f"a prediction is of {image_id!r}, which the images table lacks")
        if image_id in seen:
            raise ValueError(f"{image_id} is predicted twice: average its planes first")
        seen.add(image_id)
        if image_id not in done:
            yield image_id, paths[image_id], np.asarray(plane), float(disagreement)


def _write(
    tasks: Iterator[_Task], folder: Path, settings: Settings, processes: int
) -> Iterator[None]:
    """Do the tasks, and yield as each is done."""
    if processes == 1:
        for task in tasks:
            write_image(*task, folder, settings)
            yield
        return
    pending: set[Future[None]] = set()
    with make_pool(processes) as pool:
        try:
            for task in tasks:
                if len(pending) >= _AHEAD * processes:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                pending.add(pool.submit(write_image, *task, folder, settings))
            yield from (future.result() for future in pending)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what is in hand is still finished
            raise
