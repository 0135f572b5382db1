"""Fitting a segmenter: the loop, the state and the checkpoints of a classifier's run.

A run is killed and taken up again as a classifier's is, to the bit on a CPU; what differs is the
batch, what a step compares, and what is measured after an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pandas as pd
from keras import ops

from melnb.data.augmentation.augment import augment_pair
from melnb.data.batches import predict_mask_batches, train_mask_batches
from melnb.data.epochs.sampling import NATURAL
from melnb.data.epochs.training_rows import Rows
from melnb.data.streams import count_images
from melnb.models.accelerator import choose_jit, scope_of
from melnb.models.optimization.curves import Schedule
from melnb.models.training.checkpoints import Record
from melnb.models.training.fitting import Fitted, fit_course, make_ensemble
from melnb.models.training.plan import Course
from melnb.models.training.recipe import Phase, Recipe
from melnb.models.training.trainer import Trainer

# Measuring: what a segmenter is worth on masks that it does not learn from.
#
# The loss and the pixels of each image are counted on the accelerator, so that three numbers an
# image come back and no plane is kept, however many images there are.

MEASURES = ("val_loss", "val_jaccard", "val_threshold_jaccard")
LEAST_JACCARD = 0.65  # below it a Jaccard index counts as 0 (ISIC 2018, Task 1)


class MaskValidation:
    """The masks of validation shards, ready to be measured against after every epoch.

    Args:
        model: The segmenter; its weights may change between two measurements.
        paths: Validation shards.
        image_size: Pixels on a side, at which masks are compared.
        batch_size: Images in a batch, over all replicas.
        only: The ids of the images that have masks; None: all have.
    """

    def __init__(
        self,
        model: keras.Model,
        paths: Sequence[str | Path],
        *,
        image_size: int,
        batch_size: int,
        only: Collection[str] | None = None,
    ) -> None:
        self.model = model
        self.images = count_images(paths) if only is None else len(set(only))
        self._batches = predict_mask_batches(
            paths, image_size=image_size, batch_size=batch_size, masks=True, only=only
        )
        self._counter: _Counting | None = None
        self._learning: list[bool] = []

    def measure(self, loss: keras.losses.Loss) -> dict[str, float]:
        """Return the means of `MEASURES` over the images, with the weights as they are.

        A pixel is lesion where its logit is above 0. The Jaccard index of two empty masks is 1.

        Raises:
            ValueError: The model gives NaN or infinity.
        """
        if self._counter is None or self._counter.criterion is not loss:
            self._counter = _make_counter(self.model, loss)
        learning = [weight.trainable for weight in self.model.weights]
        if learning != self._learning:  # JAX lays trainable weights and the others out apart
            self._counter.make_predict_function(force=True)
            self._learning = learning
        return self._score(self._counter)

    def measure_mean(
        self, members: Iterable[Mapping[str, np.ndarray]], loss: keras.losses.Loss
    ) -> dict[str, float]:
        """Return the same of the mean of the logits of several sets of weights, by name."""
        return self._score(_make_counter(make_ensemble(self.model, list(members)), loss))

    def _score(self, counter: keras.Model) -> dict[str, float]:
        counts = np.asarray(counter.predict(self._batches, verbose=0))[: self.images]
        losses, both, either = counts.astype("float64").T
        if not np.isfinite(losses).all():
            lost = int(np.argmin(np.isfinite(losses)))
            raise ValueError(
                f"the model gives no number for image {lost} (from 0) of the validation shards: "
                "its weights are broken, or the precision is too low"
            )
        jaccard = np.divide(both, either, out=np.ones_like(both), where=either > 0)
        enough = np.where(jaccard >= LEAST_JACCARD, jaccard, 0.0)
        means = (float(values.mean()) for values in (losses, jaccard, enough))
        return dict(zip(MEASURES, means, strict=True))


class _Counting(keras.Model):  # type: ignore[misc]
    """Batches to the loss of each image and its pixels: in both masks, and in either."""

    def __init__(self, model: keras.Model, loss: keras.losses.Loss) -> None:
        super().__init__(name="counting", autocast=False)
        self.model, self.criterion = model, loss
        if choose_jit() is False:  # an uncompiled model would predict by XLA
            self.jit_compile = False

    def call(self, batch: dict[str, Any]) -> Any:
        """Return batch x 3."""
        logits = self.model(batch["image"], training=False)
        losses = self.criterion.call(batch["mask"], logits)
        lesion, true = logits > 0, batch["mask"] > 0.5
        pixels = (ops.logical_and(lesion, true), ops.logical_or(lesion, true))
        counts = (ops.sum(ops.cast(x, "float32"), axis=(1, 2, 3)) for x in pixels)
        return ops.stack([losses, *counts], axis=-1)


def _make_counter(model: keras.Model, loss: keras.losses.Loss) -> _Counting:
    with scope_of(model):
        return _Counting(model, loss)


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

    def compare(self, outputs: dict[str, Any]) -> Any:
        """Return one loss an image of what `call` returned."""
        return self.criterion.call(outputs["mask"], outputs["logit"])


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
        loss: Its `call` gives one number an image (`mask_losses.make_mask_loss`).
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
