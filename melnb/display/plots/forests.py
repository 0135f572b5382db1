"""Estimates as points with their intervals, a row each."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from melnb.display.plots import marks


def metrics_by_fold(
    table: pd.DataFrame, *, metric: str = "AUC", title: str = "AUC by fold"
) -> go.Figure:
    """Draw one metric of `metrics.metrics_by_fold`, a row each with its interval."""
    chosen = table[table["metric"] == metric]
    return marks.interval_figure(chosen, "rows", "value", title=title, axis=metric)


def fold_dispersion(
    table: pd.DataFrame, by_fold: pd.DataFrame, *, metric: str = "AUC", title: str = ""
) -> go.Figure:
    """Draw the folds about their mean: `comparisons.fold_dispersion` and what it was made of.

    Args:
        table: `comparisons.fold_dispersion`.
        by_fold: `metrics.metrics_by_fold`.
        metric: One of both tables' metrics.
        title: Of the figure; empty: whether the folds differ by more than chance.
    """
    folds = by_fold[(by_fold["metric"] == metric) & by_fold["rows"].str.startswith("fold ")]
    chosen = table[table["metric"] == metric].rename(columns={"mean": "value"})
    chosen = chosen.assign(rows="mean of folds")
    p = float(chosen["p"].iloc[0]) if len(chosen) else float("nan")
    said = f"Do folds differ? Cochran's Q: p {p:.2g}" if p == p else "Folds and their mean"
    figure = marks.interval_figure(
        pd.concat([folds, chosen], ignore_index=True),
        "rows", "value", title=title or said, axis=metric,
    )  # fmt: skip
    for mean in chosen["value"].dropna():
        figure.add_vline(x=float(mean), line=marks.CHANCE)
    return figure


def cross_validated_auc(
    table: pd.DataFrame, *, title: str = "AUC within folds, and pooled"
) -> go.Figure:
    """Draw `folds.cross_validated_auc`: pooled far to the left, scales differ between the folds."""
    return marks.interval_figure(table, "rows", "value", title=title, axis="AUC")


def fold_comparison(
    table: pd.DataFrame, *, title: str = "Difference of AUC over the folds"
) -> go.Figure:
    """Draw `folds.fold_comparison`; where an interval spans 0, training anew may turn it round."""
    named = table.assign(runs=table["first"] + " − " + table["second"])
    figure = marks.interval_figure(
        named, "runs", "difference", title=title, axis="AUC of the first − of the second"
    )
    return figure.add_vline(0, line=marks.CHANCE)


def auc_by_run(table: pd.DataFrame, *, title: str = "AUC of each") -> go.Figure:
    """Draw `metrics.auc_by_run` with its intervals."""
    return marks.interval_figure(table, "run", "value", title=title, axis="AUC")


def auc_by_class(table: pd.DataFrame, *, title: str = "AUC of each class") -> go.Figure:
    """Draw `classes.auc_by_class` with its intervals."""
    return marks.interval_figure(
        table, "class", "value", title=title, axis="AUC, this class against the rest"
    )


def sensitivity_by_class(
    table: pd.DataFrame, *, title: str = "Sensitivity of each class"
) -> go.Figure:
    """Draw `classes.sensitivity_by_class` with its intervals."""
    return marks.interval_figure(table, "class", "sensitivity", title=title, axis="Sensitivity")


def auc_comparison(table: pd.DataFrame, *, title: str = "Difference of AUC") -> go.Figure:
    """Draw `metrics.auc_comparison`; where an interval spans 0, neither run is shown better."""
    named = table.assign(runs=table["first"] + " − " + table["second"])
    figure = marks.interval_figure(
        named, "runs", "difference", title=title, axis="AUC of the first − of the second"
    )
    return figure.add_vline(0, line=marks.CHANCE)


def equivalence_table(
    table: pd.DataFrame, *, title: str = "As good, within the margin?"
) -> go.Figure:
    """Draw `equivalence.equivalence_table`: right of the left margin, the first is not inferior.

    Within both margins it is equivalent. Without a margin there is only the line of no difference.
    """
    named = table.assign(runs=table["measure"] + ": " + table["first"] + " − " + table["second"])
    axis = "Lead of the first"
    figure = marks.interval_figure(named, "runs", "difference", title=title, axis=axis)
    margin = float(table["margin"].max()) if len(table) else 0.0
    for place in {0.0, -margin, margin}:
        line = marks.CHANCE if not place else {**marks.CHANCE, "dash": "dash", "width": 1.6}
        figure.add_vline(place, line=line)
    return figure


def member_contribution(
    table: pd.DataFrame, *, title: str = "What the blend loses without each member"
) -> go.Figure:
    """Draw `contributions.member_contribution`: right of 0, the blend is better with the member."""
    axis = "AUC of the blend less AUC without the member"
    drawn = table if "difference" in table else table.assign(difference=None, low=None, high=None)
    figure = marks.interval_figure(drawn, "member", "difference", title=title, axis=axis)
    figure.add_vline(x=0, line=marks.CHANCE)
    return figure


def ablation_table(table: pd.DataFrame, *, title: str = "What each technique brings") -> go.Figure:
    """Draw `ablations.ablation_table`: right of 0 a technique helps, the best on top."""
    ranked = table.sort_values("difference", ascending=False, kind="stable")
    axis = "AUC with the technique − AUC of the base"
    figure = marks.interval_figure(ranked, "technique", "difference", title=title, axis=axis)
    return figure.add_vline(0, line=marks.CHANCE)
