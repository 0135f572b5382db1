"""A fit on two replicas of TensorFlow and one on none of them (`forks.py`)."""

import contextlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from melnb.models import accelerator
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.optimization.weight_averaging import averaged_weights


def fit(scope: contextlib.AbstractContextManager[Any]) -> list[np.ndarray]:
    """Return the averages of the weights, and the weights."""
    keras.utils.set_random_seed(7)
    with scope:
        layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((5,)), *layers])
        optimizer = make_optimizer(
            "adamw", 0.01, clip_norm=0.1, ema=0.8, rate_of=lambda path: 0.5, weight_decay=0.1
        )
        model.compile(optimizer, "mse", jit_compile=False)
    x = np.random.default_rng(3).normal(size=(48, 5)).astype("float32")
    rows = tf.data.Dataset.from_tensor_slices((x, 3 + x[:, :1])).batch(8, drop_remainder=True)
    model.fit(rows, shuffle=False, verbose=0)
    return [*averaged_weights(optimizer, model.weights), *map(np.array, model.get_weights())]


def run(order: dict[str, Any]) -> None:
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    machine = accelerator.setup(seed=1)
    assert machine.replicas == 2
    both = fit(machine.scope()), fit(contextlib.nullcontext())
    assert max(np.abs(a - b).max() for a, b in zip(*both, strict=True)) < 1e-6
    with pytest.raises(ValueError, match="cannot gather gradients on 2 replicas"), machine.scope():
        make_optimizer("adam", 0.01, accumulate=2)
