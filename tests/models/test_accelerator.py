"""The machine: what is chosen and why; eight devices of JAX, and JAX against TensorFlow."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from melnb.data.augmentation.augment import augment
from melnb.data.augmentation.draws import DRAWS
from melnb.models import accelerator
from melnb.models.accelerator import (
    Accelerator,
    choose_backend,
    choose_precision,
    has_tpu,
    make_gradient,
    scope_of,
    setup,
)


def test_the_user_chooses_the_backend_and_a_tpu_does_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accelerator, "_installed", lambda *modules: True)
    assert choose_backend({"TPU_NAME": "local"}) == "jax"
    assert choose_backend({"TPU_NAME": "local"}, "tensorflow") == "jax"
    assert choose_backend({"TPU_NAME": "local", "KERAS_BACKEND": "tensorflow"}) == "tensorflow"
    monkeypatch.setattr(accelerator, "_installed", lambda *modules: False)
    assert choose_backend({"TPU_NAME": "local"}) == "tensorflow"
    monkeypatch.setattr(accelerator, "has_tpu", lambda environment: False)
    assert choose_backend({}) == "tensorflow"
    assert choose_backend({}, "jax") == "jax"
    assert choose_backend({"KERAS_BACKEND": "jax"}) == "jax"
    with pytest.raises(ValueError, match="KERAS_BACKEND is 'torch'; use one of"):
        choose_backend({"KERAS_BACKEND": "torch"})


def test_a_tpu_shows_itself_by_a_variable_or_a_device_file(tmp_path: Path) -> None:
    assert not has_tpu({"TPU_NAME": ""}, tmp_path)
    assert has_tpu({"COLAB_TPU_ADDR": "10.0.0.2:8470"}, tmp_path)
    (tmp_path / "accel0").touch()
    assert has_tpu({}, tmp_path)


@pytest.mark.parametrize(
    ("device", "capability", "policy"),
    [
        ("cpu", 0.0, "float32"),
        ("gpu", 6.0, "float32"),  # P100: 16 bits are no faster
        ("gpu", 7.5, "mixed_float16"),  # T4
        ("gpu", 8.0, "mixed_bfloat16"),  # A100
        ("gpu", 9.0, "mixed_bfloat16"),
        ("gpu", 0.0, "float32"),
        ("tpu", 0.0, "mixed_bfloat16"),
    ],
)
def test_precision_is_what_the_device_gains_by(device: str, capability: float, policy: str) -> None:
    assert choose_precision(device, capability) == policy


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="precision is 'half'; use one of"):
        setup(precision="half")
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    monkeypatch.setenv("KERAS_BACKEND", other)
    with pytest.raises(RuntimeError, match=rf"set KERAS_BACKEND={other}"):
        setup()


def test_networks_that_are_traced_one_by_one_are_no_warning(caplog) -> None:
    logger = pytest.importorskip("tensorflow").get_logger()
    accelerator.setup(deterministic=False)  # or no later test may compile
    logger.warning("5 out of the last 10 calls to f triggered tf.function retracing.")
    logger.warning("something else")
    assert [record.getMessage() for record in caplog.records] == ["something else"]


def test_a_machine_says_what_it_is_in_one_line() -> None:
    machine = Accelerator("tpu", "TPU v3", "tensorflow", 8, "mixed_bfloat16", False)
    assert machine.global_batch(16) == 128
    line = str(machine)
    assert line.startswith("8 x TPU (TPU v3), Keras ")
    assert line.endswith("mixed_bfloat16, not deterministic")
    with machine.scope(), scope_of(object()):
        pass


def test_a_network_begins_with_the_same_weights_however_often_it_is_made() -> None:
    machine = Accelerator("cpu", "2 cores", "tensorflow", 1, "float32", True)

    def make(**given: int) -> np.ndarray:
        with machine.scope(**given):
            layer = keras.layers.Dense(3)
            layer.build((None, 4))
        return np.array(keras.ops.convert_to_numpy(layer.kernel))

    assert (make(seed=1) == make(seed=1)).all()
    assert (make(seed=1) != make(seed=2)).all()
    assert (make() != make()).all()


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory, train: Callable[..., list[int]]) -> Path:
    """Two epochs on JAX: on one device, on one with a kill between, and on eight."""
    folder = tmp_path_factory.mktemp("jax")
    views = ["none", "dihedral", "random"]
    orders = [
        {"folder": "one", "views": views},
        {"folder": "killed", "kill": "step", "epoch": 2},
        {"folder": "killed", "views": views},
        {"folder": "eight", "views": views, "devices": 8},
    ]
    orders = [{**order, "epochs": 2, "folder": str(folder / order["folder"])} for order in orders]
    assert train(orders, "jax") == [0, -signal.SIGKILL, 0, 0]
    return folder


@pytest.mark.nightly
def test_eight_devices_learn_and_predict_what_one_does(ends: Path) -> None:
    one, eight = (np.load(ends / name / "result.npz") for name in ("one", "eight"))
    line, replicas = json.loads((ends / "eight" / "machine.json").read_text())
    assert replicas == 8
    assert "on jax" in line
    for name in one.files:
        np.testing.assert_allclose(one[name], eight[name], atol=1e-4, err_msg=name)
    tables = [pd.read_csv(ends / name / "returned.csv") for name in ("one", "eight")]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)


@pytest.mark.nightly
def test_a_killed_run_goes_on_to_the_bit_on_jax_too(ends: Path) -> None:
    whole, killed = (np.load(ends / name / "result.npz") for name in ("one", "killed"))
    for name in whole.files:
        assert np.array_equal(whole[name], killed[name]), name


@pytest.mark.nightly
def test_both_backends_augment_alike(ends: Path) -> None:
    rng = np.random.default_rng(0)
    pixels, draws = rng.uniform(0, 255, (4, 20, 20, 3)), rng.random((4, DRAWS))
    here = augment(
        pixels.astype("float32"), draws.astype("float32"), rotation=180.0, zoom=0.1, shift=0.05,
        flips=True, contrast=0.1, shear=10.0, brightness=0.1, saturation=0.3, hue=0.1, cutout=0.2,
    )  # fmt: skip
    there = np.load(ends / "one" / "result.npz")["augmented"]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(here), there, atol=5e-3)


def test_a_gradient_is_of_the_weights_as_they_are_and_of_every_input() -> None:
    first, second, unused = (keras.Input((n,)) for n in (2, 3, 4))
    dense = keras.layers.Dense(2, use_bias=False)
    outputs = dense(keras.layers.Concatenate()([first, keras.ops.square(second)]))
    gradient = make_gradient(keras.Model([first, second, unused], outputs))
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(5, n)).astype("float32") for n in (2, 3, 4)]
    weights = rng.normal(size=(5, 2)).astype("float32")
    for _ in range(2):  # what was compiled the first time has not kept the weights
        kernel = rng.normal(size=(5, 2)).astype("float32")
        dense.set_weights([kernel])
        found, slopes = gradient(inputs, weights)
        whole = np.concatenate([inputs[0], inputs[1] ** 2], axis=1)
        np.testing.assert_allclose(np.asarray(found), whole @ kernel, rtol=1e-4, atol=1e-5)
        pulled = weights @ kernel.T
        np.testing.assert_allclose(np.asarray(slopes[0]), pulled[:, :2], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            np.asarray(slopes[1]), pulled[:, 2:] * 2 * inputs[1], rtol=1e-4, atol=1e-5
        )
        assert not np.asarray(slopes[2]).any()


def test_no_machine_is_sought_where_no_network_is_asked() -> None:
    code = (
        "import sys; from melnb.models import accelerator\n"
        "machine = accelerator.setup(wanted=False)\n"
        "with machine.scope(): print(machine, machine.global_batch(7))\n"
        "assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout == "no network 7\n"
