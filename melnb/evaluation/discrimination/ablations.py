"""Ablations: what does each technique bring, beyond the noise of images and of training?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from melnb.evaluation.discrimination import ranking
from melnb.evaluation.discrimination.comparisons import tested_differences
from melnb.evaluation.rows import (
    RANKED_ALIKE,
    absent_class,
    absent_clusters,
    binary_rows,
    few_remark,
    row_clusters,
)
from melnb.evaluation.statistics import intervals
from melnb.tables.checks import TEST, TableError

COLUMNS = (
    "technique", "seeds", "auc", "auc_base", "difference", "se", "se_images", "se_training",
    "low", "high", "z", "p", "p_holm", "verdict", "n", "positives", "note",
)  # fmt: skip
HELPS, HURTS, NOISE = "helps", "hurts", "within noise"


def ablation_table(
    tables: Mapping[str, Sequence[pd.DataFrame]],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return each technique's AUC less the base's, with the error of images and of training.

    Each run was trained several times, from several seeds. A technique's AUC is the mean over its
    seeds; the difference to the base's is of the same images, so that DeLong's covariance counts
    (1988; clustered, Obuchowski 1997). To this is added what another seed would change: the
    variance of the AUC over the seeds, taken as the same for every technique and pooled over all
    of them, since two or three seeds alone say little (Bouthillier et al. 2021, MLSys, show that
    a comparison that leaves it out mistakes luck for gain). P values are adjusted by Holm.

    Args:
        tables: Name of each technique, and one predictions table for each of its seeds; the first
            name is the base. Out-of-fold rows are used, those that every table holds.
        positive: The class looked for.
        confidence: Of the intervals, each for its technique alone, and of all verdicts together.
        cluster: A column, such as `lesion_id`, whose images err together.

    Returns:
        A row per technique but the base, in the order given, `COLUMNS`: `se_images` and
        `se_training` make up `se`; `verdict` is `helps`, `hurts`, `within noise` or
        `not estimable`.

    Raises:
        TableError: There is no table, or tables differ in an image's truth.
    """
    names = list(tables)
    if not names or not all(len(tables[name]) for name in names):
        raise TableError("ablation: every technique needs the predictions of one seed or more")
    rows, scores = _shared_scores([t for name in names for t in tables[name]], positive, cluster)
    truth, clusters = rows["truth"].to_numpy(), row_clusters(rows, cluster)
    values, covariance = intervals.delong_covariance(truth, scores, clusters)
    owner = np.repeat(np.arange(len(names)), [len(tables[name]) for name in names])
    share = (owner == np.arange(len(names))[:, None]) / np.bincount(owner)[:, None]
    contrasts = share[1:] - share[0]
    images = np.sqrt(np.maximum(np.einsum("ti,ij,tj->t", contrasts, covariance, contrasts), 0.0))
    training, unknown = _training_errors(values, owner)
    absent = absent_class(rows, positive) or absent_clusters(rows, cluster)
    estimable = (images > intervals.NO_ERROR) & (not absent)
    se = np.where(estimable, np.hypot(images, np.nan_to_num(training[1:])), np.nan)
    differences = contrasts @ values
    tested = tested_differences(differences, se, confidence)
    remark = "; ".join(filter(None, (few_remark(rows, cluster), unknown)))
    columns = {
        "technique": names[1:],
        "seeds": [len(tables[name]) for name in names[1:]],
        "auc": (share @ values)[1:],
        "auc_base": (share @ values)[0],
        **tested,
        "se_images": np.where(estimable, images, np.nan),
        "se_training": training[1:],
        "verdict": _verdicts(differences, tested["p_holm"], 1 - confidence),
        "n": len(rows),
        "positives": int(truth.sum()),
        "note": np.where(estimable, remark, absent or RANKED_ALIKE),
    }
    return pd.DataFrame(columns, columns=list(COLUMNS))


def seeds_table(
    tables: Mapping[str, Mapping[str, pd.DataFrame]],
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return the out-of-fold AUC of every seed of every technique.

    Args:
        tables: Name of each technique; name of each of its runs, and its predictions.
        positive: The class looked for.
        confidence: Of the intervals.
        cluster: A column whose images err together.

    Returns:
        `technique`, `run`, `value`, `low`, `high` (of the images), `n`, `positives`, `note`.
    """
    entries = []
    for technique, members in tables.items():
        for name, table in members.items():
            out_of_fold = table[table["fold"] != TEST]
            area = ranking.auc(
                out_of_fold, positive=positive, confidence=confidence, cluster=cluster
            )
            entries.append(area.assign(technique=technique, run=name))
    columns = ["technique", "run", "value", "low", "high", "n", "positives", "note"]
    return (
        pd.concat(entries, ignore_index=True)[columns] if entries else pd.DataFrame(columns=columns)
    )


def _training_errors(values: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, str]:
    """Return what seeds add to the error of each technique's difference, and why they may not."""
    counts = np.bincount(owner)
    means = np.bincount(owner, weights=values) / counts
    freedom = len(values) - len(counts)
    if not freedom:
        return np.full(len(counts), math.nan), "noise of training unknown: one seed"
    variance = float(((values - means[owner]) ** 2).sum()) / freedom
    return np.sqrt(variance * (1 / counts + 1 / counts[0])), ""


def _shared_scores(
    tables: Sequence[pd.DataFrame], positive: str, cluster: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the out-of-fold rows that all tables hold, and their scores, tables x rows."""
    parts = [binary_rows(t[t["fold"] != TEST], positive=positive) for t in tables]
    base = next((t for t in parts if cluster in t.columns), parts[0])
    shared = base["image_id"]
    for part in parts:
        shared = shared[shared.isin(part["image_id"])]
    rows = base.set_index("image_id").loc[shared]
    aligned = [part.set_index("image_id").loc[shared] for part in parts]
    for part in aligned:
        wrong = part["truth"] != rows["truth"]
        if wrong.any():
            raise TableError(
                f"ablation: truth of {wrong.index[wrong][0]} differs between two tables "
                f"({int(wrong.sum())} such images): they must be of the same labels"
            )
    return rows.reset_index(), np.stack([part["score"].to_numpy() for part in aligned])


def _verdicts(differences: np.ndarray, adjusted: np.ndarray, risk: float) -> list[str]:
    verdicts = []
    for difference, p in zip(differences, adjusted, strict=True):
        apart = HELPS if difference > 0 else HURTS
        verdicts.append("not estimable" if math.isnan(p) else (apart if p < risk else NOISE))
    return verdicts
