"""The locked threshold and the frozen class decision, elsewhere: what do they still find?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.calibrators import Calibrator, calibrate, read_calibrator
from melnb.evaluation.calibration.cross_calibration import calibrate_networks, cross_calibrate
from melnb.evaluation.decisions.class_decision import ClassDecision, read_class_decision
from melnb.evaluation.decisions.class_gain import NESTED, decided_gain, test_ways
from melnb.evaluation.decisions.locked_threshold import locked_point
from melnb.evaluation.discrimination.within_folds import Networks, image_ids, with_mean
from melnb.evaluation.rows import row_clusters
from melnb.evaluation.shift.areas import areas_by_source, class_areas_by_source
from melnb.evaluation.statistics.intervals import difference_interval
from melnb.evaluation.statistics.proportions import clustered_wilson
from melnb.evaluation.subgroups.subgroup_metrics import COLUMNS, subgroup_metrics
from melnb.evaluation.summaries import cluster_column
from melnb.tables.checks import TEST
from melnb.tables.schema import class_names

# Does it fail in the same people elsewhere? Subgroups inside each source.

SHOWN = ("sex", "age", "site")
_RANKED = ("prevalence", "AUC", "average precision")  # the rest is of calls and probabilities


def source_subgroups(
    tables: Mapping[str, pd.DataFrame],
    groups: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    threshold: float,
    cut: Mapping[str, pd.DataFrame] | None = None,
    columns: Sequence[str] = SHOWN,
    confidence: float = 0.95,
    smallest: int = 20,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return `subgroup_metrics.subgroup_metrics` of each source, its rows among themselves.

    A level that is rarer elsewhere, or that a source does not know, explains part of a loss only
    if the loss is less inside the levels than in all rows.

    Args:
        tables: `other_sources.source_tables`.
        groups: `subgroup_levels.subgroup_columns` of the sources whose images are known, by label.
        positive: The class looked for.
        threshold: A row of `cut` is flagged at or above it.
        cut: The tables that the locked threshold judges (`at_threshold.external_points`), of the
            same
            images: sensitivity, specificity and what is said of probabilities are of them, so that
            a page has one number for all images. None: `tables`.
        columns: Wanted, where they are known.
        confidence: Of the intervals.
        smallest: Fewest positives, others and patients of a shown level.
        draws: Resamples for average precision and means.
        seed: Of the resamples.

    Returns:
        `source` and the columns of `subgroup_metrics`; a source of unknown images has its pooled
        rows alone.
    """
    entries = []
    how: dict[str, Any] = {"positive": positive, "threshold": threshold, "confidence": confidence}
    how |= {"smallest": smallest, "draws": draws, "seed": seed}
    for name, table in tables.items():
        people = groups.get(name, table[["image_id"]])
        kept = people[["image_id", *(c for c in columns if c in people)]]
        ranked = subgroup_metrics(table, kept, cluster=cluster_column(table), **how)
        called = _called((cut or tables)[name], kept, **how)
        of_ranks = ranked["metric"].isin(_RANKED)
        # Counts are of images, however many networks judged each of them.
        counts = ranked[["n", "patients", "positives"]]
        both = [ranked[of_ranks], called.assign(**counts)[~of_ranks]]
        entries.append(pd.concat(both).sort_index().assign(source=name))
    names = ["source", *COLUMNS]
    return pd.concat(entries, ignore_index=True)[names] if entries else pd.DataFrame(columns=names)


def _called(table: pd.DataFrame, columns: pd.DataFrame, **how: Any) -> pd.DataFrame:
    """Return `subgroup_metrics` of rows that may be several networks' of one image."""
    ids = table[["image_id"]].assign(image=image_ids(table))
    groups = ids.merge(columns.rename(columns={"image_id": "image"}), on="image").drop(
        columns="image"
    )
    return subgroup_metrics(table, groups, cluster=cluster_column(table), **how)


COMPARED = ("sensitivity", "specificity")
_STATED = ("ppv", "npv", "flagged")
_ENDS = ("", "_low", "_high")
_COLUMNS = [
    "source", "threshold",
    *(f"{m}{end}" for m in COMPARED for end in (*_ENDS, *(f"_difference{e}" for e in _ENDS))),
    *(f"{m}{end}" for m in _STATED for end in _ENDS),
    "tp", "fp", "tn", "fn", "n", "positives", "prevalence", "method", "note",
]  # fmt: skip


def external_points(
    tables: Mapping[str, pd.DataFrame],
    *,
    locked: Mapping[str, Any],
    prevalence: float = 0,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what one threshold, locked on internal out-of-fold rows, does in each source.

    Differences from the internal source are of independent proportions: Newcombe's interval of
    Wilson's limits, patients counted as such (`intervals.difference_interval`).

    Args:
        tables: `other_sources.source_tables`; the first is the internal one.
        locked: `locked_threshold.lock_threshold` or `locked_threshold.read_threshold`.
        prevalence: At which `ppv`, `npv` and `flagged` are stated; 0: each source's own.
        confidence: Of the intervals.
        draws: Resamples behind measures without a closed form.
        seed: Of the resamples.

    Returns:
        A row per source: `threshold`; `sensitivity` and `specificity` with `…_low`, `…_high` and
        `…_difference` (with limits); `ppv`, `npv`, `flagged` with limits; counts, `prevalence`,
        `method`, `note`.
    """
    entries: list[dict[str, object]] = []
    first: Mapping[str, Any] = {}
    for name, table in tables.items():
        point = locked_point(
            table, locked=locked, prevalence=prevalence, confidence=confidence,
            cluster=cluster_column(table), draws=draws, seed=seed,
        )  # fmt: skip
        row: dict[str, Any] = {str(k): v for k, v in point.iloc[0].to_dict().items()}
        for measure in COMPARED if first else ():
            limits = difference_interval(_limits(row, measure), _limits(first, measure))
            ends = zip(_ENDS, limits, strict=True)
            row |= {f"{measure}_difference{end}": value for end, value in ends}
        first = first or row
        entries.append(row | {"source": name})
    return pd.DataFrame(entries, columns=_COLUMNS)


def external_results(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return what `run.json` keeps of a judgement elsewhere: each external source in turn.

    Args:
        tables: By the names of the functions that made them: `external_metrics`,
            `external_points`, `external_classes`, `external_decisions` and `flagged_shares`.
    """
    unjudged = tables["flagged_shares"]
    return {
        **areas_by_source(tables["external_metrics"]),
        **points_by_source(tables["external_points"]),
        **class_areas_by_source(tables["external_classes"]),
        **decisions_by_source(tables["external_decisions"]),
        "without_truth": int(unjudged["images"].sum()),
        "flagged_without_truth": int(unjudged["flagged"].sum()),
    }


def points_by_source(points: pd.DataFrame) -> dict[str, list[float]]:
    """Return what `run.json` keeps of `external_points`: each external source in turn."""
    names = [f"{measure}{end}" for measure in COMPARED for end in _ENDS]
    return {f"external_{name}": points[name].tolist()[1:] for name in names}


def flagged_shares(
    tables: Mapping[str, pd.DataFrame],
    *,
    positive: str,
    threshold: float,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return what can be said of images without a truth: how many the locked threshold flags.

    Args:
        tables: Predictions by source (`other_sources.strangers`); rows with a truth are left out.
        positive: The class looked for.
        threshold: The locked one.
        confidence: Of the intervals, Wilson's, by patient where known.

    Returns:
        A row per source that has such images: `source`, `images`, `flagged` (how many), `share`,
        `low`, `high`, `median` (of the probability), `note`.
    """
    rows = []
    for name, table in tables.items():
        unjudged = table[table["truth"].isna()]
        if unjudged.empty:
            continue
        value = unjudged[f"p_{positive}"].to_numpy(dtype=float)
        flagged, cluster = value >= threshold, cluster_column(unjudged)
        share, low, high = clustered_wilson(
            flagged, flagged | True, row_clusters(unjudged, cluster), confidence=confidence
        )
        row = {"source": name, "images": len(unjudged), "flagged": int(flagged.sum())}
        row |= {"share": share, "low": low, "high": high, "median": float(np.median(value))}
        rows.append(row | {"note": "no truth is known: predicted, not judged"})
    columns = ["source", "images", "flagged", "share", "low", "high", "median", "note"]
    return pd.DataFrame(rows, columns=columns)


# The frozen decision of many classes, elsewhere: is it worth there what it was at home?

DECIDED: tuple[Literal["balanced_accuracy", "macro_f1"], ...] = ("balanced_accuracy", "macro_f1")
DECISION_COLUMNS = (
    "source", "rows", "metric", "most_probable", "most_probable_low", "most_probable_high",
    "value", "value_low", "value_high", "gain", "low", "high", "n", "method", "note",
)  # fmt: skip


class FrozenDecision(NamedTuple):
    """What a report froze for many classes.

    Attributes:
        decision: Of its `class_decision.json`.
        calibrator: Of the probabilities that it decides by; None: as they come.
    """

    decision: ClassDecision
    calibrator: Calibrator | None = None


def read_frozen_decision(
    chosen: str | Path, *, reads: Callable[[Path], Path] = Path
) -> FrozenDecision | None:
    """Read the class decision that a report froze, and the calibrator that came before it.

    Args:
        chosen: The operating point of a report, beside which its decision lies; empty: there is
            none.
        reads: Told each file that is looked for, as `Run.seeks` of the run that asks.

    Returns:
        None where the report has none: the most probable class decides.

    Raises:
        TableError: The decision's file is damaged.
        ValueError: The calibrator's is.
    """
    if not chosen:
        return None
    places = (Path(chosen).with_name(n) for n in ("class_decision.json", "calibrator.json"))
    files = [reads(file) for file in places]
    if not files[0].is_file():
        return None
    calibrator = read_calibrator(files[1]) if files[1].is_file() else None
    return FrozenDecision(read_class_decision(files[0]), calibrator)


def external_decisions(
    tables: Mapping[str, pd.DataFrame],
    *,
    frozen: FrozenDecision | None,
    networks: Mapping[str, Networks] | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what a class decision, frozen at home, brings in each source.

    Internal rows are decided nested, each fold by what the others asked for; those of other sources
    by the frozen weights, network by network where these are known, since the decision was fitted
    on single networks' values. A source is judged by the classes that it has rows of; macro F1
    counts those that are called there, too.

    Args:
        tables: `other_sources.all_class_tables`; the first is the internal one.
        frozen: `read_frozen_decision`; None: there is none.
        networks: What each network alone said, by source.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `source`, `rows` (nested; else how they are judged), `metric` (balanced accuracy, macro F1),
        `most_probable` and `value` (before and after) with limits, `gain` with `low` and `high`
        (paired, of resampled patients, else lesions), `n`, `method`, `note`. Without a decision one
        row, whose note says so.
    """
    if frozen is None:
        note = "no class decision was frozen: chosen names no report that has one"
        return pd.DataFrame([{"note": note}], columns=list(DECISION_COLUMNS))
    entries, fitted_on = [], frozen.decision.run
    home = next(iter(tables.values()))["run"].iloc[0]
    other = f"fitted on run {fitted_on}" if fitted_on not in ("", home) else ""
    for name, way, rows in _decided_rows(tables, frozen, networks or {}):
        how: dict[str, Any] = {"confidence": confidence, "draws": draws, "seed": seed}
        absent = [c for c in class_names(rows) if not (rows["truth"] == c).any()]
        lacking = [f"no row is {', '.join(absent)}"] if absent else []
        for metric in DECIDED:
            row = decided_gain(rows, frozen.decision, frozen=way != NESTED, metric=metric, **how)
            words = [str(row.get("note", "")), other, *lacking]
            row |= {"source": name, "rows": way, "note": "; ".join(filter(None, words))}
            entries.append(row)
    return pd.DataFrame(entries, columns=list(DECISION_COLUMNS))


def decisions_by_source(table: pd.DataFrame) -> dict[str, list[float]]:
    """Return what `run.json` keeps of `external_decisions`: each external source in turn."""
    away = table[table["rows"].ne(NESTED) & table["metric"].notna()]
    first = away.drop_duplicates(["source", "metric"])
    ends = {"": "value", "_gain": "gain", "_gain_low": "low", "_gain_high": "high"}
    return {
        f"external_decided_{str(metric).lower().replace(' ', '_')}{end}": rows[column].tolist()
        for metric, rows in first.groupby("metric", sort=False)
        for end, column in ends.items()
    }


def _decided_rows(
    tables: Mapping[str, pd.DataFrame],
    frozen: FrozenDecision,
    networks: Mapping[str, Networks],
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield source, how its rows are judged, and the rows, calibrated as the decision's were."""
    home: pd.DataFrame | None = None
    calibrator, how = frozen.calibrator, _calibration(frozen.calibrator)
    for name, table in tables.items():
        rows, alone, there = table, networks.get(name, {}), name in networks
        if home is None:
            home = table
            rows = cross_calibrate(table, **how)[0] if calibrator else table
            yield name, NESTED, rows
            continue
        if calibrator and {*class_names(table)} == {*calibrator.classes}:
            alone = calibrate_networks(home, alone, **how) if there else {}
            rows = with_mean(calibrate(table.assign(fold=TEST), calibrator), alone)
        yield from ((name, way, part) for way, part in test_ways(rows, alone))


def _calibration(calibrator: Calibrator | None) -> dict[str, Any]:
    """Return the keywords by which internal rows are calibrated as a calibrator's were."""
    if calibrator is None:
        return {}
    names = [name for name in calibrator.parameters if name in calibrator.classes]
    of_two = names[0] if len(names) == 1 else ""
    how = {"method": calibrator.method, "smoothing": calibrator.smoothing}
    return how | {"positive": of_two}


def _limits(row: Mapping[str, Any], measure: str) -> tuple[float, float, float]:
    value, low, high = (float(row[f"{measure}{end}"]) for end in _ENDS)
    return value, low, high
