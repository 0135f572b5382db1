"""How far apart two outlines lie, in pixels and as a share of the picture's diagonal.

Overlap forgives a long spike of a large lesion; a distance does not. The 95th percentile is taken
in place of the greatest distance, which a single pixel decides (Huttenlocher et al. 1993, IEEE
Transactions on Pattern Analysis and Machine Intelligence 15:850; Maier-Hein et al. 2024, Nature
Methods 21:195).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.evaluation.challenges.masks import lesion_plane
from melnb.tables import TableError

NOTHING_PREDICTED = "nothing is predicted: the diagonal is taken"
NOTHING_TRUE = "nothing is lesion: the diagonal is taken"


def boundary_distances(
    truth: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    *,
    percentile: float = 95.0,
) -> pd.DataFrame:
    """Return the distance between the outlines of each image.

    Args:
        truth: Image id and mask: height x width, uint8 of 0-255 or booleans.
        predicted: The same images at least, each of its truth's size.
        percentile: Of the distances of either outline's pixels.

    Returns:
        A row per image, in the order of `truth`: `image_id`, `hd95` (pixels), `hd95_share` (of the
        diagonal), `note`.

    Raises:
        TableError: An image has no predicted mask, or one of another size.
        ValueError: A mask is not of bytes or booleans, or not a plane.
    """
    rows = []
    for image, mask in truth.items():
        if image not in predicted:
            raise TableError(f"masks: {image} has no predicted mask")
        true, called = lesion_plane(image, mask), lesion_plane(image, predicted[image])
        if true.shape != called.shape:
            raise TableError(
                f"masks: the predicted mask of {image} is {called.shape} and the true one "
                f"{true.shape}: scale it to the true size first"
            )
        distance = boundary_distance(true, called, percentile=percentile)
        note = ""
        if true.any() != called.any():
            note = NOTHING_PREDICTED if true.any() else NOTHING_TRUE
        rows.append((image, distance, distance / math.hypot(*true.shape), note))
    return pd.DataFrame(rows, columns=["image_id", "hd95", "hd95_share", "note"])


def boundary_distance(
    truth: np.ndarray, predicted: np.ndarray, *, percentile: float = 95.0
) -> float:
    """Return the robust Hausdorff distance of two masks, in pixels.

    Each outline's pixels have a distance to the nearest pixel of the other; the percentile is taken
    of either outline, and the larger of both counts. Two empty masks agree: 0. An empty one against
    another is as far away as the picture allows, its diagonal, as the BraTS challenges have it
    (Bakas et al. 2018, arXiv:1811.02629): left out, a missed lesion would better the mean.

    Args:
        truth: Height x width booleans.
        predicted: The same size.
        percentile: 100: the Hausdorff distance itself.
    """
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile is {percentile}, not from 0 to 100: 95 is usual")
    if not (truth.any() or predicted.any()):
        return 0.0
    if not (truth.any() and predicted.any()):
        return math.hypot(*truth.shape)
    # Imported here, as it would double what this module costs to import.
    from scipy.spatial import cKDTree

    # A tree of outlines costs a hundredth of a distance transform of a large picture.
    first, second = cKDTree(outline_pixels(truth)), cKDTree(outline_pixels(predicted))
    ways = (second.query(first.data)[0], first.query(second.data)[0])
    return max(float(np.percentile(distances, percentile)) for distances in ways)


def outline_pixels(mask: np.ndarray) -> np.ndarray:
    """Return row and column of the lesion's pixels that touch what is not lesion by a side.

    What lies beyond the picture is not lesion.

    Args:
        mask: Height x width booleans.

    Returns:
        n x 2 whole numbers.
    """
    wide = np.pad(mask, 1)
    inside = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return np.argwhere(mask & ~inside)
