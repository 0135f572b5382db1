"""Small runs of a segmenter, ordered and killed as those of `training_run`."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import training_run  # which lies beside `forks.py`, whose children we run in

from melnb.data.epochs.sampling import count_steps
from melnb.data.epochs.training_rows import read_mask_rows
from melnb.models import accelerator
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.optimization.schedules import make_schedule
from melnb.models.segmentation.mask_fitting import MaskRecipe, fit_segmenter
from melnb.models.segmentation.mask_losses import make_mask_loss
from melnb.models.segmentation.unet import make_segmenter
from melnb.models.training.recipe import plan_phases, stretches

SIDE, BATCH, EPOCHS = 32, 4, 4
STRENGTHS = {"rotation": 90.0, "zoom": 0.1, "flips": True, "transpose": True, "contrast": 0.1}
PHASES = {
    "sizes": [16], "size_epochs": [2], "scale_batch": True, "frozen_epochs": 1, "n_blocks": 3,
}  # fmt: skip
MORE = {"swa_start": 3, "snapshots": True, "hard_share": 0.7, "keep": "swa"}


def run(order: dict[str, Any]) -> None:
    """Set up, fit as the order says, and write what came out."""
    accelerator.setup(seed=5)
    paths, everything = order["shards"], order.get("everything", False)
    rows = read_mask_rows(paths[1:])
    plan = plan_phases(
        epochs=EPOCHS, image_size=SIDE, batch_size=BATCH, **(PHASES if everything else {})
    )
    steps = [count_steps(rows, batch_size=phase.batch_size) for phase in plan]
    schedule = make_schedule(
        "cosine_restarts" if everything else "plateau", cycles=2, ramp_epochs=0,
        plateau_patience=1, steps_per_epoch=steps[-1], epochs=EPOCHS, learning_rate=5e-3,
        phases=stretches(plan, steps),
    )  # fmt: skip
    fitted = fit_segmenter(
        make_segmenter("unet-tiny", filters=4, convolutions=1, dropout=0.1, finest=4), rows=rows,
        valid_paths=paths[:1], loss=make_mask_loss("bce_dice"), schedule=schedule,
        recipe=MaskRecipe(plan, augmentation=STRENGTHS, seed=3, **(MORE if everything else {})),
        optimizer=make_optimizer("adam", schedule, ema=0.8 if everything else 0.0),
        folder=order["folder"], verbose=0,
        callbacks=training_run.set_trap(order.get("kill", ""), order.get("epoch", 0)),
    )  # fmt: skip
    folder = Path(order["folder"])
    weights = [np.array(keras.ops.convert_to_numpy(w)) for w in fitted.model.weights]
    np.savez(folder / "result.npz", *weights)
    fitted.history.drop(columns="seconds").to_csv(folder / "returned.csv", index=False)
    fitted.results.to_csv(folder / "results.csv", index=False)
