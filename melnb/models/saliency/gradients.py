"""Integrated gradients: what each pixel, and each piece of metadata, adds to the score.

Sundararajan et al. 2017, "Axiomatic attribution for deep networks". The gradient is averaged along
the straight path from a baseline to the picture and multiplied by the way: the attributions sum to
the difference of the scores (completeness), which is checked for every picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from melnb.models.saliency.anatomy import Anatomy, Gradient
from melnb.models.saliency.baselines import make_baseline
from melnb.models.saliency.batching import batches_of, one_hot, run_rows, to_array
from melnb.models.saliency.samples import Sample

TOLERANCE = 0.05  # of the difference of the scores, or of 1 where that is smaller


@dataclass(frozen=True)
class Attributions:
    """What each input adds to the score of the class explained.

    Attributes:
        image: n x size x size x 3, the channels' shares.
        metadata: n x m; None: the network takes none.
        score: n, of the class explained.
        baseline: n, that of the baseline.
        gap: n: sum of all attributions - (score - baseline); 0 were the path's integral exact.
    """

    image: np.ndarray
    metadata: np.ndarray | None
    score: np.ndarray
    baseline: np.ndarray
    gap: np.ndarray

    @property
    def complete(self) -> np.ndarray:
        """Return whether the gap is within `TOLERANCE` x max(1, |score - baseline|), n booleans."""
        way = np.maximum(1, np.abs(self.score - self.baseline))
        return np.asarray(np.abs(self.gap) <= TOLERANCE * way)

    @property
    def maps(self) -> np.ndarray:
        """Return what each pixel adds, n x size x size; below 0 what speaks against the class."""
        return np.asarray(self.image.sum(axis=-1))


def integrated_gradients(
    anatomy: Anatomy,
    sample: Sample,
    *,
    classes: np.ndarray,
    baseline: str = "skin",
    metadata_baseline: Sequence[float] | np.ndarray | None = None,
    steps: int = 32,
    batch_size: int = 32,
) -> Attributions:
    """Attribute the score of a class to pixels and metadata together.

    Equation 1, by the midpoint rule: its error falls with the square of the steps where the score
    is smooth along the path, and as 1 / steps at kinks.

    Args:
        anatomy: Of the classifier.
        sample: n pictures, with metadata if the network takes it.
        classes: The column explained in each row, n whole numbers.
        baseline: Where the path begins: see `baselines.make_baseline`.
        metadata_baseline: Where the metadata's path begins, m numbers: what stands for nothing
            known; None: zeros.
        steps: Gradients averaged.
        batch_size: Rows at a time.

    Raises:
        ValueError: The baseline is unknown or does not fit, or steps is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; use 1 or more (32 is usual)")
    ends = sample.tensors
    starts = [make_baseline(sample.images, baseline)]
    if sample.metadata is not None:
        starts.append(_metadata_start(sample.metadata, metadata_baseline))
    wanted = one_hot(classes, anatomy.classes)
    parts = [
        _path(anatomy.by_input, batch[: len(ends)], batch[len(ends) : -1], batch[-1], steps)
        for batch in batches_of([*ends, *starts, wanted], batch_size)
    ]
    shares = [np.concatenate(some)[: len(sample)] for some in zip(*parts, strict=True)]
    score, begin = (
        (run_rows(anatomy.scores, tensors, batch_size) * wanted).sum(axis=-1)
        for tensors in (ends, starts)
    )
    total = sum(part.reshape(len(sample), -1).sum(axis=1, dtype="float64") for part in shares)
    metadata = shares[1] if len(shares) > 1 else None
    return Attributions(shares[0], metadata, score, begin, np.asarray(total - (score - begin)))


def _path(
    gradient: Gradient,
    ends: list[np.ndarray],
    starts: list[np.ndarray],
    wanted: np.ndarray,
    steps: int,
) -> list[np.ndarray]:
    """Return way x mean gradient of a batch, for each input."""
    ways = [end - start for end, start in zip(ends, starts, strict=True)]
    sums = [np.zeros_like(way, dtype="float64") for way in ways]
    for step in range(steps):
        share = (step + 0.5) / steps
        here = [start + share * way for start, way in zip(starts, ways, strict=True)]
        _, slopes = gradient(here, wanted)
        for total, slope in zip(sums, slopes, strict=True):
            total += to_array(slope)
    pairs = zip(ways, sums, strict=True)
    return [(way * (total / steps)).astype("float32") for way, total in pairs]


def _metadata_start(metadata: np.ndarray, given: Sequence[float] | np.ndarray | None) -> np.ndarray:
    start = np.zeros(metadata.shape[1]) if given is None else np.asarray(given, dtype=float)
    if start.shape != metadata.shape[1:]:
        raise ValueError(
            f"metadata_baseline has the shape {start.shape}, but a row of metadata "
            f"{metadata.shape[1:]}: give one number for each of its cells"
        )
    return np.asarray(np.broadcast_to(start, metadata.shape), "float32").copy()
