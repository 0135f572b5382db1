"""Map scores and sanity checks: how an explanation fails: inside the mask, deletion, insertion.

inside      share of a map's sum that lies in the lesion's mask: the energy-based pointing game
            of Wang et al. 2020 (Score-CAM, section 4.3)
concentration  that share over the mask's share of the picture: 1 were the map flat
deletion, insertion  areas of `removal`, and what they gain on a random order of the same cells
gap, complete        of integrated gradients, see `explanations.Attributions`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy import ndimage, stats

from melnb.models.saliency.explanations import METHODS, Explanation, explain, make_baseline
from melnb.models.saliency.feature_map import HEAD, Anatomy, run_rows
from melnb.models.saliency.samples import Sample

# Removal: what the prediction becomes when the map's best parts are taken out, or put in.
#
# Petsiuk et al. 2018, "RISE: Randomized input sampling for explanation of black-box models": in
# deletion a good map makes the probability fall at once (a small area under the curve), in
# insertion rise at once (a large one). Speckles alone confuse a network, whatever they cover; so
# whole cells are taken, and every map is compared with the same cells taken in random order.


@dataclass(frozen=True)
class Removal:
    """The probability of the class explained along both curves.

    Attributes:
        share: steps + 1 shares of the picture that are taken out or put in, 0 to 1.
        deletion: n x (steps + 1).
        insertion: n x (steps + 1).
    """

    share: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the areas under the deletion and the insertion curves, n each."""
        deletion, insertion = (
            np.trapezoid(curve, self.share, axis=1) for curve in (self.deletion, self.insertion)
        )
        return deletion, insertion


def remove(
    anatomy: Anatomy,
    sample: Sample,
    order: np.ndarray,
    *,
    classes: np.ndarray,
    baseline: str = "skin",
    steps: int = 16,
    batch_size: int = 64,
) -> Removal:
    """Take the cells of each picture out in an order, and put them in.

    Args:
        anatomy: Of the classifier.
        sample: n pictures; their metadata stay as they are.
        order: n x cells x cells whole numbers, 0 for the cell that goes first.
        classes: The column explained in each row.
        baseline: What is left where a picture is taken out: see `explanations.make_baseline`.
        steps: Of equal numbers of cells.
        batch_size: Rows at a time.
    """
    size, cells = sample.images.shape[1], order.shape[1]
    places = np.minimum(np.arange(size) * cells // size, cells - 1)
    turn = order[:, places][:, :, places]  # of each pixel
    share = np.linspace(0, 1, steps + 1)
    empty = make_baseline(sample.images, baseline)
    rows = np.arange(len(sample))
    deletion, insertion = np.empty((2, len(sample), steps + 1))
    for k, part in enumerate(share):
        gone = (turn < round(part * cells * cells))[..., None]
        for curve, images in (
            (deletion, np.where(gone, empty, sample.images)),
            (insertion, np.where(gone, sample.images, empty)),
        ):
            seen = run_rows(anatomy.probabilities, [images, *sample.tensors[1:]], batch_size)
            curve[:, k] = seen[rows, classes]
    return Removal(share, deletion, insertion)


def order_by_map(maps: np.ndarray, cells: int, *, seed: int = 0) -> np.ndarray:
    """Return the order of each picture's cells, that of the greatest mean first.

    Cells alike (a map is 0 in many) stand in random order, a function of (seed, row).

    Args:
        maps: n x size x size.
        cells: On a side; at most size.
        seed: Of ties.

    Returns:
        n x cells x cells, 0 to cells^2 - 1.

    Raises:
        ValueError: There are more cells than pixels.
    """
    size = maps.shape[1]
    if not 1 <= cells <= size:
        raise ValueError(f"cells is {cells}; use 1 to {size}, the pixels on a side of the maps")
    edges = -(-np.arange(cells) * size // cells)  # the first pixel of each cell
    counts = np.diff(np.append(edges, size))
    sums = np.add.reduceat(np.add.reduceat(maps.astype("float64"), edges, axis=1), edges, axis=2)
    means = (sums / np.outer(counts, counts)).reshape(len(maps), -1)
    ties = random_order(len(maps), cells, seed=seed).reshape(len(maps), -1)
    ranked = np.lexsort((ties, -means), axis=-1)
    return np.argsort(ranked, axis=-1).reshape(-1, cells, cells)


def random_order(rows: int, cells: int, *, seed: int = 0) -> np.ndarray:
    """Return a random order of each picture's cells, a function of (seed, row)."""
    orders = [np.random.default_rng((seed, row)).permutation(cells * cells) for row in range(rows)]
    return np.asarray(orders, dtype=int).reshape(rows, cells, cells)


RANDOM = "random order"


def score_maps(
    anatomy: Anatomy,
    sample: Sample,
    explanation: Explanation,
    *,
    baseline: str = "skin",
    cells: int = 16,
    steps: int = 16,
    seed: int = 0,
    batch_size: int = 64,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the maps of an explanation.

    Args:
        anatomy: Of the classifier.
        sample: n pictures; without masks there is no `inside`.
        explanation: Of the same pictures.
        baseline: What is left where a picture is taken out.
        cells: On a side, that are taken out whole.
        steps: Of the curves.
        seed: Of the random order.
        batch_size: Rows at a time.

    Returns:
        Scores, a row per picture and method: `image_id`, `class` (its column), `method`,
        `probability`, `score`, `inside`, `lesion_share`, `concentration`, `deletion`, `insertion`,
        `deletion_gain` (random order - map), `insertion_gain` (map - random order), `gap`,
        `complete`. What cannot be had is NaN: `inside` without a mask, or of a map that is all 0.
        Curves, a row per picture, method (`random order` among them) and step: `image_id`,
        `method`, `share`, `deletion`, `insertion`.
    """
    orders = {m: order_by_map(maps, cells, seed=seed) for m, maps in explanation.maps.items()}
    orders[RANDOM] = random_order(len(sample), cells, seed=seed + 1)
    removals = {
        method: remove(
            anatomy, sample, order, classes=explanation.classes, baseline=baseline, steps=steps,
            batch_size=batch_size,
        )
        for method, order in orders.items()
    }  # fmt: skip
    tables = [_method_rows(method, sample, explanation, removals) for method in explanation.maps]
    curves = [_curve_rows(method, sample, removal) for method, removal in removals.items()]
    return pd.concat(tables, ignore_index=True), pd.concat(curves, ignore_index=True)


def energy_inside(
    maps: np.ndarray, masks: np.ndarray, has_mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each map's sum inside its mask, and the mask's share of the picture.

    Args:
        maps: n x size x size, 0 or more.
        masks: Likewise, booleans.
        has_mask: n booleans; None: all.

    Returns:
        n numbers each; NaN without a mask, and the first of a map that is all 0.
    """
    masked = np.ones(len(maps), bool) if has_mask is None else has_mask
    total = maps.sum(axis=(1, 2), dtype="float64")
    nothing = np.full(len(maps), np.nan)
    within = (maps * masks).sum(axis=(1, 2), dtype="float64")
    inside = np.divide(within, total, out=nothing.copy(), where=masked & (total > 0))
    return inside, np.where(masked, masks.mean(axis=(1, 2)), np.nan)


def _method_rows(
    method: str, sample: Sample, explanation: Explanation, removals: dict[str, Removal]
) -> pd.DataFrame:
    inside = area = np.full(len(sample), np.nan)
    if sample.masks is not None:
        inside, area = energy_inside(explanation.maps[method], sample.masks, sample.has_mask)
    deletion, insertion = removals[method].areas
    random_deletion, random_insertion = removals[RANDOM].areas
    attributions = explanation.attributions
    exact = method == METHODS[1]
    return pd.DataFrame(
        {
            "image_id": sample.image_id,
            "class": explanation.classes,
            "method": method,
            "probability": explanation.probability,
            "score": attributions.score,
            "inside": inside,
            "lesion_share": area,
            "concentration": np.divide(inside, area, out=inside * np.nan, where=area > 0),
            "deletion": deletion,
            "insertion": insertion,
            "deletion_gain": random_deletion - deletion,
            "insertion_gain": insertion - random_insertion,
            "gap": attributions.gap if exact else np.nan,
            "complete": attributions.complete if exact else None,
        }
    )


def _curve_rows(method: str, sample: Sample, removal: Removal) -> pd.DataFrame:
    points = len(removal.share)
    return pd.DataFrame(
        {
            "image_id": np.repeat(sample.image_id, points),
            "method": method,
            "share": np.tile(removal.share, len(sample)),
            "deletion": removal.deletion.ravel(),
            "insertion": removal.insertion.ravel(),
        }
    )


# Sanity checks of saliency: an explanation must change when weights are randomized.
#
# The cascading check of Adebayo et al. 2018, "Sanity checks for saliency maps", from the head to
# the first layer. They initialise layers anew; here the values of each tensor are shuffled among
# themselves, for a network whose residual branches begin at 0 would be switched off rather than
# randomised. A map that stays alike (a rank correlation near 1) shows edges, not reasons. Maps
# are compared with their signs: of a destroyed network the positive part may be nothing at all.

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
