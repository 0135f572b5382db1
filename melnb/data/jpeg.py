"""JPEG: the parts of a file, and the file without those that tell whose picture it is.

A camera writes beside the pixels who owns it, where and when it was used, and a second, smaller
picture. Of all this only two parts have a say in the pixels: JFIF and Adobe, which tell how colours
are coded (`jdapimin.c` of libjpeg). The coded pixels themselves are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

EOI, SOS, APP0, APP14, COM = 0xD9, 0xDA, 0xE0, 0xEE, 0xFE
_SOI = b"\xff\xd8"
_MARKER = re.compile(rb"\xff+([^\x00\xff])")  # any number of 0xFF may stand before one
# Neither a stuffed zero nor a restart; looked for without more 0xFF before it, nine times as fast.
_SCAN_END = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_STRAY = re.compile(rb"\xff[\x01-\xbf]")  # no marker of a picture
_IN_SEQUENCE = (0xC0, 0xC1)  # frames of Huffman's codes: baseline, extended
_FRAMES = (*_IN_SEQUENCE, 0xC2, 0xC9, 0xCA)  # progressive, and both by arithmetic
_COEFFICIENTS = 64
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a part
_JFIF, _ADOBE = b"JFIF\0", b"Adobe"
_JFIF_SIZE, _ADOBE_SIZE = 14, 12  # bytes that libjpeg reads; a thumbnail may follow


class Part(NamedTuple):
    """A part of a JPEG: its marker, its bytes behind marker and length, and where they begin.

    Of a scan the bytes are its header's length, header and coded pixels.
    """

    marker: int
    data: bytes
    at: int = 0


class CutJpegError(ValueError):
    """What a JPEG begins is not all there, though it has an end."""


def read_parts(data: bytes) -> Iterator[Part]:
    """Yield the parts of a JPEG, its end among them; bytes between and behind are in none.

    Raises:
        ValueError: It is no JPEG, or a part of it is cut.
    """
    if not data.startswith(_SOI):
        raise ValueError("no JPEG: it does not begin with FF D8")
    at = len(_SOI)
    while hit := _MARKER.search(data, at):
        marker, at = hit[1][0], hit.end()
        if marker in _BARE:
            continue
        if marker == EOI:
            yield Part(EOI, b"")
            return
        length = int.from_bytes(data[at : at + 2])
        start, stop = at, at + length
        if length < 2 or stop > len(data):
            raise ValueError(f"a part of {length} bytes at byte {start} runs past the JPEG's end")
        if marker == SOS:
            end = _SCAN_END.search(data, stop)
            at = end.start() if end else len(data)
            while end and data[at - 1] == 0xFF:
                at -= 1
            yield Part(SOS, data[start:at], start)
        else:
            at = stop
            yield Part(marker, data[start + 2 : stop], start + 2)


def find_only_scan(data: bytes) -> slice | None:
    """Return where the coded pixels lie, if one scan of Huffman's codes in sequence holds them all.

    They end at any marker, be it one that there is not: so libjpeg reads them.

    Raises:
        CutJpegError: There are several scans, and the last of them are missing.
        ValueError: It is no JPEG, or a part of it is cut.
    """
    parts = list(read_parts(data))
    frames = [part for part in parts if part.marker in _FRAMES]
    scans = [part for part in parts if part.marker == SOS]
    if len(frames) != 1 or not scans:
        return None
    if len(scans) > 1 or frames[0].marker not in _IN_SEQUENCE:
        _check_sent(frames[0].data, scans)
        return None
    start = scans[0].at + int.from_bytes(scans[0].data[:2])
    stop = scans[0].at + len(scans[0].data)
    stray = _STRAY.search(data, start, stop)
    return slice(start, stray.start() if stray else stop)


def _check_sent(frame: bytes, scans: list[Part]) -> None:
    """Refuse a picture of several scans of which one holds no last bit of a coefficient."""
    lowest = {component: [1] * _COEFFICIENTS for component in frame[6 : 6 + 3 * frame[5] : 3]}
    for scan in scans:
        header = scan.data[2 : int.from_bytes(scan.data[:2])]
        first, last, bits = header[-3:]  # of the coefficients; of the bits, the lowest
        for component in header[1:-3:2]:
            if component in lowest:
                lowest[component][first : last + 1] = [bits & 15] * (last + 1 - first)
    if any(any(bits) for bits in lowest.values()):
        raise CutJpegError(f"its last scans are missing ({len(scans)} are there)")


def strip_jpeg(data: bytes) -> bytes:
    """Return a JPEG without EXIF, GPS, owner, comments, profiles, thumbnails and what follows it.

    APP1 to APP15 and comments go, wherever they stand; JFIF stays without its thumbnail, and Adobe
    where there is no JFIF, for then it tells the colours. Every decoder finds the same pixels.

    Raises:
        ValueError: It is no JPEG, or a part of it is cut.
    """
    parts = list(read_parts(data))
    head = parts[: [*(part.marker for part in parts), SOS].index(SOS)]
    has_jfif = any(map(_is_jfif, head))
    kept = [_SOI]
    for part in parts:
        if part.marker == EOI:
            kept.append(b"\xff\xd9")
        elif part.marker == SOS:
            kept += [bytes((0xFF, SOS)), part.data]
        elif _is_jfif(part):
            kept.append(_encode(Part(APP0, part.data[: _JFIF_SIZE - 2] + b"\0\0")))
        elif _is_adobe(part) and not has_jfif:
            kept.append(_encode(Part(APP14, part.data[:_ADOBE_SIZE])))
        elif not is_application(part.marker):
            kept.append(_encode(part))
    return b"".join(kept)


def is_application(marker: int) -> bool:
    """Tell whether a part is an application's (APP0 to APP15) or a comment."""
    return APP0 <= marker < APP0 + 16 or marker == COM


def _is_jfif(part: Part) -> bool:
    return part.marker == APP0 and len(part.data) >= _JFIF_SIZE and part.data.startswith(_JFIF)


def _is_adobe(part: Part) -> bool:
    return part.marker == APP14 and len(part.data) >= _ADOBE_SIZE and part.data.startswith(_ADOBE)


def _encode(part: Part) -> bytes:
    return bytes((0xFF, part.marker)) + (len(part.data) + 2).to_bytes(2) + part.data
