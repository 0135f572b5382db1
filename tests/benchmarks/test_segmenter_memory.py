"""Segmentation holds no more memory for 10,000 images than for 2,000. Run with `-s` to read it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark


def peak(folder: Path, n: int) -> float:
    """Return the most MiB that training, predicting and writing n masks has held."""
    folder.mkdir()
    script = Path(__file__).with_name("segmenter_memory.py")
    command = [sys.executable, str(script), str(folder), str(n)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    found = {n: peak(tmp_path / str(n), n) for n in (2_000, 10_000)}
    print("\n| images trained on, predicted and written | peak MiB |\n|---|---|")
    for n, most in found.items():
        print(f"| {n:,} | {most:,.0f} |")
    assert max(found.values()) < 4 * 1024
    assert found[10_000] < found[2_000] + 200  # ids and places of 8,000 more, no pixels
