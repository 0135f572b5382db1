"""The lesion features of every image, a row each, for the models of metadata."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pandas as pd

from melnb.data.lesions.abcd import MEASURES, measure_lesion
from melnb.tables.checks import check_columns, check_ids
from melnb.tables.processes import count_cores, make_pool

FEATURES = "lesion_features.csv"
COLUMNS = ("image_id", *MEASURES, "note")

_FEW = 128  # pictures that one process measures before another has started
_CHUNK = 16  # pictures handed to a worker at once


def lesion_features(
    images: pd.DataFrame, lesions: pd.DataFrame | None = None, *, workers: int = 0
) -> pd.DataFrame:
    """Measure the lesions of an images table: its original pictures, not crops of them.

    Args:
        images: The images table, with `mask_path` unless `lesions` is given.
        lesions: The lesions table (`lesion_tables.read_lesions`), whose masks are then used; those
            of another verdict than `ok` are not measured.
        workers: Processes; 0: one for each core; 1: this one.

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
    found = lesions.set_index("image_id").reindex(images["image_id"])
    trusted = found["verdict"].isna() | (found["verdict"] == "ok")
    reasons = (found["verdict"].astype(str) + ": " + found["reason"].astype(str)).mask(trusted, "")
    return found["mask_path"].fillna("").astype(str).tolist(), reasons.astype(str).tolist()


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
