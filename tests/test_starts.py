"""What costs most is counted wherever it is started, and too much of it fails the tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import melnb_starts
import pytest

WARM = Path(melnb_starts.__file__).parent
NETWORKS = """
def Large(weights): return f"large, {weights}"
def small(): return "small"
"""
TEST = """
import os, subprocess, sys

def test_one():
    subprocess.run([sys.executable, "-m", "ipykernel_launcher"], check=True)

def test_other():
    import keras.applications as applications
    assert applications.Large(weights=None) == "large, None"
    assert applications.small() == "small"
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", "import keras.applications as a; a.Large(1); a.small()"],
            check=True,
        )
"""
CONFTEST = """
import melnb_starts

melnb_starts.count()

def pytest_configure(config):
    if melnb_starts.FILE not in os.environ:
        config.pluginmanager.register(melnb_starts.Judge(LIMITS))
"""


@pytest.mark.parametrize(("kernels", "networks", "processes"), [(1, 3, 0), (0, 2, 2)])
def test_too_many_starts_fail_the_session_and_are_told_by_test(
    tmp_path: Path, kernels: int, networks: int, processes: int
) -> None:
    (tmp_path / "keras" / "applications").mkdir(parents=True)
    (tmp_path / "keras" / "__init__.py").touch()
    (tmp_path / "keras" / "applications" / "__init__.py").write_text(NETWORKS)
    (tmp_path / "ipykernel_launcher.py").touch()
    (tmp_path / "test_it.py").write_text(TEST)
    limits = {melnb_starts.KERNEL: kernels, melnb_starts.NETWORK: networks}
    (tmp_path / "conftest.py").write_text(f"import os\nLIMITS = {limits}\n{CONFTEST}")
    environment = {k: v for k, v in os.environ.items() if k != melnb_starts.FILE}
    environment["PYTHONPATH"] = os.pathsep.join([str(WARM), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", str(processes)],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert f"cold kernels started: 1 ({kernels} agreed)\n" in done.stdout
    assert f"published networks started: 3 ({networks} agreed)\n" in done.stdout
    assert done.returncode == (0 if kernels else 1)
    assert ("too many" in done.stdout) == (not kernels)
    assert ("   1 test_it.py::test_one\n" in done.stdout) == (not kernels)
    assert ("   3 test_it.py::test_other\n" in done.stdout) == (not kernels)


def test_the_push_tier_is_judged() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    push = re.search(r"^test:.*\n\t.*-m \"(.*)\"", makefile, re.MULTILINE)
    assert push
    assert "not nightly" in push[1], "conftest.py knows it by these words"
