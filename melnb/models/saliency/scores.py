"""Scores: how an explanation fails, one row for each picture and method.

inside      share of a map's sum that lies in the lesion's mask: the energy-based pointing game
            of Wang et al. 2020 (Score-CAM, section 4.3)
concentration  that share over the mask's share of the picture: 1 were the map flat
deletion, insertion  areas of `removal`, and what they gain on a random order of the same cells
gap, complete        of integrated gradients, see `gradients.Attributions`
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.models.saliency.anatomy import Anatomy
from melnb.models.saliency.explanations import METHODS, Explanation
from melnb.models.saliency.removal import Removal, order_by_map, random_order, remove
from melnb.models.saliency.samples import Sample

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
    known = np.ones(len(maps), bool) if has_mask is None else has_mask
    total = maps.sum(axis=(1, 2), dtype="float64")
    nothing = np.full(len(maps), np.nan)
    within = (maps * masks).sum(axis=(1, 2), dtype="float64")
    inside = np.divide(within, total, out=nothing.copy(), where=known & (total > 0))
    return inside, np.where(known, masks.mean(axis=(1, 2)), np.nan)


def _method_rows(
    method: str, sample: Sample, explanation: Explanation, removals: dict[str, Removal]
) -> pd.DataFrame:
    inside = area = np.full(len(sample), np.nan)
    if sample.masks is not None:
        inside, area = energy_inside(explanation.maps[method], sample.masks, sample.has_mask)
    deletion, insertion = removals[method].areas
    random_deletion, random_insertion = removals[RANDOM].areas
    found = explanation.attributions
    exact = method == METHODS[1]
    return pd.DataFrame(
        {
            "image_id": sample.image_id,
            "class": explanation.classes,
            "method": method,
            "probability": explanation.probability,
            "score": found.score,
            "inside": inside,
            "lesion_share": area,
            "concentration": np.divide(inside, area, out=inside * np.nan, where=area > 0),
            "deletion": deletion,
            "insertion": insertion,
            "deletion_gain": random_deletion - deletion,
            "insertion_gain": insertion - random_insertion,
            "gap": found.gap if exact else np.nan,
            "complete": found.complete if exact else None,
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
