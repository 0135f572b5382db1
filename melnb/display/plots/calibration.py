"""Figures of calibration: the reliability diagram and the flexible calibration curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from melnb.display import theme
from melnb.display.plots import strokes

_LEAST = 1e-5  # the lowest probability that a logarithmic axis shows
_STRIP = (0.0, 0.17)  # the share of the height that the scores get
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def reliability_table(
    tables: pd.DataFrame | dict[str, pd.DataFrame], *, title: str = "Reliability"
) -> go.Figure:
    """Draw observed shares with their intervals against mean probabilities, and the scores below.

    Where most probabilities are low, as in screening, both axes are logarithmic. A bin without a
    positive row stands, hollow, on the lower edge: its interval alone tells something.

    Args:
        tables: `reliability.reliability_table`, or several by label: before and after calibration.
            Ranks have no table: without one the figure is empty.
        title: Of the figure.
    """
    labelled = {"": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    if not labelled:
        return go.Figure(layout=theme.layout(title, "Mean probability", "Observed share"))
    drawn = {label: table[table["n"] > 0] for label, table in labelled.items()}
    everything = pd.concat(drawn.values())
    stated = np.repeat(everything["mean_probability"].to_numpy(dtype=float), everything["n"])
    low = strokes.are_low(pd.Series(stated))
    edges = _range(everything, low=low)
    figure = _frame(title, edges, low=low)
    for k, (label, table) in enumerate(drawn.items()):
        colour = theme.SERIES[k % len(theme.SERIES)]
        if table.empty:
            words = f"{label} {labelled[label]['note'].iloc[0]}".strip()
            figure.add_scatter(x=[None], y=[None], mode="markers", name=words, showlegend=True)
            continue
        bare = table["positives"] == 0
        for part, hollow in ((table[~bare], False), (table[bare], True)):
            if len(part):
                points = _points(part, label, k, edges[0] if low else 0.0, hollow=hollow)
                figure.add_trace(points.update(showlegend=not hollow or bool(bare.all())))
        x, height = _density(table, edges[0], low=low)
        figure.add_scatter(
            x=x,
            y=height,
            yaxis="y2",
            mode="lines",
            line={"shape": "hv", "width": 1.5, "color": colour},
            fill="tozeroy",
            fillcolor=_tint(colour),
            name=f"{label} scores".strip(),
            showlegend=False,
            hoverinfo="skip",
        )
    legend = {"x": 0.02, "xanchor": "left", "y": 0.99, "yanchor": "top", "tracegroupgap": 0}
    return figure.update_layout(legend=legend, showlegend=True)


def calibration_curve(
    tables: pd.DataFrame | dict[str, pd.DataFrame], *, title: str = "Flexible calibration curve"
) -> go.Figure:
    """Draw the observed share along the stated probability, with its band.

    Args:
        tables: `flexible_curve.calibration_curve`, or several by label. Without one the figure is
            empty.
        title: Of the figure.
    """
    labelled = {"observed": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    figure = strokes.square_figure(title, "Stated probability", "Observed share")
    whole = {k: t for k, t in labelled.items() if t["observed"].notna().all()}
    if whole:
        stated = pd.concat([t["probability"] for t in whole.values()])
        low = strokes.are_low(stated)
        ends = (max(_LEAST, float(stated.min())), float(stated.max())) if low else (0.0, 1.0)
        line = np.geomspace(*ends, 50) if low else np.array(ends)
        figure.add_scatter(
            x=line, y=line, mode="lines", line=strokes.CHANCE, name="calibrated", hoverinfo="skip"
        )
        if low:
            axis = {**strokes.LOG, "range": list(np.log10(ends)), "autorange": False}
            figure.update_xaxes(**axis).update_yaxes(**axis)
    for k, (label, table) in enumerate(labelled.items()):
        colour = theme.SERIES[k % len(theme.SERIES)]
        if label in whole:
            band = table.assign(observed_low=table["low"], observed_high=table["high"])
            strokes.add_band(figure, band, "probability", "observed", label, colour)
        else:
            words = f"{label} {table['note'].iloc[0]}".strip()
            figure.add_scatter(x=[None], y=[None], mode="lines", name=words, showlegend=True)
    return figure.update_layout(
        legend={"x": 0.02, "xanchor": "left", "y": 0.99, "yanchor": "top"}, showlegend=True
    )


def _frame(title: str, edges: tuple[float, float], *, low: bool) -> go.Figure:
    width, height = theme.SQUARE
    figure = go.Figure(
        layout=theme.layout(
            title, "Mean probability", "Observed share", width=width + 20, height=height + 130
        )
    )
    line = np.geomspace(*edges, 50) if low else np.array(edges)
    figure.add_scatter(
        x=line, y=line, mode="lines", line=strokes.CHANCE, name="calibrated", hoverinfo="skip"
    )
    if low:
        around = [np.log10(edges[0]) - 0.08, np.log10(edges[1]) + 0.04]
        axis = {"type": "log", "dtick": 1, "tickformat": "~g", "range": around}
    else:
        room = 0.015 * (edges[1] - edges[0])
        axis = {"range": [edges[0] - room, edges[1] + room]}
    figure.update_layout(
        xaxis={**axis, "anchor": "y2"},
        yaxis={**axis, "domain": [_STRIP[1] + 0.05, 1]},
        yaxis2={
            "domain": list(_STRIP),
            "showticklabels": False,
            "ticks": "",
            "showgrid": False,
            "rangemode": "tozero",
            "title": {"text": "Scores"},
        },
    )
    return figure


def _range(table: pd.DataFrame, *, low: bool) -> tuple[float, float]:
    """Return the ends of both axes: all of 0-1, or less where all is below a half."""
    if table.empty:
        return 0.0, 1.0
    top = float(np.nanmax(table[["mean_probability", "observed", "high"]].to_numpy(dtype=float)))
    if not low:
        return 0.0, 1.0 if top > 0.5 else min(1.0, 1.05 * top)
    shown = table.loc[table["observed"] > 0, ["observed", "low"]].to_numpy(dtype=float)
    stated = table["mean_probability"].to_numpy(dtype=float)
    least = min([*stated[stated > 0], *shown[shown > 0], 0.1])
    return max(_LEAST, 0.8 * least), min(1.0, 1.2 * top)


def _points(
    table: pd.DataFrame, label: str, position: int, floor: float, *, hollow: bool
) -> go.Scatter:
    colour = theme.SERIES[position % len(theme.SERIES)]
    observed = table["observed"].to_numpy(dtype=float)
    place = np.maximum(observed, floor)
    low, high = (table[c].to_numpy(dtype=float) for c in ("low", "high"))
    counts = table[["positives", "n", "low", "high", "observed"]].to_numpy(dtype=float)
    return go.Scatter(
        x=np.maximum(table["mean_probability"].to_numpy(dtype=float), floor),
        y=place,
        error_y={
            "type": "data",
            "array": np.nan_to_num(high - place),
            "arrayminus": np.nan_to_num(place - np.maximum(low, floor)),
            "thickness": 1.5,
            "width": 4,
            "color": colour,
        },
        mode="markers",
        marker={
            "size": 9,
            "symbol": _SYMBOLS[position % len(_SYMBOLS)],
            "color": "white" if hollow else colour,
            "line": {"width": 1.5, "color": colour},
        },
        customdata=counts,
        name=label or "observed",
        legendgroup=label,
        hovertemplate=(
            "stated %{x:.3g}, observed %{customdata[4]:.3g} "
            "(%{customdata[2]:.3g} – %{customdata[3]:.3g}): "
            "%{customdata[0]:,.0f} of %{customdata[1]:,.0f}"
        ),
    )


def _density(table: pd.DataFrame, floor: float, *, low: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return edges on the drawn axis, and the rows for each stretch of it, the last repeated."""
    left, right = (table[c].to_numpy(dtype=float) for c in ("left", "right"))
    between = (right[:-1] + left[1:]) / 2
    edges = np.concatenate([left[:1], between, right[-1:]])
    edges = np.maximum(edges, floor) if low else edges
    places = np.log10(edges) if low else edges
    # Scores that tie have a bin of no width: it counts as a hundredth of the axis.
    wide = np.maximum(np.diff(places), (2 - np.log10(floor)) / 100 if low else 0.01)
    height = table["n"].to_numpy(dtype=float) / wide
    return np.append(edges[:-1], max(edges[-1], edges[-2])), np.append(height, height[-1])


def _tint(colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"
