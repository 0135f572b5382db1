"""Figures of an ensemble's members, each named as the table that it draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from melnb.display import marks, theme


def member_correlation(table: pd.DataFrame, *, title: str = "Correlation of members") -> go.Figure:
    """Draw `members.member_correlation` as a square of cells, darkest where members agree most."""
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


def member_contribution(
    table: pd.DataFrame, *, title: str = "What the blend loses without each member"
) -> go.Figure:
    """Draw `members.member_contribution`: right of 0, the blend is better with the member."""
    axis = "AUC of the blend less AUC without the member"
    drawn = table if "difference" in table else table.assign(difference=None, low=None, high=None)
    figure = marks.interval_figure(drawn, "member", "difference", title=title, axis=axis)
    figure.add_vline(x=0, line=marks.CHANCE)
    return figure
