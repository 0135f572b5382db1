"""From a plane of probabilities to one lesion: smoothed, cut, the largest part kept and filled."""

from __future__ import annotations

import numpy as np

REFERENCE_SIDE = 224  # pixels: smoothing is given for a plane of this side


def cleaned_mask(
    probability: np.ndarray, *, threshold: float = 0.5, smoothing: float = 2.0
) -> np.ndarray:
    """Return the lesion of a plane of probabilities.

    A Gaussian blur, then a cut, then the largest part that hangs together by sides, as in the entry
    yuanqing811/ISIC2018 to ISIC 2018 Task 1, and its holes filled, as that challenge says that a
    lesion has none. Of parts of one size, the one that begins first, row by row.

    Args:
        probability: Height x width, 0-1.
        threshold: Lesion is what lies above it.
        smoothing: Deviation of the blur, in pixels of a plane of `REFERENCE_SIDE`; it grows with
            the larger side; 0: none. Beyond its edges the plane goes on as they are.

    Returns:
        Height x width booleans; nothing where no pixel lies above the threshold.

    Raises:
        ValueError: The plane is none, or the smoothing is below 0.
    """
    plane = np.asarray(probability, dtype=float)
    if plane.ndim != 2:
        raise ValueError(f"probability has the shape {plane.shape}: pass height x width")
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing is {smoothing}: use pixels from 0 up")
    # Imported here, as it would double what this module costs to import.
    from scipy import ndimage

    deviation = smoothing * max(plane.shape) / REFERENCE_SIDE
    smooth = ndimage.gaussian_filter(plane, deviation, mode="nearest") if smoothing else plane
    mask: np.ndarray = smooth > threshold
    labels, number = ndimage.label(mask)
    if number > 1:
        mask = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    return np.asarray(ndimage.binary_fill_holes(mask))
