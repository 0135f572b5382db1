"""Losses of masks by name: Jaccard, Dice, focal, Tversky …, each image before any mean.

With p the probability and y the mask of a pixel, all sums are over the pixels of one image. Where
a share is taken, `smooth` pixels are added above and below it: of an empty mask the loss then goes
to nothing as its probability does, instead of being 0 / 0.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from melnb.tables.nearest import did_you_mean

MASK_LOSSES = ("bce", "dice", "jaccard", "bce_dice", "focal_tversky")
_LEAST = 1e-7  # of what is raised to a power below 1, whose slope at nothing is infinite


class MaskLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss of logits against masks, each n x height x width x 1; its `call` gives n numbers."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return n losses of n masks, 0 to 1, and their logits."""
        count = ops.shape(y_pred)[0]
        masks = ops.reshape(ops.cast(y_true, y_pred.dtype), (count, -1))
        return self.each(masks, ops.reshape(y_pred, (count, -1)))

    def each(self, masks: Any, logits: Any) -> Any:
        """Return n losses of n x pixels masks and logits."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("melnb")
class MaskCrossEntropy(MaskLoss):
    """The mean binary cross-entropy of the pixels."""

    def each(self, masks: Any, logits: Any) -> Any:
        """Return n losses; exact for logits of any size, for no probability is made of them."""
        pixels = masks * ops.softplus(-logits) + (1 - masks) * ops.softplus(logits)
        return ops.mean(pixels, axis=-1)


@keras.saving.register_keras_serializable("melnb")
class Dice(MaskLoss):
    """One less the soft Dice coefficient, 2 sum(p y) / (sum(p) + sum(y)) (Sudre et al. 2017).

    Args:
        smooth: Pixels added above and below.
        cross_entropy: Weight of the mean binary cross-entropy of the pixels, added to it.
        keywords: Of Keras' loss.
    """

    def __init__(self, smooth: float = 1.0, cross_entropy: float = 0.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.smooth = float(smooth)
        self.cross_entropy = float(cross_entropy)

    def each(self, masks: Any, logits: Any) -> Any:
        """Return n losses."""
        probabilities = ops.sigmoid(logits)
        both = ops.sum(probabilities * masks, axis=-1)
        size = ops.sum(probabilities, axis=-1) + ops.sum(masks, axis=-1)
        losses = 1 - (2 * both + self.smooth) / (size + self.smooth)
        if self.cross_entropy:
            losses = losses + self.cross_entropy * MaskCrossEntropy().each(masks, logits)
        return losses

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same loss again."""
        settings = {"smooth": self.smooth, "cross_entropy": self.cross_entropy}
        return {**super().get_config(), **settings}


@keras.saving.register_keras_serializable("melnb")
class Tversky(MaskLoss):
    """One less the soft Tversky index, raised to 1 / gamma (Abraham & Khan 2019, equation 4).

    The index is sum(p y) / (sum(p y) + alpha sum((1 - p) y) + beta sum(p (1 - y))). With alpha,
    beta and gamma of 1 the loss is one less the soft Jaccard index (Rahman & Wang 2016).

    Args:
        alpha: Weight of what is missed.
        beta: Weight of what is called in vain.
        gamma: Above 1 images that are nearly right count for more, against the rest.
        smooth: Pixels added above and below.
        keywords: Of Keras' loss.
    """

    def __init__(
        self,
        alpha: float = 0.7,
        beta: float = 0.3,
        gamma: float = 4 / 3,
        smooth: float = 1.0,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.alpha, self.beta, self.gamma = float(alpha), float(beta), float(gamma)
        self.smooth = float(smooth)

    def each(self, masks: Any, logits: Any) -> Any:
        """Return n losses."""
        probabilities = ops.sigmoid(logits)
        both = ops.sum(probabilities * masks, axis=-1)
        missed = self.alpha * ops.sum((1 - probabilities) * masks, axis=-1)
        vain = self.beta * ops.sum(probabilities * (1 - masks), axis=-1)
        losses = (missed + vain) / (both + missed + vain + self.smooth)  # 1 less the index
        if self.gamma == 1:
            return losses
        return ops.maximum(losses, _LEAST) ** (1 / self.gamma)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the same loss again."""
        settings = {
            "alpha": self.alpha,
            "beta": self.beta,
            "gamma": self.gamma,
            "smooth": self.smooth,
        }
        return {**super().get_config(), **settings}


def make_mask_loss(
    loss: str,
    *,
    smooth: float = 1.0,
    tversky_alpha: float = 0.7,
    tversky_beta: float = 0.3,
    tversky_gamma: float = 4 / 3,
) -> MaskLoss:
    """Make a loss on (masks, logits), each n x height x width x 1; its `call` gives n numbers.

    Args:
        loss: One of `MASK_LOSSES`; `bce_dice` is the sum of the two.
        smooth: All but `bce`: pixels added above and below each share.
        tversky_alpha: See `Tversky`.
        tversky_beta: See `Tversky`.
        tversky_gamma: See `Tversky`.

    Raises:
        ValueError: The name is unknown, or a value is out of bounds.
    """
    if smooth <= 0 or min(tversky_alpha, tversky_beta) < 0 or tversky_gamma < 1:
        raise ValueError(
            f"smooth is {smooth}, tversky_alpha {tversky_alpha}, tversky_beta {tversky_beta} and "
            f"tversky_gamma {tversky_gamma}; use a smooth above 0, an alpha and beta of 0 or more "
            "and a gamma of 1 or more"
        )
    match loss:
        case "bce":
            return MaskCrossEntropy()
        case "dice":
            return Dice(smooth)
        case "jaccard":
            return Tversky(1.0, 1.0, 1.0, smooth)
        case "bce_dice":
            return Dice(smooth, cross_entropy=1.0)
        case "focal_tversky":
            return Tversky(tversky_alpha, tversky_beta, tversky_gamma, smooth)
    hint = did_you_mean(loss, MASK_LOSSES)
    raise ValueError(f"loss is {loss!r}{hint} (use one of {list(MASK_LOSSES)})")
