"""Explanations: Grad-CAM and integrated gradients of the same pictures, for the same classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops
from scipy import ndimage

from melnb.data.datasets import Dataset
from melnb.data.shards.records import read_index
from melnb.models.networks.heads import input_sizes
from melnb.models.out_of_fold import Patients, encode_images
from melnb.models.saliency.feature_map import (
    Anatomy,
    Gradient,
    batches_of,
    dissect,
    one_hot,
    run_rows,
    to_array,
)
from melnb.models.saliency.samples import Sample, read_sample

# Baselines: the picture without what is looked for.
#
# Every attribution is a comparison, and its baseline says with what. Where the picture equals the
# baseline nothing can be attributed: a black baseline is blind to what is black, as melanomas are
# in places. Sturmfels et al. 2020, "Visualizing the impact of feature attribution baselines".

BASELINES = ("black", "blurred", "skin")
_BLUR = 1 / 8  # of the side: the deviation that leaves no border of a lesion
_RING = (0.8, 1.0)  # of half the side: where skin is looked for, within a dermoscope's round field


def make_baseline(images: np.ndarray, kind: str) -> np.ndarray:
    """Return what pictures are compared with.

    Args:
        images: n x size x size x 3, 0-255.
        kind: `black`; `blurred`: the picture without detail, which keeps a lesion's mean colour;
            `skin`: one colour, the median of the picture's outer ring, which is skin unless the
            lesion fills the picture.

    Returns:
        Of the images' shape, float32.

    Raises:
        ValueError: There is no such kind.
    """
    match kind:
        case "black":
            return np.zeros_like(images, dtype="float32")
        case "blurred":
            sigma = images.shape[1] * _BLUR
            blurred = ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest")
            return np.asarray(blurred, "float32")
        case "skin":
            colours = np.median(images[:, ring(images.shape[1])], axis=1)
            plain = np.broadcast_to(colours[:, None, None, :], images.shape)
            return np.asarray(plain, "float32").copy()
    raise ValueError(f"baseline is {kind!r}; use one of {list(BASELINES)}")


def ring(size: int) -> np.ndarray:
    """Return where the outer ring of a picture lies, size x size booleans."""
    place = (np.arange(size) + 0.5) / size * 2 - 1
    radius = np.hypot(place[:, None], place[None, :])
    return np.asarray((radius >= _RING[0]) & (radius <= _RING[1]))


# Grad-CAM: the last map of features, its channels weighed by what a class gains by them.
#
# Selvaraju et al. 2017, "Grad-CAM: Visual explanations from deep networks via gradient-based
# localization". As coarse as the map is: at 64 pixels a map of 4 x 4 cells tells a quarter of the
# side from the next.


def grad_cam(
    anatomy: Anatomy, sample: Sample, *, classes: np.ndarray, batch_size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Return where each picture speaks for a class.

    Equations 1 and 2: the weight of a channel is the mean, over the map, of the score's gradient;
    the map is the positive part of the weighted sum of the channels. It is resized to the picture
    bilinearly, and not scaled to a maximum of 1: maps of one network can be compared.

    Args:
        anatomy: Of the classifier, cut at the map.
        sample: n pictures.
        classes: The column explained in each row, n whole numbers.
        batch_size: Rows at a time.

    Returns:
        n x size x size float32, 0 or more, all 0 where nothing speaks for the class; and the same
        with what speaks against it, below 0.
    """
    maps = run_rows(anatomy.below, sample.tensors, batch_size)
    size = sample.images.shape[1]
    signed = np.zeros((*maps.shape[:3], 1), "float32")
    tensors = [maps, *sample.tensors, one_hot(classes, anatomy.classes)]
    done = 0
    for batch in batches_of(tensors, batch_size):
        _, by_input = anatomy.by_map(batch[:-1], batch[-1])
        weights = to_array(by_input[0]).mean(axis=(1, 2), keepdims=True)
        here = signed[done : done + len(batch[0])]
        here[:] = (weights * batch[0]).sum(axis=-1, keepdims=True)[: len(here)]
        done += len(here)
    return _resize(np.maximum(signed, 0), size), _resize(signed, size)


def mean_grad_cam(
    networks: Mapping[int, keras.Model],
    homes: Mapping[int, Path],
    data: Dataset,
    paths: Sequence[Path],
    *,
    classes: int,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """Return where several networks, in the mean, see pictures speak for a class.

    Each network's map is a share of its own greatest value first, so that none drowns the others.

    Args:
        networks: By fold.
        homes: The folder of each.
        data: The dataset of the pictures.
        paths: Its shards.
        classes: The column explained.
        batch_size: Rows at a time.

    Returns:
        Image id to size x size float32, 0 to 1.
    """
    index, planes = read_index(paths), []
    for fold, network in networks.items():
        sample = read_sample(
            index, index["image_id"], image_size=input_sizes(network)[0],
            metadata=encode_images(network, homes[fold], data, paths),
        )  # fmt: skip
        columns = np.full(len(sample), classes)
        maps, _ = grad_cam(dissect(network), sample, classes=columns, batch_size=batch_size)
        most = maps.max(axis=(1, 2), keepdims=True)
        planes.append(np.divide(maps, most, out=np.zeros_like(maps), where=most > 0))
    return dict(zip(index["image_id"], np.mean(planes, axis=0), strict=True))


def _resize(maps: np.ndarray, size: int) -> np.ndarray:
    return to_array(ops.image.resize(maps, (size, size), interpolation="bilinear"))[..., 0]


# Integrated gradients: what each pixel, and each piece of metadata, adds to the score.
#
# Sundararajan et al. 2017, "Axiomatic attribution for deep networks". The gradient is averaged
# along the straight path from a baseline to the picture and multiplied by the way: the
# attributions sum to the difference of the scores (completeness), which is checked for every
# picture.

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
        baseline: Where the path begins: see `explanations.make_baseline`.
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


METHODS = ("Grad-CAM", "integrated gradients")


@dataclass(frozen=True)
class Explanation:
    """Where pictures speak for a class, by each method.

    Attributes:
        classes: The column explained in each row.
        probability: n, of that class.
        maps: n x size x size for each of `METHODS`, 0 or more: what is drawn and scored.
        signed: The same with what speaks against the class, below 0.
        attributions: The integrated gradients whole.
    """

    classes: np.ndarray
    probability: np.ndarray
    maps: Mapping[str, np.ndarray]
    signed: Mapping[str, np.ndarray]
    attributions: Attributions


def explain(
    anatomy: Anatomy,
    sample: Sample,
    *,
    classes: int | Sequence[int] | np.ndarray,
    baseline: str = "skin",
    metadata_baseline: Sequence[float] | np.ndarray | None = None,
    steps: int = 32,
    batch_size: int = 32,
) -> Explanation:
    """Explain pictures by both methods.

    Args:
        anatomy: Of the classifier.
        sample: n pictures.
        classes: The column explained, one for all rows or one for each.
        baseline: See `explanations.make_baseline`.
        metadata_baseline: See `explanations.integrated_gradients`.
        steps: Of the integrated gradients.
        batch_size: Rows at a time.
    """
    columns = np.broadcast_to(np.asarray(classes, dtype=int), (len(sample),))
    cam, signed_cam = grad_cam(anatomy, sample, classes=columns, batch_size=batch_size)
    attributions = integrated_gradients(
        anatomy, sample, classes=columns, baseline=baseline, metadata_baseline=metadata_baseline,
        steps=steps, batch_size=batch_size,
    )  # fmt: skip
    probabilities = run_rows(anatomy.probabilities, sample.tensors, batch_size)
    chosen = probabilities[np.arange(len(sample)), columns]
    signed = dict(zip(METHODS, (signed_cam, attributions.maps), strict=True))
    maps = dict(zip(METHODS, (cam, np.maximum(attributions.maps, 0)), strict=True))
    return Explanation(columns, chosen, maps, signed, attributions)


def metadata_attributions(
    explanation: Explanation, sample: Sample, patients: Patients
) -> pd.DataFrame:
    """Return what each column of metadata adds to the score of each picture.

    Args:
        explanation: Of the sample.
        sample: n pictures.
        patients: Names of the columns, and the column that each cell of a row belongs to.

    Returns:
        A row per picture and column: `image_id`, `column`, `attribution` (the sum over its cells)
        and `size` (without its sign); none if the network takes no metadata.
    """
    values = explanation.attributions.metadata
    names = ["image_id", "column", "attribution", "size"]
    if values is None:
        return pd.DataFrame(columns=names)
    columns = patients.columns
    sums = np.zeros((len(sample), len(columns)))
    np.add.at(sums.T, np.asarray(patients.cells, dtype=int), values.T)
    table = pd.DataFrame(
        {
            "image_id": np.repeat(sample.image_id, len(columns)),
            "column": np.tile(np.asarray(columns, dtype=object), len(sample)),
            "attribution": sums.ravel(),
        }
    )
    return table.assign(size=table["attribution"].abs())
