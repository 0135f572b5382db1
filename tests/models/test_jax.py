"""The other backend: a model of this one gives the same there, and what is ours holds there too."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from melnb.models.networks.classifier import make_classifier

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
FOLDERS = ("networks", "objectives", "optimization")
EVERY = (*FOLDERS, "saliency", "prediction", "segmentation", "training")
TESTS = (
    "published_values or weight_zero or founding_system or takes_effect or clipped"
    " or taken_up_again or gem or reads_back_to_the_bit and tiny or sigmoid_is"
)
SCRIPT = """
import sys

import keras
import numpy as np
import pytest

from melnb.models.networks.classifier import read_classifier

assert keras.backend.backend() == "jax"
seen = np.load(sys.argv[2])
p = keras.ops.convert_to_numpy(read_classifier(sys.argv[1])(seen["x"]))
assert abs(p - seen["p"]).max() < 1e-5
raise SystemExit(pytest.main(sys.argv[3:]))
"""


def test_models_losses_schedules_and_optimizers_hold_on_jax(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    model = make_classifier(classes=("a", "b", "c"), image_size=32, pooling="gem")
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
    np.savez(tmp_path / "seen.npz", x=x, p=keras.ops.convert_to_numpy(model(x)))
    files = [str(Path(__file__).with_name(name)) for name in FOLDERS]
    saved = [str(tmp_path / name) for name in ("model.keras", "seen.npz")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *saved, "-q", "-k", TESTS, "-p", "no:cacheprovider", *files],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.nightly
@pytest.mark.parametrize("folder", EVERY)
def test_every_test_of_models_passes_on_jax(folder: str) -> None:
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider",
         str(Path(__file__).with_name(folder))],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
