"""Weighting: whatever the loss, each image's number times the weight of its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class Weighted(keras.losses.Loss):  # type: ignore[misc]
    """A loss with class weights in it, so that no path of the training data can lose them.

    Each image's number is multiplied by the mean of the class weights under its truth: the weight
    of its class if it has one.

    Args:
        class_weights: One weight for each class, in column order; None for ones.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return n losses of n x K truths (rows summing to one) and probabilities."""
        truth = ops.cast(y_true, y_pred.dtype)
        losses = self.each(truth, y_pred)
        if self.class_weights is None:
            return losses
        weights = ops.convert_to_tensor(self.class_weights, dtype=y_pred.dtype)
        return losses * ops.sum(truth * weights, axis=-1)

    def each(self, truth: Any, probabilities: Any) -> Any:
        """Return n unweighted losses of n x K truths and probabilities."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same loss again."""
        return {**super().get_config(), "class_weights": self.class_weights}
