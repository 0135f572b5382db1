"""New photographs: found, read, told from what is no photograph, and prepared as those learnt from.

What cannot be read is named with its reason, and the others go on: of ten pictures of a morning
nine are answered, not none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.data.datasets import Dataset, write_dataset
from melnb.data.label_columns import find_labels, picture_key
from melnb.data.pictures import Fit, PictureError, read_picture
from melnb.data.shards.records import make_records
from melnb.data.sources.any_csv import read_unplaced
from melnb.data.sources.catalogue import read_source
from melnb.data.sources.layout import NOTES, PICTURE_SUFFIXES
from melnb.data.sources.tasks import set_task
from melnb.tables.checks import TEST, TableError
from melnb.tables.files import UNREAD_SUFFIXES, is_table, picture_id, safe_id, walk
from melnb.tables.schema import IMAGE_COLUMNS, write_folds, write_images

REFUSED = ["file", "reason"]  # columns of what could not be answered
_TOLD = ("patient_id", "lesion_id", "diagnosis", "target", "sex", "age", "site")
_SEEN = 64  # pixels at which a picture is tried: a JPEG is then decoded at an eighth
_LEVELS = 8  # of 255 from black and from white: what a JPEG makes of a mask
_MASK_SHARE = 0.9  # of the pixels of a mask are nearly black or nearly white


@dataclass(frozen=True)
class NewPictures:
    """Pictures that are to be looked at.

    Attributes:
        images: Images table, split `test`; `target` where a table beside them says one.
        refused: `file`, `reason` of what is no picture, or cannot be read.
        labels: The table that was read beside them; None: there is none.
        notes: What else was seen, a line each.
        places: Where they were sought.
    """

    images: pd.DataFrame
    refused: pd.DataFrame
    labels: Path | None
    notes: tuple[str, ...]
    places: tuple[Path, ...]

    @property
    def by_place(self) -> dict[Path, pd.Series]:
        """The paths of the pictures in each place."""
        paths = self.images["path"]
        return {place: paths[paths.str.startswith(str(place))] for place in self.places}


def find_pictures(
    places: Sequence[str | Path],
    *,
    labels: str | Path | None = "",
    task: str = "native",
    drawn: str | Path = "",
) -> NewPictures:
    """Find the pictures in files and folders, and what a table beside them says.

    Args:
        places: Pictures, and folders, in which they may lie at any depth.
        labels: A CSV as `source: csv` takes it, whose rows are found by the picture's name; empty:
            the only table in one of the folders, or beside the files, if there is one. None: no
            table is sought.
        task: What is called what: see `sources.tasks.set_task`.
        drawn: Where there is no place: the folder of a dozen synthetic pictures, with their table,
            which are drawn unless they are there.

    Raises:
        FileNotFoundError: Not one picture is left; the first file and its reason are named.
        TableError: The table is refused.
    """
    if drawn and not places:
        home = Path(drawn)
        read_source("synthetic", {"": home}, rows=12, seed=1)
        places, labels = [home / "images"], labels or home / "metadata.csv"
    refused: list[tuple[str, str]] = []
    paths = list(dict.fromkeys(_pictures(places, refused)))
    faults = {path: _fault(path) for path in paths}
    kept = [path for path in paths if not faults[path]]
    refused += [(str(path), fault) for path, fault in faults.items() if fault]
    if not kept:
        raise FileNotFoundError(_nothing(refused))
    images = _table(kept)
    companion = (None, []) if labels is None else _labels_beside(places)
    table, notes = (Path(labels), []) if labels else companion
    try:
        images, remarks = _join(images, table, task) if table else (images, [])
    except (ValueError, OSError) as error:
        if labels:
            raise
        table, remarks = None, [f"the table beside the pictures was not read: {error}"]
    left = pd.DataFrame(refused, columns=REFUSED)
    return NewPictures(images, left, table, (*notes, *remarks), tuple(map(Path, places)))


def check_pictures(places: Sequence[str | Path]) -> None:
    """Refuse places in which not one picture can be looked at, before a kernel is started for it.

    Raises:
        FileNotFoundError: There is none; the first files and their reasons are named.
    """
    refused: list[tuple[str, str]] = []
    for path in _pictures(places, refused):
        fault = _fault(path)
        if not fault:
            return
        refused.append((str(path), fault))
    raise FileNotFoundError(_nothing(refused))


def _nothing(refused: Sequence[tuple[str, str]]) -> str:
    reasons = "; ".join(f"{file}: {reason}" for file, reason in refused[:5])
    return f"no picture to look at ({reasons or 'no file was named'})"


def prepare_pictures(
    pictures: NewPictures,
    learnt: Dataset,
    folder: str | Path,
    *,
    prepared: Mapping[str, Any],
) -> tuple[Dataset, pd.DataFrame]:
    """Make records of new pictures as those that were learnt from were made.

    The folder is then a prepared dataset of test images, as 02_prepare leaves one.

    Args:
        pictures: Of `find_pictures`.
        learnt: The dataset that was learnt from: its sizes, cut and cleaning are taken.
        folder: Where to write `records`, `images.csv`, `folds.csv` and `dataset.json`.
        prepared: Parameters that its 02_prepare recorded: quality, and what was cut out before.

    Returns:
        The dataset; and `file`, `reason` of all that is refused, what cannot be decoded too.

    Raises:
        ValueError: The pictures that were learnt from had been cut by their masks, which new ones
            have not been.
        FileNotFoundError: No picture can be decoded.
    """
    if prepared.get("applied"):
        raise ValueError(
            f"{learnt.dataset} holds pictures that 02d_segment_apply/{prepared['applied']} cut to "
            "their lesions: prepare these alike (02_prepare, 02d_segment_apply, 02_prepare "
            "applied=…), then run 04_predict on them"
        )
    folder, sizes = Path(folder), sorted({shard.image_size for shard in learnt.shards})
    learnt_of = pictures.images["target"].isin(learnt.classes)
    images = pictures.images.assign(target=pictures.images["target"].where(learnt_of))
    folds = pd.DataFrame({"image_id": images["image_id"], "fold": TEST})
    fit: Fit = learnt.fit  # type: ignore[assignment]
    written = make_records(
        images, folds, folder / "records", classes=learnt.classes, image_sizes=sizes, fit=fit,
        cleaning=learnt.cleaning, quality=int(prepared.get("quality", 95)), workers=1,  # type: ignore[arg-type]
        skip_unreadable=True, progress=False,
    )  # fmt: skip
    lost = written.skipped.rename(columns={"path": "file"})[REFUSED]
    refused = pd.concat([pictures.refused, lost], ignore_index=True)
    kept = written.without_skipped(images)
    if kept.empty:
        raise FileNotFoundError(_nothing([*refused.itertuples(index=False, name=None)]))
    write_images(kept, folder / "images.csv")
    write_folds(written.without_skipped(folds), folder / "folds.csv")
    dataset = Dataset(
        folder=folder, dataset=folder.name.removesuffix(".partial"), source="new pictures",
        task=learnt.task, classes=learnt.classes, n_folds=0, image_sizes=tuple(sizes),
        fit=learnt.fit, images=len(kept), shards=written.shards, cleaning=learnt.cleaning,
    )  # fmt: skip
    write_dataset(dataset)
    return dataset, refused


def _pictures(places: Iterable[str | Path], refused: list[tuple[str, str]]) -> Iterator[Path]:
    """Yield the files that may be pictures; folders are gone through, other files refused."""
    for place in map(Path, places):
        if not place.exists():
            refused.append((str(place), "there is no such file or folder"))
        elif place.is_file() and not is_table(place):
            yield place
        elif place.is_file():
            refused.append((str(place), "a table, no picture: name it as the labels"))
        else:
            inside = [Path(place, f.prefix, e.name) for f in walk(place) for e in f.files]
            pictures = [path for path in inside if path.suffix.lower() in PICTURE_SUFFIXES]
            unread = [path for path in inside if path.suffix.lower() in UNREAD_SUFFIXES]
            refused += [(str(path), "save it as JPEG or PNG") for path in unread]
            if not pictures and not unread:
                refused.append((str(place), "a folder without a picture in it or below"))
            yield from pictures


def _fault(path: Path) -> str:
    """Return why a file is no photograph; empty if it is one."""
    try:
        pixels = np.asarray(read_picture(path, _SEEN))
    except PictureError as error:
        return str(error).removeprefix(f"{path}: ")
    ends = (pixels <= _LEVELS) | (pixels >= 255 - _LEVELS)
    grey = np.ptp(pixels.astype(int), axis=2) <= _LEVELS
    if (ends.all(axis=2) & grey).mean() >= _MASK_SHARE:
        return "black and white alone: a mask, or a blank page, no photograph"
    return ""


def _table(paths: Sequence[Path]) -> pd.DataFrame:
    """Return an images table; pictures of one name are called by folder and name."""
    names = [safe_id(picture_id(path.name)) for path in paths]
    for depth in (1, 2, 3):
        counts = Counter(name.lower() for name in names)
        names = [
            safe_id("_".join([*path.parts[-1 - depth : -depth], name])) if counts[name.lower()] > 1
            else name
            for path, name in zip(paths, names, strict=True)
        ]  # fmt: skip
    counts, ids = Counter[str](), []
    for name in names:
        counts[name.lower()] += 1
        ids.append(name if counts[name.lower()] == 1 else f"{name}-{counts[name.lower()]}")
    table = pd.DataFrame(dict.fromkeys(IMAGE_COLUMNS, np.nan), index=range(len(ids)), dtype=object)
    return table.assign(
        image_id=ids, path=[str(p.absolute()) for p in paths], source="new pictures", split="test"
    )


def _labels_beside(places: Iterable[str | Path]) -> tuple[Path | None, list[str]]:
    """Return the table that lies beside the pictures, if it is the only one."""
    folders = dict.fromkeys(p if p.is_dir() else p.parent for p in map(Path, places) if p.exists())
    tables = [
        path for folder in folders for path in sorted(folder.iterdir())
        if is_table(path) and path.suffix.lower() != ".txt"
    ]  # fmt: skip
    if len(tables) == 1:
        return tables[0], []
    many = f"{len(tables)} tables lie beside the pictures and none was read: name one (labels)"
    return None, [many] if tables else []


def _join(images: pd.DataFrame, file: Path, task: str) -> tuple[pd.DataFrame, list[str]]:
    """Add what a table says of the pictures, by their names."""
    rows = _read_labels(file, images["path"]).assign(split="test")
    if rows["target"].notna().any():
        rows = set_task(rows, task)
    names = images["path"].map(picture_key)
    keys = rows["image_id"].str.lower()
    doubled = names.duplicated(keep=False) & names.isin(keys)
    matches = rows.set_index(keys).reindex(names.mask(doubled))
    joined = images.assign(**{
        name: matches[name].to_numpy(dtype=object) for name in _TOLD if name in matches
    })  # fmt: skip
    if not names.isin(keys).any():
        raise TableError(
            f"{file}: not one of its {len(rows)} rows is named as a picture (its first is "
            f"{rows['image_id'].iloc[0]!r}, a picture is {images['image_id'].iloc[0]!r}): name "
            "another table, or correct its names"
        )
    notes = [f"{file.name}: {int(names.isin(keys).sum())} of {len(images)} pictures stand in it"]
    if spare := int((~keys.isin(names)).sum()):
        notes.append(f"{spare} rows of {file.name} have no picture here")
    if doubled.any():
        notes.append(
            f"{int(doubled.sum())} pictures share a name with another ({names[doubled].iloc[0]} is "
            f"the first): which of them {file.name} means is not known, and none is judged"
        )
    return joined, [*notes, *rows.attrs.get(NOTES, ())]


def _read_labels(file: Path, paths: pd.Series) -> pd.DataFrame:
    """Read a table by the names of its columns, or else by what they hold, as a trial does."""
    try:
        return read_unplaced(file)
    except TableError as refused:
        try:
            theirs = find_labels(file, paths)
        except TableError:
            raise refused from None
        return read_unplaced(file, columns=theirs.mapping, rows=theirs.rows)
