"""Jaccard and threshold Jaccard: how ISIC 2018 Task 1 and its forebears ranked masks.

After https://github.com/ImageMarkup/isic-challenge-scoring: a pixel is lesion above 128 of 255; a
share of no pixels counts as 1; a Jaccard index below 0.65 counts as 0; means are over images.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.tables.checks import TableError

LESION_ABOVE = 128
LEAST_JACCARD = 0.65
MEASURES = ("threshold_jaccard", "jaccard", "dice", "sensitivity", "specificity", "accuracy")


def mask_scores(
    truth: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    *,
    least_jaccard: float = LEAST_JACCARD,
) -> pd.DataFrame:
    """Return how well each image's mask matches.

    Args:
        truth: Image id and mask: height x width, uint8 of 0-255 or booleans.
        predicted: The same images, each of its truth's size. Masks are read one by one, so that a
            mapping may load them from files.
        least_jaccard: A Jaccard index below it counts as 0 in `threshold_jaccard`.

    Returns:
        A row per image, in the order of `truth`: `image_id`, `MEASURES`, `tp`, `fp`, `fn`, `tn`
        (pixels).

    Raises:
        TableError: Images are missing or not asked for, or a mask is not of its truth's size.
        ValueError: A mask is not of bytes or booleans, or not a plane.
    """
    for lost, what in (
        ([i for i in truth if i not in predicted], "has no predicted mask"),
        ([i for i in predicted if i not in truth], "has a predicted mask and no true one"),
    ):
        if lost:
            raise TableError(f"masks: {lost[0]} {what} ({len(lost)} such images)")
    entries = [{"image_id": i, **_pixel_counts(i, truth[i], predicted[i])} for i in truth]
    counts = pd.DataFrame(entries, columns=["image_id", "tp", "fp", "fn", "tn"])
    tp, fp, fn, tn = (counts[c].to_numpy(dtype=float) for c in ("tp", "fp", "fn", "tn"))
    jaccard = _share(tp, tp + fp + fn)
    measures = {
        "threshold_jaccard": np.where(jaccard >= least_jaccard, jaccard, 0.0),
        "jaccard": jaccard,
        "dice": _share(2 * tp, 2 * tp + fp + fn),
        "sensitivity": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
        "accuracy": _share(tp + tn, tp + fp + fn + tn),
    }
    columns = ["image_id", *MEASURES, "tp", "fp", "fn", "tn"]
    return counts.assign(**measures)[columns]


def lesion_plane(image: str, mask: np.ndarray) -> np.ndarray:
    """Return a mask as booleans, height x width.

    Args:
        image: Its id, for the error.
        mask: Height x width, uint8 of 0-255 or booleans.

    Raises:
        ValueError: It is not of bytes or booleans, or not a plane.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype not in (np.dtype(bool), np.dtype(np.uint8)):
        raise ValueError(
            f"mask of {image} is {mask.dtype} of shape {mask.shape}: use height x width of uint8 "
            "(0-255) or booleans"
        )
    return mask if mask.dtype == bool else mask > LESION_ABOVE


def _pixel_counts(image: str, truth: np.ndarray, predicted: np.ndarray) -> dict[str, int]:
    truth, predicted = lesion_plane(image, truth), lesion_plane(image, predicted)
    if truth.shape != predicted.shape:
        raise TableError(
            f"masks: the predicted mask of {image} is {predicted.shape} and the true one "
            f"{truth.shape}: scale it to the true size first"
        )
    both, true, called = (int(np.count_nonzero(m)) for m in (truth & predicted, truth, predicted))
    return {
        "tp": both,
        "fp": called - both,
        "fn": true - both,
        "tn": truth.size - true - called + both,
    }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)
    return shares
