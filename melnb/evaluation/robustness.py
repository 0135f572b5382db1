"""Robustness: what corruptions of pictures cost, by strength, paired with the clean pictures.

A cell is a corruption at a strength, predicted by the networks that predicted the clean pictures.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.calibrators import Method
from melnb.evaluation.calibration.cross_calibration import calibrate_networks, cross_calibrate
from melnb.evaluation.calibration.prevalence import probability_rows
from melnb.evaluation.calibration.reliability import (
    Measured,
    calibration_errors,
    proper_scores,
    resampled_bins,
)
from melnb.evaluation.rows import (
    UNCUT,
    absent_class,
    auc_estimate,
    difference_row,
    row_clusters,
)
from melnb.evaluation.statistics.bootstrap import percentile_interval
from melnb.evaluation.statistics.proportions import (
    clustered_wilson,
    paired_counts,
    tango_interval,
)
from melnb.evaluation.subgroups.subgroup_metrics import join_levels, row_arrays, too_few
from melnb.evaluation.summaries import cluster_column
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import check_predictions

CELL = ["corruption", "strength"]
COLUMNS = (
    *CELL, "metric", "value", "low", "high", "difference", "difference_low", "difference_high",
    "n", "positives", "method", "note",
)  # fmt: skip
GROUP_COLUMNS = (
    *CELL, "column", "level", "auc_clean", "auc", "difference", "low", "high", "all_images",
    "n", "positives", "levels", "note",
)  # fmt: skip
CLEAN = "none"  # the corruption of strength 0
ECE = "ECE, equal mass, debiased"
_BINS = 10
_NOTHING = (math.nan, math.nan, math.nan)
_APART = 0.01  # what two machines, or two kinds of arithmetic, may make of one network at most


def drawn_patients(
    predictions: pd.DataFrame, *, positive: str, rows: int = 0, seed: int = 0
) -> pd.DataFrame:
    """Draw whole patients (else lesions, else images) until about so many rows are out of fold.

    In proportion: those with a positive row and those without are drawn by the same share, so that
    the prevalence stays. Who is drawn hangs on the seed and their names alone.

    Args:
        predictions: Predictions table; rows without a truth, and test rows, are left out.
        positive: The class looked for.
        rows: As many, up to the last patient's; 0: all.
        seed: Of the draw.

    Returns:
        The rows, in the order of the predictions.

    Raises:
        TableError: No row is out of fold and has a truth.
    """
    judged = predictions[(predictions["fold"] != TEST) & predictions["truth"].notna()]
    if judged.empty:
        raise TableError(
            "predictions: no row is out of fold and has a truth: name a run of 04_predict on the "
            "dataset that was learnt from"
        )
    if not 0 < rows < len(judged):
        return judged.reset_index(drop=True)
    column = cluster_column(judged) or "image_id"
    who = judged[column].fillna(judged["image_id"]).astype(str)
    sizes = who.value_counts()
    holds = judged["truth"].eq(positive).groupby(who).any()
    kept: set[str] = set()
    for _, group in holds.groupby(holds):
        order = sorted(group.index, key=lambda name: _draw(name, seed))
        held = sizes[order].cumsum()
        wanted = rows * held.iloc[-1] / len(judged)
        kept |= {*held.index[held.shift(fill_value=0) < wanted]}
    return judged[who.isin(kept)].reset_index(drop=True)


def _draw(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=16).digest()


def check_again(clean: pd.DataFrame, cells: pd.DataFrame, *, positive: str) -> float:
    """Return how far predictions that were made again of clean pictures lie from those of before.

    Args:
        clean: The predictions.
        cells: Those of every cell, strength 0 among them.
        positive: The class looked for.

    Raises:
        TableError: Farther than any machine's arithmetic explains.
    """
    again = cells[cells["strength"] == 0].set_index("image_id")[f"p_{positive}"]
    before = clean.set_index("image_id")[f"p_{positive}"]
    apart = (again.reindex(before.index) - before).abs().fillna(1.0)
    if apart.max() > _APART:
        first = str(apart.idxmax())
        raise TableError(
            f"predictions: p_{positive} of {first} was {before[first]:.4f}, and its network says "
            "otherwise now of the very picture: networks or records were made anew since; run "
            "04_predict again"
        )
    return float(apart.max())


def calibrate_cells(
    predictions: pd.DataFrame, cells: pd.DataFrame, *, method: Method, positive: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Calibrate all by clean pictures: each fold, in every cell, by what the clean others taught.

    Args:
        predictions: Clean ones, all that are out of fold.
        cells: Predictions of every cell, with `corruption` and `strength`.
        method: Of `calibrators.fit_calibrator`; `none`: as they are.
        positive: The class looked for.

    Returns:
        Both.
    """
    if method == "none":
        return predictions, cells
    how: dict[str, Any] = {"method": method, "positive": positive}
    calibrated = []
    for (name, strength), table in _each_cell(cells):
        by_fold = {fold: table[table["fold"] == fold] for fold in {*table["fold"].astype(int)}}
        parts = calibrate_networks(predictions, by_fold, **how)
        whole = pd.concat(parts.values(), ignore_index=True)
        calibrated.append(whole.assign(corruption=name, strength=strength))
    return cross_calibrate(predictions, **how)[0], pd.concat(calibrated, ignore_index=True)


def _each_cell(cells: pd.DataFrame) -> Iterator[tuple[tuple[str, int], pd.DataFrame]]:
    """Yield corruption and strength, and the predictions table of the cell."""
    for place in cells[CELL].drop_duplicates().itertuples(index=False):
        members = (cells["corruption"] == place[0]) & (cells["strength"] == place[1])
        yield (str(place[0]), int(place[1])), cells[members].drop(columns=CELL)


def paired_cells(
    clean: pd.DataFrame, cells: pd.DataFrame, *, positive: str, purpose: str
) -> Iterator[tuple[tuple[str, int], pd.DataFrame]]:
    """Yield each cell and its rows beside the clean ones, in one order, the clean cell first.

    Args:
        clean: Predictions of the clean pictures, which stand for strength 0 too.
        cells: Predictions of every cell, with `corruption` and `strength`.
        positive: The class looked for.
        purpose: What needs probabilities, for the message.

    Yields:
        Corruption and strength, and `rows.binary_rows` with `score_clean`.

    Raises:
        TableError: A cell has other images, or other truths.
    """
    base = probability_rows(clean, positive=positive, purpose=purpose)
    yield (CLEAN, 0), base.assign(score_clean=base["score"])
    for (name, strength), table in _each_cell(cells[cells["strength"] > 0]):
        of_cell = probability_rows(check_predictions(table), positive=positive, purpose=purpose)
        of_cell = of_cell.set_index("image_id").reindex(base["image_id"])
        same = of_cell["truth"].to_numpy() == base["truth"].to_numpy()
        if len(table) != len(base) or not same.all():
            raise TableError(
                f"{name} at strength {strength}: its {len(table)} rows are of other images than "
                f"the {len(base)} clean ones, or of other truths: remove it from cells/, run again"
            )
        paired = base.assign(score=of_cell["score"].to_numpy(), score_clean=base["score"])
        yield (name, strength), paired


@dataclass(frozen=True)
class _Judge:
    """How rows are judged: what every number of a cell asks for."""

    positive: str
    threshold: float
    confidence: float
    cluster: str
    draws: int
    seed: int

    def rows_of(self, rows: pd.DataFrame, base: dict[str, Measured]) -> Iterator[dict[str, Any]]:
        """Yield the numbers of a cell; `base` are the clean calibration's."""
        yield self._area(rows)
        yield from self._calls(rows)
        yield from self._calibration(rows, base)

    def _area(self, rows: pd.DataFrame) -> dict[str, Any]:
        how: dict[str, Any] = {"positive": self.positive, "confidence": self.confidence}
        area = auc_estimate(rows, cluster=self.cluster, **how).iloc[0]
        second = rows.assign(truth_second=rows["truth"], score_second=rows["score_clean"])
        lead = difference_row(second, cluster=self.cluster, **how)
        return {
            "metric": "AUC", **{c: area[c] for c in ("value", "low", "high", "method", "note")},
            **_differences(lead["difference"], lead["low"], lead["high"]),
        }  # fmt: skip

    def _calls(self, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
        truth, clusters = rows["truth"].to_numpy(), row_clusters(rows, self.cluster)
        flagged, before = (rows[c].to_numpy() >= self.threshold for c in ("score", "score_clean"))
        by = f" by {self.cluster}" if self.cluster else ""
        for metric, among, right, was in (
            ("sensitivity", truth, flagged, before), ("specificity", ~truth, ~flagged, ~before),
        ):  # fmt: skip
            value, low, high = clustered_wilson(right, among, clusters, confidence=self.confidence)
            codes = None if clusters is None else clusters[among]
            counts = paired_counts(right[among], was[among], codes)
            lead = tango_interval(counts, confidence=self.confidence)
            note = "" if among.any() else "not estimable: there is no such row"
            if math.isnan(self.threshold):
                note, value, low, high, lead = UNCUT, *_NOTHING, _NOTHING
            yield {
                "metric": metric, "value": value, "low": low, "high": high,
                **_differences(*lead), "method": f"Wilson, Tango{by}", "note": note,
            }  # fmt: skip

    def measures(self, rows: pd.DataFrame) -> dict[str, Measured]:
        """Return the calibration of rows with its resamples, the same for every cell."""
        both = resampled_bins(
            rows, bins=_BINS, spacing="mass", cluster=self.cluster, draws=self.draws, seed=self.seed
        )
        scores = proper_scores(*both)["Brier score"]
        return {ECE: calibration_errors(*both)["ECE"], "Brier score": scores}

    def _calibration(
        self, rows: pd.DataFrame, base: dict[str, Measured]
    ) -> Iterator[dict[str, Any]]:
        reason = absent_class(rows, self.positive)
        for metric, estimate in self.measures(rows).items():
            _, low, high = estimate.limits(self.confidence)
            value, lead = estimate.value, estimate.drawn - base[metric].drawn
            difference = value - base[metric].value
            _, least, most = percentile_interval(lead, confidence=self.confidence)
            if metric == ECE:  # reflected, as the limits of a distance are
                value, twice = estimate.debiased().value, 2 * difference
                difference, least, most = twice - lead.mean(), twice - most, twice - least
            yield {
                "metric": metric, "value": value, "low": low, "high": high,
                **_differences(difference, least, most),
                "method": f"bootstrap of {self.cluster or 'rows'}", "note": reason,
            }  # fmt: skip


def robustness_table(
    clean: pd.DataFrame,
    cells: pd.DataFrame,
    *,
    positive: str,
    threshold: float,
    confidence: float = 0.95,
    cluster: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what each corruption makes of discrimination, calls and calibration, by strength.

    Differences are from the clean pictures, paired by image: DeLong's of the AUC (Obuchowski 1997
    of clusters), Tango's of sensitivity and specificity, the bootstrap's of Brier score and ECE, of
    the same resamples. The ECE is debiased, and so is its difference (`reliability`).

    Args:
        clean: Predictions of the clean pictures, out of fold.
        cells: Those of every cell, with `corruption` and `strength`; of strength 0 `clean` counts.
        positive: The class looked for.
        threshold: The locked one: a row is flagged at or above it.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.
        draws: Resamples behind the calibration.
        seed: Of the resamples.

    Returns:
        A row per corruption, strength and metric, `COLUMNS`: the clean pictures first, as `none` at
        strength 0, without a difference.

    Raises:
        TableError: A cell has other images than the clean pictures.
    """
    judge = _Judge(positive, threshold, confidence, cluster, draws, seed)
    base: dict[str, Measured] = {}
    entries: list[dict[str, Any]] = []
    for (name, strength), rows in paired_cells(clean, cells, positive=positive, purpose="Brier"):
        base = base or judge.measures(rows)
        counts = {"n": len(rows), "positives": int(rows["truth"].sum())}
        for row in judge.rows_of(rows, base):
            row |= {} if strength else _differences(*_NOTHING)
            entries.append({"corruption": name, "strength": strength, **row, **counts})
    return pd.DataFrame(entries, columns=list(COLUMNS))


def worst_groups(
    clean: pd.DataFrame,
    cells: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    positive: str,
    confidence: float = 0.95,
    cluster: str = "",
    smallest: int = 10,
) -> pd.DataFrame:
    """Return, of each cell, the group whose AUC falls the most, paired with the clean pictures.

    The worst of many is chosen by these very rows: its limits hold for all groups together
    (Bonferroni), which is wider than each alone.

    Args:
        clean: Predictions of the clean pictures, out of fold.
        cells: Those of every cell, with `corruption` and `strength`.
        groups: `subgroup_levels.subgroup_columns`.
        positive: The class looked for.
        confidence: Of all intervals of a cell together.
        cluster: A column, such as `patient_id`, whose images err together.
        smallest: Fewest positives, others and patients of a group that counts.

    Returns:
        A row per cell, `GROUP_COLUMNS`: `difference` with its limits, beside that of `all_images`;
        `levels` counts the groups. Where none is large enough a note says so.
    """
    entries: list[dict[str, Any]] = []
    members: dict[tuple[str, str], np.ndarray] = {}
    for cell, rows in paired_cells(clean, cells, positive=positive, purpose="a corruption"):
        if not cell[1]:
            members = _large_groups(rows, groups, positive, cluster, smallest)
            continue
        both = rows.assign(truth_second=rows["truth"], score_second=rows["score_clean"])
        how: dict[str, Any] = {"positive": positive, "cluster": cluster}
        share = 1 - (1 - confidence) / max(1, len(members))
        candidates: list[dict[str, Any]] = [
            {"column": column, "level": level}
            | difference_row(both[where].reset_index(drop=True), confidence=share, **how)
            for (column, level), where in members.items()
        ]
        overall = difference_row(both, confidence=confidence, **how)["difference"]
        nobody: dict[str, Any] = {"note": f"no group has {smallest} {positive} and others"}
        worst = min(candidates, key=lambda row: row["difference"], default=nobody)
        worst |= {"auc": worst.get("auc_first"), "auc_clean": worst.get("auc_second")}
        place = dict(zip(CELL, cell, strict=True))
        entries.append({**worst, **place, "all_images": overall, "levels": len(members)})
    return pd.DataFrame(entries, columns=list(GROUP_COLUMNS))


def robustness_results(table: pd.DataFrame) -> dict[str, Any]:
    """Return what `run.json` keeps of `robustness_table`: the clean area, and its largest fall."""
    areas = table[table["metric"] == "AUC"]
    clean, cells = areas[areas["strength"] == 0].iloc[0], areas[areas["strength"] > 0]
    results = {"auc": clean["value"], "images": int(clean["n"]), "cells": len(cells)}
    for row in cells.nsmallest(1, "difference").to_dict("records"):
        ends = ("difference", "difference_low", "difference_high")
        results |= {f"largest_{name}": row[name] for name in (*CELL, *ends)}
    return results


def _large_groups(
    rows: pd.DataFrame, groups: pd.DataFrame, positive: str, cluster: str, smallest: int
) -> dict[tuple[str, str], np.ndarray]:
    """Return the rows of each level of each column that has enough of both classes."""
    arrays, large = row_arrays(rows, threshold=math.nan, cluster=cluster), {}
    limits: dict[str, Any] = {"positive": positive, "smallest": smallest, "cluster": cluster}
    for column, levels in join_levels(rows, groups).items():
        for code, level in enumerate(levels.categories):
            where = np.asarray(levels.codes == code)
            if where.any() and not too_few(arrays.take(where), "both", **limits):
                large[column, str(level)] = where
    return large


def _differences(value: Any, low: Any, high: Any) -> dict[str, float]:
    names = ("difference", "difference_low", "difference_high")
    return dict(zip(names, map(float, (value, low, high)), strict=True))
