"""Map scores: how an explanation fails: inside the mask, deletion, insertion.

inside      share of a map's sum that lies in the lesion's mask: the energy-based pointing game
            of Wang et al. 2020 (Score-CAM, section 4.3)
concentration  that share over the mask's share of the picture: 1 were the map flat
deletion, insertion  areas of `removal`, and what they gain on a random order of the same cells
gap, complete        of integrated gradients, see `explanations.Attributions`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from melnb.models.saliency.explanations import METHODS, Explanation, make_baseline
from melnb.models.saliency.feature_map import Anatomy, run_rows
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
