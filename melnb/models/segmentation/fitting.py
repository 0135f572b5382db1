"""Fitting a segmenter: the loop, the state and the checkpoints of a classifier's run.

A run is killed and taken up again as a classifier's is, to the bit on a CPU; what differs is the
batch, what a step compares, and what is measured after an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras
import pandas as pd

from melnb.data.augmentation.augment import augment_pair
from melnb.data.epochs.rows import Rows
from melnb.data.epochs.sampling import NATURAL
from melnb.data.mask_batches import train_mask_batches
from melnb.models.accelerator import scope_of
from melnb.models.optimization.curves import Schedule
from melnb.models.segmentation.measuring import MEASURES, MaskValidation
from melnb.models.training.course import Course
from melnb.models.training.fitting import Fitted, fit_course
from melnb.models.training.phases import Phase
from melnb.models.training.recipe import Recipe
from melnb.models.training.state.record import Record
from melnb.models.training.trainer import Trainer


@dataclass(frozen=True)
class MaskRecipe(Recipe):
    """How a segmenter is fitted: as a classifier is, but nothing is mixed.

    Attributes:
        monitors: The numbers of the history that can tell the best epoch.
    """

    monitors: ClassVar[tuple[str, ...]] = ("val_jaccard", "val_threshold_jaccard", "val_loss")
    monitor: str = "val_jaccard"

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        super().__post_init__()
        if self.mix:
            raise ValueError(
                f"mixup is {self.mixup} and cutmix is {self.cutmix}, but masks are not mixed: "
                "leave both at 0"
            )
        if self.augmentation.get("augmix"):
            raise ValueError(
                f"augmix is {self.augmentation['augmix']}, but no mask follows a mixture of "
                "pictures that moved in different ways: set augmix to 0"
            )


class MaskTrainer(Trainer):
    """Augments pictures and masks together, looks and compares."""

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return logits of a batch of `train_mask_batches`, and its masks as they now are."""
        images, masks = batch["image"], batch["mask"]
        if training:
            images, masks = augment_pair(
                images, masks, batch["draws"], **self.augmentation.strengths
            )
        return {"logit": self.view(images, training=training), "mask": masks}

    def compare(self, made: dict[str, Any]) -> Any:
        """Return one loss an image of what `call` returned."""
        return self.criterion.call(made["mask"], made["logit"])


class MaskCourse(Course):
    """What a run of a segmenter is made of."""

    def batches(self, phase: Phase, *, first_epoch: int, epochs: int) -> Any:
        """Return the batches of epochs first_epoch to epochs - 1, of the kind of a phase."""
        return train_mask_batches(
            self.rows, image_size=phase.image_size, batch_size=phase.batch_size,
            seed=self.recipe.seed, first_epoch=first_epoch, epochs=epochs,
        )  # fmt: skip

    def make_trainer(self, classifier: keras.Model) -> Trainer:
        """Return what makes a loss of a batch of `batches`, and knows the steps of the run."""
        return MaskTrainer(classifier, **self._trained_with())


def fit_segmenter(
    model: keras.Model,
    *,
    rows: Rows,
    valid_paths: Sequence[str | Path],
    recipe: MaskRecipe,
    loss: keras.losses.Loss,
    optimizer: keras.optimizers.Optimizer,
    folder: str | Path,
    schedule: Schedule | None = None,
    only: Collection[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    verbose: int = 2,
) -> Fitted:
    """Fit a segmenter, or go on fitting it.

    A segmenter takes pictures of any side, so phases of other sizes train the model itself.

    Args:
        model: From pixels to logits (`unet.make_segmenter`), made in the accelerator's scope.
        rows: To learn from; each record has a mask (`epochs.masked.read_mask_rows`).
        valid_paths: Shards to be measured on.
        recipe: How; masks are compared at its image size.
        loss: Its `call` gives one number an image (`losses.make_mask_loss`).
        optimizer: Made in the accelerator's scope.
        folder: Gets `history.csv` and `checkpoint/`.
        schedule: That the optimizer follows, where it has cycles or follows a plateau.
        only: The ids of the images of `valid_paths` that have masks; None: all have.
        callbacks: More of Keras'; their own state is not kept when a run is taken up again.
        on_epoch: Called with the history after every epoch, and when a run is taken up again.
        verbose: 0 silent, 1 a bar, 2 a line an epoch.

    Returns:
        The model with the weights that are kept; the history, one row an epoch, with `MEASURES`
        for measures; the results, one row for each choice of weights.

    Raises:
        TrainingError: The loss is no longer a number; the last good checkpoint is kept.
        CheckpointError: The folder holds another run's checkpoint.
        ValueError: There is less than a batch to train on, a part lacks, or a run begins with a
            network or an optimizer that has learnt already.
    """
    course = MaskCourse(
        model, rows, NATURAL, recipe, loss, optimizer, schedule, remake=lambda image_size: model
    )
    record = Record(Path(folder), recipe, course.identity(), measures=MEASURES)
    with scope_of(model):
        validation = MaskValidation(
            model, valid_paths, image_size=recipe.image_size, batch_size=recipe.batch_size,
            only=only,
        )  # fmt: skip
        return fit_course(course, record, validation, callbacks, on_epoch, verbose)
