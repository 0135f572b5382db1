"""Figures of masks: how well they match, by fold and in all, and whether failure was foretold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from melnb.display import theme
from melnb.display.plots import discrimination, strokes
from melnb.evaluation.challenges.jaccard import LEAST_JACCARD
from melnb.evaluation.discrimination.ranking import thin_curve

_BIN = 0.05  # so that .65 is an edge
_FEWEST = 50  # masks: a mean of fewer jumps
_ABOVE = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}  # of the plot: off its lines
_HEADINGS = {
    "hd95": "HD95, pixels",
    "hd95 share": "HD95, share of the diagonal",
    "failed": "Failed",
}


def segmentation_summary(
    table: pd.DataFrame,
    *,
    metric: str = "jaccard",
    others: Mapping[str, float] | None = None,
    title: str = "",
) -> go.Figure:
    """Draw one measure of `mask_scores.segmentation_summary`, a row each with its interval.

    Args:
        table: The summary.
        metric: One of its measures.
        others: What others have reached, by name: a dotted line each.
        title: Of the figure; empty: the measure by fold.
    """
    heading = _heading(metric)
    figure = strokes.interval_figure(
        table[table["metric"] == metric], "rows", "value",
        title=title or f"{heading} by fold", axis=f"Mean {_within(heading)}",
    )  # fmt: skip
    for name, value in (others or {}).items():
        figure.add_vline(value, line=strokes.CHANCE)
        figure.add_annotation(
            x=value, y=1, yref="paper", yanchor="bottom", showarrow=False, text=name
        )
    return figure


def mask_scores(scores: pd.DataFrame, *, title: str = "Jaccard index of each mask") -> go.Figure:
    """Draw how many masks have which Jaccard index; those below the least one count as 0.

    Args:
        scores: `challenges.masks.mask_scores` or `mask_scores.segmentation_scores`.
        title: Of the figure.
    """
    figure = go.Figure(layout=theme.layout(title, "Jaccard index", "Masks"))
    values = scores["jaccard"].to_numpy(dtype=float)
    # Rounded: .65 is not a whole number of steps of .05 in binary.
    edges = np.round(np.arange(0, 1 + _BIN, _BIN), 9)
    failed = values < LEAST_JACCARD
    parts = (("counts as 0", failed, theme.VERMILLION), ("counts", ~failed, theme.BLUE))
    for words, chosen, colour in parts:
        counts, _ = np.histogram(values[chosen], edges)
        name = f"{words}: {chosen.sum():,} ({chosen.mean() if len(chosen) else 0:.1%})"
        figure.add_bar(
            x=edges[:-1] + _BIN / 2, y=counts, width=_BIN, name=name, marker={"color": colour},
            customdata=np.stack([edges[:-1], edges[1:]], axis=1),
            hovertemplate="%{customdata[0]:.2f} – %{customdata[1]:.2f}: %{y}<extra></extra>",
        )  # fmt: skip
    line = {"color": theme.INK_ON_ANY, "width": 2, "dash": "dash"}
    figure.add_vline(LEAST_JACCARD, line=line)
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_layout(legend=_ABOVE)
    return figure.update_xaxes(range=[-0.01, 1.01], dtick=0.1)


def failure_prediction(
    table: pd.DataFrame, *, title: str = "Does disagreement tell which masks fail?"
) -> go.Figure:
    """Draw the areas of `failures.failure_prediction` with their intervals; at 0.5 it is chance."""
    axis = "AUC of failed masks against the others"
    spoken = table.assign(predictor=table["predictor"].astype(str).str.replace("_", " "))
    figure = strokes.interval_figure(spoken, "predictor", "value", title=title, axis=axis)
    return figure.add_vline(0.5, line=strokes.CHANCE)


def failure_roc(
    table: pd.DataFrame, *, title: str = "Failure foretold by disagreement"
) -> go.Figure:
    """Draw the ROC curve of each predictor of `failures.failure_roc`."""
    return discrimination.roc_curve(_by_predictor(table), title=title)


def jaccard_by_coverage(
    table: pd.DataFrame, *, title: str = "Jaccard index of the most agreed masks"
) -> go.Figure:
    """Draw the mean of the masks that are kept against their share, from some 50 masks on.

    Args:
        table: `failures.jaccard_by_coverage`.
        title: Of the figure.
    """
    figure = go.Figure(
        layout=theme.layout(
            title, "Share of masks kept, the most agreed first", "Mean Jaccard index"
        )
    )
    everything = float(table["jaccard"].iloc[-1]) if len(table) else 0.0
    figure.add_hline(everything, line=strokes.CHANCE)
    for k, (name, curve) in enumerate(_by_predictor(table).items()):
        enough = curve[curve["n"] >= min(_FEWEST, curve["n"].max() // 2)]
        thin = thin_curve(enough, points=theme.DRAWN_POINTS, x="coverage", y="jaccard")
        colour = theme.SERIES[k % len(theme.SERIES)]
        figure.add_scatter(
            x=thin["coverage"], y=thin["jaccard"], mode="lines", name=name, showlegend=True,
            line={"color": colour, "width": 2.5}, customdata=thin[["disagreement", "failed"]],
            hovertemplate="%{x:.1%} kept: %{y:.3f}, %{customdata[1]:.1%} fail (disagreement up to "
            "%{customdata[0]:.3g})",
        )  # fmt: skip
    figure.update_layout(legend=_ABOVE)
    return figure.update_xaxes(range=[-0.01, 1.03], tickformat=".0%")


def _by_predictor(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each predictor, by its name in words."""
    spoken = table["predictor"].astype(str).str.replace("_", " ")
    return {str(name): curve for name, curve in table.groupby(spoken, sort=False)}


def _heading(metric: str) -> str:
    words = _HEADINGS.get(metric, metric.capitalize())
    return words.replace("jaccard", "Jaccard") + (" index" if metric.endswith("jaccard") else "")


def _within(heading: str) -> str:
    """Return a heading as it stands within a line: names keep their capitals."""
    return (
        heading
        if heading.startswith(("Jaccard", "Dice", "HD95"))
        else heading.lower().replace("jaccard", "Jaccard")
    )
