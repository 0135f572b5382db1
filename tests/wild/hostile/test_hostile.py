"""Hostile files: none acts, each is named, and together they stay within memory and time."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from melnb.data.sources.any_csv import read_any_csv
from melnb.models.training.checkpoints import CheckpointError
from melnb.tables.schema import read_images, write_images

CORPUS = Path(__file__).parent / "corpus.py"


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("hostile_corpus", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pickles look for their class there
    spec.loader.exec_module(module)
    return module


corpus = load(CORPUS)


@pytest.mark.parametrize("name", [name for name in corpus.CASES if name not in corpus.ARRAYS])
def test_a_hostile_file_is_named_and_does_nothing(
    name: str, tmp_path: Path, try_odd_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try_odd_file(*corpus.CASES[name])
    assert not (tmp_path / "acted").exists()


@pytest.mark.parametrize("name", corpus.ARRAYS)
def test_a_hostile_checkpoint_is_named_and_does_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, read, words = corpus.ARRAYS[name]
    with pytest.raises(CheckpointError, match=words[0]):
        read(make(tmp_path))
    assert not (tmp_path / "acted").exists()


@pytest.mark.nightly
def test_all_together_stay_within_memory_and_time(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", CORPUS, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {name: said for name, said in told["said"].items() if said[:8] != "refused:"} == {}
    assert told["kilobytes"] < 700_000


@pytest.mark.nightly
@pytest.mark.parametrize(
    "made",
    ["RGBA:PNG", "I;16:PNG", "RGB:PNG", "LA:TIFF"],
)
def test_the_largest_picture_takes_less_than_a_gigabyte(made: str, tmp_path: Path) -> None:
    mode, kind = made.split(":")
    Image.new(mode, (8192, 8192)).save(tmp_path / "a.x", kind)
    code = (
        "import resource; from melnb.data.pictures import read_picture\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert read_picture('a.x').size == (8192, 8192)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert int(done.stdout) < 700_000


@pytest.mark.nightly
@pytest.mark.parametrize(
    "made", ["RGB:PNG", "RGB:JPEG", "RGBA:PNG", "L:PNG", "P:PNG", "1:TIFF", "I;16:PNG", "I:TIFF"]
)
def test_the_largest_mask_takes_less_than_a_gigabyte(made: str, tmp_path: Path) -> None:
    mode, kind = made.split(":")
    colours = {"RGB": ("black", "red"), "RGBA": ((0, 0, 0, 0), (0, 0, 255, 255))}
    low, high = colours.get(mode, (0, 1))
    mask = Image.new(mode, (8192, 8192), low)
    mask.paste(high, (2000, 1000, 7000, 6000))
    mask.save(tmp_path / "a.x", kind)
    code = (
        "import resource; import numpy as np; from melnb.data.pictures import read_mask\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "mask = np.asarray(read_mask('a.x', 0, width=8192, height=8192)) > 0\n"
        "assert abs(mask.sum() - 25_000_000) < 200_000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    wide = 200_000 if mode == "I" else 0  # whose file has 268 MB
    assert int(done.stdout) < 700_000 + wide


def test_ids_that_are_formulas_come_back_and_do_not_run(tmp_path: Path) -> None:
    ids = ["=cmd|' /C calc'!A0", "@SUM(1)", "+x", "-x", "-5", "<script>x</script>"]
    (tmp_path / "images.csv").write_text(
        corpus.HEAD + "".join(f'i{k},"{name}",,,,,,,,\n' for k, name in enumerate(ids))
    )
    found = read_images(tmp_path / "images.csv")
    assert found["patient_id"].tolist() == ids
    again = write_images(found, tmp_path / "again.csv")
    assert not re.search(r"(?m)[,\"][=@][A-Za-z]", again.read_text())
    pd.testing.assert_frame_equal(read_images(again), found)


def test_pictures_that_are_links_are_counted(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    Image.new("RGB", (4, 4)).save(outside / "private.png")
    Image.new("RGB", (4, 4)).save(inside / "i1.png")
    (inside / "i0.png").symlink_to(outside / "private.png")
    (inside / "t.csv").write_text("image_id,target\ni0,nevus\ni1,nevus\n")
    [note] = read_any_csv(inside / "t.csv").attrs["notes"]
    assert re.fullmatch(
        r"1 of 2 pictures are links, the first is .*i0\.png -> .*private\.png", note
    )
