"""Mask scores: Jaccard, Dice, boundary distances of each image, and their means."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.evaluation.challenges.jaccard import LEAST_JACCARD, MEASURES, lesion_plane, mask_scores
from melnb.evaluation.discrimination.ranking import parts_by_fold
from melnb.evaluation.statistics.intervals import NO_ERROR
from melnb.evaluation.statistics.proportions import grouped_means
from melnb.tables.checks import TableError

# From a plane of probabilities to one lesion: smoothed, cut, the largest part kept and filled.

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


# How far apart two outlines lie, in pixels and as a share of the picture's diagonal.
#
# Overlap forgives a long spike of a large lesion; a distance does not. The 95th percentile is taken
# in place of the greatest distance, which a single pixel decides (Huttenlocher et al. 1993, IEEE
# Transactions on Pattern Analysis and Machine Intelligence 15:850; Maier-Hein et al. 2024, Nature
# Methods 21:195).

NOTHING_PREDICTED = "nothing is predicted: the diagonal is taken"
NOTHING_TRUE = "nothing is lesion: the diagonal is taken"


def boundary_distances(
    truth: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    *,
    percentile: float = 95.0,
) -> pd.DataFrame:
    """Return the distance between the outlines of each image.

    Args:
        truth: Image id and mask: height x width, uint8 of 0-255 or booleans.
        predicted: The same images at least, each of its truth's size.
        percentile: Of the distances of either outline's pixels.

    Returns:
        A row per image, in the order of `truth`: `image_id`, `hd95` (pixels), `hd95_share` (of the
        diagonal), `note`.

    Raises:
        TableError: An image has no predicted mask, or one of another size.
        ValueError: A mask is not of bytes or booleans, or not a plane.
    """
    rows = []
    for image, mask in truth.items():
        if image not in predicted:
            raise TableError(f"masks: {image} has no predicted mask")
        true, called = lesion_plane(image, mask), lesion_plane(image, predicted[image])
        if true.shape != called.shape:
            raise TableError(
                f"masks: the predicted mask of {image} is {called.shape} and the true one "
                f"{true.shape}: scale it to the true size first"
            )
        distance = boundary_distance(true, called, percentile=percentile)
        note = ""
        if true.any() != called.any():
            note = NOTHING_PREDICTED if true.any() else NOTHING_TRUE
        rows.append((image, distance, distance / math.hypot(*true.shape), note))
    return pd.DataFrame(rows, columns=["image_id", "hd95", "hd95_share", "note"])


def boundary_distance(
    truth: np.ndarray, predicted: np.ndarray, *, percentile: float = 95.0
) -> float:
    """Return the robust Hausdorff distance of two masks, in pixels.

    Each outline's pixels have a distance to the nearest pixel of the other; the percentile is taken
    of either outline, and the larger of both counts. Two empty masks agree: 0. An empty one against
    another is as far away as the picture allows, its diagonal, as the BraTS challenges have it
    (Bakas et al. 2018, arXiv:1811.02629): left out, a missed lesion would better the mean.

    Args:
        truth: Height x width booleans.
        predicted: The same size.
        percentile: 100: the Hausdorff distance itself.
    """
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile is {percentile}, not from 0 to 100: 95 is usual")
    if not (truth.any() or predicted.any()):
        return 0.0
    if not (truth.any() and predicted.any()):
        return math.hypot(*truth.shape)
    # Imported here, as it would double what this module costs to import.
    from scipy.spatial import cKDTree

    # A tree of outlines costs a hundredth of a distance transform of a large picture.
    first, second = cKDTree(outline_pixels(truth)), cKDTree(outline_pixels(predicted))
    ways = (second.query(first.data)[0], first.query(second.data)[0])
    return max(float(np.percentile(distances, percentile)) for distances in ways)


def outline_pixels(mask: np.ndarray) -> np.ndarray:
    """Return row and column of the lesion's pixels that touch what is not lesion by a side.

    What lies beyond the picture is not lesion.

    Args:
        mask: Height x width booleans.

    Returns:
        n x 2 whole numbers.
    """
    wide = np.pad(mask, 1)
    inside = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return np.argwhere(mask & ~inside)


# Means of the scores of masks: by fold, over all, and of one segmenter less another's.

SUMMARY_COLUMNS = (
    "rows", "metric", "value", "se", "low", "high", "n", "left_out", "method", "note",
)  # fmt: skip
COMPARISON_COLUMNS = (
    "metric", "value_first", "value_second", "difference", "se", "low", "high", "n", "note",
)  # fmt: skip
_MEANT = (*MEASURES, "failed", "hd95", "hd95_share")
_ALIKE = "interval not estimable: all images score alike"


def segmentation_summary(
    scores: pd.DataFrame,
    *,
    cluster: str = "",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the mean of every measure, of each fold and over all out-of-fold images.

    The official challenges rank by the mean over images; `failed` is the share of images whose
    Jaccard index is too low to count. Intervals are percentiles of a bootstrap.

    Args:
        scores: `mask_scores.segmentation_scores`; without a column `fold` all images are one part.
        cluster: A column, such as `patient_id`, that is resampled whole.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `SUMMARY_COLUMNS`, a row per part (`fold 0` …, `out of fold`, `test`, or `all images`) and
        measure, named with spaces.

    Raises:
        TableError: There is no column `cluster`.
    """
    parts = parts_by_fold(scores) if "fold" in scores else {"all images": scores}
    shared = {"cluster": cluster, "confidence": confidence, "draws": draws, "seed": seed}
    columns = [name for name in _MEANT if name in scores]
    entries = [
        grouped_means(part, columns, **shared).assign(rows=name)  # type: ignore[arg-type]
        for name, part in parts.items()
    ]
    if not entries:
        return pd.DataFrame(columns=list(SUMMARY_COLUMNS))
    table = pd.concat(entries, ignore_index=True)
    table["metric"] = table["metric"].str.replace("_", " ")
    table = table.assign(method=f"bootstrap of {cluster or 'images'}")
    return _without_flat(table)[list(SUMMARY_COLUMNS)]


def segmentation_results(summary: pd.DataFrame) -> dict[str, object]:
    """Return what `run.json` keeps of `segmentation_summary`: means with limits.

    They are those out of fold; of the last part where no row is, and NaN where no mask was judged.
    """
    names = ("jaccard", "threshold jaccard", "dice", "failed")
    parts = [*summary["rows"].unique()]
    pooled = "out of fold" if "out of fold" in parts else "".join(parts[-1:])
    kept = summary[summary["rows"] == pooled].set_index("metric").reindex(names)
    return {
        name.replace(" ", "_") + end: kept.loc[name, column]
        for name in names
        for end, column in (("", "value"), ("_low", "low"), ("_high", "high"))
    }


def segmenter_comparison(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    cluster: str = "",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the means of one segmenter less those of another, on the images that both have.

    The difference is paired: each image's scores are subtracted, and the differences resampled.

    Args:
        first: Of `segmentation_scores`.
        second: The other's.
        cluster: A column of the first, such as `patient_id`, that is resampled whole.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        A row per measure: `metric, value_first, value_second, difference, se, low, high, n, note`.
        Of `failed` and the distances less is better.

    Raises:
        TableError: They share no image, their truths differ in size, or there is no column
            `cluster`.
    """
    one, two = _paired(first, second)
    columns = [name for name in _MEANT if name in one and name in two]
    both = (~one[columns].isna() & ~two[columns].isna()).to_numpy()
    means = [t[columns].where(both).mean().to_numpy() for t in (one, two)]
    apart = one.assign(**{name: 1.0 * one[name] - two[name] for name in columns})
    table = grouped_means(
        apart, columns, cluster=cluster, confidence=confidence, draws=draws, seed=seed
    )
    table = table.rename(columns={"value": "difference"})
    table = table.assign(
        metric=table["metric"].str.replace("_", " "), value_first=means[0], value_second=means[1]
    )
    return _without_flat(table)[list(COMPARISON_COLUMNS)]


def _paired(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the images that both tables have, in the first one's order."""
    one = first[first["image_id"].isin(second["image_id"])].reset_index(drop=True)
    if one.empty:
        raise TableError("scores: the two segmenters have no image in common")
    two = second.set_index("image_id").loc[one["image_id"]].reset_index()
    pixels = [t["tp"] + t["fn"] for t in (one, two)]
    wrong = pixels[0] != pixels[1]
    if wrong.any():
        raise TableError(
            f"scores: the true mask of {one.loc[wrong, 'image_id'].iloc[0]} has "
            f"{pixels[0][wrong].iloc[0]} pixels by one and {pixels[1][wrong].iloc[0]} by the other "
            f"({int(wrong.sum())} such images): score both at one size, on the same truths"
        )
    return one, two


def _without_flat(table: pd.DataFrame) -> pd.DataFrame:
    """Blank the intervals of what does not vary: resampling tells nothing of it."""
    flat = table["se"] <= NO_ERROR
    table.loc[flat, ["se", "low", "high"]] = math.nan
    table.loc[flat, "note"] = _ALIKE
    return table


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
    columns = ["image_id", *(c for c in ("fold", "patient_id", "lesion_id") if c in rows.columns)]
    lost = ~scores["image_id"].isin(rows["image_id"])
    if lost.any():
        first = scores.loc[lost, "image_id"].iloc[0]
        raise TableError(
            f"rows: no row of {first} ({int(lost.sum())} such images): give the folds of all "
            "images that have masks"
        )
    joined = scores.merge(rows[columns], on="image_id", how="left", validate="1:1")
    return joined[[*columns, *scores.columns[1:]]]


def worst_masks(scores: pd.DataFrame, *, n: int = 12) -> pd.DataFrame:
    """Return the rows of the least Jaccard index, the worst first; the outlines decide ties.

    Args:
        scores: `segmentation_scores` or `challenges.masks.mask_scores`.
        n: Rows at most.
    """
    order = ["jaccard", *(["hd95"] if "hd95" in scores else []), "image_id"]
    rising = [name != "hd95" for name in order]
    return scores.sort_values(order, ascending=rising, kind="stable").head(n).reset_index(drop=True)
