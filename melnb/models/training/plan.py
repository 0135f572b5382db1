"""The plan of a run and its course: its phases, rates and steps, and what trains each phase."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np

from melnb.data.batches import train_batches
from melnb.data.epochs.sampling import NATURAL, Sampling, count_steps
from melnb.data.epochs.training_rows import Rows
from melnb.models.accelerator import scope_of
from melnb.models.networks.heads import training_view
from melnb.models.optimization.curves import Schedule
from melnb.models.optimization.freezing import blocks_of, freeze
from melnb.models.optimization.lr_finder import make_sweep, read_rate
from melnb.models.optimization.optimizers import make_optimizer
from melnb.models.optimization.schedules import make_schedule
from melnb.models.training.checkpoints import State
from melnb.models.training.recipe import Phase, Recipe, plan_phases, stretches
from melnb.models.training.trainer import Trainer

# Failures: which images were in the batch at which a loss ceased to be a number.
#
# Steps pay nothing for it: batches are a function of (seed, epoch, position), so the batch is made
# again once it is asked for.

_SHOWN = 40
_BROUGHT = (
    ("image", "pixels"), ("truth", "truth"), ("mask", "mask"), ("metadata", "metadata"),
)  # fmt: skip


class TrainingError(RuntimeError):
    """Training cannot go on; the message says since when and what to do.

    Attributes:
        image_ids: Of the batch at which it failed.
    """

    image_ids: tuple[str, ...] = ()


def explain_failure(
    batches: Any, rows: Rows, *, loss: float, epoch: int, step: int, steps: int, kept: int
) -> TrainingError:
    """Return the error of a loss that is no number.

    Args:
        batches: The very batches of the epoch, anew (`train_batches` from that epoch on).
        rows: What they are made of.
        loss: NaN or infinity.
        epoch: From 1.
        step: From 1.
        steps: In an epoch.
        kept: The last epoch with a checkpoint, from 1; 0: none.
    """
    batch = next(islice(batches.as_numpy_iterator(), step - 1, None))
    ids = [str(name) for name in rows.image_id[batch["row"]]]
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    error = TrainingError(
        f"the loss is {loss} at epoch {epoch}, step {step} of {steps}: {_advise(batch, ids)}\n"
        f"Images of this batch: {', '.join(ids[:_SHOWN])}{more}.\n"
        + (f"The checkpoint of epoch {kept} is kept." if kept else "There is no checkpoint yet.")
    )
    error.image_ids = tuple(ids)
    return error


def _advise(batch: Mapping[str, np.ndarray], ids: list[str]) -> str:
    """Name an image that brings no numbers with it; if all do, it is the rate or the precision."""
    for name, words in _BROUGHT:
        values = batch.get(name, np.zeros((len(ids), 1)))
        broken = ~np.isfinite(values.reshape(len(ids), -1)).all(axis=1)
        if broken.any():
            first = ids[int(broken.argmax())]
            return f"the {words} of {first} ({broken.sum()} images) hold NaN or infinity: mend it"
    return "lower learning_rate, give clip_norm, or set precision to float32"


@dataclass(frozen=True)
class Plan:
    """What a run will do, step by step.

    Attributes:
        phases: From the first epoch to the last.
        schedule: Of the learning rate.
        optimizer: That follows it, made in the scope of the model.
        learning_rate: The highest.
    """

    phases: tuple[Phase, ...]
    schedule: Schedule
    optimizer: keras.optimizers.Optimizer
    learning_rate: float

    @property
    def batch_size(self) -> int:
        """Return the images in a batch of the last phase, over all replicas."""
        return self.phases[-1].batch_size


def plan_fit(
    model: keras.Model,
    rows: Rows,
    *,
    phases: Mapping[str, Any],
    rates: Mapping[str, Any],
    steps: Mapping[str, Any],
    sampling: Sampling = NATURAL,
    replicas: int = 1,
    scale_rate: bool = False,
    sweeps: Sequence[Path] = (),
) -> Plan:
    """Plan the phases of a run, the learning rate of every step, and the steps themselves.

    Args:
        model: With a layer named `backbone`, made in the accelerator's scope.
        rows: To learn from.
        phases: Of `plan_phases`, but with the batch of one replica.
        rates: Of `make_schedule`, without what phases and rows say.
        steps: Of `make_optimizer`.
        sampling: Which rows an epoch is made of.
        replicas: That share a batch.
        scale_rate: Whether the rate is for each image of the batch (linear scaling; Goyal et al.
            2017).
        sweeps: Folders of range tests; the last one's rate is taken as it is, in the place of the
            one given.

    Raises:
        ValueError: Epochs, sizes, blocks or rates make no run, or an epoch holds no batch.
    """
    batch_size = int(phases["batch_size"]) * replicas
    planned = plan_phases(
        **{**phases, "batch_size": batch_size}, n_blocks=len(blocks_of(model)), replicas=replicas
    )
    counts = [count_steps(rows, batch_size=k.batch_size, sampling=sampling) for k in planned]
    rate = float(rates["learning_rate"]) * (batch_size if scale_rate else 1)
    for folder in sweeps:
        rate = read_rate(folder)
    schedule = make_schedule(
        **{**rates, "learning_rate": rate}, epochs=phases["epochs"], steps_per_epoch=counts[-1],
        phases=stretches(planned, counts),
    )  # fmt: skip
    with scope_of(model):
        optimizer = make_optimizer(**steps, schedule=schedule, model=model)
    return Plan(planned, schedule, optimizer, rate)


def sweep_trainer(
    model: keras.Model,
    *,
    sweep: Mapping[str, Any],
    steps: Mapping[str, Any],
    loss: keras.losses.Loss,
    augmentation: Mapping[str, Any] | None = None,
    mix: Mapping[str, Any] | None = None,
    jit_compile: str = "auto",
) -> Trainer:
    """Return what trains a classifier in a range test, compiled; call under the scope.

    The optimizer has no averages and gathers no gradients: each batch is a step of its rate.

    Args:
        model: As `make_classifier` makes it.
        sweep: Of `lr_finder.make_sweep`.
        steps: Of `make_optimizer`, as the run to come has them.
        loss: As of `Trainer`, and so are the next two.
        augmentation: Strengths of `augment`.
        mix: What is mixed.
        jit_compile: `true`, `false`, or `auto`: what the machine gains by.
    """
    still = {**steps, "accumulate": 1, "ema": 0.0}
    optimizer = make_optimizer(**still, schedule=make_sweep(**sweep), model=model)
    trainer = Trainer(training_view(model), loss=loss, augmentation=augmentation, mix=mix)
    trainer.prepare(optimizer, jit_compile=jit_compile)
    return trainer


@dataclass(frozen=True)
class Course:
    """What a run is made of.

    Attributes:
        model: From pixels (0-255) to probabilities, made in the accelerator's scope.
        rows: To learn from.
        sampling: Which of them an epoch is made of.
        recipe: How; its last phase has the model's image size.
        loss: Its `call` gives one number an image.
        optimizer: Made in the accelerator's scope.
        schedule: That the optimizer follows, where it has cycles or follows a plateau.
        remake: Called with `image_size`, makes the network anew; for phases of another size.
    """

    model: keras.Model
    rows: Rows
    sampling: Sampling
    recipe: Recipe
    loss: keras.losses.Loss
    optimizer: keras.optimizers.Optimizer
    schedule: Schedule | None
    remake: Callable[..., keras.Model] | None

    def __post_init__(self) -> None:
        """Refuse what lacks a part."""
        sizes = [p.image_size for p in self.recipe.phases if p.image_size != self.recipe.image_size]
        if sizes and self.remake is None:
            raise ValueError(f"phases at {sizes} pixels need remake, which makes the network anew")
        if self.recipe.snapshots and not self.cycle_ends:
            raise ValueError(
                "snapshots is True, but the schedule has no cycles: cosine_restarts has"
            )

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """Return the epochs, from 1, at whose end a snapshot is kept."""
        wanted = self.recipe.snapshots and self.schedule is not None
        return self.schedule.cycle_ends() if wanted and self.schedule is not None else ()

    def steps(self, phase: Phase) -> int:
        """Return the steps of an epoch of a phase."""
        return count_steps(self.rows, batch_size=phase.batch_size, sampling=self.sampling)

    def steps_before(self, phase: Phase) -> int:
        """Return the steps of all the phases before one."""
        return sum(
            before.epochs * self.steps(before)
            for before in self.recipe.phases
            if before.first_epoch < phase.first_epoch
        )

    def identity(self) -> dict[str, Any]:
        """Return what makes it this run and no other, as plain values."""
        phases = self.recipe.phases
        return {
            **self.recipe.plain(), "rows": _digest(self.rows), "sampling": asdict(self.sampling),
            "steps_per_epoch": [self.steps(phase) for phase in phases],
            "loss": _config(self.loss), "optimizer": _config(self.optimizer),
            "schedule": None if self.schedule is None else _config(self.schedule),
        }  # fmt: skip

    def batches(self, phase: Phase, *, first_epoch: int, epochs: int) -> Any:
        """Return the batches of epochs first_epoch to epochs - 1, of the kind of a phase."""
        return train_batches(
            self.rows, image_size=phase.image_size, batch_size=phase.batch_size,
            seed=self.recipe.seed, first_epoch=first_epoch, epochs=epochs, sampling=self.sampling,
        )  # fmt: skip

    def prepare(self, phase: Phase) -> tuple[keras.Model, Trainer]:
        """Return a classifier for a phase, and what trains it, compiled."""
        classifier = self.model
        if phase.image_size != self.recipe.image_size and self.remake is not None:
            classifier = self.remake(image_size=phase.image_size)
        born = self._births(classifier, phase)
        trainer = self.make_trainer(classifier)
        optimizer = self._optimizer(classifier)
        optimizer.born = born
        trainer.prepare(optimizer, jit_compile=self.recipe.jit_compile)
        return classifier, trainer

    def make_trainer(self, classifier: keras.Model) -> Trainer:
        """Return what makes a loss of a batch of `batches`, and knows the steps of the run."""
        return Trainer(training_view(classifier), **self._trained_with())

    def _trained_with(self) -> dict[str, Any]:
        """Return what a trainer takes besides what it trains."""
        recipe, last = self.recipe, self.recipe.phases[-1]
        return {
            "loss": self.loss, "augmentation": recipe.augmentation, "mix": recipe.mix,
            "mine": recipe.mine,
            "steps": self.steps_before(last) + last.epochs * self.steps(last),
        }  # fmt: skip

    def _births(self, classifier: keras.Model, phase: Phase) -> dict[str, int]:
        """Freeze what a phase freezes; return the steps before each variable began to learn."""
        if not any(each.frozen or each.frozen_norm for each in self.recipe.phases):
            return {}
        gathered = self.optimizer.gradient_accumulation_steps or 1
        born: dict[str, int] = {}
        for each in reversed(self.recipe.phases):  # the earliest in which it learns is kept
            if each.first_epoch <= phase.first_epoch:
                freeze(classifier, each.frozen, norm=each.frozen_norm)
                before = self.steps_before(each) // gathered
                born |= {v.path: before for v in classifier.trainable_variables}
        freeze(classifier, phase.frozen, norm=phase.frozen_norm)
        return born

    def _optimizer(self, classifier: keras.Model) -> keras.optimizers.Optimizer:
        """Return the optimizer, made again for each of several phases: it is for one of them."""
        given = self.optimizer
        if len(self.recipe.phases) == 1:
            return given
        config = given.get_config()
        rates = config.pop("rate_of", None) and given.rate_of
        optimizer = type(given).from_config(config)
        if rates:  # they go by the paths of the classifier, which another one has not
            pairs = zip(classifier.weights, self.model.weights, strict=True)
            names = {theirs.path: ours.path for theirs, ours in pairs}
            optimizer.rate_of = lambda path: rates(names.get(path, path))
        return optimizer

    def explain(
        self, phase: Phase, state: State, loss: float, epoch: int, step: int
    ) -> TrainingError:
        """Return the error of a loss that is no number at an epoch and a step, from 1."""
        batches = self.batches(phase, first_epoch=epoch - 1, epochs=epoch)
        return explain_failure(
            batches, self.rows, loss=loss, epoch=epoch, step=step, steps=self.steps(phase),
            kept=state.epoch,
        )  # fmt: skip


def _digest(rows: Rows) -> str:
    """Tell rows from others: by their names, their truth and what is known of them."""
    digest = hashlib.sha256("\n".join(map(str, rows.image_id)).encode())
    for column in (rows.truth, rows.metadata, rows.group):
        digest.update(np.ascontiguousarray(column).tobytes())
    return f"{len(rows)} images, {digest.hexdigest()[:12]}"


def _config(thing: Any) -> dict[str, Any]:
    """Return what a loss, a schedule or an optimizer is, without the name that Keras numbers."""
    config = {k: v for k, v in thing.get_config().items() if k != "name"}
    return {"class": type(thing).__name__, **config}
