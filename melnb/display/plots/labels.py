"""Figures of labels that networks gave: which scores are learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from melnb import diagnoses
from melnb.display import theme

_KEPT = {"kept": ("learnt from", theme.BLUE), "not_kept": ("left out", theme.GREY)}


def score_histogram(
    table: pd.DataFrame,
    *,
    positive: str,
    thresholds: Sequence[float] = (),
    title: str = "What the teachers say",
) -> go.Figure:
    """Draw how many images have each score, those learnt from below those left out.

    Args:
        table: `pseudo.labels.score_histogram`.
        positive: The class that scores are for.
        thresholds: Drawn where labels were cut by the score.
        title: Of the figure.
    """
    axis = f"Probability of {diagnoses.title(positive).lower()}"
    figure = go.Figure(layout=theme.layout(title, axis, "Images and teachers", height=340))
    figure.update_layout(barmode="stack", bargap=0.04)
    figure.update_xaxes(range=[0, 1])
    for column, (name, colour) in _KEPT.items():
        figure.add_bar(
            x=(table["low"] + table["high"]) / 2,
            y=table[column],
            width=table["high"] - table["low"],
            marker={"color": colour},
            customdata=table[["low", "high"]],
            hovertemplate="%{customdata[0]:.3f}–%{customdata[1]:.3f}: %{y:,}",
            name=name,
        )
    for threshold in thresholds:
        figure.add_vline(x=threshold, line={"color": theme.VERMILLION, "dash": "dash", "width": 2})
    return figure
