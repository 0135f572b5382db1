"""Conformal prediction: sets of classes that hold the truth at a chosen rate.

A class is in the set of an image unless fewer than the error rate of that class's calibration rows
are as strange as the image would be. Vovk, Gammerman and Shafer 2005, Algorithmic Learning in a
Random World; the p-values are those of the library crepes.
"""

from __future__ import annotations

import bisect
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.decisions.operating_point import OUT_OF_FOLD, TEST_ROWS
from melnb.evaluation.rows import crossfit_parts, joined_rows, row_clusters
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import class_names

REST = "rest"  # every class but the positive one
_COVERAGE = (
    "class", "value", "low", "high", "n", "singles", "empty", "mean_size", "note",
)  # fmt: skip
WARNING = (
    "promised for each class on average: not for one patient, group or camera, and not once images "
    "differ from those it was calibrated on"
)


def prediction_sets(
    predictions: pd.DataFrame, *, error_rate: float = 0.1, positive: str = ""
) -> pd.DataFrame:
    """Return the classes that cannot be ruled out for each image.

    Each fold is judged by thresholds of the other folds' rows, and test rows by those of all
    out-of-fold rows, so that no row helps to judge itself; a single fold is cut into parts by
    patient first (`rows.crossfit_parts`). Two sets are uncertain: of more than one
    class, and of none (the image is strange to every class).

    Args:
        predictions: Predictions table; any scores will do. Test rows that are the mean of several
            networks are covered more often than is promised: give `within_folds.network_rows` of
            them.
        error_rate: The share of each class's images whose set may lack their class.
        positive: Set this class against the rest; empty: sets of all classes.

    Returns:
        Every column ending in `_id`, `fold`, `truth` (unknown ones stay so), a bool `in_<class>`
        for each class, `size`, `note` (a class with too few calibration rows to be ruled out).

    Raises:
        ValueError: `error_rate` is not between 0 and 1.
        TableError: There are no out-of-fold rows with a truth, or no such class.
    """
    rows, scores = _class_rows(predictions, positive)
    cuts = set_thresholds(predictions, error_rate=error_rate, positive=positive)
    inside = np.zeros((len(rows), scores.shape[1]), dtype=bool)
    note = np.full(len(rows), "", dtype=object)
    part, words = crossfit_parts(rows)
    for fold, thresholds in cuts.groupby("fold"):
        here = part == fold
        # As strange as crepes saw it: 1 - p, so that ties stay ties.
        inside[here] = 1 - scores[here] <= thresholds["strangest"].to_numpy()
        note[here] = "; ".join(filter(None, [*thresholds["note"], words]))
    names = [f"in_{name}" for name in _names(predictions, positive)]
    sets = pd.concat([rows, pd.DataFrame(inside, columns=names)], axis=1)
    return sets.assign(size=inside.sum(axis=1), note=note)


def set_thresholds(
    predictions: pd.DataFrame, *, error_rate: float = 0.1, positive: str = ""
) -> pd.DataFrame:
    """Return from which probability on a class is in the set, by fold; arguments as above.

    A class's images are as strange as 1 - p; the strangest that is let in is the
    ceil((n + 1) (1 - error_rate))-th of the n calibration rows, found by crepes' p-values.

    Returns:
        `fold` (of a single one, its part), `class`, `calibration_rows`, `strangest` (infinite when
        the class is always let in), `probability` (1 - `strangest`, no less than 0), `note`.
    """
    if not 0 < error_rate < 1:
        raise ValueError(f"error_rate is {error_rate}, not between 0 and 1: 0.1 is usual")
    rows, scores = _class_rows(predictions, positive)
    usable = (rows["fold"] != TEST) & rows["truth"].notna()
    if not usable.any():
        raise TableError(
            "predictions: no out-of-fold row has a truth, and sets are calibrated on these: add "
            "the out-of-fold predictions of the same model"
        )
    entries, (part, _) = [], crossfit_parts(rows)
    for fold in np.unique(part):
        calibration = usable.to_numpy() & (part != fold)
        for k, name in enumerate(_names(predictions, positive)):
            calibrating = scores[calibration & (rows["truth"] == name).to_numpy(), k]
            entries.append(
                (int(fold), name, len(calibrating), *_strangest(calibrating, name, error_rate))
            )
    columns = ["fold", "class", "calibration_rows", "strangest", "note"]
    table = pd.DataFrame(entries, columns=columns)
    table.insert(4, "probability", (1 - table["strangest"]).clip(lower=0))
    return table


def coverage_by_class(
    sets: pd.DataFrame, *, confidence: float = 0.95, cluster: str = ""
) -> pd.DataFrame:
    """Return how often the sets hold the truth, by class; every `note` ends in `WARNING`.

    Args:
        sets: `prediction_sets`.
        confidence: Of the interval.
        cluster: A column, such as `patient_id`, whose images err together: intervals widen.

    Returns:
        `rows` (out of fold, test), `class`, `value` (the coverage), `low`, `high`, `n`, `singles`
        (share of sets of one class), `empty` (of none), `mean_size`, `note`.
    """
    return _coverage({"": sets}, confidence, cluster)


def coverage_by_group(
    sets: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    by: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return how often the sets hold the truth, by class in each group: sex, site, tone, source.

    Args:
        sets: `prediction_sets`.
        groups: A table with `image_id` and the column; images without a value are left out.
        by: The column.
        confidence: Of the interval.
        cluster: As in `coverage_by_class`.

    Returns:
        The column, then those of `coverage_by_class`.

    Raises:
        TableError: `groups` lacks the column, or holds an image twice.
    """
    if by not in groups:
        raise TableError(f"groups: no column {by!r} among {list(groups.columns)}: set by to one")
    if groups["image_id"].duplicated().any():
        twice = groups.loc[groups["image_id"].duplicated(), "image_id"].iloc[0]
        raise TableError(f"groups: image_id {twice} is there twice: keep one row for each image")
    plain = sets.drop(columns=[by] if by in sets else [])
    joined = joined_rows(plain, groups[["image_id", by]])
    return _coverage(dict(list(joined.groupby(by, observed=True))), confidence, cluster, by=by)


def coverage_by_groups(
    sets: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    confidence: float = 0.95,
    cluster: str = "",
    smallest: int = 0,
) -> pd.DataFrame:
    """Return `coverage_by_group` of every column of groups, one below the other.

    Args:
        sets: `prediction_sets`.
        groups: A table with `image_id` and columns of levels.
        confidence: Of the interval.
        cluster: As in `coverage_by_class`.
        smallest: Fewest images of a class in a level; those of fewer are left out.

    Returns:
        `column`, `level`, then the columns of `coverage_by_class`.
    """
    by_class = ["column", "level", "rows", *_COVERAGE]
    entries = [
        coverage_by_group(sets, groups, by=column, confidence=confidence, cluster=cluster)
        .rename(columns={column: "level"})
        .assign(column=column)
        for column in groups.columns.drop("image_id")
    ]
    if not entries:
        return pd.DataFrame(columns=by_class)
    table = pd.concat(entries, ignore_index=True)[by_class]
    return table[table["n"] >= smallest]


def _coverage(
    groups: Mapping[Any, pd.DataFrame], confidence: float, cluster: str, *, by: str = ""
) -> pd.DataFrame:
    entries = []
    for level, sets in groups.items():
        for test, name in ((False, OUT_OF_FOLD), (True, TEST_ROWS)):
            part = sets[((sets["fold"] == TEST) == test) & sets["truth"].notna()]
            for row in _class_rates(part, confidence, cluster) if len(part) else ():
                entries.append(({by: level} if by else {}) | {"rows": name} | row)
    return pd.DataFrame(entries, columns=[*([by] if by else []), "rows", *_COVERAGE])


def _class_rates(part: pd.DataFrame, confidence: float, cluster: str) -> Iterator[dict[str, Any]]:
    clusters, sizes = row_clusters(part, cluster), part["size"].to_numpy()
    for column in (str(c) for c in part if str(c).startswith("in_")):
        name = column.removeprefix("in_")
        members = (part["truth"] == name).to_numpy()
        value, low, high = clustered_wilson(
            part[column].to_numpy(), members, clusters, confidence=confidence
        )
        notes = {n for text in part["note"].unique() for n in text.split("; ")}
        note = "; ".join(sorted(n for n in notes if n.startswith(f"{name}: ")))
        if not members.any():
            note = f"not estimable: no row is {name}"
        elif math.isnan(low):
            note = f"interval not estimable: all such rows are of one {cluster}"
        size = sizes[members]
        note = "; ".join(filter(None, (note, WARNING)))
        shares = (_mean(size == 1), _mean(size == 0), _mean(size))
        cells = (name, value, low, high, int(members.sum()), *shares, note)
        yield dict(zip(_COVERAGE, cells, strict=True))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _strangest(scores: np.ndarray, name: str, error_rate: float) -> tuple[float, str]:
    """Return the largest 1 - p that is let in, by bisection over crepes' p-values."""
    with warnings.catch_warnings():  # crepes sets a filter for all
        from crepes import ConformalClassifier  # 1.3 s: only who wants sets pays

    strange = np.unique(1 - scores)
    judge = ConformalClassifier().fit(1 - scores)

    def is_out(value: float) -> bool:
        p = judge.predict_p(np.array([value]), smoothing=False)[0]
        return bool(p <= error_rate)

    if not is_out(math.inf):
        needed = math.ceil(1 / error_rate - 1 - 1e-9)
        return math.inf, f"{name}: {len(scores)} calibration rows, {needed} are needed to rule out"
    return float(strange[bisect.bisect_left(strange, True, key=is_out) - 1]), ""


def _names(predictions: pd.DataFrame, positive: str) -> tuple[str, ...]:
    classes = class_names(predictions)
    if not positive:
        return classes
    if positive not in classes:
        raise TableError(f"predictions: positive is {positive!r}, not one of {list(classes)}")
    others = [name for name in classes if name != positive]
    return positive, others[0] if len(others) == 1 else REST


def _class_rows(predictions: pd.DataFrame, positive: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return ids, fold and truth of each row, and its scores for each class of `_names`."""
    names = _names(predictions, positive)
    ids = [c for c in predictions.columns if str(c).endswith("_id")]
    rows = predictions[[*ids, "fold", "truth"]].reset_index(drop=True)
    if positive:
        score = predictions[f"p_{positive}"].to_numpy(dtype=float)
        others = rows["truth"].notna() & (rows["truth"] != positive)
        rows["truth"] = rows["truth"].mask(others, names[1])
        scores = np.stack([score, 1 - score], axis=1)
    else:
        scores = predictions[[f"p_{name}" for name in names]].to_numpy(dtype=float)
    if np.isnan(scores).any():
        first = rows["image_id"].iloc[int(np.isnan(scores).any(axis=1).argmax())]
        raise TableError(f"predictions: a probability of {first} is NaN: predict this image again")
    return rows, scores
