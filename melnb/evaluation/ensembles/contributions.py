"""What is each member of an ensemble worth?"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, Unpack

import numpy as np
import pandas as pd

from melnb.evaluation.ensembles.alignment import Members, align
from melnb.evaluation.ensembles.blends import blend_aligned
from melnb.evaluation.ensembles.crossfits import Keywords, needs_folds
from melnb.evaluation.intervals import normal_quantile
from melnb.evaluation.multiplicity import with_holm
from melnb.evaluation.rows import auc_estimate, binary_rows, difference_row, joined_rows


def member_correlation(
    members: Members, *, positive: str, confidence: float = 0.95
) -> pd.DataFrame:
    """Return Spearman's correlation of each pair of members' scores: the lower, the more to gain.

    Limits after Fieller, Hartley and Pearson 1957, Biometrika 44:470.

    Returns:
        `first`, `second`, `correlation`, `low`, `high`, `n`, `note`; a row per pair.
    """
    aligned = align(members, same_folds=False)
    ranks = {name: t[f"p_{positive}"].rank().to_numpy() for name, t in aligned.items()}
    made = []
    for first, second in combinations(ranks, 2):
        value, note = _correlation(ranks[first], ranks[second])
        n = len(ranks[first])
        low = high = math.nan
        if not note and n > 3 and abs(value) < 1:
            half = normal_quantile(confidence) * math.sqrt(1.06 / (n - 3))
            low, high = math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
        elif not note:
            note = "interval not estimable: too few rows, or the very same order"
        made.append((first, second, value, low, high, n, note))
    columns = ["first", "second", "correlation", "low", "high", "n", "note"]
    return pd.DataFrame(made, columns=columns)


def member_contribution(
    members: Members,
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
    **how: Unpack[Keywords],
) -> pd.DataFrame:
    """Return what each member does alone, and what the blend loses without it.

    Args:
        members: Name and predictions of each member.
        positive: The class looked for.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.
        how: As `blends.blend` takes them. Given weights stay when a member is left out; what is
            fitted is fitted anew.

    Returns:
        `member`; `auc` alone with `auc_low` and `auc_high`; `auc_blend`, `auc_without`, their
        paired `difference` (above 0: the member helps) with `se`, `low`, `high`, `z`, `p`, and
        `p_holm`, adjusted for the number of members; `n`, `positives`, `note`. A row per member.
    """
    folds = needs_folds(how.get("method", "mean"), how.get("by_fold"))
    tables = align(members, same_folds=folds)
    weights = how.get("weights", ())
    shares = dict(zip(tables, weights, strict=True)) if len(weights) else {}

    def blended(names: list[str]) -> pd.DataFrame:
        kept = {name: tables[name] for name in names}
        own = Keywords(**how) | Keywords(weights=[shares[name] for name in names if shares])
        return binary_rows(blend_aligned(kept, positive=positive, **own), positive=positive)

    everyone = blended(list(tables))
    made = []
    for name, table in tables.items():
        rows = binary_rows(table, positive=positive)
        row = {"member": name, **_alone(rows, positive, confidence, cluster)}
        others = [other for other in tables if other != name]
        if others:
            difference = _lost(everyone, blended(others), positive, confidence, cluster)
            row |= difference | {"note": difference["note"] or row["note"]}
        else:
            row |= {"n": len(rows), "note": "not estimable: there is no other member"}
        made.append(row)
    columns = {"auc_first": "auc_blend", "auc_second": "auc_without"}
    table = pd.DataFrame(made).rename(columns=columns)
    table = with_holm(table) if "p" in table else table
    return table[[*table.columns.drop("note"), "note"]]


def _alone(rows: pd.DataFrame, positive: str, confidence: float, cluster: str) -> dict[str, Any]:
    alone = auc_estimate(rows, positive=positive, confidence=confidence, cluster=cluster)
    value, low, high, note = alone[["value", "low", "high", "note"]].iloc[0]
    return {"auc": value, "auc_low": low, "auc_high": high, "note": note}


def _lost(
    everyone: pd.DataFrame, others: pd.DataFrame, positive: str, confidence: float, cluster: str
) -> dict[str, Any]:
    """Return what the blend of everyone has more than that of the others, on the same images."""
    without = others[["image_id", "truth", "score"]]
    both = joined_rows(everyone, without)
    return difference_row(both, positive=positive, confidence=confidence, cluster=cluster)


def _correlation(first: np.ndarray, second: np.ndarray) -> tuple[float, str]:
    if len(first) < 2:
        return math.nan, f"not estimable: {len(first)} row(s)"
    a, b = first - first.mean(), second - second.mean()
    scale = math.sqrt((a * a).sum() * (b * b).sum())
    if scale == 0:
        return math.nan, "not estimable: a member's scores are all alike"
    return float(np.clip((a * b).sum() / scale, -1, 1)), ""
