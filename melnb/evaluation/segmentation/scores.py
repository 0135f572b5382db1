"""All measures of an image's mask in one row, and the rows to look at first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.evaluation.challenges.masks import LEAST_JACCARD, mask_scores
from melnb.evaluation.segmentation.boundaries import boundary_distances
from melnb.tables import TableError


def segmentation_scores(
    truth: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    *,
    rows: pd.DataFrame | None = None,
    least_jaccard: float = LEAST_JACCARD,
) -> pd.DataFrame:
    """Return every measure of each image's mask, beside its fold and what it belongs to.

    Args:
        truth: Image id and mask: height x width, uint8 of 0-255 or booleans.
        predicted: The same images, each of its truth's size. Masks are read one by one, twice, so
            that a mapping may load them from files.
        rows: `image_id` and `fold`, `patient_id`, `lesion_id`, where known; more images do no harm.
        least_jaccard: Below it a mask has failed.

    Returns:
        A row per image, in the order of `truth`: `image_id`, what `rows` has of the three,
        `challenges.masks.mask_scores`, `failed` (bool), `hd95`, `hd95_share`, `note`.

    Raises:
        TableError: Images are missing, or a mask is not of its truth's size.
        ValueError: A mask is not of bytes or booleans, or not a plane.
    """
    scores = mask_scores(truth, predicted, least_jaccard=least_jaccard)
    scores = scores.assign(failed=scores["jaccard"] < least_jaccard)
    scores = scores.merge(boundary_distances(truth, predicted), on="image_id", validate="1:1")
    if rows is None:
        return scores
    known = ["image_id", *(c for c in ("fold", "patient_id", "lesion_id") if c in rows.columns)]
    lost = ~scores["image_id"].isin(rows["image_id"])
    if lost.any():
        first = scores.loc[lost, "image_id"].iloc[0]
        raise TableError(
            f"rows: no row of {first} ({int(lost.sum())} such images): give the folds of all "
            "images that have masks"
        )
    joined = scores.merge(rows[known], on="image_id", how="left", validate="1:1")
    return joined[[*known, *scores.columns[1:]]]


def worst_masks(scores: pd.DataFrame, *, n: int = 12) -> pd.DataFrame:
    """Return the rows of the least Jaccard index, the worst first; the outlines decide ties.

    Args:
        scores: `segmentation_scores` or `challenges.masks.mask_scores`.
        n: Rows at most.
    """
    order = ["jaccard", *(["hd95"] if "hd95" in scores else []), "image_id"]
    rising = [name != "hd95" for name in order]
    return scores.sort_values(order, ascending=rising, kind="stable").head(n).reset_index(drop=True)
