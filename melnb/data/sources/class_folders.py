"""Class folders: no table at all, a picture's folder is its label.

The commonest layout of all: `train/melanoma/a.jpg`, or `melanoma/a.jpg` alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from melnb.data.sources.layout import (
    NOTES,
    PICTURE_SUFFIXES,
    Listing,
    Missing,
    list_folder,
    make_images,
)
from melnb.data.sources.vocabulary import GROUPS, UNKNOWN, find_split
from melnb.tables.diagnoses import find_diagnosis
from melnb.tables.files import is_table, safe_id
from melnb.tables.values import is_missing

_PLACES = frozenset(  # folders that hold pictures, of whatever class
    {"images", "image", "imgs", "img", "pictures", "photos", "photographs", "jpeg", "jpg", "png"}
)
_MASKS = frozenset(
    {"masks", "mask", "segmentations", "segmentation", "groundtruth", "ground_truth", "gt"}
)
_PUBLISHED = re.compile(r"(ISIC_\d{7}|IMD\d{3})(_downsampled)?")  # one picture the world over
_MASK = re.compile(r"[-_ ]?(segmentation|lesion|mask|seg)$", re.IGNORECASE)


class _File(NamedTuple):
    """A picture below a class folder: its split's folder, its class' and its own name."""

    part: str
    label: str
    path: Path
    mask: bool = False  # whether it lies in a folder of masks


def read_folders(
    folder: str | Path, *, missing: Missing = "error", held_out: bool = False
) -> pd.DataFrame:
    """Read pictures whose folder is their class.

    `<class>/a.jpg`, in folders of `train`, `val` and `test` or not (`<class>/train/a.jpg` serves
    too), at any depth below the class. What was held out, validation too, has split `test`; the
    folder's own word stands in the column `part`. Pictures that lie in no class folder are read
    where they were held out, without a target: straight in `test`, or in a folder without any
    class folder. No patient is known, so that two pictures of one person may lie in two folds.

    A class has the ontology's name where it has one (`NV` is nevus), `unknown` is no class to
    learn, nor is a word for missing (`NA`); other names are kept, in lower case, numbers too, and
    `attrs["notes"]` says so. `a_mask.png` beside `a.jpg` is its mask, and so is `masks/a.png`;
    `images` is no class.

    An image's id is its file's name, made safe (`safe_id`). A name that stands in several class
    folders or splits is a number within each (`benign/1.jpg`, `malignant/1.jpg`), so that these
    pictures, and they alone, are called by folder and name: `benign_1`, `train_benign_1`. Others
    keep theirs, as a published id says which image of another data set is the same; for that reason
    one that stands twice is refused, and so are two pictures of one name within a class (a
    thumbnail, or another patient's).

    Args:
        folder: Holds the folders; those of an unpacked archive around them are passed through.
        missing: What to do with a class folder without pictures: `error`, or anything else to pass
            it over (it is then in `attrs["empty"]`).
        held_out: Whether all are test images, and a diagnosis their label: folders of which none
            is called by one (`2024/spring`) are then no labels, and pictures may lie anywhere.

    Raises:
        FileNotFoundError: There is no picture, or a class folder holds none.
        ValueError: Pictures to learn from lie outside class folders, or names say two things.
    """
    listing = list_folder(folder, source="folders", home="")
    top = _top(listing)
    files = list(_files(listing, top))
    unread = _say_unread(listing)
    if not files:
        raise FileNotFoundError(
            f"folders: no picture in {listing.root} or below, where <class>/a.jpg or "
            f"train/<class>/a.jpg are sought: {unread or listing.remedy('')}"
        )
    empty = _empty(listing, top, files)
    if empty and missing == "error":
        raise FileNotFoundError(
            f"folders: no picture in {listing.root / empty[0]} ({len(empty)} such folders): "
            f"{unread or 'complete the copy'}, remove the folder, or pass it over (missing=drop)"
        )
    if not held_out:
        _check_places(files)
    labels = sorted({file.label for file in files if file.label})
    foreign = [label for label in labels if not _says_class(label)]
    bare = held_out and foreign == labels
    table = _make_table(files)
    if bare:
        table["target"] = None
    table.attrs[NOTES] = [
        *_say_own(foreign, bare),
        *([f"left out: {unread}"] if unread else []),
        *_say_tables(listing),
    ]
    images = make_images("folders", [table])
    images.attrs |= {"empty": tuple(map(str, empty))} if empty else {}
    return images


def _children(listing: Listing, folder: PurePosixPath) -> list[PurePosixPath]:
    return [f for f in listing.names if f.parent == folder and f != folder]


def _pictures(listing: Listing, folder: PurePosixPath) -> list[str]:
    names = [PurePosixPath(name) for name in listing.names[folder]]
    return [n.name for n in names if n.suffix.lower() in PICTURE_SUFFIXES]


def _top(listing: Listing) -> PurePosixPath:
    """Return the folder that holds the classes or splits: an archive's own folder is none."""
    top = PurePosixPath()
    while len(inner := _children(listing, top)) == 1 and not _pictures(listing, top):
        name = inner[0].name
        if find_split(name) or _says_class(name):
            break
        top = inner[0]
    return top


def _files(listing: Listing, top: PurePosixPath) -> Iterator[_File]:
    """Yield every picture below the top folder, its split and class read off the path."""
    for folder in listing.names:
        if folder == top or top in folder.parents:
            below = folder.relative_to(top).parts
            label, part = _read_place(below)
            mask = any(name.lower() in _MASKS for name in below)
            for name in _pictures(listing, folder):
                yield _File(part, label, listing.root / folder / name, mask)


def _read_place(parts: tuple[str, ...]) -> tuple[str, str]:
    """Return class and split of a path below the top: the first folder that is no split's."""
    named = [unicodedata.normalize("NFC", p) for p in parts if p.lower() not in _PLACES | _MASKS]
    split = next((p for p in named[:2] if find_split(p)), "")
    label = next((p for p in named if p != split), "")
    return label, split


def _empty(listing: Listing, top: PurePosixPath, files: list[_File]) -> list[PurePosixPath]:
    """Return the class folders without a picture."""
    full = {(file.label, file.part) for file in files}
    full_folders = {folder for file in files for folder in file.path.parents}
    places: dict[tuple[str, str], PurePosixPath] = {}
    for folder in listing.names:  # shallow folders first
        below = folder.relative_to(top).parts if top in folder.parents else ()
        if 1 <= len(below) <= 2 and listing.root / folder not in full_folders:
            places.setdefault(_read_place(below), folder)
    return [f for place, f in places.items() if place[0] and place not in full]


def _check_places(files: list[_File]) -> None:
    """Refuse pictures without a class that are not held out, and without a split beside splits."""
    loose = next((f.path for f in files if not f.part), None)
    if loose and any(f.part for f in files):
        raise ValueError(
            f"folders: {loose} lies beside the folders "
            f"{sorted({f.part for f in files if f.part})}, in none of them: move or remove it"
        )
    bare = [f for f in files if not f.label and find_split(f.part) != "test"]
    if bare and any(f.label or f.part for f in files):
        raise ValueError(
            f"folders: {bare[0].path} lies in no class folder ({len(bare)} such pictures beside "
            f"folders such as {next(f.label or f.part for f in files if f.label or f.part)}): move "
            "it into the folder of its class, or remove it"
        )


def _make_table(files: list[_File]) -> pd.DataFrame:
    files, masks = _part_masks(files)
    ids = _name(files)
    diagnosis = [_ontology(file.label) for file in files]
    table = pd.DataFrame(
        {
            "image_id": ids,
            "path": [str(file.path) for file in files],
            "diagnosis": [name or None for name in diagnosis],
            "target": [
                _target(file.label, name) for file, name in zip(files, diagnosis, strict=True)
            ],
        },
        dtype=object,
    )
    if masks:
        table["mask_path"] = [masks.get(_bare(file.path)) for file in files]
    if any(file.part or not file.label for file in files):
        table["split"] = [find_split(f.part) or ("train" if f.label else "test") for f in files]
        table["part"] = [file.part.lower() or None for file in files]
    return table


def _part_masks(files: list[_File]) -> tuple[list[_File], dict[Path, str]]:
    """Part pictures from their masks: `a_mask.png` beside `a.jpg`, or `masks/a.png`."""
    pictures = {_bare(file.path) for file in files if not file.mask}
    by_name = {(f.part, f.label, f.path.stem): _bare(f.path) for f in files if not f.mask}
    masks: dict[Path, str] = {}
    for part, label, path, mask in files:
        stem = _MASK.sub("", path.stem) or path.stem
        bare = by_name.get((part, label, stem)) if mask else path.with_name(stem)
        if bare is None:
            raise ValueError(
                f"folders: {path} lies in a folder of masks, and no picture is called {stem}: "
                "rename it as its picture, or move that folder away"
            )
        if bare in pictures and (mask or stem != path.stem):
            if bare in masks:
                raise ValueError(f"folders: {masks[bare]} and {path} are masks of one picture")
            masks[bare] = str(path)
    taken = set(masks.values())
    return [file for file in files if str(file.path) not in taken], masks


def _bare(path: Path) -> Path:
    return path.with_suffix("")


def _name(files: list[_File]) -> list[str]:
    """Return an id for each picture."""
    counts = Counter(safe_id(file.path.stem).lower() for file in files)
    places: dict[tuple[str, str, str], Path] = {}
    seen: dict[str, Path] = {}
    ids = []
    for part, label, path, _ in files:
        name = safe_id(path.stem)
        if counts[name.lower()] > 1:
            other = places.setdefault((part, label, name.lower()), path)
            other = seen.setdefault(name, path) if _PUBLISHED.fullmatch(name) else other
            if other != path:
                raise ValueError(
                    f"folders: two files are called {name}: {other} and {path}: remove one, or "
                    "rename it if it is another picture"
                )
            name = "_".join(word for word in (part, label, name) if word)
        ids.append(safe_id(name))
    return ids


def _ontology(label: str) -> str:
    try:
        return find_diagnosis(label) if label else ""
    except ValueError:
        return ""


def _target(label: str, diagnosis: str) -> str | None:
    if diagnosis == UNKNOWN or is_missing(label):
        return None
    return diagnosis or "_".join(label.lower().split())


def _says_class(label: str) -> bool:
    """Tell whether a folder's name says what its pictures show, or that nobody knows."""
    return bool(label.lower() in GROUPS or _ontology(label) or is_missing(label))


def _say_own(labels: list[str], bare: bool) -> list[str]:
    shown = ", ".join(labels[:5]) + (" …" if len(labels) > 5 else "")
    if not labels:
        return []
    if bare:
        return [f"no folder has the name of a diagnosis ({shown}): none is read as a label"]
    return [f"folders whose names are no diagnosis, each a class of its own: {shown}"]


def _say_unread(listing: Listing) -> str:
    unread = listing.unread()
    if unread:
        return f"save {unread[0]} as JPEG or PNG ({len(unread)} such files)"
    broken = listing.broken
    return f"mend {broken[0]}, a link that leads nowhere ({len(broken)} such)" if broken else ""


def _say_tables(listing: Listing) -> list[str]:
    tables = [n for names in listing.names.values() for n in names if is_table(n)]
    tables = [name for name in tables if not name.lower().endswith(".txt")]  # a licence, say
    return [f"{tables[0]} was not read: it is by source=csv"] if tables else []
