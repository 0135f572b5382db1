"""The losses: one-hot truth and probabilities, one number for each image.

Both are exact for each image before anything is averaged, and the class weights are part of the
loss, so that no path of the training data (augmented, mixed, sharded) can lose them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

# The smallest probability whose logarithm is taken: below it nothing is learnt, and with a margin
# (ArcFace) the true class begins at 1e-8 and may lie at 1e-29.
_EPSILON = 1e-30
CLASS_WEIGHTS = ("ones", "balanced", "balanced-sqrt")


@keras.saving.register_keras_serializable("melnb")
class CrossEntropy(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy with label smoothing and class weights.

    The truth y (n x K, rows summing to one) is smoothed to y(1 - e) + e/K (Szegedy et al. 2016,
    section 7), which for two classes is the binary form. Each image's loss is multiplied by the
    mean of the class weights under its unsmoothed truth: the weight of its class if it has one.

    Args:
        label_smoothing: The share e, 0 or more and below 1.
        class_weights: One weight for each class, in column order; None for ones.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.label_smoothing = float(label_smoothing)
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return n losses of n x K truths and probabilities."""
        probabilities = ops.clip(y_pred, _EPSILON, 1.0)
        smoothed = y_true * (1 - self.label_smoothing) + self.label_smoothing / y_true.shape[-1]
        losses = ops.sum(smoothed * self.terms(probabilities), axis=-1)
        if self.class_weights is None:
            return losses
        return losses * ops.sum(y_true * ops.convert_to_tensor(self.class_weights), axis=-1)

    def terms(self, probabilities: Any) -> Any:
        """Return n x K: the loss of an image if the class of that column were its truth."""
        return -ops.log(probabilities)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same loss again."""
        own = {"label_smoothing": self.label_smoothing, "class_weights": self.class_weights}
        return {**super().get_config(), **own}


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
        terms = (1 - probabilities) ** self.gamma * super().terms(probabilities)
        if self.alpha and probabilities.shape[-1] == 2:
            terms = terms * ops.convert_to_tensor([1 - self.alpha, self.alpha])
        return terms

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same loss again."""
        return {**super().get_config(), "gamma": self.gamma, "alpha": self.alpha}


def make_loss(
    name: str,
    *,
    n_classes: int,
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
    focal_alpha: float = 0.25,
    class_weights: Sequence[float] | np.ndarray | None = None,
) -> CrossEntropy:
    """Make a loss on (one-hot truth, probabilities), each n x n_classes.

    Args:
        name: `cross_entropy` or `focal`.
        n_classes: Columns of both tables.
        label_smoothing: Share of each truth that is spread evenly over the classes, 0 to below 1.
        focal_gamma: See `Focal`.
        focal_alpha: See `Focal`.
        class_weights: n_classes factors, as `class_weights` gives; None for ones.

    Raises:
        ValueError: The name is unknown, a value is out of bounds, or there are not n_classes
            weights.
    """
    if name not in ("cross_entropy", "focal"):
        raise ValueError(f"loss is {name!r}; use cross_entropy or focal")
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing}; use 0 or more and less than 1")
    weights = None if class_weights is None else np.asarray(class_weights, dtype=float)
    if weights is not None and (weights.shape != (n_classes,) or not np.all(weights >= 0)):
        raise ValueError(f"class_weights is {class_weights}; give {n_classes} weights of 0 or more")
    shared: dict[str, Any] = {
        "label_smoothing": label_smoothing,
        "class_weights": None if weights is None else weights.tolist(),
    }
    if name == "cross_entropy":
        return CrossEntropy(**shared)
    if focal_gamma < 0 or not 0 <= focal_alpha <= 1:
        raise ValueError(
            f"focal_gamma is {focal_gamma} and focal_alpha {focal_alpha}; "
            "use a gamma of 0 or more and an alpha from 0 to 1"
        )
    return Focal(focal_gamma, focal_alpha, **shared)


def class_weights(counts: Sequence[int] | np.ndarray, mode: str) -> np.ndarray:
    """Return one weight for each class.

    Args:
        counts: Training images of each class, in column order.
        mode: `ones`; `balanced`, n / (K n_c) (King and Zeng 2001), by which every class weighs the
            same in sum; or `balanced-sqrt`, the square root of that.

    Raises:
        ValueError: The mode is unknown, or a class that is to be balanced has no image.
    """
    counts = np.asarray(counts, dtype=float)
    if mode not in CLASS_WEIGHTS:
        raise ValueError(f"class_weights is {mode!r}; use one of {list(CLASS_WEIGHTS)}")
    if mode == "ones":
        return np.ones(len(counts))
    if not np.all(counts > 0):
        raise ValueError(
            f"class_weights {mode!r}: class {int(np.argmin(counts))} of counts "
            f"{counts.astype(int).tolist()} has no training image: use 'ones', or other folds"
        )
    weights = counts.sum() / (len(counts) * counts)
    return np.asarray(weights if mode == "balanced" else np.sqrt(weights))
