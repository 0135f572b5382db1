"""Pictures as cameras, microscopes and strangers write them, and folders of them."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from melnb.data.pictures import decode_picture, read_picture, read_size
from melnb.data.sources.any_csv import read_any_csv
from melnb.data.sources.class_folders import read_folders
from melnb.data.sources.ham10000 import read_ham10000
from melnb.data.sources.isic_challenges import read_isic2018

Make, Outcome = Callable[[Path], Any], Callable[[Any], None]


def photograph(width: int = 60, height: int = 40) -> Image.Image:
    """Red grows to the right, green downwards: no turn looks like another."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def file(name: str, data: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def turned(kind: str, orientation: int, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(photograph(), kind, exif=exif, **options)


def looks(wanted: Image.Image, within: float = 1) -> Outcome:
    def check(found: Image.Image) -> None:
        assert found.mode == "RGB"
        assert found.size == wanted.size
        difference = np.abs(np.asarray(found, float) - np.asarray(wanted.convert("RGB"), float))
        assert difference.max() <= within

    return check


def upright(data: bytes) -> Outcome:
    return looks(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))


def grey(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.asarray(levels, np.uint16))


def deep_png(levels: np.ndarray, kind: int) -> bytes:
    """Write a PNG of 16 bits a channel, which Pillow cannot: kind 2 is colour, 6 with opacity."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


def deep_tiff(levels: np.ndarray, photometric: int) -> bytes:
    """Write a TIFF of 16-bit grey; photometric 0: white is zero."""
    (height, width), data = levels.shape, levels.astype("<u2").tobytes()
    tags = (
        (256, 4, width), (257, 4, height), (258, 3, 16), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(data)),
    )  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


RAMP = np.linspace(0, 1, 60)[None].repeat(40, 0)
TWELVE, SIXTEEN, FOURTEEN = (np.rint(RAMP * top) for top in (4095, 65535, 9000))
SHADES = Image.fromarray(np.rint(RAMP * 255).astype(np.uint8))
COLOUR = np.asarray(photograph()).astype(float)
ALPHA = photograph().convert("RGBA")
ALPHA.putalpha(Image.fromarray(np.uint8(np.arange(60) < 30)[None].repeat(40, 0) * 255))
ON_WHITE = Image.alpha_composite(Image.new("RGBA", ALPHA.size, "white"), ALPHA)
LARGE, SMALL = photograph(), photograph(6, 4)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:9f86d081\nsize 48213\n"


def pages(*images: Image.Image, kind: str = "TIFF") -> bytes:
    return saved(images[0], kind, save_all=True, append_images=list(images[1:]))


GRAIN = np.random.default_rng(0).normal(0, 20, (200, 300, 3))
GRAINY = Image.fromarray(np.uint8(np.clip(np.asarray(photograph(300, 200)) + GRAIN, 0, 255)))
FINE = {"quality": 95, "subsampling": "4:4:4"}
WHOLE, SCANS = (saved(GRAINY, "JPEG", progressive=scans, **FINE) for scans in (False, True))
HALF = len(WHOLE) // 2
BESIDE = pages(GRAINY, SMALL, kind="MPO")
BLACK = Image.new("RGB", (600, 400), (3, 3, 3))


PICTURES: dict[str, tuple[bytes, Outcome | list[str]]] = {
    **{
        f"TIFF of orientation {n}, {c or 'raw'}": (
            turned("TIFF", n, compression=c), upright(turned("PNG", n)),
        )
        for n, c in [*((n, None) for n in (2, 3, 5, 6)), (6, "tiff_lzw"), (8, "tiff_deflate")]
    },
    "PNG of orientation 6": (turned("PNG", 6), upright(turned("PNG", 6))),
    "WebP of orientation 8": (
        turned("WEBP", 8, lossless=True), upright(turned("WEBP", 8, lossless=True)),
    ),
    "12 bits in a PNG of 16": (saved(grey(TWELVE), "PNG"), looks(SHADES)),
    "12 bits in a TIFF of 16": (saved(grey(TWELVE), "TIFF"), looks(SHADES)),
    "8 bits in a PNG of 16": (saved(grey(RAMP * 255), "PNG"), looks(SHADES)),
    "16 bits": (saved(grey(SIXTEEN), "PNG"), looks(SHADES)),
    "16 bits of which white is zero": (deep_tiff(65535 - SIXTEEN, 0), looks(SHADES)),
    "14 bits, or a dark picture of 16": (
        saved(grey(FOURTEEN), "PNG"), [r"a\.x: 16-bit levels whose highest is 9000", "with 8 bits"],
    ),
    "32-bit integers": (
        saved(Image.fromarray((RAMP * 1e6).astype(np.int32)), "TIFF"), [r"a\.x.*1000000.*8 bits"],
    ),
    "16 bits a channel": (deep_png(np.rint(COLOUR * 257), 2), looks(photograph())),
    "12 bits a channel of 16": (
        deep_png(np.rint(COLOUR * 4095 / 255), 2), [r"a\.x: colours of 16 bits.*black", "8 bits"],
    ),
    "a thumbnail as the first page": (pages(SMALL, LARGE), looks(LARGE)),
    "a pyramid": (pages(LARGE, photograph(30, 20), SMALL), looks(LARGE)),
    "two pages of one size": (
        pages(LARGE, LARGE.rotate(180)), [r"a\.x: a TIFF of 2 pages, 2 of them of one size.*save"],
    ),
    "an animated GIF": (pages(LARGE, LARGE.rotate(180), kind="GIF"), ["animation of 2 frames"]),
    "an animated WebP": (pages(LARGE, LARGE.rotate(180), kind="WEBP"), ["animation of 2 frames"]),
    "an animated PNG": (pages(LARGE, LARGE.rotate(180), kind="PNG"), ["animation of 2 frames"]),
    "a telephone's JPEG with a preview inside": (pages(LARGE, SMALL, kind="MPO"), looks(LARGE, 30)),
    "a GIF of one frame": (saved(SHADES, "GIF"), looks(SHADES)),
    "CMYK": (saved(photograph().convert("CMYK"), "TIFF"), looks(photograph(), 2)),
    "transparency": (saved(ALPHA, "PNG"), looks(ON_WHITE)),
    "JPEG 2000": (saved(photograph(), "JPEG2000"), looks(photograph())),
    "one bit": (
        saved(SHADES.point([0] * 128 + [255] * 128).convert("1"), "TIFF"),
        looks(SHADES.point([0] * 128 + [255] * 128)),
    ),
    "a Git LFS pointer": (LFS, [r"a\.x: not a picture.*Git LFS pointer.*48,213.*git lfs pull"]),
    "a web page": (b"\n<!DOCTYPE html><html>Log in</html>", [r"a\.x: not a picture.*web page"]),
    "a zip archive": (b"PK\x03\x04" + bytes(60), ["not a picture.*zip archive: unpack"]),
    "a DICOM file": (bytes(128) + b"DICM" + bytes(60), ["DICOM file: save its picture as PNG"]),
    "an iPhone's HEIC": (b"\0\0\0\x18ftypheic" + bytes(60), ["HEIC picture: save it as JPEG"]),
    "NumPy's array": (b"\x93NUMPY\x01\0" + bytes(60), ["not a picture.*NumPy array"]),
    "an empty file": (b"", [r"a\.x: empty \(0 bytes\)"]),
    "a JPEG cut short": (
        saved(photograph(300, 200), "JPEG")[:-400], [r"a\.x: .*truncated", "download it again"],
    ),
    "a JPEG that ends early": (WHOLE[:HALF] + WHOLE[-2:], [r"a\.x: .*truncated", "download it"]),
    "a JPEG that ends early, begun anew at each row": (
        saved(GRAINY, "JPEG", restart_marker_rows=1, **FINE)[:HALF] + WHOLE[-2:],
        [r"a\.x: .*truncated"],
    ),
    "a telephone's JPEG that ends early": (
        BESIDE[: BESIDE.index(WHOLE[-2:]) // 2] + BESIDE[BESIDE.index(WHOLE[-2:]) :],
        [r"a\.x: .*truncated"],
    ),
    "a JPEG filled with zeros": (
        WHOLE[:HALF] + bytes(len(WHOLE) - HALF), [r"a\.x: .*(truncated|cut off)", "download it"],
    ),
    "a JPEG filled with many zeros": (
        WHOLE[:HALF] + bytes(10**6), [r"a\.x: cut off: zeros stand in the place", "download it"],
    ),
    "a JPEG filled with many zeros, and ended": (
        WHOLE[:HALF] + bytes(10**6) + WHOLE[-2:], [r"a\.x: cut off: zeros stand in the place"],
    ),
    "a JPEG with zeros put in its midst": (
        WHOLE[:HALF] + bytes(10**6) + WHOLE[HALF:], [r"a\.x: cut off: zeros stand in the place"],
    ),
    "a JPEG part of which was erased": (
        WHOLE[:HALF] + b"\xff" * 999 + b"\x17" + WHOLE[HALF + 1000 :], [r"a\.x: .*truncated"],
    ),
    "a progressive JPEG without its last scans": (
        SCANS[: len(SCANS) // 2] + SCANS[-2:], [r"a\.x: cut off: its last scans are missing"],
    ),
    "a progressive JPEG": (SCANS, looks(GRAINY, 30)),
    "a JPEG whose zeros are a colour": (saved(BLACK, "JPEG", optimize=True), looks(BLACK)),
    "a progressive JPEG whose zeros are a colour": (
        saved(BLACK, "JPEG", progressive=True), looks(BLACK),
    ),
    "a JPEG with zeros before its end": (WHOLE[:-2] + bytes(999) + WHOLE[-2:], looks(GRAINY, 30)),
    "a JPEG with zeros in the place of its end": (WHOLE[:-2] + bytes(999), looks(GRAINY, 30)),
    "a PNG cut short": (
        saved(photograph(300, 200), "PNG")[:-400], [r"a\.x: .*truncated", "download it again"],
    ),
    "a WebP cut short": (saved(LARGE, "WEBP")[:90], [r"a\.x: ", "download it again"]),
    "a JPEG's beginning": (
        saved(LARGE, "JPEG")[:20], [r"a\.x: not a picture \(20 bytes\): copy or download it again"],
    ),
    "zeros": (bytes(5000), [r"a\.x: not a picture \(5000 bytes\): copy or download it again"]),
    "a Mac's companion": (b"\0\5\x16\7" + bytes(96), [r"not a picture .* or remove it"]),
    "a PDF document": (saved(LARGE, "PDF"), ["not a picture.*PDF document"]),
    "a drawing": (saved(LARGE, "EPS"), [r"a\.x: not a picture"]),
    "a CMYK JPEG": (saved(LARGE.convert("CMYK"), "JPEG", quality=100), looks(LARGE, 30)),
    "a grey JPEG": (saved(SHADES, "JPEG", quality=100), looks(SHADES, 3)),
    "a JPEG with more behind its end": (saved(LARGE, "JPEG") + bytes(99), looks(LARGE, 30)),
    "a PNG of one bit": (
        saved(SHADES.point([0] * 128 + [255] * 128).convert("1"), "PNG"),
        looks(SHADES.point([0] * 128 + [255] * 128)),
    ),
    "a palette": (saved(SHADES.convert("P"), "PNG"), looks(SHADES)),
    "a palette of which the darkest is transparent": (
        saved(SHADES.convert("P"), "PNG", transparency=0),
        looks(SHADES.point([255, *range(1, 256)])),
    ),
    "grey of which the darkest is transparent": (
        saved(SHADES, "PNG", transparency=0), looks(SHADES.point([255, *range(1, 256)])),
    ),
    "a WebP with transparency": (saved(ALPHA, "WEBP", lossless=True, exact=True), looks(ON_WHITE)),
    "BMP": (saved(LARGE, "BMP"), looks(LARGE)),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture(try_odd_file: Any, name: str) -> None:
    data, outcome = PICTURES[name]
    try_odd_file(file("a.x", data), lambda path: read_picture(str(path)), outcome)


@pytest.mark.parametrize("name", [n for n, (_, outcome) in PICTURES.items() if callable(outcome)])
def test_its_header_tells_the_size_that_is_decoded(tmp_path: Path, name: str) -> None:
    path = file("a.x", PICTURES[name][0])(tmp_path)
    decoded = decode_picture(path.read_bytes(), "a")
    assert read_size(path) == decoded.pixels.size == (decoded.width, decoded.height)


def lay(*paths: str, table: str = "", name: str = "table.csv") -> Make:
    """Lay files of one picture each, each of its own colour, and a table."""

    def make(folder: Path) -> Path:
        for number, path in enumerate(paths):
            at = folder / path
            at.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (number, 0, 0)).save(at, format="PNG")
        if table:
            (folder / name).write_text(table, encoding="utf-8")
        return folder

    return make


def held(**ids: str) -> Outcome:
    """Hold each id (`__` is a dash) against the end of its path."""

    def check(images: pd.DataFrame) -> None:
        found = dict(zip(images["image_id"], images["path"], strict=True))
        assert found.keys() == ids.keys()
        for name, end in ids.items():
            assert Path(found[name]).as_posix().endswith(end)

    return check


TABLE = "image_id,target\nim0,nevus\n"
HAM = "image_id,lesion_id,dx,age,sex,localization\nISIC_1,L,nv,50,male,back\n"
HOT = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_1,0,1,0,0,0,0,0\n"
PAIR = ("benign/im0.jpg", "malignant/im0.jpg")

FOLDERS: dict[str, tuple[Make, Callable[[Any], Any], Outcome | list[str]]] = {
    "two pictures of one name": (
        lay(*PAIR, table=TABLE),
        read_any_csv, [r"im0: .*benign/im0\.jpg and .*malignant/im0\.jpg", "column path"],
    ),
    "a folder of thumbnails": (
        lay("images/im0.jpg", "thumbs/im0.jpg", table=TABLE),
        read_any_csv, [r"images/im0\.jpg and .*thumbs/im0\.jpg"],
    ),
    "one name and two suffixes": (
        lay("im0.jpg", "im0.png", table=TABLE), read_any_csv, [r"im0\.jpg and .*im0\.png"],
    ),
    "the column path settles it": (
        lay(*PAIR, table="path,target\nmalignant/im0.jpg,nevus\n"),
        read_any_csv, held(im0="malignant/im0.jpg"),
    ),
    "a Mac's companions": (
        lay("a/im0.jpg", "a/._im0.jpg", "__MACOSX/a/im0.jpg", "@eaDir/im0.jpg", table=TABLE),
        read_any_csv, held(im0="a/im0.jpg"),
    ),
    "another case": (
        lay("Im0.JPG", table=TABLE),
        read_any_csv, [r"1 of the 1 images in table\.csv", r"1 of them lie there .*Im0\.JPG"],
    ),
    "a suffix that is not read": (
        lay("im0.dcm", table=TABLE), read_any_csv, [r"1 of them lie there .* such as .*im0\.dcm"],
    ),
    "another folder": (
        lay("photos/ISIC_1.jpg", table=HAM, name="HAM10000_metadata.csv"),
        read_ham10000, [r"such as .*photos/ISIC_1\.jpg", "in a folder HAM10000_images_part_1 or"],
    ),
    "a folder of 2018 of the wrong name": (
        lay(
            "train_images/ISIC_1.jpg", table=HOT, name="ISIC2018_Task3_Training_GroundTruth.csv"
        ),
        read_isic2018,
        [r"such as .*train_images/ISIC_1\.jpg", "in a folder ISIC2018_Task3_Training_Input"],
    ),
    "nothing there": (
        lay("im1.jpg", table=TABLE),
        read_any_csv, ["1 of the 1", "first is im0", "put the missing files there"],
    ),
    "class folders": (
        lay(*PAIR, "malignant/more/im1.jpg"), read_folders,
        held(benign_im0=PAIR[0], malignant_im0=PAIR[1], im1="malignant/more/im1.jpg"),
    ),
    "class folders within splits": (
        lay("train/benign/a.jpg", "test/malignant/b.webp", "__MACOSX/test/b.webp"), read_folders,
        held(a="train/benign/a.jpg", b="test/malignant/b.webp"),
    ),
    "a published id in two classes": (
        lay("nv/ISIC_0000001.jpg", "mel/ISIC_0000001.jpg"),
        read_folders, ["mel/ISIC_0000001.jpg", "nv/ISIC_0000001.jpg", "remove one"],
    ),
    "two of one name in a class": (
        lay("nv/p1/1.jpg", "nv/p2/1.jpg", "mel/2.jpg"),
        read_folders, [r"nv/p1/1\.jpg and .*nv/p2/1\.jpg", "rename"],
    ),
    "a contact sheet beside the classes": (
        lay("nv/1.jpg", "mel/2.jpg", "all.png"),
        read_folders, [r"all\.png lies in no class folder", "move"],
    ),
    "a class folder without pictures": (
        lambda f: lay("nv/1.jpg", "mel/2.jpg")(f) and not (f / "bcc").mkdir() and f,
        read_folders, [r"no picture in .*bcc", "complete the copy"],
    ),
    "no picture at all": (lambda f: f, read_folders, ["no picture in", "<class>/a.jpg"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_pictures(try_odd_file: Any, name: str) -> None:
    try_odd_file(*FOLDERS[name])
