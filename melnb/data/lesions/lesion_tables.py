"""The tables of what was found: lesions.csv, and images.csv for the next 02_prepare.

Paths in both are relative to the folder, which may thus be moved; those of pictures that were left
where they are are absolute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.data.lesions.abcd import MEASURES, measure_lesion
from melnb.data.lesions.crops import Output
from melnb.data.lesions.writing import (
    CROPPED_MASKS,
    DISAGREEMENT,
    MASKS,
    PICTURES,
    Settings,
    read_found,
    written_files,
)
from melnb.tables.checks import TableError, check_columns, check_ids
from melnb.tables.delimited import read_delimited
from melnb.tables.documents import read_as
from melnb.tables.processes import count_cores, make_pool
from melnb.tables.schema import check_images, write_table
from melnb.tables.values import read_numbers

# The lesion features of every image, a row each, for the models of metadata.

FEATURES = "lesion_features.csv"
COLUMNS = ("image_id", *MEASURES, "note")

_FEW = 128  # pictures that one process measures before another has started
_CHUNK = 16  # pictures handed to a worker at once


def lesion_features(
    images: pd.DataFrame,
    lesions: pd.DataFrame | None = None,
    *,
    workers: int = 0,
    wanted: bool = True,
) -> pd.DataFrame:
    """Measure the lesions of an images table: its original pictures, not crops of them.

    Args:
        images: The images table, with `mask_path` unless `lesions` is given.
        lesions: The lesions table (`lesion_tables.read_lesions`), whose masks are then used; those
            of another verdict than `ok` are not measured.
        workers: Processes; 0: one for each core; 1: this one.
        wanted: Whether they are measured; if not, there are no rows.

    Returns:
        `image_id`, the attributes of `abcd.Shape` and `abcd.Colours`, and `note`, in the order
        of the images; NaN has a note. Written as a CSV it can be one of 03c_metadata's
        `feature_tables`.

    Raises:
        TableError: A column is missing.
        RuntimeError: A worker died; a script without `if __name__ == "__main__":`, say.
    """
    check_columns(images, ("image_id", "path"), "images")
    check_ids(images, "images")
    images = images if wanted else images.head(0)
    paths = images["path"].fillna("").astype(str).tolist()
    masks, reasons = _masks(images, lesions)
    rows = list(_measured(paths, masks, reasons, workers))
    table = pd.DataFrame(rows, columns=[*MEASURES, "note"])
    table = table.astype(dict.fromkeys(MEASURES, "float64"))
    table.insert(0, "image_id", images["image_id"].to_numpy())
    return table


def _masks(images: pd.DataFrame, lesions: pd.DataFrame | None) -> tuple[list[str], list[str]]:
    """Return the path of each image's mask, and why it is not to be relied on."""
    if lesions is None:
        check_columns(images, ("mask_path",), "images")
        return images["mask_path"].fillna("").astype(str).tolist(), [""] * len(images)
    check_columns(lesions, ("image_id", "mask_path", "verdict", "reason"), "lesions")
    check_ids(lesions, "lesions")
    rows = lesions.set_index("image_id").reindex(images["image_id"])
    trusted = rows["verdict"].isna() | (rows["verdict"] == "ok")
    reasons = (rows["verdict"].astype(str) + ": " + rows["reason"].astype(str)).mask(trusted, "")
    return rows["mask_path"].fillna("").astype(str).tolist(), reasons.astype(str).tolist()


def _measured(
    paths: list[str], masks: list[str], reasons: list[str], workers: int
) -> Iterator[dict[str, Any]]:
    processes = min(workers or count_cores(), len(paths) if workers else len(paths) // _FEW + 1)
    if processes <= 1:
        yield from map(measure_lesion, paths, masks, reasons)
        return
    with make_pool(processes) as pool:
        try:
            yield from pool.map(measure_lesion, paths, masks, reasons, chunksize=_CHUNK)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker that measured lesions died: call lesion_features below "
                '`if __name__ == "__main__":` in a script, or with workers=1'
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


LESIONS, IMAGES, SETTINGS = "lesions.csv", "images.csv", "settings.json"
LESION_COLUMNS = (
    "image_id", "left", "top", "right", "bottom", "width", "height", "area_share",
    "verdict", "reason", "mask_path", "path",
)  # fmt: skip
_TEXTS = ("image_id", "verdict", "reason", "mask_path", "path")
_NUMBERS = ("left", "top", "right", "bottom", "width", "height")


def masked_ids(folder: Path) -> set[str]:
    """Return the ids of the images whose mask is in the folder."""
    place = folder / MASKS
    names = (entry.name for entry in os.scandir(place)) if place.is_dir() else ()
    return {n.removesuffix(".png") for n in names if n.endswith(".png") and n[0] != "."}


def missing_images(images: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    """Return the rows whose mask is not in the folder yet: those to be predicted."""
    done = masked_ids(Path(folder))
    return images[~images["image_id"].isin(done)].reset_index(drop=True)


def picture_paths(images: pd.DataFrame) -> dict[str, str]:
    """Return image id to absolute path.

    Raises:
        TableError: The table is no images table, or a row has no path.
    """
    check_images(images)
    lost = images.loc[images["path"].isna(), "image_id"]
    if len(lost):
        raise TableError(
            f"images: {len(lost)} rows have no path, the first is {lost.iloc[0]}: leave them out"
        )
    absolute = [str(Path(path).absolute()) for path in images["path"]]
    return dict(zip(images["image_id"].astype(str), absolute, strict=True))


def write_tables(images: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    """Write `lesions.csv` and `images.csv` once every image has its files.

    Args:
        images: The table that `apply_masks` had; no row may be missing from the folder.
        folder: The same folder.

    Returns:
        The lesions table: a row per image, in the order of `images`, its box (pixels of the upright
        picture, empty where there is no lesion) with `width` and `height` of that picture,
        `area_share`, `verdict`, `reason`, `mask_path`, `path`, and the numbers of its prediction,
        `disagreement` first. In `images.csv`
        `mask_path` is that of the written picture, empty where the verdict is not `ok`; its other
        columns are those of `images`, so `width` and `height`, if there, are still the original's.

    Raises:
        FileNotFoundError: The folder holds nothing that `apply_masks` wrote.
        ValueError: Images have no mask or picture yet.
    """
    folder, paths = Path(folder), picture_paths(images)
    if not (folder / SETTINGS).is_file():
        raise FileNotFoundError(f"no {SETTINGS} in {folder}: run apply_masks first")
    output = read_as(folder / SETTINGS, Settings, "run 02d_segment_apply again").output
    masked = masked_ids(folder)
    lost = [image_id for image_id in paths if image_id not in masked]
    if lost:
        raise ValueError(
            f"{len(lost)} of {len(paths)} images have no mask in {folder / MASKS}, the first is "
            f"{lost[0]}: predict them and go on, or leave them out of the table"
        )
    rows = [_row(i, path, folder, output) for i, path in paths.items()]
    numbers = dict.fromkeys([DISAGREEMENT, *(name for row in rows for name in row["numbers"])])
    lesions = pd.DataFrame(rows, columns=[*LESION_COLUMNS, "numbers", "own_mask"])
    lesions = lesions.astype(dict.fromkeys(_NUMBERS, "Int64"))
    masks, readings = lesions.pop("own_mask"), lesions.pop("numbers")
    lesions = lesions.assign(
        **{name: [row.get(name, np.nan) for row in readings] for name in numbers}
    )
    write_table(lesions, folder / LESIONS)
    replaced = images.assign(path=lesions["path"].to_numpy(), mask_path=masks.to_numpy())
    write_table(replaced, folder / IMAGES)
    return lesions


def read_lesions(folder: str | Path) -> pd.DataFrame:
    """Read the lesions table of a folder, its paths made absolute.

    Raises:
        FileNotFoundError: There is none.
        TableError: It lacks a column, an id or a path.
    """
    file = Path(folder) / LESIONS
    if not file.is_file():
        raise FileNotFoundError(f"no {LESIONS} in {folder}: run 02d_segment_apply first")
    lesions = read_delimited(file).reset_index(drop=True)
    check_columns(lesions, LESION_COLUMNS, str(file))
    check_ids(lesions, str(file))
    if (lost := lesions[["mask_path", "path"]].isna().any(axis=1)).any():
        name = lesions.loc[lost, "image_id"].iloc[0]
        raise TableError(f"{file}: {name} has no mask or no picture: run 02d_segment_apply again")
    for column in lesions.columns.difference(list(_TEXTS)):
        lesions[column] = read_numbers(lesions[column], file)
    whole = dict.fromkeys(_NUMBERS, "Int64") | {"fold": "int64"}
    for name in [name for name in whole if name in lesions]:
        sound = (lesions[name].abs() < 2**31) & (lesions[name] == lesions[name].round())
        if not (sound | (lesions[name].isna() & (name in _NUMBERS))).all():
            raise TableError(
                f"{file}: {name} holds what is no whole number: run 02d_segment_apply again"
            )
    lesions = lesions.astype({name: kind for name, kind in whole.items() if name in lesions})
    lesions["reason"] = lesions["reason"].fillna("")
    for column in ("mask_path", "path"):
        lesions[column] = [str(file.parent.absolute() / p) for p in lesions[column]]
    return lesions


def list_fallbacks(lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the images that were left whole: their verdicts and the reasons."""
    columns = ["image_id", "verdict", "reason", "area_share", DISAGREEMENT]
    return lesions.loc[lesions["verdict"] != "ok", columns].reset_index(drop=True)


def _row(image_id: str, path: str, folder: Path, output: Output) -> dict[str, Any]:
    record = read_found(folder, image_id)
    files = written_files(image_id, path, record, output)
    lost = [file for file in files if not (folder / file).is_file()]
    if lost:
        raise ValueError(f"{image_id}: no {folder / lost[0]}: run apply_masks to its end first")
    mask = f"{MASKS}/{image_id}.png"
    mask_file = next((f for f in files if f.startswith(CROPPED_MASKS)), mask)
    box = record.pop("box") or (None,) * 4
    return {
        "image_id": image_id,
        **dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
        **record,
        "mask_path": mask,
        "path": next((f for f in files if f.startswith(PICTURES)), path),
        "own_mask": mask_file if record["verdict"] == "ok" else np.nan,
    }
