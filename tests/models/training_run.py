"""Small training runs, each in a process of its own (`forks.py`).

An order names shards, the folder of the run, which techniques it uses, and where the process is to
kill itself, if anywhere.
"""

import dataclasses
import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from melnb.data.augmentation.augment import augment
from melnb.data.augmentation.draws import DRAWS
from melnb.data.epochs.sampling import Rows, Sampling, count_steps, read_rows
from melnb.models import accelerator, tta
from melnb.models.networks.classifier import make_classifier
from melnb.models.optimization.freezing import block_rates, blocks_of, find_backbone_of
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.optimization.schedules import make_schedule
from melnb.models.training import checkpoints, fitting, recipe
from melnb.models.training.losses import make_loss
from melnb.models.training.recipe import Recipe

SIDE, BATCH = 32, 16
STRENGTHS = {"rotation": 180.0, "zoom": 0.1, "shift": 0.05, "flips": True, "contrast": 0.1}
CYCLES = {"schedule": "cosine_restarts", "cycles": 2, "ramp_epochs": 0}
TECHNIQUES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "sizes": {"phases": {"sizes": [24], "size_epochs": [2], "scale_batch": True}},
    "freeze": {"phases": {"frozen_epochs": 2, "unfreeze_blocks": 2}},
    "rates": {"rates": 0.5},
    "ema": {"optimizer": {"ema": 0.9}},
    "accumulate": {"optimizer": {"accumulate": 4}},
    "swa": {"recipe": {"swa_start": 2, "keep": "swa"}},
    "snapshots": {"schedule": CYCLES, "recipe": {"snapshots": True, "keep": "snapshots"}},
    "plateau": {"schedule": {"schedule": "plateau", "plateau_patience": 1}},
    "mining": {"recipe": {"hard_share": 0.4}},
    "mixing": {"recipe": {"mixup": 0.4, "cutmix": 0.4}},
    "balanced": {"sampling": {"kind": "balanced"}},
    "arcface": {"network": {"head": "arcface"}},
    "metadata": {"network": {"metadata": 3, "fusion": "gated"}},
    "all_rows": {"held_out": False, "optimizer": {"ema": 0.9}, "recipe": {"keep": "last"}},
    # What two of a kind leave out of everything at once.
    "rest": {
        "schedule": {"schedule": "plateau", "plateau_patience": 1},
        "network": {"head": "arcface", "metadata": 3, "fusion": "gated"},
    },
    "everything": {
        "phases": {
            "sizes": [24], "size_epochs": [2], "scale_batch": True, "frozen_epochs": 2,
            "unfreeze_blocks": 3,
        },
        "rates": 0.5,
        "optimizer": {"ema": 0.9, "accumulate": 2, "clip_norm": 1.0},
        "schedule": CYCLES,
        "recipe": {
            "swa_start": 3, "snapshots": True, "keep": "swa", "hard_share": 0.6, "mixup": 0.3,
            "cutmix": 0.3,
        },
        "sampling": {"kind": "balanced"},
        "network": {"metadata": 3, "fusion": "concat", "dropout_samples": 2},
    },
}  # fmt: skip


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _KillAtStep(keras.callbacks.Callback):
    """Kill in the midst of an epoch: after its first step, for an epoch may have no more."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.wanted = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.epoch == self.wanted:
            kill()


def set_trap(where: str, epoch: int) -> list[keras.callbacks.Callback]:
    """Have this process killed at a step, while or after the state is written, or at the end."""
    savez, write_table = np.savez, checkpoints.write_table

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
        checkpoints.write_table = never_written
    if where == "end":
        fitting.update_batch_norm = lambda *given: kill()
    return [_KillAtStep(epoch)] if where == "step" else []


def make_plain() -> keras.Model:
    """A network without batch statistics or dropout: replicas have each their own of these."""
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, 2, "same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    head = keras.layers.Dense(2, activation="softmax", dtype="float32", name="probability")
    return keras.Model(image, head(x))


def make_devices(count: int) -> None:
    """Let this process see several virtual devices."""
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
    cpu = tf.config.list_physical_devices("CPU")[0]
    if keras.backend.backend() == "tensorflow":
        logical = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        tf.config.set_logical_device_configuration(cpu, logical)


def tell(rows: Rows, cells: int) -> Rows:
    """Return rows with metadata that says something of the truth."""
    told = np.random.default_rng(0).normal(rows.truth[:, [1]], 1.0, (len(rows), cells))
    return dataclasses.replace(rows, metadata=told.astype("float32"))


def fit(order: dict[str, Any]) -> tuple[fitting.Fitted, np.ndarray | None]:
    """Fit as an order says; return what came out, and the metadata of the held-out rows."""
    paths, epochs = order["shards"], order.get("epochs", 4)
    chosen = TECHNIQUES[order.get("with", "nothing")]
    network = {"dropout": 0.3, **chosen.get("network", {})}
    cells = network.get("metadata", 0)
    rows, held_out = (tell(read_rows(p, n_classes=2), cells) for p in (paths[1:], paths[:1]))
    remake = partial(make_classifier, classes=("other", "melanoma"), backbone="tiny", **network)
    model = make_plain() if order.get("plain") else remake(image_size=SIDE)
    blocks = 0 if order.get("plain") else len(blocks_of(find_backbone_of(model)))
    plan = recipe.plan_phases(
        epochs=epochs, image_size=SIDE, batch_size=BATCH, n_blocks=blocks,
        replicas=order.get("replicas", 1), **chosen.get("phases", {}),
    )  # fmt: skip
    sampling = Sampling(**chosen.get("sampling", {}))
    steps = [count_steps(rows, batch_size=p.batch_size, sampling=sampling) for p in plan]
    schedule = make_schedule(
        **{"schedule": "one_cycle", **chosen.get("schedule", {})}, steps_per_epoch=steps[-1],
        epochs=epochs, learning_rate=3e-3, phases=recipe.stretches(plan, steps),
    )  # fmt: skip
    rates = block_rates(model, chosen["rates"]) if "rates" in chosen else None
    fitted = fitting.fit_classifier(
        model, rows=rows, valid_paths=paths[: chosen.get("held_out", 1)], sampling=sampling,
        remake=remake,
        loss=make_loss("cross_entropy", n_classes=2, label_smoothing=0.05), schedule=schedule,
        recipe=Recipe(plan, augmentation=STRENGTHS, seed=3, **chosen.get("recipe", {})),
        optimizer=make_optimizer("adam", schedule, rate_of=rates, **chosen.get("optimizer", {})),
        metadata=held_out.metadata if cells else None, folder=order["folder"],
        callbacks=set_trap(order.get("kill", ""), order.get("epoch", 0)), verbose=0,
    )  # fmt: skip
    return fitted, held_out.metadata if cells else None


def run(order: dict[str, Any]) -> None:
    """Set up, fit, predict, and write what came out."""
    make_devices(order.get("devices", 1))
    machine = accelerator.setup(seed=5, precision=order.get("precision", "auto"))
    with machine.scope():
        fitted, metadata = fit(order)
    model, folder = fitted.model, Path(order["folder"])
    result = {
        f"weight{k:03d}": np.array(keras.ops.convert_to_numpy(w))
        for k, w in enumerate(model.weights)
    }
    for views in order.get("views", ["random"]):
        _, result[views] = tta.predict_images(
            model, order["shards"][:1], image_size=SIDE, batch_size=BATCH, views=views, n_views=3,
            seed=1, augmentation=STRENGTHS, metadata=metadata,
        )  # fmt: skip
    rng = np.random.default_rng(0)
    pixels, draws = rng.uniform(0, 255, (4, 20, 20, 3)), rng.random((4, DRAWS))
    every = {**STRENGTHS, "shear": 10.0, "brightness": 0.1, "saturation": 0.3, "hue": 0.1}
    seen = augment(pixels.astype("float32"), draws.astype("float32"), **every, cutout=0.2)
    result["augmented"] = keras.ops.convert_to_numpy(seen)
    fitted.history.drop(columns="seconds").to_csv(folder / "returned.csv", index=False)
    fitted.results.to_csv(folder / "results.csv", index=False)
    np.savez(folder / "result.npz", **result)
    (folder / "machine.json").write_text(json.dumps([str(machine), machine.replicas]))
