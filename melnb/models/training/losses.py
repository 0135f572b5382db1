"""Losses: cross-entropy with label smoothing, focal loss, AUC losses; class weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops

# Weighting: whatever the loss, each image's number times the weight of its class.


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


# Cross-entropy and its kin: each image's loss is a function of its own probabilities alone.

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
        settings = {"margin": self.margin, "positive_weight": self.positive_weight}
        return {**super().get_config(), **settings}


# One against the rest: losses over a whole batch, parted among its images.
#
# What such a loss says of one image depends on the others, so its n numbers have no meaning but in
# their batch, and their mean is the batch's loss. A batch in which a class has no image, or nothing
# but images, says nothing of that class: use a balanced sampler where a class is rare.

_LEAST_IMAGES = 1e-6  # images of a class, below which it is not there; mixed truth has fractions


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
        there = ops.cast(ops.minimum(positives, negatives) > _LEAST_IMAGES, probabilities.dtype)
        parts = self.parts(
            probabilities,
            truth / ops.maximum(positives, _LEAST_IMAGES),
            (1 - truth) / ops.maximum(negatives, _LEAST_IMAGES),
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
        return errors / ops.maximum(ops.sum(scores + truth, axis=0), _LEAST_IMAGES)


# Ranking: losses that are small when images of a class are scored above the rest, the AUC's aim.
#
# Scores are probabilities, 0-1, and both losses take the squared hinge of the gap between two.


class _Ranking(OneVsRest):
    """A loss of the gap between scores.

    Args:
        gap: By how much an image of the class is asked to be scored above one of the rest.
        keywords: Of `Weighted`.
    """

    def __init__(self, gap: float = 1.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.gap = float(gap)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same loss again."""
        return {**super().get_config(), "gap": self.gap}


@keras.saving.register_keras_serializable("melnb")
class AucPairs(_Ranking):
    """The mean over all pairs of max(0, gap - (s+ - s-))^2, s+ of the class and s- of the rest.

    A surrogate of 1 - AUC, which it is never below where the gap is 1, and with which it is
    consistent (Gao and Zhou 2015, the q-norm hinge with q = 2). A pair's loss is parted equally
    between its two images. Memory goes with n x n x K.
    """

    def parts(self, scores: Any, positive: Any, negative: Any, truth: Any) -> Any:
        """Return n x K: each image's part in each class's loss, which is the sum of its column."""
        gaps = scores[:, None] - scores[None]  # upper, lower, class
        hinges = ops.maximum(self.gap - gaps, 0.0) ** 2
        upper = positive * ops.sum(hinges * negative[None], axis=1)
        lower = negative * ops.sum(hinges * positive[:, None], axis=0)
        return (upper + lower) / 2


@keras.saving.register_keras_serializable("melnb")
class AucMargin(_Ranking):
    """The AUC-margin loss (Yuan et al. 2021, arXiv 2012.03173).

    min over a, b, max over alpha >= 0, of

        E+[(s - a)^2] + E-[(s - b)^2] + 2 alpha (gap - E+[s] + E-[s]) - alpha^2

    with E+ the mean over images of the class and E- over the rest. LibAUC keeps a, b and alpha as
    variables of an optimiser of its own. Here they are at their optimum for each batch, which is
    known: a = E+[s], b = E-[s], alpha = max(0, gap + b - a). So there is nothing to be kept, the
    loss is the two variances and max(0, gap + b - a)^2, and by the envelope theorem its gradient is
    that of the min-max form at the optimum. LibAUC also multiplies all by the prevalence times its
    complement, a constant that is left out. The last term is parted between the class
    and the rest, and evenly within each.
    """

    def parts(self, scores: Any, positive: Any, negative: Any, truth: Any) -> Any:
        """Return n x K: each image's part in each class's loss, which is the sum of its column."""
        a, b = ops.sum(positive * scores, axis=0), ops.sum(negative * scores, axis=0)
        hinge = ops.maximum(self.gap + b - a, 0.0) ** 2
        spread = positive * (scores - a) ** 2 + negative * (scores - b) ** 2
        return spread + (positive + negative) / 2 * hinge


LOSSES = ("cross_entropy", "focal", "margin_focal", "soft_f1", "auc_pairs", "auc_margin")
CLASS_WEIGHTS = ("ones", "balanced", "balanced-sqrt")


def make_loss(
    loss: str,
    *,
    n_classes: int = 0,
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
    focal_alpha: float = 0.25,
    auc_gap: float = 1.0,
    class_weights: str | Mapping[str, float] | Sequence[float] | np.ndarray | None = None,
    counts: pd.Series | None = None,
) -> Weighted:
    """Make a loss on (truth, probabilities), each n x n_classes; its `call` gives n numbers.

    Args:
        loss: One of `LOSSES`. The last three are losses of a whole batch, whose n numbers belong
            together; the others are exact for each image by itself.
        n_classes: Columns of both tables.
        label_smoothing: Share of each truth that is spread evenly over the classes, 0 to below 1;
            not used by losses of a whole batch, which count images.
        focal_gamma: See `Focal`.
        focal_alpha: See `Focal`.
        auc_gap: See `AucPairs` and `AucMargin`.
        class_weights: n_classes factors; None for ones; or, with `counts`, what makes them
            (`class_weights`).
        counts: Training images by class, of which n_classes is the number.

    Raises:
        ValueError: The name is unknown, a value is out of bounds, or there are not n_classes
            weights.
    """
    _check_values(label_smoothing, focal_gamma, focal_alpha, auc_gap)
    n_classes = n_classes if counts is None else len(counts)
    weights = _check_weights(_weights_of(class_weights, counts), n_classes)
    match loss:
        case "cross_entropy":
            return CrossEntropy(label_smoothing, class_weights=weights)
        case "focal":
            return Focal(
                focal_gamma, focal_alpha, label_smoothing=label_smoothing, class_weights=weights
            )
        case "margin_focal":
            return MarginFocal(label_smoothing=label_smoothing, class_weights=weights)
        case "soft_f1":
            return SoftF1(class_weights=weights)
        case "auc_pairs":
            return AucPairs(auc_gap, class_weights=weights)
        case "auc_margin":
            return AucMargin(auc_gap, class_weights=weights)
    raise ValueError(f"loss is {loss!r}; use one of {list(LOSSES)}")


def class_weights(
    counts: Sequence[int] | np.ndarray,
    weights: str | Mapping[str, float],
    classes: Sequence[str] = (),
) -> np.ndarray:
    """Return one weight for each class.

    Args:
        counts: Training images of each class, in column order.
        weights: `ones`; `balanced`, n / (K n_c) (King and Zeng 2001), by which every class weighs
            the same in sum; `balanced-sqrt`, the square root of that; or the weights by name.
        classes: Names, in column order; needed for weights by name.

    Raises:
        ValueError: The weights are unknown, name other classes than there are, or are below 0; or
            a class that is to be balanced has no image.
    """
    if isinstance(weights, Mapping):
        return _named_weights(weights, classes)
    counts = np.asarray(counts, dtype=float)
    if weights not in CLASS_WEIGHTS:
        raise ValueError(
            f"class_weights is {weights!r}; use one of {list(CLASS_WEIGHTS)}, or a weight for "
            "each class by name"
        )
    if weights == "ones":
        return np.ones(len(counts))
    if not np.all(counts > 0):
        raise ValueError(
            f"class_weights {weights!r}: class {int(np.argmin(counts))} of counts "
            f"{counts.astype(int).tolist()} has no training image: use 'ones', or other folds"
        )
    balanced = counts.sum() / (len(counts) * counts)
    return np.asarray(balanced if weights == "balanced" else np.sqrt(balanced))


def _weights_of(weights: Any, counts: pd.Series | None) -> Any:
    if weights is None or counts is None:
        return weights
    return class_weights(counts.to_numpy(), weights, [str(name) for name in counts.index])


def _named_weights(weights: Mapping[str, float], classes: Sequence[str]) -> np.ndarray:
    unknown = [name for name in weights if name not in classes]
    missing = [name for name in classes if name not in weights]
    if unknown or missing:
        problems = [f"{unknown} are not classes"] * bool(unknown)
        problems += [f"{missing} have no weight"] * bool(missing)
        raise ValueError(
            f"class_weights is {dict(weights)}: {' and '.join(problems)}; "
            f"give one weight for each of {list(classes)}"
        )
    return np.asarray(_check_weights([weights[name] for name in classes], len(classes)))


def _check_weights(
    weights: Sequence[float] | np.ndarray | None, n_classes: int
) -> list[float] | None:
    if weights is None:
        return None
    array = np.asarray(weights, dtype=float)
    if array.shape != (n_classes,) or not np.all(np.isfinite(array) & (array >= 0)):
        raise ValueError(
            f"class_weights is {array.tolist()}; give {n_classes} weights of 0 or more"
        )
    if not array.any():
        raise ValueError(f"class_weights is {array.tolist()}; one at least must be above 0")
    return [float(weight) for weight in array]


def _check_values(smoothing: float, gamma: float, alpha: float, gap: float) -> None:
    if not 0 <= smoothing < 1:
        raise ValueError(f"label_smoothing is {smoothing}; use 0 or more and less than 1")
    if gamma < 0 or not 0 <= alpha <= 1:
        raise ValueError(
            f"focal_gamma is {gamma} and focal_alpha {alpha}; "
            "use a gamma of 0 or more and an alpha from 0 to 1"
        )
    if not 0 < gap <= 1:
        raise ValueError(
            f"auc_gap is {gap}; use more than 0 and at most 1, as probabilities differ"
        )
