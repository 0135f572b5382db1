"""JPEGs without what tells of a person: the pixels stay, bit for bit, whoever decodes them."""

import base64
import io
import struct

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from melnb.data.jpeg import COM, EOI, is_application, read_parts, strip_jpeg
from melnb.data.pictures import PictureError, decode_picture, encode_jpeg, encode_png

OWNER = b"Erika Mustermann"
# 24 x 16 pixels by `cjpeg -arithmetic` and `cjpeg -rgb`, which Pillow cannot write.
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4"
    "UG1RV19iZ2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj"
    "Y2NjY2NjY2NjY2NjY2NjY2NjY2P/yQARCAAQABgDASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/AHSV"
    "RNl/jWpkRk0nuvjakGyr8/krukz9irzSLrEnf7GXdv8A3mamgJLXgP/Z"
)
RGB = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAQCwwODAoQDg0OEhEQExgoGhgWFhgxIyUdKDozPTw5Mzg3QEhcTkBEV0U3OFBt"
    "UVdfYmdoZz5NcXlwZHhcZWdj/8AAEQgAEAAYA1IRAEcRAEIRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkK"
    "C//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYn"
    "KCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqy"
    "s7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAAwDUgBHAEIAAD8A5LTe1c7/AGL/"
    "ALNef11mmdqP7F/2aK63Te1H9i/7NFeTab2r0T+xf9mius0ztR/Yv+zRXW6b2o/sX/Zor//Z"
)
NUMBERED = RGB.replace(
    b"\x52\x11\x00\x47\x11\x00\x42\x11\x00", b"\x01\x11\x00\x02\x11\x00\x03\x11\x00"
)
NUMBERED = NUMBERED.replace(b"\x03\x52\x00\x47\x00\x42\x00", b"\x03\x01\x00\x02\x00\x03\x00")


def photograph() -> Image.Image:
    """80 x 60 pixels that compress badly, so that 0xFF stands in the scan."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    noise[:30, :, 0] = 200
    return Image.fromarray(noise)


def saved(**options: object) -> bytes:
    buffer = io.BytesIO()
    photograph().save(buffer, "JPEG", **options)
    return buffer.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def behind_soi(data: bytes, *added: bytes) -> bytes:
    return data[:2] + b"".join(added) + data[2:]


def of_a_camera() -> bytes:
    """EXIF of an owner, a place, and a thumbnail that is itself a JPEG."""
    exif = Image.Exif()
    exif[0x013B], exif[0x9C9D], exif[0x0112] = OWNER.decode(), OWNER, 1
    exif.get_ifd(0x8825)[2] = (IFDRational(52), IFDRational(31), IFDRational(12))
    thumbnail = io.BytesIO()
    photograph().resize((16, 12)).save(thumbnail, "JPEG")
    inside = exif.tobytes() + OWNER + thumbnail.getvalue()  # SOI and EOI inside a segment
    return saved(exif=inside, comment=OWNER, quality=90)


def between_scans() -> bytes:
    """A progressive JPEG whose scans have comments between them."""
    data, marker = saved(progressive=True), b"\xff\xda"
    return data.replace(marker, segment(COM, OWNER) + segment(0xE1, OWNER) + marker)


def two_in_one() -> bytes:
    """What telephones write: a picture, and behind it a second of which a list (MPF) tells."""
    buffer, second = io.BytesIO(), photograph()
    second.info["comment"] = OWNER
    photograph().save(buffer, "MPO", save_all=True, append_images=[second])
    return buffer.getvalue()


def with_fill_bytes() -> bytes:
    """Any number of 0xFF may stand before a marker."""
    data = saved(comment=OWNER)
    return data.replace(b"\xff\xdb", b"\xff\xff\xff\xdb").replace(b"\xff\xda", b"\xff\xff\xda")


JFIF_THUMBNAIL = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\2\2" + OWNER[:12])
PROFILE = [segment(0xE2, b"ICC_PROFILE\0" + bytes((k, 2)) + OWNER * 3000) for k in (1, 2)]
ODD = {
    "of a camera": of_a_camera(),
    "progressive": saved(progressive=True, comment=OWNER),
    "between scans": between_scans(),
    "restart markers": saved(restart_marker_blocks=2, comment=OWNER),
    "halved colours": saved(subsampling="4:2:0", comment=OWNER),
    "fill bytes": with_fill_bytes(),
    "bytes between parts": behind_soi(saved(), segment(COM, OWNER) + OWNER),
    "a profile in parts": behind_soi(saved(), *PROFILE),
    "a JPEG behind its end": saved() + OWNER + of_a_camera(),
    "a list of pictures, the second behind the end": two_in_one(),
    "a thumbnail in JFIF": saved()[:2] + JFIF_THUMBNAIL + saved()[20:],
    "an extension of JFIF": behind_soi(saved(), segment(0xE0, b"JFXX\0\x10" + OWNER)),
    "XMP, IPTC, Ducky": behind_soi(
        saved(), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + OWNER),
        segment(0xED, b"Photoshop 3.0\0" + OWNER), segment(0xEC, b"Ducky" + OWNER),
    ),
    "arithmetic": behind_soi(ARITHMETIC, segment(COM, OWNER)),
    "RGB by Adobe and names": behind_soi(RGB, segment(COM, OWNER)),
    "RGB by Adobe alone": behind_soi(NUMBERED, segment(COM, OWNER)),
    "RGB by Adobe, whose part is long": NUMBERED.replace(
        RGB[2:18], segment(0xEE, RGB[6:18] + OWNER)
    ),
    "JFIF, which wins over Adobe": behind_soi(
        NUMBERED, segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"), segment(COM, OWNER)
    ),
    "a JFIF too short to count": behind_soi(
        NUMBERED, segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1"), segment(COM, OWNER)
    ),
    "12 parts of EXIF": behind_soi(saved(), *[segment(0xE1, b"Exif\0\0" + OWNER)] * 12),
}  # fmt: skip


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", ODD)
def test_the_pixels_stay_and_the_person_goes(name: str) -> None:
    data = ODD[name]
    stripped = strip_jpeg(data)
    assert OWNER[:12] in data
    assert OWNER[:12] not in stripped
    assert np.array_equal(pixels(stripped), pixels(data))
    with Image.open(io.BytesIO(stripped)) as image:
        assert not image.getexif()
        assert image.info.keys() <= {
            "jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe", "adobe_transform",
            "progressive", "progression",
        }  # fmt: skip
    assert strip_jpeg(stripped) == stripped
    scans = [part.data for part in read_parts(data) if part.marker == 0xDA]
    assert [part.data for part in read_parts(stripped) if part.marker == 0xDA] == scans
    assert all(scan in data for scan in scans)


def test_adobe_is_what_tells_rgb_from_its_kin() -> None:
    bare = NUMBERED.replace(RGB[2:18], b"")
    assert not np.array_equal(pixels(bare), pixels(NUMBERED))
    kept = [part.marker for part in read_parts(strip_jpeg(NUMBERED)) if is_application(part.marker)]
    assert kept == [0xEE]
    with_jfif = strip_jpeg(ODD["JFIF, which wins over Adobe"])
    assert [p.marker for p in read_parts(with_jfif) if is_application(p.marker)] == [0xE0]


def test_every_part_ends_with_the_end() -> None:
    assert [part.marker for part in read_parts(of_a_camera() + b"more")][-1] == EOI


@pytest.mark.parametrize("data", [b"", b"\x89PNG", saved()[:30], b"\xff\xd8\xff\xe1\0\1"])
def test_what_is_no_whole_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"no JPEG|runs past"):
        strip_jpeg(data)


def test_a_picture_is_passed_on_without_its_owner() -> None:
    picture = decode_picture(of_a_camera(), "a.jpg")
    assert picture.jpeg == strip_jpeg(of_a_camera())
    assert picture.pixels.info == {}


def test_twelve_bits_are_refused_by_name() -> None:
    data = saved()
    at = data.index(b"\xff\xc0") + 4
    with pytest.raises(PictureError, match=r"a\.jpg: "):
        decode_picture(data[:at] + b"\x0c" + data[at + 1 :], "a.jpg")


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_no_picture_that_is_encoded_anew_carries_its_owner(encode: object, kind: str) -> None:
    """Pillow writes an opened JPEG's comment, and a PNG its profile, without being asked."""
    exif = Image.Exif()
    exif[0x013B] = OWNER.decode()
    buffer = io.BytesIO()
    photograph().save(buffer, kind, exif=exif, icc_profile=OWNER * 9, comment=OWNER)
    with Image.open(buffer) as opened:
        opened.load()
        made = encode(opened.resize((20, 20)))  # type: ignore[operator]
    assert OWNER not in made
    assert b"iCCP" not in made


@pytest.mark.nightly
@pytest.mark.parametrize("name", ODD)
def test_training_decodes_the_same_pixels(name: str) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    decoded = [
        tensorflow.io.decode_jpeg(data, channels=3).numpy()
        for data in (ODD[name], strip_jpeg(ODD[name]))
    ]
    assert np.array_equal(*decoded)
