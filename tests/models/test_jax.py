"""The other backend: networks of this one say the same there, and what is ours holds there too."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

HERE = Path(__file__).parent
FOLDERS = (
    "networks", "optimization", "saliency", "segmentation", "training", "test_tta.py",
    "test_out_of_fold.py", "test_foreign.py",
)  # fmt: skip
here_alone = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="runs on TensorFlow, and starts JAX"
)


def run_on_jax(*words: str) -> None:
    """Run tests in a process where Keras is on JAX."""
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--durations=10", "-p", "no:cacheprovider", *words],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=3600,
    )
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@here_alone
@pytest.mark.parametrize("writer", ["tensorflow", pytest.param("jax", marks=pytest.mark.nightly)])
def test_what_one_backend_saves_the_other_reads_and_says_the_same(
    writer: str, train: Callable[..., list[int]], tmp_path: Path
) -> None:
    pytest.importorskip("jax")
    reader = {"tensorflow": "jax", "jax": "tensorflow"}[writer]
    order = {"module": "other_backend", "folder": str(tmp_path)}
    assert train([{**order, "write": True}], writer) == [0]
    assert train([{**order, "write": False}], reader) == [0]


@here_alone
def test_what_holds_on_both_backends_holds_on_jax() -> None:
    run_on_jax("-m", "backends and not nightly and not lock", str(HERE))


@here_alone
@pytest.mark.nightly
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_test_of_models_passes_on_jax(folder: str) -> None:
    run_on_jax("-m", "not nightly and not lock", str(HERE / folder))
