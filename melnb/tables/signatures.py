"""File signatures: what a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import re

HEAD = 4096  # bytes that are enough to tell
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1\x15", "a Parquet file"),
    (b"ARROW1", "an Arrow (Feather) file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh91AY&SY", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF87a", "a GIF picture"),
    (b"GIF89a", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"{\\rtf", "an RTF document"),
)
_LFS = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html|head|body|!--|\?xml|script)", re.IGNORECASE)


def describe_file(head: bytes) -> str:
    """Name what a file is whose first bytes (`HEAD` or fewer) are these; empty if it may be text.

    Returns:
        `a web page (HTML)`, `a Git LFS pointer of a file of 1024 bytes`, `an Excel workbook` … with
        what to do, in words that go on after "this is".
    """
    bare = head.removeprefix(b"\xef\xbb\xbf")
    if bare.lstrip().startswith(_LFS):
        size = re.search(rb"^size (\d+)", bare, re.MULTILINE)
        of = f" of a file of {int(size[1]):,} bytes" if size else ""
        return f"a Git LFS pointer{of}, not the file itself: run git lfs pull there"
    if re.match(rb"(?:\.\./)*\.?/?(?:\.git/)?annex/objects/|/annex/objects/", bare):
        return "a git-annex pointer, not the file itself: run git annex get there"
    if _PAGE.match(bare):
        return "a web page (HTML), a login or error page perhaps: download the file itself again"
    if bare.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if b"xl/" in head or b"[Content_Types].xml" in head:
            return "an Excel workbook: save it from there as CSV UTF-8"
        return "a zip archive: unpack it first"
    for magic, words in _MAGIC:
        if bare.startswith(magic):
            remedy = (
                "unpack it first" if words.endswith("archive") else "give the file that is meant"
            )
            return f"{words}: {remedy}"
    return ""
