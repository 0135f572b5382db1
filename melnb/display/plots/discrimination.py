"""Figures of discrimination: ROC curves, areas with intervals, confusion matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from melnb.display import theme
from melnb.display.plots import strokes
from melnb.tables import diagnoses

# Curves of a ranking: one table, or tables by label (folds, runs).
#
# Curves are thinned for drawing alone; every number on a figure comes out of a table.


def roc_curve(
    tables: strokes.Tables, *, point: pd.DataFrame | None = None, title: str = "ROC curve"
) -> go.Figure:
    """Draw ROC curves.

    Args:
        tables: `ranking.roc_curve`, or several by label.
        point: `operating_point.operating_point`, marked when given.
        title: Of the figure.
    """
    figure = strokes.square_figure(title, "1 − specificity", "Sensitivity")
    strokes.add_chance(figure, (0, 1), "chance")
    strokes.add_curves(figure, tables, "false_positive_rate", "sensitivity")
    if point is not None:
        strokes.add_point(
            figure, 1 - point["specificity"].iloc[0], point["sensitivity"].iloc[0], point
        )
    return figure


def precision_recall_curve(
    tables: strokes.Tables,
    *,
    prevalence: float | None = None,
    point: pd.DataFrame | None = None,
    title: str = "Precision–recall curve",
) -> go.Figure:
    """Draw precision-recall curves.

    Args:
        tables: `ranking.precision_recall_curve`, or several by label.
        prevalence: That of the curve, the precision of chance; drawn when given; 0: the point's.
        point: `operating_point.operating_point`, marked when given.
        title: Of the figure.
    """
    figure = strokes.square_figure(title, "Recall (sensitivity)", "Precision (PPV)")
    if prevalence == 0 and point is not None:
        prevalence = float(point["prevalence"].iloc[0])
    if prevalence is not None:
        strokes.add_chance(figure, (prevalence, prevalence), f"chance: prevalence {prevalence:.2g}")
    strokes.add_curves(figure, tables, "recall", "precision")
    if point is not None:
        strokes.add_point(figure, *on_precision_recall(point, strokes.first_table(tables)), point)
    curve = strokes.first_table(tables)
    inside = figure.layout.legend.orientation != "h"
    if inside and (curve.loc[curve["recall"] >= 0.5, "precision"] > 0.5).any():  # where words stand
        figure.update_layout(legend={"x": 0.02, "xanchor": "left", "y": 0.02, "yanchor": "bottom"})
    return figure


def on_precision_recall(point: pd.DataFrame, curve: pd.DataFrame) -> tuple[float, float]:
    """Return where a point lies on a curve, whatever prevalence its own PPV is for."""
    row = point.iloc[0]
    share = float(curve["prevalence"].iloc[0]) if "prevalence" in curve else float("nan")
    right, wrong = row["sensitivity"] * share, (1 - row["specificity"]) * (1 - share)
    wrong = 0.0 if share == 1 else wrong  # without others nothing is flagged in error
    return float(row["sensitivity"]), float(right / (right + wrong)) if right else float("nan")


# Figures of a search for members: what the best of each size seem, and what they are.

_NAMED = 24  # steps of a path that have room for their members' names
_OPEN = {"symbol": "circle-open", "size": 12, "color": theme.VERMILLION, "line": {"width": 2}}


def path_table(table: pd.DataFrame, *, title: str = "") -> go.Figure | None:
    """Draw `search.path_table`: the apparent area of each size over the honest one with its band.

    Args:
        table: Of an exhaustive search, or of a greedy one, whose added members stand below.
        title: Of the figure; empty: how many members were chosen.

    Returns:
        None without a row; so `member_frequency` and, without a gain, `optimism_table`.
    """
    if table.empty:
        return None
    best = table[table["chosen"]]
    heading = f"Best blend of each size: that of {best['size'].iloc[0]} chosen" if len(best) else ""
    stepwise = bool((table["added"] != "").all()) and len(table) <= _NAMED
    axes = ("Member added" if stepwise else "Members in the blend", "AUC, out of fold")
    figure = go.Figure(layout=theme.layout(title or heading, *axes, height=420))
    banded = table.rename(columns={"low": "honest_low", "high": "honest_high"})
    strokes.add_band(
        figure, banded, "size", "honest", "honest: chosen without the fold", theme.BLUE
    )
    figure.add_scatter(
        x=table["size"],
        y=table["apparent"],
        mode="lines+markers",
        name="apparent: chosen by all rows",
        line={"color": theme.VERMILLION, "width": 2, "dash": "dash"},
        marker={"size": 5},
        customdata=table["members"],
        hovertemplate="%{y:.4f}<br>%{customdata}",
    )
    figure.add_scatter(
        x=best["size"], y=best["apparent"], mode="markers", name="chosen", marker=_OPEN
    )
    if stepwise:
        words = table["size"].astype(str) + " " + table["added"]
        figure.update_xaxes(tickvals=table["size"], ticktext=words, tickangle=-40)
    else:
        figure.update_xaxes(dtick=max(1, len(table) // 12))
    corner = {"x": 0.98, "y": 0.03, "xanchor": "right", "yanchor": "bottom"}
    return figure.update_xaxes(zeroline=False).update_layout(legend=corner)


def member_frequency(table: pd.DataFrame, *, title: str = "") -> go.Figure | None:
    """Draw `candidates.member_frequency`: a member in few of the best is there by chance.

    Args:
        table: A row per member.
        title: Of the figure; empty: how many blends are counted.
    """
    if table.empty:
        return None
    number = int(table["n"].max())
    words = title or f"How often is each member among the best {number:,} blends?"
    layout = theme.layout(words, "Share", "", height=170 + 28 * len(table))
    figure = go.Figure(layout=layout)
    figure.add_bar(
        x=table["share"],
        y=table["member"],
        orientation="h",
        name="of the best blends",
        marker={"color": theme.SKY},
        hovertemplate="%{x:.0%}",
    )
    figure.add_scatter(
        x=table["folds"],
        y=table["member"],
        mode="markers",
        name="of the folds' choices",
        marker={"size": 10, "color": theme.BLUE, "symbol": "diamond"},
        customdata=table["weight"],
        hovertemplate="%{x:.0%}, weight %{customdata:.3f} by all rows",
    )
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_xaxes(range=[-0.02, 1.02], dtick=0.2, tickformat=".0%")
    return _legend_above(figure)


def optimism_table(
    table: pd.DataFrame, *, title: str = "What does selecting bring?"
) -> go.Figure | None:
    """Draw the gains of `search.optimism_table`: apparent ones open, honest ones with limits.

    Left of 0, or with limits that span it, nothing was gained.
    """
    gains = table[table["what"].str.startswith("gain")]
    if gains.empty:
        return None
    labels = gains["what"].str.removeprefix("gain ") + ", pairs: " + gains["pairs"]
    figure = strokes.interval_figure(
        gains.assign(label=labels), "label", "honest", title=title, axis="Gain of AUC"
    )
    figure.data[0].update(name="honest", showlegend=True)
    figure.add_scatter(
        x=gains["apparent"],
        y=labels,
        mode="markers",
        name="apparent",
        marker=_OPEN,
        customdata=np.asarray(gains["optimism"], dtype=float),
        hovertemplate="%{x:.4f}, %{customdata:.4f} of it luck",
    )
    figure.add_vline(x=0, line=strokes.CHANCE)
    return _legend_above(figure.update_layout(height=190 + 40 * len(gains)))


def unit_gain(
    table: pd.DataFrame, *, title: str = "What the mean of several images brings"
) -> go.Figure | None:
    """Draw `units.unit_gain`: right of 0 the mean is better than one image; None: no row."""
    if table.empty:
        return None
    labels = table["metric"] + ": " + table["units"]
    named = table.assign(label=labels).dropna(subset="gain")
    axis = "By the mean less by one image"
    figure = strokes.interval_figure(named, "label", "gain", title=title, axis=axis)
    return figure.add_vline(x=0, line=strokes.CHANCE)


def _legend_above(figure: go.Figure) -> go.Figure:
    """Set the legend between the title and the rows."""
    above = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}
    return figure.update_layout(margin={"t": 76}, legend=above)


# Estimates as points with their intervals, a row each.


def metrics_by_fold(
    table: pd.DataFrame, *, metric: str = "AUC", title: str = "AUC by fold"
) -> go.Figure:
    """Draw one metric of `ranking.metrics_by_fold`, a row each with its interval."""
    chosen = table[table["metric"] == metric]
    return strokes.interval_figure(chosen, "rows", "value", title=title, axis=metric)


def fold_dispersion(
    table: pd.DataFrame, by_fold: pd.DataFrame, *, metric: str = "AUC", title: str = ""
) -> go.Figure:
    """Draw the folds about their mean: `comparisons.fold_dispersion` and what it was made of.

    Args:
        table: `comparisons.fold_dispersion`.
        by_fold: `ranking.metrics_by_fold`.
        metric: One of both tables' metrics.
        title: Of the figure; empty: whether the folds differ by more than chance.
    """
    folds = by_fold[(by_fold["metric"] == metric) & by_fold["rows"].str.startswith("fold ")]
    chosen = table[table["metric"] == metric].rename(columns={"mean": "value"})
    chosen = chosen.assign(rows="mean of folds")
    p = float(chosen["p"].iloc[0]) if len(chosen) else float("nan")
    heading = f"Do folds differ? Cochran's Q: p {p:.2g}" if p == p else "Folds and their mean"
    figure = strokes.interval_figure(
        pd.concat([folds, chosen], ignore_index=True),
        "rows", "value", title=title or heading, axis=metric,
    )  # fmt: skip
    for mean in chosen["value"].dropna():
        figure.add_vline(x=float(mean), line=strokes.CHANCE)
    return figure


def cross_validated_auc(
    table: pd.DataFrame, *, title: str = "AUC within folds, and pooled"
) -> go.Figure:
    """Draw `within_folds.cross_validated_auc`: pooled far left, scales differ between folds."""
    return strokes.interval_figure(table, "rows", "value", title=title, axis="AUC")


def fold_comparison(
    table: pd.DataFrame, *, title: str = "Difference of AUC over the folds"
) -> go.Figure:
    """Draw `within_folds.fold_comparison`; where it spans 0, training anew may turn it round."""
    named = table.assign(runs=table["first"] + " − " + table["second"])
    figure = strokes.interval_figure(
        named, "runs", "difference", title=title, axis="AUC of the first − of the second"
    )
    return figure.add_vline(0, line=strokes.CHANCE)


def auc_by_run(table: pd.DataFrame, *, title: str = "AUC of each") -> go.Figure:
    """Draw `ranking.auc_by_run` with its intervals."""
    return strokes.interval_figure(table, "run", "value", title=title, axis="AUC")


def auc_by_class(table: pd.DataFrame, *, title: str = "AUC of each class") -> go.Figure:
    """Draw `classes.auc_by_class` with its intervals."""
    return strokes.interval_figure(
        table, "class", "value", title=title, axis="AUC, this class against the rest"
    )


def sensitivity_by_class(
    table: pd.DataFrame, *, title: str = "Sensitivity of each class"
) -> go.Figure:
    """Draw `classes.sensitivity_by_class` with its intervals."""
    return strokes.interval_figure(table, "class", "sensitivity", title=title, axis="Sensitivity")


def auc_comparison(table: pd.DataFrame, *, title: str = "Difference of AUC") -> go.Figure:
    """Draw `ranking.auc_comparison`; where an interval spans 0, neither run is shown better."""
    named = table.assign(runs=table["first"] + " − " + table["second"])
    figure = strokes.interval_figure(
        named, "runs", "difference", title=title, axis="AUC of the first − of the second"
    )
    return figure.add_vline(0, line=strokes.CHANCE)


def equivalence_table(
    table: pd.DataFrame, *, title: str = "As good, within the margin?"
) -> go.Figure:
    """Draw `equivalence.equivalence_table`: right of the left margin, the first is not inferior.

    Within both margins it is equivalent. Without a margin there is only the line of no difference.
    """
    named = table.assign(runs=table["measure"] + ": " + table["first"] + " − " + table["second"])
    axis = "Lead of the first"
    figure = strokes.interval_figure(named, "runs", "difference", title=title, axis=axis)
    margin = float(table["margin"].max()) if len(table) else 0.0
    for place in {0.0, -margin, margin}:
        line = strokes.CHANCE if not place else {**strokes.CHANCE, "dash": "dash", "width": 1.6}
        figure.add_vline(place, line=line)
    return figure


def member_contribution(
    table: pd.DataFrame, *, title: str = "What the blend loses without each member"
) -> go.Figure:
    """Draw `blends.member_contribution`: right of 0, the blend is better with the member."""
    axis = "AUC of the blend less AUC without the member"
    drawn = table if "difference" in table else table.assign(difference=None, low=None, high=None)
    figure = strokes.interval_figure(drawn, "member", "difference", title=title, axis=axis)
    figure.add_vline(x=0, line=strokes.CHANCE)
    return figure


def ablation_table(table: pd.DataFrame, *, title: str = "What each technique brings") -> go.Figure:
    """Draw `ablations.ablation_table`: right of 0 a technique helps, the best on top."""
    ranked = table.sort_values("difference", ascending=False, kind="stable")
    axis = "AUC with the technique − AUC of the base"
    figure = strokes.interval_figure(ranked, "technique", "difference", title=title, axis=axis)
    return figure.add_vline(0, line=strokes.CHANCE)


def confusion(table: pd.DataFrame, *, title: str = "Confusion matrix") -> go.Figure:
    """Draw counts, truths down and calls across; a cell's tint is its share of its row.

    Args:
        table: `thresholds.confusion` or `classes.confusion_by_class`.
        title: Of the figure.
    """
    named = table.rename(index=diagnoses.title, columns=diagnoses.title)
    side = 300 + 55 * len(table)
    figure = go.Figure(strokes.heat_map(named), theme.layout(title, "Called", "Truth", height=side))
    figure.update_layout(width=side + 60, xaxis_showgrid=False, yaxis_showgrid=False)
    return figure.update_yaxes(autorange="reversed")


def confusion_by_class(table: pd.DataFrame, *, title: str = "Confusion by class") -> go.Figure:
    """Draw `classes.confusion_by_class` (see `confusion`); nothing where no row was judged."""
    if not table.to_numpy().any():
        return go.Figure(layout=theme.layout(f"{title}: no truth is known", "Called", "Truth"))
    return confusion(table, title=title)


def member_correlation(table: pd.DataFrame, *, title: str = "Correlation of members") -> go.Figure:
    """Draw `blends.member_correlation` as a square, darkest where members agree."""
    names = list(dict.fromkeys([*table["first"], *table["second"]]))
    square = np.eye(len(names))
    for first, second, value in table[["first", "second", "correlation"]].to_numpy():
        row, column = names.index(first), names.index(second)
        square[row, column] = square[column, row] = value
    side = 170 + 44 * max(len(names), 3)
    figure = go.Figure(layout=theme.layout(title, "", "", height=side, width=side + 140))
    figure.add_heatmap(
        z=square,
        x=names,
        y=names,
        zmin=0,
        zmax=1,
        colorscale="Blues",
        showscale=False,
        texttemplate="%{z:.2f}",
        hovertemplate="%{y} and %{x}: %{z:.3f}",
        name="correlation",
    )
    return figure.update_yaxes(autorange="reversed", showgrid=False).update_xaxes(showgrid=False)


def comparison_matrix(
    table: pd.DataFrame, *, title: str = "Is the row better than the column?"
) -> go.Figure:
    """Draw `comparisons.comparison_matrix`: AUC of the row less that of the column, best first.

    Blue where the row is better, vermillion where it is worse, grey where they are not told apart.
    """
    sides = (table[["first", "auc_first"]], table[["second", "auc_second"]])
    area = {name: value for side in sides for name, value in side.to_numpy(dtype=object)}
    # Areas that are not estimable are NaN, and go last.
    names = sorted(area, key=lambda name: (area[name] != area[name], -area[name]))
    shade = np.full((len(names), len(names)), np.nan)
    words = np.full(shade.shape, "", dtype=object)
    pairs = table[["first", "second", "difference", "p_holm", "verdict"]].to_numpy(dtype=object)
    for first, second, lead, p, verdict in pairs:
        apart = float(np.sign(lead)) if verdict.endswith("is better") else 0.0
        row, column = names.index(first), names.index(second)
        for place, sign in (((row, column), 1), ((column, row), -1)):
            shade[place] = sign * apart
            words_of = f"{sign * lead:+.4f}<br>p {'< 0.001' if p < 0.001 else format(p, '.3f')}"
            words[place] = verdict if verdict == "not estimable" else words_of
    labels = [f"{name}<br>{area[name]:.4f}" for name in names]
    side = 190 + 78 * max(len(names), 2)
    figure = go.Figure(layout=theme.layout(title, "", "", height=side, width=side + 160))
    figure.add_heatmap(
        z=shade,
        x=labels,
        y=labels,
        text=words,
        zmin=-1,
        zmax=1,
        colorscale=theme.APART,
        showscale=False,
        xgap=3,
        ygap=3,
        texttemplate="%{text}",
        hovertemplate="%{y} − %{x}: %{text}<extra></extra>",
        name="difference of AUC",
    )
    return figure.update_yaxes(autorange="reversed", showgrid=False).update_xaxes(showgrid=False)
