"""Every source by its name, with the targets of a task; a sample of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.data.sources.any_csv import read_any_csv
from melnb.data.sources.class_folders import read_folders
from melnb.data.sources.ham10000 import read_ham10000
from melnb.data.sources.isic2024 import read_isic2024
from melnb.data.sources.isic_challenges import (
    read_isic2016,
    read_isic2017,
    read_isic2018,
    read_isic2018_task1,
    read_isic2019,
)
from melnb.data.sources.kaggle_records import find_shards, read_kaggle_records
from melnb.data.sources.layout import NOTES, Missing, keep_masked
from melnb.data.sources.ph2 import read_ph2
from melnb.data.sources.several import Copies, join_sources
from melnb.data.sources.siim2020 import read_siim2020
from melnb.data.sources.tasks import DIAGNOSIS, MASK, set_task
from melnb.tables.diagnoses import MELANOMA, NAMES, OTHER

READERS: dict[str, Callable[..., pd.DataFrame]] = {
    "isic2016": read_isic2016,
    "isic2017": read_isic2017,
    "isic2018": read_isic2018,
    "isic2018_task1": read_isic2018_task1,
    "isic2019": read_isic2019,
    "siim2020": read_siim2020,
    "isic2024": read_isic2024,
    "ham10000": read_ham10000,
    "ph2": read_ph2,
    "folders": read_folders,
}
UNLABELLED = ("isic2016", "isic2017")  # whose masks are a task apart from the labels
SEVERAL = "several"
SOURCES = ("synthetic", *READERS, "csv", "kaggle_tfrecords", SEVERAL)
Folders = str | Path | Mapping[str, Path]
_KEPT = {  # listed in `attrs`, and yet in the table
    "unlabelled": "have no target: all are test images, to be predicted",
    "indeterminate": "are called indeterminate: they count as benign, as ISIC 2024 counts them",
}
_ORDER = ("benign", "malignant", OTHER, *NAMES)


def read_source(
    source: str,
    folder: Folders,
    *,
    columns: Mapping[str, str] | None = None,
    rows: int = 0,
    seed: int = 0,
    task: str = "native",
    missing: Missing | None = None,
    held_out: bool = False,
    parts: Mapping[str, Mapping[str, Any]] | None = None,
    copies: Copies = "error",
    faults: Sequence[str] = (),
) -> pd.DataFrame:
    """Read the images table of a source.

    Where not one image has a target, all are test images (split `test`), to be predicted, and
    `attrs["unlabelled"]` lists them.

    Args:
        source: One of `SOURCES`. Synthetic lesions are made (`rows` of them, or 600) if the folder
            holds none, and otherwise read as they are, whatever they were made with.
        folder: The raw files; of source csv, the CSV itself if you like; of source synthetic, where
            they are or shall be.
        columns: Source csv: our column to theirs.
        rows: Images to use, drawn by `sample_rows`; 0: all.
        seed: Of the sample, and of synthetic lesions.
        task: `native`, `melanoma`, `diagnosis` or `mask`, see `tasks.set_task`.
        missing: What to do with rows whose picture is not there: `error`, `drop` (their ids are
            then in `attrs["missing"]`) or `keep` with an empty path. None: what the source's
            reader does, which is an error for all but siim2020. Synthetic lesions and TFRecords
            always have theirs. Of task mask, the same of images without a mask (dropped ids are in
            `attrs["without_mask"]`; kept ones have no target).
        held_out: Whether all images are test images, those with a target too.
        parts: Source several: `source` and, if need be, `columns`, `rows` and `missing` of each, by
            the name that its images shall have as their source.
        copies: Source several: see `several.join_sources`.
        faults: Source synthetic: of `synthetic.FAULTS`, planted where the lesions are made; all
            their images are then used, as some faults add some. `fold` is theirs, so that it may
            be taken as it is.

    Raises:
        ValueError: There is no such source or task, `columns` is given for another than csv,
            there are fewer synthetic lesions than rows or they have other faults, shards that are
            used as they are hold other targets than the task's, or task mask finds no mask at all.
        FileNotFoundError: A folder, a table, a picture or a mask is missing; the message says
            where to get it.
        melnb.tables.schema.TableError: A file breaks its format; file, line and value are named.
    """
    if source not in SOURCES:
        raise ValueError(f"no source {source!r} (sources: {list(SOURCES)})")
    if source == SEVERAL:
        if not isinstance(folder, Mapping) or not parts:
            raise ValueError("source several: give parts, and a folder of each by its name")
        read = read_parts(folder, parts, seed, task, missing, held_out)
        return join_sources(read, task=task, copies=copies)
    folder = folder[""] if isinstance(folder, Mapping) else folder
    if columns and source != "csv":
        raise ValueError(f"columns is for source csv alone; {source} names its own: leave it empty")
    if source == "kaggle_tfrecords" and task == DIAGNOSIS:
        raise ValueError(
            "task diagnosis: records of kaggle_tfrecords are used as they are, with targets 0 and "
            "1: use task melanoma, or the pictures themselves (source siim2020)"
        )
    if faults and source != "synthetic":
        raise ValueError(f"faults are planted in source synthetic alone, not in {source}")
    labelled = task != MASK
    named = held_out and task in (MELANOMA, DIAGNOSIS)  # a class of one's own cannot be one
    if source == "synthetic":
        images = _read_synthetic(folder, rows, seed, faults)
        rows = 0 if faults else rows
    else:
        images = _read(source, folder, columns, missing, labelled, named)
    if task == MASK:
        images = keep_masked(images, source=source, folder=folder, missing=missing or "error")
    if held_out:
        images = images.assign(split="test")
    images = set_task(images, task)
    if images["target"].isna().all():
        images = images.assign(split="test")
        images.attrs |= {"unlabelled": tuple(images["image_id"])}
    if rows and rows < len(images):
        note = f"{rows} of {len(images)} images, drawn by the seed: rows=0 takes all"
        images.attrs |= {NOTES: (*images.attrs.get(NOTES, ()), note)}
    return sample_rows(images, rows, seed) if rows else images


def read_parts(
    folders: Mapping[str, Path],
    parts: Mapping[str, Mapping[str, Any]],
    seed: int,
    task: str,
    missing: Missing | None,
    held_out: bool,
) -> dict[str, pd.DataFrame]:
    """Return `read_source` of each part of several sources, by its name; as `read_source` takes."""
    sources = {}
    for name, part in parts.items():
        keywords = {"missing": missing} | {k: v for k, v in part.items() if k != "folder"}
        keywords["columns"] = keywords.get("columns") or None
        try:
            sources[name] = read_source(
                folder=folders[name], seed=seed, task=task, held_out=held_out, **keywords
            )
        except (OSError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
    return sources


def check_source(source: str, folder: str | Path, **options: Any) -> None:
    """Refuse what `read_source` would, before a kernel is started for it; make nothing.

    Of TFRecords only whether they are there: all that they hold would have to be read. Of several
    sources each is checked, not whether they share images.

    Args:
        source: One of `SOURCES`.
        folder: The raw files.
        options: Of `read_source`, whose errors are raised.
    """
    if source == "kaggle_tfrecords":
        find_shards(folder)
    elif source != "synthetic":
        read_source(source, folder, **options)


def used_files(images: pd.DataFrame, *, of: str = "") -> list[str]:
    """Return the paths of pictures and masks that a source's images name.

    Args:
        images: The images table.
        of: One of several sources; empty: all rows.
    """
    images = images[images["source"] == of] if of else images
    columns = [images[name].dropna() for name in ("path", "mask_path") if name in images]
    return list(pd.concat(columns).astype(str)) if columns else []


def describe_source(images: pd.DataFrame) -> str:
    """Say in lines what was left out of a source's images, and what was read by a rule."""
    counts = {name: len(rows) for name, rows in images.attrs.items() if rows and name != NOTES}
    left = {name: n for name, n in counts.items() if name not in _KEPT}
    kept = [f"{n} images {_KEPT[name]}" for name, n in counts.items() if name in _KEPT]
    return "\n".join([f"left out: {left or 'nothing'}", *kept, *images.attrs.get(NOTES, ())])


def class_order(images: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes in the order of `p_` columns and labels: by name, fixed.

    Other before melanoma and benign before malignant, both even if only one is there; otherwise the
    ontology's order, then names outside it in alphabetical order.

    Of test images without a target there are no classes.
    """
    classes = set(images["target"].dropna())
    for pair in ((OTHER, MELANOMA), ("benign", "malignant")):
        if classes and classes <= set(pair):
            return pair
    return (*(n for n in _ORDER if n in classes), *sorted(classes - set(_ORDER)))


def sample_rows(images: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Return a sample of rows, in the table's order.

    Stratified by split and target in proportion, at least one image of each stratum; patients and
    lesions play no part. A function of the ids and the seed: the order of rows does not matter.

    Raises:
        ValueError: There are more strata than rows asked for.
    """
    if rows >= len(images):
        return images
    split = images["split"].fillna("") if "split" in images else ""
    strata = images.assign(_split=split, _target=images["target"].fillna("")).sort_values(
        "image_id"
    )
    groups = [g.index.to_numpy() for _, g in strata.groupby(["_split", "_target"], sort=True)]
    if rows < len(groups):
        raise ValueError(f"rows is {rows}, fewer than the {len(groups)} classes (of each split)")
    generator = np.random.default_rng(seed)
    counts = _share(rows, np.array([len(g) for g in groups]))
    chosen = [generator.permutation(g)[:n] for g, n in zip(groups, counts, strict=True)]
    return images.loc[images.index.isin(np.concatenate(chosen))].reset_index(drop=True)


def _share(rows: int, sizes: np.ndarray) -> np.ndarray:
    """Share rows among strata by size: one each, the rest by largest remainders."""
    wanted = rows * sizes / sizes.sum()
    counts: np.ndarray = np.maximum(1, np.floor(wanted)).astype(int)
    while counts.sum() != rows:
        step = 1 if counts.sum() < rows else -1
        room = counts < sizes if step > 0 else counts > 1
        counts[np.argmax(np.where(room, step * (wanted - counts), -np.inf))] += step
    return counts


def _read(
    source: str,
    folder: str | Path,
    columns: Mapping[str, str] | None,
    missing: Missing | None,
    labelled: bool,
    held_out: bool,
) -> pd.DataFrame:
    if source == "kaggle_tfrecords":
        return read_kaggle_records(folder)
    policy = {} if missing is None else {"missing": missing}
    if source == "csv":
        return read_any_csv(folder, columns=columns, **policy)
    if source in UNLABELLED:
        return READERS[source](folder, labelled=labelled, **policy)
    if source == "folders":
        return read_folders(folder, held_out=held_out, **policy)
    return READERS[source](folder, **policy)


def _read_synthetic(
    folder: str | Path, rows: int, seed: int, faults: Sequence[str]
) -> pd.DataFrame:
    # Imported here, as what draws them doubles what this module costs to import.
    from melnb.data.synthetic.cohort import make_dataset, planted_faults, read_dataset_images

    if not str(folder):
        raise ValueError("folder is empty: say where the synthetic lesions are to be made")
    if not (Path(folder) / "metadata.csv").exists():
        make_dataset(folder, images=rows or 600, seed=seed, faults=faults)
    images = read_dataset_images(folder)
    if faults and planted_faults(folder) != [*faults]:
        raise ValueError(
            f"{folder} holds synthetic images with the faults {planted_faults(folder)}, but faults "
            f"is {[*faults]}: name another folder, or none"
        )
    if len(images) < rows:
        raise ValueError(
            f"{folder} holds {len(images)} synthetic images, but rows is {rows}: name another "
            "folder, or remove that one"
        )
    return images
