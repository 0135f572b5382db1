"""The losses by name, and the weights of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from melnb.models.objectives.cross_entropy import CrossEntropy, Focal, MarginFocal
from melnb.models.objectives.one_vs_rest import SoftF1
from melnb.models.objectives.ranking import AucMargin, AucPairs
from melnb.models.objectives.weighting import Weighted

LOSSES = ("cross_entropy", "focal", "margin_focal", "soft_f1", "auc_pairs", "auc_margin")
CLASS_WEIGHTS = ("ones", "balanced", "balanced-sqrt")


def make_loss(
    name: str,
    *,
    n_classes: int,
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
    focal_alpha: float = 0.25,
    auc_gap: float = 1.0,
    class_weights: Sequence[float] | np.ndarray | None = None,
) -> Weighted:
    """Make a loss on (truth, probabilities), each n x n_classes; its `call` gives n numbers.

    Args:
        name: One of `LOSSES`. The last three are losses of a whole batch, whose n numbers belong
            together; the others are exact for each image by itself.
        n_classes: Columns of both tables.
        label_smoothing: Share of each truth that is spread evenly over the classes, 0 to below 1;
            not used by losses of a whole batch, which count images.
        focal_gamma: See `Focal`.
        focal_alpha: See `Focal`.
        auc_gap: See `AucPairs` and `AucMargin`.
        class_weights: n_classes factors, as `class_weights` gives; None for ones.

    Raises:
        ValueError: The name is unknown, a value is out of bounds, or there are not n_classes
            weights.
    """
    _check_values(label_smoothing, focal_gamma, focal_alpha, auc_gap)
    weights = _check_weights(class_weights, n_classes)
    match name:
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
    raise ValueError(f"loss is {name!r}; use one of {list(LOSSES)}")


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
