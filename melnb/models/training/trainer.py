"""The training step: augment, mix, predict, compare.

A batch is one dictionary with its truth inside, because mixing changes the truth with the picture;
so there is no `y`, and the loss is computed here of what the step made of the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from melnb.data.augmentation import mixing
from melnb.data.augmentation.augment import Augmentation
from melnb.models.accelerator import choose_jit
from melnb.models.training.hard_examples import mined, share_at

JITS: dict[str, Any] = {"true": True, "false": False}  # and auto


class Trainer(keras.Model):  # type: ignore[misc]
    """Augments, mixes, looks and compares.

    Args:
        view: `heads.training_view` of a classifier: it takes `image`, `truth` and, if there is
            any, `metadata`.
        loss: Its `call` gives one number an image.
        augmentation: Strengths of `augment`.
        mix: What `mixing.plan_mixing` takes besides the size; no shares: nothing is mixed.
        mine: What `hard_examples.share_at` takes besides the progress; empty: every image counts.
        steps: Of the whole run, by which progress is known.
    """

    def __init__(
        self,
        view: keras.Model,
        *,
        loss: keras.losses.Loss,
        augmentation: Mapping[str, Any] | None = None,
        mix: Mapping[str, Any] | None = None,
        mine: Mapping[str, Any] | None = None,
        steps: int = 1,
    ) -> None:
        # Pixels and draws stay in 32 bits under mixed precision; the view casts for itself.
        super().__init__(name="trainer", autocast=False)
        self.view = view
        self.criterion = loss
        self.augmentation = Augmentation(dict(augmentation or {}), name="augmentation")
        mixed = any((mix or {}).get(name) for name in ("mixup", "cutmix"))
        self.mix, self.mine, self.run_steps = (
            dict(mix or {}) if mixed else {},
            dict(mine or {}),
            steps,
        )
        if mine:  # JAX shows the loss no variable of the optimizer, so the steps are counted here
            self.step = self.add_weight(
                shape=(), initializer="zeros", trainable=False, autocast=False, name="step",
                aggregation="only_first_replica",
            )  # fmt: skip
        self.built = True

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return probabilities of a batch of `train_batches`, and its truth as it now is."""
        seen: dict[str, Any] = {k: batch[k] for k in ("truth", "metadata") if k in batch}
        seen["image"] = self.augmentation(batch["image"], batch["draws"], training=training)
        if training and self.mix:
            seen = self._mixed(seen, batch["draws"])
        return {"probability": self.view(seen, training=training), "truth": seen["truth"]}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the mean loss of a batch, and what the layers add to it."""
        losses = self.compare(y_pred)
        if training and self.mine:
            losses = mined(losses, share_at(self.step / self.run_steps, **self.mine))
            self.step.assign_add(1)
        return super().compute_loss(y=losses, y_pred=losses, training=training)

    def compare(self, outputs: dict[str, Any]) -> Any:
        """Return one loss an image of what `call` returned."""
        return self.criterion.call(outputs["truth"], outputs["probability"])

    def prepare(self, optimizer: keras.optimizers.Optimizer, *, jit_compile: str = "auto") -> None:
        """Compile for an optimizer, and make all variables that it needs.

        Args:
            optimizer: Made in the scope of the view's accelerator.
            jit_compile: `true`, `false`, or `auto`: what the machine gains by.
        """
        jit = JITS[jit_compile] if jit_compile in JITS else choose_jit()
        self.compile(optimizer=optimizer, loss=_Mean(), jit_compile=jit)
        self.optimizer.build(self.trainable_variables)

    def _mixed(self, seen: dict[str, Any], draws: Any) -> dict[str, Any]:
        height, width = seen["image"].shape[1:3]
        plan = mixing.plan_mixing(draws, height=height, width=width, **self.mix)
        mixed = {name: mixing.blend(seen[name], plan) for name in seen if name != "image"}
        return {**mixed, "image": mixing.mix_images(seen["image"], plan)}


class _Mean(keras.losses.Loss):  # type: ignore[misc]
    """The mean of losses that are there already, shared among replicas as Keras does it."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred
