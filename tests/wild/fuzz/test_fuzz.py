"""Damaged at random: whatever bytes a reader is given, it reads them or says why not."""

import io
import json
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import melnb
from melnb import params
from melnb.data.audit.doctor import check_records
from melnb.data.features.files import read_features
from melnb.data.pictures import read_mask, read_picture, read_size
from melnb.data.shards.examples import read_examples, write_shard
from melnb.data.sources.any_csv import read_any_csv
from melnb.delimited import read_delimited
from melnb.evaluation.challenges.foreign import read_foreign
from melnb.patients.overlap import keys
from melnb.provenance import read_record
from melnb.tables import read_folds, read_images, read_predictions

HOUSE = Path(melnb.__file__).parent
WORDS = (
    b",", b";", b"\t", b"\n", b"\r\n", b'"', b"NA", b"-1", b"1e400", b"nan", b"0,5", b"\0",
    b"\xff\xfe", b"\xef\xbb\xbf", b"sep=;", b"{", b"}", b"[", b"null", b": ", b"\xc3", b"<html>",
)  # fmt: skip
Reader = Callable[[Path], Any]


def table(*rows: str) -> bytes:
    return "\n".join((*rows, "")).encode()


def drawn(kind: str, **options: Any) -> bytes:
    """Return a picture of 24 pixels, encoded."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def outlined() -> bytes:
    mask = np.zeros((24, 24), np.uint8)
    mask[6:18, 6:18] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def shard(folder: Path) -> bytes:
    image = drawn("JPEG")
    rows = [{"image": image, "image_name": b"i%d" % k, "target": k} for k in range(2)]
    path = folder / "train00-2.tfrec"
    write_shard(path, rows)
    return path.read_bytes()


IMAGES = pd.DataFrame({"image_id": [f"i{k}" for k in range(4)], "target": [*"abab"]})
LISTED = table(
    "image_id,patient_id,age,sex,diagnosis", *(f"i{k},p{k},4{k},male,nevus" for k in range(4))
)
OWN = table(
    "image_id,patient_id,lesion_id,path,diagnosis,target,sex,age,site,source",
    *(f"i{k},p{k},,i{k}.png,nevus,other,male,4{k},torso,csv" for k in range(4)),
)
FOLDS = table("image_id,fold", *(f"i{k},{k % 2}" for k in range(4)))
PREDICTED = table(
    "image_id,fold,truth,p_other,p_melanoma,run,views,kind",
    *(f"i{k},{k % 2},other,0.{k + 1},0.{9 - k - 1 + 1},r,none,probability" for k in range(4)),
)
THEIRS = table(
    "image_name,patient_id,target,fold,pred", *(f"i{k},p{k},{k % 2},{k},0.{k}" for k in range(4))
)
MEASURED = table("image_id,thickness,colour", *(f"i{k},{k}.5,red" for k in range(4)))
RECORD = json.dumps(
    {
        "stage": "03_train", "run": "r", "parameters": {"epochs": 3}, "results": {"auc": 0.8},
        "inputs": [{"path": "a.csv", "sha256": "0" * 64}], "files": [{"path": "b", "bytes": 7}],
        "started": "2026-11-30T01:02:03+00:00", "seconds": 1.5, "resumed": False, "commit": "",
        "versions": {"melnb": "0.1.0"}, "device": "cpu",
    },
).encode()  # fmt: skip
SETTINGS = b"dataset: demo\nepochs: 3\nfold: 0\nlearning_rate: 1e-3\nbackbone: tiny\n"


def any_csv(path: Path) -> Any:
    """Read a table of pictures, and ask of its ids who is the same."""
    return keys(read_any_csv(path, missing="keep")["image_id"])


# Reader: the file's name, its bytes as they should be, and how many are tried.
READERS: dict[str, tuple[str, bytes | Callable[[Path], bytes], Reader, int]] = {
    "any table": ("t.csv", LISTED, read_delimited, 28_000),
    "a table of pictures": ("t.csv", LISTED, any_csv, 6_000),
    "our images": ("images.csv", OWN, read_images, 8_000),
    "our folds": ("folds.csv", FOLDS, read_folds, 8_000),
    "our predictions": ("predictions.csv", PREDICTED, read_predictions, 8_000),
    "anyone's predictions": ("theirs.csv", THEIRS, read_foreign, 12_000),
    "features": ("f.csv", MEASURED, lambda path: read_features(path, IMAGES), 6_000),
    "a JPEG": ("a.jpg", drawn("JPEG"), read_picture, 4_000),
    "a PNG": ("a.png", drawn("PNG"), read_picture, 3_000),
    "a TIFF": ("a.tif", drawn("TIFF"), read_picture, 3_000),
    "a TIFF's size": ("a.tif", drawn("TIFF"), read_size, 1_000),
    "a WebP": ("a.webp", drawn("WEBP"), read_picture, 1_000),
    "a mask": ("m.png", outlined(), lambda path: read_mask(path, 24), 2_000),
    "a shard": ("train00-2.tfrec", shard, lambda path: [*read_examples(path)], 2_000),
    "the doctor": ("train00-2.tfrec", shard, lambda path: check_records(path.parent), 2_000),
    "a run's record": ("run.json", RECORD, lambda path: read_record(path.parent), 4_000),
    "parameters": (
        "p.yaml", SETTINGS, lambda path: params.read_parameters("03_train", [str(path)], []), 2_000,
    ),
}  # fmt: skip


def spoil(whole: bytes, draw: random.Random) -> bytes:
    """Return bytes changed in one to three places: flipped, cut, doubled, or with words put in."""
    data = bytearray(whole)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.randint(1, 12))
        match draw.randrange(6):
            case 0:
                data[at:end] = bytes(draw.randrange(256) for _ in range(end - at))
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                del data[at:]
            case 4:
                data[at:at] = draw.choice(WORDS)
            case _:
                data[at:end] = draw.choice(WORDS)
    return bytes(data)


def spoilt(whole: bytes, number: int, seed: int = 0) -> Iterator[bytes]:
    draw = random.Random(seed)
    return (spoil(whole, draw) for _ in range(number))


def outcome(read: Reader, path: Path) -> str:
    """Return what came of a file: `read`, `refused`, or what spoke that is not ours."""
    try:
        read(path)
    except (ValueError, OSError) as error:
        place = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        return "refused" if place.is_relative_to(HOUSE) else f"{place.name}: {error!r}"
    except Exception as error:
        return repr(error)
    return "read"


def try_all(name: str, share: float, folder: Path) -> Counter[str]:
    """Read spoilt files one after another, and count what came of them."""
    file, whole, read, number = READERS[name]
    path = folder / file
    made = whole if isinstance(whole, bytes) else whole(folder)
    found: Counter[str] = Counter()
    for data in spoilt(made, int(number * share)):
        path.write_bytes(data)
        said = outcome(read, path)
        found[said] += 1
        assert said in ("read", "refused"), f"{said}\n{data!r}"
    return found


@pytest.mark.parametrize("name", READERS)
def test_a_hundredth_of_the_spoilt_files_escapes_no_reader(name: str, tmp_path: Path) -> None:
    file, whole, read, _ = READERS[name]
    made = whole if isinstance(whole, bytes) else whole(tmp_path)
    (tmp_path / file).write_bytes(made)
    assert outcome(read, tmp_path / file) == "read"
    assert try_all(name, 0.01, tmp_path).keys() <= {"read", "refused"}


@pytest.mark.nightly
def test_a_hundred_thousand_spoilt_files_escape_no_reader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    total: Counter[str] = Counter()
    for name in READERS:
        folder = tmp_path / "".join(c for c in name if c.isalpha())
        folder.mkdir()
        found = try_all(name, 1, folder)
        total += found
        with capsys.disabled():
            print(f"{name:22} {dict(found)}")
    with capsys.disabled():
        print(f"{sum(total.values())} spoilt files: {dict(total)}")
    assert sum(total.values()) >= 100_000
