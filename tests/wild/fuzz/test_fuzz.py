"""Damaged at random: whatever bytes a reader is given, it reads them or says why not."""

import io
import json
import random
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import melnb
from melnb.data.audit.doctor import check_records
from melnb.data.datasets import read_dataset
from melnb.data.features.feature_files import read_features
from melnb.data.lesions.lesion_tables import read_lesions
from melnb.data.lesions.writing import Settings, read_found
from melnb.data.metadata import read_encoder
from melnb.data.pictures import read_mask, read_picture, read_size
from melnb.data.pseudo_labels import read_labels
from melnb.data.shards.examples import read_examples, write_shard
from melnb.data.sources.any_csv import read_any_csv
from melnb.evaluation.calibration.calibrators import read_calibrator
from melnb.evaluation.challenges.foreign import read_foreign
from melnb.evaluation.decisions.class_decision import read_class_decision
from melnb.evaluation.decisions.locked_threshold import read_threshold
from melnb.evaluation.ensembles.recipes import read_recipe
from melnb.models.networks.state_dicts import read_state_dict
from melnb.models.training import checkpoints
from melnb.params import catalogue
from melnb.running.stage import read_failure
from melnb.running.status import read_board, read_state
from melnb.running.status import table as board_lines
from melnb.running.up_to_date import code_of
from melnb.runs import raw_data
from melnb.tables.delimited import read_delimited
from melnb.tables.documents import OPENED_SHAPE, read_as, read_document, read_record
from melnb.tables.overlap import keys
from melnb.tables.schema import read_folds, read_images, read_predictions

HOUSE = Path(melnb.__file__).parent
WORDS = (
    b",", b";", b"\t", b"\n", b"\r\n", b'"', b"NA", b"-1", b"1e400", b"nan", b"0,5", b"\0",
    b"\xff\xfe", b"\xef\xbb\xbf", b"sep=;", b"{", b"}", b"[", b"null", b": ", b"\xc3", b"<html>",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 7, 10**400, 1.5, float("nan"), float("inf"), "", "a", "-1", "\0", "\ud800",
    "../x", "$HOME/~", [], {}, [None], [[1]], ["a"], {"a": 1}, {"": []},
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
STORED = np.arange(6, dtype="<f4").tobytes()
# A tensor as torch.save wrote it before 1.6: a number, a version, a system, names, keys, values.
OLD_STATE = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    b"\x80\x02}X\r\0\0\0little_endian\x88s."
    b"\x80\x02}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
    b"X\1\0\0\x000X\3\0\0\0cpuK\6NtQK\0K\2K\3\x86K\3K\1\x86\x89ccollections\nOrderedDict\n)RtRs."
    b"\x80\x02]X\1\0\0\x000a.\6\0\0\0\0\0\0\0"
) + STORED
SAFE_HEAD = b'{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
SAFE_STATE = len(SAFE_HEAD).to_bytes(8, "little") + SAFE_HEAD + STORED
SETTINGS = b"dataset: demo\nepochs: 3\nfold: 0\nlearning_rate: 1e-3\nbackbone: tiny\n"


CELLS = json.dumps(
    {
        "cells": [
            {"cell_type": "markdown", "source": ["# A\n", "b"], "metadata": {}},
            {"cell_type": "code", "source": "x = 1", "metadata": {"tags": ["parameters"]},
             "execution_count": 1, "outputs": []},
            {"cell_type": "code", "source": "y", "execution_count": 2, "outputs": [
                {"output_type": "error", "ename": "E", "evalue": "bad", "traceback": []}],
             "metadata": {"papermill": {"start_time": "2026"}}},
        ],
        "metadata": {}, "nbformat": 4,
    },
).encode()  # fmt: skip
CLAIM = b'{"parameters": {"epochs": 3}, "pid": 3, "host": "h", "opened": "2026-11-30"}'
JOB = b'{"state": "done", "note": "auc 0.8", "started": 1.5, "seconds": 2.5}'
DATASET = json.dumps(
    {
        "dataset": "d", "source": "csv", "task": "melanoma", "classes": ["other", "melanoma"],
        "n_folds": 2, "image_sizes": [64], "fit": "crop", "images": 4, "cleaning": "none",
        "shards": [{"path": "a.tfrec", "image_size": 64, "fold": 0, "images": 4, "crc": "0a"}],
    },
).encode()  # fmt: skip
ENCODED = json.dumps(
    {"columns": [{"name": "sex", "categories": ["male"]},
                 {"name": "age", "mean": 50.0, "deviation": 9.5}]},
).encode()  # fmt: skip
RECIPE = json.dumps(
    {
        "melnb": "blend", "method": "weighted", "members": {"a": 0.5, "b": 1.5}, "positive": "",
        "kinds": {"a": "probability", "b": "score"}, "classes": ["other", "melanoma"], "bias": {},
        "exponent": 2.0, "rank_within_fold": False,
    },
).encode()  # fmt: skip
CALIBRATOR = json.dumps(
    {
        "method": "platt", "classes": ["other", "melanoma"], "kind": "probability", "run": "r",
        "parameters": {"melanoma": {"slope": [1.0], "intercept": [0.0]}}, "smoothing": 0.0,
        "rows": 9,
    },
).encode()  # fmt: skip
POINT = json.dumps(
    {"melnb": "operating point", "threshold": 0.4, "positive": "melanoma", "prevalence": 0.1}
).encode()
DECISION = json.dumps(
    {
        "decide": "cost", "classes": ["other", "melanoma"], "tau": 1.0, "rows": 9, "run": "r",
        "weights": {"other": 0.5, "melanoma": 2.0}, "note": "",
        "parts": {"0": {"other": 0.5, "melanoma": 2.0}}, "costs": {"melanoma": {"other": 9.0}},
    },
).encode()  # fmt: skip
CUTTING = json.dumps(
    {
        "output": "crop", "sigma": 2.0, "threshold": 0.5, "smoothing": 1.0, "fit": "crop",
        "resampling": "threshold", "least_share": 0.005, "most_disagreement": 0.5, "margin": 0.1,
        "square": False, "quality": 95,
    },
).encode()  # fmt: skip
LESIONS = table(
    "image_id,left,top,right,bottom,width,height,area_share,verdict,reason,mask_path,path",
    *(f"i{k},1,2,8,9,20,20,0.2,ok,,masks/i{k}.png,pictures/i{k}.jpg" for k in range(4)),
)
TAUGHT = table(
    "image_id,teacher_fold,p_other,p_melanoma,score,kept",
    *(f"i{k},{k % 2},0.25,0.75,0.75,True" for k in range(4)),
)


def raw_list(folder: Path) -> bytes:
    """Return the list of two raw files, as a run writes it."""
    files = {"t.csv": raw_data.File(9, 7, "0a"), "deep/b.jpg": raw_data.File(3, 7)}
    return raw_data.write_files({"raw": files}, folder / raw_data.FILE).read_bytes()


def read_raw_list(path: Path) -> Any:
    files = {"t.csv": raw_data.File(9, 7, "0a"), "deep/b.jpg": raw_data.File(3, 7)}
    return raw_data.read_files(path, "raw", raw_data.digest(files))


def checkpoint(folder: Path) -> bytes:
    checkpoints.write_weights(folder, "best", 1, {"w": np.ones(3)})
    state = checkpoints.State(epoch=1, best_epoch=1, best=0.5, rows=[{"epoch": 1.0}])
    return checkpoints.write_state(folder, state, {"seed": 0}, {"w": np.ones(3)}).read_bytes()


def read_checkpoint(path: Path) -> Any:
    """Read a checkpoint; that it is refused is its own kind of error."""
    try:
        return checkpoints.read_state(path.parent, {"seed": 0})
    except checkpoints.CheckpointError:
        return None


def outlined_and_told(folder: Path) -> bytes:
    found = {"width": 24, "height": 24, "area_share": 0.25, "box": [6, 6, 18, 18],
             "verdict": "ok", "reason": "", "numbers": {"disagreement": None}}  # fmt: skip
    text = PngInfo()
    text.add_text("melnb", json.dumps(found))
    (folder / "masks").mkdir(exist_ok=True)
    buffer = io.BytesIO()
    Image.open(io.BytesIO(outlined())).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def beside_another(folder: Path) -> bytes:
    """Return a run's record, where another run has read that run."""
    other = json.loads(RECORD) | {"stage": "06_report", "run": "x"}
    other["inputs"] = [{"path": str(folder / "03_train/r"), "sha256": "run:0"}]
    for name in ("03_train/r", "06_report/x"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "06_report/x/run.json").write_text(json.dumps(other))
    return RECORD


def show_board(path: Path) -> Any:
    """Show all runs, in words that can be printed, whatever one of the records holds."""
    rows = read_board(path.parents[2])
    assert [row.job for row in rows] == ["03_train/r", "06_report/x"]
    assert rows[1].state == "changed"
    return "\n".join(board_lines(rows)).encode()


def any_csv(path: Path) -> Any:
    """Read a table of pictures, and ask of its ids who is the same."""
    return keys(read_any_csv(path, missing="keep")["image_id"])


def archived_state(folder: Path) -> bytes:
    """Return the same as torch.save has written it since."""
    words = OLD_STATE.split(b"\x88s.")[1].split(b"\x80\x02]")[0].replace(b"K\6NtQ", b"K\6tQ")
    with zipfile.ZipFile(folder / "net.pth", "w") as parts:
        parts.writestr("net/data.pkl", words)
        parts.writestr("net/data/0", STORED)
    return (folder / "net.pth").read_bytes()


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
    "a board of runs": ("03_train/r/run.json", beside_another, show_board, 2_000),
    "a claim": (
        "parameters.json", CLAIM, lambda path: read_document(path, OPENED_SHAPE, "again"), 1_000,
    ),
    "a job's state": ("s.json", JOB, lambda path: read_state(path, "a"), 1_000),
    "a notebook": ("n.ipynb", CELLS, code_of, 2_000),
    "a failed notebook": ("n.ipynb", CELLS, read_failure, 2_000),
    "a list of raw files": (raw_data.FILE, raw_list, read_raw_list, 1_000),
    "a dataset": ("dataset.json", DATASET, read_dataset, 3_000),
    "an encoder": ("metadata.json", ENCODED, read_encoder, 1_000),
    "a recipe": ("recipe.json", RECIPE, read_recipe, 2_000),
    "a calibrator": ("calibrator.json", CALIBRATOR, read_calibrator, 2_000),
    "an operating point": ("operating_point.json", POINT, read_threshold, 2_000),
    "a class decision": ("class_decision.json", DECISION, read_class_decision, 2_000),
    "settings of masks": (
        "settings.json", CUTTING, lambda path: read_as(path, Settings, "run it again"), 1_000,
    ),
    "lesions": ("lesions.csv", LESIONS, lambda path: read_lesions(path.parent), 4_000),
    "pseudo-labels": ("pseudo.csv", TAUGHT, read_labels, 4_000),
    "a mask's text": (
        "masks/a.png", outlined_and_told, lambda path: read_found(path.parents[1], "a"), 1_000,
    ),
    "weights of PyTorch": ("a.pth", OLD_STATE, read_state_dict, 4_000),
    "weights in an archive": ("a.pth", archived_state, read_state_dict, 4_000),
    "safetensors": ("a.safetensors", SAFE_STATE, read_state_dict, 4_000),
    "a checkpoint": ("state.npz", checkpoint, read_checkpoint, 1_000),
    "parameters": (
        "p.yaml", SETTINGS, lambda path: catalogue.read_parameters("03_train", [str(path)], []),
        2_000,
    ),
}  # fmt: skip


def spoil_values(whole: bytes, draw: random.Random) -> bytes:
    """Return JSON of which one to three values are gone, others, or under another name."""
    read = json.loads(whole)
    for _ in range(draw.randint(1, 3)):
        place: Any = read
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw.choice(keys)
            inner = place[key]
            if isinstance(inner, dict | list) and inner and draw.random() < 0.7:
                place = inner
                continue
            kept = place.pop(key)
            match draw.randrange(4):
                case 0 if isinstance(place, dict):
                    place[f"{key}_"] = kept
                case 1 | 2 if isinstance(place, dict):
                    place[key] = draw.choice(VALUES)
                case 1 | 2:
                    place.insert(key, draw.choice(VALUES))
            break
    return json.dumps(read).encode()


def spoil(whole: bytes, draw: random.Random) -> bytes:
    """Return bytes changed in one to three places: flipped, cut, doubled, or with words put in."""
    if whole[:1] == b"{" and draw.random() < 0.5:
        return spoil_values(whole, draw)
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
def test_130_000_spoilt_files_escape_no_reader(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    total: Counter[str] = Counter()
    for name in READERS:
        folder = tmp_path / "".join(c for c in name if c.isalpha())
        folder.mkdir()
        found = try_all(name, 1, folder)
        total += found
        print(f"{name:22} {dict(found)}")
    for outcome_of, number in total.items():
        record_property(f"spoilt files {outcome_of}", number)
    assert sum(total.values()) >= 130_000
