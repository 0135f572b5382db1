"""How fast are tables read, and does the file lie in memory? Run with `-s` to read the table."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from melnb.tables.schema import make_predictions, write_predictions

pytestmark = pytest.mark.benchmark

ROWS = 400_000
CLASSES = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")


def test_rows_a_second_and_memory(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    table = make_predictions(
        [f"ISIC_{k:07d}" for k in range(ROWS)],
        draw.integers(0, 5, ROWS),
        draw.choice(CLASSES, ROWS),
        draw.dirichlet(np.ones(7), ROWS),
        classes=CLASSES,
        run="b3",
    )
    file = write_predictions(table, tmp_path / "predictions.csv")
    script, size = Path(__file__).with_name("table_reading.py"), file.stat().st_size / 2**20
    print(f"\n| {ROWS:,} rows of 13 columns, {size:.0f} MiB | rows/s | MiB |\n|---|---|---|")
    most = {}
    for reader in ("delimited", "delimited, 2 columns", "predictions"):
        command = [sys.executable, str(script), reader, str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        seconds, most[reader] = map(float, done.stdout.split())
        print(f"| {reader} | {ROWS / seconds:,.0f} | {most[reader]:,.0f} |")
    assert most["delimited, 2 columns"] < size + 20  # columns not wanted take no memory
