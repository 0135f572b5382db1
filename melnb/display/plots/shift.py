"""Figures of external validation: a model on its own source, and on those of elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from melnb.display import theme
from melnb.display.plots import strokes
from melnb.tables import diagnoses
from melnb.tables.diagnoses import OTHER

_CALIBRATION = {
    "intercept": ("In the large", 0.0), "slope": ("Slope", 1.0), "ece": ("ECE, debiased", 0.0),
    "brier": ("Brier score", None),
}  # fmt: skip
_ROW = 30  # pixels
_PANEL, _HEADING = 160, 40  # pixels: a panel below another, and what of it is the heading's
_HEADS: Mapping[str, str] = {"sensitivity": "Sensitivity", "specificity": "Specificity"}


def external_metrics(table: pd.DataFrame, *, metric: str = "AUC", title: str = "") -> go.Figure:
    """Draw one metric of `areas.external_metrics`: the internal one is a line and a band.

    Args:
        table: `areas.external_metrics`.
        metric: One of its metrics.
        title: Of the figure; empty: the metric's.
    """
    chosen = table[table["metric"] == metric].reset_index(drop=True)
    words = title or f"{metric[:1].upper()}{metric[1:]} by source"
    figure = strokes.interval_figure(chosen, "source", "value", title=words, axis=metric)
    for _, row in chosen.head(1).iterrows():
        _add_reference(figure, row["value"], row["low"], row["high"])
    return figure


def external_summary(table: pd.DataFrame, *, title: str = "AUC over all sources") -> go.Figure:
    """Draw `areas.external_summary`: the last row is where another source may lie."""
    figure = strokes.interval_figure(table, "source", "value", title=title, axis="AUC")
    for _, row in table.tail(2).head(1).iterrows():
        _add_reference(figure, row["value"], row["low"], row["high"])
    return figure


def external_classes(table: pd.DataFrame, *, title: str = "All classes, by source") -> go.Figure:
    """Draw the means over all classes of `areas.external_classes`: area and accuracy."""
    means = table[table["class"] == "all"].copy()
    means["row"] = means["metric"] + ", " + means["source"].astype(str)
    means = means.sort_values("metric", ascending=False, kind="stable", ignore_index=True)
    return strokes.interval_figure(means, "row", "value", title=title, axis="Mean over the classes")


def source_histogram(
    table: pd.DataFrame,
    *,
    positive: str,
    threshold: float | None = None,
    title: str = "Scores by source and class",
) -> go.Figure:
    """Draw `score_shift.source_histogram`: a panel for each source, all on one axis of log odds.

    Args:
        table: `score_shift.source_histogram`.
        positive: The class looked for.
        threshold: The chosen one, a probability, marked when given.
        title: Of the figure.
    """
    sources = list(dict.fromkeys(table["source"]))
    panels = max(1, len(sources))
    figure = make_subplots(
        rows=panels, shared_xaxes=True, subplot_titles=sources,
        vertical_spacing=_HEADING / (_PANEL * panels),
    )  # fmt: skip
    figure.update_layout(theme.layout(title, "", "", height=140 + _PANEL * panels))
    for row, source in enumerate(sources, start=1):
        for label in (OTHER, positive):
            bars = table[(table["source"] == source) & (table["class"] == label)]
            n = int(bars["n"].sum())
            figure.add_scatter(
                x=[*bars["left"], *bars["right"].tail(1)],
                y=[*bars["share"], *bars["share"].tail(1)],
                name=diagnoses.title(label),
                legendgroup=label,
                showlegend=row == 1,
                mode="lines",
                line={"shape": "hv", "width": 1.5, "color": theme.TRUTHS[label == positive]},
                fill="tozeroy",
                hovertemplate=f"log odds %{{x:.2f}}: %{{y:.3f}} of {n:,}",
                row=row,
                col=1,
            )
    if threshold is not None and 0 < threshold < 1:
        line = {"color": theme.INK_ON_ANY, "dash": "dash"}
        figure.add_vline(float(np.log(threshold / (1 - threshold))), line=line)
    figure.update_yaxes(rangemode="tozero", title_text="Share")
    figure.update_xaxes(title_text="Log odds", row=panels, col=1)
    legend = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"}
    return figure.update_layout(margin_t=96, legend=legend | {"yref": "paper", "y": 1.06})


def external_calibration(
    table: pd.DataFrame, *, title: str = "Calibration by source, before and after"
) -> go.Figure:
    """Draw `score_shift.external_calibration`: a panel for each measure, a mark each version.

    The dotted lines are what perfect probabilities would have.
    """
    versions = list(dict.fromkeys(table["version"]))
    heads = {name: head for name, (head, _) in _CALIBRATION.items()}
    figure = _panels(title, heads, sources := list(dict.fromkeys(table["source"])), legend=True)
    for col, (name, (_, best)) in enumerate(_CALIBRATION.items(), start=1):
        for k, version in enumerate(versions):
            of_version = table[table["version"] == version]
            place = of_version["source"].map(sources.index) + 0.22 * (k - (len(versions) - 1) / 2)
            _add_estimates(figure, of_version, name, place, version, k, col)
        if best is not None:
            figure.add_vline(best, line=strokes.CHANCE, row=1, col=col)
    return figure


def external_points(
    table: pd.DataFrame, *, title: str = "The locked threshold, by source"
) -> go.Figure:
    """Draw `at_threshold.external_points`: both rates, the internal ones as bands."""
    sources = list(table["source"])
    figure = _panels(title, _HEADS, sources)
    for col, name in enumerate(_HEADS, start=1):
        place = pd.Series(range(len(sources)), index=table.index)
        _add_estimates(figure, table, name, place, name, 0, col)
        for _, row in table.head(1).iterrows():
            _add_reference(
                figure, row[name], row[f"{name}_low"], row[f"{name}_high"], row=1, col=col
            )
    return figure.update_xaxes(**strokes.UNIT)


def source_subgroups(table: pd.DataFrame, *, metric: str = "AUC", title: str = "") -> go.Figure:
    """Draw one metric of `at_threshold.source_subgroups`: a panel for each source, levels down.

    The dashed line is all images of the source. A level without a mark has too few.

    Args:
        table: `at_threshold.source_subgroups`.
        metric: One of its metrics.
        title: Of the figure; empty: the metric's.
    """
    chosen = table[table["metric"] == metric]
    rows = chosen["column"].map(diagnoses.title) + ": " + chosen["level"].astype(str)
    chosen = chosen.assign(row=rows.where(chosen["column"] != "all", "All images"))
    sources, names = (list(dict.fromkeys(chosen[c])) for c in ("source", "row"))
    words = title or f"{metric} by subgroup and source"
    figure = _panels(words, {name: name for name in sources}, names)
    for col, source in enumerate(sources, start=1):
        of_source = chosen[chosen["source"] == source]
        place = of_source["row"].map(names.index)
        _add_estimates(figure, of_source, "", place, source, 0, col)
        for _, row in of_source.head(1).iterrows():
            _add_reference(figure, row["value"], row["low"], row["high"], row=1, col=col)
    return figure.update_xaxes(matches="x")


def external_decisions(
    table: pd.DataFrame, *, title: str = "What does the frozen class decision bring?"
) -> go.Figure | None:
    """Draw the gains of `at_threshold.external_decisions`, paired; None where there is none."""
    drawn = table[table["gain"].notna()].reset_index(drop=True)
    if drawn.empty:
        return None
    label = drawn["source"].astype(str) + ", " + drawn["metric"] + " (" + drawn["rows"] + ")"
    axis = "Gain over the most probable class"
    figure = strokes.interval_figure(
        drawn.assign(label=label), "label", "gain", title=title, axis=axis
    )
    figure.add_vline(x=0, line=strokes.CHANCE)
    return figure


def _panels(
    title: str, heads: Mapping[str, str], rows: Sequence[str], *, legend: bool = False
) -> go.Figure:
    """Make empty panels side by side that share rows, the first row on top."""
    figure = make_subplots(
        cols=max(1, len(heads)),
        shared_yaxes=True,
        subplot_titles=list(heads.values()),
        horizontal_spacing=0.03,
    )
    height = 170 + _ROW * (1 + legend) * max(1, len(rows))
    figure.update_layout(theme.layout(title, "", "", height=height))
    below = {"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0}
    figure.update_layout(margin={"t": 90, "b": 80}, showlegend=legend, legend=below)
    return figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=list(rows),
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
    )


def _add_estimates(
    figure: go.Figure,
    table: pd.DataFrame,
    measure: str,
    place: pd.Series,
    name: str,
    position: int,
    col: int,
) -> None:
    """Add a measure's values with their limits; an empty measure is the columns' bare names."""
    value, low, high = (
        pd.to_numeric(table[column])
        for column in (
            (measure, f"{measure}_low", f"{measure}_high") if measure else ("value", "low", "high")
        )
    )
    colour = theme.SERIES[position % len(theme.SERIES)]
    figure.add_scatter(
        x=value,
        y=place,
        error_x={
            "type": "data",
            "array": high - value,
            "arrayminus": value - low,
            "thickness": 2,
            "width": 4,
            "color": colour,
        },
        mode="markers",
        marker={"size": 9, "color": colour},
        name=name,
        legendgroup=name,
        showlegend=col == 1,
        customdata=np.stack([low, high, table["n"]], axis=1),
        hovertemplate="%{x:.3f} (%{customdata[0]:.3f} – %{customdata[1]:.3f}), "
        "n = %{customdata[2]:,}",
        row=1,
        col=col,
    )


def _add_reference(figure: go.Figure, value: float, low: float, high: float, **panel: int) -> None:
    """Mark an estimate by a dashed line, and its interval by a band."""
    if low == low and high == high:
        figure.add_vrect(low, high, fillcolor=theme.GREY, opacity=0.16, line_width=0, **panel)
    if value == value:
        figure.add_vline(value, line={"color": theme.INK_ON_ANY, "dash": "dash"}, **panel)
