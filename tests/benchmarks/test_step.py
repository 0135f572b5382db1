"""What a step costs: training and prediction as melnb makes them, beside timm where it is there.

EfficientNet-B0 at 224 pixels, batches of 32, float32. Run with `-s` to read the table.
"""

import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

KINDS = (
    "deterministic train", "free train", "timm train",
    "deterministic predict", "free predict", "deterministic openvino", "timm predict",
)  # fmt: skip


def measure(kind: str) -> tuple[float, ...]:
    """Return images a second, of wall and of processor."""
    said = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("step.py")), kind, "6"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return tuple(float(number) for number in said.stdout.split()[-2:])


def test_a_step_beside_timm() -> None:
    kinds = [k for k in KINDS if not k.startswith("timm") or util.find_spec("timm")]
    # One after another, twice: what else the machine does meets them alike.
    rounds = [{kind: measure(kind) for kind in kinds} for _ in range(2)]
    print(f"\n{'':24}  images/s  per processor second")
    best = {kind: tuple(map(max, *(r[kind] for r in rounds))) for kind in kinds}
    for kind, (wall, own) in best.items():
        print(f"{kind:24}  {wall:8.1f}  {own:8.1f}")
    assert best["deterministic openvino"][1] > best["deterministic predict"][1]
