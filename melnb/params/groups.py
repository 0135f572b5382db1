"""Groups: what stages have in common, each the keywords of the one function that it feeds.

A stage's class inherits the groups that it needs, so that papermill and people see flat fields, and
its notebook hands each group on whole: `models.plan_fit(…, phases=p.phases)`. A group's docstring
is its heading for people; what contradicts what stands in `rules`, once, and is what a refusal says
and what `melnb stages 03_train` prints.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from melnb.params.base import Parameters, Rules


class Phases(Parameters):
    """Phases: how long, at which sizes of picture, with which blocks at rest."""

    epochs: int = Field(6, ge=1, description="passes over the training folds")
    image_size: int = Field(
        64, ge=32, le=1024, description="pixels on a side, scaled from a size prepared"
    )
    batch_size: int = Field(32, ge=1, description="for each replica")
    sizes: list[int] = Field([], description="smaller image sizes to begin with")
    size_epochs: list[int] = Field([], description="epochs at each of these")
    scale_batch: bool = Field(False, description="smaller images: larger batch and rate")
    frozen_epochs: int = Field(0, ge=0, description="first epochs with blocks that do not learn")
    frozen_blocks: int = Field(0, ge=0, description="how many, from the input; 0: the backbone")
    unfreeze_blocks: int = Field(0, ge=0, description="last blocks that learn then; 0: all")
    frozen_norm: bool = Field(False, description="the backbone's BatchNormalization stays as it is")

    rules: ClassVar[Rules] = (
        (
            lambda p: len(p.sizes) != len(p.size_epochs),
            "sizes {sizes} and size_epochs {size_epochs} are not as many: give each size its "
            "epochs",
        ),
        (
            lambda p: bool(p.sizes) and sum(p.size_epochs) >= p.epochs,
            "size_epochs {size_epochs} leave nothing of epochs {epochs} for image_size",
        ),
        (
            lambda p: p.frozen_epochs > p.epochs,
            "frozen_epochs {frozen_epochs} are more than epochs {epochs}",
        ),
        (
            lambda p: bool(p.frozen_blocks) and not p.frozen_epochs,
            "frozen_blocks {frozen_blocks} are given, but no frozen_epochs",
        ),
    )

    @property
    def phases(self) -> dict[str, Any]:
        """The keywords of `models.plan_phases`, the batch as one replica has it."""
        return self.values_of(Phases.model_fields)


class Rates(Parameters):
    """The learning rate, from step to step."""

    schedule: Literal[
        "ramp_decay", "one_cycle", "cosine", "cosine_restarts", "step", "plateau", "constant"
    ] = Field("one_cycle", description="of the learning rate")
    learning_rate: float = Field(3e-3, gt=0, description="the highest rate")
    start_rate: float = Field(1e-4, gt=0, description="ramp_decay: where it begins")
    final_rate: float = Field(1e-6, ge=0, description="where it tends to")
    ramp_epochs: int = Field(2, ge=0, description="ramp_decay, cosine, step: epochs of rise")
    sustain_epochs: int = Field(0, ge=0, description="ramp_decay: epochs at the highest rate")
    decay: float = Field(0.7, gt=0, le=1, description="ramp_decay, step, plateau: of each fall")
    step_epochs: int = Field(2, ge=1, description="step: epochs between two falls")
    cycles: int = Field(3, ge=1, description="cosine_restarts: how many")
    cycle_growth: float = Field(
        1.0, ge=1, description="cosine_restarts: each, times the one before"
    )
    plateau_patience: int = Field(2, ge=1, description="plateau: epochs without a gain")

    rules: ClassVar[Rules] = (
        (
            lambda p: p.final_rate > p.learning_rate,
            "final_rate {final_rate} is above learning_rate {learning_rate}",
        ),
        (
            lambda p: p.schedule == "plateau" and p.decay == 1,
            "schedule plateau falls by decay, which must not be 1: say 0.5, for example",
        ),
    )

    @property
    def rates(self) -> dict[str, Any]:
        """The keywords of `models.make_schedule`."""
        return self.values_of(Rates.model_fields)


class Steps(Parameters):
    """The optimizer: what becomes of a gradient."""

    optimizer: Literal["adam", "adamw", "nadam", "lion", "rmsprop", "sgd"] = Field(
        "adam", description="by its Keras name"
    )
    momentum: float = Field(0.9, gt=0, lt=1, description="where the schedule leaves it alone")
    weight_decay: float = Field(0.01, ge=0, description="adamw, lion: of kernels")
    clip_norm: float = Field(0.0, ge=0, description="largest norm of the gradients; 0: any")
    accumulate: int = Field(1, ge=1, description="batches to one step of the weights")
    ema: float = Field(0.0, ge=0, lt=1, description="share kept of the weights' average; 0: none")
    block_decay: float = Field(1.0, gt=0, le=1, description="rate of a block over that of the next")

    @property
    def steps(self) -> dict[str, Any]:
        """The keywords of `models.make_optimizer`."""
        return self.values_of(Steps.model_fields)


class Fit(Parameters):
    """The fit: which images of a batch count, when it ends, and what is kept."""

    hard_share: float = Field(1.0, gt=0, le=1, description="of a batch, its hardest; 1: all")
    hard_start: float = Field(0.0, ge=0, le=1, description="share of the run: mining begins")
    hard_end: float = Field(1.0, ge=0, le=1, description="share of the run: hard_share is reached")
    monitor: str = Field("val_loss", description="best epoch by this")
    patience: int = Field(0, ge=0, description="epochs without a gain before a stop; 0: none")
    swa_start: int = Field(0, ge=0, description="epoch from which weights are averaged; 0: none")
    snapshots: bool = Field(False, description="cosine_restarts: keep each cycle's end")
    keep: Literal["best", "last", "swa", "snapshots"] = Field(
        "best", description="weights to end with; last: of the last epoch, chosen by nothing"
    )
    jit_compile: Literal["auto", "true", "false"] = Field(
        "auto", description="by XLA; auto: what the machine gains by"
    )

    rules: ClassVar[Rules] = (
        (
            lambda p: p.hard_start > p.hard_end,
            "hard_start {hard_start} is after hard_end {hard_end}",
        ),
        (
            lambda p: p.keep == "swa" and not p.swa_start,
            "keep swa needs swa_start: say from which epoch on",
        ),
        (
            lambda p: p.keep == "snapshots" and not p.snapshots,
            "keep snapshots needs snapshots",
        ),
        (
            lambda p: p.keep == "last" and bool(p.patience),
            "keep last ends at the last of epochs, and patience {patience} before it: leave it 0",
        ),
    )

    @property
    def fit(self) -> dict[str, Any]:
        """The keywords of `models.Recipe`."""
        return self.values_of(Fit.model_fields)


class Training(Phases, Rates, Steps, Fit):
    """All of a training run."""

    rules: ClassVar[Rules] = (
        (
            lambda p: p.swa_start > p.epochs,
            "swa_start {swa_start} is after the last of epochs {epochs}",
        ),
        (
            lambda p: p.schedule == "plateau" and p.scale_batch and bool(p.sizes),
            "schedule plateau has one rate for all batches, and scale_batch changes them: use "
            "another",
        ),
        (
            lambda p: p.snapshots and p.schedule != "cosine_restarts",
            "snapshots need schedule cosine_restarts, not {schedule}: its cycles end in them",
        ),
    )


class Augmentation(Parameters):
    """Augmentation: 0 switches one off."""

    rotation: float = Field(180.0, ge=0, le=180, description="degrees either way")
    shear: float = Field(5.0, ge=0, le=45, description="degrees either way")
    zoom: float = Field(0.1, ge=0, le=0.9, description="share either way")
    shift: float = Field(0.05, ge=0, le=0.5, description="share of the side either way")
    flips: bool = Field(True, description="left-right and up-down")
    transpose: bool = Field(False, description="rows for columns")
    grid_distortion: float = Field(0.0, ge=0, le=0.9, description="share a cell grows or shrinks")
    elastic: float = Field(0.0, ge=0, le=0.09, description="share of the side; above, it folds")
    brightness: float = Field(0.1, ge=0, le=1, description="share of the range either way")
    contrast: float = Field(0.1, ge=0, le=1, description="share either way")
    saturation: float = Field(0.1, ge=0, le=1, description="share either way")
    hue: float = Field(0.01, ge=0, le=0.5, description="share of the circle either way")
    blur: float = Field(0.0, ge=0, le=10, description="greatest deviation, pixels")
    noise: float = Field(0.0, ge=0, le=128, description="greatest deviation, of 255")
    hairs: int = Field(0, ge=0, le=100, description="most hairs drawn")
    ruler: float = Field(0.0, ge=0, le=1, description="share with a scale")
    ink: float = Field(0.0, ge=0, le=1, description="share with a pen's marks")
    bubbles: float = Field(0.0, ge=0, le=1, description="share with bubbles in the gel")
    microscope: float = Field(0.0, ge=0, le=1, description="share with a dark rim")

    @property
    def strengths(self) -> dict[str, Any]:
        """The strengths of `data.augment`."""
        return self.values_of(Augmentation.model_fields)


class Machine(Parameters):
    """The machine."""

    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = Field(
        "auto", description="auto: what the hardware gains by"
    )
    deterministic: bool = Field(True, description="bit for bit on a CPU; slower on a GPU")

    @property
    def machine(self) -> dict[str, Any]:
        """The keywords of `models.setup`."""
        return self.values_of(Machine.model_fields)
