"""One against the rest: losses over a whole batch, parted among its images.

What such a loss says of one image depends on the others, so its n numbers have no meaning but in
their batch, and their mean is the batch's loss. A batch in which a class has no image, or nothing
but images, says nothing of that class: use a balanced sampler where a class is rare.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from melnb.models.objectives.weighting import Weighted

_LEAST = 1e-6  # images of a class, below which it is not there; mixed truth has fractions


class OneVsRest(Weighted):
    """The mean, over the classes of a batch, of a loss of each against the rest.

    With two classes it is that of the last (positive) one. The truth may be mixed: an image is
    then of a class in part, and in part of the rest. Class weights multiply each image's number.
    """

    def each(self, truth: Any, probabilities: Any) -> Any:
        """Return n unweighted losses of n x K truths and probabilities."""
        if truth.shape[-1] == 2:
            truth, probabilities = truth[:, 1:], probabilities[:, 1:]
        positives, negatives = ops.sum(truth, axis=0), ops.sum(1 - truth, axis=0)
        there = ops.cast(ops.minimum(positives, negatives) > _LEAST, probabilities.dtype)
        parts = self.parts(
            probabilities,
            truth / ops.maximum(positives, _LEAST),
            (1 - truth) / ops.maximum(negatives, _LEAST),
            truth,
        )
        sums = ops.sum(parts * there, axis=-1) / ops.maximum(ops.sum(there), 1.0)
        return sums * ops.cast(ops.shape(truth)[0], probabilities.dtype)

    def parts(self, scores: Any, positive: Any, negative: Any, truth: Any) -> Any:
        """Return n x K: each image's part in each class's loss, which is the sum of its column.

        Args:
            scores: n x K, 0-1: the probability of each class.
            positive: n x K: each image's share of the class's images; a column sums to one.
            negative: n x K: each image's share of the rest; a column sums to one.
            truth: n x K.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable("melnb")
class SoftF1(OneVsRest):
    """One less the F1 score, images counted by their probability: (fp + fn) / (2 tp + fp + fn).

    2 tp + fp + fn is the sum of all probabilities and truths, so that this is the Dice loss of
    segmentation (Milletari et al. 2016, there with squares) over images in place of pixels. Each
    image's part is its own error over that sum.

    Args:
        keywords: Of `Weighted`.
    """

    def parts(self, scores: Any, positive: Any, negative: Any, truth: Any) -> Any:
        """Return n x K: each image's part in each class's loss, which is the sum of its column."""
        errors = truth * (1 - scores) + (1 - truth) * scores
        return errors / ops.maximum(ops.sum(scores + truth, axis=0), _LEAST)
