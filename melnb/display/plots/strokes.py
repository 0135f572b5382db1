"""Strokes that several figures are made of: curves, points, intervals, tinted cells."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from melnb.display import theme
from melnb.evaluation.discrimination.ranking import thin_curve
from melnb.tables import diagnoses

Tables = pd.DataFrame | Mapping[str, pd.DataFrame]
POOLED = "out of fold"  # the label drawn thick when folds are drawn beside it
_LABEL = 32  # letters of a row's label in one line
UNIT = {"range": [-0.01, 1.01], "dtick": 0.2}
LOG = {"type": "log", "dtick": 1, "tickformat": "~g"}
_LEGEND, _BELOW = 64, 134  # pixels of a legend below a figure, and of the margin that holds it
CHANCE = {"color": theme.GREY, "width": 1, "dash": "dot"}


def interval_figure(
    table: pd.DataFrame, label: str, value: str, *, title: str, axis: str
) -> go.Figure:
    """Draw estimates with intervals, the first on top."""
    labels = table[label].map(diagnoses.title) if label == "class" else table[label]
    labels = labels.map(wrapped)
    lines = labels.str.count("<br>").sum() if len(table) else 0
    height = 150 + 34 * len(table) + 15 * int(lines)
    figure = go.Figure(layout=theme.layout(title, axis, "", height=height))
    middle, low, high = (pd.to_numeric(table[c]) for c in (value, "low", "high"))
    size = table["n"].map("n = {:,}".format) if "n" in table else pd.Series("", table.index)
    figure.add_scatter(
        x=middle,
        y=labels,
        error_x={
            "type": "data",
            "array": high - middle,
            "arrayminus": middle - low,
            "thickness": 2,
            "width": 5,
        },
        mode="markers",
        marker={"size": 10, "color": theme.BLUE},
        customdata=np.stack([low, high, size], axis=1),
        hovertemplate="%{x:.3f} (%{customdata[0]:.3f} – %{customdata[1]:.3f}), %{customdata[2]}",
        name=axis,
    )
    return figure.update_yaxes(autorange="reversed", type="category", showgrid=False)


def wrapped(label: object) -> str:
    """Return a row's label in lines that leave room for the figure."""
    return "<br>".join(textwrap.wrap(str(label), _LABEL))


def first_table(tables: Tables) -> pd.DataFrame:
    """Return the table, or the first of several."""
    return tables if isinstance(tables, pd.DataFrame) else next(iter(tables.values()))


def square_figure(title: str, x: str, y: str) -> go.Figure:
    """Make an empty figure of two shares, both from 0 to 1."""
    width, height = theme.SQUARE
    figure = go.Figure(layout=theme.layout(title, x, y, height=height, width=width))
    figure.update_xaxes(**UNIT).update_yaxes(**UNIT)
    return figure


def add_curves(figure: go.Figure, tables: Tables, x: str, y: str, *, col: int = 1) -> None:
    """Add one curve, or one for each label, thinned for drawing."""
    curves = {"": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    for k, (label, table) in enumerate(curves.items()):
        thin = thin_curve(table, points=theme.DRAWN_POINTS, x=x, y=y)
        alone = len(curves) == 1
        main = alone or label.startswith(POOLED)
        note = str(table["note"].iloc[0]) if "note" in table and len(table) else ""
        figure.add_scatter(
            x=thin[x],
            y=thin[y],
            mode="lines",
            name=f"{label} {note}".strip() or "curve",
            showlegend=bool(note) or not alone,
            line={"width": 3 if main else 1.6, "color": _line_colour(label, k)},
            customdata=thin["threshold"],
            hovertemplate="%{x:.3f}, %{y:.3f} (threshold %{customdata:.4g})",
            xaxis=f"x{col}" if col > 1 else "x",
            yaxis=f"y{col}" if col > 1 else "y",
        )
    free = {"y": 0.97, "yanchor": "top"} if y == "precision" else {"y": 0.03, "yanchor": "bottom"}
    figure.update_layout(legend={"x": 0.98, "xanchor": "right", **free})
    if len(curves) > 2 and figure.layout.height:  # words for so many would lie on the curves
        below = {"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yanchor": "bottom"}
        below |= {"yref": "container"}  # a square's height follows its width, on any screen
        figure.update_layout(legend=below, height=figure.layout.height + _LEGEND, margin_b=_BELOW)


def add_band(
    figure: go.Figure, table: pd.DataFrame, x: str, y: str, name: str, colour: str
) -> None:
    """Add a line of estimates over the band of their intervals (`<y>_low`, `<y>_high`)."""
    tint = "rgba({}, {}, {}, 0.18)".format(*(int(colour[k : k + 2], 16) for k in (1, 3, 5)))
    edge = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    figure.add_scatter(x=table[x], y=table[f"{y}_high"], legendgroup=name, **edge)
    low = {"fill": "tonexty", "fillcolor": tint, "legendgroup": name}
    figure.add_scatter(x=table[x], y=table[f"{y}_low"], **low, **edge)
    figure.add_scatter(
        x=table[x],
        y=table[y],
        mode="lines",
        name=name,
        legendgroup=name,
        line={"color": colour, "width": 2.5},
        customdata=table[[f"{y}_low", f"{y}_high"]],
        hovertemplate="%{y:.4f} (%{customdata[0]:.4f} – %{customdata[1]:.4f})",
    )


def add_chance(figure: go.Figure, heights: tuple[float, float], name: str) -> None:
    """Add the line that guessing would give."""
    figure.add_scatter(x=[0, 1], y=heights, mode="lines", line=CHANCE, name=name, hoverinfo="skip")


def _line_colour(label: str, position: int) -> str:
    if label.startswith(POOLED):
        return theme.INK_ON_ANY
    return theme.SERIES[position % len(theme.SERIES)]


def add_point(figure: go.Figure, x: float, y: float, point: pd.DataFrame, *, col: int = 1) -> None:
    """Mark an operating point by its threshold."""
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker={"size": 13, "color": theme.VERMILLION, "line": {"width": 2, "color": "white"}},
        name=f"threshold {point['threshold'].iloc[0]:.4g}",
        xaxis=f"x{col}" if col > 1 else "x",
        yaxis=f"y{col}" if col > 1 else "y",
    )


def heat_map(counts: pd.DataFrame) -> go.Heatmap:
    """Make tinted cells of counts: a cell's tint is its share of its row."""
    values = counts.to_numpy(dtype=float)
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    words = [
        [f"{n:,.0f}<br>{share:.1%}" for n, share in zip(*row, strict=True)]
        for row in zip(values, shares, strict=True)
    ]
    return go.Heatmap(
        z=shares,
        x=list(counts.columns),
        y=list(counts.index),
        text=words,
        texttemplate="%{text}",
        colorscale=theme.SCALE,
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=3,
        ygap=3,
        hovertemplate="%{y} called %{x}: %{text}<extra></extra>",
    )


def are_low(scores: pd.Series) -> bool:
    """Return whether a linear axis would press most scores into its first twentieth."""
    return bool(len(scores)) and float(scores.median()) < 0.05


def spread_rows(thresholds: pd.Series) -> np.ndarray:
    """Return rows whose thresholds are spread evenly over the axis that is drawn."""
    falling = thresholds.to_numpy(dtype=float)
    if are_low(thresholds):
        falling = np.log10(np.maximum(falling, 1e-6))
    places = np.linspace(falling[0], falling[-1], theme.DRAWN_POINTS)
    return np.unique(np.searchsorted(-falling, -places).clip(max=len(falling) - 1))


def score_edges(scores: pd.Series, bins: int) -> np.ndarray:
    """Return the edges of a histogram's bins over the scores."""
    if not are_low(scores):
        return np.linspace(0, 1, bins + 1)
    low = max(1e-6, float(scores.quantile(0.001)))
    return np.geomspace(low, max(float(scores.max()), 2 * low), bins + 1)


def add_threshold(figure: go.Figure, threshold: float, top: float) -> None:
    """Mark a threshold by a trace: lines of the layout stand askew on logarithmic axes.

    One that could not be chosen (NaN) is nowhere.
    """
    if threshold != threshold:
        return
    figure.add_scatter(
        x=[threshold, threshold],
        y=[0, top],
        mode="lines",
        line={"color": theme.INK_ON_ANY, "width": 2, "dash": "dash"},
        name=f"threshold {threshold:.4g}",
    )
