"""The other backend: the same tests of networks, losses, schedules and optimizers, on JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")
MODULES = ("losses", "schedules", "optimizers", "classifier")


def test_the_same_tests_pass_on_jax() -> None:
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in MODULES]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider",
         "-k", "not another_process", *files],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
