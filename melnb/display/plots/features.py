"""Figures of features: what there is of each, and what a model would lose without it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from melnb.display import theme
from melnb.display.plots import marks

_ROUNDING = 1e-9  # what it leaves of a mean of 0, in deviations


def feature_overview(
    table: pd.DataFrame, *, title: str = "What is known of the images"
) -> go.Figure:
    """Draw `tables.feature_overview`: what share of the images each feature is known for."""
    kept = table[table["kind"] != "left out"]
    figure = go.Figure(layout=theme.layout(title, "Known for", "", height=130 + 26 * len(kept)))
    figure.update_layout(barmode="overlay", bargap=0.3, margin_t=76)
    figure.update_layout(
        legend={"orientation": "h", "yanchor": "bottom", "y": 1, "x": 1, "xanchor": "right"}
    )
    for kind, colour in (("number", theme.BLUE), ("word", theme.GREEN)):
        own = kept[kept["kind"] == kind]
        if len(own):
            figure.add_bar(
                x=1 - own["missing"],
                y=own["feature"],
                orientation="h",
                marker={"color": colour},
                text=[_words(row) for _, row in own.iterrows()],
                textposition="outside",
                cliponaxis=False,
                name=f"{kind}s",
                hovertemplate="%{y}: known for %{x:.1%}<extra></extra>",
            )
    figure.update_xaxes(range=[0, 1.45], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    order = [*reversed(kept["feature"].tolist())]
    return figure.update_yaxes(categoryorder="array", categoryarray=order, showgrid=False)


def feature_importance(
    table: pd.DataFrame,
    *,
    axis: str = "AUC lost when the feature is shuffled",
    most: int = 30,
    title: str = "What the model would lose without each feature",
) -> go.Figure:
    """Draw importances with their intervals, the greatest on top.

    Args:
        table: `feature`, `value`, `low`, `high` and, if they are there, `n` and `note`; the note
            stands in place of a value that is NaN.
        axis: What a value is.
        most: Features drawn; a subtitle says how many more there are.
        title: Of the figure.
    """
    ranked = table.sort_values("value", ascending=False, kind="stable").head(most)
    figure = marks.interval_figure(ranked, "feature", "value", title=title, axis=axis)
    if len(table) > most:
        words = f"the first {most} of {len(table)} features"
        figure.update_layout(title_subtitle_text=words, margin_t=76)
    lost = ranked[pd.to_numeric(ranked["value"]).isna()]
    if len(lost):
        figure.add_scatter(
            x=np.zeros(len(lost)),
            y=lost["feature"],
            mode="text",
            text=lost.get("note", "not estimable"),
            textposition="middle right",
            textfont={"color": theme.INK_ON_ANY},
            hoverinfo="skip",
        )
    return figure.add_vline(0, line=marks.CHANCE).update_layout(showlegend=False)


def _words(row: pd.Series) -> str:
    """Say what a feature is like, beside its bar."""
    if row["note"] or row["kind"] == "word":
        return f"{row['levels']} words, {row['note']}" if row["kind"] == "word" else row["note"]
    if row["missing"] == 1:
        return "empty"
    mean = row["mean"] if abs(row["mean"]) > _ROUNDING * row["sd"] else 0.0
    return " ± ".join(f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}" for v in (mean, row["sd"]))
