"""Shards as others write them: doctor, reader and trainer say the same of each, or read it."""

import gzip
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melnb.data.audit.doctor import check_records
from melnb.data.epochs.training_rows import read_mask_rows, read_rows
from melnb.data.pictures import encode_png
from melnb.data.shards.examples import write_shard
from melnb.data.shards.records import read_index
from melnb.data.sources.kaggle_records import read_kaggle_records


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
JPEG, WEBP = saved(PICTURE, "JPEG"), saved(PICTURE, "WEBP")
TURN = Image.Exif()
TURN[0x0112] = 6
DEEP = saved(Image.fromarray(np.full((8, 8), 4000, np.uint16)), "PNG")
MASK = np.uint8(np.eye(24) > 0)

Make = Callable[[Path], Path]
Outcome = Callable[[Any], None] | list[str]


def shard(name: str = "train00-2.tfrec", drop: tuple[str, ...] = (), **changes: Any) -> Make:
    """Write two records, the second changed."""

    def make(folder: Path) -> Path:
        rows = [
            {"image": JPEG, "image_name": b"i%d" % k, "patient_id": k, "target": k}
            for k in range(2)
        ]
        rows[1] |= changes
        rows[1] = {key: value for key, value in rows[1].items() if key not in drop}
        write_shard(folder / name, rows)
        return folder

    return make


def spoil(change: Callable[[bytes], bytes], name: str = "train00-2.tfrec") -> Make:
    def make(folder: Path) -> Path:
        path = shard(name)(folder) / name
        path.write_bytes(change(path.read_bytes()))
        return folder

    return make


def beside(name: str, data: bytes) -> Make:
    def make(folder: Path) -> Path:
        (shard()(folder) / name).write_bytes(data)
        return folder

    return make


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def packed(folder: Path) -> Path:
    path = shard()(folder) / "train00-2.tfrec"
    (folder / "train00-2.tfrec.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return folder


def doctor(folder: Path) -> pd.DataFrame:
    assert check_records(folder).empty
    return read_index(sorted(folder.glob("[!.]*.tfrec*")))


def trainer(folder: Path) -> pd.DataFrame:
    paths = sorted(folder.glob("[!.]*.tfrec*"))
    rows = read_rows(paths, n_classes=2, labelled=False)
    known = np.isfinite(rows.truth).all(axis=1)
    labels = np.where(known, rows.labels, -1)
    return pd.DataFrame({"image_id": rows.image_id, "target": labels})


def reader(folder: Path) -> pd.DataFrame:
    images = read_kaggle_records(folder)
    target = images["target"].map({"other": 0, "melanoma": 1}).fillna(-1)
    return images.assign(target=target)


def reads(*targets: int) -> Callable[[pd.DataFrame], None]:
    def check(found: pd.DataFrame) -> None:
        assert found["image_id"].tolist() == [f"i{k}" for k in range(len(targets))]
        assert found["target"].tolist() == list(targets)

    return check


CASES: dict[str, tuple[Make, Outcome]] = {
    "as they should be": (shard(), reads(0, 1)),
    "one-hot labels": (shard(target=[0, 1]), reads(0, 1)),
    "a whole number as a float": (shard(target=1.0), reads(0, 1)),
    "an empty list": (shard(target=[]), reads(0, -1)),
    "unknown": (shard(target=-1), reads(0, -1)),
    "PNG inside": (shard(image=saved(PICTURE, "PNG")), reads(0, 1)),
    "a grey JPEG inside": (shard(image=saved(PICTURE.convert("L"), "JPEG")), reads(0, 1)),
    "a number that is not a count": (shard("melanoma-2020.tfrec"), reads(0, 1)),
    "one of ten": (shard("train-00000-of-00010.tfrecord"), reads(0, 1)),
    "one of ten, its suffix first": (shard("train.tfrecord-00000-of-00010"), reads(0, 1)),
    "a Mac's companion": (beside("._train00-2.tfrec", b"\0\5\x16\7Mac OS X"), reads(0, 1)),
    "soft labels": (shard(target=[0.3, 0.7]), [r"record 1.*\[0\.3.*soft", "whole number"]),
    "a soft label": (shard(target=0.75), ["record 1.*target is 0.75", "whole number"]),
    "several labels": (shard(target=[1, 1]), [r"target is \[1, 1\].*not one-hot"]),
    "a label in words": (shard(target=b"malignant"), ["target is b'malignant'", "whole number"]),
    "a key label": (shard(drop=("target",), label=1), ["lacks key 'target', but has 'label'"]),
    "a key class": (shard(drop=("target",), **{"class": [0, 1]}), ["has 'class': write it as"]),
    "a key image/encoded": (
        shard(drop=("image",), **{"image/encoded": JPEG}), ["lacks key 'image'.*'image/encoded'"],
    ),
    "no picture": (shard(drop=("image",)), ["record 1.*lacks key 'image'"]),
    "an empty picture": (shard(image=b""), ["record 1.*lacks key 'image'"]),
    "raw bytes": (shard(image=PICTURE.tobytes()), [r"record 1.*1728 bytes \(raw pix", "JPEG"]),
    "WebP inside": (shard(image=WEBP), ["record 1.*image is WEBP, no JPEG or PNG"]),
    "TIFF inside": (shard(image=saved(PICTURE, "TIFF")), ["image is TIFF, no JPEG or PNG"]),
    "16 bits inside": (shard(image=DEEP), ["image is a PNG of 16 bits", "save it with 8"]),
    "a turned JPEG inside": (
        shard(image=saved(PICTURE, "JPEG", exif=TURN)), ["JPEG to be turned", "turn it"],
    ),
    "a mask of 0 and 1": (
        shard(mask=encode_png(Image.fromarray(MASK))), ["mask holds levels of 0 to 1", "0 and 255"],
    ),
    "a mask that is no PNG": (shard(mask=b"raw"), ["mask does not decode: no PNG"]),
    "0 bytes": (spoil(lambda data: b""), [r"train00-2\.tfrec: .*empty \(0 bytes\)"]),
    "cut short": (spoil(lambda data: data[:-9]), ["record 1.*truncated: the file ends 9 bytes"]),
    "a wrong checksum": (spoil(flip(-20)), ["record 1.*CRC error: damaged data"]),
    "a wrong length": (spoil(flip(0)), ["record 0.*CRC error: damaged header"]),
    "packed": (spoil(gzip.compress), ["record 0.*gzip file: unpack it first"]),
    "a web page": (spoil(lambda _: b"<!DOCTYPE html>" * 9), ["record 0.*damaged header"]),
}  # fmt: skip


@pytest.mark.parametrize("read", [doctor, reader, trainer], ids=lambda r: r.__name__)
@pytest.mark.parametrize("name", CASES)
def test_a_shard(try_odd_file: Any, tmp_path: Path, name: str, read: Callable[[Path], Any]) -> None:
    make, outcome = CASES[name]
    if read is not doctor or callable(outcome):
        try_odd_file(make, read, outcome)
        return
    findings = check_records(make(tmp_path)).astype(str)
    said = "\n".join(findings["file"] + ": record " + findings["record"] + ": " + findings["what"])
    for words in outcome:
        assert re.search(words, said), said


def test_a_wrong_count_in_a_name_that_tells_one(tmp_path: Path) -> None:
    (what,) = check_records(shard("train00-4.tfrec")(tmp_path))["what"]
    assert what == "2 records, but its name says 4"
    for read in (reader, trainer):
        with pytest.raises(ValueError, match=rf"train00-4\.tfrec: {what}"):
            read(tmp_path)


def test_shards_that_are_packed_are_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"1 packed ones, such as train00-2\.tfrec\.gz"):
        check_records(packed(tmp_path))


def test_masks_are_looked_at_where_they_are_learnt_from(tmp_path: Path) -> None:
    folder = shard(mask=encode_png(Image.fromarray(MASK)))(tmp_path)
    with pytest.raises(ValueError, match="mask holds levels of 0 to 1"):
        read_mask_rows(folder.glob("*.tfrec"), skip_maskless=True)
