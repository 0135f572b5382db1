"""Sanity checks of saliency: an explanation must change when weights are randomized.

The cascading check of Adebayo et al. 2018, "Sanity checks for saliency maps", from the head to the
first layer. They initialise layers anew; here the values of each tensor are shuffled among
themselves, for a network whose residual branches begin at 0 would be switched off rather than
randomised. A map that stays alike (a rank correlation near 1) shows edges, not reasons. Maps are
compared with their signs: of a destroyed network the positive part may be nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy import ndimage, stats

from melnb.models.saliency.explanations import Explanation, explain
from melnb.models.saliency.feature_map import HEAD, Anatomy
from melnb.models.saliency.samples import Sample

_SIGMA, _TRUNCATE = 1.5, 3.5  # of SSIM's Gaussian window: 11 x 11 pixels
_K1, _K2 = 0.01, 0.03  # of SSIM's constants


def check_randomization(
    model: keras.Model,
    anatomy: Anatomy,
    sample: Sample,
    explanation: Explanation,
    *,
    levels: int = 5,
    draws: int = 3,
    seed: int = 0,
    **how: Any,
) -> pd.DataFrame:
    """Compare each map with that of the same network, destroyed from the head down, level by level.

    The model's weights are put back at the end, whatever happens.

    Args:
        model: That was dissected.
        anatomy: Of the model.
        sample: Of the explanation.
        explanation: Of the model as it is.
        levels: The first is the head alone, the last the whole network.
        draws: How often it is destroyed, each time anew.
        seed: Of the shuffling.
        how: Keywords of `explanations.explain`, as the explanation was made; not `classes`.

    Returns:
        A row per picture, method and level: `image_id`, `method`, `level` (from 1), `layers` (the
        share of the layers with weights that is destroyed), and the means over the draws of
        `rank_correlation` (Spearman, over the pixels; NaN where a map is constant) and `ssim`.
    """
    generator = np.random.default_rng(seed)
    parts = [
        _cascade_rows(model, anatomy, sample, explanation, levels, generator, how)
        for _ in range(draws)
    ]
    keys = ["image_id", "method", "level", "layers"]
    return pd.concat(parts).groupby(keys, sort=False).mean().reset_index()


def _cascade_rows(
    model: keras.Model,
    anatomy: Anatomy,
    sample: Sample,
    explanation: Explanation,
    levels: int,
    generator: np.random.Generator,
    how: Mapping[str, Any],
) -> pd.DataFrame:
    steps = cascade(model, levels)
    whole = sum(len(step) for step in steps)
    tables, gone = [], 0
    with kept_weights(model):
        for level, layers in enumerate(steps, start=1):
            shuffle_weights(layers, generator)
            gone += len(layers)
            broken = explain(anatomy, sample, classes=explanation.classes, **how)
            for method, maps in explanation.signed.items():
                row = {"image_id": sample.image_id, "method": method, "level": level}
                row |= {"layers": gone / whole}
                row |= {"rank_correlation": rank_correlation(maps, broken.signed[method])}
                row |= {"ssim": structural_similarity(maps, broken.signed[method])}
                tables.append(pd.DataFrame(row))
    return pd.concat(tables, ignore_index=True)


def cascade(model: keras.Model, levels: int) -> list[list[keras.layers.Layer]]:
    """Return the layers with weights from the output to the input, in levels, the head first.

    Raises:
        ValueError: There are fewer than 2 levels, or more than layers.
    """
    layers = [layer for layer in _leaves(model) if layer.weights][::-1]
    if not 2 <= levels <= len(layers):
        raise ValueError(f"levels is {levels}; use 2 to {len(layers)}, the layers with weights")
    head = [layer for layer in layers if layer.name == HEAD] or layers[:1]
    rest = [layer for layer in layers if layer not in head]
    edges = np.linspace(0, len(rest), levels).round().astype(int)
    return [head, *[rest[first:last] for first, last in pairwise(edges)]]


def shuffle_weights(layers: list[keras.layers.Layer], generator: np.random.Generator) -> None:
    """Shuffle the values of every tensor of layers among themselves."""
    for layer in layers:
        layer.set_weights(
            [generator.permutation(w.ravel()).reshape(w.shape) for w in layer.get_weights()]
        )


@contextmanager
def kept_weights(model: keras.Model) -> Iterator[None]:
    """Put a model's weights back at the end."""
    weights = model.get_weights()
    try:
        yield
    finally:
        model.set_weights(weights)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of n pairs of maps over pixels; NaN if one is constant."""
    ranks = [stats.rankdata(m.reshape(len(m), -1), axis=1) for m in (first, second)]
    a, b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    above, below = (a * b).sum(axis=1), np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.divide(above, below, out=np.full(len(a), np.nan), where=below > 0))


def structural_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the mean structural similarity of n pairs of maps, each scaled to a range of 1.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity",
    IEEE Transactions on Image Processing 13:600, with its Gaussian window.
    """
    x, y = (_to_one(maps) for maps in (first, second))
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    both = _blur(x * y) - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    above = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    edge = int(_TRUNCATE * _SIGMA + 0.5)  # where the window leaves the picture
    similar = above / below
    if similar.shape[1] > 2 * edge:
        similar = similar[:, edge:-edge, edge:-edge]
    return np.asarray(similar.mean(axis=(1, 2)))


def _leaves(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model and of the models inside it, from input to output."""
    layers = []
    for layer in model.layers:
        layers += _leaves(layer) if isinstance(layer, keras.Model) else [layer]
    return layers


def _to_one(maps: np.ndarray) -> np.ndarray:
    """Return maps scaled by their greatest size, 0 at 0.5, so that their range is 1."""
    greatest = np.abs(maps).max(axis=(1, 2), keepdims=True)
    scaled = np.divide(maps, greatest, out=np.zeros(maps.shape), where=greatest > 0)
    return np.asarray((scaled + 1) / 2)


def _blur(planes: np.ndarray) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(planes, (0, _SIGMA, _SIGMA), truncate=_TRUNCATE))
