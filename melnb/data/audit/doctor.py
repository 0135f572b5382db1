"""The doctor: what ails a folder of shards, ours or anyone's."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from melnb.data.datasets import FILE, read_dataset
from melnb.data.pictures import PictureError, decode_picture
from melnb.data.shards.examples import Shard, file_crc, read_frames
from melnb.data.shards.messages import (
    RecordError,
    count_fault,
    decode_example,
    find_faults,
    is_shard,
    read_target,
)
from melnb.tables.checks import TEST
from melnb.tables.files import walk

COLUMNS = ("file", "record", "what", "advice")

_AGAIN = "copy or download the file again, or make the records again"
_MAKE = "make the records again"
_NOWHERE = "a link that leads nowhere"
_ONE = "keep it in one: a model would be tested on what it has learnt"
_FOLD = re.compile(r"^(?:fold(\d+)|test)-")


class Finding(NamedTuple):
    """What is wrong, where (`record` is None if with the whole file), and what to do."""

    file: str
    record: int | None
    what: str
    advice: str


class Seen(NamedTuple):
    """A record that could be read: where it is, and whose."""

    path: Path
    record: int
    image: str
    patient: str
    lesion: str


def check_records(folder: str | Path, *, decode: bool = True) -> pd.DataFrame:
    """Look for everything that is wrong with the shards of a folder.

    Found are: files cut off or damaged, links that lead nowhere, records that lack a key, pictures
    that do not decode, a count that is not the one in the file's name, an image in two shards; and,
    where folds are known from the files' names or from dataset.json, an image, a patient or a
    lesion in two folds, and files that are not as dataset.json lists them.

    Args:
        folder: Holds shards, at any depth or behind links; or a run of 02_prepare.
        decode: Whether to decode every picture, which takes most of the time.

    Returns:
        One row per finding: `file, record, what, advice`. No rows: healthy.

    Raises:
        FileNotFoundError: There is no shard.
    """
    folder = Path(folder)
    listed = list(read_dataset(folder).shards) if (folder / FILE).exists() else []
    there = list(walk(folder))
    files = [folder / part.prefix / entry.name for part in there for entry in part.files]
    lost = [folder / part.prefix / name for part in there for name in part.lost if is_shard(name)]
    shards = [path for path in files if is_shard(path.name)]
    paths = sorted({*shards, *(s.path for s in listed if s.path.exists())})
    if not paths and not lost:
        raise FileNotFoundError(
            f"no shards (.tfrec, .tfrecord) in {folder}{_packed(files)}: run 02_prepare first"
        )
    findings = [Finding(str(path), None, _NOWHERE, "mend it, or remove it") for path in lost]
    seen = []
    for path in paths:
        ailments, records = _check_shard(path, decode)
        findings += ailments
        seen += records
    folds = {path: _fold_of(path.name) for path in paths} | {s.path: s.fold for s in listed}
    findings += _find_doubled(seen)
    findings += _find_straddling(seen, folds)
    findings += _compare_with_list(listed, shards)
    table = pd.DataFrame(findings, columns=list(COLUMNS))
    return table.astype({"record": "Int64"})


def _check_shard(path: Path, decode: bool) -> tuple[list[Finding], list[Seen]]:
    findings: list[Finding] = []
    seen: list[Seen] = []
    unlabelled = []
    count = 0
    try:
        for frame in read_frames(path):
            count += 1
            if not frame.intact:
                findings.append(Finding(str(path), frame.record, "CRC error: damaged data", _AGAIN))
                continue
            try:
                example = decode_example(frame.data)
            except RecordError as error:
                findings.append(Finding(str(path), frame.record, str(error), _MAKE))
                continue
            findings += _check_example(path, frame.record, example, decode)
            names = (_name(example.get(key)) for key in ("image_name", "patient_id", "lesion_id"))
            seen.append(Seen(path, frame.record, *names))
            if "target" not in example:
                unlabelled.append(frame.record)
    except RecordError as error:
        place = f"{path}: record {count} at "
        findings.append(Finding(str(path), count, str(error).removeprefix(place), _AGAIN))
    else:
        findings += _check_count(path, count)
    if 0 < len(unlabelled) < len(seen):  # none, or all, of a shard's records have one
        findings += [Finding(str(path), r, "lacks key 'target'", _MAKE) for r in unlabelled]
    return findings, seen


def _check_example(
    path: Path, record: int, example: dict[str, Any], decode: bool
) -> Iterator[Finding]:
    faults = list(find_faults(example))
    try:
        read_target(example)
    except RecordError as error:
        faults.append(str(error))
    try:
        if decode and example.get("image") and not any(f.startswith("image") for f in faults):
            decode_picture(example["image"], "image")
    except (PictureError, TypeError) as error:
        faults.append(f"image does not decode: {error}")
    for fault in faults:
        yield Finding(str(path), record, fault, _MAKE)


def _check_count(path: Path, count: int) -> Iterator[Finding]:
    if fault := count_fault(path.name, count):
        yield Finding(str(path), None, fault, "rename it, or " + _AGAIN)


def _find_doubled(seen: Iterable[Seen]) -> Iterator[Finding]:
    """Find images that stand twice in the shards of one folder (each size has a folder)."""
    first: dict[tuple[Path, str], Seen] = {}
    for one in seen:
        other = first.setdefault((one.path.parent, one.image), one)
        if other is not one and one.image:
            what = f"image {one.image} stands in {other.path.name}, record {other.record}, too"
            yield Finding(str(one.path), one.record, what, _ONE)


def _find_straddling(seen: Iterable[Seen], folds: dict[Path, int | None]) -> Iterator[Finding]:
    seen_at: dict[tuple[str, str], dict[int, Seen]] = defaultdict(dict)
    for one in seen:
        fold = folds[one.path]
        for kind in ("image", "patient", "lesion"):
            name = getattr(one, kind)
            if name and fold is not None:
                seen_at[kind, name].setdefault(fold, one)
    for (kind, name), places in seen_at.items():
        if len(places) > 1:
            one = list(places.values())[-1]
            yield Finding(
                str(one.path), one.record, f"{kind} {name} lies in folds {sorted(places)}", _ONE
            )


def _compare_with_list(listed: list[Shard], files: list[Path]) -> Iterator[Finding]:
    folds: dict[Path, int] = {}
    for shard in listed:
        file = str(shard.path)
        if folds.setdefault(shard.path, shard.fold) != shard.fold:
            what = f"listed in fold {folds[shard.path]} and in fold {shard.fold}"
            yield Finding(file, None, what, _ONE)
        if not shard.path.exists():
            yield Finding(file, None, f"listed in {FILE}, but gone", "bring it back, or " + _AGAIN)
        elif shard.crc and file_crc(shard.path) != shard.crc:
            yield Finding(file, None, f"not the file that {FILE} lists (CRC differs)", _AGAIN)
    for path in files:
        if listed and path not in folds:
            yield Finding(str(path), None, f"not listed in {FILE}", "remove it, or " + _MAKE)


def _packed(files: Iterable[Path]) -> str:
    packed = [path.name for path in files if path.match("*.tfrec*.gz")]
    return f", but {len(packed)} packed ones, such as {packed[0]}: unpack them" if packed else ""


def _fold_of(name: str) -> int | None:
    match = _FOLD.match(name)
    return None if match is None else TEST if match[1] is None else int(match[1])


def _name(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None or value == -1 else str(value)
