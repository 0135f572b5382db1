"""Gain of class decisions over the most probable class: nested, naive, and on test rows.

Naive: weights of all rows, judged on these rows; they flatter themselves. Nested: each fold's rows
by the weights of the others, which is what new images may expect. Intervals are paired, of
resampled patients (else lesions), at the weights as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.prevalence import class_values, truth_codes
from melnb.evaluation.decisions.class_decision import (
    CRITERIA,
    ClassDecision,
    Costs,
    Decide,
    apply_class_decision,
    cost_matrix,
    fit_class_decision,
    plug_in,
)
from melnb.evaluation.decisions.class_weights import criterion_values, row_parts, weighted_calls
from melnb.evaluation.decisions.locked_threshold import NETWORKS_ALONE, ONE_SCORE, THEIR_MEAN
from melnb.evaluation.discrimination.within_folds import Networks, network_rows
from melnb.evaluation.rows import row_clusters
from melnb.evaluation.statistics import bootstrap
from melnb.evaluation.statistics.intervals import NO_ERROR
from melnb.evaluation.statistics.proportions import (
    clustered_wilson,
    paired_counts,
    tango_interval,
)
from melnb.evaluation.summaries import cluster_column
from melnb.tables.checks import TEST, TableError
from melnb.tables.schema import class_names

NESTED, NAIVE = "nested", "naive"
GAIN_COLUMNS = (
    "rule", "rows", "metric", "most_probable", "value", "gain", "low", "high", "n", "chosen",
    "method", "note",
)  # fmt: skip
CLASS_COLUMNS = (
    "class", "weight", "least", "most", "most_probable", "decided", "decided_low", "decided_high",
    "difference", "low", "high", "n", "note",
)  # fmt: skip
_NAMES = {
    "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1", "cost": "mean cost",
    "accuracy": "accuracy",
}  # fmt: skip
_RULES: dict[Decide, str] = {
    "logit_adjustment": "logit adjustment", "balanced_accuracy": "weights for balanced accuracy",
    "macro_f1": "weights for macro F1", "cost": "weights for least cost",
}  # fmt: skip
_EXPECTED = "least expected cost"
_TWO = 2  # of two classes the operating point is the decision


def class_gain(
    predictions: pd.DataFrame,
    *,
    decision: ClassDecision,
    networks: Networks | None = None,
    costs: Costs | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what each decision brings over the most probable class, nested and naive.

    Args:
        predictions: Predictions table, all its rows.
        decision: `fit_class_decision` of it: the chosen one, which alone meets test rows.
        networks: What each network alone said of test rows, by fold; None: not known.
        costs: Of a call for a truth; those of `cost`, which is left out without them.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `rule`, `rows` (nested, naive; of test rows `locked_test_points`' ways), `metric` (what the
        rule is for; nested also the accuracy that it costs), `most_probable` and `value` (the
        metric of both decisions), `gain` with `low` and `high` (of a cost, what is saved), `n`,
        `chosen`, `method`, `note`. No row for two classes that nothing was chosen for: their
        decision is the operating point.
    """
    entries: list[dict[str, object]] = []
    how: dict[str, Any] = {"confidence": confidence, "draws": draws, "seed": seed}
    inside = predictions[(predictions["fold"] != TEST) & predictions["truth"].notna()]
    for name, rule in _rules(predictions, decision, costs or {}):
        chosen = rule is decision
        row: dict[str, object] = {"rule": name, "chosen": chosen}
        for rows, frozen in ((NESTED, False), (NAIVE, True)):
            entries.append(row | {"rows": rows} | decided_gain(inside, rule, frozen=frozen, **how))
        entries.append(
            row | {"rows": NESTED} | decided_gain(inside, rule, metric="accuracy", **how)
        )
        if chosen:
            for way, table in test_ways(predictions, networks or {}):
                entries.append(row | {"rows": way} | decided_gain(table, rule, frozen=True, **how))
    return pd.DataFrame(entries, columns=list(GAIN_COLUMNS))


def decision_by_class(
    predictions: pd.DataFrame,
    *,
    decision: ClassDecision,
    confidence: float = 0.95,
    cluster: str = "",
) -> pd.DataFrame:
    """Return each class's weight, and how much of the class is called rightly with and without it.

    Args:
        predictions: Predictions table; its out-of-fold rows are judged, nested.
        decision: `fit_class_decision` of it.
        confidence: Of the intervals.
        cluster: A column, such as `patient_id`, whose images err together.

    Returns:
        `class`, `weight` (frozen), `least` and `most` (over the parts), `most_probable` and
        `decided` (sensitivities; of `decided` with limits: Wilson's), their `difference` with `low`
        and `high` (Tango's, paired), `n`, `note`. No row where the most probable class decides.
    """
    rows = predictions[(predictions["fold"] != TEST) & predictions["truth"].notna()]
    if decision.decide == "argmax":
        return pd.DataFrame(columns=list(CLASS_COLUMNS))
    try:
        decided = apply_class_decision(rows, decision)
    except TableError as error:
        why = decision.note or str(error)
        table = pd.DataFrame({"class": list(class_names(predictions)), "note": _not(why)})
        return table.reindex(columns=list(CLASS_COLUMNS))
    codes, clusters = truth_codes(rows), row_clusters(rows, cluster)
    before, after = (_calls(table) == codes for table in (rows, decided))
    entries = []
    for k, name in enumerate(class_names(rows)):
        members = codes == k
        each = [weights[name] for weights in decision.parts.values()]
        within = None if clusters is None else np.unique(clusters[members], return_inverse=True)[1]
        limits = clustered_wilson(after, members, clusters, confidence=confidence)
        counts = paired_counts(after[members], before[members], within)
        lead = tango_interval(counts, confidence=confidence)
        weight = (decision.weights[name], min(each), max(each))
        note = "" if lead[1] == lead[1] else f"interval not estimable: all rows of one {cluster}"
        entries.append(
            (name, *weight, before[members].mean(), *limits, *lead, int(members.sum()), note)
        )
    return pd.DataFrame(entries, columns=list(CLASS_COLUMNS))


def gain_results(gains: pd.DataFrame) -> dict[str, object]:
    """Return what `run.json` keeps of `class_gain`: what the chosen decision brings, nested."""
    chosen = gains[gains["chosen"].astype(bool) & (gains["rows"] == NESTED)].dropna(subset="gain")
    kept = {"class_gain": "gain", "class_gain_low": "low", "class_gain_high": "high"}
    return {
        name: row[column]
        for row in chosen.head(1).to_dict("records")
        for name, column in kept.items()
    }


def _rules(
    predictions: pd.DataFrame, decision: ClassDecision, costs: Costs
) -> Iterator[tuple[str, ClassDecision]]:
    """Yield the names of the rules that are compared, and the rules."""
    asked: list[Decide] = [decision.decide]
    if len(class_names(predictions)) > _TWO:
        asked = ["logit_adjustment", "balanced_accuracy", "macro_f1"]
        asked += ["cost"] if costs else []
    for decide in asked:
        if decide == "argmax":
            continue
        rule = decision if decide == decision.decide else fit_class_decision(
            predictions, decide=decide, costs=costs, tau=decision.tau
        )  # fmt: skip
        if decide == "cost" and rule.weights:
            yield _EXPECTED, plug_in(rule)
        tau = f", tau {rule.tau:g}" if decide == "logit_adjustment" else ""
        yield f"{_RULES[decide]}{tau}", rule


def test_ways(predictions: pd.DataFrame, networks: Networks) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield how test rows with a truth are judged, and the rows: see `locked_test_points`."""
    test = predictions[(predictions["fold"] == TEST) & predictions["truth"].notna()]
    if len(test):
        yield NETWORKS_ALONE if networks else ONE_SCORE, network_rows(test, networks)
        if networks:
            yield THEIR_MEAN, test


def decided_gain(
    rows: pd.DataFrame,
    decision: ClassDecision,
    *,
    frozen: bool = False,
    metric: Literal["", "balanced_accuracy", "macro_f1", "accuracy"] = "",
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, object]:
    """Return the metric of the most probable class and of a decision, and their paired difference.

    Args:
        rows: Predictions table of rows with a truth.
        decision: `fit_class_decision` of these rows or of others.
        frozen: All rows get the frozen weights; else each fold those of the others.
        metric: Of both; empty: what the decision is for.
        confidence: Of the intervals.
        draws: Number of resamples.
        seed: Of the resampling.

    Returns:
        `metric`, `n`, `most_probable` and `value`, each with `…_low` and `…_high`, `gain` with
        `low` and `high` (of a cost, what is saved), `method`, `note`.
    """
    judged = metric or CRITERIA[decision.decide]
    row: dict[str, object] = {"metric": _NAMES[judged], "n": len(rows)}
    if rows.empty or not decision.weights:
        return row | {"note": _not(decision.note or "no row has a truth")}
    try:
        decided = apply_class_decision(rows, decision, frozen=frozen)
    except TableError as error:
        return row | {"note": _not(decision.note or str(error))}
    matrix, codes = cost_matrix(decision.costs, class_names(rows)), truth_codes(rows)
    cluster = cluster_column(rows)
    parts = [row_parts(codes, _calls(table), matrix) for table in (rows, decided)]
    both = np.column_stack(parts)
    drawn = bootstrap.resampled_sums(
        both, clusters=row_clusters(rows, cluster), draws=draws, seed=seed
    )
    half, sign = both.shape[1] // 2, -1 if judged == "cost" else 1
    before, after = (
        criterion_values(np.vstack([both.sum(axis=0), drawn])[:, part], judged)
        for part in (slice(half), slice(half, None))
    )
    gain = sign * (after - before)
    names = {"most_probable": before, "value": after, "gain": gain}
    estimable = False
    for name, values in names.items():
        se, low, high = (
            float(v) for v in bootstrap.percentile_interval(values[1:], confidence=confidence)
        )
        estimable = se > NO_ERROR
        ends = ("low", "high") if name == "gain" else (f"{name}_low", f"{name}_high")
        limits = (low, high) if estimable else (math.nan, math.nan)
        row |= {name: values[0], **dict(zip(ends, limits, strict=True))}
    words = "" if estimable else "interval not estimable: no resample differs"
    note = "; ".join(filter(None, (words, decision.note)))
    return row | {"method": f"bootstrap of {cluster or 'rows'}, paired", "note": note}


def _calls(table: pd.DataFrame) -> np.ndarray:
    values = class_values(table)
    return weighted_calls(values, np.ones(values.shape[1]))


def _not(why: str) -> str:
    return why if why.startswith("not estimable") else f"not estimable: {why}"
