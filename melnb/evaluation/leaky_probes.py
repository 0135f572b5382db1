"""What a leak is worth: AUC and accuracy of one probe on leaky splits, against honest ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.evaluation.discrimination.ranking import auc
from melnb.evaluation.rows import binary_rows, difference_row, joined_rows, row_clusters
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.tables.schema import class_names

HONEST = "honest"
WORTH_COLUMNS = ("split", "probe", "n", "auc", "low", "high", "accuracy", "accuracy_low",
                 "accuracy_high", "gain", "gain_low", "gain_high", "note")  # fmt: skip


def leak_worth(
    fits: Mapping[tuple[str, str], pd.DataFrame],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return what each probe gets on each split, and what it gains over the honest one.

    Args:
        fits: Out-of-fold predictions by the names of a split and of a probe; one split is called
            `honest`. A repeated row counts as its author would count it: as one more.
        positive: The class looked for.
        confidence: Of the intervals.
        cluster: A column whose images err together.

    Returns:
        `split`, `probe`, `n`, `auc` with its limits, `accuracy` of the most probable class with
        Wilson's, `gain`: the AUC less that of the same probe on honest folds, paired on the images
        of both (DeLong), and `note`. No rows without fits.
    """
    entries = []
    for (split, probe), table in fits.items():
        area = auc(table, positive=positive, confidence=confidence, cluster=cluster).iloc[0]
        row: dict[str, object] = {"split": split, "probe": probe, "n": int(area["n"])}
        row |= {"auc": area["value"], "low": area["low"], "high": area["high"]}
        row |= _accuracy(table, confidence, cluster)
        honest = fits.get((HONEST, probe))
        if split != HONEST and honest is not None:
            row |= _gain(table, honest, positive, confidence, cluster)
        entries.append({**row, "note": area["note"]})
    return pd.DataFrame(entries, columns=list(WORTH_COLUMNS))


def _accuracy(table: pd.DataFrame, confidence: float, cluster: str) -> dict[str, float]:
    classes = class_names(table)
    called = table[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    right = np.array(classes, dtype=object)[called] == table["truth"].to_numpy()
    every, groups = np.ones(len(right), bool), row_clusters(table, cluster)
    share, low, high = clustered_wilson(right, every, groups, confidence=confidence)
    return {"accuracy": share, "accuracy_low": low, "accuracy_high": high}


def _gain(
    table: pd.DataFrame, honest: pd.DataFrame, positive: str, confidence: float, cluster: str
) -> dict[str, object]:
    """Return the difference of areas on the images of both, the leaky less the honest."""
    score = binary_rows(honest, positive=positive)[["image_id", "truth", "score"]]
    both = joined_rows(binary_rows(table, positive=positive), score)
    row = difference_row(both, positive=positive, confidence=confidence, cluster=cluster)
    return {"gain": row["difference"], "gain_low": row["low"], "gain_high": row["high"]}
