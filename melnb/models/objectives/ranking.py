"""Ranking: losses that are small when images of a class are scored above the rest, the AUC's aim.

Scores are probabilities, 0-1, and both losses take the squared hinge of the gap between two.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from melnb.models.objectives.one_vs_rest import OneVsRest


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
