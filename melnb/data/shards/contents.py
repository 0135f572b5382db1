"""Contents: what a record must hold, asked by one code: the doctor, the readers, the trainer.

What is refused here would else stop a training in the midst of an epoch (TensorFlow decodes JPEG
and PNG), or be learnt from in silence: a soft label as none, a turned picture as it lies.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from melnb.data.decoding import PictureError, open_image, orientation
from melnb.data.shards.messages import RecordError
from melnb.signatures import HEAD, describe_file

UNKNOWN = -1  # target
LABELS = ("label", "labels", "class", "class_id", "targets", "image/class/label")  # as others say
PICTURES = ("image/encoded", "image_raw", "img", "jpeg", "encoded")
KEYS = ("image", "image_name", "mask", "target", *LABELS, *PICTURES)

_SHARD = re.compile(r"\.tfrec(?:ords?)?(?:-\d+-of-\d+)?$", re.IGNORECASE)
_COUNT = re.compile(
    r"(?:^|[/\\])(?:(?:fold\d+|test)-\d+|(?:train|test)\d+)-(\d+)\.tfrec(?:ords?)?$"
)
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_DEPTH = 24  # byte of a PNG that tells bits a channel
_LESION = 127  # above it a mask is lesion in training


def is_shard(name: str) -> bool:
    """Return whether a file is a shard by its name: `a.tfrec`, `a.tfrecord-00000-of-00010`.

    A companion that a Mac lays beside it (`._a.tfrec`) is none.
    """
    return bool(_SHARD.search(name)) and not re.split(r"[/\\]", name)[-1].startswith(".")


def told_count(name: str) -> int | None:
    """Return how many records a name tells: `fold0-00-512.tfrec` and `train00-2071.tfrec` do.

    Another number is none: `melanoma-2020.tfrec`, `train-00000-of-00010.tfrec`.
    """
    found = _COUNT.search(name)
    return int(found[1]) if found else None


def count_fault(path: str, count: int) -> str:
    """Say that a shard holds other than its name tells; empty if it does not."""
    told = told_count(path)
    return "" if told in (None, count) else f"{count} records, but its name says {told}"


def check_count(path: str, count: int) -> int:
    """Return the count if the shard's name tells no other: one cut off between records does.

    Raises:
        RecordError: It tells another.
    """
    if fault := count_fault(path, count):
        raise RecordError(f"{path}: {fault}: rename it, or copy or download the file again")
    return count


def find_faults(example: Mapping[str, Any]) -> Iterator[str]:
    """Say what readers and training would stumble over in a record's pictures and names.

    Args:
        example: With all of `KEYS` that it has. Pictures are not decoded, but for a mask.
    """
    for key in ("image", "image_name"):
        value = example.get(key)
        if not isinstance(value, bytes) or not value:
            near = [name for name in PICTURES if key == "image" and name in example]
            hint = f" (is {near[0]!r} meant? write it as 'image')" if near else ""
            yield f"lacks key {key!r}{hint}"
    image, mask = example.get("image"), example.get("mask")
    if isinstance(image, bytes) and image:
        yield from _image_faults(image)
    if mask:
        yield from _mask_faults(mask)


def read_target(example: Mapping[str, Any], place: str = "") -> int:
    """Return a record's class number, -1 where it has none; of one-hot labels the place of the one.

    Args:
        example: With all of `KEYS` that it has, but for pictures.
        place: File and record, for the message.

    Raises:
        RecordError: There are soft labels, several, or text; or a label under another key.
    """
    try:
        return _read_target(example)
    except RecordError as error:
        raise RecordError(f"{place}: {error}" if place else str(error)) from None


def _read_target(example: Mapping[str, Any]) -> int:
    value = example.get("target", UNKNOWN)
    if "target" not in example:
        for key in LABELS:
            if key in example and example[key] != []:
                raise RecordError(f"lacks key 'target', but has {key!r}: write it as 'target'")
    if value == []:  # an empty list says that nothing is known
        return UNKNOWN
    if isinstance(value, list):
        if len(value) > 1 and all(v in (0, 1) for v in value) and sum(value) == 1:
            return value.index(1)
        raise RecordError(
            f"target is {value[:5]}, {len(value)} values that are not one-hot (soft labels?): "
            "write one whole number"
        )
    if isinstance(value, bytes) or value != int(value) or value < UNKNOWN:
        raise RecordError(f"target is {value!r}: write a whole number, -1 where it is unknown")
    return int(value)


def check_pictures(example: Mapping[str, Any]) -> None:
    """Refuse a record whose picture or mask training cannot read.

    Raises:
        RecordError: The first of `find_faults`; a record without a name is no fault here.
    """
    for fault in find_faults({"image_name": b"-", **example, **_name(example)}):
        raise RecordError(fault)


def _name(example: Mapping[str, Any]) -> dict[str, bytes]:
    return {} if isinstance(example.get("image_name"), bytes) else {"image_name": b"-"}


def _image_faults(image: bytes) -> Iterator[str]:
    if image.startswith(_PNG):
        if image[_DEPTH] > 8:
            yield "image is a PNG of 16 bits, which training would cut: save it with 8"
    elif not image.startswith(_JPEG):
        yield f"image is {_kind(image)}, no JPEG or PNG, which alone training decodes"
    elif b"Exif" in image[:64] and _turn(image) != 1:
        yield "image is a JPEG to be turned by its EXIF, which training does not do: turn it first"


def _turn(image: bytes) -> int:
    try:
        with open_image(io.BytesIO(image)) as opened:
            return orientation(opened)
    except Exception:  # whether it decodes is another question
        return 1


def _kind(image: bytes) -> str:
    try:
        with open_image(io.BytesIO(image)) as opened:
            return f"{opened.format}"
    except Exception:
        return describe_file(image[:HEAD]).split(":")[0] or f"{len(image)} bytes (raw pixels?)"


def _mask_faults(mask: Any) -> Iterator[str]:
    try:
        if not isinstance(mask, bytes) or not mask.startswith(_PNG):
            raise PictureError("no PNG, which alone training decodes")
        with open_image(io.BytesIO(mask)) as opened:
            _, most = opened.convert("L").getextrema()
    except Exception as error:  # as of decoding
        yield f"mask does not decode: {error}"
        return
    if 0 < int(most) <= _LESION:  # type: ignore[arg-type]
        yield f"mask holds levels of 0 to {most}, but lesion is above {_LESION}: write 0 and 255"
