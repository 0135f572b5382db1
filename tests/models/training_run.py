"""Small training runs, each in a process of its own: `python training_run.py <json of orders>`.

An order names shards, the folder of the run, and where the process is to kill itself, if anywhere.
TensorFlow takes ten seconds to import, so it is imported once, and every run is a fork of this
process, which itself computes nothing.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from melnb.data.augmentation.augment import augment
from melnb.data.augmentation.draws import DRAWS
from melnb.data.batches import count_steps
from melnb.models import accelerator
from melnb.models.networks.classifier import make_classifier
from melnb.models.objectives.losses import make_loss
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.optimization.schedules import make_schedule
from melnb.models.prediction import predicting
from melnb.models.training import checkpoints, fitting

SIDE, BATCH = 32, 16
STRENGTHS = {"rotation": 180.0, "zoom": 0.1, "shift": 0.05, "flips": True, "contrast": 0.1}


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _KillAtStep(keras.callbacks.Callback):
    """Kill in the midst of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.wanted = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.epoch == self.wanted and batch == 2:
            kill()


def set_trap(where: str, epoch: int) -> list[keras.callbacks.Callback]:
    """Have this process killed at a step, in the midst of writing the state, or right after it."""
    savez, write_table = np.savez, fitting.write_table

    def half_written(file: Any, **arrays: Any) -> None:
        note = str(arrays["note"])
        if note and json.loads(note)["state"]["epoch"] == epoch:
            file.write(b"PK half a file")
            file.flush()
            kill()
        savez(file, **arrays)

    def never_written(table: Any, path: Path) -> Path:
        return kill() or path if len(table) == epoch else write_table(table, path)

    if where == "write":
        checkpoints.np.savez = half_written
    if where == "between":
        fitting.write_table = never_written
    return [_KillAtStep(epoch)] if where == "step" else []


def make_plain() -> keras.Model:
    """A network without batch statistics or dropout: replicas have each their own of these."""
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, 2, "same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(2, activation="softmax", dtype="float32")(x))


def make_devices(count: int) -> None:
    """Let this process see several virtual devices."""
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
    cpu = tf.config.list_physical_devices("CPU")[0]
    if keras.backend.backend() == "tensorflow":
        logical = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        tf.config.set_logical_device_configuration(cpu, logical)


def run(order: dict[str, Any]) -> None:
    """Set up, fit, predict, and write what came out."""
    make_devices(order.get("devices", 1))
    machine = accelerator.setup(seed=5, precision=order.get("precision", "auto"))
    paths, epochs = order["shards"], order.get("epochs", 4)
    steps = count_steps(paths[1:], batch_size=BATCH)
    schedule = make_schedule("one_cycle", steps_per_epoch=steps, epochs=epochs, learning_rate=3e-3)
    with machine.scope():
        model = (
            make_plain()
            if order.get("plain")
            else make_classifier(
                classes=("other", "melanoma"), image_size=SIDE, backbone="tiny", dropout=0.3
            )
        )
        optimizer = make_optimizer("adam", schedule)
    folder = Path(order["folder"])
    history = fitting.fit_classifier(
        model, train_paths=paths[1:], valid_paths=paths[:1], image_size=SIDE, n_classes=2,
        batch_size=BATCH, epochs=epochs, seed=3, folder=folder, augmentation=STRENGTHS,
        loss=make_loss("cross_entropy", n_classes=2, label_smoothing=0.05), optimizer=optimizer,
        callbacks=set_trap(order.get("kill", ""), order.get("epoch", 0)), verbose=0,
    )  # fmt: skip
    result = {f"weight{k:03d}": checkpoints.to_array(w) for k, w in enumerate(model.weights)}
    for views in order.get("views", ["random"]):
        _, result[views] = predicting.predict_images(
            model, paths[:1], image_size=SIDE, batch_size=BATCH, views=views, n_views=3, seed=1,
            augmentation=STRENGTHS,
        )  # fmt: skip
    rng = np.random.default_rng(0)
    pixels, draws = rng.uniform(0, 255, (4, 20, 20, 3)), rng.random((4, DRAWS))
    every = {**STRENGTHS, "shear": 10.0, "brightness": 0.1, "saturation": 0.3, "hue": 0.1}
    seen = augment(pixels.astype("float32"), draws.astype("float32"), **every, cutout=0.2)
    result["augmented"] = keras.ops.convert_to_numpy(seen)
    history.drop(columns="seconds").to_csv(folder / "returned.csv", index=False)
    np.savez(folder / "result.npz", **result)
    (folder / "machine.json").write_text(json.dumps([str(machine), machine.replicas]))


def fork(order: dict[str, Any]) -> int:
    """Run an order in a child; return its exit status, or minus the signal that killed it."""
    child = os.fork()
    if not child:
        try:
            run(order)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    print(*[fork(order) for order in json.loads(sys.argv[1])])
