"""The accelerator: CPU, GPU, TPU, replicas, Keras backend, mixed precision.

TensorFlow trains on CPUs and GPUs (JAX trains EfficientNet 20 times slower on a CPU). On a TPU it
is Keras on JAX, for today's TensorFlow builds carry no TPU runtime; where one answers it is used.
`setup` comes before anything that imports Keras, for Keras cannot change its backend afterwards;
so this module imports neither Keras nor TensorFlow until it is asked.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melnb.tables.processes import without

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported, or in vain

BACKENDS = ("tensorflow", "jax")
PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")
_TPU_VARIABLES = ("TPU_NAME", "COLAB_TPU_ADDR", "TPU_ACCELERATOR_TYPE", "TPU_WORKER_ID")


@dataclass(frozen=True)
class Accelerator:
    """What a model runs on.

    Attributes:
        device: `cpu`, `gpu` or `tpu`; `none`, where no network is asked.
        name: What it calls itself.
        backend: `tensorflow` or `jax`.
        replicas: Devices that share each batch.
        precision: Keras' dtype policy.
        deterministic: Whether the same run gives the same bits (on one machine).
        strategy: TensorFlow's way to share the batch; None where there is nothing to share.
    """

    device: str
    name: str
    backend: str
    replicas: int
    precision: str
    deterministic: bool
    strategy: Any = None

    def scope(self, *, seed: int | None = None) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which models and optimizers are made.

        Args:
            seed: Set every seed anew, so that the same network begins with the same weights however
                often it is made; None: leave them as they are.
        """
        if seed is not None:
            sys.modules["keras"].utils.set_random_seed(seed)
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def global_batch(self, per_replica: int) -> int:
        """Return the images in a batch over all replicas."""
        return per_replica * self.replicas

    def __str__(self) -> str:
        """Say in one line what was found."""
        if self.device == "none":
            return self.name
        count = f"{self.replicas} x " if self.replicas > 1 else ""
        keras, engine = sys.modules["keras"], sys.modules[self.backend]
        versions = f"Keras {keras.__version__} on {self.backend} {engine.__version__}"
        same = "deterministic" if self.deterministic else "not deterministic"
        return f"{count}{self.device.upper()} ({self.name}), {versions}, {self.precision}, {same}"


def setup(
    *, precision: str = "auto", deterministic: bool = True, seed: int = 0, wanted: bool = True
) -> Accelerator:
    """Find the machine, choose backend and precision, and set every seed.

    A backend that the user chose (`KERAS_BACKEND`) is kept. It may be called again in the same
    process; what was made deterministic stays so.

    Args:
        precision: `auto` takes mixed_bfloat16 on TPUs and on GPUs from Ampere on, mixed_float16 on
            Volta and Turing, else float32; or the name of a policy.
        deterministic: Whether the same run is to give the same bits. It costs nothing much on a
            CPU, and speed on a GPU.
        seed: Of Python, NumPy and the backend: of weights and dropout.
        wanted: False, where no network will be asked: nothing is looked for or imported.

    Raises:
        ValueError: The precision or the user's backend is unknown.
        RuntimeError: Keras is already imported with another backend than the machine needs.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; use one of {list(PRECISIONS)}")
    if not wanted:
        return Accelerator("none", "no network", "", 1, precision, deterministic)
    loaded = sys.modules["keras"].backend.backend() if "keras" in sys.modules else ""
    backend = choose_backend(os.environ, loaded)
    if loaded not in ("", backend):
        raise RuntimeError(
            f"Keras is wanted on {backend} here, but is already imported on {loaded}: restart, and "
            f"call accelerator.setup() before Keras is imported, or set KERAS_BACKEND={backend}"
        )
    os.environ["KERAS_BACKEND"] = backend
    find = _find_jax if backend == "jax" else _find_tensorflow
    device, name, replicas, capability, strategy = find(deterministic)
    import keras

    policy = choose_precision(device, capability) if precision == "auto" else precision
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(seed)
    if device == "cpu" and backend == "tensorflow":
        # On a GPU XLA fuses what Keras writes, and a frozen one has no deterministic gradient.
        importlib.import_module("melnb.models.keras_internals").fuse_batch_normalization()
    return Accelerator(device, name, backend, replicas, policy, deterministic, strategy)


def choose_backend(environment: Mapping[str, str], loaded: str = "") -> str:
    """Return the user's Keras backend; else jax for a TPU; else what is loaded, or tensorflow.

    Raises:
        ValueError: The user's backend is neither tensorflow nor jax.
    """
    chosen = environment.get("KERAS_BACKEND", "")
    if chosen and chosen not in BACKENDS:
        raise ValueError(f"KERAS_BACKEND is {chosen!r}; use one of {list(BACKENDS)}, or unset it")
    needed = "jax" if has_tpu(environment) and _installed("jax", "libtpu") else ""
    return chosen or needed or loaded or "tensorflow"


def choose_precision(device: str, capability: float) -> str:
    """Return the policy by which a device gains.

    Args:
        device: `cpu`, `gpu` or `tpu`.
        capability: CUDA compute capability of a GPU (7.0 Volta, 8.0 Ampere); 0 if unknown.
    """
    if device == "tpu" or (device == "gpu" and capability >= 8):
        return "mixed_bfloat16"
    return "mixed_float16" if device == "gpu" and capability >= 7 else "float32"


def has_tpu(environment: Mapping[str, str], devices: Path = Path("/dev")) -> bool:
    """Return whether a TPU announces itself, by a variable or as a device file."""
    return any(environment.get(v) for v in _TPU_VARIABLES) or any(devices.glob("accel[0-9]*"))


def scope_of(model: Any) -> contextlib.AbstractContextManager[Any]:
    """Return the context of the strategy under which a model was made."""
    strategy = getattr(model, "distribute_strategy", None)  # on TensorFlow alone
    return strategy.scope() if strategy is not None else contextlib.nullcontext()


def choose_jit() -> bool | str:
    """Return Keras' `jit_compile`: off on a CPU under TensorFlow, else Keras' own choice.

    TensorFlow's kernels take the steps of `small` at 64 pixels 1.3 times as fast there as XLA's
    (480 against 370 images/s on 2 cores), and start without compiling first.
    """
    if importlib.import_module("keras").backend.backend() != "tensorflow":
        return "auto"
    tensorflow = importlib.import_module("tensorflow")
    return "auto" if tensorflow.config.list_physical_devices("GPU") else False


def make_gradient(model: Any) -> Callable[[Sequence[Any], Any], tuple[Any, list[Any]]]:
    """Make what gives a model's outputs and their gradient by its inputs, on either backend.

    The model's weights are read at each call, so that they may change between calls.

    Args:
        model: From a list of float tensors to n x k outputs.

    Returns:
        A function of the inputs and n x k weights: the outputs (no training, so that dropout is
        off), and for each input the gradient of sum(weights x outputs); nothing is 0, not None.
        Calls with the same shapes are compiled once.
    """
    if importlib.import_module("keras").backend.backend() == "jax":
        return _make_jax_gradient(model)
    import tensorflow as tf

    def gradient(inputs: Any, weights: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            outputs = model(inputs, training=False)
        zero = tf.UnconnectedGradients.ZERO
        return outputs, tape.gradient(outputs, inputs, weights, unconnected_gradients=zero)

    compiled = tf.function(gradient)

    def call(inputs: Sequence[Any], weights: Any) -> tuple[Any, list[Any]]:
        tensors = [tf.convert_to_tensor(tensor, tf.float32) for tensor in inputs]
        outputs, gradients = compiled(tensors, tf.convert_to_tensor(weights, tf.float32))
        return outputs, gradients

    return call


def _make_jax_gradient(model: Any) -> Callable[[Sequence[Any], Any], tuple[Any, list[Any]]]:
    import jax
    import jax.numpy as jnp

    def gradient(trainable: Any, fixed: Any, inputs: Any, weights: Any) -> Any:
        outputs, pull_back = jax.vjp(
            lambda tensors: model.stateless_call(trainable, fixed, tensors, training=False)[0],
            inputs,
        )
        return outputs, pull_back(weights)[0]

    compiled = jax.jit(gradient)

    def call(inputs: Sequence[Any], weights: Any) -> tuple[Any, list[Any]]:
        tensors = [jnp.asarray(tensor, jnp.float32) for tensor in inputs]
        states = [
            [variable.value for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]
        outputs, gradients = compiled(*states, tensors, jnp.asarray(weights, jnp.float32))
        return outputs, gradients

    return call


def _find_jax(deterministic: bool) -> tuple[str, str, int, float, Any]:
    if deterministic and Path("/dev/nvidia0").exists():
        flags = os.environ.get("XLA_FLAGS", "")
        if "xla_gpu_deterministic_ops" not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    import jax
    import keras
    import tensorflow as tf

    for kind in ("GPU", "TPU"):  # TensorFlow reads the shards and shall take no memory there
        with contextlib.suppress(RuntimeError):  # already running: a second setup
            tf.config.set_visible_devices([], kind)
    devices = jax.devices()
    many = len(devices) > 1
    keras.distribution.set_distribution(keras.distribution.DataParallel() if many else None)
    first = devices[0]
    device = {"cuda": "gpu", "rocm": "gpu"}.get(first.platform, first.platform)
    capability = float(getattr(first, "compute_capability", 0) or 0)
    name = _cores() if device == "cpu" else str(first.device_kind)
    return device, name, len(devices), capability, None


def _find_tensorflow(deterministic: bool) -> tuple[str, str, int, float, Any]:
    # For converters of TensorFlow Lite, and for Keras' wrappers: each a fifth of all imports.
    with without("jax", "sklearn"):
        import tensorflow as tf

    tf.get_logger().addFilter(_is_news)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    if has_tpu(os.environ):
        strategy = _tpu_strategy()
        if strategy is not None:
            return "tpu", "TPU", strategy.num_replicas_in_sync, 0.0, strategy
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # already running: a second setup
            tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")
    strategy = tf.distribute.MirroredStrategy([d.name for d in devices]) if devices[1:] else None
    if not gpus:
        return "cpu", _cores(), len(devices), 0.0, strategy
    major, minor = details.get("compute_capability", (0, 0))
    name = details.get("device_name", "unknown")
    return "gpu", name, len(devices), float(f"{major}.{minor}"), strategy


def _is_news(record: logging.LogRecord) -> bool:
    """Drop the warning that functions are traced anew: several networks, each once, raise it."""
    return "triggered tf.function retracing" not in record.getMessage()


def _tpu_strategy() -> Any:
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        warnings.warn(
            f"a TPU is here, but TensorFlow cannot use it ({str(error)[:80]}): "
            "install jax[tpu] and set KERAS_BACKEND=jax; training without it",
            stacklevel=3,
        )
        return None


def _installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def _cores() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores"
