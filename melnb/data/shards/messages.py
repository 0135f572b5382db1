"""The message `tf.train.Example`, written and read without TensorFlow.

It is protocol buffers wire format of `tensorflow/core/example/example.proto`:

    Example { Features features = 1 }    Features { map<string, Feature> feature = 1 }
    Feature { BytesList = 1 | FloatList = 2 | Int64List = 3 }    each { repeated value = 1 }

By hand, because it is three levels deep and never changes, whereas importing TensorFlow costs 10 s
and 400 MB in every worker process.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from melnb.data.decoding import PictureError, open_image, orientation
from melnb.tables.signatures import HEAD, describe_file

# Contents: what a record must hold, asked by one code: the doctor, the readers, the trainer.
#
# What is refused here would else stop a training in the midst of an epoch (TensorFlow decodes JPEG
# and PNG), or be learnt from in silence: a soft label as none, a turned picture as it lies.

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
    match = _COUNT.search(name)
    return int(match[1]) if match else None


def count_fault(path: str, count: int) -> str:
    """Say that a shard holds other than its name tells; empty if it does not."""
    number = told_count(path)
    return "" if number in (None, count) else f"{count} records, but its name says {number}"


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


Value = bytes | int | float | Sequence[bytes] | Sequence[int] | Sequence[float]
Example = Mapping[str, Value]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3  # fields of Feature


class RecordError(ValueError):
    """A shard or a record breaks the format; the message says where."""


def encode_example(example: Example) -> bytes:
    """Encode a `tf.train.Example`.

    Args:
        example: Key to bytes, int (64 bits), float (kept in 32 bits), or a sequence of one of
            these. Keys are written in sorted order, so that equal examples give equal bytes.

    Raises:
        TypeError: A value is of another type (text must be encoded first).
        ValueError: A number does not fit.
    """
    entries = (
        encode_field(1, key.encode()) + encode_field(2, _encode_feature(key, example[key]))
        for key in sorted(example)
    )
    return encode_field(1, b"".join(encode_field(1, entry) for entry in entries))


def decode_example(data: bytes, keys: Collection[str] | None = None) -> dict[str, Any]:
    """Decode a `tf.train.Example`.

    Args:
        data: The message.
        keys: Keys wanted; others are passed over without being copied. None: all.

    Returns:
        Key to bytes, int or float; to a list where the record holds several values, or none.

    Raises:
        RecordError: The bytes are not such a message.
    """
    example: dict[str, Any] = {}
    try:
        for field, wire, start, end in _fields(data, 0, len(data)):
            if field == 1 and wire == _BYTES:
                for entry, kind, first, last in _fields(data, start, end):
                    if entry == 1 and kind == _BYTES:
                        _decode_entry(data, first, last, keys, example)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise RecordError(f"not a tf.train.Example: {error}") from None
    return example


def encode_varint(number: int) -> bytes:
    """Encode a number, 0 or more."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode_field(number: int, data: bytes) -> bytes:
    """Encode bytes, or a message, as a field of a message."""
    return encode_varint(number << 3 | _BYTES) + encode_varint(len(data)) + data


def _encode_feature(key: str, value: Any) -> bytes:
    single = isinstance(value, bytes) or not isinstance(value, Iterable)
    values = [value] if single else list(value)
    if not values:
        return b""
    if all(isinstance(v, bytes) for v in values):
        return encode_field(_BYTES_LIST, b"".join(encode_field(1, v) for v in values))
    if all(hasattr(v, "__index__") for v in values):
        return encode_field(_INT64_LIST, encode_field(1, b"".join(_int64(key, v) for v in values)))
    if any(isinstance(v, str | bytes) or not hasattr(v, "__float__") for v in values):
        raise TypeError(f"{key!r} holds {value!r:.80}: use bytes, int, float or a list of one kind")
    return encode_field(_FLOAT_LIST, encode_field(1, b"".join(_float32(key, v) for v in values)))


def _int64(key: str, value: Any) -> bytes:
    number = value.__index__()
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"{key!r} is {number}: more than 64 bits")
    return encode_varint(number & (1 << 64) - 1)


def _float32(key: str, value: Any) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:
        raise ValueError(f"{key!r} is {value}: more than 32-bit floats hold") from None


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    number, shift = byte & 127, 7
    while byte >= 128:
        at += 1
        byte = data[at]
        number |= (byte & 127) << shift
        shift += 7
    if shift > 70:
        raise ValueError(f"a number of more than 64 bits ends at byte {at}")
    return number, at + 1


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field, wire type, start, stop) of each field; for a number, of its own bytes."""
    while at < end:
        tag, at = _read_varint(data, at)
        wire = tag & 7
        start = at
        if wire == _BYTES:
            length, start = _read_varint(data, at)
            at = start + length
        elif wire == _VARINT:
            _, at = _read_varint(data, at)
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire} at byte {start}")
        if at > end:
            raise ValueError(f"the field at byte {start} runs past its end")
        yield tag >> 3, wire, start, at


def _decode_entry(
    data: bytes, start: int, end: int, keys: Collection[str] | None, example: dict[str, Any]
) -> None:
    key, feature = "", (0, 0)
    for field, wire, first, last in _fields(data, start, end):
        if field == 1 and wire == _BYTES:
            key = data[first:last].decode()
        elif field == 2 and wire == _BYTES:
            feature = (first, last)
    if keys is None or key in keys:
        values = _decode_feature(data, *feature)
        example[key] = values[0] if len(values) == 1 else values


def _decode_feature(data: bytes, start: int, end: int) -> list[Any]:
    values: list[Any] = []
    chosen = 0
    for kind, wire, first, last in _fields(data, start, end):
        if wire == _BYTES and kind in _DECODERS:
            if kind != chosen:  # of a oneof the last one set counts
                values, chosen = [], kind
            for field, inner, a, b in _fields(data, first, last):
                if field == 1:
                    values.extend(_DECODERS[kind](data, inner, a, b))
    return values


def _decode_bytes(data: bytes, wire: int, start: int, end: int) -> list[bytes]:
    if wire != _BYTES:
        raise ValueError(f"a bytes value at byte {start} has wire type {wire}")
    return [data[start:end]]


def _decode_floats(data: bytes, wire: int, start: int, end: int) -> list[float]:
    """Decode one float, or a packed run of them."""
    if wire not in (_BYTES, _FIXED32) or (end - start) % 4:
        raise ValueError(f"the floats at byte {start} are {end - start} bytes of wire type {wire}")
    return list(struct.unpack_from(f"<{(end - start) // 4}f", data, start))


def _decode_int64s(data: bytes, wire: int, start: int, end: int) -> list[int]:
    """Decode one integer, or a packed run of them."""
    if wire not in (_BYTES, _VARINT):
        raise ValueError(f"the integers at byte {start} have wire type {wire}")
    numbers = []
    while start < end:
        number, start = _read_varint(data, start)
        numbers.append((number & (1 << 64) - 1 ^ 1 << 63) - (1 << 63))  # two's complement
    if start != end:
        raise ValueError(f"an integer runs past byte {end}")
    return numbers


_DECODERS: dict[int, Callable[[bytes, int, int, int], list[Any]]] = {
    _BYTES_LIST: _decode_bytes,
    _FLOAT_LIST: _decode_floats,
    _INT64_LIST: _decode_int64s,
}
