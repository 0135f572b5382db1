"""A synthetic data set on disk: pictures, true masks, and a table that hides nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from melnb.data.synthetic.album import check_not_starting, write_pictures
from melnb.data.synthetic.faults import plant_faults
from melnb.data.synthetic.patients import make_cohort
from melnb.tables import schema
from melnb.tables.files import naming, old_folder, replace_folder

_DRAWING = 2  # raise it when the same settings give another set: old ones are then made again
_SETTINGS = "synthetic.json"


def make_dataset(
    folder: str | Path,
    *,
    images: int = 600,
    seed: int = 0,
    positives: float = 0.2,
    test: float = 0.15,
    leak: float = 0.0,
    shortcut: float = 0.0,
    tone_gap: float = 0.0,
    faults: Sequence[str] = (),
    image_size: int = 256,
    workers: int = 0,
) -> Path:
    """Make a synthetic data set, unless the folder already holds it.

    Writes `images/*.jpg`, `masks/*.png` (0 or 255) and `metadata.csv`, first into
    `<folder>.partial`, which is then renamed. A set made with other settings is replaced.

    Args:
        folder: Of the data set; its parent is made if need be.
        images: How many pictures.
        seed: Of every random choice: the same seed gives the same bytes.
        positives: As in `make_cohort`, and so `test`, `leak`, `shortcut` and `tone_gap`.
        test: See `positives`.
        leak: See `positives`.
        shortcut: See `positives`.
        tone_gap: See `positives`.
        faults: Names of `faults.FAULTS`, planted for an audit to find; `metadata.csv` then has
            `fold`, too.
        image_size: Pixels on a side, 32 or more.
        workers: Processes; 0: one for each core; 1: this one.

    Returns:
        The folder.

    Raises:
        ValueError: A parameter is out of range.
        FileExistsError: The folder holds something that is not a synthetic data set.
        RefusedError: The disk is full, say.
        RuntimeError: A worker died; a script without `if __name__ == "__main__":`, say.
    """
    if image_size < 32:
        raise ValueError(f"image_size is {image_size!r}: give 32 pixels or more")
    switches = {"positives": positives, "test": test, "leak": leak}
    switches |= {"shortcut": shortcut, "tone_gap": tone_gap}
    sizes = {"images": images, "seed": seed, "image_size": image_size}
    settings: dict[str, object] = {"drawing": _DRAWING, **sizes, **switches}
    settings |= {"faults": [*faults]} if faults else {}
    folder = Path(folder).absolute()
    if _settings(folder) == settings and not old_folder(folder).exists():
        return folder
    check_not_starting()
    cohort = make_cohort(images=images, seed=seed, **switches)
    cohort = plant_faults(cohort, faults, seed=seed) if faults else cohort
    with naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with naming(folder), FileLock(folder.with_name(f".{folder.name}.lock")):
        shutil.rmtree(old_folder(folder), ignore_errors=True)  # of a call that was killed
        if _settings(folder) != settings:  # another process may have made it meanwhile
            _check_replaceable(folder)
            unfinished = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(unfinished, ignore_errors=True)
            _write(unfinished, cohort, settings, workers)
            replace_folder(unfinished, folder)
    return folder


def read_dataset_images(folder: str | Path) -> pd.DataFrame:
    """Read a synthetic data set as an images table; half of the test rows have no diagnosis.

    Where faults are planted, `fold` is there too.

    Raises:
        FileNotFoundError: The folder holds no data set.
    """
    folder = Path(folder).absolute()
    settings = _settings(folder)
    if not settings:
        raise FileNotFoundError(f"no {_SETTINGS} in {folder}: make_dataset makes a data set there")
    table = schema.read_table(folder / "metadata.csv")
    table = table.assign(
        path=[str(folder / "images" / f"{name}.jpg") for name in table["image_id"]],
        target=table["diagnosis"],
        source="synthetic",
        mask_path=[str(folder / "masks" / f"{name}.png") for name in table["image_id"]],
        width=settings["image_size"],
        height=settings["image_size"],
    )
    columns = [*schema.IMAGE_COLUMNS, "mask_path", "width", "height", "split"]
    if planted_faults(folder):
        columns.append("fold")
    return schema.check_images(table[columns])


def planted_faults(folder: str | Path) -> list[str]:
    """Return the names of the faults that were planted in a synthetic data set."""
    return [*_settings(Path(folder)).get("faults", ())]


def _settings(folder: Path) -> dict[str, Any]:
    """Return what a finished set was made with; nothing if there is none."""
    path = folder / _SETTINGS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not _settings(folder) and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} holds files but no synthetic data set ({_SETTINGS} is missing): "
            "name a folder that does not exist yet"
        )


def _write(folder: Path, cohort: pd.DataFrame, settings: dict[str, Any], workers: int) -> None:
    """Write pictures, masks, table and, last, the settings."""
    rows = cohort.to_dict("records")
    size = settings["image_size"]
    write_pictures(rows, folder, seed=settings["seed"], image_size=size, workers=workers)
    schema.write_table(cohort, folder / "metadata.csv")
    (folder / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
