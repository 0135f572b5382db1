"""Sharing: what in a folder of outputs could tell a person, before it is given away.

Files are looked at as bytes, each once: 20,000 pictures and their tables take four seconds.
"""

from __future__ import annotations

import csv
import getpass
import io
import os
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image

from melnb.data.decoding import open_image
from melnb.data.jpeg import EOI, is_application, read_parts
from melnb.data.shards.examples import read_frames
from melnb.data.shards.messages import RecordError, decode_example, is_shard
from melnb.tables.files import PICTURE_SUFFIXES, TABLE_SUFFIXES

# Owners: what the file of a picture tells beside its pixels of who, where and when.

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_OURS = b"melnb\0"  # the text of a mask that 02d_segment_apply wrote: sizes and shares
_EXIF = b"Exif\0\0"
_PLAIN = (b"JFIF\0", b"Adobe", b"ICC_PROFILE\0")  # how colours are coded
_TAGS = {
    0x013B: "owner", 0x8298: "copyright", 0xA430: "owner", 0x9C9D: "author", 0xA431: "camera",
    0xA435: "lens", 0x0132: "date", 0x9003: "date", 0x013C: "computer", 0x010E: "description",
    0x0110: "camera",
}  # fmt: skip
_IFDS = (0x8769,)  # what EXIF holds further within
_GPS = 0x8825


def find_owner(data: bytes) -> str:
    """Return what an image file's bytes tell beside its pixels, in words; empty if nothing."""
    try:
        if data.startswith(_JPEG):
            names = list(_in_jpeg(data))
        elif data.startswith(_PNG):
            names = list(_in_png(data))
        else:
            names = list(_in_other(data))
    except Exception as error:  # of a damaged file; what it holds is not known
        return f"not readable ({error})"
    return ", ".join(dict.fromkeys(names))


def _in_jpeg(data: bytes) -> Iterator[str]:
    size = 2
    for part in read_parts(data):
        size = data.rfind(b"\xff\xd9") + 2 if part.marker == EOI else size
        if not is_application(part.marker) or part.data.startswith(_PLAIN):
            continue
        if part.data.startswith(_EXIF):
            yield from _in_exif(part.data)
        elif b"adobe.com/xap" in part.data[:40]:
            yield "XMP"
        else:
            yield f"a comment or block {_word(part.data)}"
    if part.marker == EOI and size < len(data.rstrip(b"\0")):
        yield "data behind its end"


def _in_png(data: bytes) -> Iterator[str]:
    at = len(_PNG)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind == b"eXIf":
            yield from _in_exif(_EXIF + body)
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and not body.startswith(_OURS):
            yield f"a text {_word(body)}"
        elif kind == b"tIME":
            yield "date"
        at += 12 + length


def _in_other(data: bytes) -> Iterator[str]:
    with open_image(io.BytesIO(data)) as image:
        exif = image.getexif()
        yield from _tags(exif)
        for key in ("comment", "xmp"):
            if image.info.get(key):
                yield f"a {key}"


def _in_exif(data: bytes) -> Iterator[str]:
    yield "EXIF"
    exif = Image.Exif()
    exif.load(data)
    yield from _tags(exif)


def _tags(exif: Image.Exif) -> Iterator[str]:
    if exif.get_ifd(_GPS):
        yield "GPS position"
    for tags in (exif, *(exif.get_ifd(ifd) for ifd in _IFDS)):
        for tag, name in _TAGS.items():
            if value := tags.get(tag):
                yield f"{name} {_word(value)}"


def _word(value: object) -> str:
    """Return the beginning of a value as text that nothing runs."""
    if isinstance(value, bytes):
        value = value.replace(b"\0", b" ").decode("latin-1").strip()
    return repr(str(value)[:30])


COLUMNS = ("file", "kind", "count", "example", "advice")
ADVICE = {
    "picture": "share it only as far as consent goes; numbers alone may do",
    "metadata": "make it again (02_prepare stores pixels alone), or strip it: exiftool -all= FILE",
    "image name": "give other names, and keep the list of both where the patients are",
    "patient": "give other ids, and keep the list of both where the patients are",
    "lesion": "give other ids, and keep the list of both where the patients are",
    "age": "give bands of five years, or leave the column out",
    "sex": "leave the column out, unless it is what is shared",
    "date": "leave it out, or shift all dates of a patient alike",
    "path": "replace it: it may name you, your machine or a patient's folder",
    "user or host": "replace it: it names you or your machine",
    "link": "copy what is meant, or remove it: it leads out of the folder",
    "unreadable": "look at it yourself: it could not be read",
}
_NAMES = {
    **dict.fromkeys(("image_id", "image_name", "isic_id", "image"), "image name"),
    **dict.fromkeys(("patient_id", "patient"), "patient"),
    **dict.fromkeys(("lesion_id", "lesion"), "lesion"),
    **dict.fromkeys(("age", "age_approx"), "age"),
    **dict.fromkeys(("sex", "gender"), "sex"),
    **dict.fromkeys(("date", "dob", "birthday", "date_of_birth", "birth_date"), "date"),
}
_TEXTS = {
    *TABLE_SUFFIXES, ".json", ".jsonl", ".yaml", ".yml", ".md", ".html", ".htm", ".ipynb", ".log",
    ".svg", ".xml", ".tex", ".py",
}  # fmt: skip
_PASSED = {".git", "__pycache__"}
# Roots under which people have their files; what is a folder at this machine's root is one too.
_ROOTS = {
    "home", "Users", "root", "mnt", "media", "data", "srv", "scratch", "work", "workspace", "tmp",
    "var", "opt", "nfs", "lustre", "gpfs", "storage", "projects", "Volumes", "private", "kaggle",
}  # fmt: skip
_GENERIC = {"root", "user", "users", "admin", "localhost", "jovyan", "runner", "ubuntu", "data"}
_END = rb"""[^\s"'<>|,;&()\[\]{}`*?\\]*"""
_WINDOWS = re.compile(rb""":\\{1,2}(?!u[0-9a-f]{4})(?:[\w.~ -]+\\{1,2})+[\w.~-]*""")
_SHARE = re.compile(rb"""(?<![:\w.\\])\\{2,4}[\w.-]+\\{1,2}[\w.$-]+\\{1,2}[\w.~ -]+""")
_PICTURE = re.compile(rb"""data:image/(?:png|jpe?g|webp|gif|bmp)|"image/(?:png|jpeg)":|"/9j/""")
_HEADED = re.compile(rb"<th[^>]*>\s*(\w+)\s*</th")
_CAPTION = re.compile(rb"<figcaption[^>]*>([^<]*)")
_DATE = re.compile(rb"(?:19|20)\d\d-[01]\d-[0-3]\d|[0-3]\d\.[01]\d\.(?:19|20)\d\d")
_KEYS = ("image", "image_name", "patient_id", "lesion_id", "age_approx", "sex")


class Told(NamedTuple):
    """What one file tells: its kind, how often, and an example."""

    kind: str
    times: int
    example: str


def find_persons(folder: str | Path) -> tuple[pd.DataFrame, Counter[str]]:
    """Look for what could tell a person in a folder of outputs.

    Found are pictures (files, in shards, within pages and notebooks), what they tell beside their
    pixels, names and ids of images, patients and lesions, ages, sexes, dates, absolute paths, this
    user's and this machine's name, and links that lead out of the folder.

    Args:
        folder: All below it is looked at; links are not followed.

    Returns:
        One row per finding: `file, kind, count, example, advice`; files of a folder that are
        pictures, or shards, are one. No rows: nothing was found. And how many files were not
        looked into, by suffix.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}: name a folder of outputs")
    findings: dict[tuple[str, str], Told] = {}
    unread: Counter[str] = Counter()
    look = _Texts()
    for path in _files(root):
        parts = _look(path, root, look)
        if parts is None:
            unread[path.suffix or path.name] += 1
            continue
        together = is_shard(path.name) or path.suffix.lower() in PICTURE_SUFFIXES
        place = path.parent if together and not path.is_symlink() else path
        name = place.relative_to(root).as_posix() + ("/" if place != path else "")
        for kind, count, example in parts:
            _, sum_, first = findings.get((name, kind), Told(kind, 0, example))
            findings[name, kind] = Told(kind, sum_ + count, first)
    rows = [(file, *parts, ADVICE[parts.kind]) for (file, _), parts in findings.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS)), unread


def _files(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in _PASSED)
        linked = [f for f in folders if Path(place, f).is_symlink()]
        yield from (Path(place, name) for name in sorted([*names, *linked]))


def _look(path: Path, root: Path, look: _Texts) -> list[Told] | None:
    """Return what a file tells; None if it is of no kind that can be looked into."""
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        return [Told("link", 1, f"{path.name} -> {path.readlink()}")]
    if not path.is_file():
        return []
    suffix = path.suffix.lower()
    try:
        if is_shard(path.name):
            return _in_shard(path)
        if suffix in PICTURE_SUFFIXES:
            findings = [Told("picture", 1, path.name), Told("image name", 1, path.name)]
            owner = find_owner(path.read_bytes())
            return [*findings, Told("metadata", 1, f"{path.name}: {owner}")] if owner else findings
        if suffix not in _TEXTS:
            return None
        data = path.read_bytes()
    except (OSError, RecordError) as error:
        return [Told("unreadable", 1, str(error))]
    table = list(_in_table(data)) if suffix in TABLE_SUFFIXES else list(_in_page(data))
    return [*table, *look(data)]


def _in_shard(path: Path) -> list[Told]:
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}

    def tell(kind: str, example: str) -> None:
        counts[kind] += 1
        first.setdefault(kind, example)

    for frame in read_frames(path, check=False):
        example = decode_example(frame.data, _KEYS)
        image = example.pop("image", b"")
        if image and isinstance(image, bytes):
            tell("picture", f"{path.name} record {frame.record}")
            if owner := find_owner(image):
                tell("metadata", f"{path.name} record {frame.record}: {owner}")
        for key, value in example.items():
            text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            if text not in ("", "-1", "[]"):
                tell(_NAMES[key], text)
    return [Told(kind, count, first[kind]) for kind, count in counts.items()]


def _in_table(data: bytes) -> Iterator[Told]:
    """Count the filled cells of telling columns, and dates anywhere."""
    rows = csv.reader(io.StringIO(data.decode(errors="replace"), newline=""), delimiter=_mark(data))
    header = next(rows, [])
    kinds = {k: kind for k, name in enumerate(header) if (kind := _kind(name))}
    counts: Counter[int] = Counter()
    first: dict[int, str] = {}
    try:
        for cells in rows:
            for k in kinds:
                if k < len(cells) and cells[k]:
                    counts[k] += 1
                    first.setdefault(k, cells[k])
    except csv.Error as error:
        yield Told("unreadable", 1, str(error))
    for k, count in counts.items():
        yield Told(kinds[k], count, f"{header[k]} {first[k]}")
    if (dates := _DATE.findall(data)) and "date" not in kinds.values():
        yield Told("date", len(dates), dates[0].decode())


def _mark(data: bytes) -> str:
    line = data.partition(b"\n")[0].decode(errors="replace")
    return max(",;\t|", key=line.count)


def _kind(name: str) -> str:
    return _NAMES.get("_".join(name.strip().lower().lstrip("\ufeff").split()), "")


def _in_page(data: bytes) -> Iterator[Told]:
    """Find pictures, tables of persons and captions within a page, a notebook or JSON."""
    if pictures := _PICTURE.findall(data):
        yield Told("picture", len(pictures), "within the file")
    heads = Counter(_kind(name.decode(errors="replace")) for name in _HEADED.findall(data))
    for kind, count in heads.items():
        if kind in ("image name", "patient", "lesion"):  # an age may be a row's, of a subgroup
            yield Told(kind, count, "a column of a table")
    if captions := [caption for caption in _CAPTION.findall(data) if caption.strip()]:
        text = captions[0].decode(errors="replace").strip()
        yield Told("image name", len(captions), f"caption {text[:60]}")


class _Texts:
    """Finds absolute paths, and the names of this user and this machine, in any text."""

    def __init__(self) -> None:
        roots = {re.escape(r).encode() for r in _ROOTS | {p.name for p in Path("/").iterdir()}}
        self._path = re.compile(rb"/(?:" + b"|".join(sorted(roots)) + rb")/" + _END)
        names = {socket.gethostname(), _user()} - _GENERIC
        words = [re.escape(n).encode() for n in names if len(n) > 2]
        self._names = re.compile(rb"\b(?:" + b"|".join(words) + rb")\b") if words else None

    def __call__(self, data: bytes) -> Iterator[Told]:
        paths = [m[0] for m in self._path.finditer(data) if _stands_alone(data, m.start())]
        drives = (
            m for m in _WINDOWS.finditer(data) if _is_drive(data[max(0, m.start() - 2) : m.start()])
        )
        paths += [data[m.start() - 1 : m.end()] for m in drives]
        paths += _SHARE.findall(data)
        if paths:
            yield Told("path", len(paths), paths[0].decode(errors="replace")[:80])
        if self._names and (names := self._names.findall(data)):
            yield Told("user or host", len(names), names[0].decode())


def _stands_alone(data: bytes, start: int) -> bool:
    """Tell whether a path begins there: not within another, and not in an address."""
    before = data[start - 1 : start] if start else b""
    return not (before.isalnum() or before in (b".", b"_", b"-", b"/", b"~", b"<", b"}"))


def _is_drive(before: bytes) -> bool:
    return before[-1:].isalpha() and not before[:-1].isalnum()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this number, as in containers
        return ""
