"""Many photographs at once: the rows of a cohort become files, in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from melnb.data.synthetic.photograph import draw_lesion
from melnb.tables.processes import count_cores, make_pool

_FEW = 128  # images that one process draws before another has started
_QUALITY = 92  # of the JPEGs
_GUARD = 'call make_dataset below `if __name__ == "__main__":` in a script, or with workers=1'


def draw_row(
    row: Mapping[Any, Any], *, seed: int = 0, image_size: int = 256
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw the picture and the mask of one row of a cohort, as `draw_lesion` does.

    A row with planted faults may show another's picture (`drawn_as`), turned (`change`).
    """
    given = ("ita", "atypia", "keratotic")
    shown = str(row.get("drawn_as", row["image_id"]))
    picture, mask = draw_lesion(
        lesion=int(row["true_lesion_id"][1:]),
        view=int(shown.partition("_")[2]),
        **{name: row[name] for name in row if name in given or str(name).startswith("has_")},
        seed=seed,
        image_size=image_size,
    )
    turns = 1 if row.get("change") == "turned" else 0
    return np.rot90(picture, turns), np.rot90(mask, turns)


def write_pictures(
    rows: Sequence[Mapping[Any, Any]],
    folder: Path,
    *,
    seed: int = 0,
    image_size: int = 256,
    workers: int = 0,
) -> None:
    """Write `images/*.jpg` and `masks/*.png`: the same bytes whatever the number of workers.

    Args:
        rows: Of a cohort.
        folder: Where `images` and `masks` lie, or are made.
        seed: Of the cohort.
        image_size: Pixels on a side.
        workers: Processes; 0: one for each core; 1: this one.

    Raises:
        RuntimeError: A worker died, or began by asking for workers of its own.
    """
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write = partial(write_picture, folder=folder, seed=seed, image_size=image_size)
    processes = min(workers or count_cores(), len(rows) if workers else len(rows) // _FEW + 1)
    if processes <= 1:
        for row in rows:
            write(row)
        return
    with make_pool(processes) as pool:
        try:
            for _ in pool.map(write, rows, chunksize=16):
                pass
        except BrokenProcessPool as error:
            raise RuntimeError(f"a worker that drew pictures died: {_GUARD}") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write_picture(row: Mapping[Any, Any], *, folder: Path, seed: int, image_size: int) -> None:
    """Draw and write one picture and its mask: a function of the row and the seed alone."""
    picture, mask = draw_row(row, seed=seed, image_size=image_size)
    name = row["image_id"]
    quality = int(row.get("quality", _QUALITY))
    Image.fromarray(picture).save(folder / "images" / f"{name}.jpg", quality=quality)
    Image.fromarray(mask).save(folder / "masks" / f"{name}.png", compress_level=1)


def check_not_starting() -> None:
    """Refuse to run in a worker that is only starting.

    A spawned worker runs its parent's script once more, and a script without a guard would there
    wait for the data set that its own parent is making.

    Raises:
        RuntimeError: This process is such a worker.
    """
    # The standard library knows this by the same attribute, and has no public name for it.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(f"a worker began to make the data set itself: {_GUARD}")
