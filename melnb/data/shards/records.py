"""Records: the images and folds tables become shards, and shards an index again.

records/256px/fold0-00-512.tfrec     size, fold, number, count
records/256px/test-00-512.tfrec
records/settings.json                how they were made
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from melnb.data.cleaning import Cleaning
from melnb.data.pictures import Fit, read_picture
from melnb.data.shards.examples import Shard, count_examples, file_crc, read_examples
from melnb.data.shards.messages import LABELS, read_target
from melnb.data.shards.shard_files import (
    PARTS,
    UNKNOWN,
    WORDS,
    Row,
    Settings,
    ShardPlan,
    ShardReport,
    make_shard,
)
from melnb.tables.checks import TEST
from melnb.tables.files import RefusedError, replacing, words_of
from melnb.tables.processes import count_cores, do_each
from melnb.tables.schema import check_folds, check_images, without_folds, write_table

# Plans: which rows make which shard, and what of an earlier run may stay.

COLUMNS = (*WORDS.values(), "age", "target", "path")
SETTINGS = "settings.json"


class Place(NamedTuple):
    """A shard's name, its fold, and the positions of its rows in the table."""

    name: str
    fold: int
    positions: np.ndarray


def plan_shards(table: pd.DataFrame, shard_size: int, seed: int) -> list[Place]:
    """Divide the rows of each fold into shards of equal size.

    Within a fold rows are in the order of a hash of seed and image id: classes are mixed, the
    order depends neither on the table's nor on a library's random numbers.

    Args:
        table: Columns `image_id` and `fold`.
        shard_size: The most rows in a shard.
        seed: Of the order.
    """
    keys = [
        hashlib.blake2b(f"{seed}:{image_id}".encode(), digest_size=16).digest()
        for image_id in table["image_id"]
    ]
    shuffled = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    fold_of = table["fold"].to_numpy()[shuffled]
    places = []
    for fold in sorted(np.unique(fold_of).tolist(), key=lambda k: (k == TEST, k)):
        rows = shuffled[fold_of == fold]
        parts = np.array_split(rows, -(-len(rows) // shard_size))
        digits = max(2, len(str(len(parts) - 1)))
        kind = "test" if fold == TEST else f"fold{fold}"
        places += [Place(f"{kind}-{k:0{digits}d}", fold, part) for k, part in enumerate(parts)]
    return places


def take_rows(table: pd.DataFrame, place: Place) -> ShardPlan:
    """Take the rows of a shard out of the table, unknown values as None."""
    columns = [*COLUMNS, *(["mask_path"] if "mask_path" in table else [])]
    rows = table[columns].iloc[place.positions].astype(object)
    values = rows.where(rows.notna(), None).itertuples(index=False, name=None)
    plain: list[Row] = [dict(zip(columns, row, strict=True)) for row in values]
    return ShardPlan(place.name, place.fold, plain)


def settle(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder ready: shards made with other settings go, temporary files too.

    Raises:
        FileExistsError: It holds shards that were not made here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / SETTINGS
    if not file.exists() and _shards_in(folder):
        raise FileExistsError(
            f"{folder} holds shards that were not made here ({_shards_in(folder)[0].name}): "
            "name an empty folder"
        )
    wanted = json.dumps(dict(settings), indent=1) + "\n"
    if not file.exists() or file.read_text(encoding="utf-8") != wanted:
        sweep(folder, (), ())
        with replacing(file) as temporary:
            temporary.write_text(wanted, encoding="utf-8")
    for left in folder.rglob("*.tmp"):
        left.unlink()


def sweep(folder: Path, shards: Collection[Path], names: Collection[str]) -> None:
    """Remove all shards but these, and all certificates but those of these names."""
    for path in set(_shards_in(folder)) - set(shards):
        path.unlink()
    for certificate in folder.glob(f"{PARTS}/*.json"):
        if certificate.stem not in names:
            certificate.unlink()
    for size_folder in folder.glob("*px"):
        if not any(size_folder.iterdir()):
            size_folder.rmdir()


def _shards_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*px/*.tfrec"))


# Worker processes: many shards at once.

_AHEAD = 2  # plans handed out for each worker: its rows are all the memory that grows


def count_workers(workers: int, shards: int) -> int:
    """Return how many processes to start for so many shards; 0 asks for one for each core."""
    return max(1, min(workers or count_cores(), shards))


def make_shards(
    plans: Iterable[ShardPlan],
    folder: Path,
    settings: Settings,
    skip_unreadable: bool,
    workers: int,
) -> Iterator[ShardReport]:
    """Make shards; a report of each comes as it is done.

    Args:
        plans: Taken one by one, as workers become free.
        folder: Where to write.
        settings: Of all shards.
        skip_unreadable: Whether pictures that cannot be read are left out.
        workers: Processes; 1 makes them in this one.

    Raises:
        OSError: From any worker.
        BrokenProcessPool: A worker died.
    """
    tasks = ((plan, folder, settings, skip_unreadable) for plan in plans)
    return do_each(make_shard, tasks, workers=workers, ahead=_AHEAD)


UNREADABLE = "unreadable.csv"
SKIPPED = ["image_id", "path", "reason"]  # columns of what is left out

_EMPTY_COUNT, _EMPTY_SHARE = 3, 0.05  # of masks: so many without a lesion are no chance
_LISTED = 20  # unreadable pictures in an error's message; the file lists all
_NUMBERS = {"target": "target", "age": "age_approx", "width": "width", "height": "height"}


class RecordsError(ValueError):
    """Records cannot be made; the message says what to do first.

    Attributes:
        unreadable: `image_id, path, reason` of every picture that cannot be read, if that is why.
    """

    def __init__(self, message: str, unreadable: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.unreadable = unreadable


@dataclass(frozen=True)
class Records:
    """What `make_records` made.

    Attributes:
        shards: In order of size, fold (test last) and number.
        skipped: `image_id, path, reason` of pictures that were left out.
        kept: How many of the shards an earlier call had made.
        folder: Where the shards were made; None: they lie where they lay.
    """

    shards: tuple[Shard, ...]
    skipped: pd.DataFrame
    kept: int
    folder: Path | None = None

    def without_skipped(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table of images without the rows of pictures that were left out."""
        return table[~table["image_id"].isin(self.skipped["image_id"])].reset_index(drop=True)

    def under(self, folder: str | Path) -> Records:
        """Return the same records where their folder lies now: a finished run's has a new name."""
        if self.folder is None:
            return self
        paths = [Path(folder, shard.path.relative_to(self.folder)) for shard in self.shards]
        shards = [replace(s, path=path) for s, path in zip(self.shards, paths, strict=True)]
        return replace(self, shards=tuple(shards), folder=Path(folder))


def make_records(
    images: pd.DataFrame,
    folds: pd.DataFrame,
    folder: str | Path,
    *,
    classes: Sequence[str],
    image_sizes: Sequence[int],
    fit: Fit = "crop",
    quality: int = 95,
    cleaning: Cleaning = "none",
    shard_size: int = 512,
    seed: int = 0,
    workers: int = 0,
    skip_unreadable: bool = False,
    progress: bool = True,
    layout: str = "",
) -> Records:
    """Write the records of a dataset.

    Shards that an earlier call with the same arguments has finished are kept, so that a killed
    run goes on where it was; a call with other arguments makes all anew. A script (not a
    notebook) has to make this call under `if __name__ == "__main__"`, unless `workers` is 1.

    Args:
        images: The images table.
        folds: The folds table.
        folder: Where to write; shards that were not made here may not lie there.
        classes: Class names; a record's `target` is an index into them, -1 without a target.
        image_sizes: Pixels on a side; all from one decoding. None: tables alone, no record.
        fit: How a picture gets square: `crop`, `squash`, `pad`.
        quality: Of the JPEGs. Of one that has the size already the coded pixels are stored.
        cleaning: What is done to a picture first: `none`, `hairs` (dark ones are removed),
            `constancy` (shades of grey) or `both`; then no JPEG is stored as it is.
        shard_size: The most images in a shard; the shards of a fold are of equal size.
        seed: Of the order of images within a fold.
        workers: Processes; 0: one for each core; 1: this one.
        skip_unreadable: Whether to leave out pictures that cannot be read.
        progress: Whether to show a bar, in a notebook or on a terminal, unless the variable
            TQDM_DISABLE of the environment is set.
        layout: Of the source: `kaggle_tfrecords` are records already, used as they are
            (`list_records`), and nothing of the above holds for them.

    Raises:
        RecordsError: Pictures cannot be read (all are listed), many masks hold no lesion, a
            target is none of the classes, or a worker died.
        FileExistsError: The folder holds shards that were not made here.
        RefusedError: The disk is full, say. Finished shards stay, and the same call goes on.
    """
    if layout == "kaggle_tfrecords":
        return list_records(images, folds)
    table = _join(images, folds, classes)
    if not image_sizes:
        return Records((), pd.DataFrame(columns=SKIPPED), 0)
    folder = Path(folder)
    settings = Settings(tuple(classes), tuple(sorted(set(image_sizes))), fit, quality, cleaning)
    settle(folder, {**settings.plain(), "shard_size": shard_size, "seed": seed})
    places = plan_shards(table, shard_size, seed)
    plans = (take_rows(table, place) for place in places)
    n_workers = count_workers(workers, len(places))
    reports: list[ShardReport] = []
    try:
        with tqdm(total=len(table), unit="image", disable=_hide_bar(progress)) as bar:
            for report in make_shards(plans, folder, settings, skip_unreadable, n_workers):
                reports.append(report)
                bar.update(report.rows)
    except BrokenProcessPool as error:
        raise RecordsError(_died(folder, len(reports), len(places))) from error
    except OSError as error:
        if not (words := words_of(error)):
            raise
        words = f"{words}; {_stay(len(reports), len(places))}"
        raise RefusedError(error.errno, words, str(folder)) from error
    masks = int(table["mask_path"].notna().sum()) if "mask_path" in table else 0
    return _gather(reports, folder, places, skip_unreadable, masks)


def list_records(images: pd.DataFrame, folds: pd.DataFrame) -> Records:
    """List shards that are used as they are, such as those of Kaggle.

    Args:
        images: The images table, whose `path` is `<shard>::<record>`.
        folds: The folds table.

    Returns:
        The shards, in order of fold and name; none of their images is skipped.

    Raises:
        RecordsError: Images of a shard lie in several folds, or some of its records are not in
            the table.
    """
    joined = without_folds(images).merge(folds[["image_id", "fold"]], on="image_id")
    shards = []
    for path, rows in joined.groupby(joined["path"].str.rpartition("::")[0]):
        count = count_examples(path)
        lies_in = sorted(set(rows["fold"].tolist()))
        if len(lies_in) > 1:
            raise RecordsError(
                f"{path}: its images lie in folds {lies_in}: cut the folds along shards "
                "(fold_column: shard), or make the records anew"
            )
        if count != len(rows):
            raise RecordsError(
                f"{path}: {count} records, but {len(rows)} rows of the images table: use all "
                "of them (rows: 0), or make the records anew"
            )
        side = min(read_picture(f"{path}::0").size)
        shards.append(Shard(Path(path), side, lies_in[0], count, file_crc(path)))
    # Pictures of several sizes are still one set of shards: the reader resizes every one.
    side = min(shard.image_size for shard in shards)
    shards = [replace(shard, image_size=side) for shard in shards]
    shards.sort(key=lambda s: (s.fold == TEST, s.fold, s.path))
    return Records(tuple(shards), pd.DataFrame(columns=SKIPPED), len(shards))


def read_index(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read what shards hold besides pixels, in the order of their records.

    Args:
        paths: Shards, ours or Kaggle's. Where Kaggle's hold numbers instead of words, the table
            holds these numbers as text.

    Returns:
        One row per record: `image_id, patient_id, lesion_id, sex, site, diagnosis, target, age,
        width, height, path`. A missing target is -1; the path is `<shard>::<record>`.

    Raises:
        RecordError: A shard is damaged, or a target is no class number.
    """
    keys = (*WORDS, *_NUMBERS.values(), *LABELS)
    rows = []
    for path in paths:
        for record, example in enumerate(read_examples(path, keys=keys, check=False)):
            row: dict[str, Any] = {column: _text(example.get(key)) for key, column in WORDS.items()}
            row |= {column: example.get(key, UNKNOWN) for column, key in _NUMBERS.items()}
            row["target"] = read_target(example, f"{path}: record {record}")
            rows.append({**row, "path": f"{path}::{record}"})
    table = pd.DataFrame(rows, columns=[*WORDS.values(), *_NUMBERS, "path"])
    table["target"] = table["target"].astype("int64")
    for column in ("age", "width", "height"):
        table[column] = table[column].astype("float64").where(table[column] != UNKNOWN)
    return table.astype(dict.fromkeys(("width", "height"), "Int64"))


def _text(value: bytes | int | None) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace") or np.nan
    return np.nan if value is None else str(value)


def _join(images: pd.DataFrame, folds: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    check_images(images)
    check_folds(folds, images)
    strange = images["target"].notna() & ~images["target"].isin(list(classes))
    if strange.any():
        row = images[strange].iloc[0]
        raise RecordsError(
            f"target of {row['image_id']} is {row['target']!r}, none of the classes "
            f"{list(classes)} ({strange.sum()} such images)"
        )
    columns = [c for c in (*COLUMNS, "mask_path") if c in images]
    return images[columns].merge(folds[["image_id", "fold"]], on="image_id")


def _gather(
    reports: list[ShardReport],
    folder: Path,
    places: list[Place],
    skip_unreadable: bool,
    masks: int,
) -> Records:
    rows = [row for report in reports for row in report.skipped]
    lost = pd.DataFrame(rows, columns=SKIPPED)
    lost = lost.sort_values("image_id", ignore_index=True)
    (folder / UNREADABLE).unlink(missing_ok=True)
    _check_empty([mask for report in reports for mask in report.empty], masks)
    if rows and not skip_unreadable:
        raise _unreadable(lost, folder)
    shards = [shard for report in reports for shard in report.shards]
    if not shards:
        raise RecordsError(f"{folder}: not one of {len(rows)} pictures can be read", lost)
    sweep(folder, [shard.path for shard in shards], [place.name for place in places])
    shards.sort(key=lambda s: (s.image_size, s.fold == TEST, s.fold, s.path.name))
    kept = sum(len(r.shards) for r in reports if r.kept)
    return Records(tuple(shards), lost, kept, folder)


def _check_empty(empty: list[str], masks: int) -> None:
    if len(empty) >= max(_EMPTY_COUNT, _EMPTY_SHARE * masks):
        raise RecordsError(
            f"{len(empty)} of {masks} masks hold no lesion, the first is {empty[0]}: they are "
            "empty, or inverted: mend them; an image that has no lesion has an empty mask_path"
        )


def _unreadable(lost: pd.DataFrame, folder: Path) -> RecordsError:
    write_table(lost, folder / UNREADABLE)
    lines = [f"  {row.image_id}: {row.reason}" for row in lost.head(_LISTED).itertuples()]
    if len(lost) > _LISTED:
        lines.append(f"  … and {len(lost) - _LISTED} more, all in {folder / UNREADABLE}")
    return RecordsError(
        f"{len(lost)} pictures cannot be read: mend them, or leave them out (skip_unreadable)\n"
        + "\n".join(lines),
        lost,
    )


def _hide_bar(progress: bool) -> bool | None:
    """Return tqdm's `disable`; None hides the bar where standard error is a file."""
    return None if progress and not os.environ.get("TQDM_DISABLE") else True


def _died(folder: Path, done: int, shards: int) -> str:
    return (
        f"{folder}: a worker process died (out of memory? use fewer workers; in a script, call "
        f'make_records under if __name__ == "__main__"); {_stay(done, shards)}'
    )


def _stay(done: int, shards: int) -> str:
    return f"{done} of {shards} shards are finished and stay: make the records again to go on"
