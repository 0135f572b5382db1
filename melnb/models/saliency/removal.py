"""Removal: what the prediction becomes when the map's best parts are taken out, or put in.

Petsiuk et al. 2018, "RISE: Randomized input sampling for explanation of black-box models": in
deletion a good map makes the probability fall at once (a small area under the curve), in insertion
rise at once (a large one). Speckles alone confuse a network, whatever they cover; so whole cells
are taken, and every map is compared with the same cells taken in random order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from melnb.models.saliency.anatomy import Anatomy
from melnb.models.saliency.baselines import make_baseline
from melnb.models.saliency.batching import run_rows
from melnb.models.saliency.samples import Sample


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
        baseline: What is left where a picture is taken out: see `baselines.make_baseline`.
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
