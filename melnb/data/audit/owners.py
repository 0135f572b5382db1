"""Owners: what the file of a picture tells beside its pixels of who, where and when."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

from melnb.data.decoding import open_image
from melnb.data.jpeg import EOI, is_application, read_parts

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
            found = list(_in_jpeg(data))
        elif data.startswith(_PNG):
            found = list(_in_png(data))
        else:
            found = list(_in_other(data))
    except Exception as error:  # of a damaged file; what it holds is not known
        return f"not readable ({error})"
    return ", ".join(dict.fromkeys(found))


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
