"""New pictures at a locked threshold: calls, where a score stands among known ones, novelty limits.

Nothing is fitted on new pictures: threshold, calibrator, sets and limits are of out-of-fold rows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.cross_calibration import calibrate_run
from melnb.evaluation.decisions.conformal import prediction_sets
from melnb.evaluation.decisions.locked_threshold import locked_point
from melnb.evaluation.discrimination.within_folds import Networks
from melnb.evaluation.rows import binary_rows, row_clusters
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.evaluation.summaries import cluster_column
from melnb.tables.checks import TEST, TableError

_NEW = "+new"  # behind the names of new images, while they stand among known ones
STRANGE = "not like what was learnt from"


def novelty_limits(
    known: pd.DataFrame,
    measures: Sequence[str] = ("network_distance", "appearance_distance"),
    *,
    positive: str,
    truths: pd.DataFrame | None = None,
    share: float = 0.005,
    cluster: str = "",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return from which distance on a picture is not like those that were learnt from.

    Each measure may turn away its part of the share of the known positives, so that all together
    turn away no more than the share; with fewer positives than that asks for, none is turned away,
    and the interval says what can be promised. Others than positives play no part: a picture that
    is turned away is looked at by a person, and of positives too few may be kept from the answer.

    Args:
        known: `image_id`, `truth`, the measures, and the cluster's column.
        measures: Columns of distances.
        positive: The class looked for.
        truths: Predictions table that has the truth and the cluster's column in their stead; None:
            `known` has.
        share: Of positives, at most, that are turned away.
        cluster: A column, such as `patient_id`, whose images err together.
        confidence: Of the interval (`proportions.clustered_wilson`).

    Returns:
        `measure`, `limit` (larger distances are beyond it), `turned_away` and `n` (positives),
        `value`, `low`, `high`, `note`; a row a measure, and the last, `any`, for all together.

    Raises:
        TableError: No known row is positive.
    """
    named = ["image_id", *[c for c in ("truth", cluster) if c]]
    lesions = known if truths is None else known.merge(truths[named], on="image_id")
    positives = (lesions["truth"] == positive).to_numpy()
    if not positives.any():
        raise TableError(
            f"known lesions: none of {len(lesions)} is {positive}: give positive another"
        )
    clusters = row_clusters(lesions, cluster)
    allowed = math.floor(share / len(measures) * positives.sum())
    rows: list[dict[str, Any]] = []
    beyond = np.zeros(len(lesions), bool)
    for name in measures:
        limit = float(np.sort(lesions.loc[positives, name])[positives.sum() - 1 - allowed])
        far = (lesions[name] > limit).to_numpy()
        beyond |= far
        rows.append({"measure": name, "limit": limit, "far": far})
    rows.append({"measure": "any", "limit": math.nan, "far": beyond})
    for row in rows:
        far = row.pop("far")
        value, low, high = clustered_wilson(far, positives, clusters, confidence=confidence)
        row |= {"turned_away": int((far & positives).sum()), "n": int(positives.sum())}
        row |= {"value": value, "low": low, "high": high}
    needed = math.ceil(len(measures) / share)
    few = positives.sum() < needed
    note = (
        f"{positives.sum()} known {positive}: {needed} are needed to turn away the first"
        if few
        else ""
    )
    return pd.DataFrame(rows).assign(note=note)


def judge_alike(
    known: pd.DataFrame,
    new: pd.DataFrame,
    networks: Networks,
    *,
    folder: str | Path,
    **calibration: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, Networks]:
    """Return known and new predictions on one scale, calibrated as the report of the known was.

    A new image may bear the name of a known one: rows are told apart by their fold.

    Args:
        known: Predictions table with out-of-fold rows.
        new: Predictions table of new images, the mean of all networks.
        networks: What each network said of these.
        folder: Where what was calibrated is written.
        calibration: Of `cross_calibration.calibrate_run`.

    Returns:
        The three, calibrated if that is asked for.
    """
    out_of_fold = known[known["fold"] != TEST]
    columns = [c for c in out_of_fold if c in new]
    alike = {"run": out_of_fold["run"].iloc[0], "views": out_of_fold["views"].iloc[0]}
    each = {fold: _renamed(table, **alike) for fold, table in networks.items()}
    both = pd.concat([out_of_fold[columns], _renamed(new, **alike)[columns]], ignore_index=True)
    asked = calibration["method"] != "none" or calibration["smoothing"]
    if asked:
        Path(folder).mkdir(parents=True, exist_ok=True)
    versions, judges = calibrate_run(both, each, folder=folder, **calibration)
    last = [*versions.values()][-1]
    test = last["fold"] == TEST
    names = new["image_id"].to_numpy()
    scored = last[test].assign(image_id=names, run=new["run"].iloc[0], views=new["views"].iloc[0])
    back = {fold: table.assign(image_id=_bare(table)) for fold, table in judges.items()}
    return last[~test].reset_index(drop=True), scored.reset_index(drop=True), back


def _renamed(table: pd.DataFrame, **alike: str) -> pd.DataFrame:
    return table.assign(image_id=table["image_id"].astype(str) + _NEW, **alike)


def _bare(table: pd.DataFrame) -> pd.Series:
    return table["image_id"].str.removesuffix(_NEW)


def new_results(
    calls: pd.DataFrame, flags: pd.DataFrame, locked: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what `run.json` keeps of `new_calls` and `new_flags`, and of their threshold."""
    return {
        "pictures": len(calls), "called": int((calls["called"] != "other").sum()),
        "positive": locked["positive"], "threshold": locked["threshold"],
        "flagged": int(flags["flags"].ne("").sum()),
        "learnt_from": int(flags["met"].notna().sum()),
        "with_truth": int(calls["truth"].notna().sum()),
    }  # fmt: skip


def judge_new(
    predictions: pd.DataFrame,
    *,
    locked: Mapping[str, Any],
    left_out: Collection[str] = (),
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what the locked threshold does on new images whose truth is known: a row, or none.

    Args:
        predictions: Predictions table of new images.
        locked: `read_threshold` or `lock_threshold`.
        left_out: Images that were learnt from: they judge nothing.
        confidence: Of every interval.
        seed: Of the resampling.

    Returns:
        The columns of `locked_point`.
    """
    rows = predictions[predictions["truth"].notna() & ~predictions["image_id"].isin([*left_out])]
    if rows.empty:
        return pd.DataFrame()
    how = {"confidence": confidence, "cluster": cluster_column(rows), "seed": seed}
    return locked_point(rows.reset_index(drop=True), locked=locked, prevalence=0, **how)  # type: ignore[arg-type]


def standings(predictions: pd.DataFrame, known: pd.DataFrame, *, positive: str) -> pd.DataFrame:
    """Return where scores stand among those of known images, out of fold.

    Args:
        predictions: Predictions table of new images.
        known: Predictions table with out-of-fold rows.
        positive: The class that the score is of.

    Returns:
        `image_id`, `score`, `among_positives` and `among_others`: the share of each that scores
        lower, ties half (NaN where there are none).
    """
    rows = binary_rows(known, positive=positive)
    rows = rows[rows["fold"] != TEST]
    scores = predictions[f"p_{positive}"].to_numpy(dtype=float)
    table = pd.DataFrame({"image_id": predictions["image_id"].to_numpy(), "score": scores})
    for name, of in (("among_positives", True), ("among_others", False)):
        reference = np.sort(rows.loc[rows["truth"] == of, "score"].to_numpy(dtype=float))
        below, upto = (
            np.searchsorted(reference, scores, "left"),
            np.searchsorted(reference, scores, "right"),
        )
        table[name] = (below + upto) / (2 * len(reference)) if len(reference) else math.nan
    return table


def new_calls(
    predictions: pd.DataFrame,
    networks: Networks,
    known: pd.DataFrame,
    *,
    locked: Mapping[str, Any],
    error_rate: float = 0.1,
) -> pd.DataFrame:
    """Return what is said of each new picture.

    Args:
        predictions: Predictions table of new images, the mean of all networks, as calibrated as the
            threshold was chosen.
        networks: What each network said of them.
        known: Predictions table with out-of-fold rows, as calibrated.
        locked: `read_threshold` or `lock_threshold`.
        error_rate: Of the conformal sets, against the rest.

    Returns:
        The columns of `standings`; `positive`; `called` (the positive class, or `other`),
        `networks` and `networks_calling` (how many alone reach the threshold), `set` (the classes
        that cannot be ruled out, joined by `or`; empty: none fits; None: not estimable), `truth`.
    """
    positive, threshold = str(locked["positive"]), float(locked["threshold"])
    table = standings(predictions, known, positive=positive)
    alone = np.array([
        network.set_index("image_id")[f"p_{positive}"].reindex(table["image_id"]) >= threshold
        for network in networks.values()
    ])  # fmt: skip
    called = np.where(table["score"] >= threshold, positive, "other")
    return table.assign(
        positive=positive, called=called, networks=len(alone), networks_calling=alone.sum(axis=0),
        set=pd.Series(_sets(predictions, known, positive, error_rate), dtype=object),
        truth=predictions["truth"].to_numpy(dtype=object),
    )  # fmt: skip


def _sets(
    predictions: pd.DataFrame, known: pd.DataFrame, positive: str, error_rate: float
) -> list[str | None]:
    """Return the conformal set of each new picture, in words."""
    out_of_fold = known[known["fold"] != TEST]
    columns = [
        c for c in out_of_fold if str(c) in ("image_id", "fold", "truth") or str(c)[:2] == "p_"
    ]
    new = _renamed(predictions[columns])
    try:
        both = pd.concat([out_of_fold[columns], new], ignore_index=True)
        sets = prediction_sets(both, error_rate=error_rate, positive=positive).tail(len(new))
    except TableError:  # no out-of-fold truth
        return [None] * len(new)
    names = [str(c).removeprefix("in_") for c in sets if str(c).startswith("in_")]
    inside = sets[[f"in_{name}" for name in names]].to_numpy()
    return [" or ".join(n for n, there in zip(names, row, strict=True) if there) for row in inside]


def new_flags(
    distances: pd.DataFrame, limits: pd.DataFrame, quality: pd.Series, met: pd.DataFrame
) -> pd.DataFrame:
    """Return what is to be known before a score is believed.

    Args:
        distances: `image_id` and the measures of new pictures.
        limits: `novelty_limits`.
        quality: What is wrong with each picture, in words, in the same order.
        met: `tables.met_images` of the new pictures.

    Returns:
        `image_id`, `strange` (whether any measure is beyond its limit), `flags` (in words, parted
        by semicolons), `met` (the known image that it is, or shares a lesion or patient with).
    """
    named = limits[limits["measure"] != "any"].set_index("measure")["limit"]
    strange = (distances[[*named.index]] > named).any(axis=1).to_numpy()
    shared = distances["image_id"].map(dict(zip(met["image_id"], met["shared"], strict=True)))
    words = [
        "; ".join(filter(None, (STRANGE if far else "", wrong)))
        for far, wrong in zip(strange, quality, strict=True)
    ]
    return pd.DataFrame(
        {"image_id": distances["image_id"], "strange": strange, "flags": words, "met": shared}
    )
