"""Figures of a search for members: what the best of each size seem, and what they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from melnb.display import theme
from melnb.display.plots import marks

_NAMED = 24  # steps of a path that have room for their members' names
_OPEN = {"symbol": "circle-open", "size": 12, "color": theme.VERMILLION, "line": {"width": 2}}


def path_table(table: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Draw `optimism.path_table`: the apparent area of each size over the honest one with its band.

    Args:
        table: Of an exhaustive search, or of a greedy one, whose added members stand below.
        title: Of the figure; empty: how many members were chosen.
    """
    best = table[table["chosen"]]
    said = f"Best blend of each size: that of {best['size'].iloc[0]} chosen" if len(best) else ""
    stepwise = bool((table["added"] != "").all()) and len(table) <= _NAMED
    axes = ("Member added" if stepwise else "Members in the blend", "AUC, out of fold")
    figure = go.Figure(layout=theme.layout(title or said, *axes, height=420))
    banded = table.rename(columns={"low": "honest_low", "high": "honest_high"})
    marks.add_band(figure, banded, "size", "honest", "honest: chosen without the fold", theme.BLUE)
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


def member_frequency(table: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Draw `selection.member_frequency`: a member in few of the best is there by chance.

    Args:
        table: A row per member.
        title: Of the figure; empty: how many blends are counted.
    """
    number = int(table["n"].max()) if len(table) else 0
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


def optimism_table(table: pd.DataFrame, *, title: str = "What does selecting bring?") -> go.Figure:
    """Draw the gains of `optimism.optimism_table`: apparent ones open, honest ones with limits.

    Left of 0, or with limits that span it, nothing was gained.
    """
    gains = table[table["what"].str.startswith("gain")]
    labels = gains["what"].str.removeprefix("gain ") + ", pairs: " + gains["pairs"]
    figure = marks.interval_figure(
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
    figure.add_vline(x=0, line=marks.CHANCE)
    return _legend_above(figure.update_layout(height=190 + 40 * len(gains)))


def _legend_above(figure: go.Figure) -> go.Figure:
    """Set the legend between the title and the rows."""
    above = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}
    return figure.update_layout(margin={"t": 76}, legend=above)
