"""Squares of cells: who is called what, which members agree, and which are better."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from melnb import diagnoses
from melnb.display import theme
from melnb.display.plots import marks


def confusion(table: pd.DataFrame, *, title: str = "Confusion matrix") -> go.Figure:
    """Draw counts, truths down and calls across; a cell's tint is its share of its row.

    Args:
        table: `thresholds.confusion` or `classes.confusion_by_class`.
        title: Of the figure.
    """
    named = table.rename(index=diagnoses.title, columns=diagnoses.title)
    side = 300 + 55 * len(table)
    figure = go.Figure(marks.heat_map(named), theme.layout(title, "Called", "Truth", height=side))
    figure.update_layout(width=side + 60, xaxis_showgrid=False, yaxis_showgrid=False)
    return figure.update_yaxes(autorange="reversed")


def confusion_by_class(table: pd.DataFrame, *, title: str = "Confusion by class") -> go.Figure:
    """Draw `classes.confusion_by_class` (see `confusion`)."""
    return confusion(table, title=title)


def member_correlation(table: pd.DataFrame, *, title: str = "Correlation of members") -> go.Figure:
    """Draw `contributions.member_correlation` as a square, darkest where members agree."""
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
            known = f"{sign * lead:+.4f}<br>p {'< 0.001' if p < 0.001 else format(p, '.3f')}"
            words[place] = verdict if verdict == "not estimable" else known
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
