"""Pulls of artefacts: spurious features, signed. Which way a drawn artefact moves predictions.

A loss of area says that an artefact disturbs; a pull says what the network takes it for. Each
picture is its own control, as each lesion was where Winkler et al. 2019, JAMA Dermatology 155:1135,
photographed them without ink and with it, and found a network that took ink for melanoma.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.prevalence import logit
from melnb.evaluation.robustness import CELL, paired_cells
from melnb.evaluation.rows import UNCUT, row_clusters
from melnb.evaluation.statistics.bootstrap import percentile_interval, resampled_means
from melnb.evaluation.statistics.intervals import NO_ERROR, two_sided_p, with_holm
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.diagnoses import OTHER
from melnb.tables.within_patient import without_gaps

_ENDS = ("", "_low", "_high")
PULL_COLUMNS = (
    *CELL, "class", "pull", *(f"{m}{end}" for m in ("logit", "probability") for end in _ENDS),
    "p", *(f"turned{end}" for end in _ENDS), "turned_to", "turned_from", "n", "note",
)  # fmt: skip
NO_PULL, UNKNOWN = "not told apart from none", "not estimable"


def artefact_pulls(
    clean: pd.DataFrame,
    cells: pd.DataFrame,
    *,
    positive: str,
    threshold: float,
    at: int = 3,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return which way each corruption pulls predictions, how far, and how many calls it turns.

    Shifts are means of what each image's own prediction gains by the corruption, with percentile
    limits of resampled patients; calls that are turned, with Wilson's over patients. Which way it
    pulls is said where the shift of the logit differs from 0 by Holm's p value, over the rows.

    Args:
        clean: Predictions of the clean pictures, out of fold.
        cells: Those of every cell, with `corruption` and `strength`.
        positive: The class looked for.
        threshold: The locked one: a row is flagged at or above it.
        at: The strength; of a corruption that was not made at it, the nearest.
        confidence: Of the intervals, and of all verdicts together.
        cluster: A column, such as `patient_id`, whose images err together.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        A row per corruption and true class (`positive` and the rest): `pull` (`to <positive>`,
        `from <positive>`, `not told apart from none`), the mean shift of `logit` and `probability`
        with limits, `p` and `p_holm`, the share of calls `turned`, `turned_to` the class and
        `turned_from` it, `n`, `note`.

    Raises:
        TableError: A cell has other images than the clean pictures.
    """
    entries: list[dict[str, Any]] = []
    nearest = cells[_nearest(cells, at)]
    for cell, rows in paired_cells(clean, nearest, positive=positive, purpose="a pull"):
        for name, among in ((positive, rows["truth"]), (_rest(positive), ~rows["truth"])):
            if not cell[1]:
                continue
            members, codes = rows[among], row_clusters(rows, cluster)
            part = None if codes is None else without_gaps(codes[among.to_numpy()])
            shifts = _shifts(members, part, confidence=confidence, draws=draws, seed=seed)
            turned = _turned(members, threshold, part, confidence)
            place = dict(zip(CELL, cell, strict=True))
            notes = "; ".join(filter(None, (shifts.pop("note"), turned.pop("note", ""))))
            row = {"class": name, **shifts, **turned, "n": len(members), "note": notes}
            entries.append({**place, **row})
    table = with_holm(pd.DataFrame(entries, columns=list(PULL_COLUMNS)))
    ways = np.where(table["logit"].to_numpy(dtype=float) > 0, f"to {positive}", f"from {positive}")
    apart = table["p_holm"] < 1 - confidence
    words = np.where(apart, ways, np.where(table["p"].isna(), UNKNOWN, NO_PULL))
    return table.assign(pull=words)


def _rest(positive: str) -> str:
    return OTHER if positive != OTHER else "rest"


def _nearest(cells: pd.DataFrame, at: int) -> pd.Series:
    """Return which rows are of the strength of their corruption that lies nearest; weaker first."""
    away = (cells["strength"] - at).abs() + cells["strength"] / 100
    return away.eq(away.groupby(cells["corruption"]).transform("min")) & cells["strength"].gt(0)


def _shifts(
    rows: pd.DataFrame, clusters: np.ndarray | None, *, confidence: float, draws: int, seed: int
) -> dict[str, Any]:
    """Return the mean shifts of logit and probability with their limits."""
    after, before = (rows[column].to_numpy() for column in ("score", "score_clean"))
    shifts = np.column_stack([logit(after) - logit(before), after - before])
    number = len(rows) if clusters is None else int(clusters.max(initial=-1)) + 1
    shift: dict[str, Any] = {"p": math.nan, "note": ""}
    if not len(rows):
        return shift | {"note": "not estimable: there is no such row"}
    value, ends = shifts.mean(axis=0), np.full((3, 2), np.nan)
    if number > 1:
        drawn = resampled_means(shifts, clusters=clusters, draws=draws, seed=seed)
        ends = np.stack(percentile_interval(drawn, confidence=confidence))
    else:
        shift["note"] = "interval not estimable: all rows are of one patient or lesion"
    for k, name in enumerate(("logit", "probability")):
        shift |= {name: value[k], f"{name}_low": ends[1, k], f"{name}_high": ends[2, k]}
    if ends[0, 0] > NO_ERROR:
        shift["p"] = two_sided_p(float(value[0] / ends[0, 0]))
    return shift


def _turned(
    rows: pd.DataFrame, threshold: float, clusters: np.ndarray | None, confidence: float
) -> dict[str, Any]:
    """Return the share of calls that are turned, and which way."""
    if rows.empty or math.isnan(threshold):
        return {"note": UNCUT} if len(rows) else {}
    after, before = (rows[column].to_numpy() >= threshold for column in ("score", "score_clean"))
    share = clustered_wilson(after != before, after | True, clusters, confidence=confidence)
    ways = {"turned_to": (after & ~before).mean(), "turned_from": (before & ~after).mean()}
    return {f"turned{end}": v for end, v in zip(_ENDS, share, strict=True)} | ways
