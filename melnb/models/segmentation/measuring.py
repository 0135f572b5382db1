"""Measuring: what a segmenter is worth on masks that it does not learn from.

The loss and the pixels of each image are counted on the accelerator, so that three numbers an image
come back and no plane is kept, however many images there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from melnb.data.mask_batches import predict_mask_batches
from melnb.data.streams import count_images
from melnb.models.accelerator import choose_jit, scope_of
from melnb.models.training.snapshots import make_ensemble

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
        said, true = logits > 0, batch["mask"] > 0.5
        pixels = (ops.logical_and(said, true), ops.logical_or(said, true))
        counts = (ops.sum(ops.cast(x, "float32"), axis=(1, 2, 3)) for x in pixels)
        return ops.stack([losses, *counts], axis=-1)


def _make_counter(model: keras.Model, loss: keras.losses.Loss) -> _Counting:
    with scope_of(model):
        return _Counting(model, loss)
