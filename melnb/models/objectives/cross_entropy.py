"""Cross-entropy and its kin: each image's loss is a function of its own probabilities alone."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from melnb.models.objectives.weighting import Weighted

# The smallest probability whose logarithm is taken: below it nothing is learnt, and with a margin
# (ArcFace) the true class begins at 1e-8 and may lie at 1e-29.
_LEAST = 1e-30
_NEAREST = 1e-7  # to certainty: a power below one has no finite slope at nothing


@keras.saving.register_keras_serializable("melnb")
class CrossEntropy(Weighted):
    """Cross-entropy with label smoothing and class weights.

    The truth y is smoothed to y(1 - e) + e/K (Szegedy et al. 2016, section 7), which for two
    classes is the binary form. The class weights go by the unsmoothed truth.

    Args:
        label_smoothing: The share e, 0 or more and below 1.
        keywords: Of `Weighted`.
    """

    def __init__(self, label_smoothing: float = 0.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.label_smoothing = float(label_smoothing)

    def each(self, truth: Any, probabilities: Any) -> Any:
        """Return n unweighted losses of n x K truths and probabilities."""
        smoothed = truth * (1 - self.label_smoothing) + self.label_smoothing / truth.shape[-1]
        return ops.sum(smoothed * self.terms(ops.clip(probabilities, _LEAST, 1.0)), axis=-1)

    def terms(self, probabilities: Any) -> Any:
        """Return n x K: the loss of an image if the class of that column were its truth."""
        return -ops.log(probabilities)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same loss again."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("melnb")
class Focal(CrossEntropy):
    """Focal loss, -alpha (1 - p)^gamma log p of the true class (Lin et al. 2017, equation 5).

    Args:
        gamma: How strongly easy images are played down; 0 is cross-entropy.
        alpha: With two classes the weight of the last (positive) one, the first having 1 - alpha;
            0 for none. With more classes it is not used: that is the class weights' work.
        keywords: Of `CrossEntropy`.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.gamma = float(gamma)
        self.alpha = float(alpha)

    def terms(self, probabilities: Any) -> Any:
        """Return n x K: the loss of an image if the class of that column were its truth."""
        doubt = ops.maximum(1 - probabilities, _NEAREST)
        terms = doubt**self.gamma * super().terms(probabilities)
        if self.alpha and probabilities.shape[-1] == 2:
            terms = terms * ops.convert_to_tensor([1 - self.alpha, self.alpha])
        return terms

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same loss again."""
        return {**super().get_config(), "gamma": self.gamma, "alpha": self.alpha}


@keras.saving.register_keras_serializable("melnb")
class MarginFocal(CrossEntropy):
    """Margin focal loss, log(e + (1 - e) p) - w (1 - p)^2 log p of the true class.

    The first term asks for certainty even where the second, a focal loss, has all but gone. It was
    published by hengck23 in the discussions of SIIM-ISIC 2020, for two classes, with w = 2 for the
    last (positive) one and 1 for the first. With more classes w is 1 for all, as no one of them is
    the positive: that is the class weights' work.

    Args:
        margin: The logarithm of e, above 0: the first term's height for an image wholly wrong.
        positive_weight: The w of the last of two classes.
        keywords: Of `CrossEntropy`.
    """

    def __init__(self, margin: float = 0.2, positive_weight: float = 2.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.margin = float(margin)
        self.positive_weight = float(positive_weight)

    def terms(self, probabilities: Any) -> Any:
        """Return n x K: the loss of an image if the class of that column were its truth."""
        top = math.exp(self.margin)
        focal = (1 - probabilities) ** 2 * super().terms(probabilities)
        if probabilities.shape[-1] == 2:
            focal = focal * ops.convert_to_tensor([1.0, self.positive_weight])
        return ops.log(top + (1 - top) * probabilities) + focal

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same loss again."""
        own = {"margin": self.margin, "positive_weight": self.positive_weight}
        return {**super().get_config(), **own}
