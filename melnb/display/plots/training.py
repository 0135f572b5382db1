"""Figures of a run in training: learning curves, learning rates, labels of other networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb.display import theme
from melnb.tables import diagnoses

# Figures of labels that networks gave: which scores are learnt from.

_KEPT = {"kept": ("learnt from", theme.BLUE), "not_kept": ("left out", theme.GREY)}


def pseudo_histogram(
    table: pd.DataFrame,
    *,
    positive: str,
    thresholds: Sequence[float] = (),
    title: str = "What the teachers say",
) -> go.Figure:
    """Draw how many images have each score, those learnt from below those left out.

    Args:
        table: `pseudo_labels.pseudo_histogram`.
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


_STYLES = "dotted: training images; solid: held out; circle: the epoch kept"
_TITLES = {
    "loss": "Loss",
    "auc": "AUC",
    "jaccard": "Jaccard index",
    "threshold_jaccard": "Threshold Jaccard index",
}


def learning_curves(
    histories: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    monitor: str = "val_auc",
    title: str = "Learning curves",
) -> go.Figure:
    """Draw loss and measures by epoch: dotted on the training images, solid on those held out.

    The epoch whose weights are kept is marked on every curve of the held-out images, so that no
    curve's own best epoch is read as the run's.

    Args:
        histories: `history.csv` of one run, or of several by label.
        monitor: The column whose best epoch is kept.
        title: Of the figure.
    """
    runs = {"": histories} if isinstance(histories, pd.DataFrame) else dict(histories)
    metrics = [m for m in _TITLES if any(m in h or f"val_{m}" in h for h in runs.values())]
    heads = [_TITLES[metric] for metric in metrics]
    figure = make_subplots(cols=max(1, len(metrics)), subplot_titles=heads)
    figure.update_layout(theme.layout(title, "Epoch", "", height=420, margin={"t": 104}))
    figure.update_layout(title_subtitle_text=_STYLES)
    for col, metric in enumerate(metrics, start=1):
        for k, (label, history) in enumerate(runs.items()):
            drawn = history if "epoch" in history else history.rename_axis("epoch").reset_index()
            _add_run(figure, drawn, metric, label=label, colour=k, col=col)
            if monitor in drawn and f"val_{metric}" in drawn:
                _add_kept(figure, drawn, metric, label=label, monitor=monitor, col=col)
        figure.update_xaxes(title_text="Epoch", row=1, col=col)
        figure.update_yaxes(title_text=_TITLES[metric], row=1, col=col)
    return figure


def schedule_table(table: pd.DataFrame, *, title: str = "Learning rate") -> go.Figure:
    """Draw `schedules.schedule_table`, the rate of each step."""
    figure = go.Figure(layout=theme.layout(title, "Epoch", "Learning rate", height=300))
    figure.add_scatter(
        x=table["epoch"], y=table["learning_rate"], mode="lines", name="learning rate"
    )
    return figure.update_yaxes(exponentformat="e", rangemode="tozero")


def range_test(
    table: pd.DataFrame, rates: Mapping[str, float], *, title: str = "Range test"
) -> go.Figure:
    """Draw `lr_finder.range_test`: the loss by rate, and the rates that it suggests.

    The heights are those of the smoothed loss; single losses and a burst may go beyond.

    Args:
        table: One row a step.
        rates: Suggested rates by rule, each marked by a line.
        title: Of the figure.
    """
    figure = go.Figure(layout=theme.layout(title, "Learning rate", "Loss", height=theme.HEIGHT))
    for column, name, width, colour in (
        ("loss", "each batch", 1, theme.SKY), ("smoothed", "smoothed", 3, theme.BLUE),
    ):  # fmt: skip
        figure.add_scatter(
            x=table["learning_rate"], y=table[column], mode="lines", name=name,
            line={"width": width, "color": colour}, opacity=0.6 if width == 1 else 1,
        )  # fmt: skip
    low, start = table["smoothed"].min(), table["smoothed"].iloc[0]
    span = max(table["smoothed"].iloc[: len(table) * 3 // 4].max(), start) - low
    heights = [low - span / 4, low + 1.5 * span] if span > 0 else None
    for (rule, rate), colour in zip(rates.items(), theme.SERIES[1:], strict=False):
        figure.add_scatter(
            x=[rate, rate], y=heights or [low - 1, low + 1], mode="lines",
            name=f"{rule} {rate:.1e}", line={"color": colour, "dash": "dash"},
        )  # fmt: skip
    figure.update_xaxes(type="log", exponentformat="e", dtick=1)
    return figure.update_yaxes(range=heights)


def _add_run(
    figure: go.Figure, history: pd.DataFrame, metric: str, *, label: str, colour: int, col: int
) -> None:
    for column, words, dash in (
        (metric, "training", "dot"),
        (f"val_{metric}", "held out", "solid"),
    ):
        if column in history:
            figure.add_scatter(
                x=history["epoch"],
                y=history[column],
                mode="lines",
                line={"color": theme.SERIES[colour % len(theme.SERIES)], "dash": dash},
                **_entry(f"{label} {words}".strip(), col, listed=words == "held out"),
            )


def _add_kept(
    figure: go.Figure, history: pd.DataFrame, metric: str, *, label: str, monitor: str, col: int
) -> None:
    values = history[monitor].to_numpy(dtype=float)
    best = int(values.argmin() if monitor.endswith("loss") else values.argmax())
    figure.add_scatter(
        x=[history["epoch"].iloc[best]],
        y=[history[f"val_{metric}"].iloc[best]],
        mode="markers",
        marker={"size": 11, "color": theme.VERMILLION, "line": {"color": "white", "width": 2}},
        **_entry(f"{label} epoch kept".strip(), col, listed=False),
    )


def _entry(name: str, col: int, *, listed: bool) -> dict[str, Any]:
    """Return what makes one legend entry of a trace that stands in every column."""
    return {
        "name": name,
        "legendgroup": name,
        "showlegend": listed and col == 1,
        "row": 1,
        "col": col,
    }
