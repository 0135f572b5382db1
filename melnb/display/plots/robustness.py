"""Figures of robustness: curves by the strength of each corruption, and which way each pulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb.display import theme
from melnb.display.cells import words
from melnb.display.plots import strokes
from melnb.tables import diagnoses

_COLUMNS = 4  # of panels
_PANEL, _HEADING = 190, 50  # pixels: a row of panels, and what of it is the headings'


def robustness_table(
    table: pd.DataFrame, *, metric: str = "AUC", title: str = "", highest: int = 5
) -> go.Figure:
    """Draw one metric of `robustness.robustness_table`: a panel a corruption, strength across.

    The dotted line and the band are the clean pictures', where every curve begins.

    Args:
        table: `robustness.robustness_table`.
        metric: One of its metrics.
        title: Of the figure; empty: the metric's.
        highest: Strength up to which panels reach.
    """
    of_metric = table[table["metric"] == metric]
    clean, cells = of_metric[of_metric["strength"] == 0], of_metric[of_metric["strength"] > 0]
    names = list(dict.fromkeys(cells["corruption"]))
    rows = max(1, -(-len(names) // _COLUMNS))
    held: list[dict[str, Any] | None] = [
        {} if k < max(1, len(names)) else None for k in range(rows * _COLUMNS)
    ]
    figure = make_subplots(
        rows=rows, cols=_COLUMNS, shared_xaxes=True, shared_yaxes=True,
        specs=[held[k * _COLUMNS : (k + 1) * _COLUMNS] for k in range(rows)],
        subplot_titles=[words(name) for name in names], horizontal_spacing=0.02,
        vertical_spacing=_HEADING / (_PANEL * rows),
    )  # fmt: skip
    layout = theme.layout(title or f"{metric} by strength", "", "", height=130 + _PANEL * rows)
    figure.update_layout(layout).update_layout(margin_t=90, showlegend=False)
    for k, name in enumerate(names):
        place = {"row": k // _COLUMNS + 1, "col": k % _COLUMNS + 1}
        # The curve first: plotly draws no line into a panel that is empty.
        _add_curve(figure, pd.concat([clean, cells[cells["corruption"] == name]]), **place)
        for _, row in clean.head(1).iterrows():
            band = {"fillcolor": theme.GREY, "opacity": 0.16, "line_width": 0, "layer": "below"}
            if row["low"] == row["low"]:
                figure.add_hrect(row["low"], row["high"], **band, **place)
            figure.add_hline(row["value"], line=strokes.CHANCE, **place)
        if k >= len(names) - _COLUMNS:  # the lowest of its column
            figure.update_xaxes(title_text="Strength", showticklabels=True, **place)
    figure.update_xaxes(range=[-0.3, highest + 0.3], dtick=1)
    seen = of_metric[["value", "low", "high"]].to_numpy(dtype=float)
    if not np.isfinite(seen).any():
        return figure
    least, most = float(np.nanmin(seen)), float(np.nanmax(seen))
    room = 0.05 * (most - least) or 0.05
    return figure.update_yaxes(range=[least - room, most + room])


def artefact_pulls(table: pd.DataFrame, *, title: str = "Which way does it pull?") -> go.Figure:
    """Draw `pulls.artefact_pulls`: the mean shift of the logit, each true class by itself.

    Right of the line a corruption speaks for the class looked for, left of it against.
    """
    names, classes = (list(dict.fromkeys(table[column])) for column in ("corruption", "class"))
    height = 170 + 34 * max(1, len(names))
    figure = go.Figure(layout=theme.layout(title, "Shift of the log odds", "", height=height))
    for k, label in enumerate(classes):
        of_class = table[table["class"] == label]
        value, low, high = (pd.to_numeric(of_class[f"logit{end}"]) for end in ("", "_low", "_high"))
        bars = {"type": "data", "array": high - value, "arrayminus": value - low, "width": 4}
        colour = theme.TRUTHS[1 - k % 2]
        figure.add_scatter(
            x=value,
            y=of_class["corruption"].map(names.index) + 0.24 * (k - (len(classes) - 1) / 2),
            error_x={**bars, "thickness": 2, "color": colour},
            mode="markers",
            marker={"size": 9, "color": colour},
            name=diagnoses.title(label),
            customdata=of_class[["logit_low", "logit_high", "probability", "turned", "n"]],
            hovertemplate="%{x:+.3f} (%{customdata[0]:+.3f} – %{customdata[1]:+.3f}), probability "
            "%{customdata[2]:+.3f}, %{customdata[3]:.1%} of calls turned, n = %{customdata[4]:,}",
        )
    figure.add_vline(0, line=strokes.CHANCE)
    return figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[words(name) for name in names],
        range=[len(names) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
    )


def _add_curve(figure: go.Figure, table: pd.DataFrame, **place: int) -> None:
    value, low, high = (pd.to_numeric(table[c]) for c in ("value", "low", "high"))
    bars = {"type": "data", "array": high - value, "arrayminus": value - low, "width": 3}
    figure.add_scatter(
        x=table["strength"],
        y=value,
        error_y={**bars, "thickness": 1.5},
        mode="lines+markers",
        line={"color": theme.BLUE, "width": 2},
        marker={"size": 7},
        customdata=table[["low", "high", "difference"]],
        hovertemplate="%{y:.3f} (%{customdata[0]:.3f} – %{customdata[1]:.3f}), "
        "%{customdata[2]:+.3f}<extra></extra>",
        **place,
    )
