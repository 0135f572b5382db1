"""Grad-CAM: the last map of features, its channels weighed by what a class gains by them.

Selvaraju et al. 2017, "Grad-CAM: Visual explanations from deep networks via gradient-based
localization". As coarse as the map is: at 64 pixels a map of 4 x 4 cells tells a quarter of the
side from the next.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from melnb.models.saliency.anatomy import Anatomy
from melnb.models.saliency.batching import batches_of, one_hot, run_rows, to_array
from melnb.models.saliency.samples import Sample


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


def _resize(maps: np.ndarray, size: int) -> np.ndarray:
    return to_array(ops.image.resize(maps, (size, size), interpolation="bilinear"))[..., 0]
