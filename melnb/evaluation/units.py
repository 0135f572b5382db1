"""The unit that is judged: an image, or a lesion or a patient by the mean of its images.

Several pictures of one lesion are as many looks at it, as test-time augmentation is at a picture:
their mean errs less. A unit's row is a row of a predictions table like any other, so that whatever
takes such a table judges lesions as it judges images.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Literal, TypeVar

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.prevalence import (
    LEAST,
    check_probabilities,
    class_values,
    truth_codes,
)
from melnb.evaluation.rows import row_clusters
from melnb.evaluation.statistics import bootstrap, intervals
from melnb.evaluation.summaries import IMAGES, UNIT, cluster_column, unit_of
from melnb.tables import overlap
from melnb.tables.checks import TEST
from melnb.tables.schema import check_predictions, class_names

Unit = Literal["image", "lesion", "patient"]
Average = Literal["probability", "logit"]
Key = TypeVar("Key", bound=Hashable)
GAIN_COLUMNS = (
    "units", "metric", "by_image", "by_unit", "gain", "low", "high", "n", "images", "method",
    "note",
)  # fmt: skip
ALL, SEVERAL = "all", "of several images"


def by_unit(
    tables: Mapping[Key, pd.DataFrame], *, unit: Unit, positive: str, average: Average
) -> dict[Key, pd.DataFrame]:
    """Return `unit_table` of each table, by its key."""
    return {
        key: unit_table(table, unit=unit, positive=positive, average=average)
        for key, table in tables.items()
    }


def unit_table(
    predictions: pd.DataFrame, *, unit: Unit, positive: str, average: Average = "probability"
) -> pd.DataFrame:
    """Return predictions with a row for each lesion, or patient: the mean of its images.

    An image whose lesion (or patient) is unknown stands alone. Where the truth differs inside a
    unit, it is the positive class if any image has it, since a patient who has one is to be found;
    else the commonest, of equally common ones the first class.

    Args:
        predictions: Predictions table of images, with `lesion_id` (or `patient_id`).
        unit: What is judged; `image`, or what its rows are already: it is returned as it is.
        positive: The class looked for.
        average: `probability`: their mean; `logit`: the mean of their logarithms, brought back to a
            sum of one; of two classes the mean logit.

    Returns:
        A predictions table in the order of the first images: `image_id`, and whatever else is not
        averaged, is that of the unit's first image by name, which stands for it in pictures and
        subgroups; `unit`, and `n_images` behind each row. What a reader must know is added to the
        `note` of `summaries.members_table`.

    Raises:
        ValueError: The unit or the average is unknown.
        TableError: A unit lies in two folds, or logits are asked for of scores.
    """
    _check(unit, average)
    if unit in ("image", unit_of(predictions)) or predictions.empty:
        return predictions
    if average == "logit":
        check_probabilities(predictions, "the mean of logits")
    codes, labelled = _codes(predictions, unit)
    first = _first_images(predictions, codes)
    names = list(class_names(predictions))
    means = _means(class_values(predictions), codes, average)
    truths, mixed = _truths(predictions, codes, positive)
    images = predictions[IMAGES] if IMAGES in predictions else np.ones(len(codes))
    sizes = np.bincount(codes, weights=images).astype(int)
    columns = {f"p_{name}": means[:, k] for k, name in enumerate(names)}
    labels = np.array([*names, None], dtype=object)[truths]
    rows = predictions.iloc[first].assign(**columns, **{UNIT: unit, IMAGES: sizes})
    rows["truth"] = pd.Series(labels, index=rows.index, dtype=object).where(truths >= 0, np.nan)
    table = rows.reset_index(drop=True)
    words = _words(unit, average, int(sizes.sum()), len(sizes), labelled)
    if mixed.any():
        whose = predictions[f"{unit}_id"].iloc[first[int(mixed.argmax())]]
        words += (
            f"; the truth differs inside {int(mixed.sum())} of them ({whose}, say): {positive} "
            "where any image has it, else the commonest"
        )
    table.attrs["read_as"] = _noted(predictions.attrs.get("read_as", {}), words)
    return check_predictions(table)


def unit_gain(
    predictions: pd.DataFrame,
    *,
    unit: Unit,
    positive: str,
    average: Average = "probability",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what the mean of a unit's images brings over one of them, paired.

    Of one image: what is to be expected of a unit's image that is drawn at random, so that units
    count alike on both sides: each image weighs one over those of its unit. Of areas the error is
    DeLong's with these weights (1988, Biometrics 44:837), by patient, else by lesion (Obuchowski
    1997, Biometrics 53:567).

    Args:
        predictions: Predictions table of images; its out-of-fold rows with a truth are judged, else
            its test rows.
        unit: See `unit_table`, and `average` as well.
        positive: The class whose area is judged.
        average: Of the unit's images.
        confidence: Of the intervals.
        draws: Resamples behind balanced accuracy.
        seed: Of the resamples.

    Returns:
        `units` (all; those of several images), `metric` (AUC of the positive class, of more than
        two classes the mean AUC, balanced accuracy), `by_image`, `by_unit`, `gain` with `low` and
        `high`, `n` (units), `images`, `method`, `note`. No row for images.
    """
    _check(unit, average)
    rows = predictions[predictions["truth"].notna()]
    inside = rows["fold"] != TEST
    rows = (rows[inside] if inside.any() else rows).reset_index(drop=True)
    if unit == "image":
        return pd.DataFrame(columns=list(GAIN_COLUMNS))
    if average == "logit":
        check_probabilities(rows, "the mean of logits")
    codes, _ = _codes(rows, unit)
    entries: list[dict[str, object]] = []
    for which in (ALL, SEVERAL):
        sizes = np.bincount(codes)[codes]
        members = sizes >= (1 if which == ALL else 2)
        kept, numbers = rows[members], np.unique(codes[members], return_inverse=True)[1]
        for row in _gains(kept, numbers, positive, average, confidence, draws, seed):
            entries.append(
                {"units": which, "n": len(np.unique(numbers)), "images": len(kept)} | row
            )
    return pd.DataFrame(entries, columns=list(GAIN_COLUMNS))


def _gains(
    rows: pd.DataFrame,
    codes: np.ndarray,
    positive: str,
    average: Average,
    confidence: float,
    draws: int,
    seed: int,
) -> list[dict[str, object]]:
    """Return a row for each metric."""
    names = class_names(rows)
    if rows.empty:
        return [{"metric": "AUC", "note": "not estimable: no unit has several images and a truth"}]
    truth = _truths(rows, codes, positive)[0][codes]
    cluster = cluster_column(rows)
    clusters = row_clusters(rows, cluster)
    clusters = codes if clusters is None else np.unique(clusters, return_inverse=True)[1]
    values = class_values(rows)
    both = np.stack([values, _means(values, codes, average)[codes]])
    weight = 1 / np.bincount(codes)[codes]
    entries = [_area_row("AUC", both, truth, weight, clusters, [names.index(positive)], confidence)]
    if len(names) > 2:
        every = list(range(len(names)))
        entries.append(_area_row("mean AUC", both, truth, weight, clusters, every, confidence))
    drawn = _balanced(both, truth, weight, clusters, draws, seed)
    entries.append(_balanced_row(drawn, confidence))
    by = f" by {cluster}" if cluster else ""
    return [row | {"method": f"{row['method']}{by}, paired"} for row in entries]


def _area_row(
    metric: str,
    both: np.ndarray,
    truth: np.ndarray,
    weight: np.ndarray,
    clusters: np.ndarray,
    classes: list[int],
    confidence: float,
) -> dict[str, object]:
    """Return the mean area of classes by both scores (2 x n x classes), and its difference."""
    row: dict[str, object] = {"metric": metric, "method": "DeLong"}
    held = [k for k in classes if 0 < (truth == k).sum() < len(truth)]
    if not held:
        return row | {"note": "not estimable: no class has rows in it and outside it"}
    parted = [
        [_weighted_parts(truth == k, areas_of[:, k], weight) for k in held] for areas_of in both
    ]
    values = [float(np.mean([area for area, _ in areas_of])) for areas_of in parted]
    parts = np.stack([np.mean([part for _, part in areas_of], axis=0) for areas_of in parted])
    groups = truth if len(classes) > 1 else truth == held[0]
    lead = intervals.auc_covariance(parts[1:] - parts[:1], groups, clusters)[0, 0]
    se = math.sqrt(max(float(lead), 0.0)) if lead == lead else math.nan
    gain, estimable = values[1] - values[0], se > intervals.NO_ERROR
    half = intervals.normal_quantile(confidence) * se if estimable else math.nan
    row |= {"by_image": values[0], "by_unit": values[1], "gain": gain}
    note = (
        "" if estimable else "interval not estimable: both rank the units alike, or of one cluster"
    )
    return row | {"low": gain - half, "high": gain + half, "note": note}


def _weighted_parts(
    truth: np.ndarray, score: np.ndarray, weight: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return `intervals.auc_parts` of rows that weigh: those of one unit weigh one together."""
    _, step = np.unique(score, return_inverse=True)
    won = np.empty(len(score))
    for members, others in ((truth, ~truth), (~truth, truth)):
        counts = np.bincount(step[others], weight[others], minlength=int(step.max()) + 1)
        won[members] = (np.cumsum(counts) - counts / 2)[step[members]] / weight[others].sum()
    won = np.where(truth, won, 1 - won)
    area = float(np.average(won[truth], weights=weight[truth]))
    total = np.where(truth, weight[truth].sum(), weight[~truth].sum())
    return area, weight * (won - area) / total


def _balanced(
    both: np.ndarray,
    truth: np.ndarray,
    weight: np.ndarray,
    clusters: np.ndarray,
    draws: int,
    seed: int,
) -> np.ndarray:
    """Return balanced accuracies by both scores, of the rows and of each resample: 2 x draws."""
    indicator = truth[:, None] == np.arange(both.shape[2])
    columns = []
    for values in both:
        top = values.max(axis=1, keepdims=True)
        right = (values.argmax(axis=1) == truth) & ((values == top).sum(axis=1) == 1)
        columns.append(indicator * (right * weight)[:, None])
    parts = np.column_stack([*columns, indicator * weight[:, None]])
    drawn = bootstrap.resampled_sums(parts, clusters=clusters, draws=draws, seed=seed)
    sums = np.split(np.vstack([parts.sum(axis=0), drawn]), 3, axis=1)
    there = sums[2] > 0
    shares = [np.where(there, bootstrap.quotient(part, sums[2]), 0.0) for part in sums[:2]]
    return np.stack([share.sum(axis=1) / there.sum(axis=1) for share in shares])


def _balanced_row(drawn: np.ndarray, confidence: float) -> dict[str, object]:
    gains = drawn[1] - drawn[0]
    se, low, high = (
        float(v) for v in bootstrap.percentile_interval(gains[1:], confidence=confidence)
    )
    estimable = se > intervals.NO_ERROR
    limits = {"low": low if estimable else math.nan, "high": high if estimable else math.nan}
    row = {"metric": "balanced accuracy", "by_image": drawn[0, 0], "by_unit": drawn[1, 0]}
    note = "" if estimable else "interval not estimable: no resample differs"
    return row | {"gain": gains[0], **limits, "method": "bootstrap", "note": note}


def _codes(predictions: pd.DataFrame, unit: Unit) -> tuple[np.ndarray, bool]:
    """Return the number of each row's unit, from 0 in their order, and whether any is known.

    Raises:
        TableError: A unit lies in two folds.
    """
    column = f"{unit}_id"
    if column not in predictions or predictions[column].isna().all():
        return np.arange(len(predictions)), False
    overlap.check_together(predictions[["image_id", "fold"]], predictions, of=(unit,))
    keys = overlap.keys(predictions[column], of=unit).reset_index(drop=True)
    # A name of its own for each row that has none; no key of `overlap` is a number.
    codes, _ = pd.factorize(keys.where(keys.notna(), pd.Series(range(len(keys)), dtype=object)))
    return codes, True


def _first_images(predictions: pd.DataFrame, codes: np.ndarray) -> np.ndarray:
    """Return for each unit the position of its first image by name."""
    order = np.argsort(predictions["image_id"].astype(str).to_numpy(dtype=object), kind="stable")
    return np.asarray(order[np.unique(codes[order], return_index=True)[1]])


def _means(values: np.ndarray, codes: np.ndarray, average: Average) -> np.ndarray:
    """Return the mean of each unit's values, units x classes."""
    sizes = np.bincount(codes)
    averaged = np.log(np.maximum(values, LEAST)) if average == "logit" else values
    sums = [np.bincount(codes, weights=column) for column in averaged.T]
    means = np.stack(sums, axis=1) / sizes[:, None]
    if average == "logit":
        means = np.exp(means)
        means /= means.sum(axis=1, keepdims=True)
    return means


def _truths(
    predictions: pd.DataFrame, codes: np.ndarray, positive: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of each unit's class, -1 where unknown, and whether truths differ."""
    labels, names = truth_codes(predictions), class_names(predictions)
    counts = np.zeros((int(codes.max()) + 1, len(names)), dtype=int)
    np.add.at(counts, (codes[labels >= 0], labels[labels >= 0]), 1)
    truth = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
    sought = names.index(positive) if positive in names else -1
    if sought >= 0:
        truth[counts[:, sought] > 0] = sought
    return truth, (counts > 0).sum(axis=1) > 1


def _words(unit: Unit, average: Average, images: int, units: int, complete: bool) -> str:
    if not complete:
        return f"no {unit} is known: each image is judged by itself"
    mean = "probabilities" if average == "probability" else "logits"
    return f"a row is a {unit}: {images:,} images of {units:,} {unit}s, mean of {mean}"


def _noted(read_as: Mapping[str, str], words: str) -> dict[str, str]:
    return {**read_as, "note": "; ".join(filter(None, (read_as.get("note", ""), words)))}


def _check(unit: str, average: str) -> None:
    if unit not in ("image", "lesion", "patient"):
        raise ValueError(f"unit is {unit!r}: use image, lesion or patient")
    if average not in ("probability", "logit"):
        raise ValueError(f"average is {average!r}: use probability or logit")
