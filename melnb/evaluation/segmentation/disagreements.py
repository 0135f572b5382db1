"""How far the views of an image, or the folds' networks, contradict each other about its lesion.

Where the makers of a mask agree it is mostly right; where they do not, it may not be. The overlap
of sampled masks is the measure of Roy et al. 2019, NeuroImage 195:11 (there, of dropout samples).
"""

from __future__ import annotations

import numpy as np

from melnb.evaluation.challenges.masks import lesion_plane


def mask_disagreement(masks: np.ndarray, mean: np.ndarray) -> float:
    """Return 1 less the mean Jaccard index of each mask with the mask of their mean.

    Args:
        masks: n x height x width, uint8 of 0-255 or booleans: one per view or fold, all turned to
            stand as the image does.
        mean: Height x width, likewise: the mask made of all of them together.

    Returns:
        0, where all are alike, to 1; 0 where all are empty.

    Raises:
        ValueError: There is no mask, or they are not of one size.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or not len(masks) or masks.shape[1:] != np.shape(mean):
        raise ValueError(
            f"masks has the shape {masks.shape} and mean {np.shape(mean)}: pass n x height x width "
            "and height x width"
        )
    whole = lesion_plane("the mean", mean)
    planes = np.stack([lesion_plane(f"view {k}", mask) for k, mask in enumerate(masks)])
    both = np.count_nonzero(planes & whole, axis=(1, 2))
    either = np.count_nonzero(planes | whole, axis=(1, 2))
    overlap = np.divide(both, either, out=np.ones(len(planes)), where=either > 0)
    return float(1 - overlap.mean())
