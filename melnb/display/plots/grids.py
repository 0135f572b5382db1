"""Squares of cells: who is called what, and which members agree."""

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
