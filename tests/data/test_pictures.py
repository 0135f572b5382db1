"""Pictures: every kind of file to RGB, the three fits, what is refused."""

import io
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image, ImageOps

from melnb.data.pictures import (
    PictureError,
    decode_picture,
    encode_jpeg,
    encode_png,
    fit_picture,
    read_mask,
    read_picture,
)
from melnb.data.shards.examples import write_shard


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    """Red grows to the right, green downwards, blue is constant."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    pixels[..., 2] = 100
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_a_lossless_file_gives_its_pixels(tmp_path, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / "a").write_bytes(saved(gradient(), kind, **options))
    assert np.array_equal(array(read_picture(tmp_path / "a")), array(gradient()))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LAB", "RGBA", "LA", "PA"])
def test_every_mode_becomes_rgb_that_looks_the_same(mode):
    source = gradient().convert("L") if mode in ("L", "1", "LA") else gradient()
    image = source.convert("RGB").convert("RGBA").convert("P") if mode == "P" else None
    image = image or (source if mode != "LAB" else Image.new("LAB", (40, 30), (128, 128, 128)))
    image = image.convert(mode) if mode not in ("LAB", "PA") else image
    kind = {"LAB": "TIFF", "CMYK": "TIFF", "YCbCr": "JPEG"}.get(mode, "PNG")
    if mode == "PA":
        image = gradient().quantize()
        image.info["transparency"] = 255
    picture = decode_picture(saved(image, kind), "a").pixels
    assert picture.mode == "RGB"
    if mode in ("L", "RGBA", "LA"):
        assert np.abs(array(picture) - array(source.convert("RGB"))).max() <= 1


def test_a_cmyk_jpeg_is_not_inverted():
    white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert array(decode_picture(saved(white, "JPEG"), "a").pixels).min() > 250


def test_sixteen_bits_are_scaled_and_not_cut():
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    picture = decode_picture(saved(Image.fromarray(levels), "PNG"), "a").pixels
    assert np.abs(array(picture)[..., 0].ravel() - np.arange(256)).max() <= 1


def test_floating_point_pixels_are_refused():
    data = saved(Image.new("F", (8, 8), 0.5), "TIFF")
    with pytest.raises(PictureError, match=r"a\.tif: 32-bit floating point"):
        decode_picture(data, "a.tif")


def test_what_is_transparent_becomes_white():
    image = gradient().convert("RGBA")
    image.putalpha(
        Image.fromarray(
            np.where(np.arange(40) < 20, 0, 255)[None, :].repeat(30, 0).astype(np.uint8)
        )
    )
    pixels = array(decode_picture(saved(image, "PNG"), "a").pixels)
    assert pixels[:, :20].min() == 255
    assert np.array_equal(pixels[:, 20:], array(gradient())[:, 20:])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(gradient(), "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    picture = decode_picture(data, "a")
    assert np.array_equal(array(picture.pixels), array(upright))
    assert (picture.width, picture.height) == upright.size


def test_a_turned_jpeg_is_not_passed_on_as_it_is():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_picture(saved(gradient(), "JPEG", exif=exif), "a").jpeg == b""
    assert decode_picture(saved(gradient().convert("L"), "JPEG"), "a").jpeg == b""
    plain = saved(gradient(), "JPEG")
    assert decode_picture(plain, "a").jpeg == plain


def test_damaged_exif_does_not_lose_the_picture():
    data = saved(gradient(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert decode_picture(data, "a").pixels.size == (40, 30)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>404</html>", "not a picture"),
        (saved(gradient(200, 200), "JPEG")[:-900], "truncated"),
        (saved(gradient(200, 200), "PNG")[:-200], "a.jpg: "),
        (saved(gradient(), "JPEG")[:100], "a.jpg: "),
    ],
)
def test_what_is_no_whole_picture_is_refused_by_name(tmp_path, data, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(PictureError, match=r"a\.jpg: ") as caught:
        read_picture(path, 16)
    assert reason in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    with pytest.raises(PictureError, match=r"none\.jpg: no such file"):
        read_picture(tmp_path / "none.jpg")
    with pytest.raises(PictureError, match=re.escape(str(tmp_path))):
        read_picture(tmp_path)


def test_a_picture_in_hdf5_and_in_a_shard_equals_the_file(tmp_path):
    jpeg = saved(gradient(), "JPEG")
    (tmp_path / "a.jpg").write_bytes(jpeg)
    with h5py.File(tmp_path / "all.hdf5", "w") as file:
        file["ISIC_1"] = np.void(jpeg)
        file["ISIC_2"] = np.frombuffer(jpeg, np.uint8)
    write_shard(tmp_path / "a.tfrec", [{"image": b"other"}, {"image": jpeg}])
    plain = array(read_picture(tmp_path / "a.jpg"))
    for inner in ("all.hdf5::ISIC_1", "all.hdf5::ISIC_2", "a.tfrec::1"):
        assert np.array_equal(array(read_picture(f"{tmp_path}/{inner}")), plain)


@pytest.mark.parametrize("inner", ["all.hdf5::ISIC_9", "a.tfrec::5", "a.tfrec::x", "no.h5::a"])
def test_a_missing_key_or_record_is_refused_by_name(tmp_path, inner):
    h5py.File(tmp_path / "all.hdf5", "w").close()
    write_shard(tmp_path / "a.tfrec", [{"target": 1}])
    with pytest.raises(PictureError, match=inner.replace(".", r"\.")):
        read_picture(f"{tmp_path}/{inner}")


def test_crop_keeps_the_centre():
    square = array(fit_picture(gradient(), 30, "crop"))
    assert np.array_equal(square, array(gradient())[:, 5:35])


def test_squash_keeps_the_corners():
    square = array(fit_picture(gradient(400, 300), 64, "squash"))
    assert square[0, 0, :2].max() < 6
    assert square[-1, -1, :2].min() > 249


@pytest.mark.parametrize(("width", "height"), [(400, 300), (300, 400), (2, 4000)])
def test_pad_adds_black_bars_alone(width, height):
    square = array(fit_picture(gradient(width, height), 64, "pad"))
    inside = max(1, round(64 * min(width, height) / max(width, height)))
    bars = (square[..., 2] == 0).all(axis=0 if width < height else 1)
    assert bars.sum() == 64 - inside
    assert square.shape == (64, 64, 3)


def test_an_unknown_fit_is_refused():
    with pytest.raises(ValueError, match="'stretch': use crop, squash or pad"):
        fit_picture(gradient(), 8, "stretch")  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [16, 60, 150])
def test_a_jpeg_decoded_at_reduced_scale_is_as_good(fit, size):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    image = noise.resize((640, 480), Image.Resampling.BICUBIC)
    data = saved(image, "JPEG", quality=95)
    reduced = decode_picture(data, "a", size=size, fit=fit)
    full = decode_picture(data, "a")
    assert (reduced.width, reduced.height) == (640, 480)
    assert reduced.pixels.width < 640
    difference = array(fit_picture(reduced.pixels, size, fit)) - array(
        fit_picture(full.pixels, size, fit)
    )
    assert np.sqrt((difference**2).mean()) < 4  # of 255; JPEG at quality 95 costs 1 to 2


def test_a_picture_is_never_decoded_smaller_than_wanted():
    data = saved(gradient(400, 300), "JPEG")
    for size in (10, 37, 38, 75, 76, 150, 151, 300, 600):
        pixels = decode_picture(data, "a", size=size, fit="crop").pixels
        assert min(pixels.size) >= min(size, 300)
        padded = decode_picture(data, "a", size=size, fit="pad").pixels
        assert max(padded.size) >= min(size, 400)


def test_no_alias_when_made_small():
    # Stripes of one pixel are grey from afar; without a filter they would stay black or white.
    stripes = Image.fromarray(np.tile(np.uint8([0, 255]), (256, 128))).convert("RGB")
    assert np.abs(array(fit_picture(stripes, 32)) - 127.5).max() < 10


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_a_mask_lies_on_its_picture(tmp_path, fit):
    inside = np.zeros((300, 400), np.uint8)
    inside[100:220, 150:330] = 255
    Image.fromarray(inside).save(tmp_path / "mask.png")
    Image.fromarray(inside).convert("RGB").save(tmp_path / "picture.png")
    mask = array(read_mask(tmp_path / "mask.png", 64, fit, width=400, height=300))
    picture = array(read_picture(tmp_path / "picture.png", 64, fit))[..., 0]
    assert set(np.unique(mask)) == {0, 255}
    assert (mask != 255 * (picture > 127)).mean() < 0.02


def test_masks_of_zeros_and_ones_and_of_grey_edges(tmp_path):
    Image.fromarray(np.uint8([[0, 1], [1, 1]])).save(tmp_path / "ones.png")
    Image.fromarray(np.uint8([[0, 127], [128, 255]])).save(tmp_path / "grey.png")
    assert array(read_mask(tmp_path / "ones.png", 2)).tolist() == [[0, 255], [255, 255]]
    assert array(read_mask(tmp_path / "grey.png", 2)).tolist() == [[0, 0], [255, 255]]


def test_a_mask_of_the_pictures_own_size(tmp_path):
    Image.fromarray(np.uint8([[0, 255], [0, 0]])).save(tmp_path / "mask.png")
    found = array(read_mask(tmp_path / "mask.png", 0, width=6, height=6)) > 0
    assert found.sum() == 9
    assert found[:3, 3:].all()
    assert read_mask(tmp_path / "mask.png", 0, width=2, height=2).size == (2, 2)


def test_a_mask_of_other_proportions_is_refused(tmp_path):
    Image.new("L", (256, 256)).save(tmp_path / "mask.png")
    with pytest.raises(PictureError, match="256 x 256 pixels but its picture 640 x 480"):
        read_mask(tmp_path / "mask.png", 64, width=640, height=480)


def test_jpegs_keep_colour_and_pngs_keep_all():
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    image = Image.fromarray(stripes)
    back = array(Image.open(io.BytesIO(encode_jpeg(image, 95))))
    assert np.abs(back - stripes).mean() < 5  # 4:2:0 would mix red with blue: 60 and more
    assert np.array_equal(array(Image.open(io.BytesIO(encode_png(image)))), stripes)


@pytest.mark.data
@pytest.mark.skipif("MELNB_DATA" not in os.environ, reason="MELNB_DATA names no real data")
def test_a_real_picture_of_24_million_pixels_is_made_small():
    folder = Path(os.environ["MELNB_DATA"]) / "siim2020/jpeg_full"
    path = max(folder.glob("*.jpg"), key=lambda p: p.stat().st_size)
    reduced = array(read_picture(path, 256))
    full = array(fit_picture(Image.open(path).convert("RGB"), 256))
    assert np.sqrt(((reduced - full) ** 2).mean()) < 2  # of 255
